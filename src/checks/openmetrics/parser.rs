//! Parses expositions family by family, without copying what needs no unescaping. Source: node-runner 10.6.

use std::borrow::Cow;
use std::ops::Range;

use fancy_regex::Regex;

use super::super::options::found;

/// Longest line that is parsed. Units: bytes. Source: node-runner 10.6.
pub(crate) const LINE_LIMIT: usize = 16 << 20;

/// Text format of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 0.0.1 and 1.0; must end with `# EOF`.
    OpenMetrics,
}

/// Type of a family as its `# TYPE` line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// No type, or `untyped`, `unknown`, or a word that is no type.
    #[default]
    Unknown,
    Info,
    GaugeHistogram,
    StateSet,
}

/// Part that a sample plays in its family, by the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The value itself, or a quantile of a summary.
    Value,
    Sum,
    Count,
    Bucket,
    /// When the series began to exist (OpenMetrics only).
    Created,
}

/// A label: name and value.
pub(crate) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FamilySample {
    pub(crate) role: Role,
    pub(crate) value: f64,
    labels: Range<usize>,
}

/// Consecutive samples that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Family<'a> {
    /// Name without `_total`, and without the raw prefix once that was removed.
    pub(crate) name: Cow<'a, str>,
    pub(crate) kind: FamilyKind,
    pub(crate) samples: Vec<FamilySample>,
    labels: Vec<Label<'a>>,
}

impl<'a> Family<'a> {
    /// Labels of one of its samples, in the order of the line.
    pub(crate) fn labels(&self, sample: &FamilySample) -> &[Label<'a>] {
        &self.labels[sample.labels.clone()]
    }

    fn begin(&mut self, name: Cow<'a, str>, kind: FamilyKind) {
        self.name = name;
        self.kind = kind;
        self.samples.clear();
        self.labels.clear();
    }
}

/// Why an exposition cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The text ends without the mark that OpenMetrics demands; some of it is probably missing.
    #[error("the exposition ends without # EOF")]
    Unfinished,
}

/// Reads one exposition from start to end.
pub(crate) struct Exposition<'a> {
    text: &'a str,
    format: Format,
    filters: &'a [Regex],
    position: usize,
    line: usize,
    ended: bool,
    /// Lines dropped by a filter so far.
    pub(crate) filtered_lines: u64,
}

impl<'a> Exposition<'a> {
    /// Starts at the top; lines in which one of `filters` is found are dropped.
    pub(crate) fn new(text: &'a str, format: Format, filters: &'a [Regex]) -> Self {
        Self { text, format, filters, position: 0, line: 0, ended: false, filtered_lines: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Reads the next family that has samples into `family`, whose buffers are used again; `false` at the end.
    pub(crate) fn next_family(&mut self, family: &mut Family<'a>) -> Result<bool, ParseError> {
        family.begin(Cow::Borrowed(""), FamilyKind::Unknown);
        while !self.ended {
            let (start, start_line) = (self.position, self.line);
            let Some(line) = self.next_line()? else {
                if self.format == Format::Prometheus || !family.samples.is_empty() {
                    // What came before a missing end mark is still good; the next call tells that it is missing.
                    break;
                }
                self.ended = true;
                return Err(ParseError::Unfinished);
            };
            let complete = if line.starts_with('#') { self.comment(line, family) } else { self.sample(line, family)? };
            if complete {
                // The line belongs to the next family, which reads it again.
                (self.position, self.line) = (start, start_line);
                break;
            }
        }
        self.finish(family);
        Ok(!family.samples.is_empty())
    }

    /// Takes `_total` off the name of a counter, which the Prometheus format leaves there.
    fn finish(&self, family: &mut Family<'a>) {
        if self.format == Format::OpenMetrics || family.kind != FamilyKind::Counter {
            return;
        }
        let Some(length) = family.name.strip_suffix("_total").map(str::len) else {
            return;
        };
        match &mut family.name {
            Cow::Borrowed(name) => *name = &name[..length],
            Cow::Owned(name) => name.truncate(length),
        }
    }

    /// The next line that is neither empty nor filtered, without surrounding blanks.
    fn next_line(&mut self) -> Result<Option<&'a str>, ParseError> {
        while self.position < self.text.len() {
            let rest = &self.text[self.position..];
            let (line, length) = rest.split_once('\n').map_or((rest, rest.len()), |(line, _)| (line, line.len() + 1));
            self.position += length;
            self.line += 1;
            if line.len() > LINE_LIMIT {
                return Err(self.error("longer than 16 MiB"));
            }
            if self.filters.iter().any(|filter| found(filter, line)) {
                self.filtered_lines += 1;
                continue;
            }
            let line = line.trim();
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn error(&self, problem: &'static str) -> ParseError {
        ParseError::Line { line: self.line, problem }
    }

    /// Handles a line that begins with `#`; `true` = it begins another family and this one is complete.
    fn comment(&mut self, line: &'a str, family: &mut Family<'a>) -> bool {
        let mut words = line[1..].trim_start().splitn(2, char::is_whitespace);
        let keyword = words.next().unwrap_or_default();
        if keyword == "EOF" && self.format == Format::OpenMetrics {
            self.ended = true;
            return false;
        }
        if !matches!(keyword, "TYPE" | "HELP" | "UNIT") || (keyword == "UNIT" && self.format == Format::Prometheus) {
            return false;
        }
        let Some((name, rest)) = words.next().and_then(comment_name) else {
            return false;
        };
        if name != family.name {
            if !family.samples.is_empty() {
                return true;
            }
            family.begin(name, FamilyKind::Unknown);
        }
        if keyword == "TYPE" {
            family.kind = kind(rest.trim());
        }
        false
    }

    /// Handles a line with a value; `true` = it belongs to another family and this one is complete.
    fn sample(&mut self, line: &'a str, family: &mut Family<'a>) -> Result<bool, ParseError> {
        let first_label = family.labels.len();
        let parsed = parse_sample(line, &mut family.labels);
        let (name, value) = parsed.map_err(|problem| self.error(problem))?;
        let role = name.strip_prefix(family.name.as_ref()).and_then(|suffix| role(suffix, family.kind, self.format));
        let role = match role {
            Some(role) if !family.name.is_empty() => role,
            _ if !family.samples.is_empty() => {
                family.labels.truncate(first_label);
                return Ok(true);
            }
            _ => {
                // Nobody announced it: a family of its own.
                family.name = name;
                family.kind = FamilyKind::Unknown;
                Role::Value
            }
        };
        family.samples.push(FamilySample { role, value, labels: first_label..family.labels.len() });
        Ok(false)
    }
}

fn kind(word: &str) -> FamilyKind {
    match word {
        "counter" => FamilyKind::Counter,
        "gauge" => FamilyKind::Gauge,
        "histogram" => FamilyKind::Histogram,
        "summary" => FamilyKind::Summary,
        "info" => FamilyKind::Info,
        "gaugehistogram" => FamilyKind::GaugeHistogram,
        "stateset" => FamilyKind::StateSet,
        _ => FamilyKind::Unknown,
    }
}

/// The role of a suffix in a family, `None` when such a sample does not belong to it.
fn role(suffix: &str, kind: FamilyKind, format: Format) -> Option<Role> {
    let role = match suffix {
        "" | "_total" | "_info" => Role::Value,
        "_sum" | "_gsum" => Role::Sum,
        "_count" | "_gcount" => Role::Count,
        "_bucket" => Role::Bucket,
        "_created" => Role::Created,
        _ => return None,
    };
    let belongs = match (kind, format) {
        (FamilyKind::Counter, Format::OpenMetrics) => matches!(suffix, "_total" | "_created"),
        (FamilyKind::Summary, Format::Prometheus) => matches!(suffix, "" | "_sum" | "_count"),
        (FamilyKind::Summary, Format::OpenMetrics) => matches!(suffix, "" | "_sum" | "_count" | "_created"),
        (FamilyKind::Histogram, Format::Prometheus) => matches!(suffix, "_sum" | "_count" | "_bucket"),
        (FamilyKind::Histogram, Format::OpenMetrics) => matches!(suffix, "_sum" | "_count" | "_bucket" | "_created"),
        (FamilyKind::GaugeHistogram, Format::OpenMetrics) => matches!(suffix, "_gsum" | "_gcount" | "_bucket"),
        (FamilyKind::Info, Format::OpenMetrics) => suffix == "_info",
        _ => suffix.is_empty(),
    };
    belongs.then_some(role)
}

/// Name of a comment line, plain or quoted, and what follows it.
fn comment_name(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.trim_start();
    if text.starts_with('"') {
        return quoted(text).ok();
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (Cow::Borrowed(&text[..end]), &text[end..]))
}

/// Reads `name{labels} value ...`; labels are added to `labels`. Timestamps and exemplars are not looked at.
fn parse_sample<'a>(line: &'a str, labels: &mut Vec<Label<'a>>) -> Result<(Cow<'a, str>, f64), &'static str> {
    let end = line.find(|letter: char| letter == '{' || letter.is_ascii_whitespace()).unwrap_or(line.len());
    let mut name = Cow::Borrowed(&line[..end]);
    let mut rest = line[end..].trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        let quoted_name = parse_labels(inner, labels, &mut rest)?;
        if let Some(quoted) = quoted_name.filter(|_| name.is_empty()) {
            name = quoted;
        }
    }
    if name.is_empty() {
        return Err("no metric name");
    }
    let rest = rest.trim_start();
    let value = rest.split(|letter: char| letter.is_ascii_whitespace()).next().unwrap_or_default();
    if value.is_empty() {
        return Err("no value");
    }
    value.parse().map(|value| (name, value)).map_err(|_| "the value is not a number")
}

/// Reads labels up to the closing brace; returns a quoted metric name if one stands among them.
fn parse_labels<'a>(mut text: &'a str, labels: &mut Vec<Label<'a>>, rest: &mut &'a str) -> Result<Option<Cow<'a, str>>, &'static str> {
    let mut metric_name = None;
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = text.strip_prefix('}') {
            *rest = after;
            return Ok(metric_name);
        }
        let name = if text.starts_with('"') {
            let (name, after) = quoted(text)?;
            text = after.trim_start();
            if !text.starts_with('=') {
                metric_name = Some(name);
                continue;
            }
            name
        } else {
            let end = text.find('=').ok_or("a label without value, or labels without closing brace")?;
            let name = text[..end].trim_end();
            text = &text[end..];
            Cow::Borrowed(name)
        };
        if name.is_empty() {
            return Err("a label without name");
        }
        let (value, after) = quoted(text[1..].trim_start())?;
        labels.push((name, value));
        text = after;
    }
}

/// Reads a text in double quotes with the escapes `\\`, `\"` and `\n`; returns it and what follows.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let Some(inner) = text.strip_prefix('"') else {
        return Err("a label value without quotes");
    };
    let bytes = inner.as_bytes();
    let mut index = 0;
    let mut escaped = false;
    loop {
        match bytes.get(index) {
            None => return Err("a label value without closing quote"),
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                index += 2;
            }
            Some(_) => index += 1,
        }
    }
    // Both ends are at quotes or backslashes, which are never inside a UTF-8 sequence; `get` keeps an odd text from panicking.
    let (raw, after) = inner.get(..index).zip(inner.get(index + 1..)).ok_or("a label value without closing quote")?;
    Ok((if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }, after))
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut letters = raw.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some(same @ ('\\' | '"')) => out.push(same),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = (String, FamilyKind, Vec<(Role, f64)>);
    type Pairs = &'static [(&'static str, &'static str)];

    fn families(text: &str, format: Format) -> Result<Vec<Seen>, ParseError> {
        let mut exposition = Exposition::new(text, format, &[]);
        let mut family = Family::default();
        let mut out = Vec::new();
        while exposition.next_family(&mut family)? {
            let samples = family.samples.iter().map(|sample| (sample.role, sample.value)).collect();
            out.push((family.name.to_string(), family.kind, samples));
        }
        Ok(out)
    }

    #[test]
    fn families_end_where_another_name_begins() {
        let text = "# HELP a_total About a.\n# TYPE a_total counter\na_total 1 1700000000\n\nlonely{x=\"1\"} 2\nlonely{x=\"2\"} 3\n\
                    # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n# a comment\n# TYPE s summary\ns 4\ns_sum 5\nh_sum 6\n";
        let expected = vec![
            ("a".to_owned(), FamilyKind::Counter, vec![(Role::Value, 1.0)]),
            ("lonely".to_owned(), FamilyKind::Unknown, vec![(Role::Value, 2.0), (Role::Value, 3.0)]),
            ("h".to_owned(), FamilyKind::Histogram, vec![(Role::Bucket, 1.0), (Role::Sum, 2.0), (Role::Count, 3.0)]),
            ("s".to_owned(), FamilyKind::Summary, vec![(Role::Value, 4.0), (Role::Sum, 5.0)]),
            ("h_sum".to_owned(), FamilyKind::Unknown, vec![(Role::Value, 6.0)]),
        ];
        assert_eq!(families(text, Format::Prometheus).unwrap(), expected);
    }

    #[test]
    fn openmetrics_families_carry_suffixes_and_must_end() {
        let text = "# TYPE foo counter\n# UNIT foo seconds\nfoo_total 17 # {trace=\"x\"} 1\nfoo_created 1.5e9\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
        let expected = vec![
            ("foo".to_owned(), FamilyKind::Counter, vec![(Role::Value, 17.0), (Role::Created, 1.5e9)]),
            ("i".to_owned(), FamilyKind::Info, vec![(Role::Value, 1.0)]),
        ];
        assert_eq!(families(text, Format::OpenMetrics).unwrap(), expected);
        assert_eq!(families("foo 1\n", Format::OpenMetrics), Err(ParseError::Unfinished));
        assert_eq!(families("", Format::OpenMetrics), Err(ParseError::Unfinished));
        assert_eq!(families("", Format::Prometheus).unwrap(), []);
    }

    #[test]
    fn labels_may_be_spaced_escaped_and_quoted() {
        let vectors: [(&str, &str, Pairs); 7] = [
            ("a{} 1", "a", &[]),
            ("a { b = \"c\" , } 1", "a", &[("b", "c")]),
            (r#"a{b="q\"\\\n\x",c="}, 2"} 1"#, "a", &[("b", "q\"\\\n\\x"), ("c", "}, 2")]),
            ("a{b=\"\"}1", "a", &[("b", "")]),
            ("{\"my.name\",\"my.label\"=\"v\"} 1", "my.name", &[("my.label", "v")]),
            ("a{b=\"\u{fc}\u{2713}\"}\t1", "a", &[("b", "\u{fc}\u{2713}")]),
            ("a:b_c 1", "a:b_c", &[]),
        ];
        for (line, name, expected) in vectors {
            let mut labels = Vec::new();
            assert_eq!(parse_sample(line, &mut labels).unwrap(), (Cow::Borrowed(name), 1.0), "{line}");
            let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
            assert_eq!(labels, expected, "{line}");
        }
    }

    #[test]
    fn broken_lines_are_named() {
        let vectors = [
            ("a", "no value"),
            ("a one", "the value is not a number"),
            ("{} 1", "no metric name"),
            ("a{b=\"c} 1", "a label value without closing quote"),
            ("a{b=c} 1", "a label value without quotes"),
            ("a{b} 1", "a label without value, or labels without closing brace"),
            ("a{=\"c\"} 1", "a label without name"),
            ("a{b=\"c\\", "a label value without closing quote"),
            ("<html>", "no value"),
        ];
        for (line, problem) in vectors {
            let text = format!("ok 1\n\n{line}\n");
            assert_eq!(families(&text, Format::Prometheus), Err(ParseError::Line { line: 3, problem }), "{line}");
        }
    }

    #[test]
    fn values_are_read_as_the_formats_write_them() {
        for (text, value) in [("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY), ("1e3", 1000.0), ("-0.5", -0.5), ("+2", 2.0)] {
            assert_eq!(parse_sample(&format!("a {text}"), &mut Vec::new()).unwrap().1, value);
        }
        assert!(parse_sample("a NaN", &mut Vec::new()).unwrap().1.is_nan());
    }

    fn escape(text: &str) -> String {
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = families(&text, Format::Prometheus);
            let _ = families(&text, Format::OpenMetrics);
        }

        #[test]
        fn arbitrary_lines_never_panic(text in "([a-z_#{}=\",\\\\ \n0-9\u{fc}]|TYPE|# TYPE |HELP|counter|histogram|_bucket|EOF){0,60}") {
            let _ = families(&text, Format::Prometheus);
            let _ = families(&text, Format::OpenMetrics);
        }

        #[test]
        fn label_values_come_back_as_they_were(value in "\\PC{0,20}|[\\\\\"n\n]{0,10}", other in "\\PC{0,5}") {
            let line = format!("name{{a=\"{}\",b=\"{}\"}} 1", escape(&value), escape(&other));
            let mut labels = Vec::new();
            parse_sample(&line, &mut labels).unwrap();
            prop_assert_eq!(&labels, &vec![("a".into(), value.into()), ("b".into(), other.into())]);
        }

        #[test]
        fn every_sample_lands_in_exactly_one_family(names in proptest::collection::vec("[ab](_sum|_total)?", 0..20)) {
            let text = names.iter().map(|name| format!("# TYPE {} summary\n{name} 1\n", &name[..1])).collect::<Vec<_>>().concat();
            let count: usize = families(&text, Format::Prometheus).unwrap().iter().map(|(_, _, samples)| samples.len()).sum();
            prop_assert_eq!(count, names.len());
        }
    }
}

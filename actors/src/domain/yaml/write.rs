//! Values to YAML text in the style of yaml v2. Source: autodiscovery 7.2.

use std::fmt::Write as _;

use crate::domain::yaml::float::float_text;
use crate::domain::yaml::order::sorted;
use crate::domain::yaml::scalar::reads_as_other_type;
use crate::domain::yaml::value::Value;

/// Longest key that is written without a question mark before it.
///
/// Units: bytes. Why: readers look for the colon only so far (1024 characters), writers are stricter.
const LONGEST_SIMPLE_KEY: usize = 128;

/// Writes a document: block style, keys sorted, sequences not indented under their key, final newline.
///
/// Lines are not folded, so the text of long values differs from yaml v2 in form, not in meaning.
#[must_use]
pub fn write(value: &Value) -> String {
    Writer { out: String::new(), list_indent: 0 }.document(value)
}

/// As [`write`], with sequences indented by two under their key and without the final newline, as scrubbed text is shown.
#[must_use]
pub fn write_indented(value: &Value) -> String {
    let mut text = Writer { out: String::new(), list_indent: 2 }.document(value);
    text.truncate(text.trim_end_matches('\n').len());
    text
}

struct Writer {
    out: String,
    /// Columns by which a sequence stands right of its key.
    list_indent: usize,
}

impl Writer {
    fn document(mut self, value: &Value) -> String {
        match value {
            Value::Map(entries) if !entries.is_empty() => self.map(entries, 0, false),
            Value::List(items) if !items.is_empty() => self.list(items, 0, false),
            scalar => {
                self.scalar(scalar, 2);
                self.out.push('\n');
            }
        }
        self.out
    }

    /// `placed`: the first entry continues a line that is indented already.
    fn map(&mut self, entries: &[(Value, Value)], indent: usize, placed: bool) {
        for (index, (key, value)) in sorted(entries).into_iter().enumerate() {
            self.start_line(indent, placed && index == 0);
            let key = key_text(key);
            if key.len() > LONGEST_SIMPLE_KEY {
                let _ = writeln!(self.out, "? {key}");
                self.start_line(indent, false);
            } else {
                self.out.push_str(&key);
            }
            self.out.push(':');
            match value {
                Value::Map(inner) if !inner.is_empty() => {
                    self.out.push('\n');
                    self.map(inner, indent + 2, false);
                }
                Value::List(items) if !items.is_empty() => {
                    self.out.push('\n');
                    self.list(items, indent + self.list_indent, false);
                }
                scalar => {
                    self.out.push(' ');
                    self.scalar(scalar, indent + 2);
                    self.out.push('\n');
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, placed: bool) {
        for (index, item) in items.iter().enumerate() {
            self.start_line(indent, placed && index == 0);
            self.out.push_str("- ");
            match item {
                Value::Map(entries) if !entries.is_empty() => self.map(entries, indent + 2, true),
                Value::List(inner) if !inner.is_empty() => self.list(inner, indent + 2, true),
                scalar => {
                    self.scalar(scalar, indent + 2);
                    self.out.push('\n');
                }
            }
        }
    }

    fn start_line(&mut self, indent: usize, placed: bool) {
        if !placed {
            let _ = write!(self.out, "{:indent$}", "");
        }
    }

    /// Anything that fits behind a colon; `indent` is for the lines of a literal block.
    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(number) => {
                let _ = write!(self.out, "{number}");
            }
            Value::UInt(number) => {
                let _ = write!(self.out, "{number}");
            }
            Value::Float(number) => self.out.push_str(&float_text(*number)),
            Value::Text(text) if is_literal(text) => self.literal(text, indent),
            Value::Text(text) => self.out.push_str(&one_line(text)),
            Value::List(_) => self.out.push_str("[]"),
            Value::Map(_) => self.out.push_str("{}"),
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        let body = text.strip_suffix('\n').unwrap_or_else(|| {
            self.out.push('-');
            text
        });
        for line in body.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                let _ = write!(self.out, "{:indent$}{line}", "");
            }
        }
    }
}

/// A key on one line. A text `<<` is quoted, or it would merge.
fn key_text(key: &Value) -> String {
    match key {
        Value::Null => "null".to_owned(),
        Value::Text(text) if text == "<<" => double_quoted(text),
        Value::Text(text) => one_line(text),
        Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => key.key_text(),
        Value::List(_) | Value::Map(_) => double_quoted(&key.key_text()),
    }
}

/// Whether a text is written as a literal block: several lines, nothing invisible, no indentation that needs a hint, and no empty
/// lines at the end, which not every parser keeps.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.ends_with(' ')
        && !text.ends_with("\n\n")
        && !text.contains(" \n")
        && text.chars().all(|character| character == '\n' || is_printable(character))
}

fn one_line(text: &str) -> String {
    if reads_as_other_type(text) || !text.chars().all(is_printable) {
        return double_quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether printable text may stand without quotes in block style.
fn is_plain(text: &str) -> bool {
    let followed_by_blank = |at: usize| text[at..].chars().nth(1).is_none_or(|next| next == ' ');
    let first_ok = match text.chars().next() {
        None | Some(' ' | '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => false,
        Some('?' | ':' | '-') => !followed_by_blank(0),
        Some(_) => true,
    };
    first_ok
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// Characters that yaml v2 writes as they are; a tab or an emoji is not among them.
fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' | '\u{a0}'..='\u{d7ff}' => !matches!(character, '\u{2028}' | '\u{2029}'),
        '\u{e000}'..='\u{fffd}' => character != '\u{feff}',
        _ => false,
    }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            printable if is_printable(printable) => out.push(printable),
            other => {
                let code = u32::from(other);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
            }
        }
    }
    out.push('"');
    out
}

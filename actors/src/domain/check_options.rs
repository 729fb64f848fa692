//! Options that every check honours, applied to what a run submitted in one place. Source: node-runner 5 and 9.

use std::collections::HashSet;
use std::time::Duration;

use regex::Regex;

use crate::domain::buckets::DEFAULT_INTERVAL;
use crate::domain::samples::RunSamples;
use crate::domain::yaml::Value;

/// Tag keys that `disable_generic_tags` prefixes with the check name.
const GENERIC_TAG_KEYS: [&str; 11] =
    ["cluster_name", "clustername", "cluster", "clusterid", "cluster_id", "env", "host_name", "hostname", "host", "service", "version"];

/// An option with a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {key}: found {found}, allowed: {allowed}")]
pub struct OptionError {
    /// Key, dotted path.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// Options of one instance that are the same for all checks.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Check name, the prefix of degeneralised tags.
    pub check_name: String,
    /// Time between two runs, at least 1 s.
    pub interval: Duration,
    /// Whether samples without a host stay without one.
    pub empty_default_hostname: bool,
    /// Value of the tag `service` that is appended to everything.
    pub service: Option<String>,
    /// Whether all series are marked `no_index`.
    pub no_index: bool,
    /// Whether generic tag keys get the check name in front.
    pub disable_generic_tags: bool,
    /// Most series of one run, 0 = no limit.
    pub max_series: usize,
    include: Option<Regex>,
    exclude: Option<Regex>,
}

impl CheckOptions {
    /// Reads the options of an instance; what the instance does not set comes from `init_config`.
    ///
    /// Errors: [`OptionError`] for an interval below 1 s or a pattern that does not compile.
    pub fn read(check_name: &str, instance: &Value, init_config: &Value) -> Result<Self, OptionError> {
        let text =
            |key: &str| [instance, init_config].iter().find_map(|part| part.get(key).map(Value::key_text).filter(|text| !text.is_empty()));
        let flag = |key: &str| instance.get(key).is_some_and(is_affirmative);
        Ok(Self {
            check_name: check_name.to_owned(),
            interval: interval(instance, init_config)?,
            empty_default_hostname: flag("empty_default_hostname"),
            service: text("service"),
            no_index: flag("no_index"),
            disable_generic_tags: flag("disable_generic_tags"),
            max_series: instance.get("max_returned_metrics").and_then(number).map_or(0, |limit| limit.max(0.0) as usize),
            include: pattern(instance, "include")?,
            exclude: pattern(instance, "exclude")?,
        })
    }

    /// Turns what a check submitted into what is aggregated: filters, tags, hosts, limit. Returns how many samples the limit cost.
    ///
    /// `series_limit` is the limit of the installation (`muster.check_max_series`); the lower of both limits counts, 0 = no limit.
    pub fn apply(&self, samples: &mut RunSamples, agent_host: &str, series_limit: usize) -> usize {
        samples.samples.retain(|sample| self.passes(&sample.name));
        samples.buckets.retain(|bucket| self.passes(&bucket.name));
        for sample in &mut samples.samples {
            self.finish(&mut sample.tags, &mut sample.host, agent_host);
            sort_and_deduplicate(&mut sample.tags);
            sample.no_index |= self.no_index;
        }
        for bucket in &mut samples.buckets {
            self.finish(&mut bucket.tags, &mut bucket.host, agent_host);
            sort_and_deduplicate(&mut bucket.tags);
        }
        for service_check in &mut samples.service_checks {
            self.finish(&mut service_check.tags, &mut service_check.host, agent_host);
        }
        for event in &mut samples.events {
            let mut host = Some(std::mem::take(&mut event.host));
            self.finish(&mut event.tags, &mut host, agent_host);
            event.host = host.unwrap_or_default();
        }
        self.enforce_limit(samples, series_limit)
    }

    fn passes(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
    }

    fn finish(&self, tags: &mut Vec<String>, host: &mut Option<String>, agent_host: &str) {
        if self.disable_generic_tags {
            for tag in tags.iter_mut().filter(|tag| is_generic(tag)) {
                *tag = format!("{}_{tag}", self.check_name);
            }
        }
        // After the prefixing: `service` of the instance names the service on purpose.
        tags.extend(self.service.as_ref().map(|service| format!("service:{service}")));
        if host.as_deref().is_none_or(str::is_empty) {
            *host = Some(if self.empty_default_hostname { String::new() } else { agent_host.to_owned() });
        }
    }

    fn enforce_limit(&self, samples: &mut RunSamples, series_limit: usize) -> usize {
        let Some(limit) = [self.max_series, series_limit].into_iter().filter(|limit| *limit > 0).min() else { return 0 };
        let mut known = HashSet::new();
        let mut admit = |name: &String, host: &Option<String>, tags: &Vec<String>| {
            let context = (name.clone(), host.clone(), tags.clone());
            known.contains(&context) || (known.len() < limit && known.insert(context))
        };
        let before = samples.samples.len() + samples.buckets.len();
        samples.samples.retain(|sample| admit(&sample.name, &sample.host, &sample.tags));
        samples.buckets.retain(|bucket| admit(&bucket.name, &bucket.host, &bucket.tags));
        before - samples.samples.len() - samples.buckets.len()
    }
}

/// The interval of a check: of the instance, else of `init_config`, else 15 s; values that are not above 0 mean "not set".
///
/// Errors: [`OptionError`] below 1 s or when it is no number.
pub fn interval(instance: &Value, init_config: &Value) -> Result<Duration, OptionError> {
    for part in [instance, init_config] {
        let Some(value) = part.get("min_collection_interval") else { continue };
        let refused =
            |allowed: &str| OptionError { key: "min_collection_interval".to_owned(), found: value.key_text(), allowed: allowed.to_owned() };
        let seconds = match value {
            Value::Null => continue,
            _ => number(value).ok_or_else(|| refused("a number of seconds"))?,
        };
        if seconds > 0.0 {
            let too_short = || refused("schedule interval must be greater than 1s or 0");
            let interval = Duration::try_from_secs_f64(seconds).map_err(|_| refused("a number of seconds"))?;
            return if interval < Duration::from_secs(1) { Err(too_short()) } else { Ok(interval) };
        }
    }
    Ok(DEFAULT_INTERVAL)
}

fn pattern(instance: &Value, side: &str) -> Result<Option<Regex>, OptionError> {
    let key = format!("metric_patterns.{side}");
    let refused = |found: &Value, allowed: String| OptionError { key: key.clone(), found: found.key_text(), allowed };
    let patterns = match instance.get("metric_patterns").and_then(|patterns| patterns.get(side)) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::List(patterns)) => patterns,
        Some(other) => return Err(refused(other, "a list of regular expressions".to_owned())),
    };
    let mut alternatives = Vec::new();
    for entry in patterns {
        let text = entry.as_str().ok_or_else(|| refused(entry, "regular expressions as text".to_owned()))?;
        Regex::new(text).map_err(|error| refused(entry, format!("a regular expression ({error})")))?;
        if !text.is_empty() {
            alternatives.push(format!("(?:{text})"));
        }
    }
    if alternatives.is_empty() {
        return Ok(None);
    }
    let joined = Value::from(alternatives.join("|").as_str());
    Regex::new(&alternatives.join("|")).map(Some).map_err(|error| refused(&joined, format!("fewer or shorter patterns ({error})")))
}

fn is_generic(tag: &str) -> bool {
    tag.split_once(':').is_some_and(|(key, _)| GENERIC_TAG_KEYS.contains(&key))
}

fn sort_and_deduplicate(tags: &mut Vec<String>) {
    tags.sort_unstable();
    tags.dedup();
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::UInt(number) => Some(*number as f64),
        Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
        Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Whether a value means yes: true, a number but 0, or one of the words `yes`, `true`, `1`, `y`, `on`.
#[must_use]
pub fn is_affirmative(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Text(text) => matches!(text.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "y" | "on"),
        _ => number(value).is_some_and(|number| number != 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::{Event, Sample, SampleKind, ServiceCheck, ServiceStatus};

    fn map(entries: &[(&str, Value)]) -> Value {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn options(entries: &[(&str, Value)]) -> CheckOptions {
        CheckOptions::read("hello", &map(entries), &Value::Null).unwrap()
    }

    fn gauge(name: &str, tags: &[&str]) -> Sample {
        Sample {
            name: name.to_owned(),
            kind: SampleKind::Gauge,
            value: 1.0,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            host: None,
            flush_first_value: false,
            no_index: false,
        }
    }

    fn service_check(name: &str, tags: &[&str]) -> ServiceCheck {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        ServiceCheck { name: name.to_owned(), status: ServiceStatus::Ok, tags, host: None, message: String::new() }
    }

    #[test]
    fn nr_t5_the_interval_comes_from_the_instance_then_from_init_config() {
        let seconds = |number: i64| map(&[("min_collection_interval", Value::Int(number))]);
        let read = |instance: &Value, init_config: &Value| interval(instance, init_config).map(|interval| interval.as_secs());
        assert_eq!(read(&Value::Null, &Value::Null), Ok(15));
        assert_eq!(read(&seconds(0), &seconds(30)), Ok(30));
        assert_eq!(read(&seconds(5), &seconds(30)), Ok(5));
        assert_eq!(read(&seconds(-5), &Value::Null), Ok(15));
    }

    #[test]
    fn fractions_of_seconds_are_kept_and_less_than_a_second_is_refused() {
        let seconds = |number: f64| map(&[("min_collection_interval", Value::Float(number))]);
        assert_eq!(interval(&seconds(1.5), &Value::Null), Ok(Duration::from_millis(1500)));
        let error = interval(&seconds(0.5), &Value::Null).unwrap_err();
        assert_eq!(error.to_string(), "option min_collection_interval: found 0.5, allowed: schedule interval must be greater than 1s or 0");
        assert!(interval(&seconds(1e300), &Value::Null).is_err());
        assert!(interval(&map(&[("min_collection_interval", "soon".into())]), &Value::Null).is_err());
    }

    #[test]
    fn nr_t21_generic_tags_get_the_check_name_in_front() {
        let mut samples = RunSamples { samples: vec![gauge("hello.world", &["env:x", "room:a", "env"])], ..RunSamples::default() };
        options(&[("disable_generic_tags", Value::Bool(true)), ("service", "web".into())]).apply(&mut samples, "node-1", 0);
        assert_eq!(samples.samples[0].tags, ["env", "hello_env:x", "room:a", "service:web"]);
    }

    #[test]
    fn nr_t22_metric_patterns_filter_metrics_only() {
        let include = map(&[("include", Value::List(vec![r"^hello\.w".into()])), ("exclude", Value::List(vec!["bad".into()]))]);
        let mut samples = RunSamples {
            samples: vec![gauge("hello.world", &[]), gauge("hello.moon", &[]), gauge("hello.w.bad", &[])],
            service_checks: vec![service_check("hello.moon", &["a:b"])],
            ..RunSamples::default()
        };
        options(&[("metric_patterns", include)]).apply(&mut samples, "node-1", 0);
        assert_eq!(samples.samples.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>(), ["hello.world"]);
        assert_eq!(samples.service_checks.len(), 1);
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_refused() {
        let broken = map(&[("include", Value::List(vec!["(".into()]))]);
        let error = CheckOptions::read("hello", &map(&[("metric_patterns", broken)]), &Value::Null).unwrap_err();
        assert_eq!((error.key.as_str(), error.found.as_str()), ("metric_patterns.include", "("));
    }

    #[test]
    fn the_host_is_the_explicit_one_then_the_agents_unless_it_is_to_stay_empty() {
        let hosts = |entries: &[(&str, Value)]| {
            let mut samples =
                RunSamples { samples: vec![gauge("a", &[]), gauge("b", &[])], events: vec![Event::default()], ..RunSamples::default() };
            samples.samples[1].host = Some("db-1".to_owned());
            options(entries).apply(&mut samples, "node-1", 0);
            let hosts: Vec<String> = samples.samples.iter().map(|sample| sample.host.clone().unwrap()).collect();
            (hosts, samples.events[0].host.clone())
        };
        assert_eq!(hosts(&[]), (vec!["node-1".to_owned(), "db-1".to_owned()], "node-1".to_owned()));
        assert_eq!(hosts(&[("empty_default_hostname", Value::Bool(true))]), (vec![String::new(), "db-1".to_owned()], String::new()));
    }

    #[test]
    fn tags_of_series_are_sorted_and_unique_while_service_checks_keep_their_order() {
        let mut samples = RunSamples {
            samples: vec![gauge("a", &["b:1", "a:1", "b:1"])],
            service_checks: vec![service_check("up", &["b:1", "a:1"])],
            ..RunSamples::default()
        };
        options(&[("no_index", Value::Bool(true))]).apply(&mut samples, "node-1", 0);
        assert_eq!(samples.samples[0].tags, ["a:1", "b:1"]);
        assert!(samples.samples[0].no_index);
        assert_eq!(samples.service_checks[0].tags, ["b:1", "a:1"]);
    }

    #[test]
    fn the_lower_limit_of_series_counts_and_known_series_still_pass() {
        let run = |own: i64, installation: usize| {
            let mut samples =
                RunSamples { samples: vec![gauge("a", &[]), gauge("b", &[]), gauge("a", &[]), gauge("c", &[])], ..RunSamples::default() };
            let dropped = options(&[("max_returned_metrics", Value::Int(own))]).apply(&mut samples, "node-1", installation);
            (samples.samples.len(), dropped)
        };
        assert_eq!(run(0, 0), (4, 0));
        assert_eq!(run(2, 3), (3, 1));
        assert_eq!(run(2, 1), (2, 2));
    }
}

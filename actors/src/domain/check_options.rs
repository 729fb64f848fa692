//! What the node itself does for every check: when it runs, which host its samples get, how many series it may have.
//!
//! Source: node-runner 5 and 9. Keys that change what a check submits (tags, patterns) are honoured by the checks.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::buckets::DEFAULT_INTERVAL;
use crate::domain::samples::RunSamples;
use crate::domain::yaml::Value;

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

/// Options of one instance that the node honours for all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Time between two runs, at least 1 s.
    pub interval: Duration,
    /// Whether samples without a host stay without one.
    pub empty_default_hostname: bool,
}

impl CheckOptions {
    /// Reads the options of an instance; what the instance does not set comes from `init_config`.
    ///
    /// Errors: [`OptionError`] for an interval below 1 s.
    pub fn read(instance: &Value, init_config: &Value) -> Result<Self, OptionError> {
        let empty_default_hostname = instance.get("empty_default_hostname").is_some_and(is_affirmative);
        Ok(Self { interval: interval(instance, init_config)?, empty_default_hostname })
    }

    /// Settles hosts and tags of what a run submitted and enforces the limit of series. Returns how many samples the limit cost.
    ///
    /// `series_limit` is `muster.check_max_series`, 0 = no limit. Tags of series are sorted and made unique; service checks and events
    /// keep the order of theirs.
    pub fn settle(&self, samples: &mut RunSamples, agent_host: &str, series_limit: usize) -> usize {
        let default_host = if self.empty_default_hostname { "" } else { agent_host };
        for sample in &mut samples.samples {
            settle_host(&mut sample.host, default_host);
            sort_and_deduplicate(&mut sample.tags);
        }
        for bucket in &mut samples.buckets {
            settle_host(&mut bucket.host, default_host);
            sort_and_deduplicate(&mut bucket.tags);
        }
        for service_check in &mut samples.service_checks {
            settle_host(&mut service_check.host, default_host);
        }
        for event in samples.events.iter_mut().filter(|event| event.host.is_empty()) {
            default_host.clone_into(&mut event.host);
        }
        if series_limit == 0 { 0 } else { enforce_limit(samples, series_limit) }
    }
}

fn settle_host(host: &mut Option<String>, default_host: &str) {
    if host.as_deref().is_none_or(str::is_empty) {
        *host = Some(default_host.to_owned());
    }
}

fn enforce_limit(samples: &mut RunSamples, limit: usize) -> usize {
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

/// Longest interval.
///
/// Units: seconds. Why: deadlines and turns are sums and products of intervals, and one config must not end every runner it comes to.
const MAX_INTERVAL_SECONDS: u32 = u32::MAX;

/// The interval of a check: of the instance, else of `init_config`, else 15 s; values that are not above 0 mean "not set".
///
/// Errors: [`OptionError`] below 1 s, above [`MAX_INTERVAL_SECONDS`] or when it is no number.
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
            if seconds > f64::from(MAX_INTERVAL_SECONDS) {
                return Err(refused(&format!("at most {MAX_INTERVAL_SECONDS} seconds")));
            }
            let too_short = || refused("schedule interval must be greater than 1s or 0");
            let interval = Duration::try_from_secs_f64(seconds).map_err(|_| refused("a number of seconds"))?;
            return if interval < Duration::from_secs(1) { Err(too_short()) } else { Ok(interval) };
        }
    }
    Ok(DEFAULT_INTERVAL)
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
        CheckOptions::read(&map(entries), &Value::Null).unwrap()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn gauge(name: &str, tags: &[&str]) -> Sample {
        let kind = SampleKind::Gauge;
        Sample { name: name.to_owned(), kind, value: 1.0, tags: texts(tags), host: None, flush_first_value: false, no_index: false }
    }

    #[test]
    fn an_interval_with_which_nobody_can_calculate_is_refused() {
        for seconds in [4_294_967_296.0, 9e18, 1.8e19] {
            let error = CheckOptions::read(&map(&[("min_collection_interval", Value::Float(seconds))]), &Value::Null).unwrap_err();
            assert_eq!((error.key.as_str(), error.allowed.as_str()), ("min_collection_interval", "at most 4294967295 seconds"));
        }
        assert_eq!(options(&[("min_collection_interval", Value::Float(4_294_967_295.0))]).interval.as_secs(), 4_294_967_295);
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
        let text = "option min_collection_interval: found 0.5, allowed: schedule interval must be greater than 1s or 0";
        assert_eq!(error.to_string(), text);
        assert!(interval(&seconds(1e300), &Value::Null).is_err());
        assert!(interval(&map(&[("min_collection_interval", "soon".into())]), &Value::Null).is_err());
    }

    #[test]
    fn the_host_is_the_explicit_one_then_the_agents_unless_it_is_to_stay_empty() {
        let hosts = |entries: &[(&str, Value)]| {
            let samples = vec![gauge("a", &[]), gauge("b", &[])];
            let mut run = RunSamples { samples, events: vec![Event::default()], ..RunSamples::default() };
            run.samples[1].host = Some("db-1".to_owned());
            options(entries).settle(&mut run, "node-1", 0);
            let hosts: Vec<String> = run.samples.iter().filter_map(|sample| sample.host.clone()).collect();
            (hosts, run.events[0].host.clone())
        };
        assert_eq!(hosts(&[]), (texts(&["node-1", "db-1"]), "node-1".to_owned()));
        assert_eq!(hosts(&[("empty_default_hostname", Value::Bool(true))]), (texts(&["", "db-1"]), String::new()));
    }

    #[test]
    fn tags_of_series_are_sorted_and_unique_while_service_checks_keep_their_order() {
        let (name, message) = ("up".to_owned(), String::new());
        let up = ServiceCheck { name, status: ServiceStatus::Ok, tags: texts(&["b:1", "a:1"]), host: None, message };
        let mut run = RunSamples { samples: vec![gauge("a", &["b:1", "a:1", "b:1"])], service_checks: vec![up], ..RunSamples::default() };
        options(&[]).settle(&mut run, "node-1", 0);
        assert_eq!(run.samples[0].tags, ["a:1", "b:1"]);
        assert_eq!(run.service_checks[0].tags, ["b:1", "a:1"]);
    }

    #[test]
    fn the_limit_counts_series_so_that_known_ones_still_pass() {
        let run = |limit: usize| {
            let samples = ["a", "b", "a", "c"].map(|name| gauge(name, &[])).to_vec();
            let mut run = RunSamples { samples, ..RunSamples::default() };
            let dropped = options(&[]).settle(&mut run, "node-1", limit);
            (run.samples.len(), dropped)
        };
        assert_eq!(run(0), (4, 0));
        assert_eq!(run(2), (3, 1));
        assert_eq!(run(1), (2, 2));
    }
}

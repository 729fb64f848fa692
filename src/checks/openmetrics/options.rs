//! Options of `openmetrics`.

use std::collections::{HashMap, HashSet};

use fancy_regex::Regex;
use muster_actors::domain::samples::ServiceStatus;
use muster_actors::ports::LoadError;
use serde_json::{Map, Value as Json};

use super::super::http_client::Target;
use super::super::options::{Options, compile, found, scalar_text};
use super::labels::{ShareRule, SharedLabels};
use super::names::{Names, Treatment, Wanted, is_exact};

/// Place of the label's value in `hostname_format`.
const HOSTNAME_PLACEHOLDER: &str = "<HOSTNAME>";

/// What becomes of histogram buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buckets {
    /// Not sent.
    Off,
    /// Running totals as the target counts them.
    Cumulative,
    /// Running totals of each bucket by itself.
    Separate,
    /// Distributions.
    Distribution {
        /// Whether sum and count are sent too.
        with_counters: bool,
        /// Whether tags tell the bounds.
        bound_tags: bool,
    },
}

/// A checked instance, apart from names and shared labels, which keep state.
#[derive(Debug)]
pub(super) struct ScrapeOptions {
    /// Endpoint as given.
    pub(super) endpoint: String,
    /// Endpoint to ask.
    pub(super) target: Target,
    /// Put before every name; empty or ending with a dot.
    pub(super) prefix: String,
    /// Removed from the start of family names before anything else looks at them.
    pub(super) raw_metric_prefix: String,
    exclude_names: HashSet<String>,
    exclude_patterns: Vec<Regex>,
    /// Label -> patterns of values that exclude a sample; `None` = any value.
    exclude_by_labels: HashMap<String, Option<Vec<Regex>>>,
    exclude_labels: HashSet<String>,
    include_labels: HashSet<String>,
    /// Raw label name -> tag key.
    pub(super) rename_labels: HashMap<String, String>,
    /// Lines in which one is found are dropped.
    pub(super) line_filters: Vec<Regex>,
    /// Custom tags, then the endpoint.
    pub(super) static_tags: Vec<String>,
    /// Whether the state of the endpoint is sent.
    pub(super) health: bool,
    /// Whether an endpoint that cannot be reached is no error.
    pub(super) ignore_connection_errors: bool,
    hostname_label: String,
    hostname_format: Option<String>,
    /// What becomes of histogram buckets.
    pub(super) buckets: Buckets,
    /// Whether OpenMetrics is asked for and expected.
    pub(super) use_latest_spec: bool,
    /// Whether the target's start time decides on the first values.
    pub(super) use_process_start_time: bool,
    /// Whether numbers about the scrape itself are sent.
    pub(super) telemetry: bool,
}

impl ScrapeOptions {
    /// Whether a family is excluded by its name.
    pub(super) fn excludes(&self, name: &str) -> bool {
        self.exclude_names.contains(name) || self.exclude_patterns.iter().any(|pattern| found(pattern, name))
    }

    /// Whether a sample with this label is excluded.
    pub(super) fn excludes_sample(&self, label: &str, value: &str) -> bool {
        match self.exclude_by_labels.get(label) {
            None => false,
            Some(None) => true,
            Some(Some(patterns)) => patterns.iter().any(|pattern| found(pattern, value)),
        }
    }

    /// Tag key of a label, `None` when it makes no tag.
    pub(super) fn tag_key<'a>(&'a self, label: &'a str) -> Option<&'a str> {
        if self.exclude_labels.contains(label) || (!self.include_labels.is_empty() && !self.include_labels.contains(label)) {
            return None;
        }
        Some(self.rename_labels.get(label).map_or(label, String::as_str))
    }

    /// Host of a sample by the value of a label, `None` unless it is the host's label.
    pub(super) fn host(&self, label: &str, value: &str) -> Option<String> {
        if self.hostname_label != label || label.is_empty() || value.is_empty() {
            return None;
        }
        Some(self.hostname_format.as_ref().map_or_else(|| value.to_owned(), |format| format.replacen(HOSTNAME_PLACEHOLDER, value, 1)))
    }
}

/// Reads and checks an instance.
pub(super) fn read(instance: Options<'_>, tags: &[String]) -> Result<(ScrapeOptions, Names, SharedLabels), LoadError> {
    let (endpoint, target) = endpoint(instance)?;
    let namespace = instance.text("namespace")?.unwrap_or_default();
    let (exclude_names, exclude_patterns) = exclude_metrics(instance)?;
    let ignore_tags = instance.regexes("ignore_tags")?;
    let mut static_tags: Vec<String> = tags.to_vec();
    static_tags.retain(|tag| !ignore_tags.iter().any(|pattern| found(pattern, tag)));
    if instance.flag_or("tag_by_endpoint", true)? {
        static_tags.push(format!("endpoint:{endpoint}"));
    }
    let (hostname_label, hostname_format) = hostname(instance)?;
    let options = ScrapeOptions {
        endpoint,
        target,
        prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}.") },
        raw_metric_prefix: instance.text("raw_metric_prefix")?.unwrap_or_default(),
        exclude_names,
        exclude_patterns,
        exclude_by_labels: exclude_by_labels(instance)?,
        exclude_labels: instance.texts("exclude_labels")?.into_iter().collect(),
        include_labels: instance.texts("include_labels")?.into_iter().collect(),
        rename_labels: instance.text_map("rename_labels")?.into_iter().collect(),
        line_filters: instance.regexes("raw_line_filters")?,
        static_tags,
        health: instance.flag_or("enable_health_service_check", true)?,
        ignore_connection_errors: instance.flag_or("ignore_connection_errors", false)?,
        hostname_label,
        hostname_format,
        buckets: buckets(instance)?,
        use_latest_spec: instance.flag_or("use_latest_spec", false)?,
        use_process_start_time: instance.flag_or("use_process_start_time", false)?,
        telemetry: instance.flag_or("telemetry", false)?,
    };
    let shared =
        SharedLabels::new(share_rules(instance)?, instance.flag_or("target_info", false)?, instance.flag_or("cache_shared_labels", true)?);
    Ok((options, names(instance, &namespace)?, shared))
}

fn endpoint(instance: Options<'_>) -> Result<(String, Target), LoadError> {
    let key = "openmetrics_endpoint";
    if !instance.has(key) && instance.has("prometheus_url") {
        return Err(instance.error(
            key,
            "the URL of the metrics; `prometheus_url` selects the legacy engine, which is not available in this build: \
             rename the key to openmetrics_endpoint and list counters without their suffix _total",
        ));
    }
    let endpoint = instance.required_text(key, "the URL of the metrics, for example http://localhost:8080/metrics")?;
    let target = Target::parse(&endpoint).map_err(|problem| instance.error(key, format!("a URL ({problem})")))?;
    Ok((endpoint, target))
}

fn exclude_metrics(instance: Options<'_>) -> Result<(HashSet<String>, Vec<Regex>), LoadError> {
    let key = "exclude_metrics";
    let patterns = instance.regexes(key)?;
    let (exact, patterns): (Vec<Regex>, Vec<Regex>) = patterns.into_iter().partition(|pattern| is_exact(pattern.as_str()));
    Ok((exact.iter().map(|name| name.as_str().to_owned()).collect(), patterns))
}

fn exclude_by_labels(instance: Options<'_>) -> Result<HashMap<String, Option<Vec<Regex>>>, LoadError> {
    let key = "exclude_metrics_by_labels";
    let Some(map) = instance.map(key)? else {
        return Ok(HashMap::new());
    };
    let labels = Options::new(map, key);
    map.iter()
        .map(|(label, value)| match value {
            Json::Bool(true) => Ok((label.clone(), None)),
            Json::Array(_) => labels.regexes(label).map(|patterns| (label.clone(), Some(patterns))),
            _ => Err(labels.error(label, "true, or a list of regular expressions")),
        })
        .collect()
}

fn hostname(instance: Options<'_>) -> Result<(String, Option<String>), LoadError> {
    let label = instance.text("hostname_label")?.unwrap_or_default();
    let format = instance.text("hostname_format")?.filter(|format| !format.is_empty() && !label.is_empty());
    if format.as_ref().is_some_and(|format| !format.contains(HOSTNAME_PLACEHOLDER)) {
        return Err(instance.error("hostname_format", format!("a text that contains {HOSTNAME_PLACEHOLDER}")));
    }
    Ok((label, format))
}

fn buckets(instance: Options<'_>) -> Result<Buckets, LoadError> {
    let with_counters = instance.flag_or("collect_counters_with_distributions", false)?;
    let without_bounds = instance.flag_or("collect_histograms_as_distributions", false)?;
    let distributions = instance.flag_or("histogram_buckets_as_distributions", false)?;
    let separate = instance.flag_or("non_cumulative_histogram_buckets", false)?;
    let collect = instance.flag_or("collect_histogram_buckets", true)?;
    Ok(if with_counters || without_bounds || distributions {
        Buckets::Distribution { with_counters, bound_tags: !without_bounds }
    } else if !collect {
        Buckets::Off
    } else if separate {
        Buckets::Separate
    } else {
        Buckets::Cumulative
    })
}

fn share_rules(instance: Options<'_>) -> Result<HashMap<String, ShareRule>, LoadError> {
    let key = "share_labels";
    let Some(map) = instance.map(key)? else {
        return Ok(HashMap::new());
    };
    let metrics = Options::new(map, key);
    map.iter()
        .map(|(metric, value)| match value {
            Json::Bool(true) => Ok((metric.clone(), ShareRule::default())),
            Json::Object(rule) => {
                let path = format!("{key}.{metric}");
                share_rule(Options::new(rule, &path)).map(|rule| (metric.clone(), rule))
            }
            _ => Err(metrics.error(metric, "true, or a mapping with labels, match and values")),
        })
        .collect()
}

fn share_rule(rule: Options<'_>) -> Result<ShareRule, LoadError> {
    let values = if rule.has("values") {
        let texts = rule.texts("values")?;
        let numbers: Result<HashSet<i64>, _> = texts.iter().map(|text| text.trim().parse()).collect();
        Some(numbers.map_err(|_| rule.error("values", "a list of whole numbers"))?)
    } else {
        None
    };
    Ok(ShareRule { labels: rule.texts("labels")?.into_iter().collect(), matching: rule.texts("match")?.into_iter().collect(), values })
}

/// Reads `metrics`, then `extra_metrics`; a later entry for the same name replaces an earlier one in its place.
fn names(instance: Options<'_>, namespace: &str) -> Result<Names, LoadError> {
    let allowed = "a list of names, of mappings from raw to new name, or of mappings from raw name to {name, type}";
    if !instance.has("metrics") && !instance.has("extra_metrics") {
        return Err(instance.error("metrics", allowed));
    }
    let mut entries: Map<String, Json> = Map::new();
    for key in ["metrics", "extra_metrics"] {
        let items = match instance.get(key) {
            None => continue,
            Some(Json::Array(items)) => items,
            Some(_) => return Err(instance.error(key, allowed)),
        };
        for item in items {
            match item {
                Json::Object(map) => entries.extend(map.clone()),
                Json::Null => {}
                other => {
                    let name = scalar_text(other).ok_or_else(|| instance.error(key, allowed))?;
                    entries.insert(name.clone(), Json::String(name));
                }
            }
        }
    }
    let mut exact = Vec::new();
    let mut patterns = Vec::new();
    let all = Options::new(&entries, "metrics");
    for (raw, value) in &entries {
        let wanted = match value {
            Json::String(name) => Wanted { name: name.clone(), treatment: Treatment::Native },
            Json::Object(map) => {
                let path = format!("metrics.{raw}");
                wanted(raw, Options::new(map, &path))?
            }
            _ => return Err(all.error(raw, "a name, or a mapping with name and type")),
        };
        if is_exact(raw) {
            exact.push((raw.clone(), wanted));
        } else {
            let pattern = compile(raw).map_err(|problem| all.error(raw, format!("a name or a regular expression ({problem})")))?;
            patterns.push((pattern, wanted.treatment));
        }
    }
    Ok(Names::new(namespace, exact, patterns, instance.flag_or("cache_metric_wildcards", true)?))
}

fn wanted(raw: &str, entry: Options<'_>) -> Result<Wanted, LoadError> {
    let name = entry.text("name")?.unwrap_or_else(|| raw.to_owned());
    let treatment = match entry.text("type")?.as_deref() {
        None | Some("native") => Treatment::Native,
        Some("native_dynamic") => Treatment::NativeDynamic,
        Some("counter") => Treatment::Counter,
        Some("gauge") => Treatment::Gauge,
        Some("histogram") => Treatment::Histogram,
        Some("summary") => Treatment::Summary,
        Some("counter_gauge") => Treatment::CounterGauge,
        Some("rate") => Treatment::Rate,
        Some("time_elapsed") => Treatment::TimeElapsed,
        Some("service_check") => Treatment::ServiceCheck(status_map(entry)?),
        Some("temporal_percent") => Treatment::TemporalPercent(scale(entry)?),
        Some("metadata") => {
            entry.required_text("label", "the label that holds the value")?;
            Treatment::Metadata
        }
        Some(_) => {
            let allowed = "counter, counter_gauge, gauge, histogram, metadata, native, native_dynamic, rate, service_check, summary, \
                           temporal_percent or time_elapsed";
            return Err(entry.error("type", allowed));
        }
    };
    Ok(Wanted { name, treatment })
}

fn status_map(entry: Options<'_>) -> Result<HashMap<i64, ServiceStatus>, LoadError> {
    let allowed = "a mapping from whole numbers to ok, warning, critical or unknown";
    let pairs = entry.text_map("status_map")?;
    let parse = |(value, status): (String, String)| {
        let status = match status.to_ascii_lowercase().as_str() {
            "ok" => ServiceStatus::Ok,
            "warning" => ServiceStatus::Warning,
            "critical" => ServiceStatus::Critical,
            "unknown" => ServiceStatus::Unknown,
            _ => return None,
        };
        Some((value.trim().parse().ok()?, status))
    };
    let map: Option<HashMap<i64, ServiceStatus>> = pairs.into_iter().map(parse).collect();
    map.filter(|map| !map.is_empty()).ok_or_else(|| entry.error("status_map", allowed))
}

/// Parts of a second the values count in.
fn scale(entry: Options<'_>) -> Result<f64, LoadError> {
    let parts = match entry.get("scale") {
        Some(Json::String(unit)) => match unit.to_ascii_lowercase().as_str() {
            "second" => Some(1.0),
            "millisecond" => Some(1e3),
            "microsecond" => Some(1e6),
            "nanosecond" => Some(1e9),
            _ => None,
        },
        Some(Json::Number(number)) => number.as_i64().map(|number| number as f64),
        _ => None,
    };
    parts
        .filter(|&parts| parts > 0.0)
        .ok_or_else(|| entry.error("scale", "second, millisecond, microsecond, nanosecond, or the number of parts of a second"))
}

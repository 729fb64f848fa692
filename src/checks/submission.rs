//! Collects what one run submits and applies the keys common to all checks. Source: node-runner 9.

use std::collections::HashSet;

use muster_actors::domain::samples::{BucketSample, RunSamples, Sample, SampleKind, ServiceCheck, ServiceStatus};
use muster_actors::ports::RunReport;

use super::common::CommonKeys;
use super::options::found;

/// Tag keys that `disable_generic_tags` puts the check name in front of.
const GENERIC_TAGS: [&str; 11] =
    ["cluster_name", "clustername", "cluster", "clusterid", "cluster_id", "env", "host_name", "hostname", "host", "service", "version"];

/// Everything one run has submitted so far.
pub(crate) struct Submission<'a> {
    keys: &'a CommonKeys,
    samples: RunSamples,
    warnings: Vec<String>,
    /// Metrics counted against the limit.
    returned: u64,
    /// Contexts of kinds that may repeat within a run; they count once.
    contexts: HashSet<(SampleKind, String, Vec<String>, Option<String>)>,
    limit_reached: bool,
}

impl<'a> Submission<'a> {
    /// Starts a run.
    pub(crate) fn new(keys: &'a CommonKeys) -> Self {
        Self {
            keys,
            samples: RunSamples::default(),
            warnings: keys.warning.iter().cloned().collect(),
            returned: 0,
            contexts: HashSet::new(),
            limit_reached: false,
        }
    }

    /// Whether further metrics would be dropped, so that their tags need not be built.
    pub(crate) fn is_full(&self) -> bool {
        self.limit_reached
    }

    /// Submits a number that is no running total.
    pub(crate) fn metric(&mut self, kind: SampleKind, name: &str, value: f64, tags: Vec<String>, host: Option<String>) {
        self.submit(kind, name, value, tags, host, false);
    }

    /// Submits a gauge of the agent's own host.
    pub(crate) fn gauge(&mut self, name: &str, value: f64, tags: Vec<String>) {
        self.submit(SampleKind::Gauge, name, value, tags, None, false);
    }

    /// Submits a running total.
    pub(crate) fn monotonic_count(&mut self, name: &str, value: f64, tags: Vec<String>, host: Option<String>, flush_first_value: bool) {
        self.submit(SampleKind::MonotonicCount, name, value, tags, host, flush_first_value);
    }

    fn submit(&mut self, kind: SampleKind, name: &str, value: f64, tags: Vec<String>, host: Option<String>, flush_first_value: bool) {
        if self.limit_reached || !self.is_wanted(name) {
            return;
        }
        let tags = self.finish_tags(tags);
        if !self.count_metric(kind, name, &tags, host.as_deref()) {
            return;
        }
        let no_index = self.keys.no_index;
        self.samples.samples.push(Sample { name: name.to_owned(), kind, value, tags, host, flush_first_value, no_index });
    }

    /// Submits a histogram bucket. Buckets do not count against the limit.
    pub(crate) fn bucket(&mut self, mut bucket: BucketSample) {
        if self.is_wanted(&bucket.name) {
            bucket.tags = self.finish_tags(std::mem::take(&mut bucket.tags));
            self.samples.buckets.push(bucket);
        }
    }

    /// Submits a service check; neither patterns nor the limit apply.
    pub(crate) fn service_check(&mut self, name: &str, status: ServiceStatus, tags: Vec<String>, host: Option<String>, message: String) {
        let tags = self.finish_tags(tags);
        self.samples.service_checks.push(ServiceCheck { name: name.to_owned(), status, tags, host, message });
    }

    /// Adds a text for the operator.
    pub(crate) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// Ends the run.
    pub(crate) fn finish(self, error: Option<String>) -> RunReport {
        RunReport { samples: self.samples, warnings: self.warnings, error }
    }

    fn is_wanted(&self, name: &str) -> bool {
        let CommonKeys { include, exclude, .. } = self.keys;
        !exclude.iter().any(|pattern| found(pattern, name)) && (include.is_empty() || include.iter().any(|pattern| found(pattern, name)))
    }

    fn finish_tags(&self, mut tags: Vec<String>) -> Vec<String> {
        if self.keys.disable_generic_tags {
            for tag in &mut tags {
                let key = tag.split_once(':').map_or(tag.as_str(), |(key, _)| key);
                if GENERIC_TAGS.contains(&key) {
                    *tag = format!("{}_{tag}", self.keys.check_name);
                }
            }
        }
        if let Some(service) = &self.keys.service {
            tags.push(format!("service:{service}"));
        }
        tags
    }

    /// Counts a metric against the limit, `false` when it must be dropped.
    fn count_metric(&mut self, kind: SampleKind, name: &str, tags: &[String], host: Option<&str>) -> bool {
        let Some(limit) = self.keys.max_returned_metrics else {
            return true;
        };
        let may_repeat = !matches!(kind, SampleKind::Gauge | SampleKind::Rate | SampleKind::MonotonicCount);
        if may_repeat && !self.contexts.insert((kind, name.to_owned(), tags.to_vec(), host.map(str::to_owned))) {
            return true;
        }
        if self.returned == limit {
            self.limit_reached = true;
            self.warn(format!("Check {} exceeded limit of {limit} metrics, ignoring next ones", self.keys.check_name));
            return false;
        }
        self.returned += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::options::Options;
    use super::*;

    fn keys(instance: serde_json::Value, default_limit: Option<u64>) -> CommonKeys {
        let init = json!({"service": "from-init"});
        CommonKeys::read(
            "hello",
            Options::new(instance.as_object().unwrap(), ""),
            Options::new(init.as_object().unwrap(), "init_config"),
            default_limit,
        )
        .unwrap()
    }

    #[test]
    fn nr_t21_generic_tags_carry_the_check_name() {
        let keys = keys(json!({"disable_generic_tags": true, "service": "mine"}), None);
        let mut run = Submission::new(&keys);
        run.gauge("hello.world", 1.0, vec!["env:x".into(), "other:y".into(), "host".into()]);
        let report = run.finish(None);
        assert_eq!(report.samples.samples[0].tags, ["hello_env:x", "other:y", "hello_host", "service:mine"]);
    }

    #[test]
    fn nr_t22_metric_patterns_filter_metrics_only() {
        let keys = keys(json!({"metric_patterns": {"include": ["^hello\\.w"], "exclude": ["wide"]}}), None);
        let mut run = Submission::new(&keys);
        for name in ["hello.world", "hello.there", "hello.wide"] {
            run.gauge(name, 1.0, Vec::new());
        }
        run.service_check("hello.there", ServiceStatus::Ok, Vec::new(), None, String::new());
        let report = run.finish(None);
        assert_eq!(report.samples.samples.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>(), ["hello.world"]);
        assert_eq!(report.samples.service_checks.len(), 1);
        assert_eq!(report.samples.service_checks[0].tags, ["service:from-init"]);
    }

    #[test]
    fn the_limit_cuts_metrics_and_says_so_once() {
        let keys = keys(json!({"max_returned_metrics": 2}), None);
        let mut run = Submission::new(&keys);
        for _ in 0..3 {
            run.metric(SampleKind::Count, "same", 1.0, Vec::new(), None);
        }
        assert!(!run.is_full());
        for _ in 0..3 {
            run.gauge("each counts", 1.0, Vec::new());
        }
        assert!(run.is_full());
        let report = run.finish(None);
        assert_eq!(report.samples.samples.len(), 4);
        assert_eq!(report.warnings, ["Check hello exceeded limit of 2 metrics, ignoring next ones"]);
    }

    #[test]
    fn a_limit_of_zero_falls_back_to_the_default() {
        let keys = keys(json!({"max_returned_metrics": 0}), Some(2000));
        assert_eq!(keys.max_returned_metrics, Some(2000));
        assert!(Submission::new(&keys).finish(None).warnings[0].contains("not allowed"));
    }
}

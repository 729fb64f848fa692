//! Values that are filled at scrape, so that what is gone leaves no series behind.

use std::collections::BTreeMap;

use muster_actors::domain::durations::Durations;
use prometheus::proto;
use prometheus::proto::MetricType;

use super::metrics::{Metric, MetricKind, MetricSpec};

/// Values of one scrape.
#[derive(Default)]
pub struct Scrape {
    /// By metric and label values, in the order of the metric's labels.
    series: BTreeMap<Metric, BTreeMap<Vec<String>, Value>>,
}

enum Value {
    Number(f64),
    Histogram(proto::Histogram),
}

impl Scrape {
    /// Sets a gauge or counter. `labels` are the values of the metric's labels, in their order; of the same series the last value counts.
    ///
    /// A counter takes its value since the start of what counts.
    pub fn set(&mut self, metric: Metric, labels: &[&str], value: f64) {
        if let Some(place) = self.number(metric, labels) {
            *place = value;
        }
    }

    /// Adds to a gauge or counter; a series that is not there yet begins at 0.
    pub fn add(&mut self, metric: Metric, labels: &[&str], value: f64) {
        if let Some(place) = self.number(metric, labels) {
            *place += value;
        }
    }

    /// Sets a histogram whose buckets are those of [`Durations`].
    pub fn set_durations(&mut self, metric: Metric, labels: &[&str], durations: &Durations) {
        let fits = matches!(metric.spec().kind, MetricKind::Histogram { .. }) && metric.spec().labels.len() == labels.len();
        debug_assert!(fits, "{metric:?} is no histogram with {} labels", labels.len());
        if fits {
            let mut histogram = proto::Histogram::default();
            histogram.set_sample_count(durations.count());
            histogram.set_sample_sum(durations.sum().as_secs_f64());
            histogram.set_bucket(durations.cumulative().map(bucket).collect());
            self.series.entry(metric).or_default().insert(owned(labels), Value::Histogram(histogram));
        }
    }

    fn number(&mut self, metric: Metric, labels: &[&str]) -> Option<&mut f64> {
        let spec = metric.spec();
        let fits = !matches!(spec.kind, MetricKind::Histogram { .. }) && spec.labels.len() == labels.len();
        debug_assert!(fits, "{} is filled with other labels than {:?}, or is a histogram", spec.name, spec.labels);
        if !fits {
            return None;
        }
        match self.series.entry(metric).or_default().entry(owned(labels)).or_insert(Value::Number(0.0)) {
            Value::Number(place) => Some(place),
            Value::Histogram(_) => None,
        }
    }

    pub(super) fn families(self) -> impl Iterator<Item = proto::MetricFamily> {
        self.series.into_iter().map(|(metric, series)| {
            let spec = metric.spec();
            let mut family = proto::MetricFamily::default();
            family.set_name(spec.name.to_owned());
            family.set_help(spec.help.to_owned());
            family.set_field_type(match spec.kind {
                MetricKind::Counter => MetricType::COUNTER,
                MetricKind::Gauge => MetricType::GAUGE,
                MetricKind::Histogram { .. } => MetricType::HISTOGRAM,
            });
            family.set_metric(series.into_iter().map(|(labels, value)| one(&spec, labels, value)).collect());
            family
        })
    }
}

fn owned(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn bucket((bound, count): (f64, u64)) -> proto::Bucket {
    let mut bucket = proto::Bucket::default();
    bucket.set_upper_bound(bound);
    bucket.set_cumulative_count(count);
    bucket
}

fn one(spec: &MetricSpec, values: Vec<String>, value: Value) -> proto::Metric {
    let mut labels: Vec<(&str, String)> = spec.labels.iter().copied().zip(values).collect();
    // As recorded metrics are written: by name.
    labels.sort_unstable();
    let pair = |(name, value): (&str, String)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    };
    let mut metric = proto::Metric::from_label(labels.into_iter().map(pair).collect());
    match value {
        Value::Histogram(histogram) => metric.set_histogram(histogram),
        Value::Number(number) if spec.kind == MetricKind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        }
        Value::Number(number) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
    }
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Metrics;

    fn rendered(fill: impl Fn(&mut Scrape) + Send + Sync + 'static) -> String {
        let metrics = Metrics::new();
        metrics.add_source(fill);
        metrics.render()
    }

    #[test]
    fn counters_gauges_and_histograms_say_what_they_are() {
        let text = rendered(|scrape| {
            scrape.set(Metric::OutputRetries, &["a"], 9.0);
            scrape.set(Metric::OutputRetries, &["a"], 2.0);
            scrape.add(Metric::OutputRetries, &["a"], 3.0);
            scrape.set(Metric::OutputQueuedBytes, &["a"], 1.0);
            let mut durations = Durations::default();
            durations.record(Duration::from_millis(300));
            scrape.set_durations(Metric::CheckExecution, &["http_check"], &durations);
        });
        for line in [
            "# TYPE muster_output_retries_total counter",
            "muster_output_retries_total{output=\"a\"} 5",
            "# TYPE muster_output_queued_bytes gauge",
            "# TYPE check_execution_seconds histogram",
            "check_execution_seconds_bucket{check=\"http_check\",le=\"0.25\"} 0",
            "check_execution_seconds_bucket{check=\"http_check\",le=\"0.5\"} 1",
            "check_execution_seconds_bucket{check=\"http_check\",le=\"+Inf\"} 1",
            "check_execution_seconds_sum{check=\"http_check\"} 0.3",
            "check_execution_seconds_count{check=\"http_check\"} 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
        }
    }

    #[test]
    #[should_panic(expected = "muster_output_retries_total is filled with other labels than [\"output\"]")]
    fn a_wrong_number_of_labels_is_noticed_in_tests() {
        Scrape::default().set(Metric::OutputRetries, &[], 1.0);
    }
}

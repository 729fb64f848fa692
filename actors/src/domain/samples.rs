//! What a check submits during a run, and what is flushed to outputs.

use serde::{Deserialize, Serialize};

/// Submission type of a sample. Source: node-runner 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleKind {
    /// Last value wins.
    Gauge,
    /// Difference per second between runs.
    Rate,
    /// Sum since the last commit.
    Count,
    /// Sum of positive differences.
    MonotonicCount,
    /// Sum divided by the interval (1 for checks).
    Counter,
    /// Aggregates and percentiles of the run's samples.
    Histogram,
    /// Rate per sample, then histogram.
    Historate,
}

/// One call of a check: a number with name, tags and host.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name as the check gave it.
    pub name: String,
    /// Submission type.
    pub kind: SampleKind,
    /// The number; not finite values are dropped by the sampler.
    pub value: f64,
    /// Tags in submission order, `key:value` or a bare word.
    pub tags: Vec<String>,
    /// Explicit host; `None` = the agent's host, unless the instance has `empty_default_hostname`.
    pub host: Option<String>,
    /// For `MonotonicCount`: whether the very first value counts as it is.
    pub flush_first_value: bool,
    /// Whether the series is marked `no_index`.
    pub no_index: bool,
}

/// A histogram bucket, interpolated into a distribution. Source: node-runner 9 and 14.5.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSample {
    /// Metric name.
    pub name: String,
    /// Number of observations in the bucket.
    pub value: i64,
    /// Lower bound, inclusive.
    pub lower: f64,
    /// Upper bound; infinity allowed.
    pub upper: f64,
    /// Whether `value` is a running total.
    pub monotonic: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Explicit host.
    pub host: Option<String>,
    /// Whether the first running total counts as it is.
    pub flush_first_value: bool,
}

/// State a service check reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum ServiceStatus {
    /// 0.
    Ok = 0,
    /// 1.
    Warning = 1,
    /// 2.
    Critical = 2,
    /// 3.
    Unknown = 3,
}

/// A named state with a message.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceCheck {
    /// Name, for example `http.can_connect`.
    pub name: String,
    /// State.
    pub status: ServiceStatus,
    /// Tags.
    pub tags: Vec<String>,
    /// Explicit host, as in [`Sample::host`].
    pub host: Option<String>,
    /// Text for people; empty when all is well.
    pub message: String,
}

/// Something that happened, for the event stream. Source: node-runner 14.4.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Title.
    pub title: String,
    /// Text.
    pub text: String,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    /// `normal` or `low`.
    pub priority: String,
    /// Host, may be empty.
    pub host: String,
    /// Tags.
    pub tags: Vec<String>,
    /// `info`, `warning`, `error` or `success`.
    pub alert_type: String,
    /// Key that groups events.
    pub aggregation_key: String,
    /// Source, the grouping key of the payload.
    pub source_type_name: String,
    /// Event type.
    pub event_type: String,
}

/// Everything one run submitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSamples {
    /// Numbers, in submission order.
    pub samples: Vec<Sample>,
    /// Histogram buckets.
    pub buckets: Vec<BucketSample>,
    /// Service checks.
    pub service_checks: Vec<ServiceCheck>,
    /// Events.
    pub events: Vec<Event>,
}

/// Type of a flushed series as the intake knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesKind {
    /// A value at a time.
    Gauge,
    /// Per second.
    Rate,
    /// A sum over an interval.
    Count,
}

/// One flushed series with its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Metric name as submitted.
    pub name: String,
    /// (seconds since the Unix epoch, value).
    pub points: Vec<(i64, f64)>,
    /// Sorted, without duplicates.
    pub tags: Vec<String>,
    /// Host, may be empty.
    pub host: String,
    /// Type.
    pub kind: SeriesKind,
    /// Seconds; 0 for checks.
    pub interval: i64,
    /// Source type, `System` for checks.
    pub source_type_name: String,
    /// Whether the series is marked `no_index`.
    pub no_index: bool,
}

/// A distribution flushed for one context at one time, as a DDSketch. Source: node-runner 14.5.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchSeries {
    /// Metric name.
    pub name: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Host, may be empty.
    pub host: String,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    /// Number of values.
    pub count: i64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean value.
    pub average: f64,
    /// Sum of values.
    pub sum: f64,
    /// (bin key, number of values), ascending by key.
    pub bins: Vec<(i32, u32)>,
}

/// A service check with its time, ready for an output.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRun {
    /// Name.
    pub name: String,
    /// Host, may be empty.
    pub host: String,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    /// State.
    pub status: ServiceStatus,
    /// Message.
    pub message: String,
    /// Tags.
    pub tags: Vec<String>,
}

/// What one flush hands to every output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Series.
    pub series: Vec<Series>,
    /// Distributions.
    pub sketches: Vec<SketchSeries>,
    /// Service checks.
    pub check_runs: Vec<CheckRun>,
    /// Events.
    pub events: Vec<Event>,
    /// What a process tells about itself: JSON documents, each a body of its own. Not counted as items: the next one replaces it.
    pub metadata: Vec<String>,
}

impl Batch {
    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
            && self.sketches.is_empty()
            && self.check_runs.is_empty()
            && self.events.is_empty()
            && self.metadata.is_empty()
    }

    /// Gives everything the tags of the process, and puts tags in order, each once.
    ///
    /// That is how a stock cluster agent sends them, whatever order its checks gave them.
    pub fn settle_tags(&mut self, global: &[String]) {
        let series = self.series.iter_mut().map(|series| &mut series.tags);
        let sketches = self.sketches.iter_mut().map(|sketch| &mut sketch.tags);
        let check_runs = self.check_runs.iter_mut().map(|run| &mut run.tags);
        let events = self.events.iter_mut().map(|event| &mut event.tags);
        for tags in series.chain(sketches).chain(check_runs).chain(events) {
            tags.extend_from_slice(global);
            tags.sort_unstable();
            tags.dedup();
        }
    }
}

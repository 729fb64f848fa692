//! Turns families into submissions. Source: node-runner 10.6, native type handling.

use std::borrow::Cow;
use std::collections::HashMap;

use muster_actors::domain::samples::{BucketSample, SampleKind, ServiceStatus};

use super::super::normalize::canonical_number;
use super::super::submission::Submission;
use super::labels::SharedLabels;
use super::names::Treatment;
use super::options::{Buckets, ScrapeOptions};
use super::parser::{Family, FamilyKind, FamilySample, Label, Role};

/// Label of a bucket's upper bound as targets write it.
const BOUND_LABEL: &str = "le";

/// Everything that families of one scrape have in common.
pub(super) struct Transform<'a, 'keys> {
    pub(super) options: &'a ScrapeOptions,
    pub(super) shared: &'a SharedLabels,
    pub(super) run: &'a mut Submission<'keys>,
    pub(super) flush_first_value: bool,
    /// Seconds since the Unix epoch.
    pub(super) now: f64,
    /// Samples that passed all filters.
    pub(super) processed: u64,
}

/// A sample with its tags.
struct Prepared {
    role: Role,
    value: f64,
    tags: Vec<String>,
    host: Option<String>,
    /// Upper bound, for buckets.
    upper: Option<f64>,
}

/// Labels without the bound: what the buckets of one histogram have in common.
type BucketContext<'a> = Vec<Label<'a>>;

impl Transform<'_, '_> {
    /// Submits a family under its full name.
    pub(super) fn family(&mut self, family: &Family<'_>, name: &str, treatment: &Treatment) {
        let sends_metrics = match treatment {
            Treatment::Metadata => return,
            Treatment::ServiceCheck(_) => false,
            Treatment::Histogram => !matches!(self.options.buckets, Buckets::Distribution { .. }),
            _ => true,
        };
        // Beyond the limit nothing would be kept, so nothing is built.
        if sends_metrics && self.run.is_full() && !self.options.telemetry {
            return;
        }
        if *treatment == Treatment::Histogram && matches!(self.options.buckets, Buckets::Separate | Buckets::Distribution { .. }) {
            self.separate_histogram(family, name);
            return;
        }
        let names =
            [format!("{name}.sum"), format!("{name}.count"), format!("{name}.bucket"), format!("{name}.quantile"), format!("{name}.total")];
        for sample in family.samples.iter().filter(|sample| sample.role != Role::Created) {
            let Some((prepared, _)) = self.prepare(family, sample) else {
                continue;
            };
            self.submit(prepared, name, &names, treatment);
        }
    }

    fn submit(&mut self, sample: Prepared, name: &str, [sum, count, bucket, quantile, total]: &[String; 5], treatment: &Treatment) {
        let Prepared { role, value, tags, host, upper } = sample;
        let flush = self.flush_first_value;
        match treatment {
            Treatment::Counter => self.run.monotonic_count(count, value, tags, host, flush),
            Treatment::Gauge => self.run.metric(SampleKind::Gauge, name, value, tags, host),
            Treatment::Rate => self.run.metric(SampleKind::Rate, name, value, tags, host),
            Treatment::TimeElapsed => self.run.metric(SampleKind::Gauge, name, self.now - value, tags, host),
            Treatment::TemporalPercent(scale) => self.run.metric(SampleKind::Rate, name, value / scale * 100.0, tags, host),
            Treatment::CounterGauge => {
                self.run.metric(SampleKind::Gauge, total, value, tags.clone(), host.clone());
                self.run.monotonic_count(count, value, tags, host, flush);
            }
            Treatment::ServiceCheck(states) => {
                let status = states.get(&(value as i64)).copied().unwrap_or(ServiceStatus::Unknown);
                self.run.service_check(name, status, self.options.static_tags.clone(), host, String::new());
            }
            Treatment::Summary => match role {
                Role::Sum => self.run.monotonic_count(sum, value, tags, host, flush),
                Role::Count => self.run.monotonic_count(count, value, tags, host, flush),
                _ => self.run.metric(SampleKind::Gauge, quantile, value, tags, host),
            },
            Treatment::Histogram => match role {
                Role::Sum => self.run.monotonic_count(sum, value, tags, host, flush),
                Role::Count => self.run.monotonic_count(count, value, tags, host, flush),
                // The bucket without end is the count.
                Role::Bucket if self.options.buckets == Buckets::Cumulative && upper.is_some_and(f64::is_finite) => {
                    self.run.monotonic_count(bucket, value, tags, host, flush);
                }
                _ => {}
            },
            Treatment::Native | Treatment::NativeDynamic | Treatment::Metadata => {}
        }
    }

    /// Sends a histogram with each bucket counted by itself, as totals or as distributions.
    fn separate_histogram(&mut self, family: &Family<'_>, name: &str) {
        let mut samples: Vec<(Prepared, usize)> = Vec::with_capacity(family.samples.len());
        let mut contexts: HashMap<BucketContext<'_>, usize> = HashMap::new();
        let mut histograms: Vec<Vec<(f64, f64)>> = Vec::new();
        for sample in family.samples.iter().filter(|sample| sample.role != Role::Created) {
            let Some((prepared, context)) = self.prepare(family, sample) else {
                continue;
            };
            let mut histogram = 0;
            if let (Role::Bucket, Some(upper)) = (prepared.role, prepared.upper) {
                let next = histograms.len();
                histogram = *contexts.entry(context).or_insert(next);
                if histogram == next {
                    histograms.push(Vec::new());
                }
                histograms[histogram].push((upper, prepared.value));
            }
            samples.push((prepared, histogram));
        }
        for histogram in &mut histograms {
            histogram.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        }
        let (sum, count, bucket) = (format!("{name}.sum"), format!("{name}.count"), format!("{name}.bucket"));
        let counters = !matches!(self.options.buckets, Buckets::Distribution { with_counters: false, .. });
        let flush = self.flush_first_value;
        for (sample, histogram) in samples {
            match (sample.role, sample.upper) {
                (Role::Sum, _) if counters => self.run.monotonic_count(&sum, sample.value, sample.tags, sample.host, flush),
                (Role::Count, _) if counters => self.run.monotonic_count(&count, sample.value, sample.tags, sample.host, flush),
                (Role::Bucket, Some(upper)) => {
                    let (lower, value) = difference(&histograms[histogram], upper);
                    self.separate_bucket(sample, name, &bucket, (lower, upper), value);
                }
                _ => {}
            }
        }
    }

    fn separate_bucket(&mut self, sample: Prepared, name: &str, bucket: &str, (lower, upper): (f64, f64), value: f64) {
        let Prepared { mut tags, host, .. } = sample;
        let distribution = matches!(self.options.buckets, Buckets::Distribution { .. });
        if !matches!(self.options.buckets, Buckets::Distribution { bound_tags: false, .. }) {
            tags.push(format!("lower_bound:{}", canonical_number(lower)));
        }
        if !distribution {
            if upper.is_finite() {
                self.run.monotonic_count(bucket, value, tags, host, self.flush_first_value);
            }
        } else if lower.is_finite() || lower < upper {
            self.run.bucket(BucketSample {
                name: name.to_owned(),
                value: value as i64,
                lower,
                upper,
                monotonic: true,
                tags,
                host,
                flush_first_value: self.flush_first_value,
            });
        }
    }

    /// Tags and host of a sample, `None` when it is not to be sent. Also the labels that buckets of one histogram share.
    fn prepare<'f>(&mut self, family: &'f Family<'_>, sample: &FamilySample) -> Option<(Prepared, BucketContext<'f>)>
    where
        Self: 'f,
    {
        if !sample.value.is_finite() {
            return None;
        }
        let mut labels: Vec<Label<'_>> =
            family.labels(sample).iter().map(|(name, value)| (Cow::Borrowed(name.as_ref()), Cow::Borrowed(value.as_ref()))).collect();
        if self.shared.is_configured() {
            self.shared.populate(&mut labels);
        }
        let upper = normalize(&mut labels, family.kind);
        let options = self.options;
        let bound_tags = !matches!(options.buckets, Buckets::Distribution { bound_tags: false, .. });
        let mut tags = Vec::with_capacity(labels.len() + options.static_tags.len() + 1);
        let mut host = None;
        for (name, value) in &labels {
            if options.excludes_sample(name, value) {
                return None;
            }
            if host.is_none() {
                host = options.host(name, value);
            }
            let is_bound = upper.is_some() && name == "upper_bound";
            if let Some(key) = options.tag_key(name).filter(|_| bound_tags || !is_bound) {
                tags.push([key, value].join(":"));
            }
        }
        tags.extend(options.static_tags.iter().cloned());
        self.processed += 1;
        let context = if upper.is_some() { context(labels) } else { Vec::new() };
        Some((Prepared { role: sample.role, value: sample.value, tags, host, upper }, context))
    }
}

/// Renders bounds and quantiles as numbers; the bound moves to the end as `upper_bound` and is returned.
fn normalize(labels: &mut Vec<Label<'_>>, kind: FamilyKind) -> Option<f64> {
    match kind {
        FamilyKind::Histogram => {
            let position = labels.iter().position(|(name, _)| name == BOUND_LABEL)?;
            let (_, text) = labels.remove(position);
            let bound = text.parse::<f64>().ok().filter(|bound| !bound.is_nan());
            labels.push((Cow::Borrowed("upper_bound"), bound.map_or(text, |bound| Cow::Owned(canonical_number(bound)))));
            bound
        }
        FamilyKind::Summary => {
            let (_, text) = labels.iter_mut().find(|(name, _)| name == "quantile")?;
            if let Ok(number) = text.parse::<f64>() {
                *text = Cow::Owned(canonical_number(number));
            }
            None
        }
        _ => None,
    }
}

fn context(mut labels: Vec<Label<'_>>) -> BucketContext<'_> {
    labels.pop();
    labels.sort();
    labels
}

/// Lower bound and own value of the bucket that ends at `upper`; `buckets` are cumulative and sorted.
fn difference(buckets: &[(f64, f64)], upper: f64) -> (f64, f64) {
    let start = buckets.partition_point(|(bound, _)| bound.total_cmp(&upper).is_lt());
    let end = buckets.partition_point(|(bound, _)| bound.total_cmp(&upper).is_le());
    // A bound that was sent twice counts with its last value.
    let value = buckets.get(end.saturating_sub(1)).map_or(0.0, |(_, value)| *value);
    match start.checked_sub(1).and_then(|previous| buckets.get(previous)) {
        Some((lower, before)) => (*lower, value - before),
        None if upper >= 0.0 => (0.0, value),
        None => (f64::NEG_INFINITY, value),
    }
}

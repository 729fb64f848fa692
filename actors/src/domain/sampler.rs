//! Series of one check: samples go in, a commit at the end of each run flushes them. Source: node-runner 9.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::sample_state::{HistogramPolicy, SampleState};
use crate::domain::samples::{Batch, BucketSample, CheckRun, RunSamples, Sample, SampleKind, Series, ServiceCheck, SketchSeries};
use crate::domain::sketch::Sketch;

/// Commits without a sample after which a series without memory is forgotten.
const STATELESS_COMMITS: u64 = 2;
/// Time without a sample after which a series with memory is forgotten.
///
/// Source: `check_sampler_stateful_metric_expiration_time`.
const STATEFUL_EXPIRATION: Duration = Duration::from_secs(25 * 3600);
/// Source type of everything that comes from checks.
const SOURCE_TYPE: &str = "System";

/// When a run ended, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunTime {
    /// For differences: rates and expiry.
    pub monotonic: Duration,
    /// For the points, seconds since the Unix epoch.
    pub unix_seconds: i64,
}

/// Name, host and tags: what makes a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Context {
    name: String,
    kind: SampleKind,
    host: String,
    tags: Vec<String>,
}

#[derive(Debug, Clone)]
struct Tracked {
    state: SampleState,
    no_index: bool,
    seen_at: Duration,
    seen_in_commit: u64,
}

/// A bucket of a distribution; bounds are kept as bits so that they can be a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct BucketContext {
    name: String,
    host: String,
    tags: Vec<String>,
    lower_bits: u64,
    upper_bits: u64,
}

/// Series of one check id.
#[derive(Debug, Clone, Default)]
pub struct Sampler {
    histograms: HistogramPolicy,
    series: BTreeMap<Context, Tracked>,
    sketches: BTreeMap<(String, String, Vec<String>), Sketch>,
    /// Last running total of each monotonic bucket and when it was seen.
    running_totals: BTreeMap<BucketContext, (i64, Duration)>,
    commits: u64,
}

impl Sampler {
    /// Starts without any series.
    #[must_use]
    pub fn new(histograms: HistogramPolicy) -> Self {
        Self { histograms, ..Self::default() }
    }

    /// Takes a sample. Its tags must be sorted and unique, its host settled (`CheckOptions::apply` does both). Not finite values are dropped.
    pub fn add(&mut self, sample: Sample, at: RunTime) {
        if !sample.value.is_finite() {
            return;
        }
        let context = Context { name: sample.name, kind: sample.kind, host: sample.host.unwrap_or_default(), tags: sample.tags };
        let commits = self.commits;
        let tracked = self.series.entry(context).or_insert_with(|| Tracked {
            state: SampleState::new(sample.kind),
            no_index: sample.no_index,
            seen_at: at.monotonic,
            seen_in_commit: commits,
        });
        tracked.state.add(at.monotonic, sample.value, sample.flush_first_value);
        (tracked.no_index, tracked.seen_at, tracked.seen_in_commit) = (sample.no_index, at.monotonic, commits);
    }

    /// Takes a histogram bucket. Negative numbers and reversed or undefined bounds are dropped; false then.
    pub fn add_bucket(&mut self, bucket: BucketSample, at: RunTime) -> bool {
        let in_order = bucket.lower <= bucket.upper && bucket.lower.is_finite();
        if bucket.value < 0 || !in_order {
            return false;
        }
        let host = bucket.host.clone().unwrap_or_default();
        let count = if bucket.monotonic { self.increase(&bucket, &host, at) } else { bucket.value };
        if let Some(count) = u64::try_from(count).ok().filter(|count| *count > 0) {
            self.sketches.entry((bucket.name, host, bucket.tags)).or_default().add_interpolated(bucket.lower, bucket.upper, count);
        }
        true
    }

    /// Ends a run: flushes every series that has something, and forgets what has not been seen for long.
    pub fn commit(&mut self, at: RunTime) -> (Vec<Series>, Vec<SketchSeries>) {
        let mut flushed = Vec::new();
        for (context, tracked) in &mut self.series {
            for value in tracked.state.flush(&self.histograms) {
                if value.value.is_finite() {
                    flushed.push(Series {
                        name: format!("{}{}", context.name, value.suffix),
                        points: vec![(at.unix_seconds, value.value)],
                        tags: context.tags.clone(),
                        host: context.host.clone(),
                        kind: value.kind,
                        interval: 0,
                        source_type_name: SOURCE_TYPE.to_owned(),
                        no_index: tracked.no_index,
                    });
                }
            }
        }
        let sketches = std::mem::take(&mut self.sketches);
        let sketches = sketches.into_iter().map(|((name, host, tags), sketch)| to_series(name, host, tags, &sketch, at)).collect();
        self.forget_old(at);
        (flushed, sketches)
    }

    /// Takes everything a run submitted and commits it. Also returns how many histogram buckets were refused.
    pub fn take_run(&mut self, run: RunSamples, at: RunTime) -> (Batch, usize) {
        for sample in run.samples {
            self.add(sample, at);
        }
        let refused = run.buckets.into_iter().map(|bucket| self.add_bucket(bucket, at)).filter(|taken| !taken).count();
        let (series, sketches) = self.commit(at);
        let check_runs = run.service_checks.into_iter().map(|service_check| check_run(service_check, at)).collect();
        let mut events = run.events;
        for event in events.iter_mut().filter(|event| event.timestamp == 0) {
            event.timestamp = at.unix_seconds;
        }
        (Batch { series, sketches, check_runs, events, ..Batch::default() }, refused)
    }

    /// Growth of a running total since it was last seen; 0 when there is nothing to count.
    fn increase(&mut self, bucket: &BucketSample, host: &str, at: RunTime) -> i64 {
        if bucket.value == 0 {
            return 0;
        }
        let key = BucketContext {
            name: bucket.name.clone(),
            host: host.to_owned(),
            tags: bucket.tags.clone(),
            lower_bits: bucket.lower.to_bits(),
            upper_bits: bucket.upper.to_bits(),
        };
        match self.running_totals.insert(key, (bucket.value, at.monotonic)) {
            Some((previous, _)) if bucket.value >= previous => bucket.value - previous,
            _ if bucket.flush_first_value => bucket.value,
            _ => 0,
        }
    }

    fn forget_old(&mut self, at: RunTime) {
        self.commits += 1;
        let commits = self.commits;
        self.series.retain(|_, tracked| {
            if tracked.state.is_stateful() {
                at.monotonic.saturating_sub(tracked.seen_at) < STATEFUL_EXPIRATION
            } else {
                commits - tracked.seen_in_commit <= STATELESS_COMMITS
            }
        });
        self.running_totals.retain(|_, (_, seen_at)| at.monotonic.saturating_sub(*seen_at) < STATEFUL_EXPIRATION);
    }
}

fn check_run(service_check: ServiceCheck, at: RunTime) -> CheckRun {
    let ServiceCheck { name, status, tags, host, message } = service_check;
    CheckRun { name, host: host.unwrap_or_default(), timestamp: at.unix_seconds, status, message, tags }
}

fn to_series(name: String, host: String, tags: Vec<String>, sketch: &Sketch, at: RunTime) -> SketchSeries {
    SketchSeries {
        name,
        tags,
        host,
        timestamp: at.unix_seconds,
        count: i64::try_from(sketch.count()).unwrap_or(i64::MAX),
        min: sketch.min(),
        max: sketch.max(),
        average: sketch.average(),
        sum: sketch.sum(),
        bins: sketch.bins(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::SeriesKind;
    use proptest::prelude::*;

    fn at(seconds: u64) -> RunTime {
        RunTime { monotonic: Duration::from_secs(seconds), unix_seconds: 1_700_000_000 + i64::try_from(seconds).unwrap() }
    }

    fn sample(kind: SampleKind, name: &str, value: f64) -> Sample {
        Sample {
            name: name.to_owned(),
            kind,
            value,
            tags: vec!["a:b".to_owned()],
            host: Some("node-1".to_owned()),
            flush_first_value: false,
            no_index: false,
        }
    }

    fn bucket(value: i64, lower: f64, upper: f64, monotonic: bool) -> BucketSample {
        BucketSample { name: "lat".to_owned(), value, lower, upper, monotonic, tags: Vec::new(), host: None, flush_first_value: false }
    }

    #[test]
    fn a_commit_flushes_one_point_per_series_with_the_time_of_the_run() {
        let mut sampler = Sampler::default();
        sampler.add(sample(SampleKind::Gauge, "x", 1.0), at(5));
        sampler.add(sample(SampleKind::Gauge, "x", 2.0), at(5));
        let (series, sketches) = sampler.commit(at(5));
        assert_eq!(
            series,
            [Series {
                name: "x".to_owned(),
                points: vec![(1_700_000_005, 2.0)],
                tags: vec!["a:b".to_owned()],
                host: "node-1".to_owned(),
                kind: SeriesKind::Gauge,
                interval: 0,
                source_type_name: "System".to_owned(),
                no_index: false,
            }]
        );
        assert!(sketches.is_empty());
    }

    #[test]
    fn values_that_are_not_finite_are_dropped() {
        let mut sampler = Sampler::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            sampler.add(sample(SampleKind::Gauge, "x", value), at(0));
        }
        assert!(sampler.commit(at(0)).0.is_empty());
        assert_eq!(sampler.series.len(), 0);
    }

    #[test]
    fn a_series_without_memory_is_forgotten_after_two_commits_and_one_with_memory_after_25_hours() {
        let mut sampler = Sampler::default();
        sampler.add(sample(SampleKind::Gauge, "g", 1.0), at(0));
        sampler.add(sample(SampleKind::Rate, "r", 1.0), at(0));
        let mut counts = Vec::new();
        for run in 0..4 {
            sampler.commit(at(run * 15));
            counts.push(sampler.series.len());
        }
        assert_eq!(counts, [2, 2, 1, 1]);
        sampler.commit(at(25 * 3600 - 1));
        assert_eq!(sampler.series.len(), 1);
        sampler.commit(at(25 * 3600));
        assert_eq!(sampler.series.len(), 0);
    }

    #[test]
    fn a_rate_survives_failed_runs() {
        let mut sampler = Sampler::default();
        sampler.add(sample(SampleKind::Rate, "r", 10.0), at(0));
        for run in 0..20 {
            sampler.commit(at(run));
        }
        sampler.add(sample(SampleKind::Rate, "r", 40.0), at(30));
        assert_eq!(sampler.commit(at(30)).0[0].points, [(1_700_000_030, 1.0)]);
    }

    #[test]
    fn nr_t19_an_open_bucket_puts_all_values_at_its_lower_bound() {
        let mut sampler = Sampler::default();
        assert!(sampler.add_bucket(bucket(2, 0.5, f64::INFINITY, false), at(0)));
        let (_, sketches) = sampler.commit(at(0));
        assert_eq!((sketches[0].count, sketches[0].min, sketches[0].max, sketches[0].bins.clone()), (2, 0.5, 0.5, vec![(1293, 2)]));
        assert_eq!(sketches[0].timestamp, 1_700_000_000);
        assert!(sampler.commit(at(1)).1.is_empty());
    }

    #[test]
    fn impossible_buckets_are_dropped_and_empty_ones_do_nothing() {
        let mut sampler = Sampler::default();
        assert!(!sampler.add_bucket(bucket(-1, 0.0, 1.0, false), at(0)));
        assert!(!sampler.add_bucket(bucket(1, 1.0, 0.0, false), at(0)));
        assert!(!sampler.add_bucket(bucket(1, f64::NAN, 1.0, false), at(0)));
        assert!(sampler.add_bucket(bucket(0, 0.0, 1.0, false), at(0)));
        assert!(sampler.commit(at(0)).1.is_empty());
    }

    #[test]
    fn a_running_total_counts_its_growth_only() {
        let mut sampler = Sampler::default();
        let mut run = |value: i64, flush_first_value: bool| {
            sampler.add_bucket(BucketSample { flush_first_value, ..bucket(value, 0.0, 1.0, true) }, at(0));
            sampler.commit(at(0)).1.first().map_or(0, |sketch| sketch.count)
        };
        assert_eq!(run(5, false), 0);
        assert_eq!(run(8, false), 3);
        assert_eq!(run(2, false), 0);
        assert_eq!(run(4, true), 2);
        assert_eq!(run(1, true), 1);
    }

    proptest! {
        #[test]
        fn the_sampler_keeps_every_count(runs in prop::collection::vec(prop::collection::vec((0..4_usize, 0_u32..100), 0..10), 1..20)) {
            let mut sampler = Sampler::default();
            let (mut submitted, mut flushed) = (0.0, 0.0);
            for (index, run) in runs.iter().enumerate() {
                let time = at(index as u64 * 15);
                for (name, value) in run {
                    submitted += f64::from(*value);
                    sampler.add(sample(SampleKind::Count, ["a", "b", "c", "d"][*name], f64::from(*value)), time);
                }
                flushed += sampler.commit(time).0.iter().map(|series| series.points[0].1).sum::<f64>();
            }
            prop_assert_eq!(submitted, flushed);
        }
    }
}

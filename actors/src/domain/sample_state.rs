//! What one series remembers between samples and commits, by submission type. Source: node-runner 9.

use std::time::Duration;

use crate::domain::samples::{SampleKind, SeriesKind};

/// Aggregates and percentiles that a histogram flushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramPolicy {
    /// Aggregates, in output order (`histogram_aggregates`).
    pub aggregates: Vec<Aggregate>,
    /// Percentiles, 1..=100, ascending (`histogram_percentiles`; 0.95 is 95 here).
    pub percentiles: Vec<u8>,
}

impl Default for HistogramPolicy {
    fn default() -> Self {
        Self { aggregates: vec![Aggregate::Max, Aggregate::Median, Aggregate::Avg, Aggregate::Count], percentiles: vec![95] }
    }
}

impl HistogramPolicy {
    /// From configuration: words of `histogram_aggregates` (unknown ones are skipped) and fractions of `histogram_percentiles`
    /// (0.95; those outside 0.01 to 1 are skipped).
    #[must_use]
    pub fn parse(aggregates: &[String], percentiles: &[f64]) -> Self {
        let in_range = percentiles.iter().map(|fraction| (fraction * 100.0).round()).filter(|percent| (1.0..=100.0).contains(percent));
        let mut percentiles: Vec<u8> = in_range.map(|percent| percent as u8).collect();
        percentiles.sort_unstable();
        percentiles.dedup();
        Self { aggregates: aggregates.iter().filter_map(|word| Aggregate::parse(word)).collect(), percentiles }
    }
}

/// One aggregate of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Largest sample.
    Max,
    /// Smallest sample.
    Min,
    /// The middle sample, the lower one of two.
    Median,
    /// Mean.
    Avg,
    /// Sum.
    Sum,
    /// Number of samples, as a rate.
    Count,
}

impl Aggregate {
    /// The name in configuration and in the suffix of the series; `None` for other words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Max, Self::Min, Self::Median, Self::Avg, Self::Sum, Self::Count].into_iter().find(|aggregate| aggregate.word() == word)
    }

    /// The word of [`Self::parse`].
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
            Self::Median => "median",
            Self::Avg => "avg",
            Self::Sum => "sum",
            Self::Count => "count",
        }
    }
}

/// One flushed value.
#[derive(Debug, Clone, PartialEq)]
pub struct Flushed {
    /// What is appended to the metric name.
    pub suffix: String,
    /// Type for the intake.
    pub kind: SeriesKind,
    /// The value.
    pub value: f64,
}

impl Flushed {
    fn plain(kind: SeriesKind, value: f64) -> Self {
        Self { suffix: String::new(), kind, value }
    }
}

/// State of one series.
#[derive(Debug, Clone)]
pub enum SampleState {
    /// Last sample since the commit.
    Gauge(Option<f64>),
    /// Rate between the last two runs.
    Rate {
        /// Last committed sample: the baseline.
        previous: Option<(Duration, f64)>,
        /// Sample since the commit.
        current: Option<(Duration, f64)>,
    },
    /// Sum since the commit.
    Count(Option<f64>),
    /// Sum of increases since the commit.
    MonotonicCount {
        /// Last sample.
        previous: Option<f64>,
        /// Increase since the commit; `None` when nothing can be flushed.
        increase: Option<f64>,
    },
    /// Sum since the commit, flushed as a rate over 1 s.
    Counter(Option<f64>),
    /// Samples since the commit.
    Histogram(Vec<f64>),
    /// Rates since the commit.
    Historate {
        /// Last sample.
        previous: Option<(Duration, f64)>,
        /// Rates between consecutive samples.
        rates: Vec<f64>,
    },
}

impl SampleState {
    /// State of a series that has no sample yet.
    #[must_use]
    pub fn new(kind: SampleKind) -> Self {
        match kind {
            SampleKind::Gauge => Self::Gauge(None),
            SampleKind::Rate => Self::Rate { previous: None, current: None },
            SampleKind::Count => Self::Count(None),
            SampleKind::MonotonicCount => Self::MonotonicCount { previous: None, increase: None },
            SampleKind::Counter => Self::Counter(None),
            SampleKind::Histogram => Self::Histogram(Vec::new()),
            SampleKind::Historate => Self::Historate { previous: None, rates: Vec::new() },
        }
    }

    /// Whether the next value depends on earlier runs, so that the state is kept for 25 h.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        matches!(self, Self::Rate { .. } | Self::MonotonicCount { .. } | Self::Historate { .. })
    }

    /// Takes a sample; `at` is monotonic time.
    pub fn add(&mut self, at: Duration, value: f64, flush_first_value: bool) {
        match self {
            Self::Gauge(last) => *last = Some(value),
            // All samples of a run have one time, so the last one stands for the run.
            Self::Rate { current, .. } => *current = Some((at, value)),
            Self::Count(sum) | Self::Counter(sum) => *sum = Some(sum.unwrap_or(0.0) + value),
            Self::MonotonicCount { previous, increase } => {
                let step = match *previous {
                    Some(previous) if value >= previous => Some(value - previous),
                    _ if flush_first_value => Some(value.max(0.0)),
                    Some(_) => Some(0.0),
                    None => None,
                };
                if let Some(step) = step {
                    *increase = Some(increase.unwrap_or(0.0) + step);
                }
                *previous = Some(value);
            }
            Self::Histogram(samples) => samples.push(value),
            Self::Historate { previous, rates } => {
                rates.extend(previous.and_then(|previous| rate(previous, (at, value))));
                *previous = Some((at, value));
            }
        }
    }

    /// Flushes what came in since the last commit.
    pub fn flush(&mut self, histograms: &HistogramPolicy) -> Vec<Flushed> {
        match self {
            Self::Gauge(last) => last.take().map(|value| Flushed::plain(SeriesKind::Gauge, value)).into_iter().collect(),
            Self::Rate { previous, current } => {
                let Some(now) = current.take() else { return Vec::new() };
                let before = previous.replace(now);
                before.and_then(|before| rate(before, now)).map(|value| Flushed::plain(SeriesKind::Gauge, value)).into_iter().collect()
            }
            Self::Count(sum) => sum.take().map(|value| Flushed::plain(SeriesKind::Count, value)).into_iter().collect(),
            Self::MonotonicCount { increase, .. } => {
                increase.take().map(|value| Flushed::plain(SeriesKind::Count, value)).into_iter().collect()
            }
            Self::Counter(sum) => sum.take().map(|value| Flushed::plain(SeriesKind::Rate, value)).into_iter().collect(),
            Self::Histogram(samples) => flush_histogram(std::mem::take(samples), histograms),
            Self::Historate { rates, .. } => flush_histogram(std::mem::take(rates), histograms),
        }
    }
}

/// Difference per second; `None` when it is negative or no time has passed.
fn rate(before: (Duration, f64), now: (Duration, f64)) -> Option<f64> {
    let seconds = now.0.checked_sub(before.0)?.as_secs_f64();
    let per_second = (now.1 - before.1) / seconds;
    (seconds > 0.0 && per_second >= 0.0).then_some(per_second)
}

fn flush_histogram(mut samples: Vec<f64>, policy: &HistogramPolicy) -> Vec<Flushed> {
    samples.sort_unstable_by(f64::total_cmp);
    let (Some(&smallest), Some(&largest)) = (samples.first(), samples.last()) else { return Vec::new() };
    let count = samples.len();
    let sum: f64 = samples.iter().sum();
    let aggregates = policy.aggregates.iter().map(|aggregate| {
        let value = match aggregate {
            Aggregate::Max => largest,
            Aggregate::Min => smallest,
            Aggregate::Median => samples[(count - 1) / 2],
            Aggregate::Avg => sum / count as f64,
            Aggregate::Sum => sum,
            Aggregate::Count => count as f64,
        };
        let kind = if *aggregate == Aggregate::Count { SeriesKind::Rate } else { SeriesKind::Gauge };
        Flushed { suffix: format!(".{}", aggregate.word()), kind, value }
    });
    let percentiles = policy.percentiles.iter().map(|percentile| {
        let rank = (usize::from(*percentile).clamp(1, 100) * count - 1) / 100;
        Flushed { suffix: format!(".{percentile}percentile"), kind: SeriesKind::Gauge, value: samples[rank] }
    });
    aggregates.chain(percentiles).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flush(state: &mut SampleState) -> Vec<f64> {
        state.flush(&HistogramPolicy::default()).into_iter().map(|flushed| flushed.value).collect()
    }

    fn commit(state: &mut SampleState, values: &[f64], flush_first_value: bool) -> Vec<f64> {
        for value in values {
            state.add(Duration::ZERO, *value, flush_first_value);
        }
        flush(state)
    }

    #[test]
    fn nr_t16_monotonic_counts_sum_increases() {
        let mut state = SampleState::new(SampleKind::MonotonicCount);
        assert_eq!(commit(&mut state, &[2.0, 3.0, 6.0, 7.0], false), [5.0]);
        assert_eq!(commit(&mut state, &[10.0, 11.0], false), [4.0]);
        assert_eq!(commit(&mut state, &[1.0], false), [0.0]);
        assert_eq!(commit(&mut state, &[5.0], false), [4.0]);
    }

    #[test]
    fn the_first_monotonic_sample_is_only_a_baseline() {
        let mut state = SampleState::new(SampleKind::MonotonicCount);
        assert!(commit(&mut state, &[2.0], false).is_empty());
        assert_eq!(commit(&mut state, &[3.0], false), [1.0]);
    }

    #[test]
    fn nr_t17_a_first_value_that_is_flushed_counts_after_a_reset_too() {
        let mut state = SampleState::new(SampleKind::MonotonicCount);
        assert_eq!(commit(&mut state, &[8.0], true), [8.0]);
        assert_eq!(commit(&mut state, &[3.0], true), [3.0]);
    }

    #[test]
    fn nr_t18_rates_span_runs_and_drop_what_goes_back() {
        let mut state = SampleState::new(SampleKind::Rate);
        let mut run = |seconds: u64, value: f64| {
            state.add(Duration::from_secs(seconds), value, false);
            flush(&mut state)
        };
        assert!(run(0, 10.0).is_empty());
        assert_eq!(run(10, 40.0), [3.0]);
        assert!(run(20, 5.0).is_empty());
        assert_eq!(run(30, 15.0), [1.0]);
    }

    #[test]
    fn a_gauge_flushes_its_last_sample_once() {
        let mut state = SampleState::new(SampleKind::Gauge);
        assert_eq!(commit(&mut state, &[1.0, 2.0], false), [2.0]);
        assert!(commit(&mut state, &[], false).is_empty());
    }

    #[test]
    fn counts_and_counters_sum_since_the_commit() {
        for (kind, expected) in [(SampleKind::Count, SeriesKind::Count), (SampleKind::Counter, SeriesKind::Rate)] {
            let mut state = SampleState::new(kind);
            state.add(Duration::ZERO, 2.0, false);
            state.add(Duration::ZERO, 3.0, false);
            assert_eq!(state.flush(&HistogramPolicy::default()), [Flushed::plain(expected, 5.0)]);
            assert!(flush(&mut state).is_empty());
        }
    }

    #[test]
    fn a_histogram_flushes_aggregates_and_percentiles() {
        let mut state = SampleState::new(SampleKind::Histogram);
        for value in (1..=20).rev() {
            state.add(Duration::ZERO, f64::from(value), false);
        }
        let policy = HistogramPolicy {
            aggregates: ["max", "min", "median", "avg", "sum", "count"].into_iter().filter_map(Aggregate::parse).collect(),
            percentiles: vec![50, 95],
        };
        let flushed = state.flush(&policy);
        let shown: Vec<(&str, f64)> = flushed.iter().map(|flushed| (flushed.suffix.as_str(), flushed.value)).collect();
        assert_eq!(
            shown,
            [
                (".max", 20.0),
                (".min", 1.0),
                (".median", 10.0),
                (".avg", 10.5),
                (".sum", 210.0),
                (".count", 20.0),
                (".50percentile", 10.0),
                (".95percentile", 19.0)
            ]
        );
        assert_eq!(flushed[5].kind, SeriesKind::Rate);
        assert_eq!(Aggregate::parse("mode"), None);
    }

    #[test]
    fn histogram_options_are_read_and_the_defaults_are_stock() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(HistogramPolicy::parse(&words(&["max", "median", "avg", "count"]), &[0.95]), HistogramPolicy::default());
        let parsed = HistogramPolicy::parse(&words(&["sum", "mode"]), &[0.99, 0.5, 0.5, 0.0, 1.5]);
        assert_eq!((parsed.aggregates, parsed.percentiles), (vec![Aggregate::Sum], vec![50, 99]));
    }

    #[test]
    fn a_historate_is_a_histogram_of_rates() {
        let mut state = SampleState::new(SampleKind::Historate);
        state.add(Duration::from_secs(0), 10.0, false);
        assert!(flush(&mut state).is_empty());
        state.add(Duration::from_secs(10), 40.0, false);
        assert_eq!(flush(&mut state), [3.0, 3.0, 3.0, 1.0, 3.0]);
    }

    proptest! {
        #[test]
        fn monotonic_is_never_negative(runs in prop::collection::vec((prop::collection::vec(-1e9..1e9_f64, 0..5), any::<bool>()), 0..20)) {
            let mut state = SampleState::new(SampleKind::MonotonicCount);
            for (values, flush_first_value) in runs {
                for value in commit(&mut state, &values, flush_first_value) {
                    prop_assert!(value >= 0.0);
                }
            }
        }

        #[test]
        fn flushed_counts_add_up_to_what_was_submitted(runs in prop::collection::vec(prop::collection::vec(0_u32..1000, 0..8), 0..20)) {
            let mut state = SampleState::new(SampleKind::Count);
            let submitted: u32 = runs.iter().flatten().sum();
            let flushed: f64 = runs.iter().flat_map(|run| commit(&mut state, &run.iter().copied().map(f64::from).collect::<Vec<_>>(), false)).sum();
            prop_assert_eq!(flushed, f64::from(submitted));
        }
    }
}

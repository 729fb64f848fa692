//! Durations counted in buckets, for histograms.

use std::time::Duration;

/// Upper bounds of the buckets of durations, ascending. Units: seconds.
pub const DURATION_BOUNDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0];

/// Durations, counted in buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// How many are at most the bound of the same position; the last counts those above all bounds.
    counts: [u64; DURATION_BOUNDS.len() + 1],
    sum: Duration,
}

impl Durations {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let position = DURATION_BOUNDS.partition_point(|bound| *bound < seconds);
        // There is one count more than bounds.
        if let Some(count) = self.counts.get_mut(position) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(duration);
    }

    /// For each bound, how many are not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        DURATION_BOUNDS.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_to_the_first_bound_that_is_not_below_it() {
        let mut durations = Durations::default();
        for milliseconds in [10, 11, 60_000, 60_001] {
            durations.record(Duration::from_millis(milliseconds));
        }
        let cumulative: Vec<(f64, u64)> = durations.cumulative().collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[10], cumulative[11]), ((0.01, 1), (0.025, 2), (30.0, 2), (60.0, 3)));
        assert_eq!((durations.count(), durations.sum()), (4, Duration::from_millis(120_022)));
    }
}

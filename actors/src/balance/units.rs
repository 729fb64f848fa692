//! Load in whole numbers, so that sums do not depend on their order and a tie is a tie.
//!
//! Why: two runners with the same checks must count as equally loaded whatever the order in which their needs were added up; a gain of
//! exactly nothing must not become a move through the last bit of a fraction.

use std::cmp::Ordering;

/// Billionths of a worker.
pub(crate) type Nano = i64;
/// Thousandths of a worker; 0 = the runner is unusable.
pub(crate) type Milli = i64;

/// Largest number of workers of one runner that is counted with. Why: one runner that tells a huge number must not draw everything.
const MOST_WORKERS: f64 = 256.0;

/// Largest need of one config that is counted with. Units: workers.
const MOST_NEED: f64 = 1000.0;

/// A need; what is no number counts as nothing.
pub(crate) fn nano(workers: f64) -> Nano {
    // A cast of what is no number yields 0.
    (workers.clamp(0.0, MOST_NEED) * 1e9).round() as Nano
}

/// The workers of a runner; what is no number counts as none.
pub(crate) fn milli(workers: f64) -> Milli {
    (workers.clamp(0.0, MOST_WORKERS) * 1e3).round() as Milli
}

/// The part of its workers that a runner uses; 0 if it has none.
///
/// Equal fractions give equal numbers: both parts fit a double exactly, and a division is rounded correctly.
pub(crate) fn utilization(used: Nano, workers: Milli) -> f64 {
    if workers == 0 { 0.0 } else { used as f64 / (workers as f64 * 1e6) }
}

/// Orders utilizations and other numbers that are not negative as whole numbers.
pub(crate) fn order(number: f64) -> u64 {
    number.to_bits()
}

/// A load in thousandths, as in the stock answer. Source: cluster-checks 4.6.
pub(crate) fn thousandths(number: f64) -> i64 {
    (number * 1000.0).round() as i64
}

/// What moving a need from one runner to another one improves, times a factor that depends on the two runners only.
///
/// Source: cluster-checks 11.5: 2x(u(s) - u(d)) - x^2(1/w(s) + 1/w(d)), multiplied by w(s)w(d).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slope {
    /// u(s) - u(d), times both numbers of workers.
    difference: i128,
    /// w(s) + w(d).
    workers: i128,
    /// w(s) x w(d).
    product: i128,
}

impl Slope {
    pub(crate) fn new(source: (Nano, Milli), destination: (Nano, Milli)) -> Self {
        let (source_workers, destination_workers) = (i128::from(source.1), i128::from(destination.1));
        Self {
            difference: i128::from(source.0) * destination_workers - i128::from(destination.0) * source_workers,
            workers: source_workers + destination_workers,
            product: source_workers * destination_workers,
        }
    }

    /// The gain times the factor; only comparable with others of the same slope.
    pub(crate) fn scaled_gain(&self, need: Nano) -> i128 {
        let need = i128::from(need);
        need.saturating_mul((2 * self.difference).saturating_sub(need.saturating_mul(self.workers)))
    }

    /// The gain itself.
    pub(crate) fn gain(&self, need: Nano) -> f64 {
        self.scaled_gain(need) as f64 / self.product as f64 * 1e-15
    }

    /// Rounded down, the need with the largest gain; gains of others fall evenly on both sides. `None` = no need has a gain.
    pub(crate) fn best_need(&self) -> Option<Nano> {
        (self.difference > 0).then(|| Nano::try_from(self.difference / self.workers).unwrap_or(Nano::MAX - 1))
    }
}

/// Compares what two moves of the same slope gain for their costs. Costs in thousandths.
pub(crate) fn compare_worth(left: (i128, i64), right: (i128, i64)) -> Ordering {
    let weigh = |gain: i128, other_cost: i64| gain.saturating_mul(i128::from(other_cost));
    weigh(left.0, right.1).cmp(&weigh(right.0, left.1))
}

/// What a move costs, in thousandths. Above 100 it counts as 100.
pub(crate) fn cost_thousandths(cost: f64) -> i64 {
    let cost = if cost.is_nan() { 1.0 } else { cost };
    (cost.clamp(0.001, 100.0) * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_counts_as_nothing_and_what_is_huge_is_cut() {
        assert_eq!([f64::NAN, -1.0, 0.0, 0.25, f64::INFINITY].map(nano), [0, 0, 0, 250_000_000, 1_000_000_000_000]);
        assert_eq!([f64::NAN, -1.0, 0.0, 4.0, f64::INFINITY].map(milli), [0, 0, 0, 4000, 256_000]);
        assert_eq!([f64::NAN, -1.0, 0.0, 1.0, f64::INFINITY].map(cost_thousandths), [1000, 1, 1, 1000, 100_000]);
    }

    #[test]
    fn the_gain_is_that_of_the_formula() {
        let (source, destination) = ((nano(2.4), milli(4.0)), (nano(0.2), milli(8.0)));
        let (from, to, x) = (utilization(source.0, source.1), utilization(destination.0, destination.1), 0.6);
        let slope = Slope::new(source, destination);
        assert!((from - 0.6).abs() < 1e-12 && (to - 0.025).abs() < 1e-12);
        assert!((slope.gain(nano(x)) - (2.0 * x * (from - to) - x * x * (1.0 / 4.0 + 1.0 / 8.0))).abs() < 1e-12);
        let best = slope.best_need().unwrap();
        assert!([best - 1_000, best + 1_000].iter().all(|need| slope.scaled_gain(*need) < slope.scaled_gain(best)));
    }

    #[test]
    fn a_gain_of_nothing_is_exactly_nothing() {
        // 2 x 0.2 x 0.05 - 0.2^2 / 2: not 0 in doubles.
        let slope = Slope::new((nano(1.2), milli(4.0)), (nano(1.0), milli(4.0)));
        assert_eq!(slope.scaled_gain(nano(0.2)), 0);
    }
}

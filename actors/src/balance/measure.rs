//! How even a load is, and what no balancing can do better.
//!
//! The rules themselves ask only for [`deviation`]; the rest is what benches and tests judge them by.

use crate::balance::world::World;

/// How even the load of the usable runners is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evenness {
    /// Total need by total workers.
    pub mean: f64,
    /// Utilization of the busiest runner.
    pub busiest: f64,
    /// The same, times the mean; 1 = perfectly even, also where there is no load.
    pub busiest_over_mean: f64,
    /// Population standard deviation of the utilizations.
    pub deviation: f64,
    /// Sum of workers x (utilization - mean)^2: what every move of `bounded` decreases.
    pub sum_of_squares: f64,
}

/// One runner: what its configs need and its workers, both in workers.
pub type Share = (f64, f64);

impl Evenness {
    /// Of runners that have workers; others are left out.
    #[must_use]
    pub fn of(shares: &[Share]) -> Self {
        let shares: Vec<Share> = shares.iter().copied().filter(|(_, workers)| *workers > 0.0).collect();
        let (used, workers) = shares.iter().fold((0.0, 0.0), |(used, workers), share| (used + share.0, workers + share.1));
        if workers == 0.0 {
            return Self { busiest_over_mean: 1.0, ..Self::default() };
        }
        let mean = used / workers;
        let utilizations: Vec<f64> = shares.iter().map(|(used, workers)| used / workers).collect();
        let busiest = utilizations.iter().copied().fold(0.0, f64::max);
        Self {
            mean,
            busiest,
            busiest_over_mean: if mean > 0.0 { busiest / mean } else { 1.0 },
            deviation: deviation(&utilizations),
            sum_of_squares: shares.iter().map(|(used, workers)| workers * (used / workers - mean).powi(2)).sum(),
        }
    }

    /// Of the runners of a world that stay, with the needs that are counted with.
    #[must_use]
    pub fn of_world(world: &World) -> Self {
        Self::of(&shares(world))
    }
}

/// What each runner that stays has, by name; configs count with their estimate where nothing is known.
#[must_use]
pub fn shares(world: &World) -> Vec<Share> {
    let mut used = vec![0.0; world.runners.len()];
    for load in &world.loads {
        if let Some(owner) = load.owner {
            used[owner] += load.counted;
        }
    }
    let runners = world.runners.iter().zip(used).filter(|(runner, _)| runner.presence.is_staying());
    runners.map(|(runner, used)| (used, runner.workers)).collect()
}

/// Population standard deviation; 0 of nothing. Source: cluster-checks 11.2.
#[must_use]
pub fn deviation(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// The least possible busiest by mean with these needs and workers, in any order: the mean itself, the largest config on the largest
/// runner, and, where there are more configs than runners, the two smallest of one more config than runners on one runner.
#[must_use]
pub fn least_busiest_over_mean(needs: &[f64], workers: &[f64]) -> f64 {
    let mut needs: Vec<f64> = needs.to_vec();
    needs.sort_unstable_by(|left, right| right.total_cmp(left));
    let usable: Vec<f64> = workers.iter().copied().filter(|workers| *workers > 0.0).collect();
    let largest = usable.iter().copied().fold(0.0, f64::max);
    let mean = needs.iter().sum::<f64>() / usable.iter().sum::<f64>();
    if !(mean > 0.0 && mean.is_finite()) {
        return 1.0;
    }
    let alone = needs.first().copied().unwrap_or(0.0);
    let together = match (needs.get(usable.len().wrapping_sub(1)), needs.get(usable.len())) {
        (Some(one), Some(other)) => one + other,
        _ => 0.0,
    };
    (alone.max(together) / largest / mean).max(1.0)
}

/// Fewest moves until every runner is at most `tolerance` from the mean: each one above has to give at least so many of its largest
/// configs, each one below has to get at least so many of the largest of all. `needs` are those of each runner. Units: workers.
#[must_use]
pub fn fewest_moves_into_band(runners: &[(f64, Vec<f64>)], tolerance: f64) -> usize {
    let total: f64 = runners.iter().flat_map(|(_, needs)| needs).sum();
    let mean = total / runners.iter().map(|(workers, _)| workers).sum::<f64>();
    let largest_first = |needs: Vec<f64>| {
        let mut needs = needs;
        needs.sort_unstable_by(|left, right| right.total_cmp(left));
        needs
    };
    // Sums of doubles: a difference in the last digits is none.
    let count = |needs: &[f64], wanted: f64| {
        let mut left = wanted - 1e-9;
        let enough = needs.iter().position(|need| {
            let done = left <= 0.0;
            left -= need;
            done
        });
        enough.unwrap_or(needs.len())
    };
    let all = largest_first(runners.iter().flat_map(|(_, needs)| needs.iter().copied()).collect());
    let (mut give, mut get) = (0, 0);
    for (workers, needs) in runners {
        let used: f64 = needs.iter().sum();
        give += count(&largest_first(needs.clone()), used - (mean + tolerance) * workers);
        get += count(&all, (mean - tolerance) * workers - used);
    }
    give.max(get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenness_of_t40() {
        let evenness = Evenness::of(&[(2.4, 4.0), (0.6, 4.0), (0.2, 4.0), (9.0, 0.0)]);
        assert!((evenness.mean - 0.26667).abs() < 1e-5 && (evenness.deviation - 0.2392).abs() < 1e-4);
        assert!((evenness.busiest - 0.6).abs() < 1e-9 && (evenness.busiest_over_mean - 2.25).abs() < 1e-9);
        assert!((evenness.sum_of_squares - 12.0 * 0.2392_f64.powi(2)).abs() < 1e-3);
        assert_eq!(Evenness::of(&[]).busiest_over_mean, 1.0);
        assert_eq!(Evenness::of(&[(0.0, 4.0)]).busiest_over_mean, 1.0);
    }

    #[test]
    fn no_balancing_beats_the_largest_config() {
        assert_eq!(least_busiest_over_mean(&[0.1; 8], &[1.0, 1.0]), 1.0);
        assert!((least_busiest_over_mean(&[1.0, 0.1, 0.1], &[1.0, 1.0]) - 1.0 / 0.6).abs() < 1e-9);
        assert!((least_busiest_over_mean(&[0.5, 0.5, 0.5], &[1.0, 1.0]) - 1.0 / 0.75).abs() < 1e-9, "two are together");
        assert_eq!(least_busiest_over_mean(&[], &[]), 1.0);
    }

    #[test]
    fn a_newcomer_needs_the_largest_configs_and_the_others_have_to_give() {
        // Mean 0.1: the newcomer needs 0.4 - 0.08 of needs of 0.1, the others each have to fall from 0.15 to 0.12.
        let before = vec![0.1; 6];
        assert_eq!(fewest_moves_into_band(&[(4.0, before.clone()), (4.0, before.clone()), (4.0, vec![])], 0.02), 4);
        assert_eq!(fewest_moves_into_band(&[(4.0, before.clone()), (4.0, before)], 0.02), 0);
    }
}

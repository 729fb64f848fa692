//! How much of a runner a config occupies, read out of what runners tell about their checks. Source: cluster-checks 11.1, 11.2, 11.5.
//!
//! Runners of any version, and broken ones, tell these numbers: what cannot be true is cut to what can.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::config::DispatchedConfig;
use crate::domain::figures::{CheckFigures, ConfigFigures, Figures, UNKNOWN_NEED};
use crate::domain::ids::{CheckId, ConfigKey};

/// Part of the former value that stays with each collection. Source: cluster-checks 11.5.
const KEPT: f64 = 0.7;

/// Largest weight of one check that is believed. Why: a sum over all checks of a cluster must not overflow.
const MOST_WEIGHT: i64 = 1 << 40;

/// Workers that one instance occupies, 0 to 1. Source: cluster-checks 11.2.
#[must_use]
pub fn instance_need(figures: &CheckFigures, interval_seconds: u32) -> f64 {
    let interval_ms = f64::from(interval_seconds.max(1)) * 1000.0;
    (figures.average_execution_time as f64 / interval_ms).clamp(0.0, 1.0)
}

/// Weight of one check in the busyness rule: 0 if its last run failed. Source: cluster-checks 11.1.
#[must_use]
pub fn check_weight(figures: &CheckFigures) -> i64 {
    if figures.last_exec_failed {
        return 0;
    }
    // Whole numbers plus a fifth: the fraction is cut off, as upstream does.
    let told = |count: i64| count.clamp(0, MOST_WEIGHT);
    (told(figures.metric_samples) + told(figures.histogram_buckets) + told(figures.events) / 5).min(MOST_WEIGHT)
}

/// Whether the figures come from at least one run.
fn says_something(figures: &CheckFigures) -> bool {
    !figures.pending && figures.total_runs != Some(0)
}

/// What is known about a config after its runner told `checks`; `before` is what was known.
///
/// `None` = nothing is known, then or now. Instances without figures count as much as the mean of the others. If no instance has
/// figures, because the config has just come to this runner, what was known stays.
#[must_use]
pub fn config_figures(
    config: &DispatchedConfig,
    checks: &BTreeMap<CheckId, CheckFigures>,
    before: Option<&ConfigFigures>,
) -> Option<ConfigFigures> {
    let before = before.filter(|before| before.smoothed.is_finite() && before.smoothed >= 0.0);
    // An agent runs instances of the same id once.
    let ids: BTreeSet<&CheckId> = config.check_ids.iter().collect();
    let (mut known, mut measured, mut weight, mut incomplete) = (0_usize, 0.0, 0_i64, false);
    let mut first_run = None;
    for figures in ids.iter().map(|id| checks.get(*id)) {
        let Some(figures) = figures.filter(|figures| says_something(figures)) else {
            incomplete = true;
            continue;
        };
        let need = instance_need(figures, config.traits.interval_seconds);
        known += 1;
        measured += need;
        weight = weight.saturating_add(check_weight(figures));
        incomplete |= need == 0.0;
        if figures.total_runs == Some(1) {
            let took = Duration::from_millis(u64::try_from(figures.average_execution_time).unwrap_or(0));
            first_run = first_run.max(Some(took));
        }
    }
    if known == 0 {
        return before.map(|before| ConfigFigures { incomplete: true, ..*before });
    }
    let whole = measured * ids.len() as f64 / known as f64;
    Some(ConfigFigures {
        measured,
        smoothed: before.map_or(whole, |before| KEPT * before.smoothed + (1.0 - KEPT) * whole),
        weight,
        incomplete,
        first_run: first_run.or(before.and_then(|before| before.first_run)),
    })
}

/// A need as it may be counted with: a number that is not below 0. `None` = it is none.
#[must_use]
pub fn believable(need: f64) -> Option<f64> {
    (need.is_finite() && need >= 0.0).then_some(need)
}

/// The smoothed need of a config, if anything is known about it. Units: workers.
#[must_use]
pub fn known_need(figures: &Figures, key: ConfigKey) -> Option<f64> {
    figures.configs.get(&key).and_then(|figures| believable(figures.smoothed))
}

/// What to count with for a config of which nothing is known. Units: workers.
#[must_use]
pub fn estimated_need(figures: &Figures, check_name: &str) -> f64 {
    believable(figures.estimate(check_name)).unwrap_or(UNKNOWN_NEED)
}

/// The medians of known needs: by check name, and of all. Needs of 0 and what is no number are left out: they say nothing.
///
/// Takes (check name, smoothed need) in any order. Source: cluster-checks 11.5.
#[must_use]
pub fn medians<'a>(needs: impl IntoIterator<Item = (&'a str, f64)>) -> (BTreeMap<String, f64>, Option<f64>) {
    let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut all = Vec::new();
    for (name, need) in needs.into_iter().filter(|(_, need)| need.is_finite() && *need > 0.0) {
        by_name.entry(name).or_default().push(need);
        all.push(need);
    }
    let of_names = by_name.into_iter().filter_map(|(name, mut needs)| Some((name.to_owned(), median(&mut needs)?)));
    (of_names.collect(), median(&mut all))
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even);
    Some(lower.map_or(upper, |lower| f64::midpoint(lower, upper)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::check_traits::CheckTraits;
    use crate::testing::configs::config;

    fn with_instances(ids: &[&str], interval_seconds: u32) -> DispatchedConfig {
        DispatchedConfig {
            check_ids: ids.iter().map(|id| CheckId::from(*id)).collect(),
            traits: CheckTraits { interval_seconds, ..CheckTraits::default() },
            ..(*config(1)).clone()
        }
    }

    fn took(average_execution_time: i64) -> CheckFigures {
        CheckFigures { average_execution_time, ..CheckFigures::default() }
    }

    fn told(checks: &[(&str, CheckFigures)]) -> BTreeMap<CheckId, CheckFigures> {
        checks.iter().map(|(id, figures)| (CheckId::from(*id), figures.clone())).collect()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-5
    }

    #[test]
    fn cc_t34_weights_of_checks() {
        let weight = |metric_samples, histogram_buckets, events, last_exec_failed, average_execution_time| {
            let figures = CheckFigures {
                average_execution_time,
                metric_samples,
                histogram_buckets,
                events,
                last_exec_failed,
                ..CheckFigures::default()
            };
            check_weight(&figures)
        };
        assert_eq!(weight(1562, 0, 0, false, 858), 1562);
        assert_eq!(weight(10, 5, 3, false, 0), 15);
        assert_eq!(weight(100, 0, 4, true, 0), 0);
        assert_eq!(weight(0, 0, 4, false, 0), 0);
        assert_eq!(weight(0, 0, 9, false, 0), 1);
        assert_eq!(weight(7, 2, 12, false, 0), 11);
    }

    #[test]
    fn cc_t39_need_is_the_part_of_the_interval_that_a_run_takes() {
        let need = |ids: &[&str], interval, checks: &[(&str, CheckFigures)]| {
            config_figures(&with_instances(ids, interval), &told(checks), None).unwrap().measured
        };
        assert!(close(need(&["a"], 15, &[("a", took(3000))]), 0.2));
        assert!(close(need(&["a"], 15, &[("a", took(20_000))]), 1.0));
        assert!(close(need(&["a"], 60, &[("a", took(3000))]), 0.05));
        assert!(close(need(&["a", "b"], 15, &[("a", took(3750)), ("b", took(250))]), 0.26667));
    }

    #[test]
    fn a_collection_counts_three_tenths() {
        let config = with_instances(&["a"], 10);
        let first = config_figures(&config, &told(&[("a", took(1000))]), None).unwrap();
        assert_eq!((first.measured, first.smoothed, first.incomplete), (0.1, 0.1, false));
        let second = config_figures(&config, &told(&[("a", took(2000))]), Some(&first)).unwrap();
        assert!(close(second.measured, 0.2) && close(second.smoothed, 0.13));
    }

    #[test]
    fn what_was_known_stays_while_the_new_runner_has_not_run_it() {
        let config = with_instances(&["a"], 10);
        let known = config_figures(&config, &told(&[("a", took(1000))]), None).unwrap();
        let pending = CheckFigures { pending: true, ..CheckFigures::default() };
        for checks in [told(&[]), told(&[("a", pending)]), told(&[("a", CheckFigures { total_runs: Some(0), ..took(0) })])] {
            let kept = config_figures(&config, &checks, Some(&known)).unwrap();
            assert_eq!((kept.smoothed, kept.incomplete), (0.1, true));
            assert_eq!(config_figures(&config, &checks, None), None);
        }
    }

    #[test]
    fn an_instance_without_figures_counts_like_the_others() {
        let figures = config_figures(&with_instances(&["a", "b"], 10), &told(&[("a", took(1000))]), None).unwrap();
        assert_eq!((figures.measured, figures.smoothed, figures.incomplete), (0.1, 0.2, true));
        let twice = config_figures(&with_instances(&["a", "a"], 10), &told(&[("a", took(1000))]), None).unwrap();
        assert_eq!((twice.smoothed, twice.incomplete), (0.1, false));
    }

    #[test]
    fn a_need_of_0_says_that_nothing_is_known_yet() {
        assert!(config_figures(&with_instances(&["a"], 10), &told(&[("a", took(0))]), None).unwrap().incomplete);
    }

    #[test]
    fn the_first_run_is_the_one_seen_alone() {
        let config = with_instances(&["a"], 10);
        let run = |runs, ms| told(&[("a", CheckFigures { total_runs: Some(runs), ..took(ms) })]);
        let first = config_figures(&config, &run(1, 30_000), None).unwrap();
        assert_eq!(first.first_run, Some(Duration::from_secs(30)));
        let later = config_figures(&config, &run(2, 100), Some(&first)).unwrap();
        assert_eq!(later.first_run, Some(Duration::from_secs(30)));
        assert_eq!(config_figures(&config, &run(2, 100), None).unwrap().first_run, None);
    }

    #[test]
    fn medians_are_by_check_name_and_of_all() {
        let (by_name, of_all) = medians([("a", 0.3), ("b", 1.0), ("a", 0.1), ("a", 0.2), ("b", 0.0), ("c", f64::NAN), ("b", 0.5)]);
        assert_eq!(by_name, BTreeMap::from([("a".to_owned(), 0.2), ("b".to_owned(), 0.75)]));
        assert_eq!(of_all, Some(0.3));
        assert_eq!(medians([]), (BTreeMap::new(), None));
    }

    proptest! {
        #[test]
        fn lies_stay_within_what_can_be_true(
            exec in any::<i64>(), samples in any::<i64>(), buckets in any::<i64>(), events in any::<i64>(), interval in any::<u32>(),
            smoothed in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), 0.0..2.0],
        ) {
            let figures = CheckFigures {
                average_execution_time: exec, metric_samples: samples, histogram_buckets: buckets, events, ..CheckFigures::default()
            };
            let before = ConfigFigures { smoothed, ..ConfigFigures::default() };
            let config = with_instances(&["a", "b"], interval);
            let known = config_figures(&config, &told(&[("a", figures.clone()), ("b", figures)]), Some(&before)).unwrap();
            prop_assert!((0.0..=2.0).contains(&known.measured) && (0.0..=2.0).contains(&known.smoothed));
            prop_assert!((0..=2 * MOST_WEIGHT).contains(&known.weight));
        }
    }
}

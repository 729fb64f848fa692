//! What runners told about themselves and their checks, as the `StatsCollector` publishes it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{CheckId, ConfigKey, NodeName};

/// Workers of a runner that does not tell. Source: cluster-checks 10.
pub const ASSUMED_WORKERS: u32 = 4;

/// Statistics of one check as a runner of any version serves them; what it does not send is 0.
///
/// Source: cluster-checks 4.8, node-runner 8.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CheckFigures {
    /// Mean duration of the last runs. Units: milliseconds.
    pub average_execution_time: i64,
    /// Samples of the last run.
    pub metric_samples: i64,
    /// Histogram buckets of the last run.
    pub histogram_buckets: i64,
    /// Events of the last run.
    pub events: i64,
    /// Whether the last run failed.
    pub last_exec_failed: bool,
    /// Runs so far; absent before 7.7x.
    pub total_runs: Option<u64>,
    /// Ours: it has not finished a first run, so the figures say nothing.
    pub pending: bool,
}

/// What one runner told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunnerFigures {
    /// Number of workers; `None` = it never told, which counts as [`ASSUMED_WORKERS`]; 0 = unusable.
    pub workers: Option<u32>,
    /// All its checks, cluster checks or not.
    pub checks: BTreeMap<CheckId, CheckFigures>,
    /// Sum of the weights of all its checks. Source: cluster-checks 11.1.
    pub busyness: i64,
    /// When the checks were collected. Monotonic; `None` = never.
    pub collected_at: Option<Duration>,
    /// Collections that failed.
    pub failures: u64,
    /// Why the last one failed; `None` = it did not.
    pub last_error: Option<String>,
}

/// What is known about one config, summed over its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConfigFigures {
    /// Workers it occupies, as measured last. Source: cluster-checks 11.2.
    pub measured: f64,
    /// The same, smoothed over collections (0.7 old + 0.3 measured). Source: cluster-checks 11.5.
    pub smoothed: f64,
    /// Weight of the busyness rule. Source: cluster-checks 11.1.
    pub weight: i64,
    /// Whether one of its instances has no figures, or need 0: nothing is known about that one yet.
    pub incomplete: bool,
    /// How long its first run took where it runs now; `None` = not known.
    pub first_run: Option<Duration>,
}

/// Everything collected so far; replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By runner.
    pub runners: BTreeMap<NodeName, RunnerFigures>,
    /// By config; a config without figures is not in here.
    pub configs: HashMap<ConfigKey, ConfigFigures>,
    /// Median of the smoothed needs by check name.
    pub medians: BTreeMap<String, f64>,
    /// Median of all smoothed needs.
    pub median: Option<f64>,
    /// When the last round ended. Monotonic; `None` = there was none.
    pub collected_at: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

/// Need of a config of which nothing is known, where nothing is known about any. Source: cluster-checks 11.5.
pub const UNKNOWN_NEED: f64 = 0.05;

impl Figures {
    /// Need of a config of which nothing is known: the median of its check name, else of all, else [`UNKNOWN_NEED`].
    #[must_use]
    pub fn estimate(&self, check_name: &str) -> f64 {
        self.medians.get(check_name).copied().or(self.median).unwrap_or(UNKNOWN_NEED)
    }

    /// Workers to count with for a runner; `None` = it is unusable, because it told that it has none.
    #[must_use]
    pub fn workers(&self, runner: &NodeName) -> Option<f64> {
        let told = self.runners.get(runner).and_then(|figures| figures.workers).unwrap_or(ASSUMED_WORKERS);
        (told > 0).then_some(f64::from(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_estimated_from_what_is_alike() {
        let mut figures = Figures::default();
        assert_eq!(figures.estimate("redisdb"), UNKNOWN_NEED);
        figures.median = Some(0.2);
        figures.medians.insert("redisdb".to_owned(), 0.7);
        assert_eq!((figures.estimate("redisdb"), figures.estimate("http_check")), (0.7, 0.2));
    }

    #[test]
    fn a_runner_that_does_not_tell_has_four_workers_and_one_with_none_is_unusable() {
        let mut figures = Figures::default();
        assert_eq!(figures.workers(&"a".into()), Some(4.0));
        figures.runners.insert("a".into(), RunnerFigures { workers: Some(0), ..RunnerFigures::default() });
        assert_eq!(figures.workers(&"a".into()), None);
    }
}

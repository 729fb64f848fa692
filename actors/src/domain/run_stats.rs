//! Statistics of runs, and their forms on the runner API. Source: node-runner 7 and 8.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::durations::Durations;
use crate::domain::ids::CheckId;
use crate::domain::samples::RunSamples;
use crate::domain::stats_entry::StatsEntry;

/// Runs of which the mean duration is taken.
const RING: usize = 32;

/// What a check is, as statistics show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckIdentity {
    /// Check name.
    pub check_name: String,
    /// Check id.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// Version of the check's code.
    pub check_version: String,
    /// Where its config came from.
    pub check_config_source: String,
    /// `core` or `python`.
    pub check_loader: String,
    /// Nanoseconds.
    #[serde(serialize_with = "nanoseconds")]
    pub interval: Duration,
}

/// How many things a run submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Numbers.
    pub metric_samples: u64,
    /// Histogram buckets.
    pub histogram_buckets: u64,
    /// Events.
    pub events: u64,
    /// Service checks.
    pub service_checks: u64,
}

impl SampleCounts {
    /// Counts what is there.
    #[must_use]
    pub fn of(samples: &RunSamples) -> Self {
        Self {
            metric_samples: samples.samples.len() as u64,
            histogram_buckets: samples.buckets.len() as u64,
            events: samples.events.len() as u64,
            service_checks: samples.service_checks.len() as u64,
        }
    }
}

/// A finished run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FinishedRun {
    /// Monotonic time at which it started.
    pub started_at: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// How long it waited for a permit.
    pub queue_wait: Duration,
    /// Nanoseconds since the Unix epoch when it ended.
    pub finished_unix_nanos: i64,
    /// What it submitted.
    pub counts: SampleCounts,
    /// Texts for the operator.
    pub warnings: Vec<String>,
    /// Why it failed, scrubbed.
    pub error: Option<String>,
    /// Whether it was ended by the hard timeout.
    pub timed_out: bool,
}

/// What a check is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Has a place in the schedule, no run yet.
    #[default]
    Scheduled,
    /// Waits for a permit.
    Queued,
    /// Runs.
    Running,
    /// Waits for its next turn.
    Idle,
}

/// Statistics of one check. Serialises to the keys of stock status output, followed by ours.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckStats {
    /// What it is.
    #[serde(flatten)]
    pub identity: CheckIdentity,
    /// Finished runs.
    pub total_runs: u64,
    /// Finished runs that failed.
    pub total_errors: u64,
    /// Warnings of all runs.
    pub total_warnings: u64,
    /// Of the last run that submitted any.
    pub metric_samples: u64,
    /// Of the last run that submitted any.
    pub events: u64,
    /// Of the last run that submitted any.
    pub service_checks: u64,
    /// Of the last run that submitted any.
    pub histogram_buckets: u64,
    /// Of all runs.
    pub total_metric_samples: u64,
    /// Of all runs.
    pub total_events: u64,
    /// Of all runs.
    pub total_service_checks: u64,
    /// Of all runs.
    pub total_histogram_buckets: u64,
    /// Durations of the last 32 runs, milliseconds; run n is at n modulo 32.
    pub execution_times: Vec<u64>,
    /// Mean of `execution_times`, whole milliseconds.
    pub average_execution_time: u64,
    /// Milliseconds.
    pub last_execution_time: u64,
    /// Seconds since the Unix epoch of the last run without an error, 0 = never.
    pub last_success_date: i64,
    /// Milliseconds since the Unix epoch of the last run, 0 = never.
    pub last_execution_date: i64,
    /// Empty when the last run succeeded.
    pub last_error: String,
    /// Seconds by which the last start was later than the previous start plus the interval.
    pub last_delay: u64,
    /// Warnings of the last run.
    pub last_warnings: Vec<String>,
    /// Seconds since the Unix epoch.
    pub update_timestamp: i64,
    /// Whether it runs for ever; native checks never do.
    pub long_running: bool,
    /// Whether it is being stopped.
    pub cancelling: bool,
    /// Ours: milliseconds the last run waited for a permit.
    #[serde(rename = "queue_wait_ms")]
    pub queue_wait_ms: u64,
    /// Ours: turns that found the check still queued or running.
    #[serde(rename = "missed_runs")]
    pub missed_runs: u64,
    /// Ours: runs that the hard timeout ended.
    #[serde(rename = "timeouts")]
    pub timeouts: u64,
    /// Ours: what it is doing.
    #[serde(rename = "state")]
    pub state: CheckState,
    /// Ours: seconds since the Unix epoch of the next turn, 0 = unknown.
    #[serde(rename = "next_run")]
    pub next_run: i64,
    #[serde(skip)]
    last_start: Option<Duration>,
}

impl CheckStats {
    /// A check that has not run yet.
    #[must_use]
    pub fn new(identity: CheckIdentity) -> Self {
        Self { identity, ..Self::default() }
    }

    /// Adds a finished run.
    pub fn record(&mut self, run: &FinishedRun) {
        let milliseconds = u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX);
        self.remember_duration(milliseconds);
        self.total_runs += 1;
        self.last_execution_time = milliseconds;
        self.queue_wait_ms = u64::try_from(run.queue_wait.as_millis()).unwrap_or(u64::MAX);
        self.total_warnings += run.warnings.len() as u64;
        self.last_warnings.clone_from(&run.warnings);
        self.timeouts += u64::from(run.timed_out);
        self.last_error = run.error.clone().unwrap_or_default();
        let seconds = run.finished_unix_nanos.div_euclid(1_000_000_000);
        if run.error.is_some() {
            self.total_errors += 1;
        } else {
            self.last_success_date = seconds;
        }
        self.last_execution_date = run.finished_unix_nanos.div_euclid(1_000_000);
        self.update_timestamp = seconds;
        self.last_delay = self.last_start.map_or(0, |last| run.started_at.saturating_sub(last + self.identity.interval).as_secs());
        self.last_start = Some(run.started_at);
        for (last, total, now) in [
            (&mut self.metric_samples, &mut self.total_metric_samples, run.counts.metric_samples),
            (&mut self.histogram_buckets, &mut self.total_histogram_buckets, run.counts.histogram_buckets),
            (&mut self.events, &mut self.total_events, run.counts.events),
            (&mut self.service_checks, &mut self.total_service_checks, run.counts.service_checks),
        ] {
            *total += now;
            // As stock: a run without any leaves the figure of an earlier run.
            if now > 0 {
                *last = now;
            }
        }
    }

    /// The form of the runner API.
    #[must_use]
    pub fn entry(&self) -> StatsEntry {
        StatsEntry {
            average_execution_time: self.average_execution_time,
            metric_samples: self.metric_samples,
            histogram_buckets: self.histogram_buckets,
            events: self.events,
            service_checks: self.service_checks,
            last_exec_failed: !self.last_error.is_empty(),
            last_error: self.last_error.clone(),
            total_runs: self.total_runs,
            total_errors: self.total_errors,
            total_metric_samples: self.total_metric_samples,
            total_events: self.total_events,
            total_service_checks: self.total_service_checks,
            last_success_date: self.last_success_date,
            last_execution_date: self.last_execution_date,
            pending: self.total_runs == 0,
        }
    }

    fn remember_duration(&mut self, milliseconds: u64) {
        let position = usize::try_from(self.total_runs).unwrap_or(0) % RING;
        match self.execution_times.get_mut(position) {
            Some(oldest) => *oldest = milliseconds,
            None => self.execution_times.push(milliseconds),
        }
        let sum = self.execution_times.iter().fold(0_u64, |sum, duration| sum.saturating_add(*duration));
        self.average_execution_time = sum / self.execution_times.len().max(1) as u64;
    }
}

/// Answer of `/api/v1/clcrunner/workers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WorkersReport {
    /// Number of workers: the capacity that balancing plans with.
    pub count: usize,
    /// `worker_1`, `worker_2`, ...
    pub instances: BTreeMap<String, WorkerReport>,
}

/// One worker of [`WorkersReport`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WorkerReport {
    /// Busy fraction, 0 to 1.
    pub utilization: f64,
}

impl WorkersReport {
    /// The same utilization for each of `count` workers.
    #[must_use]
    pub fn uniform(count: usize, utilization: f64) -> Self {
        Self { count, instances: (1..=count).map(|number| (format!("worker_{number}"), WorkerReport { utilization })).collect() }
    }
}

/// An instance that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadFailure {
    /// Check name.
    pub check_name: String,
    /// Where its config came from.
    pub config_source: String,
    /// Position in its config.
    pub instance: usize,
    /// What is wrong and what is allowed.
    pub error: String,
}

/// Finished runs of the checks of one name since the start of the process.
///
/// Unlike the statistics of a check they outlive it, so that counters never shrink.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunTotals {
    /// Without an error.
    pub succeeded: u64,
    /// With an error, but in time.
    pub failed: u64,
    /// Ended by the hard timeout.
    pub timed_out: u64,
    /// Turns that found the check still queued or running.
    pub missed: u64,
    /// How long they took.
    pub execution: Durations,
    /// How long they waited for a permit.
    pub queue_wait: Durations,
}

impl RunTotals {
    /// Counts a run.
    pub fn record(&mut self, run: &FinishedRun) {
        let count = match (run.timed_out, &run.error) {
            (true, _) => &mut self.timed_out,
            (false, Some(_)) => &mut self.failed,
            (false, None) => &mut self.succeeded,
        };
        *count += 1;
        self.execution.record(run.elapsed);
        self.queue_wait.record(run.queue_wait);
    }
}

/// Everything the runner API answers from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunStatsView {
    /// Statistics by check id.
    pub checks: BTreeMap<CheckId, std::sync::Arc<CheckStats>>,
    /// Instances that cannot run here.
    pub load_failures: Vec<LoadFailure>,
    /// Workers as of the last window.
    pub workers: WorkersReport,
    /// Runs by check name, for metrics.
    #[serde(skip)]
    pub totals: BTreeMap<String, RunTotals>,
}

impl RunStatsView {
    /// Body of `/api/v1/clcrunner/stats`.
    ///
    /// `with_pending`: whether checks without a finished run are listed, which a stock cluster agent would read as "free".
    #[must_use]
    pub fn entries(&self, with_pending: bool) -> BTreeMap<&str, StatsEntry> {
        let entries = self.checks.iter().map(|(id, stats)| (id.as_str(), stats.entry()));
        entries.filter(|(_, entry)| with_pending || !entry.pending).collect()
    }
}

fn nanoseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn run(milliseconds: u64) -> FinishedRun {
        FinishedRun {
            elapsed: Duration::from_millis(milliseconds),
            finished_unix_nanos: 1_700_000_000_123_456_789,
            ..FinishedRun::default()
        }
    }

    #[test]
    fn a_run_counts_once_by_how_it_ended() {
        let mut totals = RunTotals::default();
        let error = Some("refused".to_owned());
        totals.record(&FinishedRun { elapsed: Duration::from_millis(20), ..FinishedRun::default() });
        totals.record(&FinishedRun { error: error.clone(), ..FinishedRun::default() });
        totals.record(&FinishedRun { error, timed_out: true, queue_wait: Duration::from_secs(1), ..FinishedRun::default() });
        assert_eq!((totals.succeeded, totals.failed, totals.timed_out), (1, 1, 1));
        assert_eq!((totals.execution.count(), totals.execution.sum()), (3, Duration::from_millis(20)));
        assert_eq!((totals.queue_wait.count(), totals.queue_wait.sum()), (3, Duration::from_secs(1)));
    }

    #[test]
    fn nr_t8_the_average_is_the_mean_of_the_last_32_runs() {
        let mut stats = CheckStats::default();
        for milliseconds in [10, 20, 30] {
            stats.record(&run(milliseconds));
        }
        assert_eq!((stats.average_execution_time, stats.last_execution_time, stats.total_runs), (20, 30, 3));
        let mut stats = CheckStats::default();
        for milliseconds in 1..=33 {
            stats.record(&run(milliseconds));
        }
        assert_eq!((stats.average_execution_time, stats.total_runs, stats.execution_times.len()), (17, 33, 32));
    }

    #[test]
    fn nr_t9_a_run_without_samples_leaves_the_figure_of_the_last_one() {
        let mut stats = CheckStats::default();
        stats.record(&FinishedRun { counts: SampleCounts { metric_samples: 3, ..SampleCounts::default() }, ..run(1) });
        stats.record(&run(1));
        assert_eq!((stats.metric_samples, stats.total_metric_samples), (3, 3));
    }

    #[test]
    fn nr_t10_an_error_lasts_until_the_next_success() {
        let mut stats = CheckStats::default();
        stats.record(&FinishedRun { error: Some("boom".to_owned()), ..run(1) });
        let entry = stats.entry();
        assert_eq!((entry.last_exec_failed, entry.last_error.as_str(), entry.total_errors, entry.last_success_date), (true, "boom", 1, 0));
        stats.record(&run(1));
        let entry = stats.entry();
        assert_eq!((entry.last_exec_failed, entry.last_error.as_str(), entry.last_success_date), (false, "", 1_700_000_000));
    }

    #[test]
    fn the_wire_form_has_the_keys_of_a_new_runner_in_order() {
        let mut stats = CheckStats::default();
        stats.record(&run(12));
        assert_eq!(
            serde_json::to_string(&stats.entry()).unwrap(),
            r#"{"AverageExecutionTime":12,"MetricSamples":0,"HistogramBuckets":0,"Events":0,"ServiceChecks":0,"LastExecFailed":false,"LastError":"","TotalRuns":1,"TotalErrors":0,"TotalMetricSamples":0,"TotalEvents":0,"TotalServiceChecks":0,"LastSuccessDate":1700000000,"LastExecutionDate":1700000000123}"#
        );
        let old: StatsEntry = serde_json::from_str(r#"{"AverageExecutionTime":5,"MetricSamples":3,"IsClusterCheck":true}"#).unwrap();
        assert_eq!((old.average_execution_time, old.metric_samples, old.total_runs), (5, 3, 0));
    }

    #[test]
    fn checks_without_a_finished_run_are_listed_as_pending_only_when_asked_for() {
        let view = RunStatsView { checks: [(CheckId::from("load:1"), Arc::new(CheckStats::default()))].into(), ..RunStatsView::default() };
        assert_eq!(serde_json::to_string(&view.entries(false)).unwrap(), "{}");
        assert!(serde_json::to_string(&view.entries(true)).unwrap().contains(r#""TotalRuns":0"#));
        assert!(serde_json::to_string(&view.entries(true)).unwrap().ends_with(r#""Pending":true}}"#));
    }

    #[test]
    fn nr_t13_four_workers_make_four_instances() {
        let report = serde_json::to_string(&WorkersReport::uniform(4, 0.25)).unwrap();
        assert_eq!(
            report,
            r#"{"Count":4,"Instances":{"worker_1":{"Utilization":0.25},"worker_2":{"Utilization":0.25},"worker_3":{"Utilization":0.25},"worker_4":{"Utilization":0.25}}}"#
        );
    }

    #[test]
    fn the_delay_is_counted_from_the_previous_start_plus_the_interval() {
        let mut stats = CheckStats::new(CheckIdentity { interval: Duration::from_secs(15), ..CheckIdentity::default() });
        stats.record(&run(1));
        stats.record(&FinishedRun { started_at: Duration::from_secs(20), ..run(1) });
        assert_eq!(stats.last_delay, 5);
    }

    #[test]
    fn status_output_has_the_stock_keys() {
        let stats =
            CheckStats::new(CheckIdentity { interval: Duration::from_secs(15), check_id: "a:1".to_owned(), ..CheckIdentity::default() });
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(
            (json["Interval"].as_i64(), json["CheckID"].as_str(), json["TotalRuns"].as_i64()),
            (Some(15_000_000_000), Some("a:1"), Some(0))
        );
        assert_eq!(json["state"], "scheduled");
    }
}

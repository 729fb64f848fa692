//! Statistics of one check as runners tell them. Source: node-runner 8, cluster-checks 10.

use serde::{Deserialize, Serialize};

/// One check on the runner API (`/api/v1/clcrunner/stats`). Every key is optional when read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StatsEntry {
    /// Milliseconds.
    pub average_execution_time: u64,
    /// Of the last run that submitted any.
    pub metric_samples: u64,
    /// Of the last run that submitted any.
    pub histogram_buckets: u64,
    /// Of the last run that submitted any.
    pub events: u64,
    /// Of the last run that submitted any.
    pub service_checks: u64,
    /// Whether `last_error` is not empty.
    pub last_exec_failed: bool,
    /// Error of the last run.
    pub last_error: String,
    /// Finished runs.
    pub total_runs: u64,
    /// Failed runs.
    pub total_errors: u64,
    /// Of all runs.
    pub total_metric_samples: u64,
    /// Of all runs.
    pub total_events: u64,
    /// Of all runs.
    pub total_service_checks: u64,
    /// Seconds since the Unix epoch.
    pub last_success_date: i64,
    /// Milliseconds since the Unix epoch.
    pub last_execution_date: i64,
    /// Ours: no run has finished yet, so the figures say nothing. Only written when true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

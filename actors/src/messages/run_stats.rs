//! Messages to `RunStats`.

use std::collections::HashSet;

use actix::Message;

use crate::domain::ids::CheckId;
use crate::domain::run_stats::{CheckIdentity, CheckState, FinishedRun, LoadFailure};

/// A check got a place in the schedule.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CheckScheduled {
    /// Its id.
    pub id: CheckId,
    /// What it is.
    pub identity: CheckIdentity,
}

/// Checks lost their place; their statistics are dropped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ChecksUnscheduled {
    /// Their ids.
    pub ids: Vec<CheckId>,
}

/// Exactly these checks have a place; statistics of others are left from before a restart and are dropped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RetainChecks {
    /// Their ids.
    pub ids: HashSet<CheckId>,
}

/// All instances that cannot run here, replacing the list before.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct LoadFailures {
    /// The list, in the order of sources and configs.
    pub failures: Vec<LoadFailure>,
}

/// A check does something else now.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StateChanged {
    /// Its id.
    pub id: CheckId,
    /// What it does.
    pub state: CheckState,
}

/// When checks are due next.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NextRun {
    /// Their ids.
    pub ids: Vec<CheckId>,
    /// Seconds since the Unix epoch.
    pub at: i64,
}

/// A run ended by itself or by the hard timeout; cancelled runs are not reported.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RunFinished {
    /// Which check.
    pub id: CheckId,
    /// How it went.
    pub run: FinishedRun,
}

/// A turn found the check still queued or running.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RunMissed {
    /// Which check.
    pub id: CheckId,
}

/// Smoothed utilization of the workers at the end of a window.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct WorkersMeasured {
    /// Number of workers.
    pub count: usize,
    /// Busy fraction of each, 0 to 1.
    pub utilization: f64,
}

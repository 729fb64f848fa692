//! Messages to the `Aggregator`.

use actix::Message;

use crate::domain::ids::CheckId;
use crate::domain::sampler::RunTime;
use crate::domain::samples::RunSamples;

/// A run ended: everything it submitted, hosts and tags settled.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Commit {
    /// Which check.
    pub id: CheckId,
    /// What it submitted.
    pub samples: RunSamples,
    /// When the run ended: the time of all its points.
    pub at: RunTime,
}

/// Checks that run no more: their series are forgotten. What was committed is still flushed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Discard {
    /// Their ids.
    pub ids: Vec<CheckId>,
}

/// Hand everything committed to the outputs now; for shutdown.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FlushNow;

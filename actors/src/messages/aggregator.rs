//! Messages to the `Aggregator`.

use actix::Message;

use crate::domain::samples::Batch;

/// A run ended: what its check's series flushed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Commit {
    /// Points, service checks and events of the run.
    pub batch: Batch,
}

/// Hand everything committed to the outputs now; for shutdown.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FlushNow;

/// What the `Aggregator` publishes after every flush: what it handed to the outputs. Counters survive a restart of the actor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregatorStats {
    /// Flushes that had something to hand over.
    pub flushes: u64,
    /// Series handed to the outputs.
    pub series: u64,
    /// Sketches.
    pub sketches: u64,
    /// Check runs.
    pub check_runs: u64,
    /// Events.
    pub events: u64,
}

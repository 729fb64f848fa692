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

//! Messages to an `Output`.

use std::sync::Arc;

use actix::Message;

use crate::domain::samples::Batch;

/// Samples of one flush, for one destination. The queue is bounded by bytes: the oldest goes first, counted.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Enqueue {
    /// What to send.
    pub batch: Arc<Batch>,
}

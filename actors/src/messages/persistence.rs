//! Messages to `Persistence`, or to `Replica` where there may be several replicas.

use std::sync::Arc;

use actix::Message;

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::ids::Epoch;

/// The dispatcher knows nothing: answer with [`crate::messages::dispatcher::TableLoaded`] as soon as the table is read.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct LoadTable;

/// Append a change. Answered with [`crate::messages::dispatcher::DeltaSaved`], possibly together with later ones.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SaveDelta {
    /// The change.
    pub delta: Arc<TableDelta>,
}

/// Replace everything by this table: changes may have been lost on the way. Answered as [`SaveDelta`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SaveTable {
    /// The table as decided so far.
    pub table: Box<AssignmentTable>,
    /// The term of office in which the dispatcher decides.
    pub epoch: Epoch,
}

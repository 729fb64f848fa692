//! Messages to the `Journal`.

use actix::{Message, MessageResponse};
use serde::Serialize;

use crate::domain::journal::{Decision, JournalFilter};

/// The dispatcher decided something. May be lost: the journal explains, it decides nothing.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RecordDecisions {
    /// The decisions of one change, in key order.
    pub decisions: Vec<Decision>,
}

/// What was decided lately?
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "JournalPage")]
pub struct QueryJournal {
    /// Which decisions.
    pub filter: JournalFilter,
}

/// Answer to [`QueryJournal`].
#[derive(Debug, Clone, Default, Serialize, MessageResponse)]
pub struct JournalPage {
    /// The decisions asked for, newest first.
    pub decisions: Vec<Decision>,
    /// Decisions in the journal altogether.
    pub kept: usize,
    /// Decisions that were dropped to make room.
    pub forgotten: u64,
}

//! How far a warm-up has come.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::SpawnHandle;

use crate::domain::ids::{NodeName, Seq};

/// One warm-up; the default is none.
#[derive(Debug, Default)]
pub(super) struct WarmUp {
    /// It lasts.
    pub(super) on: bool,
    /// Nodes of a table of unknown age that have not polled yet; the warm-up for them ends when there is none left. `None` = no such
    /// warm-up.
    pub(super) unheard: Option<BTreeSet<NodeName>>,
    /// What ends it.
    pub(super) end: Option<SpawnHandle>,
    /// When it stops waiting for discovery.
    pub(super) latest: Duration,
    /// Its last decision.
    pub(super) decided: Seq,
}

impl WarmUp {
    /// Whether it is over for agents, too: until its last decision is shown they are told to keep what they have.
    pub(super) fn is_over(&self, shown: Seq) -> bool {
        !self.on && shown >= self.decided
    }
}

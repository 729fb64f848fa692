//! Keeps configs whose owners die in a row off every node.

use std::time::Duration;

use tracing::{info, warn};

use crate::balance::demands::quarantine_is_over;
use crate::balance::quarantine::{Death, Ending, Verdict};
use crate::cluster::dispatcher::Dispatcher;
use crate::domain::assignment::Placement;
use crate::domain::constraints::{ConstraintChange, Constraints, Quarantine};
use crate::domain::ids::{NodeName, Stamp};
use crate::domain::invariants::Permitted;
use crate::domain::journal::Cause;
use crate::domain::turn::{Committed, Turn};
use crate::domain::world::DanglingReason;
use crate::messages::dispatcher::{LostNode, RestartedNode};

/// Quarantines configs in a turn, before their owners are forgotten in it.
pub(super) fn impose(turn: &mut Turn<'_>, changes: &[ConstraintChange]) -> Permitted {
    let mut permitted = Permitted::default();
    for change in changes {
        turn.constrain(change);
        if let ConstraintChange::Quarantine { key, .. } = change {
            turn.place(*key, Placement::Dangling(DanglingReason::Quarantined), Cause::Quarantined);
            permitted.moved.insert(*key);
        }
    }
    permitted
}

impl Dispatcher {
    /// What these losses call for; to be imposed in the turn that takes the nodes out of the table. A node that was on its way out did
    /// not die of a check.
    pub(super) fn judge_lost(&mut self, lost: &[LostNode]) -> Vec<ConstraintChange> {
        let unannounced = |lost: &&LostNode| {
            let node = self.table.as_ref().and_then(|table| table.nodes().get(&lost.node));
            node.is_some_and(|node| node.presence.is_staying())
        };
        let deaths = lost.iter().filter(unannounced).filter_map(|lost| self.death(&lost.node, Ending::Lost, lost.silent_for));
        let deaths = deaths.collect();
        self.judge(deaths)
    }

    /// Takes in that agents were started again without a word, and quarantines what this calls for.
    pub(super) fn follow_restarts(&mut self, restarted: &[RestartedNode]) {
        if restarted.is_empty() || !self.may_decide() {
            return;
        }
        let deaths = restarted.iter().filter_map(|node| self.death(&node.node, Ending::Restarted, node.silent_for)).collect();
        let changes = self.judge(deaths);
        if !changes.is_empty() {
            self.decide(Cause::Quarantined, |turn| impose(turn, &changes));
        }
    }

    /// A node has this version of its set: if it was lost with it, it has never died.
    pub(super) fn follow_return(&mut self, node: &NodeName, stamp: Stamp) {
        self.deaths.returned(node, stamp);
    }

    fn death(&self, node: &NodeName, ending: Ending, silent_for: Duration) -> Option<Death> {
        let table = self.table.as_ref()?;
        let stamp = table.nodes().get(node)?.stamp;
        let held = table.set_of(node).iter().copied().collect();
        let last_heard = self.parts.clock.monotonic().saturating_sub(silent_for);
        Some(Death { node: node.clone(), ending, last_heard, stamp, held })
    }

    fn judge(&mut self, deaths: Vec<Death>) -> Vec<ConstraintChange> {
        let Some(table) = self.table.as_ref().filter(|_| !self.warm_up.on) else { return Vec::new() };
        let now = self.parts.clock.unix_nanos();
        let verdicts = self.deaths.died(deaths, table.nodes().len(), self.parts.clock.monotonic());
        let lasts = i64::try_from(self.deaths.policy().duration.as_nanos()).unwrap_or(i64::MAX);
        let changes = verdicts.into_iter().map(|Verdict { key, killed }| {
            let check = table.config(key).map(|config| config.config.name.as_str());
            warn!(%key, check, ?killed, "config is quarantined: its owners died one after the other");
            let quarantine = Quarantine { since_unix_nanos: now, until_unix_nanos: now.saturating_add(lasts), killed };
            ConstraintChange::Quarantine { key, quarantine }
        });
        changes.collect()
    }

    /// Takes in a change of the table; `before` is what was demanded before it.
    pub(super) fn follow_deaths(&mut self, committed: &Committed, before: &Constraints) {
        let now = self.parts.clock.monotonic();
        for decision in &committed.decisions {
            if decision.cause == Cause::Removed {
                self.deaths.forget(decision.key);
            } else if decision.from != decision.to {
                self.deaths.placed(decision.key, decision.to.as_ref(), now);
            }
        }
        let Some(after) = &committed.delta.constraints_put else { return };
        for (key, quarantine) in before.quarantined.iter().filter(|(key, _)| !after.quarantined.contains_key(key)) {
            info!(%key, "quarantine ended");
            if quarantine.until_unix_nanos <= self.parts.clock.unix_nanos() {
                self.deaths.release(*key);
            } else {
                // Somebody took it back, and so vouches for the config.
                self.deaths.forget(*key);
            }
        }
    }

    /// Once per second.
    pub(super) fn look_at_deaths(&mut self) {
        self.deaths.look(self.parts.clock.monotonic());
        let now = self.parts.clock.unix_nanos();
        if self.table.as_ref().is_some_and(|table| quarantine_is_over(table, now)) {
            self.decide(Cause::Released, |_| Permitted::default());
        }
    }
}

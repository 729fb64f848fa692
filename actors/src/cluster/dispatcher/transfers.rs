//! Changes of owner that wait for somebody: what nodes have confirmed, and whose grants have ended.

use std::time::Duration;

use actix::prelude::*;
use tracing::debug;

use crate::cluster::dispatcher::Dispatcher;
use crate::domain::assignment::Placement;
use crate::domain::grants::GrantWatch;
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::ConfigKey;
use crate::domain::invariants::Permitted;
use crate::domain::journal::Cause;
use crate::domain::turn::{Committed, Turn};
use crate::domain::world::DanglingReason;
use crate::messages::dispatcher::{LostNode, StampsConfirmed};

impl Dispatcher {
    /// A term begins: grants of the leader before may be in force, and nobody has confirmed anything to this one.
    ///
    /// With a table of unknown age nothing is granted until they are over: what it says that a node has, another one may have.
    pub(super) fn begin_grants(&mut self, in_doubt: bool) {
        let served = self.parts.published.reader().current();
        let went_on = served.epoch == self.epoch && served.grants_withheld;
        self.grants = GrantWatch::beginning(self.now(), self.parts.policy.node_expiration);
        self.grants_withheld = in_doubt || went_on;
    }

    /// Prepares a turn, after what was to be changed was changed and before anything is placed.
    pub(super) fn mind_grants(grants: &GrantWatch, turn: &mut Turn<'_>, now: Duration) {
        if grants.holds(now) {
            turn.hold_back();
        }
        let back: Vec<_> = turn.table().dangling().iter().filter_map(|key| Some((*key, grants.resumed(*key)?.clone()))).collect();
        for (key, transfer) in back {
            // A node that came back meanwhile begins with another version; it was told anew what to run.
            let node = turn.table().nodes().get(&transfer.from);
            if node.is_none_or(|node| node.stamp >= transfer.stamp) {
                turn.place(key, Placement::Moving(transfer), Cause::Discovered);
            }
        }
    }

    /// Remembers who may still run what discovery lost.
    pub(super) fn remember_abandoned(&mut self, committed: &Committed) {
        let Some(table) = &self.table else { return };
        for (key, before) in &committed.rows_before {
            let Some(row) = before.as_ref().filter(|_| !table.rows().contains_key(key)) else { continue };
            if row.config.traits.handover != Handover::AtMostOnce {
                continue;
            }
            let transfer = match &row.placement {
                Placement::Owned(owner) => {
                    let stamp = table.nodes().get(owner).map(|node| node.stamp).unwrap_or_default();
                    Transfer { from: owner.clone(), to: None, waits_for: Confirmation::Stopped, stamp }
                }
                Placement::Moving(transfer) => Transfer { to: None, ..transfer.clone() },
                Placement::Dangling(_) => continue,
            };
            self.grants.abandoned(*key, transfer);
        }
    }

    /// These nodes are gone, as far as the table was changed accordingly.
    pub(super) fn follow_lost(&mut self, lost: &[LostNode]) {
        let now = self.now();
        let Some(table) = &self.table else { return };
        for LostNode { node, silent_for, .. } in lost {
            self.grants.lost(node, *silent_for, now, table.seq());
        }
    }

    /// Once per second.
    pub(super) fn look_at_grants(&mut self) {
        let (now, shown) = (self.now(), self.exposure.shown());
        if let Some(table) = &self.table {
            self.grants.look(table, shown, now);
        }
        if self.grants_withheld && !self.grants.holds(now) {
            self.grants_withheld = false;
            self.publish();
        }
        self.end_transfers();
    }

    /// Ends the transfers for which nobody has to be waited any more, and places what was held back if that is over.
    pub(super) fn end_transfers(&mut self) {
        let now = self.now();
        let Some(table) = self.table.as_ref().filter(|_| self.deciding && !self.warm_up.on) else { return };
        let ended = self.grants.ended(table, now);
        let unknown = |key: &ConfigKey| {
            let placement = table.rows().get(key).map(|row| &row.placement);
            placement == Some(&Placement::Dangling(DanglingReason::GrantsUnknown))
        };
        let placeable = !self.grants.holds(now) && table.dangling().iter().any(unknown);
        if ended.is_empty() && !placeable {
            return;
        }
        debug!(transfers = ended.len(), "nobody has to be waited for any more");
        self.decide(Cause::HandedOver, |turn| {
            for key in ended {
                turn.release(key, Cause::HandedOver);
            }
            Permitted::default()
        });
    }

    pub(super) fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }
}

impl Handler<StampsConfirmed> for Dispatcher {
    type Result = ();

    fn handle(&mut self, confirmed: StampsConfirmed, _: &mut Context<Self>) {
        if !self.deciding {
            // `Membership` tells again when dispatching begins.
            return;
        }
        for (node, stamp) in confirmed.confirmed {
            self.follow_return(&node, stamp);
            self.grants.confirmed(node, stamp);
        }
        self.end_transfers();
        self.follow_restarts(&confirmed.restarted);
    }
}

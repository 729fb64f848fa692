//! The time after a cold start, or with a table of unknown age, in which agents keep what they have.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::cluster::dispatcher::{Dispatcher, TICK};
use crate::domain::assignment::AssignmentTable;
use crate::domain::ids::{NodeName, Seq};
use crate::domain::invariants::Permitted;
use crate::domain::journal::Cause;

/// Longest time that a warm-up waits for the first complete listing of discovery, counted from its beginning.
///
/// Why wait: who is told its set from half a listing stops the other half. Why not for ever: a kind of object that may not be
/// listed never becomes complete, and everything else has to go on: a listing takes seconds, so a minute is long.
const DISCOVERY_TIME: Duration = Duration::from_secs(60);

impl Dispatcher {
    /// `unheard`: the nodes of a table of unknown age, which may end it early.
    pub(super) fn begin_warm_up(&mut self, unheard: Option<BTreeSet<NodeName>>, context: &mut Context<Self>) {
        (self.warm_up.on, self.warm_up.unheard) = (true, unheard);
        self.warm_up.latest = self.parts.clock.monotonic() + DISCOVERY_TIME;
        self.warm_up_for(self.parts.policy.warmup, context);
    }

    fn warm_up_for(&mut self, time: Duration, context: &mut Context<Self>) {
        self.warm_up.end = Some(context.run_later(time, Self::end_warm_up));
    }

    pub(super) fn end_warm_up(&mut self, context: &mut Context<Self>) {
        if !self.may_decide() {
            // Without its decision, agents would be told that they have nothing to run.
            return self.warm_up_for(TICK, context);
        }
        if self.discovery_synced.is_none() && self.warm_up.unheard.is_none() {
            if self.parts.clock.monotonic() < self.warm_up.latest {
                return self.warm_up_for(TICK, context);
            }
            warn!(waited_seconds = DISCOVERY_TIME.as_secs(), "discovery is not complete, dispatching what it has found so far");
        }
        self.warm_up.on = false;
        self.decide(Cause::WarmedUp, |_| Permitted::default());
        if self.paused {
            // The lease ran out in between.
            self.warm_up.on = true;
            return self.warm_up_for(TICK, context);
        }
        self.warm_up.end = None;
        self.warm_up.decided = self.table.as_ref().map_or(Seq(0), AssignmentTable::seq);
        info!(placed = self.counters.placements, "warm-up ended");
        self.publish();
    }

    /// Ends the warm-up of a table of unknown age early, if all its nodes have polled or are gone.
    pub(super) fn call_roll(&mut self, context: &mut Context<Self>) {
        let (Some(unheard), Some(table)) = (&mut self.warm_up.unheard, &self.table) else { return };
        unheard.retain(|node| table.nodes().contains_key(node));
        if self.warm_up.on && unheard.is_empty() && self.discovery_synced.is_some() {
            if let Some(end) = self.warm_up.end.take() {
                context.cancel_future(end);
            }
            self.end_warm_up(context);
        }
    }
}

//! What the dispatcher does with each message. Every handler is short and waits for nobody.

use std::future::ready;

use actix::prelude::*;

use crate::balance::succession::{Succession, block};
use crate::cluster::dispatcher::quarantine::impose;
use crate::cluster::dispatcher::{Dispatcher, TICK};
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::exposure::Exposure;
use crate::domain::ids::{NodeName, Stamp};
use crate::domain::journal::Cause;
use crate::domain::lease::{Role, counts};
use crate::domain::turn::Turn;
use crate::domain::world::{DanglingReason, Presence, Standing};
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{
    ConfigsDiscovered, DeltaSaved, Departure, DiscoveryStarted, DiscoverySynced, NodesChanged, NodesWanted, Origin, PersistenceStarted,
    Poll, PollReply, TableLoaded,
};
use crate::messages::leader_election::{AnnounceLeadership, LeadershipChanged};
use crate::messages::persistence::{LoadTable, SaveTable};
use crate::supervised;

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(TICK, Self::tick);
        self.parts.outlets.leadership.post(AnnounceLeadership);
    }
}

supervised!(Dispatcher);

impl Observed for Dispatcher {
    fn observe(&self) -> serde_json::Value {
        let table = self.table.as_ref();
        serde_json::json!({
            "standing": self.standing(),
            "paused": self.paused,
            "role": self.role,
            "epoch": self.epoch,
            "decided": table.map(AssignmentTable::seq),
            "saved": self.settled,
            "shown": self.exposure.shown(),
            "waiting_for_disk": self.exposure.waiting(),
            "configs": table.map(|table| table.rows().len()),
            "dangling": table.map(|table| table.dangling().len()),
            "moving": table.map(|table| table.moving().len()),
            "unscheduled": self.unscheduled.flagged(),
            "nodes": table.map(|table| table.nodes().len()),
            "highest_stamp": table.map(AssignmentTable::highest_stamp),
            "discovery_synced": self.discovery_synced.is_some(),
            "advanced_dispatching": self.advanced.on(),
            "rejected": self.harvester.rejected(),
            "counters": self.counters,
        })
    }
}

impl Handler<LeadershipChanged> for Dispatcher {
    type Result = ();

    fn handle(&mut self, change: LeadershipChanged, context: &mut Context<Self>) {
        if !counts(self.epoch, change.epoch) {
            self.counters.stale_epoch_dropped += 1;
            return;
        }
        // What an incarnation before this one showed in the same term is still true.
        let shown_in = self.parts.published.reader().peek().epoch;
        let goes_on = change.role == Role::Leader && if self.table.is_some() { self.epoch } else { shown_in } == change.epoch;
        (self.role, self.epoch) = (change.role, change.epoch);
        if !goes_on {
            self.step_down(context);
        }
        if self.role == Role::Leader && self.table.is_none() {
            self.parts.outlets.load.post(LoadTable);
        }
    }
}

impl Handler<TableLoaded> for Dispatcher {
    type Result = ();

    fn handle(&mut self, loaded: TableLoaded, context: &mut Context<Self>) {
        // A second answer can only be older than what was decided since the first one. Who does not lead has no table; it is asked
        // for again with the next grant.
        let of_this_term = loaded.epoch.is_none_or(|epoch| epoch == self.epoch);
        if self.table.is_some() || self.role != Role::Leader || !of_this_term {
            return;
        }
        let table = *loaded.table;
        // Whoever was served endpoint checks a moment ago, by an earlier incarnation or the leader before, is served on.
        let discovery_synced = loaded.discovery_synced || self.parts.published.reader().peek().discovery_synced;
        self.discovery_synced = discovery_synced.then(|| table.seq());
        let nothing_discovered = !discovery_synced && table.rows().is_empty();
        let interrupted_warm_up = table.rows().values().any(|row| row.placement == Placement::Dangling(DanglingReason::WarmingUp));
        // An earlier incarnation of this term had its warm-up.
        let served = self.parts.published.reader().peek();
        let was_active = served.standing == Standing::Active && served.epoch == self.epoch;
        self.origin = match loaded.origin {
            Origin::Aged if was_active => Origin::Current,
            Origin::Current if interrupted_warm_up && table.rows().values().any(|row| row.placement.owner().is_some()) => Origin::Aged,
            Origin::Current if interrupted_warm_up || nothing_discovered => Origin::Nothing,
            origin => origin,
        };
        self.exposure = Exposure::of(&table);
        self.settled = table.seq();
        self.table = Some(table);
        self.begin(context);
    }
}

impl Handler<PersistenceStarted> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: PersistenceStarted, _: &mut Context<Self>) {
        match &self.table {
            None if self.role == Role::Leader => self.parts.outlets.load.post(LoadTable),
            None => {}
            Some(table) => self.parts.outlets.save_all.post(SaveTable { table: Box::new(table.clone()), epoch: self.epoch }),
        }
    }
}

impl Handler<DeltaSaved> for Dispatcher {
    type Result = ();

    fn handle(&mut self, saved: DeltaSaved, _: &mut Context<Self>) {
        let waiting_before = self.exposure.waiting();
        self.settled = self.settled.max(saved.seq);
        if self.exposure.saved(saved.seq) {
            if !saved.durable {
                self.counters.persistence_failures += (waiting_before - self.exposure.waiting()) as u64;
            }
            self.publish();
        }
    }
}

impl Handler<NodesChanged> for Dispatcher {
    type Result = ();

    fn handle(&mut self, change: NodesChanged, _: &mut Context<Self>) {
        if !self.may_decide() {
            // `Membership` tells again what differs when dispatching begins or goes on.
            return;
        }
        let expired = change.lost.iter().filter(|lost| lost.why == Cause::NodeExpired).count() as u64;
        self.counters.expired_nodes += expired;
        self.counters.deleted_nodes += change.lost.len() as u64 - expired;
        let quarantines = self.judge_lost(&change.lost);
        self.decide(Cause::NodeJoined, |turn| {
            let permitted = impose(turn, &quarantines);
            // Nodes that come first: one of them may be the successor of one that goes.
            for (node, facts) in change.seen {
                turn.put_node(&node, facts);
                turn.take_refused(&node);
            }
            for node in &change.returned {
                turn.set_presence(node, Presence::Staying);
            }
            for Departure { node, succession } in &change.departing {
                let awaited = *succession == Succession::Awaited;
                turn.set_presence(node, if awaited { Presence::HandingOver } else { Presence::Draining });
            }
            for Departure { node, succession } in &change.departing {
                if let Succession::By(successor) = succession {
                    hand_over(turn, node, successor);
                }
            }
            for lost in &change.lost {
                if let Some(successor) = &lost.successor {
                    hand_over(turn, &lost.node, successor);
                }
                turn.remove_node(&lost.node, lost.why);
            }
            permitted
        });
        self.follow_lost(&change.lost);
        let was_on = self.advanced.on();
        self.follow_nodes();
        if was_on != self.advanced.on() {
            self.publish();
        }
    }
}

/// Gives the set of a node that leaves to its successor, as far as that may run it; the rest is placed as usual.
fn hand_over(turn: &mut Turn<'_>, from: &NodeName, to: &NodeName) {
    for key in block(turn.table(), from, to) {
        turn.place(key, Placement::Owned(to.clone()), Cause::Succeeded);
    }
}

impl Handler<NodesWanted> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: NodesWanted, _: &mut Context<Self>) {
        self.restore_nodes(false);
    }
}

impl Handler<DiscoveryStarted> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: DiscoveryStarted, context: &mut Context<Self>) {
        self.harvester.inbox.started();
        self.work_off_discovery(context);
    }
}

impl Handler<ConfigsDiscovered> for Dispatcher {
    type Result = ();

    fn handle(&mut self, discovered: ConfigsDiscovered, context: &mut Context<Self>) {
        self.harvester.inbox.changed(discovered.added, discovered.removed);
        self.work_off_discovery(context);
    }
}

impl Handler<DiscoverySynced> for Dispatcher {
    type Result = ();

    fn handle(&mut self, synced: DiscoverySynced, context: &mut Context<Self>) {
        self.harvester.inbox.synced(synced.broken);
        self.work_off_discovery(context);
    }
}

impl Handler<Poll> for Dispatcher {
    type Result = ResponseFuture<PollReply>;

    fn handle(&mut self, poll: Poll, _: &mut Context<Self>) -> Self::Result {
        let Poll { node, last_change } = poll;
        if let Some(unheard) = &mut self.warm_up.unheard {
            unheard.remove(&node);
        }
        if let Some(reply) = self.reply_to(&node, last_change) {
            if self.deciding && reply.standing == Standing::Starting {
                self.restore_nodes(false);
            }
            return Box::pin(ready(reply));
        }
        let answered = self.polls.wait(node, last_change);
        let nobody_knows = PollReply { standing: Standing::Starting, up_to_date: false, stamp: Stamp(0) };
        Box::pin(async move { answered.await.unwrap_or(nobody_knows) })
    }
}

//! What the replica does with each message.

use std::future::ready;
use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;

use crate::cluster::replica::{Replica, State};
use crate::domain::lease::{Role, counts};
use crate::domain::replication::{Content, Mirror, Position, Shipment};
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{Origin, PersistenceStarted};
use crate::messages::leader_election::{AnnounceLeadership, LeadershipChanged};
use crate::messages::persistence::{LoadTable, SaveDelta, SaveTable};
use crate::messages::replica::{FetchDeltas, OfferTable};
use crate::supervised;

impl Actor for Replica {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.parts.announce.post(AnnounceLeadership);
        self.parts.started.post(PersistenceStarted);
    }
}

supervised!(Replica);

impl Observed for Replica {
    fn observe(&self) -> serde_json::Value {
        let now = self.now();
        let state = match &self.state {
            State::Idle => json!("idle"),
            State::Following(following) => {
                json!({ "following": following.leader, "address": following.address, "failures": following.failures })
            }
            State::Seeking(seeking) => json!({ "seeking": { "offers": seeking.offers, "reading_snapshot": seeking.reading_snapshot } }),
            State::Leading(leading) => {
                let followers = leading.followers.in_step(now);
                json!({ "leading": { "followers": followers, "questions": leading.questions.keys().collect::<Vec<_>>() } })
            }
        };
        json!({
            "state": state,
            "epoch": self.epoch,
            "position": self.mirror.as_ref().map(|mirror| Position::of(&mirror.table)),
            "confirmed": self.mirror.as_ref().map(|mirror| mirror.confirmed),
            "shown_by_timer": self.shown_by_timer,
            "promotions": self.promotions,
            "tables_received": self.tables_received,
            "stale_epoch_dropped": self.stale_epoch_dropped,
            "snapshot_saves": self.saving.saves,
            "snapshot_failures": self.saving.failures,
        })
    }
}

impl Handler<LeadershipChanged> for Replica {
    type Result = ();

    fn handle(&mut self, change: LeadershipChanged, context: &mut Context<Self>) {
        if !counts(self.epoch, change.epoch) {
            self.stale_epoch_dropped += 1;
            return;
        }
        let same_term = self.epoch == change.epoch;
        self.epoch = change.epoch;
        match (change.role, &self.state) {
            (Role::Leader, State::Leading(_) | State::Seeking(_)) if same_term => {}
            (Role::Leader, _) => {
                self.leave(context);
                self.take_office(context);
            }
            (Role::Follower, State::Following(following)) if following.leader == change.leader && following.address == change.address => {}
            (Role::Follower, _) => {
                self.leave(context);
                self.follow(change.leader, change.address, context);
            }
            (Role::Unknown, _) => self.leave(context),
        }
    }
}

impl Handler<LoadTable> for Replica {
    type Result = ();

    fn handle(&mut self, _: LoadTable, _: &mut Context<Self>) {
        self.wanted = true;
        self.hand_out();
    }
}

impl Handler<SaveDelta> for Replica {
    type Result = ();

    fn handle(&mut self, save: SaveDelta, context: &mut Context<Self>) {
        self.decided(save.delta, context);
    }
}

impl Handler<SaveTable> for Replica {
    type Result = ();

    fn handle(&mut self, save: SaveTable, context: &mut Context<Self>) {
        if matches!(self.state, State::Following(_)) || !counts(self.epoch, save.epoch) {
            // The dispatcher does not know yet that its term is over.
            return;
        }
        let discovery_synced = self.parts.served.peek().discovery_synced;
        (self.unanswered, self.in_step_at) = (Some(save.table.seq()), Some(self.now()));
        self.mirror = Some(Mirror { table: *save.table, confirmed: save.epoch, discovery_synced });
        self.origin = Origin::Current;
        if !matches!(self.state, State::Idle) {
            self.lead(context);
        }
    }
}

impl Handler<FetchDeltas> for Replica {
    type Result = ResponseFuture<Shipment>;

    fn handle(&mut self, question: FetchDeltas, context: &mut Context<Self>) -> Self::Result {
        let content = match &self.state {
            State::Idle | State::Following(_) => Content::NotLeader,
            State::Seeking(_) => Content::NoTable,
            State::Leading(_) => return self.answer(question, context),
        };
        Box::pin(ready(self.shipment(content)))
    }
}

impl Handler<OfferTable> for Replica {
    type Result = bool;

    fn handle(&mut self, offer: OfferTable, context: &mut Context<Self>) -> bool {
        self.consider(*offer.mirror, &offer.replica, context)
    }
}

impl Replica {
    pub(super) fn shipment(&self, content: Content) -> Shipment {
        Shipment { epoch: self.epoch, discovery_synced: self.parts.served.peek().discovery_synced, content }
    }

    /// The whole copy for a follower.
    pub(super) fn whole(&self) -> Content {
        self.mirror.as_ref().map_or(Content::NoTable, |mirror| Content::Table(Arc::new(mirror.table.to_delta())))
    }
}

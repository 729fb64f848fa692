//! The leader's side: changes go to followers, and their questions acknowledge them.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::cluster::replica::{Leading, Question, Replica, Seeking, State};
use crate::domain::assignment::TableDelta;
use crate::domain::lease::counts;
use crate::domain::replication::{Content, FOLLOWER_TIME, Followers, History, Position, SHOW_AFTER, Shipment, Unsettled};
use crate::domain::world::Standing;
use crate::messages::dispatcher::{DeltaSaved, Origin, TableLoaded};
use crate::messages::leader_election::EpochSeen;
use crate::messages::replica::{FetchDeltas, HOLD};

impl Replica {
    /// This replica was granted the lock: goes on with its copy if nobody led since it was taken, else looks for a better one.
    pub(super) fn take_office(&mut self, context: &mut Context<Self>) {
        // A leader that dies was asked not long before it renewed the lock for the last time. If this replica lost it earlier,
        // another follower may know what was decided since.
        let fresh = FOLLOWER_TIME + self.parts.timings.lease;
        let in_step = self.in_step_at.is_some_and(|at| self.now().saturating_sub(at) <= fresh);
        let promoted = in_step && self.mirror.as_ref().is_some_and(|mirror| mirror.is_of_the_term_before(self.epoch));
        if promoted {
            self.promotions += 1;
            self.lead(context);
        } else {
            self.seek(context);
        }
    }

    /// Begins to lead with the copy that is here.
    pub(super) fn lead(&mut self, context: &mut Context<Self>) {
        let now = self.now();
        let mirror = self.mirror.get_or_insert_default();
        let decided_in = mirror.table.epoch();
        if !counts(decided_in, self.epoch) {
            // The lock was deleted and counts from the beginning. It goes on from here, and comes back with a later grant.
            warn!(table = decided_in.0, granted = self.epoch.0, "the table is of a later epoch than the lock");
            mirror.confirmed = decided_in;
            self.in_step_at = Some(now);
            self.state = State::Idle;
            self.parts.epochs.post(EpochSeen { epoch: decided_in });
            return;
        }
        mirror.confirmed = self.epoch;
        let (table, origin) = (&mirror.table, self.origin);
        info!(
            epoch = self.epoch.0,
            configs = table.rows().len(),
            nodes = table.nodes().len(),
            ?origin,
            "this replica leads with this table"
        );
        let mut unsettled = Unsettled::default();
        if let Some(seq) = self.unanswered.take() {
            // What it decided last may have been lost with an earlier incarnation of this actor, and is not shown yet.
            unsettled.push(seq, now);
            context.run_later(SHOW_AFTER, |replica, _| replica.settle());
        }
        self.state = State::Leading(Leading {
            since: now,
            history: History::new(Position::of(table)),
            followers: Followers::default(),
            unsettled,
            questions: BTreeMap::new(),
        });
        self.hand_out();
        if self.origin != Origin::Nothing {
            self.save_later(context);
        }
    }

    /// Answers a request for the table once everything in it is shown or about to be.
    ///
    /// Why so late: the dispatcher shows at once what it gets here.
    pub(super) fn hand_out(&mut self) {
        let State::Leading(leading) = &self.state else { return };
        let Some(mirror) = self.mirror.as_ref().filter(|_| self.wanted && leading.unsettled.is_empty()) else { return };
        self.wanted = false;
        // Not to be lost: without a table the dispatcher decides nothing.
        self.parts.loaded.post(TableLoaded {
            table: Box::new(mirror.table.clone()),
            origin: self.origin,
            discovery_synced: mirror.discovery_synced,
            epoch: Some(self.epoch),
        });
    }

    /// The dispatcher decided: tells those who wait for news.
    pub(super) fn decided(&mut self, delta: Arc<TableDelta>, context: &mut Context<Self>) {
        let now = self.now();
        let (State::Leading(leading), Some(mirror)) = (&mut self.state, &mut self.mirror) else { return };
        if delta.epoch != self.epoch || !mirror.table.apply(&delta) {
            // Decided in an earlier term, or before an incarnation of the dispatcher that sent its whole table.
            return;
        }
        if self.origin == Origin::Nothing {
            // What waits for the end of the warm-up says so itself.
            self.origin = Origin::Current;
        }
        leading.unsettled.push(delta.seq, now);
        leading.history.push(delta);
        for (_, question) in std::mem::take(&mut leading.questions) {
            self.ship(question);
        }
        self.settle();
        context.run_later(SHOW_AFTER, |replica, _| replica.settle());
        self.save_later(context);
    }

    /// A follower asks: what is new for it, or nothing before something happens.
    pub(super) fn answer(&mut self, question: FetchDeltas, context: &mut Context<Self>) -> ResponseFuture<Shipment> {
        let (now, nobody_leads) = (self.now(), self.shipment(Content::NotLeader));
        let State::Leading(leading) = &mut self.state else { return Box::pin(ready(nobody_leads)) };
        let news = question.position.and_then(|position| Some((position, leading.history.since(position)?)));
        let first = leading.followers.asked(&question.replica, now, news.as_ref().map(|(position, _)| position.seq));
        let (answer, answered) = oneshot::channel();
        match news {
            // The first answer of a term is not held: it confirms the follower's copy, with which it may have to lead soon.
            Some((position, news)) if news.is_empty() && !first => {
                self.questions_asked += 1;
                let (number, asker) = (self.questions_asked, question.replica.clone());
                leading.questions.insert(question.replica, Question { number, position, answer });
                context.run_later(HOLD, move |replica, _| replica.nothing_new(&asker, number));
            }
            Some((_, news)) => drop(answer.send(self.shipment(Content::Deltas(news)))),
            None => {
                debug!(replica = question.replica, "follower gets the whole table");
                drop(answer.send(self.shipment(self.whole())));
            }
        }
        self.settle();
        // A question that is dropped unanswered: this replica leads no more.
        Box::pin(async move { answered.await.unwrap_or(nobody_leads) })
    }

    fn nothing_new(&mut self, asker: &str, number: u64) {
        let State::Leading(leading) = &mut self.state else { return };
        if leading.questions.get(asker).is_some_and(|question| question.number == number)
            && let Some(question) = leading.questions.remove(asker)
        {
            self.ship(question);
        }
    }

    fn ship(&self, question: Question) {
        let State::Leading(leading) = &self.state else { return };
        let content = leading.history.since(question.position).map_or_else(|| self.whole(), Content::Deltas);
        // Whoever asked may have given up; it asks again.
        let _ = question.answer.send(self.shipment(content));
    }

    /// Tells the dispatcher what agents may be shown.
    fn settle(&mut self) {
        let now = self.now();
        let State::Leading(leading) = &mut self.state else { return };
        let served = self.parts.served.peek();
        if served.standing == Standing::Active && served.epoch == self.epoch {
            self.origin = Origin::Current;
        }
        drop(served);
        // Followers need a moment to find a new leader; before that their absence proves nothing.
        let expected = now.saturating_sub(leading.since) < FOLLOWER_TIME;
        while let Some(settled) = leading.unsettled.settle(now, &leading.followers, expected) {
            if !settled.known {
                self.shown_by_timer += settled.changes;
            }
            // Not to be lost: agents see nothing new without it.
            self.parts.saved.post(DeltaSaved { seq: settled.seq, durable: settled.known });
        }
        self.hand_out();
    }

    /// The state of a replica that looks for a table.
    pub(super) fn seeking(&self) -> Option<&Seeking> {
        match &self.state {
            State::Seeking(seeking) => Some(seeking),
            _ => None,
        }
    }
}

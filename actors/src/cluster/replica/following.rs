//! The follower's side: asks the leader for changes, again and again.

use std::time::Duration;

use actix::prelude::*;
use tracing::{debug, info, warn};

use crate::cluster::replica::{Following, Replica, State};
use crate::domain::replication::{Content, Position, Shipment, Taken, take_in};
use crate::messages::dispatcher::Origin;
use crate::messages::replica::{FetchDeltas, OfferTable};
use crate::ports::ReplicaError;

/// Time until a leader that did not help is asked again. Why so short: a leader that comes back without a table is blind until then.
const RETRY: Duration = Duration::from_millis(200);

/// The same after [`PATIENCE`] failures.
const LATE_RETRY: Duration = Duration::from_secs(1);

/// Failures in a row after which a leader is not on its way back.
const PATIENCE: u32 = 100;

/// Failures in a row of which the operator is told: a leader that restarts fails some.
const NOTABLE: u32 = 25;

/// Pause after an answer without news, so that a leader that holds no questions is not asked without end.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);

impl Replica {
    pub(super) fn follow(&mut self, leader: String, address: Option<String>, context: &mut Context<Self>) {
        info!(leader, address, epoch = self.epoch.0, "another replica leads");
        self.unanswered = None;
        self.state = State::Following(Following { leader, address, under_way: None, failures: 0 });
        self.pull(context);
    }

    fn pull(&mut self, context: &mut Context<Self>) {
        let State::Following(following) = &self.state else { return };
        // A leader of our own name is an earlier life of ours: nobody is there.
        let Some(address) = following.address.as_deref().filter(|_| following.leader != self.parts.identity) else { return };
        let position = self.mirror.as_ref().map(|mirror| Position::of(&mirror.table));
        let question = FetchDeltas { replica: self.parts.identity.clone(), position };
        let asked = self.parts.client.fetch(address, question).into_actor(self);
        self.under_way(asked.map(Self::pulled), context);
    }

    fn pulled(outcome: Result<Shipment, ReplicaError>, replica: &mut Self, context: &mut Context<Self>) {
        let shipment = match outcome {
            Ok(shipment) => shipment,
            Err(error) => return replica.failed(&error, context),
        };
        if matches!(shipment.content, Content::Table(_)) && shipment.epoch >= replica.epoch {
            replica.tables_received += 1;
        }
        match take_in(&mut replica.mirror, shipment, replica.epoch) {
            Taken::InStep { changed } => {
                replica.in_contact();
                if changed { replica.pull(context) } else { replica.pull_after(EMPTY_PAUSE, context) }
            }
            Taken::OutOfStep => replica.pull_after(EMPTY_PAUSE, context),
            Taken::Wanted => replica.offer(context),
            Taken::NotLeader => replica.pull_after(RETRY, context),
        }
    }

    /// The leader has no table: gives it ours, if there is one.
    fn offer(&mut self, context: &mut Context<Self>) {
        let State::Following(following) = &self.state else { return };
        let (Some(address), Some(mirror)) = (&following.address, &self.mirror) else { return self.pull_after(RETRY, context) };
        let offer = OfferTable { replica: self.parts.identity.clone(), mirror: Box::new(mirror.clone()) };
        let offered = self.parts.client.offer(address, offer).into_actor(self);
        let done = offered.map(|outcome, replica, context| match outcome {
            Ok(wanted) => {
                info!(wanted, "offered the table to the leader");
                replica.pull_after(RETRY, context);
            }
            Err(error) => replica.failed(&error, context),
        });
        self.under_way(done, context);
    }

    fn failed(&mut self, error: &ReplicaError, context: &mut Context<Self>) {
        let State::Following(following) = &mut self.state else { return };
        following.failures = following.failures.saturating_add(1);
        let failures = following.failures;
        let notable = if matches!(error, ReplicaError::Refused(_)) { 1 } else { NOTABLE };
        if failures == notable {
            warn!(%error, leader = following.leader, failures, "no copy of the assignment is kept here while this lasts");
        } else {
            debug!(%error, failures, "leader not asked");
        }
        self.pull_after(if failures > PATIENCE { LATE_RETRY } else { RETRY }, context);
    }

    fn in_contact(&mut self) {
        (self.in_step_at, self.origin) = (Some(self.now()), Origin::Current);
        let State::Following(following) = &mut self.state else { return };
        let failures = std::mem::take(&mut following.failures);
        if failures >= NOTABLE {
            info!(leader = following.leader, failures, "the assignment is copied again");
        }
    }

    fn pull_after(&mut self, pause: Duration, context: &mut Context<Self>) {
        let pause = context.run_later(pause, Self::pull);
        if let State::Following(following) = &mut self.state {
            following.under_way = Some(pause);
        }
    }

    fn under_way(&mut self, work: impl ActorFuture<Self, Output = ()> + 'static, context: &mut Context<Self>) {
        let work = context.spawn(work);
        if let State::Following(following) = &mut self.state {
            following.under_way = Some(work);
        }
    }
}

//! A leader without a table of the term before: asks followers by being asked, and reads the snapshot meanwhile.

use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::cluster::replica::{Replica, Seeking, State};
use crate::domain::replication::{Mirror, Position};
use crate::messages::dispatcher::Origin;

/// How long a new leader waits for an offer at least. Followers ask a leader that does not answer several times a second.
const OFFER_TIME: Duration = Duration::from_secs(2);

/// Time between the look at the lock by which a follower learns who leads, and its offer.
const FINDING_TIME: Duration = Duration::from_millis(500);

/// How long the first offer waits for a later table: longer than the pause between two questions of a follower.
const COMPARE_TIME: Duration = Duration::from_millis(300);

/// How long a snapshot is tried to be read before a cold start, counted from the grant of the lock.
const SNAPSHOT_TIME: Duration = Duration::from_secs(10);

/// Time between two attempts to read it.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(1);

impl Replica {
    pub(super) fn seek(&mut self, context: &mut Context<Self>) {
        let reading_snapshot = self.parts.snapshots.is_some();
        let best = self.mirror.take().map(|mirror| (mirror, Origin::Aged));
        info!(epoch = self.epoch.0, has_older_copy = best.is_some(), "this replica leads and looks for the latest table");
        self.state = State::Seeking(Seeking { since: self.now(), best, offers: 0, reading_snapshot });
        self.read_snapshot(context);
        context.run_later(self.offer_time(), Self::conclude_if_due);
    }

    /// How long a new leader waits for an offer. With a long lease, followers look at the lock so seldom that it takes longer.
    fn offer_time(&self) -> Duration {
        OFFER_TIME.max(self.parts.timings.look(1.0) + FINDING_TIME)
    }

    /// Somebody offers a copy. Returns whether it was wanted.
    pub(super) fn consider(&mut self, offered: Mirror, from: &str, context: &mut Context<Self>) -> bool {
        let State::Seeking(seeking) = &mut self.state else { return false };
        info!(from, position = ?Position::of(&offered.table), "a follower offers its table");
        seeking.offers += 1;
        seeking.take(offered, Origin::Current);
        if seeking.offers == 1 {
            let epoch = self.epoch;
            context.run_later(COMPARE_TIME, move |replica, context| {
                if replica.epoch == epoch {
                    replica.conclude(context);
                }
            });
        }
        true
    }

    fn read_snapshot(&mut self, context: &mut Context<Self>) {
        let Some(store) = &self.parts.snapshots else { return };
        let (epoch, reading) = (self.epoch, super::snapshots::read(store.load()));
        let reading = reading.into_actor(self).map(move |outcome, replica, context| {
            let since = match replica.seeking() {
                Some(seeking) if replica.epoch == epoch => seeking.since,
                _ => return,
            };
            match outcome {
                Err(error) if replica.now().saturating_sub(since) + SNAPSHOT_RETRY < SNAPSHOT_TIME => {
                    warn!(%error, "snapshot not read, trying again");
                    context.run_later(SNAPSHOT_RETRY, move |replica, context| {
                        if replica.epoch == epoch && replica.seeking().is_some() {
                            replica.read_snapshot(context);
                        }
                    });
                }
                outcome => replica.snapshot_read(outcome, context),
            }
        });
        context.spawn(reading);
    }

    fn snapshot_read(&mut self, outcome: Result<Option<Mirror>, String>, context: &mut Context<Self>) {
        let State::Seeking(seeking) = &mut self.state else { return };
        seeking.reading_snapshot = false;
        match outcome {
            Ok(Some(mirror)) => seeking.take(mirror, Origin::Aged),
            Ok(None) => info!("there is no snapshot"),
            Err(error) => warn!(%error, "snapshot not read, going on without it"),
        }
        self.conclude_if_due(context);
    }

    fn conclude_if_due(&mut self, context: &mut Context<Self>) {
        let Some(seeking) = self.seeking() else { return };
        if self.now().saturating_sub(seeking.since) >= self.offer_time() && !seeking.reading_snapshot {
            self.conclude(context);
        }
    }

    fn conclude(&mut self, context: &mut Context<Self>) {
        let State::Seeking(seeking) = &mut self.state else { return };
        let found = seeking.best.take();
        if found.is_none() {
            info!("no replica and no snapshot has a table: cold start");
        }
        let (mirror, origin) = found.unwrap_or_default();
        (self.mirror, self.origin) = (Some(mirror), origin);
        self.lead(context);
    }
}

impl Seeking {
    fn take(&mut self, candidate: Mirror, origin: Origin) {
        let position = Position::of(&candidate.table);
        let known = self.best.as_ref().map(|(best, known)| (Position::of(&best.table), *known == Origin::Current));
        // Of two equal copies the one that another replica offers says that agents were shown no more than this.
        if known < Some((position, origin == Origin::Current)) {
            self.best = Some((candidate, origin));
        }
    }
}

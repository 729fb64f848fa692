//! Finds out whether this replica decides, and tells everybody.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::domain::contender::{Action, Candidacy, Contender};
use crate::domain::ids::Epoch;
use crate::domain::lease::{Leadership, LeaseTimings, Role};
use crate::domain::lock_record::LockError;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::rng::Random;
use crate::kernel::supervised::Observed;
use crate::messages::leader_election::{AnnounceLeadership, EpochSeen, LeadershipChanged, Release};
use crate::ports::{LeaderDirectory, LeaseStore};
use crate::supervised;

/// A start without any known leader is worth a warning after this time. Source: cluster-agent-kubernetes 2.2.
pub const START_LIMIT: Duration = Duration::from_secs(10);

/// Giving the lock up takes at most this time; then the lease runs out by itself.
pub const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// Pause before the next attempt to give the lock up.
const RELEASE_RETRY: Duration = Duration::from_millis(100);

/// How it is decided who leads.
#[derive(Clone)]
pub enum Election {
    /// There are no other replicas: this one leads.
    Alone {
        /// Larger than that of every earlier start.
        epoch: Epoch,
    },
    /// Replicas compete for a lock.
    Contend {
        /// The lock.
        store: Arc<dyn LeaseStore>,
        /// What this replica brings.
        candidacy: Candidacy,
        /// Where leaders are looked up that did not tell their address.
        directory: Option<Arc<dyn LeaderDirectory>>,
        /// For the pauses between two looks.
        random: Arc<dyn Random>,
    },
}

impl Election {
    /// The times of the lock; those of the shortest lease where there is none.
    #[must_use]
    pub fn timings(&self) -> LeaseTimings {
        match self {
            Self::Alone { .. } => LeaseTimings::from_lease(LeaseTimings::MIN_LEASE),
            Self::Contend { candidacy, .. } => candidacy.timings,
        }
    }
}

/// What `LeaderElection` needs.
#[derive(Clone)]
pub struct LeaderElectionParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Alone or not.
    pub election: Election,
    /// Where threads read who leads. Outlives the actor, so that a restart does not interrupt anybody.
    pub published: Arc<Publisher<Leadership>>,
    /// Who is told when the role, the epoch, the leader or its address change.
    pub subscribers: Vec<Outlet<LeadershipChanged>>,
}

/// Owns the role and the epoch of this replica.
///
/// After a restart it claims its own lock at once, in a new epoch. What was published before stays until it has looked at the lock.
pub struct LeaderElection {
    parts: LeaderElectionParts,
    /// `None` alone.
    contender: Option<Contender>,
    /// A turn at the lock is under way.
    busy: bool,
    next_turn: Option<SpawnHandle>,
    lapse: Option<SpawnHandle>,
    /// What subscribers were told last.
    told: LeadershipChanged,
    /// A leader and its address, looked up because the lock does not name it.
    found: Option<(String, String)>,
    looking_up: bool,
    /// Dropped when the lock is given up, which answers everyone who asked for it.
    releasing: Vec<oneshot::Sender<()>>,
    failures: u64,
}

impl LeaderElection {
    /// An election that has not looked at the lock yet.
    #[must_use]
    pub fn new(parts: LeaderElectionParts) -> Self {
        let contender = match &parts.election {
            Election::Alone { .. } => None,
            Election::Contend { candidacy, .. } => Some(Contender::new(candidacy.clone(), parts.published.reader().peek().epoch)),
        };
        Self {
            parts,
            contender,
            busy: false,
            next_turn: None,
            lapse: None,
            told: LeadershipChanged::default(),
            found: None,
            looking_up: false,
            releasing: Vec::new(),
            failures: 0,
        }
    }

    fn turn(&mut self, context: &mut Context<Self>) {
        let (now, unix_nanos) = (self.parts.clock.monotonic(), self.parts.clock.unix_nanos());
        if let Some(contender) = self.contender.as_mut().filter(|_| !self.busy) {
            let action = contender.wake(now, unix_nanos);
            self.go_on(action, context);
        }
    }

    fn go_on(&mut self, action: Action, context: &mut Context<Self>) {
        let (Election::Contend { store, random, .. }, Some(contender)) = (&self.parts.election, &self.contender) else { return };
        match action {
            Action::Read => {
                self.busy = true;
                let answer = store.read().into_actor(self).map(|answer, election, context| {
                    election.count(answer.as_ref().err());
                    let (now, unix_nanos) = (election.parts.clock.monotonic(), election.parts.clock.unix_nanos());
                    election.after(context, |contender| contender.read(now, unix_nanos, answer));
                });
                context.spawn(answer);
            }
            Action::Write { record, version } => {
                self.busy = true;
                let answer = store.write(record, version).into_actor(self).map(|answer, election, context| {
                    election.count(answer.as_ref().err());
                    let now = election.parts.clock.monotonic();
                    election.after(context, |contender| contender.written(now, answer));
                });
                context.spawn(answer);
            }
            Action::Rest if contender.withdrawn() => {
                self.busy = false;
                if contender.unsettled() && !self.releasing.is_empty() {
                    self.wake_in(RELEASE_RETRY, context);
                } else {
                    self.releasing.clear();
                }
            }
            Action::Rest => {
                self.busy = false;
                let now = self.parts.clock.monotonic();
                let pause = contender.next_wake(now, random.unit()).saturating_sub(now);
                self.wake_in(pause, context);
                self.look_up(context);
            }
        }
    }

    /// The contender took an answer in: shows what follows from it, then does what follows from it.
    fn after(&mut self, context: &mut Context<Self>, take: impl FnOnce(&mut Contender) -> Action) {
        let Some(contender) = &mut self.contender else { return };
        let action = take(contender);
        self.show(context);
        self.go_on(action, context);
    }

    fn wake_in(&mut self, pause: Duration, context: &mut Context<Self>) {
        if let Some(earlier) = self.next_turn.take() {
            context.cancel_future(earlier);
        }
        self.next_turn = Some(context.run_later(pause, Self::turn));
    }

    fn count(&mut self, error: Option<&LockError>) {
        match error {
            // Somebody else was faster.
            None | Some(LockError::Conflict) => self.failures = 0,
            Some(error) => {
                self.failures += 1;
                if self.failures % 100 == 1 {
                    warn!(%error, failures = self.failures, "the lock of the leader election cannot be used");
                }
            }
        }
    }

    /// Asks for the address of a leader that did not write it into the lock.
    fn look_up(&mut self, context: &mut Context<Self>) {
        let Election::Contend { directory: Some(directory), .. } = &self.parts.election else { return };
        let Some(leadership) = self.contender.as_ref().map(|contender| contender.leadership(self.parts.clock.monotonic())) else { return };
        if leadership.role != Role::Follower || leadership.address.is_some() || self.looking_up {
            return;
        }
        self.looking_up = true;
        let answer = directory.address_of(&leadership.leader).into_actor(self).map(|address, election, context| {
            election.looking_up = false;
            if let Some(address) = address {
                election.found = Some((leadership.leader, address));
                election.show(context);
            }
        });
        context.spawn(answer);
    }

    fn leadership(&self) -> Leadership {
        let mut leadership = match (&self.parts.election, &self.contender) {
            (Election::Alone { epoch }, _) => Leadership { role: Role::Leader, epoch: *epoch, ..Leadership::default() },
            (Election::Contend { .. }, Some(contender)) => contender.leadership(self.parts.clock.monotonic()),
            (Election::Contend { .. }, None) => Leadership::default(),
        };
        if leadership.address.is_none()
            && let Some((_, address)) = self.found.as_ref().filter(|(leader, _)| *leader == leadership.leader)
        {
            leadership.address = Some(address.clone());
        }
        leadership
    }

    /// Publishes what is known now, tells who has to know, and comes back when it ends by time alone.
    fn show(&mut self, context: &mut Context<Self>) {
        let leadership = self.leadership();
        if let Some(earlier) = self.lapse.take() {
            context.cancel_future(earlier);
        }
        if let Some(until) = leadership.valid_until {
            let left = until.saturating_sub(self.parts.clock.monotonic());
            self.lapse = Some(context.run_later(left, Self::show));
        }
        let change = LeadershipChanged {
            role: leadership.role,
            epoch: leadership.epoch,
            leader: leadership.leader.clone(),
            address: leadership.address.clone(),
        };
        self.parts.published.publish(leadership);
        if change != self.told {
            self.log(&change);
            self.told = change;
            self.announce();
        }
    }

    fn log(&self, change: &LeadershipChanged) {
        let before = &self.told;
        if before.role == Role::Leader && change.role != Role::Leader {
            if self.contender.as_ref().is_some_and(Contender::withdrawn) {
                info!(epoch = before.epoch.0, "leadership given up to stop");
            } else {
                warn!(epoch = before.epoch.0, "leader election lost");
            }
        }
        let same_term = (before.role, before.epoch, &before.leader) == (change.role, change.epoch, &change.leader);
        if change.role != Role::Unknown && !same_term {
            let leads = change.role == Role::Leader;
            info!(leader = change.leader, leads, epoch = change.epoch.0, address = change.address, "leader elected");
        } else if change.role == Role::Unknown && before.role == Role::Follower {
            warn!(leader = before.leader, epoch = before.epoch.0, "no leader is known any more");
        }
    }

    fn announce(&self) {
        // Lost if the receiver is down; it asks when it starts.
        for subscriber in &self.parts.subscribers {
            subscriber.post(self.told.clone());
        }
    }
}

impl Actor for LeaderElection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if self.contender.is_none() {
            self.show(context);
            return;
        }
        context.run_later(START_LIMIT, |election, _| {
            if election.told.role == Role::Unknown {
                warn!(failures = election.failures, "leader election still not running, timeout after 10s");
            }
        });
        self.turn(context);
    }
}

supervised!(LeaderElection);

impl Observed for LeaderElection {
    fn observe(&self) -> serde_json::Value {
        let leadership = self.leadership();
        let left = leadership.valid_until.map(|until| until.saturating_sub(self.parts.clock.monotonic()).as_secs_f64());
        serde_json::json!({
            "role": leadership.role,
            "epoch": leadership.epoch,
            "leader": leadership.leader,
            "address": leadership.address,
            "valid_seconds": left,
            "contends": self.contender.as_ref().is_some_and(|contender| !contender.withdrawn()),
            "failures": self.failures,
        })
    }
}

impl Handler<AnnounceLeadership> for LeaderElection {
    type Result = ();

    fn handle(&mut self, _: AnnounceLeadership, _: &mut Context<Self>) {
        if self.told.role != Role::Unknown {
            self.announce();
        }
    }
}

impl Handler<EpochSeen> for LeaderElection {
    type Result = ();

    fn handle(&mut self, seen: EpochSeen, context: &mut Context<Self>) {
        if let Some(contender) = &mut self.contender {
            contender.learn(seen.epoch);
            self.show(context);
            self.turn(context);
        } else if let Election::Alone { epoch } = &mut self.parts.election
            && seen.epoch > *epoch
        {
            // The number of this start came from a clock that is behind the one of an earlier start.
            *epoch = Epoch(seen.epoch.0 + 1);
            self.show(context);
        }
    }
}

impl Handler<Release> for LeaderElection {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Release, context: &mut Context<Self>) -> Self::Result {
        let Some(contender) = &mut self.contender else { return Box::pin(ready(())) };
        contender.withdraw();
        // Silent first: from the moment the lock is free another may lead.
        self.show(context);
        let (held, released) = oneshot::channel::<()>();
        self.releasing.push(held);
        context.run_later(RELEASE_LIMIT, |election, _| election.releasing.clear());
        self.turn(context);
        Box::pin(async move {
            // Ends when the other end is dropped.
            let _ = released.await;
        })
    }
}

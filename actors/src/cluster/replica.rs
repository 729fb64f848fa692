//! Keeps a copy of the assignment on every replica, and tells the dispatcher how far followers got.

mod following;
mod handlers;
mod leading;
mod seeking;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::ids::{Epoch, Seq};
use crate::domain::lease::{Leadership, LeaseTimings};
use crate::domain::replication::{Followers, History, Mirror, Position, Shipment, Unsettled};
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::messages::dispatcher::{DeltaSaved, Origin, PersistenceStarted, TableLoaded};
use crate::messages::leader_election::{AnnounceLeadership, EpochSeen};
use crate::ports::{ReplicaClient, SnapshotStore};

/// What [`Replica`] needs.
#[derive(Clone)]
pub struct ReplicaParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identity of this replica, as in the lock.
    pub identity: String,
    /// Times of the lock.
    pub timings: LeaseTimings,
    /// The other replicas.
    pub client: Arc<dyn ReplicaClient>,
    /// Where the latest table is kept for the case that all replicas end; `None` = nowhere.
    pub snapshots: Option<Arc<dyn SnapshotStore>>,
    /// What the dispatcher shows.
    pub served: Reader<ServedTable>,
    /// Who leads.
    pub leadership: Reader<Leadership>,
    /// Who gets the table.
    pub loaded: Outlet<TableLoaded>,
    /// Who is told what followers know.
    pub saved: Outlet<DeltaSaved>,
    /// Who may have sent something that an earlier incarnation took with it.
    pub started: Outlet<PersistenceStarted>,
    /// Who tells the role again.
    pub announce: Outlet<AnnounceLeadership>,
    /// Who is told of which epoch a table is that the lock does not know of.
    pub epochs: Outlet<EpochSeen>,
}

/// What this replica is to the others.
enum State {
    /// Nobody knows who leads.
    Idle,
    /// Another replica leads: its table is copied.
    Following(Following),
    /// This replica leads and looks for the latest table.
    Seeking(Seeking),
    /// This replica leads and has its table.
    Leading(Leading),
}

struct Following {
    leader: String,
    address: Option<String>,
    /// The question, the offer or the pause that is under way.
    under_way: Option<SpawnHandle>,
    /// Since the last answer that helped.
    failures: u32,
}

struct Seeking {
    since: Duration,
    /// The latest copy so far, and what it is worth.
    best: Option<(Mirror, Origin)>,
    offers: u32,
    reading_snapshot: bool,
}

struct Leading {
    since: Duration,
    history: History,
    followers: Followers,
    unsettled: Unsettled,
    /// Held questions by follower; a later one takes the place of an earlier one.
    questions: BTreeMap<String, Question>,
}

struct Question {
    number: u64,
    position: Position,
    answer: oneshot::Sender<Shipment>,
}

/// What is known about the saved snapshot.
#[derive(Debug, Default)]
struct Saving {
    /// A save is under way or has its time.
    planned: bool,
    /// Something changed since the last save began.
    unsaved: bool,
    last_began: Option<Duration>,
    failures_in_a_row: u32,
    saves: u64,
    failures: u64,
}

/// Owns this replica's copy of the assignment. Stands where `Persistence` stands when there is only one replica.
///
/// After a restart it asks for the role; a leader's copy comes from its dispatcher, a follower's from the leader.
pub struct Replica {
    parts: ReplicaParts,
    state: State,
    epoch: Epoch,
    mirror: Option<Mirror>,
    /// Monotonic time at which whoever decided last had the same table as this replica; `None` = nobody knows.
    in_step_at: Option<Duration>,
    /// What the copy is worth to the dispatcher.
    origin: Origin,
    /// The dispatcher waits for the table.
    wanted: bool,
    /// The dispatcher sent its whole table up to here and waits to hear that followers have it.
    unanswered: Option<Seq>,
    saving: Saving,
    questions_asked: u64,
    shown_by_timer: u64,
    promotions: u64,
    tables_received: u64,
    stale_epoch_dropped: u64,
}

impl Replica {
    /// A replica without a copy.
    #[must_use]
    pub fn new(parts: ReplicaParts) -> Self {
        Self {
            parts,
            state: State::Idle,
            epoch: Epoch(0),
            mirror: None,
            in_step_at: None,
            origin: Origin::Nothing,
            wanted: false,
            unanswered: None,
            saving: Saving::default(),
            questions_asked: 0,
            shown_by_timer: 0,
            promotions: 0,
            tables_received: 0,
            stale_epoch_dropped: 0,
        }
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// Ends what this replica was. Held questions are answered by that: their askers look for the leader elsewhere.
    fn leave(&mut self, context: &mut Context<Self>) {
        if let State::Following(Following { under_way: Some(work), .. }) = &self.state {
            context.cancel_future(*work);
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Seeking(seeking) => (self.mirror, self.in_step_at) = (seeking.best.map(|(mirror, _)| mirror), None),
            State::Leading(_) => self.in_step_at = Some(self.now()),
            State::Idle | State::Following(_) => {}
        }
    }
}

//! Starts the actors of the cluster role and introduces them to each other.

use std::sync::Arc;

use crate::cluster::dispatcher::Dispatcher;
use crate::cluster::dispatcher_parts::{DispatchPolicy, DispatcherOutlets, DispatcherParts};
use crate::cluster::journal::Journal;
use crate::cluster::leader_election::{Election, LeaderElection, LeaderElectionParts};
use crate::cluster::membership::{Membership, MembershipParts, WatchedNodes};
use crate::cluster::persistence::{Persistence, PersistenceParts};
use crate::cluster::replica::{Replica, ReplicaParts};
use crate::domain::lease::Leadership;
use crate::domain::liveness::LivenessPolicy;
use crate::domain::patch::PatchOptions;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use crate::kernel::published::Publisher;
use crate::kernel::supervisor::Kernel;
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::{AssignmentStore, ReplicaClient, SnapshotStore};

/// Where the assignment is kept beside the dispatcher.
#[derive(Clone)]
pub enum Storage {
    /// On the own disk: nobody else decides.
    Local(Arc<dyn AssignmentStore>),
    /// On the other replicas.
    Replicated {
        /// Identity of this replica, as in the lock.
        identity: String,
        /// The way to the others.
        client: Arc<dyn ReplicaClient>,
        /// For the case that all replicas end; `None` = nothing is kept for it.
        snapshots: Option<Arc<dyn SnapshotStore>>,
    },
}

/// What dispatching needs from outside.
#[derive(Clone)]
pub struct DispatchingParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How discovered configs are patched.
    pub patch: Arc<PatchOptions>,
    /// Rules, among them the expiration of nodes.
    pub policy: DispatchPolicy,
    /// Disk or replicas.
    pub storage: Storage,
    /// How it is decided whether this replica leads.
    pub election: Election,
    /// Where everybody reads whether this replica leads.
    pub leadership: Arc<Publisher<Leadership>>,
    /// Where agents are answered from.
    pub published: Arc<Publisher<ServedTable>>,
    /// To the `Resolver`.
    pub replay: Outlet<ReplayDiscovery>,
    /// Pods and Kubernetes nodes as evidence about nodes; `None` where they are not watched.
    pub watched: Option<WatchedNodes>,
}

/// Handles of the dispatching actors. Made first, so that others can hold them before anything runs.
#[derive(Clone, Debug)]
pub struct Dispatching {
    /// Decides.
    pub dispatcher: Handle<Dispatcher>,
    /// Knows who lives.
    pub membership: Handle<Membership>,
    /// Knows whether this replica leads.
    pub leader_election: Handle<LeaderElection>,
    /// Keeps the assignment on disk; runs with [`Storage::Local`] only.
    pub persistence: Handle<Persistence>,
    /// Keeps the assignment on every replica; runs with [`Storage::Replicated`] only.
    pub replica: Handle<Replica>,
    /// Remembers why.
    pub journal: Handle<Journal>,
}

impl Default for Dispatching {
    fn default() -> Self {
        Self {
            dispatcher: Handle::new("Dispatcher"),
            membership: Handle::new("Membership"),
            leader_election: Handle::new("LeaderElection"),
            persistence: Handle::new("Persistence"),
            replica: Handle::new("Replica"),
            journal: Handle::new("Journal"),
        }
    }
}

impl Dispatching {
    /// Starts the actors: storage one by one, the deciding three as a group that restarts together (style 4.7).
    pub fn start(&self, kernel: &Kernel, parts: DispatchingParts) {
        let storage = kernel.one_for_one("assignment-storage", None);
        storage.child(&self.journal, STATE_OWNER_CAPACITY, Journal::default);
        let mut listeners = vec![self.dispatcher.outlet()];
        let (load, save, save_all) = match parts.storage {
            Storage::Local(store) => {
                let persistence = PersistenceParts {
                    store,
                    loaded: self.dispatcher.outlet(),
                    saved: self.dispatcher.outlet(),
                    started: self.dispatcher.outlet(),
                };
                storage.child(&self.persistence, STATE_OWNER_CAPACITY, move || Persistence::new(persistence.clone()));
                (self.persistence.outlet(), self.persistence.outlet(), self.persistence.outlet())
            }
            Storage::Replicated { identity, client, snapshots } => {
                let replica = ReplicaParts {
                    clock: Arc::clone(&parts.clock),
                    identity,
                    timings: parts.election.timings(),
                    client,
                    snapshots,
                    served: parts.published.reader(),
                    leadership: parts.leadership.reader(),
                    loaded: self.dispatcher.outlet(),
                    saved: self.dispatcher.outlet(),
                    started: self.dispatcher.outlet(),
                    announce: self.leader_election.outlet(),
                    epochs: self.leader_election.outlet(),
                };
                storage.child(&self.replica, STATE_OWNER_CAPACITY, move || Replica::new(replica.clone()));
                listeners.push(self.replica.outlet());
                (self.replica.outlet(), self.replica.outlet(), self.replica.outlet())
            }
        };

        let assignment = kernel.group("assignment", None);
        let served = parts.published.reader();
        let dispatcher = DispatcherParts {
            clock: Arc::clone(&parts.clock),
            patch: parts.patch,
            policy: parts.policy,
            published: parts.published,
            leadership: parts.leadership.reader(),
            outlets: DispatcherOutlets {
                load,
                save,
                save_all,
                replay: parts.replay,
                nodes: self.membership.outlet(),
                leadership: self.leader_election.outlet(),
                journal: self.journal.outlet(),
            },
        };
        assignment.child(&self.dispatcher, STATE_OWNER_CAPACITY, move || Dispatcher::new(dispatcher.clone()));
        let membership = MembershipParts {
            clock: Arc::clone(&parts.clock),
            policy: LivenessPolicy { expiration: parts.policy.node_expiration },
            changes: self.dispatcher.outlet(),
            confirmed: self.dispatcher.outlet(),
            restored: self.dispatcher.outlet(),
            served,
            watched: parts.watched,
        };
        assignment.child(&self.membership, STATE_OWNER_CAPACITY, move || Membership::new(membership.clone()));
        let election =
            LeaderElectionParts { clock: parts.clock, election: parts.election, published: parts.leadership, subscribers: listeners };
        assignment.child(&self.leader_election, STATE_OWNER_CAPACITY, move || LeaderElection::new(election.clone()));
    }
}

//! Starts the actors of the cluster role and introduces them to each other.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::policy::BalancePolicy;
use crate::balance::rebalancing::RebalancerView;
use crate::cluster::dispatcher::Dispatcher;
use crate::cluster::dispatcher::parts::{DispatchPolicy, DispatcherOutlets, DispatcherParts};
use crate::cluster::journal::Journal;
use crate::cluster::leader_election::{Election, LeaderElection, LeaderElectionParts};
use crate::cluster::membership::{Membership, MembershipParts, WatchedNodes};
use crate::cluster::persistence::{Persistence, PersistenceParts};
use crate::cluster::rebalancer::Rebalancer;
use crate::cluster::rebalancer::parts::RebalancerParts;
use crate::cluster::replica::{Replica, ReplicaParts};
use crate::cluster::stats_collector::{COLLECTION_PERIOD, StatsCollector, StatsCollectorParts};
use crate::domain::figures::Figures;
use crate::domain::lease::Leadership;
use crate::domain::liveness::LivenessPolicy;
use crate::domain::patch::PatchOptions;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use crate::kernel::published::Publisher;
use crate::kernel::supervisor::Kernel;
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::{AssignmentStore, ReplicaClient, RunnerStats, SnapshotStore};

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

/// What balancing needs from outside. The default balances by the documented rules, and asks no runner.
#[derive(Clone)]
pub struct Balancing {
    /// Rules.
    pub policy: BalancePolicy,
    /// The way to the statistics of runners; `None` = nobody is asked, so nothing is known and every config counts the same.
    pub runners: Option<Arc<dyn RunnerStats>>,
    /// Time from the beginning of a round of questions to that of the next one, usually [`COLLECTION_PERIOD`].
    pub collect_every: Duration,
    /// Where everybody reads what runners told.
    pub figures: Arc<Publisher<Figures>>,
    /// Where everybody reads what balancing did.
    pub published: Arc<Publisher<RebalancerView>>,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            policy: BalancePolicy::default(),
            runners: None,
            collect_every: COLLECTION_PERIOD,
            figures: Arc::new(Publisher::new(Figures::default())),
            published: Arc::new(Publisher::new(RebalancerView::default())),
        }
    }
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
    /// Balancing.
    pub balancing: Balancing,
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
    /// Plans; acts while this replica leads.
    pub rebalancer: Handle<Rebalancer>,
    /// Asks runners while this replica leads; runs only if there is a way to them.
    pub stats_collector: Handle<StatsCollector>,
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
            rebalancer: Handle::new("Rebalancer"),
            stats_collector: Handle::new("StatsCollector"),
        }
    }
}

impl Dispatching {
    /// Starts the actors: balancing and storage one by one, the deciding three as a group that restarts together (style 4.7).
    pub fn start(&self, kernel: &Kernel, parts: DispatchingParts) {
        self.start_balancing(kernel, &parts);
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
            cooldown: parts.balancing.policy.cooldown,
            figures: parts.balancing.figures.reader(),
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
    fn start_balancing(&self, kernel: &Kernel, parts: &DispatchingParts) {
        let balancing = &parts.balancing;
        let rebalancer = RebalancerParts {
            clock: Arc::clone(&parts.clock),
            policy: Arc::new(balancing.policy.clone()),
            served: parts.published.reader(),
            leadership: parts.leadership.reader(),
            figures: balancing.figures.reader(),
            published: Arc::clone(&balancing.published),
            plans: self.dispatcher.outlet(),
            collect: balancing.runners.as_ref().map(|_| self.stats_collector.outlet()),
            journal: self.journal.outlet(),
        };
        let group = kernel.one_for_one("balancing", None);
        group.child(&self.rebalancer, STATE_OWNER_CAPACITY, move || Rebalancer::new(rebalancer.clone()));
        let Some(runners) = &balancing.runners else { return };
        let collector = StatsCollectorParts {
            clock: Arc::clone(&parts.clock),
            served: parts.published.reader(),
            leadership: parts.leadership.reader(),
            runners: Arc::clone(runners),
            figures: Arc::clone(&balancing.figures),
            period: balancing.collect_every,
        };
        group.child(&self.stats_collector, STATE_OWNER_CAPACITY, move || StatsCollector::new(collector.clone()));
    }
}

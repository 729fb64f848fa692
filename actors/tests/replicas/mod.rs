//! Three cluster roles without HTTP, a network between them, and a lock that the test hands out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use muster_actors::cluster::dispatcher::Dispatcher;
use muster_actors::cluster::dispatcher::parts::{DispatchPolicy, DispatcherOutlets, DispatcherParts};
use muster_actors::cluster::membership::{Membership, MembershipParts};
use muster_actors::cluster::replica::{Replica, ReplicaParts};
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::constraints::ConstraintChange;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::ids::{ConfigKey, Epoch, NodeName, Seq, Stamp};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::lease::{Leadership, LeaseTimings, Role};
use muster_actors::domain::liveness::LivenessPolicy;
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::patch::PatchOptions;
use muster_actors::domain::world::{NodeKind, ServedTable};
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervised::Observe;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::kernel::universe::Universe;
use muster_actors::messages::dispatcher::{
    ApplyPlan, ConfigsDiscovered, DiscoveryStarted, DiscoverySynced, PlanReply, PlannedMove, Poll, PollReply,
};
use muster_actors::messages::leader_election::{AnnounceLeadership, EpochSeen, LeadershipChanged};
use muster_actors::messages::membership::Heartbeat;
use muster_actors::messages::resolver::ReplayDiscovery;
use muster_actors::testing::configs::{discovered, discovered_endpoint};
use muster_actors::testing::replica_network::ReplicaNetwork;
use muster_actors::testing::snapshot_store::FakeSnapshotStore;

const DEADLINE: Duration = Duration::from_secs(5);

/// Nodes with their versions and sets, as agents see them.
pub(crate) type Shown = BTreeMap<String, (Stamp, Vec<ConfigKey>)>;

/// A discovered `http_check` that differs from others by its number.
pub(crate) fn instance(number: u32) -> Arc<CheckConfig> {
    discovered("http_check", &format!("name: c{number}\nurl: http://127.0.0.1:{number}\n"))
}

pub(crate) fn endpoint(number: u32) -> Arc<CheckConfig> {
    discovered_endpoint("redisdb", &format!("port: {number}\n"), "k1")
}

/// A clock that also runs while a dispatcher is at work.
pub(crate) struct JumpingClock {
    real: Arc<dyn Clock>,
    looks_left: AtomicU32,
    jump_millis: AtomicU64,
    ahead_millis: AtomicU64,
}

impl JumpingClock {
    fn of(universe: &Universe) -> Arc<Self> {
        let (looks_left, jump_millis, ahead_millis) = Default::default();
        Arc::new(Self { real: universe.clock(), looks_left, jump_millis, ahead_millis })
    }

    /// Jumps ahead after so many looks.
    pub(crate) fn jump_after(&self, looks: u32, jump: Duration) {
        self.jump_millis.store(jump.as_millis() as u64, Ordering::Relaxed);
        self.looks_left.store(looks, Ordering::Relaxed);
    }
}

impl Clock for JumpingClock {
    fn monotonic(&self) -> Duration {
        let now = self.real.monotonic() + Duration::from_millis(self.ahead_millis.load(Ordering::Relaxed));
        let left = self.looks_left.load(Ordering::Relaxed);
        self.looks_left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            self.ahead_millis.fetch_add(self.jump_millis.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        now
    }

    fn unix_nanos(&self) -> i64 {
        self.real.unix_nanos()
    }
}

/// What all replicas discover.
#[derive(Clone, Default)]
struct Discovery {
    configs: Rc<RefCell<Vec<Arc<CheckConfig>>>>,
    /// Whether a listing comes to its end.
    complete: Rc<Cell<bool>>,
}

/// One process.
struct Process {
    kernel: Kernel,
    dispatcher: Handle<Dispatcher>,
    membership: Handle<Membership>,
    replica: Handle<Replica>,
    leadership: Arc<Publisher<Leadership>>,
    published: Arc<Publisher<ServedTable>>,
}

/// The replicas, by name; the name is the address, too.
pub(crate) struct Replicas {
    universe: Universe,
    /// Of the dispatchers.
    pub(crate) clock: Arc<JumpingClock>,
    /// Of the lock, as replicas know it that are started from now on.
    pub(crate) lease: Duration,
    pub(crate) network: ReplicaNetwork,
    pub(crate) snapshots: FakeSnapshotStore,
    discovery: Discovery,
    lock: Rc<RefCell<Leadership>>,
    /// The epoch that the election was told of last.
    pub(crate) epoch_seen: Rc<Cell<Option<u64>>>,
    processes: BTreeMap<&'static str, Process>,
}

fn tell(lock: &Leadership, name: &str, dispatcher: &Handle<Dispatcher>, replica: &Handle<Replica>, published: &Publisher<Leadership>) {
    let role = match lock.leader.as_str() {
        "" => Role::Unknown,
        leader if leader == name => Role::Leader,
        _ => Role::Follower,
    };
    published.publish(Leadership { role, ..lock.clone() });
    let change = LeadershipChanged { role, epoch: lock.epoch, leader: lock.leader.clone(), address: lock.address.clone() };
    dispatcher.post(change.clone());
    replica.post(change);
}

impl Replicas {
    /// No replica yet.
    pub(crate) fn none(universe: &Universe) -> Self {
        let discovery = Discovery::default();
        discovery.complete.set(true);
        Self {
            universe: universe.clone(),
            clock: JumpingClock::of(universe),
            lease: Duration::from_secs(15),
            network: ReplicaNetwork::default(),
            snapshots: FakeSnapshotStore::default(),
            discovery,
            lock: Rc::default(),
            epoch_seen: Rc::default(),
            processes: BTreeMap::new(),
        }
    }

    /// `r1` leads since long, `r2` and `r3` follow, agents `n1` to `n3` run ten checks.
    pub(crate) async fn at_work(universe: &Universe) -> Self {
        let mut replicas = Self::none(universe);
        for name in ["r1", "r2", "r3"] {
            replicas.start(name);
        }
        for number in 0..10 {
            replicas.find(instance(number));
        }
        replicas.find(endpoint(1));
        replicas.lead("r1", 1).await;
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 40).await;
        assert_eq!(replicas.shown("r1").values().map(|(_, set)| set.len()).sum::<usize>(), 10);
        replicas
    }

    pub(crate) fn start(&mut self, name: &'static str) {
        let kernel = self.universe.another_kernel(|reason| panic!("{reason}"));
        let (dispatcher, membership, replica) =
            (Handle::<Dispatcher>::new("Dispatcher"), Handle::<Membership>::new("Membership"), Handle::<Replica>::new("Replica"));
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let announce = {
            let (lock, dispatcher, replica) = (Rc::clone(&self.lock), dispatcher.clone(), replica.clone());
            let leadership = Arc::clone(&leadership);
            self.universe.stub("election", move |_: AnnounceLeadership| tell(&lock.borrow(), name, &dispatcher, &replica, &leadership))
        };
        let replay = {
            let (discovery, dispatcher) = (self.discovery.clone(), dispatcher.clone());
            self.universe.stub("discovery", move |_: ReplayDiscovery| {
                dispatcher.post(DiscoveryStarted);
                dispatcher.post(ConfigsDiscovered { added: discovery.configs.borrow().clone(), removed: Vec::new() });
                if discovery.complete.get() {
                    dispatcher.post(DiscoverySynced::default());
                }
            })
        };
        let parts = ReplicaParts {
            clock: self.universe.clock(),
            identity: name.to_owned(),
            timings: LeaseTimings::from_lease(self.lease),
            client: self.network.client(name),
            snapshots: Some(Arc::new(self.snapshots.clone())),
            served: published.reader(),
            leadership: leadership.reader(),
            loaded: dispatcher.outlet(),
            saved: dispatcher.outlet(),
            started: dispatcher.outlet(),
            announce: announce.clone(),
            epochs: {
                let seen = Rc::clone(&self.epoch_seen);
                self.universe.stub("epochs", move |message: EpochSeen| seen.set(Some(message.epoch.0)))
            },
        };
        kernel.one_for_one("storage", None).child(&replica, STATE_OWNER_CAPACITY, move || Replica::new(parts.clone()));
        let group = kernel.group("assignment", None);
        let parts = DispatcherParts {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            patch: Arc::new(PatchOptions::default()),
            policy: DispatchPolicy::default(),
            cooldown: Duration::from_secs(1200),
            figures: Publisher::new(Figures::default()).reader(),
            published: Arc::clone(&published),
            leadership: leadership.reader(),
            outlets: DispatcherOutlets {
                load: replica.outlet(),
                save: replica.outlet(),
                save_all: replica.outlet(),
                replay,
                nodes: membership.outlet(),
                leadership: announce,
                journal: self.universe.recorder("journal").0,
            },
        };
        group.child(&dispatcher, STATE_OWNER_CAPACITY, move || Dispatcher::new(parts.clone()));
        let parts = MembershipParts {
            clock: self.universe.clock(),
            policy: LivenessPolicy::default(),
            changes: dispatcher.outlet(),
            confirmed: dispatcher.outlet(),
            restored: dispatcher.outlet(),
            served: published.reader(),
            watched: None,
        };
        group.child(&membership, STATE_OWNER_CAPACITY, move || Membership::new(parts.clone()));
        self.network.serve(name, replica.outlet(), replica.outlet());
        self.processes.insert(name, Process { kernel, dispatcher, membership, replica, leadership, published });
    }

    /// Ends the process without a warning.
    pub(crate) async fn kill(&mut self, name: &str) {
        self.network.vanish(name);
        let process = self.processes.remove(name).expect("it runs");
        assert!(process.kernel.shutdown(DEADLINE).await.is_empty());
    }

    /// Grants the lock for ever.
    pub(crate) async fn lead(&self, name: &str, epoch: u64) {
        self.lead_until(name, epoch, None).await;
    }

    /// Grants the lock; everybody who is not frozen notices.
    pub(crate) async fn lead_until(&self, name: &str, epoch: u64, valid_until: Option<Duration>) {
        self.grant(name, epoch, valid_until);
        self.processes.keys().for_each(|name| self.notice(name));
        self.universe.settle().await;
    }

    /// Grants the lock; nobody notices yet.
    pub(crate) fn grant(&self, name: &str, epoch: u64, valid_until: Option<Duration>) {
        self.lock.replace(Leadership {
            role: Role::Unknown,
            epoch: Epoch(epoch),
            leader: name.to_owned(),
            address: Some(name.to_owned()),
            valid_until,
        });
    }

    /// A replica looks at the lock.
    pub(crate) fn notice(&self, name: &str) {
        let process = &self.processes[name];
        tell(&self.lock.borrow(), name, &process.dispatcher, &process.replica, &process.leadership);
    }

    /// The lease is renewed, which no actor is told.
    pub(crate) fn renew(&self, name: &str, valid_until: Duration) {
        let process = &self.processes[name];
        let leadership = process.leadership.reader().current();
        process.leadership.publish(Leadership { valid_until: Some(valid_until), ..(*leadership).clone() });
    }

    /// All replicas find a config, and those that run tell their dispatchers.
    pub(crate) fn find(&self, config: Arc<CheckConfig>) {
        self.discovery.configs.borrow_mut().push(Arc::clone(&config));
        for process in self.processes.values() {
            process.dispatcher.post(ConfigsDiscovered { added: vec![Arc::clone(&config)], removed: Vec::new() });
        }
    }

    /// A config is gone, and nobody was there to see it go.
    pub(crate) fn forget_first(&self) {
        self.discovery.configs.borrow_mut().remove(0);
    }

    /// From now on listings come to their end, or not.
    pub(crate) fn complete(&self, complete: bool) {
        self.discovery.complete.set(complete);
    }

    /// The end of a listing arrives.
    pub(crate) async fn synced(&self, name: &str) {
        self.processes[name].dispatcher.post(DiscoverySynced::default());
        self.universe.settle().await;
    }

    pub(crate) async fn poll(&self, replica: &str, node: &str, last_change: i64) -> PollReply {
        let process = &self.processes[replica];
        let compatibility = CheckCompatibility::default();
        let beat =
            Heartbeat { node: node.into(), address: None, kind: NodeKind::Runner, compatibility, honours_grants: false, last_change: 0 };
        process.membership.ask(beat, DEADLINE).await.expect("the actor answers");
        process.dispatcher.ask(Poll { node: node.into(), last_change }, DEADLINE).await.expect("the actor answers")
    }

    pub(crate) async fn keep_polling(&self, replica: &str, nodes: &[&str], seconds: u64) {
        for _ in 0..seconds {
            for node in nodes {
                self.poll(replica, node, -1).await;
            }
            self.universe.advance(Duration::from_secs(1)).await;
        }
    }

    pub(crate) fn served(&self, name: &str) -> Arc<ServedTable> {
        self.processes[name].published.reader().current()
    }

    pub(crate) fn shown(&self, name: &str) -> Shown {
        let set = |entry: &muster_actors::domain::world::NodeEntry| entry.view.configs.iter().map(|config| config.key).collect();
        self.served(name).nodes.iter().map(|(node, entry)| (node.to_string(), (entry.view.stamp, set(entry)))).collect()
    }

    pub(crate) fn set_size(&self, name: &str, node: &str) -> usize {
        self.served(name).nodes[&NodeName::from(node)].view.configs.len()
    }

    /// Carries out a plan for what agents are shown.
    pub(crate) async fn apply(&self, name: &str, constraints: Vec<ConstraintChange>, moves: Vec<PlannedMove>) -> PlanReply {
        let served = self.served(name);
        self.order(name, served.epoch, served.shown, constraints, moves).await
    }

    /// Hands a dispatcher demands for this change of the table.
    pub(crate) async fn apply_for(&self, name: &str, epoch: u64, generation: Seq, constraints: Vec<ConstraintChange>) -> PlanReply {
        self.order(name, Epoch(epoch), generation, constraints, Vec::new()).await
    }

    async fn order(
        &self,
        name: &str,
        epoch: Epoch,
        generation: Seq,
        constraints: Vec<ConstraintChange>,
        moves: Vec<PlannedMove>,
    ) -> PlanReply {
        let plan = ApplyPlan { epoch, generation, constraints, moves, cause: Cause::Rebalanced, counts: true };
        let reply = self.processes[name].dispatcher.ask(plan, DEADLINE).await.expect("the actor answers");
        self.universe.settle().await;
        reply
    }

    pub(crate) fn crash(&self, name: &str, actor: &str) {
        self.universe.expect_panics(1);
        assert!(self.processes[name].kernel.crash(actor));
    }

    pub(crate) async fn observe(&self, name: &str) -> serde_json::Value {
        self.processes[name].replica.ask(Observe, DEADLINE).await.expect("the actor answers")
    }

    pub(crate) async fn observe_dispatcher(&self, name: &str) -> serde_json::Value {
        self.processes[name].dispatcher.ask(Observe, DEADLINE).await.expect("the actor answers")
    }

    /// The log position of this replica's copy.
    pub(crate) async fn seq(&self, name: &str) -> u64 {
        self.observe(name).await["position"]["seq"].as_u64().unwrap_or(0)
    }
}

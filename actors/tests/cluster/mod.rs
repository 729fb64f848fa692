//! A cluster role without HTTP: the production actors on fakes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use actix::dev::ToEnvelope;
use muster_actors::balance::policy::BalancePolicy;
use muster_actors::cluster::dispatcher::Dispatcher;
use muster_actors::cluster::dispatcher::parts::DispatchPolicy;
use muster_actors::cluster::leader_election::Election;
use muster_actors::cluster::membership::WatchedNodes;
use muster_actors::cluster::rebalancer::Rebalancer;
use muster_actors::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use muster_actors::domain::config::{CheckConfig, DispatchedConfig};
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::digest::config_key;
use muster_actors::domain::ids::{ConfigKey, Epoch, NodeName, Stamp};
use muster_actors::domain::journal::Decision;
use muster_actors::domain::lease::{Leadership, LeaseTimings};
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::patch::PatchOptions;
use muster_actors::domain::world::{NodeKind, ServedTable};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervised::Observe;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::kernel::universe::Universe;
use muster_actors::messages::dispatcher::{ApplyPlan, ConfigsDiscovered, DiscoveryStarted, DiscoverySynced, PlanReply, Poll, PollReply};
use muster_actors::messages::informer::{ObjectsChanged, TellObjects};
use muster_actors::messages::journal::{JournalPage, QueryJournal};
use muster_actors::messages::membership::Heartbeat;
use muster_actors::messages::resolver::ReplayDiscovery;
use muster_actors::testing::assignment_store::FakeAssignmentStore;
use muster_actors::testing::configs::discovered;
use muster_actors::testing::lease_store::{FakeLeaseStore, LockService};
use muster_actors::testing::pods::NAMESPACE;
use muster_actors::testing::runner_stats::FakeRunnerStats;

const DEADLINE: Duration = Duration::from_secs(5);

/// A discovered `http_check` that differs from others by its number.
pub(crate) fn instance(number: u32) -> Arc<CheckConfig> {
    discovered("http_check", &format!("name: c{number}\nurl: http://127.0.0.1:{number}\n"))
}

pub(crate) struct Cluster {
    universe: Universe,
    kernel: Kernel,
    core: Dispatching,
    published: Arc<Publisher<ServedTable>>,
    patch: PatchOptions,
    policy: DispatchPolicy,
    epoch: u64,
    replays: Rc<Cell<u32>>,
    watching: bool,
    informer_asked: Rc<Cell<u32>>,
    balance: BalancePolicy,
    /// What runners tell at their addresses, `ip-<name>`.
    pub(crate) runners: FakeRunnerStats,
    pub(crate) store: FakeAssignmentStore,
    pub(crate) lease: FakeLeaseStore,
}

/// An election whose lock is out of reach until the test says otherwise.
fn contend(universe: &Universe, lease: &FakeLeaseStore) -> Election {
    lease.set(LockService::Refuses);
    let timings = LeaseTimings::from_lease(Duration::from_secs(15));
    let candidacy = Candidacy { identity: "dca-0".to_owned(), address: None, timings, release: true };
    Election::Contend { store: Arc::new(lease.clone()), candidacy, directory: None, random: universe.random() }
}

struct Setup {
    patch: PatchOptions,
    policy: DispatchPolicy,
    epoch: u64,
    store: FakeAssignmentStore,
    watching: bool,
    balance: BalancePolicy,
    runners: FakeRunnerStats,
}

impl Default for Setup {
    fn default() -> Self {
        let (patch, policy, store) = (PatchOptions::default(), DispatchPolicy::default(), FakeAssignmentStore::default());
        Self { patch, policy, epoch: 1, store, watching: false, balance: BalancePolicy::default(), runners: FakeRunnerStats::default() }
    }
}

impl Cluster {
    fn run(universe: &Universe, setup: Setup) -> Self {
        let Setup { patch, policy, epoch, store, watching, balance, runners } = setup;
        let kernel = universe.another_kernel(|reason| panic!("{reason}"));
        let core = Dispatching::default();
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let (lease, leadership) = (FakeLeaseStore::default(), Arc::new(Publisher::new(Leadership::default())));
        let election = if epoch == 0 { contend(universe, &lease) } else { Election::Alone { epoch: Epoch(epoch) } };
        let replays = Rc::new(Cell::new(0));
        let counter = Rc::clone(&replays);
        let replay = universe.stub("replay", move |_: ReplayDiscovery| counter.set(counter.get() + 1));
        let informer_asked = Rc::new(Cell::new(0));
        let counter = Rc::clone(&informer_asked);
        let informer = universe.stub("informer", move |_: TellObjects| counter.set(counter.get() + 1));
        let watched = WatchedNodes { namespace: NAMESPACE.to_owned(), cluster_name: "prod".to_owned(), informers: vec![informer] };
        let parts = DispatchingParts {
            clock: universe.clock(),
            patch: Arc::new(patch.clone()),
            policy,
            storage: Storage::Local(Arc::new(store.clone())),
            election,
            leadership,
            published: Arc::clone(&published),
            replay,
            watched: watching.then_some(watched),
            balancing: Balancing { policy: balance.clone(), runners: Some(Arc::new(runners.clone())), ..Balancing::default() },
        };
        core.start(&kernel, parts);
        let universe = universe.clone();
        Self { universe, kernel, core, published, patch, policy, epoch, replays, watching, informer_asked, balance, runners, store, lease }
    }

    /// A cold start, in its warm-up.
    pub(crate) async fn start(universe: &Universe) -> Self {
        let cluster = Self::run(universe, Setup::default());
        universe.settle().await;
        cluster
    }

    pub(crate) async fn without_leader(universe: &Universe) -> Self {
        let cluster = Self::run(universe, Setup { epoch: 0, ..Setup::default() });
        universe.settle().await;
        cluster
    }

    async fn active_with(universe: &Universe, nodes: &[&str], setup: Setup) -> Self {
        let policy = DispatchPolicy { warmup: Duration::ZERO, ..setup.policy };
        let cluster = Self::run(universe, Setup { policy, ..setup });
        universe.settle().await;
        cluster.tell(DiscoveryStarted).await;
        for node in nodes {
            cluster.poll(node, 0).await;
        }
        universe.settle().await;
        cluster
    }

    /// Past the warm-up, with these runners.
    pub(crate) async fn active(universe: &Universe, nodes: &[&str]) -> Self {
        Self::balanced_by(universe, nodes, BalancePolicy::default()).await
    }

    /// The same with these options of balancing.
    pub(crate) async fn balanced_by(universe: &Universe, nodes: &[&str], balance: BalancePolicy) -> Self {
        Self::active_with(universe, nodes, Setup { balance, ..Setup::default() }).await
    }

    /// The same where pods and Kubernetes nodes are watched.
    pub(crate) async fn watching(universe: &Universe, nodes: &[&str]) -> Self {
        Self::active_with(universe, nodes, Setup { watching: true, ..Setup::default() }).await
    }

    pub(crate) async fn active_excluding(universe: &Universe, nodes: &[&str], check_name: &str) -> Self {
        let patch = PatchOptions { exclude_checks: [check_name.to_owned()].into(), ..PatchOptions::default() };
        Self::active_with(universe, nodes, Setup { patch, ..Setup::default() }).await
    }

    pub(crate) async fn on_slow_disk(universe: &Universe, nodes: &[&str], delay: Duration) -> Self {
        let store = FakeAssignmentStore::with_delay(delay);
        let cluster = Self::active_with(universe, &[], Setup { store, ..Setup::default() }).await;
        universe.advance(delay + Duration::from_millis(100)).await;
        for node in nodes {
            cluster.poll(node, 0).await;
        }
        universe.advance(delay + Duration::from_millis(100)).await;
        cluster
    }

    /// A start that takes this long to read the table.
    pub(crate) async fn reading_for(universe: &Universe, delay: Duration) -> Self {
        let cluster = Self::run(universe, Setup { store: FakeAssignmentStore::with_delay(delay), ..Setup::default() });
        universe.settle().await;
        cluster
    }

    /// Kills the process without a warning and starts it again on the same disk.
    pub(crate) async fn kill_and_restart(self) -> Self {
        self.kill_and_restart_with(|_| {}).await
    }

    pub(crate) async fn kill_and_restart_with(self, change: impl FnOnce(&mut PatchOptions)) -> Self {
        self.store.lose_power(0.5);
        assert!(self.kernel.shutdown(DEADLINE).await.is_empty());
        let mut patch = self.patch.clone();
        change(&mut patch);
        // The warm-up of a real server: a restart must not need it.
        let policy = DispatchPolicy { warmup: Duration::from_secs(30), ..self.policy };
        let (epoch, store) = (self.epoch + 1, self.store.after_restart());
        let (watching, balance, runners) = (self.watching, self.balance.clone(), self.runners.clone());
        let next = Self::run(&self.universe, Setup { patch, policy, epoch, store, watching, balance, runners });
        self.universe.settle().await;
        next
    }

    /// Kills the process and starts it again on the same disk; until the test grants the lease, it does not lead.
    pub(crate) async fn kill_and_restart_without_lease(self) -> Self {
        self.store.lose_power(0.5);
        assert!(self.kernel.shutdown(DEADLINE).await.is_empty());
        let (patch, policy, store) = (self.patch.clone(), self.policy, self.store.after_restart());
        let (watching, balance, runners) = (self.watching, self.balance.clone(), self.runners.clone());
        let next = Self::run(&self.universe, Setup { patch, policy, epoch: 0, store, watching, balance, runners });
        self.universe.settle().await;
        next
    }

    /// Starts it again with a lease that was forgotten and begins anew.
    pub(crate) async fn restart_with_a_forgotten_lease(self) -> Self {
        Self { epoch: 0, ..self }.kill_and_restart().await
    }

    pub(crate) fn crash(&self, actor: &str) -> bool {
        self.kernel.crash(actor)
    }

    /// Times an informer was asked to tell everything.
    pub(crate) fn informer_asked(&self) -> u32 {
        self.informer_asked.get()
    }

    /// What an informer tells `Membership`.
    pub(crate) async fn objects(&self, objects: ObjectsChanged) {
        self.core.membership.post(objects);
        self.universe.settle().await;
    }

    pub(crate) fn replays(&self) -> u32 {
        self.replays.get()
    }

    pub(crate) fn served(&self) -> Arc<ServedTable> {
        self.published.reader().current()
    }

    pub(crate) fn set(&self, node: &str) -> Vec<Arc<DispatchedConfig>> {
        self.served().nodes[&NodeName::from(node)].view.configs.to_vec()
    }

    pub(crate) fn keys(&self, node: &str) -> Vec<ConfigKey> {
        self.set(node).iter().map(|config| config.key).collect()
    }

    pub(crate) fn stamp(&self, node: &str) -> Stamp {
        self.served().nodes[&NodeName::from(node)].view.stamp
    }

    pub(crate) async fn beat(&self, node: &str, address: Option<&str>, kind: NodeKind, compatibility: CheckCompatibility) {
        self.heartbeat(node, address, kind, compatibility, 0).await;
    }

    async fn heartbeat(&self, node: &str, address: Option<&str>, kind: NodeKind, compatibility: CheckCompatibility, last_change: i64) {
        let (node, address) = (node.into(), address.map(str::to_owned));
        let beat = Heartbeat { node, address, kind, compatibility, honours_grants: false, last_change };
        self.core.membership.ask(beat, DEADLINE).await.expect("the actor answers");
    }

    /// What the API does with a status of a runner.
    pub(crate) async fn poll(&self, node: &str, last_change: i64) -> PollReply {
        self.heartbeat(node, None, NodeKind::Runner, CheckCompatibility::default(), last_change).await;
        let polled = self.core.dispatcher.ask(Poll { node: node.into(), last_change }, DEADLINE).await.expect("the actor answers");
        if let Some(published) = self.served().is_up_to_date(&node.into(), last_change) {
            assert_eq!(published, polled.up_to_date, "table and dispatcher answer alike");
        }
        polled
    }

    /// Lets time pass while these nodes poll every second.
    pub(crate) async fn keep_polling(&self, nodes: &[&str], how_long: Duration) {
        for _ in 0..how_long.as_secs() {
            for node in nodes {
                self.poll(node, -1).await;
            }
            self.universe.advance(Duration::from_secs(1)).await;
        }
    }

    pub(crate) fn send(&self, configs: &[Arc<CheckConfig>]) {
        self.core.dispatcher.post(ConfigsDiscovered { added: configs.to_vec(), removed: Vec::new() });
    }

    pub(crate) async fn discover(&self, configs: &[Arc<CheckConfig>]) {
        self.send(configs);
        self.universe.settle().await;
    }

    pub(crate) async fn lose(&self, configs: &[&CheckConfig]) {
        let removed = configs.iter().map(|config| config_key(config)).collect();
        self.tell(ConfigsDiscovered { added: Vec::new(), removed }).await;
    }

    /// A complete listing.
    pub(crate) async fn discover_all(&self, configs: &[Arc<CheckConfig>]) {
        self.tell(DiscoveryStarted).await;
        self.send(configs);
        self.synced().await;
    }

    pub(crate) async fn synced(&self) {
        self.tell(DiscoverySynced::default()).await;
    }

    pub(crate) async fn tell<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Dispatcher: actix::Handler<M>,
        actix::Context<Dispatcher>: ToEnvelope<Dispatcher, M>,
    {
        self.core.dispatcher.post(message);
        self.universe.settle().await;
    }

    /// Asks the `Rebalancer`.
    pub(crate) async fn rebalancer<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Rebalancer: actix::Handler<M>,
        actix::Context<Rebalancer>: ToEnvelope<Rebalancer, M>,
    {
        self.core.rebalancer.ask(message, DEADLINE).await.expect("the actor answers")
    }

    /// What the `Rebalancer` does with a plan.
    pub(crate) async fn apply_plan(&self, plan: ApplyPlan) -> PlanReply {
        let reply = self.core.dispatcher.ask(plan, DEADLINE).await.expect("the actor answers");
        self.universe.settle().await;
        reply
    }

    pub(crate) async fn journal(&self) -> Vec<Decision> {
        self.query(QueryJournal::default()).await.decisions
    }

    pub(crate) async fn query(&self, query: QueryJournal) -> JournalPage {
        self.core.journal.ask(query, DEADLINE).await.expect("the actor answers")
    }

    pub(crate) async fn observe_dispatcher(&self) -> serde_json::Value {
        self.core.dispatcher.ask(Observe, DEADLINE).await.expect("the actor answers")
    }

    pub(crate) async fn observe_membership(&self) -> serde_json::Value {
        self.core.membership.ask(Observe, DEADLINE).await.expect("the actor answers")
    }

    pub(crate) async fn observe_persistence(&self) -> serde_json::Value {
        self.core.persistence.ask(Observe, DEADLINE).await.expect("the actor answers")
    }
}

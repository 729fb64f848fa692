//! One run: replicas, agents, faults, and the calm at the end.

mod playing;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::NodeName;
use crate::domain::world::ServedTable;
use crate::kernel::universe::{self, Universe};
use crate::sim::agent::{Agent, AgentLinks};
use crate::sim::auditor::{Auditor, RunningSet};
use crate::sim::discovery::{Files, LISTING_TIME, Pace};
use crate::sim::network::Network;
use crate::sim::replicas::faults::{AGENTS, Plan, plan};
use crate::sim::replicas::lock::LockWay;
use crate::sim::replicas::mutants::Mutant;
use crate::sim::replicas::overseer::Overseer;
use crate::sim::replicas::peers::PeerDoors;
use crate::sim::replicas::pods::Pods;
use crate::sim::replicas::process::Process;
use crate::sim::replicas::server::{Cluster, Machine, ReplicaServer};
use crate::sim::replicas::service::{ReplicaService, Street};
use crate::sim::report::{Report, WorldKind};
use crate::sim::trace::Trace;
use crate::testing::lease_store::FakeLeaseStore;
use crate::testing::snapshot_store::FakeSnapshotStore;

/// Time without faults at the end: a lease, the search for a table, a warm-up, an expiry, and polls on top.
const CALM_AFTER: Duration = Duration::from_secs(140);

/// Time between two looks at what everybody runs.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

struct World {
    universe: Universe,
    cluster: Cluster,
    links: AgentLinks,
    lock: FakeLeaseStore,
    /// Carries on what callers do not wait for any more.
    outside: Process,
    machines: RefCell<BTreeMap<String, Machine>>,
    replicas: RefCell<BTreeMap<String, ReplicaServer>>,
    /// Names of the replicas that are to run.
    wanted: RefCell<Vec<String>>,
    replicas_so_far: Cell<u64>,
    agents: RefCell<BTreeMap<NodeName, Agent>>,
    /// Name of the agent in each place; it may be down.
    places: RefCell<BTreeMap<u64, NodeName>>,
    generations: Cell<u64>,
    kills: Cell<u64>,
}

/// Runs one seed to its end.
///
/// Panics: see [`crate::sim::simulate`].
pub(in crate::sim) fn simulate(seed: u64, mutant: Option<Mutant>) -> Report {
    universe::run(seed, |universe| async move {
        let world = Rc::new(World::new(&universe, mutant));
        world.run().await;
        let recorded = world.cluster.trace.finish();
        Report {
            world: WorldKind::Replicas,
            seed,
            trace_hash: recorded.hash,
            trace: recorded.lines,
            violations: recorded.violations,
            faults: recorded.faults,
            server_kills: world.kills.get(),
            leader_changes: world.cluster.overseer.terms().saturating_sub(1),
            most_double_runs: world.links.auditor.most_double_runs(),
        }
    })
}

impl World {
    fn new(universe: &Universe, mutant: Option<Mutant>) -> Self {
        let trace = Trace::new(universe.clock());
        let (network, files, auditor) = (Network::new(universe.random()), Files::default(), Auditor::new(trace.clone()));
        let overseer = Overseer::new(universe.clock(), trace.clone(), auditor.clone());
        let outside = Process::start(|| ());
        let street = Street {
            doors: Arc::default(),
            network,
            outside: outside.door(),
            overseer: overseer.clone(),
            auditor: auditor.clone(),
            files: files.clone(),
        };
        let service = ReplicaService { street: street.clone(), random: universe.random(), connections: Arc::default() };
        let links = AgentLinks { service: Arc::new(service), auditor, trace: trace.clone() };
        let cluster = Cluster {
            trace,
            overseer,
            street,
            peers: PeerDoors::default(),
            pods: Pods::default(),
            files,
            pace: Pace::default(),
            snapshot: FakeSnapshotStore::default(),
            outside: outside.door(),
            mutant,
        };
        Self {
            universe: universe.clone(),
            cluster,
            links,
            lock: FakeLeaseStore::default(),
            outside,
            machines: RefCell::default(),
            replicas: RefCell::default(),
            wanted: RefCell::default(),
            replicas_so_far: Cell::new(0),
            agents: RefCell::default(),
            places: RefCell::default(),
            generations: Cell::new(0),
            kills: Cell::new(0),
        }
    }

    async fn run(self: &Rc<Self>) {
        let random = self.universe.random();
        let Plan { replicas, quiet, faults } = plan(&*random);
        self.cluster.trace.note(format_args!("{replicas} replicas, quiet: {quiet}"));
        self.cluster.files.add(8 + random.below(20));
        for _ in 0..replicas {
            self.start_new_replica();
        }
        (0..AGENTS).for_each(|place| self.start_new_agent(place));
        let watching = Rc::clone(self);
        let auditor = actix_rt::spawn(async move {
            loop {
                watching.links.auditor.sample(&watching.running());
                tokio::time::sleep(SAMPLE_INTERVAL).await;
            }
        });
        for (step, (wait, fault)) in faults.into_iter().enumerate() {
            if step > 0 && !quiet {
                self.rebalance(step);
            }
            self.universe.advance(wait).await;
            // What the first fault finds is what the warm-up made of it.
            self.links.auditor.quiet(quiet);
            self.cluster.trace.fault(&fault);
            if fault.touches_agents() {
                self.cluster.overseer.unrest();
            }
            self.happen(fault).await;
        }
        self.calm().await;
        auditor.abort();
        let agents = std::mem::take(&mut *self.agents.borrow_mut());
        for (_, agent) in agents {
            agent.kill().await;
        }
        for name in self.running_replicas() {
            self.end_replica(&name, false).await;
        }
        self.outside.stand_still();
    }

    /// Everything works again. After a while everything is as it should be.
    async fn calm(self: &Rc<Self>) {
        self.cluster.trace.note(format_args!("calm"));
        self.cluster.street.network.heal();
        self.machines.borrow().values().for_each(|machine| machine.way_to_lock.set(LockWay::Up));
        self.cluster.snapshot.fail(false);
        self.cluster.pace.set(LISTING_TIME);
        self.replicas.borrow().values().for_each(|replica| replica.process.go_on());
        self.start_all_replicas();
        if self.agents.borrow().is_empty() {
            self.toggle_agent(0).await;
        }
        self.universe.advance(CALM_AFTER).await;
        let running = self.running();
        self.links.auditor.settled(&self.cluster.files.expected(), &running);
        let leaders = self.cluster.overseer.leaders();
        let [leader] = leaders.as_slice() else {
            self.cluster.trace.violation(format_args!("in the end {leaders:?} lead"));
            return;
        };
        let (Some(served), observed) = (self.served(leader), self.observe().await) else { return };
        self.links.auditor.current(&running, &served);
        for (name, seen) in &observed {
            if seen["position"] != observed[leader]["position"] {
                self.cluster.trace.violation(format_args!("in the end {name} has another copy than {leader}: {seen}"));
            }
        }
        self.cluster.trace.note(format_args!("in the end {leader} leads, {observed:?}"));
    }

    fn running(&self) -> BTreeMap<NodeName, RunningSet> {
        self.agents.borrow().iter().map(|(node, agent)| (node.clone(), agent.running())).collect()
    }

    fn running_replicas(&self) -> Vec<String> {
        self.replicas.borrow().keys().cloned().collect()
    }

    fn served(&self, name: &str) -> Option<Arc<ServedTable>> {
        self.replicas.borrow().get(name).map(|replica| replica.served.current())
    }

    async fn observe(&self) -> BTreeMap<String, serde_json::Value> {
        let mut observed = BTreeMap::new();
        let asked: Vec<_> = self.replicas.borrow().iter().map(|(name, replica)| (name.clone(), replica.observe())).collect();
        for (name, answer) in asked {
            observed.insert(name, answer.await);
        }
        observed
    }
}

//! The simulated cluster role: one life of its process, with the production actors.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::policy::BalancePolicy;
use crate::cluster::dispatcher::parts::DispatchPolicy;
use crate::cluster::leader_election::Election;
use crate::cluster::membership::WatchedNodes;
use crate::cluster::stats_collector::COLLECTION_PERIOD;
use crate::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::config::CheckConfig;
use crate::domain::ids::Epoch;
use crate::domain::journal::Cause;
use crate::domain::lease::Leadership;
use crate::domain::patch::PatchOptions;
use crate::domain::turn::Turn;
use crate::domain::world::{DanglingReason, ServedTable};
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::supervisor::Kernel;
use crate::kernel::universe::Universe;
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::AssignmentStore;
use crate::sim::fleet::crew::{Door, facts};
use crate::sim::fleet::model::Model;
use crate::sim::fleet::mutant::Mutant;
use crate::sim::fleet::pods::Pods;
use crate::sim::fleet::runner_stats::{ModelRunnerStats, SharedModel, lock};
use crate::sim::fleet::scenario::Scenario;
use crate::testing::assignment_store::FakeAssignmentStore;

/// Time of a write to the disk.
pub(super) const DISK_TIME: Duration = Duration::from_millis(2);

/// Time that a server gets to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// With more agents, statistics are collected every five minutes, which is still twice between two looks at the balance.
const MANY: usize = 1000;

fn collect_every(agents: usize) -> Duration {
    if agents > MANY { COLLECTION_PERIOD * 5 } else { COLLECTION_PERIOD }
}

/// What discovery tells whoever dispatches.
struct Listeners {
    started: Outlet<DiscoveryStarted>,
    configs: Outlet<ConfigsDiscovered>,
    synced: Outlet<DiscoverySynced>,
}

/// What every life of the server is made from.
pub(super) struct Ground {
    pub(super) universe: Universe,
    pub(super) model: SharedModel,
    pub(super) policy: BalancePolicy,
    pub(super) pods: Option<Pods>,
    pub(super) store: FakeAssignmentStore,
    watched: Option<WatchedNodes>,
    replay: Outlet<ReplayDiscovery>,
    listeners: Rc<RefCell<Option<Listeners>>>,
}

impl Ground {
    pub(super) fn new(
        universe: &Universe,
        model: SharedModel,
        policy: BalancePolicy,
        pods: Option<Pods>,
        configs: Vec<Arc<CheckConfig>>,
        mutant: Option<Mutant>,
    ) -> Self {
        let listeners: Rc<RefCell<Option<Listeners>>> = Rc::default();
        let told = Rc::clone(&listeners);
        let told_before = Cell::new(false);
        let replay = universe.stub("Resolver", move |ReplayDiscovery| {
            let half = told_before.replace(true) && mutant == Some(Mutant::ListingCutShort);
            let added = configs[..configs.len() / if half { 2 } else { 1 }].to_vec();
            if let Some(listeners) = told.borrow().as_ref() {
                listeners.started.post(DiscoveryStarted);
                listeners.configs.post(ConfigsDiscovered { added, removed: Vec::new() });
                listeners.synced.post(DiscoverySynced::default());
            }
        });
        let watched = pods.as_ref().map(|pods| pods.informer(universe));
        let store = FakeAssignmentStore::with_delay(DISK_TIME);
        Self { universe: universe.clone(), model, policy, pods, store, watched, replay, listeners }
    }
}

/// The table of the present assignment.
pub(super) fn present_assignment(scenario: &Scenario, model: &Model, now_unix_nanos: i64) -> AssignmentTable {
    let mut table = AssignmentTable::default();
    let mut turn = Turn::begin(&mut table);
    for agent in &model.agents {
        turn.put_node(&agent.name, facts(agent));
    }
    for (check, state) in scenario.checks.iter().zip(&model.checks) {
        turn.put_config(Arc::clone(&state.config), DanglingReason::NoNode);
        if let Some(node) = &check.node {
            turn.place(state.config.key, Placement::Owned(node.as_str().into()), Cause::Discovered);
        }
    }
    let _ = turn.finish(Epoch(1), now_unix_nanos);
    table
}

/// One life of the process.
pub(super) struct Server {
    kernel: Kernel,
    pub(super) core: Dispatching,
    pub(super) door: Door,
}

impl Server {
    pub(super) fn start(ground: &Ground, epoch: u64, given_up: impl FnOnce(String) + 'static) -> Self {
        let kernel = ground.universe.another_kernel(move |reason| given_up(reason.to_string()));
        let core = Dispatching::default();
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let door = Door {
            served: published.reader(),
            leadership: leadership.reader(),
            clock: ground.universe.clock(),
            beats: core.membership.outlet(),
            introductions: core.membership.outlet(),
            polls: core.dispatcher.outlet(),
        };
        let store: Arc<dyn AssignmentStore> = Arc::new(ground.store.after_restart());
        ground.listeners.replace(Some(Listeners {
            started: core.dispatcher.outlet(),
            configs: core.dispatcher.outlet(),
            synced: core.dispatcher.outlet(),
        }));
        if let Some(pods) = &ground.pods {
            pods.watched_by(Some(core.membership.outlet()));
        }
        let balancing = Balancing {
            policy: ground.policy.clone(),
            runners: Some(Arc::new(ModelRunnerStats { model: Arc::clone(&ground.model) })),
            collect_every: collect_every(lock(&ground.model).agents.len()),
            ..Balancing::default()
        };
        core.start(
            &kernel,
            DispatchingParts {
                clock: ground.universe.clock(),
                patch: Arc::new(PatchOptions::default()),
                policy: DispatchPolicy::default(),
                storage: Storage::Local(store),
                election: Election::Alone { epoch: Epoch(epoch) },
                leadership,
                published,
                replay: ground.replay.clone(),
                watched: ground.watched.clone(),
                balancing,
            },
        );
        Self { kernel, core, door }
    }

    pub(super) fn served(&self) -> &Reader<ServedTable> {
        &self.door.served
    }

    /// An actor panics. Returns whether it runs.
    pub(super) fn crash(&self, actor: &str) -> bool {
        self.kernel.crash(actor)
    }

    /// The process is killed; nobody hears of a write that is under way.
    pub(super) async fn kill(self, ground: &Ground) {
        ground.listeners.replace(None);
        if let Some(pods) = &ground.pods {
            pods.watched_by(None);
        }
        ground.store.lose_power(1.0);
        self.kernel.shutdown(STOP_GRACE).await;
    }
}

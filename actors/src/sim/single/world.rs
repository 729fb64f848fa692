//! One run: server, agents, faults, and the calm at the end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::ids::NodeName;
use crate::domain::world::Standing;
use crate::kernel::universe::{self, Universe};
use crate::ports::ClusterAgentError;
use crate::sim::agent::{Agent, AgentLinks, Service};
use crate::sim::auditor::{Auditor, RunningSet, running_set};
use crate::sim::discovery::Files;
use crate::sim::front_door::{FrontDoor, Reply, Request, unavailable};
use crate::sim::network::Network;
use crate::sim::report::{Report, WorldKind};
use crate::sim::single::faults::{AGENTS, Fault, plan};
use crate::sim::single::server::Server;
use crate::sim::trace::Trace;
use crate::testing::assignment_store::FakeAssignmentStore;

/// Time without faults at the end: expiry, polls and a grace period on top.
const CALM_AFTER: Duration = Duration::from_secs(150);

/// Time between two looks at what everybody runs.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Time a started server gets before agents may poll, so that the auditor sees what the restart alone did.
const DOOR_OPENS_AFTER: Duration = Duration::from_secs(1);

/// The name of the server in the network.
const SERVER: &str = "server";

/// The door of the server that runs at the moment; `None` while there is none.
type CurrentDoor = Arc<Mutex<Option<FrontDoor>>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only server there is, as agents reach it.
struct OneServer {
    door: CurrentDoor,
    network: Network,
    auditor: Auditor,
    files: Files,
}

impl Service for OneServer {
    fn ask(&self, agent: &NodeName, request: Request) -> BoxFuture<'static, Result<Reply, ClusterAgentError>> {
        let (door, network, agent) = (Arc::clone(&self.door), self.network.clone(), agent.clone());
        let (auditor, files) = (self.auditor.clone(), self.files.clone());
        async move {
            let asker = agent.clone();
            let deliver = move || {
                let (door, request, agent) = (Arc::clone(&door), request.clone(), asker.clone());
                let (auditor, files) = (auditor.clone(), files.clone());
                async move {
                    // Whoever is there when the request arrives.
                    let current = lock(&door).clone();
                    let Some(door) = current else { return Err(unavailable("connection refused")) };
                    let answer = door.answer(request).await;
                    if matches!(answer, Ok(Reply::Configs(_))) {
                        auditor.answered(&agent, &door.served.peek(), || files.expected());
                    }
                    answer
                }
                .boxed()
            };
            let answer = network.exchange(agent.as_str(), SERVER, deliver).await;
            answer.unwrap_or_else(|| Err(unavailable("no answer in time")))
        }
        .boxed()
    }
}

struct World {
    universe: Universe,
    links: AgentLinks,
    door: CurrentDoor,
    network: Network,
    files: Files,
    disk_time: Duration,
    store: RefCell<FakeAssignmentStore>,
    /// Whether the warm-up that an empty disk needs was over when a server was last killed.
    warmed_up: Cell<bool>,
    server: RefCell<Option<Server>>,
    agents: RefCell<BTreeMap<NodeName, Agent>>,
    epoch: RefCell<u64>,
    kills: RefCell<u64>,
}

/// Runs one seed to its end.
///
/// Panics: see [`crate::sim::simulate`].
pub(in crate::sim) fn simulate(seed: u64) -> Report {
    universe::run(seed, |universe| async move {
        let world = Rc::new(World::new(&universe));
        world.run().await;
        let recorded = world.links.trace.finish();
        Report {
            world: WorldKind::Single,
            seed,
            trace_hash: recorded.hash,
            trace: recorded.lines,
            violations: recorded.violations,
            faults: recorded.faults,
            server_kills: *world.kills.borrow(),
            leader_changes: 0,
            most_double_runs: world.links.auditor.most_double_runs(),
        }
    })
}

fn agent_name(number: u64) -> NodeName {
    NodeName::from(format!("runner-{number}"))
}

impl World {
    fn new(universe: &Universe) -> Self {
        let trace = Trace::new(universe.clock());
        let (door, files, network) = (CurrentDoor::default(), Files::default(), Network::new(universe.random()));
        let auditor = Auditor::new(trace.clone());
        let service = OneServer { door: Arc::clone(&door), network: network.clone(), auditor: auditor.clone(), files: files.clone() };
        let links = AgentLinks { service: Arc::new(service), auditor, trace };
        // On a slow disk, agents poll while a decision is written.
        let slow = if universe.random().below(2) == 0 { 300_000 } else { 0 };
        let disk_time = Duration::from_micros(200 + slow + universe.random().below(30_000 + slow));
        Self {
            universe: universe.clone(),
            links,
            door,
            network,
            files,
            disk_time,
            store: RefCell::new(FakeAssignmentStore::with_delay(disk_time)),
            warmed_up: Cell::default(),
            server: RefCell::default(),
            agents: RefCell::default(),
            epoch: RefCell::new(0),
            kills: RefCell::new(0),
        }
    }

    async fn run(self: &Rc<Self>) {
        let random = self.universe.random();
        self.files.add(8 + random.below(30));
        self.start_server().await;
        for number in 0..AGENTS {
            self.start_agent(&agent_name(number));
        }
        let watching = Rc::clone(self);
        let auditor = actix_rt::spawn(async move {
            loop {
                watching.links.auditor.sample(&watching.running());
                tokio::time::sleep(SAMPLE_INTERVAL).await;
            }
        });
        for (wait, fault) in plan(&*random) {
            self.universe.advance(wait).await;
            self.links.trace.fault(&fault);
            self.happen(fault).await;
        }
        self.links.trace.note(format_args!("calm"));
        self.network.heal();
        self.store.borrow().fail(false);
        if self.agents.borrow().is_empty() {
            self.start_agent(&agent_name(0));
        }
        self.universe.advance(CALM_AFTER).await;
        self.links.auditor.settled(&self.files.expected(), &self.running());
        auditor.abort();
        let agents = std::mem::take(&mut *self.agents.borrow_mut());
        for (_, agent) in agents {
            agent.kill().await;
        }
        self.kill_server(1.0).await;
    }

    async fn happen(self: &Rc<Self>, fault: Fault) {
        match fault {
            Fault::ToggleAgent(number) => self.toggle_agent(&agent_name(number)).await,
            Fault::Partition { agent, lasts } => {
                let node = agent_name(agent);
                self.network.isolate(node.as_str(), true);
                self.later(lasts, move |world| world.network.isolate(node.as_str(), false));
            }
            Fault::Lossy { loss, lasts } => {
                self.network.set_loss(loss, 0.1);
                self.later(lasts, |world| world.network.set_loss(0.0, 0.0));
            }
            Fault::KillServer { down, written_fraction } => {
                self.kill_server(written_fraction).await;
                self.universe.advance(down).await;
                self.start_server().await;
            }
            Fault::RestartAgent { agent, down } => {
                let node = agent_name(agent);
                self.stop_agent(&node).await;
                self.later(down, move |world| {
                    if !world.agents.borrow().contains_key(&node) {
                        world.start_agent(&node);
                    }
                });
            }
            Fault::CrashProvider(agent) => {
                if self.agents.borrow().get(&agent_name(agent)).is_some_and(Agent::crash_provider) {
                    self.universe.expect_panics(1);
                }
            }
            Fault::Outage { lasts } => {
                self.network.isolate(SERVER, true);
                self.later(lasts, |world| world.network.isolate(SERVER, false));
            }
            Fault::ReplaceServer { down } => {
                self.kill_server(1.0).await;
                self.store.replace(FakeAssignmentStore::with_delay(self.disk_time));
                self.warmed_up.set(false);
                self.universe.advance(down).await;
                // Not before: answers of the former one may have been under way.
                self.links.auditor.replaced();
                self.start_server().await;
            }
            Fault::CrashActor(name) => {
                if self.server.borrow().as_ref().is_some_and(|server| server.crash(name)) {
                    self.universe.expect_panics(1);
                }
            }
            Fault::ClockStep { nanos } => self.universe.virtual_clock().step_wall(nanos),
            Fault::DiskFails { lasts } => {
                self.store.borrow().fail(true);
                self.later(lasts, |world| world.store.borrow().fail(false));
            }
            Fault::AddConfigs(count) => self.change_files(|files| files.add(count)),
            Fault::RemoveConfig(choice) => self.change_files(|files| files.remove(choice)),
            Fault::ChangeManyConfigs(choice) => self.change_files(|files| {
                for offset in 0..8 {
                    files.change(choice.wrapping_add(offset));
                }
                files.add(20);
                files.remove(choice);
            }),
            Fault::ChangeConfig(choice) => self.change_files(|files| files.change(choice)),
        }
    }

    fn later(self: &Rc<Self>, wait: Duration, act: impl FnOnce(&Self) + 'static) {
        let world = Rc::clone(self);
        actix_rt::spawn(async move {
            tokio::time::sleep(wait).await;
            act(&world);
        });
    }

    fn change_files(&self, change: impl FnOnce(&Files)) {
        change(&self.files);
        if let Some(server) = self.server.borrow().as_ref() {
            server.notice_files();
        }
    }

    fn start_agent(&self, node: &NodeName) {
        let agent = Agent::start(&self.universe, node, &self.links);
        self.agents.borrow_mut().insert(node.clone(), agent);
    }

    async fn toggle_agent(&self, node: &NodeName) {
        if !self.stop_agent(node).await {
            self.start_agent(node);
        }
    }

    /// Whether it ran.
    async fn stop_agent(&self, node: &NodeName) -> bool {
        let agent = self.agents.borrow_mut().remove(node);
        let Some(agent) = agent else { return false };
        self.links.auditor.gone(node);
        agent.kill().await;
        true
    }

    async fn start_server(&self) {
        *self.epoch.borrow_mut() += 1;
        let store = self.store.borrow().clone();
        let stored = store.stored();
        let epoch = *self.epoch.borrow();
        let server = Server::start(&self.universe, &self.links.trace, epoch, &store, &self.files);
        let (door, served) = (server.front_door(), server.served.clone());
        self.server.replace(Some(server));
        self.universe.advance(DOOR_OPENS_AFTER).await;
        let served = served.current();
        let warm = served.standing == Standing::Active;
        self.links.trace.note(format_args!("server {epoch} is {:?} with {} nodes", served.standing, served.nodes.len()));
        let known = running_set(stored.table.rows().values().map(|row| &row.config.config));
        if warm && known == self.files.expected() && stored.table.dangling().is_empty() {
            self.links.auditor.restarted(&served, &stored);
        }
        if !warm && stored.restored && !stored.table.nodes().is_empty() && self.warmed_up.get() {
            self.links.trace.violation(format_args!("a restart with a saved table warms up"));
        }
        *lock(&self.door) = Some(door);
    }

    async fn kill_server(&self, written_fraction: f64) {
        *lock(&self.door) = None;
        let Some(server) = self.server.take() else { return };
        *self.kills.borrow_mut() += 1;
        let shown = server.served.current();
        self.warmed_up.set(self.warmed_up.get() || shown.standing == Standing::Active);
        self.store.borrow().lose_power(written_fraction);
        self.links.auditor.killed(&shown, &self.store.borrow().stored());
        server.kill().await;
    }

    fn running(&self) -> BTreeMap<NodeName, RunningSet> {
        self.agents.borrow().iter().map(|(node, agent)| (node.clone(), agent.running())).collect()
    }
}

//! One run: the server, all agents, what happens, and what is measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::domain::handover::Handover;
use crate::domain::ids::NodeName;
use crate::kernel::rng::SeededRandom;
use crate::kernel::universe::{self, Universe};
use crate::ports::AssignmentStore as _;
use crate::sim::fleet::auditor::Auditor;
use crate::sim::fleet::bounds::{Band, best_possible};
use crate::sim::fleet::contender::Contender;
use crate::sim::fleet::crew::{Crew, POLL_INTERVAL};
use crate::sim::fleet::deed::Deed;
use crate::sim::fleet::meter::Meter;
use crate::sim::fleet::model::{AgentIndex, Model, discovered};
use crate::sim::fleet::mutant::Mutant;
use crate::sim::fleet::pods::{FIRST_TEMPLATE, Pods};
use crate::sim::fleet::report::{FleetReport, Mark, Moves, Times};
use crate::sim::fleet::runner_stats::{SharedModel, lock};
use crate::sim::fleet::scenario::Scenario;
use crate::sim::fleet::server::{Ground, Server, present_assignment};
use crate::sim::fleet::violations::Violations;
use crate::sim::fleet::watch::TableWatch;

/// Time that a server that was started gets before it is looked at.
const SETTLES: Duration = Duration::from_millis(100);

/// How far a run is. Clones share it; any thread may read it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Virtual time so far.
    #[must_use]
    pub fn virtual_time(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, at: Duration) {
        self.0.store(at.as_millis() as u64, Ordering::Relaxed);
    }
}

/// A world in the course of a run.
pub(super) struct World {
    pub(super) universe: Universe,
    pub(super) ground: Ground,
    pub(super) model: SharedModel,
    pub(super) crew: Crew,
    pub(super) watch: TableWatch,
    pub(super) meter: Meter,
    pub(super) band: Band,
    pub(super) server: Option<Server>,
    pub(super) epoch: u64,
    pub(super) queue: BTreeMap<(Duration, u64), Deed>,
    pub(super) queued: u64,
    pub(super) random: SeededRandom,
    pub(super) marks: Vec<Mark>,
    pub(super) violations: Violations,
    pub(super) added: u32,
    pub(super) rolls: u32,
    pub(super) filled: u64,
    pub(super) crashes: u64,
    pub(super) seed: u64,
    pub(super) auditor: Option<Auditor>,
}

/// Runs a scenario to its end.
///
/// Panics: if an actor panics that was not told to, among them, in debug builds, a dispatcher that finds an invariant broken; the
/// seed is printed.
pub(super) fn run(scenario: &Scenario, contender: &Contender, seed: u64, progress: &Progress) -> FleetReport {
    universe::run(seed, |universe| async move {
        let mut world = World::begin(&universe, scenario, contender, seed, None).await;
        world.play(scenario.length.0, progress).await;
        world.end(scenario, contender).await
    })
}

impl World {
    pub(super) async fn begin(universe: &Universe, scenario: &Scenario, contender: &Contender, seed: u64, mutant: Option<Mutant>) -> Self {
        let mut told = scenario.clone();
        if mutant == Some(Mutant::HandoverUnknown) {
            told.checks.iter_mut().for_each(|check| check.handover = Handover::Any);
        }
        let mut model = Model::new(&told, seed);
        model.checks.iter_mut().zip(&scenario.checks).for_each(|(state, check)| state.handover = check.handover);
        let table = present_assignment(&told, &model, universe.clock().unix_nanos());
        let policy = contender.clone().with(&scenario.policy).policy;
        let band = Band { relative: policy.band, least: policy.min_gap };
        let pods = scenario.pods.then(Pods::default);
        for agent in &model.agents {
            if let Some(pods) = &pods {
                pods.start(&agent.name, FIRST_TEMPLATE);
            }
        }
        let configs = told.checks.iter().map(discovered).collect();
        let stamps: Vec<i64> = model.agents.iter().map(|agent| table.nodes().get(&agent.name).map_or(0, |node| node.stamp.0)).collect();
        let agents = model.agents.len();
        let model: SharedModel = Arc::new(Mutex::new(model));
        let ground = Ground::new(universe, Arc::clone(&model), policy, pods, configs, mutant);
        // The disk works here; a write that failed would show as a cold start.
        let _ = ground.store.replace(table).await;
        let mut world = Self {
            universe: universe.clone(),
            ground,
            model,
            crew: Crew::new(agents, mutant),
            watch: TableWatch::new(mutant == Some(Mutant::ReasonsForgotten)),
            meter: Meter::new(band, scenario.length.0),
            band,
            server: None,
            epoch: 1,
            queue: BTreeMap::new(),
            queued: 0,
            random: SeededRandom::new(seed ^ 0x666c_6565_7400),
            marks: Vec::new(),
            violations: Violations::default(),
            added: 0,
            rolls: 0,
            filled: 0,
            crashes: 0,
            seed,
            auditor: None,
        };
        world.start_server();
        universe.advance(SETTLES).await;
        world.assign(scenario, &stamps);
        for agent in 0..agents {
            world.crew.join(agent, seed);
        }
        for event in &scenario.events {
            world.later(event.at.0, Deed::Happen(event.action.clone()));
        }
        world.look();
        world.measure();
        world
    }

    /// Every agent has what the scenario says, in the version of the table.
    fn assign(&self, scenario: &Scenario, stamps: &[i64]) {
        let mut model = lock(&self.model);
        model.now = self.universe.clock().monotonic();
        let mut sets: BTreeMap<AgentIndex, Vec<usize>> = BTreeMap::new();
        for (index, check) in scenario.checks.iter().enumerate() {
            let agent = check.node.as_ref().and_then(|node| model.by_name.get(&NodeName::from(node.as_str())));
            if let Some(agent) = agent {
                sets.entry(*agent).or_default().push(index);
            }
        }
        for (agent, stamp) in stamps.iter().enumerate() {
            (model.agents[agent].last_change, model.agents[agent].collected) = (*stamp, true);
            model.agents[agent].granted_until = model.now + POLL_INTERVAL * 3;
            model.give(agent, sets.remove(&agent).unwrap_or_default());
        }
    }

    pub(super) fn start_server(&mut self) {
        self.epoch += 1;
        let violations = self.violations.clone();
        let server = Server::start(&self.ground, self.epoch, move |reason| violations.note(format!("the server gave up: {reason}")));
        self.server = Some(server);
    }

    pub(super) async fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.watch.server_gone(self.universe.clock().monotonic());
            server.kill(&self.ground).await;
        }
    }

    /// Something is to happen at a time.
    pub(super) fn later(&mut self, at: Duration, deed: Deed) {
        self.queued += 1;
        self.queue.insert((at, self.queued), deed);
    }

    /// Looks at what the server shows.
    fn look(&mut self) {
        let Some(server) = &self.server else { return };
        let table = server.served().current();
        let mut model = lock(&self.model);
        if self.watch.look(table, &mut model)
            && let (Some(auditor), Some(table)) = (&mut self.auditor, &self.watch.table)
        {
            auditor.shown(table, &self.watch, &model, self.universe.clock().unix_nanos());
        }
    }

    fn measure(&mut self) {
        self.meter.measure(&lock(&self.model), &self.watch);
    }

    /// Somebody watches from now on.
    pub(super) fn audit_with(&mut self, auditor: Auditor) {
        self.auditor = Some(auditor);
    }

    /// Pods of agents that were removed are gone, whatever became of the plans for them.
    pub(super) fn end_removed_pods(&mut self) {
        let model = lock(&self.model);
        if let Some(pods) = &self.ground.pods {
            model.agents.iter().filter(|agent| agent.removed).for_each(|agent| pods.end(&agent.name));
        }
    }

    /// Lets time pass until `end`.
    pub(super) async fn play(&mut self, end: Duration, progress: &Progress) {
        let clock = self.universe.clock();
        let mut done = clock.monotonic();
        let mut grant_ends = None;
        loop {
            let (polls, measures) = (self.crew.next_after(done), self.meter.next_after(done));
            let deed = self.queue.first_key_value().map(|((at, _), _)| (*at).max(done));
            let next = [polls, deed, grant_ends].into_iter().flatten().fold(measures, Duration::min);
            let at = next.min(end);
            self.universe.advance(at.saturating_sub(clock.monotonic())).await;
            lock(&self.model).now = clock.monotonic().max(at);
            self.look();
            while let Some(due) = self.queue.first_entry().filter(|due| due.key().0 <= at) {
                let deed = due.remove();
                self.carry_out(deed).await;
            }
            if next > end {
                break;
            }
            if polls == Some(at) {
                let door = self.server.as_ref().map(|server| &server.door);
                self.crew.poll(at, door, &self.watch, &self.model);
            }
            grant_ends = self.crew.end_grants(&mut lock(&self.model));
            if let Some(auditor) = &mut self.auditor {
                auditor.running(&self.watch, &lock(&self.model));
            }
            if measures == at {
                self.measure();
                progress.set(at);
            }
            done = at;
        }
    }

    pub(super) async fn end(mut self, scenario: &Scenario, contender: &Contender) -> FleetReport {
        self.look();
        self.measure();
        let now = self.universe.clock().monotonic();
        self.watch.count_dangling(now);
        self.stop_server().await;
        let mut model = lock(&self.model);
        model.settle();
        let (count, most) = model.checks.iter().fold((0u64, 0), |(sum, most), check| (sum + u64::from(check.moves), check.moves.max(most)));
        let moves = Moves {
            total: self.watch.total_moves(),
            by_cause: self.watch.moves.clone(),
            per_hour: self.watch.total_moves() as f64 / (now.as_secs_f64() / 3600.0).max(1e-9),
            per_check: count as f64 / (model.checks.len() as f64).max(1.0),
            most_of_a_check: most,
            lower_bound: self.watch.orphans + self.filled,
            orphans: self.watch.orphans,
        };
        let mut gaps = Times::default();
        let mut double_runs = Times::default();
        for check in &model.checks {
            gaps.add(check.gap, check.longest_gap);
            double_runs.add(check.double, check.double);
        }
        FleetReport {
            contender: contender.name.clone(),
            seed: self.seed,
            seconds: now.as_secs_f64(),
            nodes_at_start: scenario.nodes.len(),
            nodes_at_end: self.meter.series.last().map_or(0, |point| point.nodes),
            checks: model.checks.len(),
            moves,
            gaps,
            double_runs,
            dangling_seconds: self.watch.dangling.as_secs_f64(),
            balance: self.meter.balance(best_possible(&model)),
            series: std::mem::take(&mut self.meter.series),
            events: std::mem::take(&mut self.marks),
            polls: self.crew.polls,
            crashes: self.crashes,
            violations: self.violations.take(),
        }
    }
}

impl Times {
    fn add(&mut self, altogether: Duration, longest: Duration) {
        if !altogether.is_zero() {
            self.checks += 1;
            self.seconds += altogether.as_secs_f64();
            self.longest_seconds = self.longest_seconds.max(longest.as_secs_f64());
        }
    }
}

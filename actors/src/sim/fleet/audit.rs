//! Small worlds in which a lot goes wrong, with an auditor.

use std::time::Duration;

use crate::balance::plan::Stopped;
use crate::balance::plan::Trigger;
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::domain::handover::Handover;
use crate::kernel::rng::{Random as _, SeededRandom};
use crate::kernel::universe;
use crate::messages::rebalancer::{Evaluate, Evaluated};
use crate::sim::fleet::auditor::Auditor;
use crate::sim::fleet::contender::Contender;
use crate::sim::fleet::crew::POLL_INTERVAL;
use crate::sim::fleet::generate::{Drawing, Faults, Load, generate};
use crate::sim::fleet::model::{Life, Model};
use crate::sim::fleet::mutant::Mutant;
use crate::sim::fleet::overrides::PolicyOverrides;
use crate::sim::fleet::report::FleetReport;
use crate::sim::fleet::runner_stats::lock;
use crate::sim::fleet::scenario::{Scenario, Span};
use crate::sim::fleet::world::{Progress, World};

/// Time at the end without faults: expiry, polls, and figures that have forgotten what was before.
const CALM: Duration = Duration::from_secs(15 * 60);

/// Looks at the end at most, until balancing has nothing more to do.
const LOOKS: u32 = 40;

/// How long a question about a plan may take.
const PLAN_DEADLINE: Duration = Duration::from_secs(10);

/// The world of a seed: 5 to 8 agents, 20 to 60 checks, 20 to 60 virtual minutes in which a lot goes wrong.
///
/// Times of balancing are a third of the documented ones, so that it acts often.
#[must_use]
pub fn small_world(seed: u64) -> Scenario {
    let random = SeededRandom::new(seed ^ 0x736d_616c_6c00);
    let drawing = Drawing {
        nodes: 5 + random.below(4) as usize,
        checks: 20 + random.below(41) as usize,
        load: [Load::Uniform, Load::Zipf, Load::Heavy][random.below(3) as usize],
        faults: Faults::Many,
        length: Span::from_minutes(20 + random.below(41)),
        noise: random.unit() * 0.2,
        seed,
    };
    let mut scenario = generate(&drawing);
    scenario.pods = random.below(2) == 0;
    scenario.policy =
        PolicyOverrides { period: Some(Span::from_minutes(3)), cooldown: Some(Span::from_minutes(6)), ..PolicyOverrides::default() };
    scenario
}

/// Runs the small world of a seed with the auditor. Every fourth seed balances by `utilization`, the others by `bounded`.
///
/// Panics: if an actor panics that was not told to, among them, in debug builds, a dispatcher that finds an invariant broken.
#[must_use]
pub fn audit(seed: u64, mutant: Option<Mutant>) -> FleetReport {
    let scenario = small_world(seed);
    let strategy = if seed % 4 == 3 && mutant.is_none() { Strategy::Utilization } else { Strategy::Bounded };
    let contender = Contender::of(strategy);
    universe::run(seed, |universe| async move {
        let expected = contender.clone().with(&scenario.policy).policy;
        let mut used = contender.clone();
        match mutant {
            Some(Mutant::BudgetIgnored) => used.policy.budget_min = 1000,
            Some(Mutant::BalancingOff) => used.policy.strategy = Strategy::Off,
            _ => {}
        }
        let mut world = World::begin(&universe, &scenario, &used, seed, mutant).await;
        let violations = world.violations.clone();
        world.audit_with(Auditor::new(violations, expected.clone()));
        world.play(scenario.length.0, &Progress::default()).await;
        world.calm_down().await;
        world.judge(&expected).await;
        world.end(&scenario, &contender).await
    })
}

impl World {
    fn now(&self) -> Duration {
        self.universe.clock().monotonic()
    }

    async fn pass(&mut self, time: Duration) {
        self.play(self.now() + time, &Progress::default()).await;
    }

    /// Everything that went wrong ends.
    async fn calm_down(&mut self) {
        self.queue.clear();
        if self.server.is_none() {
            self.start_server();
        }
        {
            let mut model = lock(&self.model);
            model.now = self.universe.clock().monotonic();
            model.noise = 0.0;
            for index in 0..model.agents.len() {
                let agent = &mut model.agents[index];
                (agent.reachable, agent.lie, agent.told_workers) = (true, None, None);
                let (life, removed) = (agent.life, agent.removed);
                if life == Life::Paused {
                    model.set_life(index, Life::Running);
                    self.crew.resumed(index);
                } else if removed {
                    model.set_life(index, Life::Dead);
                } else {
                    model.set_life(index, Life::Running);
                }
            }
        }
        self.end_removed_pods();
        self.pass(CALM).await;
        if self.somebody_is_quarantined() {
            while self.somebody_is_quarantined() {
                self.pass(POLL_INTERVAL).await;
            }
            // What was released is measured anew.
            self.pass(CALM).await;
        }
        if let Some(auditor) = &self.auditor {
            auditor.settled(&self.watch, &lock(&self.model));
        }
    }

    fn somebody_is_quarantined(&self) -> bool {
        self.watch.table.as_ref().is_some_and(|table| !table.constraints.quarantined.is_empty())
    }

    /// Balancing comes to an end, and then planning again moves nothing.
    async fn judge(&mut self, expected: &BalancePolicy) {
        let mut last = None;
        for _ in 0..LOOKS {
            let evaluated = self.evaluate().await;
            let again = self.evaluate().await;
            if let Some(again) = again.filter(|again| !again.plan.moves.is_empty()) {
                self.finding(&format!("planning twice moves {} checks", again.plan.moves.len()));
            }
            let done = evaluated
                .as_ref()
                .is_some_and(|evaluated| evaluated.plan.moves.is_empty() && evaluated.plan.stopped != Stopped::BudgetUsedUp);
            last = evaluated;
            if done {
                break;
            }
            self.pass(expected.period).await;
        }
        self.pass(Duration::from_secs(60)).await;
        if let Some(auditor) = &self.auditor {
            auditor.settled(&self.watch, &lock(&self.model));
        }
        let stopped = last.map(|last| last.plan.stopped);
        let inside = self.inside_band();
        match (expected.strategy, stopped) {
            (Strategy::Bounded, Some(Stopped::InsideBand)) if inside => {}
            (Strategy::Bounded, Some(Stopped::InsideBand)) => self.finding("the plan is inside the band, the load is not"),
            (Strategy::Bounded, Some(Stopped::NothingImproves)) => self.nothing_improves(expected),
            (Strategy::Bounded, Some(Stopped::TooFewRunners)) => {}
            (Strategy::Bounded, stopped) => self.finding(&format!("balancing comes to no end: {stopped:?}")),
            _ => {}
        }
    }

    fn finding(&self, what: &str) {
        if let Some(auditor) = &self.auditor {
            auditor.found(self.now(), what);
        }
    }

    async fn evaluate(&mut self) -> Option<Evaluated> {
        let rebalancer = self.server.as_ref().map(|server| server.core.rebalancer.clone())?;
        let asked = rebalancer.ask(Evaluate { trigger: Trigger::Manual, force: false, dry_run: false }, PLAN_DEADLINE).await;
        match asked {
            Ok(Ok(evaluated)) => Some(evaluated),
            Ok(Err(refusal)) => {
                self.finding(&format!("no plan: {refusal}"));
                None
            }
            Err(error) => {
                self.finding(&format!("no plan: {error}"));
                None
            }
        }
    }

    /// By what checks really need, with some room for figures that are whole milliseconds and not yet all forgotten.
    fn inside_band(&self) -> bool {
        let model = lock(&self.model);
        let (loads, mean) = loads(&model);
        let tolerance = self.band.around(mean) * 1.2 + 0.02;
        loads.iter().all(|(_, _, utilization)| (utilization - mean).abs() <= tolerance)
    }

    /// No move of one check that may move makes the load more even, by what checks really need.
    fn nothing_improves(&self, policy: &BalancePolicy) {
        let model = lock(&self.model);
        let (loads, mean) = loads(&model);
        let wall = self.universe.clock().unix_nanos();
        let ledger = self.watch.table.as_ref().map(|table| table.ledger.clone()).unwrap_or_default();
        let cooling: Vec<_> = ledger.younger(wall, policy.cooldown).map(|made| made.key).collect();
        for &(from, workers, above) in loads.iter().filter(|(_, _, utilization)| *utilization > mean + self.band.around(mean)) {
            for &(to, others, below) in loads.iter().filter(|(_, _, utilization)| *utilization < mean) {
                let honours = model.agents[to].honours_grants();
                for check in model.agents[from].running() {
                    if model.checks[*check].handover == Handover::AtMostOnce && !honours {
                        continue;
                    }
                    let need = model.checks[*check].need();
                    let gain = 2.0 * need * (above - below) - need * need * (1.0 / workers + 1.0 / others);
                    // What is gained by less than this may be an error of rounding, and is worth no move.
                    if gain > 0.01 && need > 0.01 && !cooling.contains(&model.checks[*check].config.key) {
                        return self.finding(&format!("moving check {check} from {from} to {to} would gain {gain:.4}, and is not done"));
                    }
                }
            }
        }
    }
}

/// Agents that run, their workers and their utilization; and the mean.
fn loads(model: &Model) -> (Vec<(usize, f64, f64)>, f64) {
    let running = (0..model.agents.len()).filter(|agent| model.agents[*agent].runs());
    // Who does not tell its workers is counted with four, which is what drawn agents have.
    let loads: Vec<_> = running
        .map(|agent| {
            let workers = f64::from(model.agents[agent].workers.max(1));
            (agent, workers, model.load(agent) / workers)
        })
        .collect();
    let workers: f64 = loads.iter().map(|(_, workers, _)| workers).sum();
    let load: f64 = loads.iter().map(|(_, workers, utilization)| workers * utilization).sum();
    (loads, if workers > 0.0 { load / workers } else { 0.0 })
}

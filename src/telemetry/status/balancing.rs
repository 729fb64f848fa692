//! What the status says about balancing. All of it is ours.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::advice::{Advice, advise};
use muster_actors::balance::plan::Plan;
use muster_actors::balance::policy::{BalancePolicy, Strategy};
use muster_actors::balance::rebalancing::RebalancerView;
use muster_actors::balance::world::World;
use muster_actors::domain::config::DispatchedConfig;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::ids::{ConfigKey, NodeName};
use muster_actors::domain::world::{ServedTable, Standing};
use serde::{Deserialize, Serialize};

use crate::telemetry::in_words::bars::{bar, percent, scale};
use crate::telemetry::in_words::counted;
use crate::telemetry::in_words::reasons;
use crate::telemetry::in_words::when::{ago, ahead, date, span};

/// Runners that are drawn; `-v` draws all.
const DRAWN: usize = 20;

/// What the section is made from.
#[derive(Clone, Copy)]
pub struct BalancingSources<'a> {
    /// The assignment.
    pub served: &'a ServedTable,
    /// What runners told.
    pub figures: &'a Figures,
    /// What balancing did.
    pub view: &'a RebalancerView,
    /// Its rules.
    pub policy: &'a BalancePolicy,
    /// Nanoseconds since the Unix epoch.
    pub now_unix_nanos: i64,
    /// The same moment on the clock that ages are taken from.
    pub now: Duration,
}

/// Balancing, as far as the replica that leads knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalancingStatus {
    /// `bounded`, `utilization`, `busyness` or `off`.
    pub strategy: String,
    /// Whether plans that nobody asked for wait for approval.
    pub approval: bool,
    /// The newest plan that was made to be carried out.
    pub last_plan: Option<LastPlanStatus>,
    /// The plan that waits.
    pub pending: Option<PendingStatus>,
    /// Moves for balance in the last 10 minutes.
    pub spent: usize,
    /// Moves that are allowed in 10 minutes; `None` = any number.
    pub budget: Option<usize>,
    /// Plans made and carried out, and moves made, since the process started.
    pub plans: u64,
    /// See above.
    pub applied: u64,
    /// See above.
    pub moves: u64,
    /// Mean utilization of all runners that stay.
    pub mean: f64,
    /// Every registered node, by name.
    pub runners: Vec<RunnerStatus>,
    /// What is demanded of placement, and what is on its way: one sentence each.
    pub pinned: Vec<String>,
    /// See above.
    pub isolated: Vec<String>,
    /// See above.
    pub quarantined: Vec<String>,
    /// See above.
    pub moving: Vec<String>,
    /// What would help the pool of runners.
    pub advice: Vec<Advice>,
}

/// The newest plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastPlanStatus {
    /// Nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// Why it was made.
    pub because: String,
    /// Its moves.
    pub moves: usize,
    /// Why it has no more.
    pub stopped: String,
    /// How long the computation took.
    pub took_milliseconds: u64,
}

/// A plan that waits for approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// The number to approve it with.
    pub number: u64,
    /// Its moves.
    pub moves: usize,
    /// Why it was made.
    pub because: String,
}

/// A registered node as a place for checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunnerStatus {
    /// Its name.
    pub name: String,
    /// Its workers.
    pub workers: f64,
    /// Whether it told them; else they are assumed.
    pub workers_known: bool,
    /// Share of them that is busy with cluster checks.
    pub utilization: f64,
    /// Its configs.
    pub configs: usize,
    /// Age of its figures in seconds; `None` = it never told any.
    pub figures_age_seconds: Option<u64>,
    /// Why the last attempt to ask it failed; `None` = it did not.
    pub figures_error: Option<String>,
    /// Whether it is on its way out.
    pub leaving: bool,
}

impl BalancingStatus {
    /// What this replica knows; `None` unless it dispatches.
    #[must_use]
    pub fn of(sources: BalancingSources<'_>) -> Option<Self> {
        let BalancingSources { served, figures, view, policy, now_unix_nanos, .. } = sources;
        if served.standing != Standing::Active {
            return None;
        }
        let world = World::of(served, figures, policy, now_unix_nanos);
        let runners = runners(sources, &world);
        let staying = || runners.iter().filter(|runner| !runner.leaving);
        let workers: f64 = staying().map(|runner| runner.workers).sum();
        let busy: f64 = staying().map(|runner| runner.utilization * runner.workers).sum();
        let Demands { pinned, isolated, quarantined, moving } = Demands::of(served, now_unix_nanos);
        Some(Self {
            strategy: policy.strategy.as_str().to_owned(),
            approval: policy.approval,
            last_plan: view.last.as_ref().map(|last| LastPlanStatus {
                at_unix_nanos: last.at_unix_nanos,
                because: reasons::trigger(last.plan.trigger).to_owned(),
                moves: last.plan.moves.len(),
                stopped: reasons::stopped(&last.plan),
                took_milliseconds: u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX),
            }),
            pending: view.pending.as_ref().map(|(number, plan)| pending(*number, plan)),
            spent: world.spent,
            budget: (policy.strategy == Strategy::Bounded).then(|| policy.budget(world.loads.len())),
            plans: view.plans,
            applied: view.applied,
            moves: view.moves,
            mean: if workers > 0.0 { busy / workers } else { 0.0 },
            pinned,
            isolated,
            quarantined,
            moving,
            advice: advise(&world, policy),
            runners,
        })
    }

    /// The lines of the section. `verbose` draws every runner.
    pub(crate) fn lines(&self, verbose: bool, now_unix_nanos: i64) -> Vec<String> {
        let mut lines = vec![format!("Strategy: {}{}", self.strategy, if self.approval { ", plans wait for approval" } else { "" })];
        match &self.last_plan {
            None => lines.push("Last Plan: none yet".to_owned()),
            Some(last) => {
                let when = format!("{} ({})", date(last.at_unix_nanos), ago(last.at_unix_nanos, now_unix_nanos));
                lines.push(format!("Last Plan: {when}, because {}", last.because));
                lines.push(format!("  - {}, found in {} ms", counted(last.moves, "move"), last.took_milliseconds));
                lines.push(format!("  - No more, because {}", last.stopped));
            }
        }
        if let Some(PendingStatus { number, moves, because }) = &self.pending {
            lines.push(format!("Waiting For Approval: plan {number} with {}, made because {because}", counted(*moves, "move")));
            lines.push(format!("  - See it with: muster cluster clusterchecks plan, approve it with --approve {number}"));
        }
        let budget = self.budget.map_or_else(|| "any number".to_owned(), |budget| budget.to_string());
        lines.push(format!("Moves For Balance In The Last 10 Minutes: {}, allowed: {budget}", self.spent));
        lines.push(format!("Since Start: {} plans, {} carried out, {} moves", self.plans, self.applied, self.moves));
        self.draw(&mut lines, verbose);
        for (title, entries) in
            [("Pinned", &self.pinned), ("Isolated", &self.isolated), ("In Quarantine", &self.quarantined), ("On Their Way", &self.moving)]
        {
            if !entries.is_empty() {
                lines.push(format!("{title}: {}", entries.len()));
                lines.extend(entries.iter().map(|entry| format!("  - {entry}")));
            }
        }
        if !self.advice.is_empty() {
            lines.push("Advice:".to_owned());
            lines.extend(self.advice.iter().map(|advice| format!("  - {}", advice.sentence())));
        }
        lines
    }

    fn draw(&self, lines: &mut Vec<String>, verbose: bool) {
        let mut busiest: Vec<&RunnerStatus> = self.runners.iter().collect();
        busiest.sort_by(|one, other| other.utilization.total_cmp(&one.utilization));
        let drawn = if verbose { busiest.len() } else { DRAWN };
        let full = scale(busiest.first().map_or(0.0, |runner| runner.utilization));
        let width = busiest.iter().take(drawn).map(|runner| runner.name.chars().count()).max().unwrap_or(0);
        lines.push(format!("Runners: {}, mean utilization {}, a full bar is {}", self.runners.len(), percent(self.mean), percent(full)));
        for runner in busiest.iter().take(drawn) {
            let name = format!("{}{}", runner.name, " ".repeat(width - runner.name.chars().count()));
            let drawing = if runner.workers > 0.0 { bar(runner.utilization, full) } else { format!("{:20}", "no workers") };
            let shown = percent(runner.utilization);
            lines.push(format!("  {name}  {drawing} {shown:>7}  {}", runner.remarks()));
        }
        if busiest.len() > drawn {
            lines.push(format!("  and {} less busy ones; -v shows all", busiest.len() - drawn));
        }
    }
}

impl RunnerStatus {
    fn remarks(&self) -> String {
        let mut remarks = vec![counted(self.configs, "config")];
        if self.workers > 0.0 {
            remarks.push(format!("{} workers{}", self.workers, if self.workers_known { "" } else { " assumed" }));
        }
        if self.leaving {
            remarks.push("on its way out".to_owned());
        }
        match (self.figures_age_seconds, &self.figures_error) {
            (None, None) => remarks.push("no figures yet".to_owned()),
            (None, Some(error)) => remarks.push(format!("no figures: {error}")),
            (Some(age), Some(error)) => {
                remarks.push(format!("figures {} old: {error}", span(i64::try_from(age).unwrap_or(i64::MAX))));
            }
            (Some(_), None) => {}
        }
        remarks.join(", ")
    }
}

fn pending(number: u64, plan: &Arc<Plan>) -> PendingStatus {
    PendingStatus { number, moves: plan.moves.len(), because: reasons::trigger(plan.trigger).to_owned() }
}

fn runners(sources: BalancingSources<'_>, world: &World) -> Vec<RunnerStatus> {
    let mut held = vec![(0.0, 0_usize); world.runners.len()];
    for load in &world.loads {
        if let Some(owner) = load.owner {
            held[owner].0 += load.counted;
            held[owner].1 += 1;
        }
    }
    let status = world.runners.iter().zip(held).map(|(runner, (used, configs))| {
        let told = sources.figures.runners.get(&runner.name);
        let age = told.and_then(|told| told.collected_at).map(|at| sources.now.saturating_sub(at).as_secs());
        RunnerStatus {
            name: runner.name.to_string(),
            workers: runner.workers,
            workers_known: runner.workers_known,
            utilization: if runner.workers > 0.0 { used / runner.workers } else { 0.0 },
            configs,
            figures_age_seconds: age,
            figures_error: told.and_then(|told| told.last_error.clone()),
            leaving: !runner.presence.is_staying(),
        }
    });
    status.collect()
}

/// What is demanded of placement, in sentences.
struct Demands {
    pinned: Vec<String>,
    isolated: Vec<String>,
    quarantined: Vec<String>,
    moving: Vec<String>,
}

impl Demands {
    fn of(served: &ServedTable, now_unix_nanos: i64) -> Self {
        let demands = &served.constraints;
        let names = if demands.is_empty() { HashMap::new() } else { names(served) };
        let name = |key: &ConfigKey| names.get(key).map_or_else(|| key.to_string(), |config| called(config));
        let quarantined = demands.quarantined.iter().map(|(key, quarantine)| {
            let killed: Vec<&str> = quarantine.killed.iter().map(NodeName::as_str).collect();
            let ends = ahead(quarantine.until_unix_nanos, now_unix_nanos);
            format!("{}, which ran on {} when they died; ends {ends}", name(key), killed.join(", "))
        });
        Self {
            pinned: demands.pinned.iter().map(|(key, node)| format!("{} on {node}", name(key))).collect(),
            isolated: demands.isolated.iter().map(|(node, key)| format!("{} on {node}", name(key))).collect(),
            quarantined: quarantined.collect(),
            moving: served.moving.iter().map(|one| format!("{} {}", called(&one.config), reasons::transfer(&one.transfer))).collect(),
        }
    }
}

fn names(served: &ServedTable) -> HashMap<ConfigKey, &DispatchedConfig> {
    served.configs().map(|config| (config.key, &**config)).collect()
}

fn called(config: &DispatchedConfig) -> String {
    config.check_ids.first().map_or_else(|| config.config.name.clone(), ToString::to_string)
}

#[cfg(test)]
mod tests;

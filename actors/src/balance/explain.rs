//! Why a config is where it is, and why a node has what it has: the rules of placement and balancing, asked for their reasons.

mod ground;
mod next;
mod reasons;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::explain::ground::Ground;
use crate::balance::explain::next::what_moves_it_next;
use crate::balance::explain::reasons::Reasons;
use crate::balance::explanation::{Candidate, CheckExplanation, NodeConfig, NodeExplanation};
use crate::balance::plan::Plan;
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::world::{Load, RunnerIndex, World};
use crate::domain::config::DispatchedConfig;
use crate::domain::figures::Figures;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::journal::Decision;
use crate::domain::world::{Presence, ServedTable};

/// Decisions that are told of a config.
const MOVES_OF_A_CHECK: usize = 20;
/// Decisions that are told of a node.
const MOVES_OF_A_NODE: usize = 50;

/// What one explanation is made from. `plan` is what the strategy would do with `world` now, without force; `served` is what `world` was
/// made from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The world of this moment.
    pub world: &'a World,
    /// The options of balancing.
    pub policy: &'a BalancePolicy,
    /// The plan of this moment.
    pub plan: &'a Plan,
    /// The published table.
    pub served: &'a ServedTable,
}

/// Explains one config; `history` are the decisions about it, newest first. `None` = it is not in the table.
///
/// May make further plans to tell reasons apart, so it costs as much as a few plans.
#[must_use]
pub fn explain_check(evidence: Evidence<'_>, key: ConfigKey, history: Vec<Decision>) -> Option<CheckExplanation> {
    let Evidence { world, policy, plan, served } = evidence;
    let load = world.loads.iter().find(|load| load.key == key)?;
    let config = config_of(served, key)?;
    let ground = Ground::of(world, policy);
    let candidates = candidates(&ground, &Reasons::new(world, policy, plan, load), load);
    let owner = load.owner.map(|owner| &world.runners[owner].name);
    let moving = served.moving.iter().find(|moving| moving.config.key == key);
    let dangling = served.dangling.iter().find(|dangling| dangling.config.key == key && owner.is_none());
    let history: Vec<_> = history.into_iter().filter(|decision| decision.from != decision.to).collect();
    let mut explanation = CheckExplanation {
        key,
        digest: load.digest,
        check_name: load.check_name.to_string(),
        check_ids: config.check_ids.clone(),
        source: config.config.source.clone(),
        node: owner.cloned(),
        dangling: dangling.map(|dangling| dangling.reason),
        transfer: moving.map(|moving| moving.transfer.clone()),
        since_unix_nanos: owner
            .and_then(|owner| history.iter().find(|decision| decision.to.as_ref() == Some(owner)))
            .map(|it| it.at_unix_nanos),
        need: load.need,
        counted: load.counted,
        move_cost: load.cost,
        handover: load.handover,
        held: load.held,
        pinned_to: load.pinned_to.clone(),
        quarantine: served.constraints.quarantined.get(&key).cloned(),
        candidates,
        history: history.into_iter().take(MOVES_OF_A_CHECK).collect(),
        next: Vec::new(),
    };
    explanation.next = what_moves_it_next(&ground, policy, plan, load, &explanation);
    Some(explanation)
}

fn candidates(ground: &Ground<'_>, reasons: &Reasons<'_>, load: &Load) -> Vec<Candidate> {
    let candidate = |index: RunnerIndex| {
        let runner = &ground.world.runners[index];
        Candidate {
            node: runner.name.clone(),
            workers: runner.workers,
            configs: ground.configs(index),
            utilization: ground.utilization(index),
            with_it: ground.with(index, load),
            gain: reasons.gain(index),
            ruled_out: (load.owner != Some(index)).then(|| reasons.against(index)),
        }
    };
    let mut candidates: Vec<_> = (0..ground.world.runners.len()).map(candidate).collect();
    candidates.sort_by(|one, other| {
        let place = |candidate: &Candidate| (candidate.ruled_out.is_some(), candidate.workers <= 0.0);
        place(one).cmp(&place(other)).then(one.with_it.total_cmp(&other.with_it)).then_with(|| one.node.cmp(&other.node))
    });
    candidates
}

/// Explains one node; `history` are the decisions that took from or gave to it, newest first, and `now` is the monotonic time. `None` =
/// it is not registered.
#[must_use]
pub fn explain_node(
    evidence: Evidence<'_>,
    figures: &Figures,
    now: Duration,
    node: &NodeName,
    history: Vec<Decision>,
) -> Option<NodeExplanation> {
    let Evidence { world, policy, plan, served } = evidence;
    let index = world.runners.iter().position(|runner| runner.name == *node)?;
    let ground = Ground::of(world, policy);
    let told = figures.runners.get(node);
    let mut came = HashMap::new();
    for decision in history.iter().filter(|decision| decision.to.as_ref() == Some(node) && decision.from != decision.to) {
        came.entry(decision.key).or_insert(decision.at_unix_nanos);
    }
    let shown = served.nodes.get(node).into_iter().flat_map(|entry| entry.view.configs.iter());
    let check_ids: HashMap<ConfigKey, _> = shown.filter_map(|config| Some((config.key, config.check_ids.first()?))).collect();
    let mut loads: Vec<_> = world.loads.iter().filter(|load| load.owner == Some(index)).collect();
    loads.sort_by(|one, other| other.counted.total_cmp(&one.counted).then_with(|| (one.digest, one.key).cmp(&(other.digest, other.key))));
    let configs = loads.into_iter().map(|load| NodeConfig {
        key: load.key,
        digest: load.digest,
        check_name: load.check_name.to_string(),
        check_id: check_ids.get(&load.key).copied().cloned(),
        need: load.need,
        held: load.held,
        since_unix_nanos: came.get(&load.key).copied(),
    });
    let concerns = plan.moves.iter().filter(|planned| planned.from == *node || planned.to == *node);
    let banded = policy.strategy == Strategy::Bounded;
    Some(NodeExplanation {
        node: node.clone(),
        workers: world.runners[index].workers,
        workers_known: world.runners[index].workers_known,
        utilization: ground.utilization(index),
        mean: ground.mean,
        tolerance: if banded { ground.tolerance } else { 0.0 },
        remarks: remarks(&ground, policy, index, told.and_then(|told| told.last_error.as_deref())),
        figures_age_seconds: told.and_then(|told| told.collected_at).map(|at| now.saturating_sub(at).as_secs_f64()),
        configs: configs.collect(),
        planned: concerns.map(|planned| (planned.check_name.clone(), planned.from.clone(), planned.to.clone())).collect(),
        history: history.into_iter().filter(|decision| decision.from != decision.to).take(MOVES_OF_A_NODE).collect(),
        stopped: plan.stopped,
    })
}

/// What is special about a node, in words.
fn remarks(ground: &Ground<'_>, policy: &BalancePolicy, index: RunnerIndex, last_error: Option<&str>) -> Vec<String> {
    let runner = &ground.world.runners[index];
    let mut remarks = Vec::new();
    match runner.presence {
        Presence::Staying => {}
        Presence::HandingOver => {
            remarks.push("on its way out; keeps its set a moment longer, because its successor is about to register".to_owned());
        }
        Presence::Draining => remarks.push("on its way out; keeps only what no other node may run".to_owned()),
    }
    if let Some(only) = runner.isolated_for {
        let of = ground.world.loads.iter().find(|load| load.key == only);
        let name = of.map_or_else(|| only.to_string(), |load| format!("{} ({})", load.check_name, load.digest));
        remarks.push(format!("isolated for {name}: nothing else is placed here"));
    }
    if runner.workers <= 0.0 {
        remarks.push("told that it has no workers: gets something only if there is no other node".to_owned());
    } else if !runner.workers_known {
        remarks.push(format!("did not tell its workers: counts with {:.0}", runner.workers));
    }
    if runner.facts.compatibility.is_declared() {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let declared = &runner.facts.compatibility;
        if !declared.include.is_empty() {
            remarks.push(format!("runs only: {}", list(&declared.include)));
        }
        if !declared.exclude.is_empty() {
            remarks.push(format!("does not run: {}", list(&declared.exclude)));
        }
    }
    if let Some(error) = last_error {
        remarks.push(format!("its figures are old: {error}"));
    }
    if policy.strategy == Strategy::Bounded && ground.is_usable(index) {
        let off = ground.utilization(index) - ground.mean;
        if off.abs() > ground.tolerance {
            let side = if off > 0.0 { "above" } else { "below" };
            remarks.push(format!(
                "{:.2} {side} the mean of {:.2}, which is more than the band of {:.2}",
                off.abs(),
                ground.mean,
                ground.tolerance
            ));
        }
    }
    remarks
}

/// The config of this key, wherever it is.
fn config_of(served: &ServedTable, key: ConfigKey) -> Option<&Arc<DispatchedConfig>> {
    let moving = served.moving.iter().map(|moving| &moving.config);
    let dangling = served.dangling.iter().map(|dangling| &dangling.config);
    let owned = served.nodes.values().flat_map(|entry| entry.view.configs.iter());
    moving.chain(dangling).chain(owned).find(|config| config.key == key)
}

#[cfg(test)]
mod tests;

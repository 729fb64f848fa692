//! From what runners told to the figures of the cluster. Source: cluster-checks 10.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::balance::need::{check_weight, config_figures, medians};
use crate::domain::config::DispatchedConfig;
use crate::domain::figures::{CheckFigures, Figures, RunnerFigures};
use crate::domain::handover::Transfer;
use crate::domain::ids::{CheckId, ConfigKey, NodeName};
use crate::domain::world::{NodeEntry, NodeKind, NodeView, ServedTable};

/// Checks of a runner that are remembered although no config assigned to it has them.
///
/// Why: a broken or lying runner must not take the memory of the cluster role.
pub const OTHERS_REMEMBERED: usize = 10_000;

/// Largest number of workers that is believed: the most that our own runners can be given.
const MOST_WORKERS: u32 = 10_000;

/// Largest busyness of a runner that is believed. Why: a sum over all runners of a cluster must not overflow.
const MOST_BUSYNESS: i64 = 1 << 46;

/// Statistics of the checks of one runner, cut to what is worth remembering.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToldChecks {
    checks: BTreeMap<CheckId, CheckFigures>,
    busyness: i64,
}

impl ToldChecks {
    /// Takes what a runner told. Checks that are assigned to it are always remembered.
    #[must_use]
    pub fn new(mut checks: BTreeMap<CheckId, CheckFigures>, assigned: &NodeView) -> Self {
        let busyness = checks.values().fold(0_i64, |sum, check| sum.saturating_add(check_weight(check))).min(MOST_BUSYNESS);
        // It is not the name of a check. Source: cluster-checks 10.
        checks.remove("");
        if checks.len() > OTHERS_REMEMBERED {
            let own: BTreeSet<&CheckId> = assigned.configs.iter().flat_map(|config| &config.check_ids).collect();
            let mut others = 0;
            checks.retain(|id, _| {
                own.contains(id) || {
                    others += 1;
                    others <= OTHERS_REMEMBERED
                }
            });
        }
        Self { checks, busyness }
    }
}

/// What a runner told about its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldWorkers {
    /// Their number.
    Number(u32),
    /// It is too old to tell (404).
    Untold,
    /// It did not answer: what it told before counts.
    NoAnswer,
}

/// What one runner told in one round.
#[derive(Clone, Debug)]
pub struct Told {
    /// When its statistics arrived. Monotonic.
    pub at: Duration,
    /// Statistics, or why there are none.
    pub checks: Result<ToldChecks, String>,
    /// Workers.
    pub workers: ToldWorkers,
}

/// The nodes that can be asked: whoever told an address and is no node agent. In no order.
pub fn askable(table: &ServedTable) -> impl Iterator<Item = (&NodeName, &NodeEntry)> {
    table.nodes.iter().filter(|(_, node)| node.facts.kind != NodeKind::NodeAgent && !node.facts.address.is_empty())
}

/// The figures after a round of questions, `before` being those before it.
///
/// Runners and configs that are not in the table are forgotten. What a runner did not tell stays as it was told before, with its age; a
/// config keeps what is known about it wherever it goes, and only its owner is believed about it.
#[must_use]
pub fn collected(before: &Figures, table: &ServedTable, mut told: BTreeMap<NodeName, Told>, at: Duration, took: Duration) -> Figures {
    let mut figures = Figures { collected_at: Some(at), took, ..Figures::default() };
    let mut fresh = BTreeSet::new();
    for (name, _) in askable(table) {
        let known = before.runners.get(name);
        match told.remove(name) {
            Some(told) => {
                if told.checks.is_ok() {
                    fresh.insert(name);
                }
                figures.runners.insert(name.clone(), runner_figures(known, told));
            }
            None => figures.runners.extend(known.map(|known| (name.clone(), known.clone()))),
        }
    }

    let transfers: BTreeMap<ConfigKey, &Transfer> = table.moving.iter().map(|moving| (moving.config.key, &moving.transfer)).collect();
    let mut needs = Vec::new();
    let mut learn = |config: &DispatchedConfig, owner: Option<&NodeName>| {
        let known = before.configs.get(&config.key);
        let now = match owner.filter(|owner| fresh.contains(owner)).and_then(|owner| figures.runners.get(owner)) {
            Some(runner) => config_figures(config, &runner.checks, known),
            None => known.copied(),
        };
        if let Some(now) = now {
            needs.push((config.config.name.clone(), now.smoothed));
            figures.configs.insert(config.key, now);
        }
    };
    for (name, node) in &table.nodes {
        for config in node.view.configs.iter() {
            // Of two that run it while it moves, the former owner knows more.
            if transfers.get(&config.key).is_none_or(|transfer| transfer.from == *name) {
                learn(config, Some(name));
            }
        }
    }
    table.dangling.iter().for_each(|dangling| learn(&dangling.config, None));
    for moving in &table.moving {
        let told_by_former = table.nodes.get(&moving.transfer.from).is_some_and(|node| has(&node.view, moving.config.key));
        if !told_by_former {
            learn(&moving.config, None);
        }
    }
    (figures.medians, figures.median) = medians(needs.iter().map(|(name, need)| (name.as_str(), *need)));
    figures
}

fn has(view: &NodeView, key: ConfigKey) -> bool {
    view.configs.binary_search_by_key(&key, |config| config.key).is_ok()
}

fn runner_figures(known: Option<&RunnerFigures>, told: Told) -> RunnerFigures {
    let workers = match told.workers {
        ToldWorkers::Number(number) if number <= MOST_WORKERS => Some(number),
        // A number that cannot be true would draw all the load.
        ToldWorkers::Number(_) | ToldWorkers::Untold => None,
        ToldWorkers::NoAnswer => known.and_then(|known| known.workers),
    };
    let failures = known.map_or(0, |known| known.failures);
    match told.checks {
        Ok(ToldChecks { checks, busyness }) => {
            RunnerFigures { workers, checks, busyness, collected_at: Some(told.at), failures, last_error: None }
        }
        Err(error) => RunnerFigures { workers, failures: failures + 1, last_error: Some(error), ..known.cloned().unwrap_or_default() },
    }
}

#[cfg(test)]
mod tests;

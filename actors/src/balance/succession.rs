//! Who takes over the whole set of a node whose pod is on its way out.
//!
//! Why: the pods of a Deployment are replaced one by one. Spreading each set over the rest would move every check several times until
//! the last pod is replaced; handing each set to the pod that comes moves it once. Source: cluster-checks 11.5, block rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::balance::eligibility::is_singleton;
use crate::domain::assignment::AssignmentTable;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::pod_evidence::Lineage;
use crate::domain::world::NodeKind;

/// Longest time for which a terminating pod keeps its set because its successor is about to register. Counted from the moment at which
/// the termination was seen.
pub const HANDOVER_GRACE: Duration = Duration::from_secs(10);

/// Time within which the pod that replaces a terminating one appears. Why: its controller creates it only after the deletion.
pub const APPEARANCE_GRACE: Duration = Duration::from_millis(500);

/// A successor may hold this part of what it takes over, not more. Why not nothing at all: configs discovered while a pod is being
/// replaced go to the emptiest node, which is the one that has just come.
const FEW: usize = 4;

/// What becomes of the set of a node that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// The node keeps it a moment longer: its successor is about to register.
    Awaited,
    /// This node takes it over as a block.
    By(NodeName),
    /// The others share it.
    Nobody,
}

/// A node that leaves and is not drained yet.
#[derive(Debug, Clone)]
pub struct Leaver<'a> {
    /// Its name.
    pub node: &'a NodeName,
    /// Its kind of agent.
    pub kind: NodeKind,
    /// Which pods replace it.
    pub lineage: Option<&'a Lineage>,
    /// Configs it holds.
    pub held: usize,
    /// Time since its termination was seen; `None` when it is gone already and can keep nothing.
    pub leaving_for: Option<Duration>,
}

/// A node that may take a set over.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Its name.
    pub node: &'a NodeName,
    /// Its kind of agent.
    pub kind: NodeKind,
    /// Which pods it is one of.
    pub lineage: &'a Lineage,
    /// Configs it holds.
    pub held: usize,
    /// When it registered. Monotonic.
    pub registered_at: Duration,
}

/// Gives each leaver at most one successor and each candidate at most one set.
///
/// Those that are gone come first, because they cannot wait, then those that hold most; of the candidates of the same kind and lineage
/// that hold next to nothing the newest is taken. `awaited` counts the pods of a lineage that have not registered.
#[must_use]
pub fn successions(leavers: &[Leaver<'_>], candidates: &[Candidate<'_>], awaited: &BTreeMap<&Lineage, usize>) -> Vec<Succession> {
    let mut newest: Vec<_> = candidates.iter().collect();
    newest.sort_by_key(|candidate| (std::cmp::Reverse(candidate.registered_at), candidate.held, candidate.node));
    let mut awaited = awaited.clone();
    let mut order: Vec<_> = leavers.iter().enumerate().collect();
    order.sort_by_key(|(_, leaver)| (leaver.leaving_for.is_some(), std::cmp::Reverse(leaver.held), leaver.node));
    let mut decided = vec![Succession::Nobody; leavers.len()];
    for (index, leaver) in order {
        let Some(lineage) = leaver.lineage.filter(|_| leaver.held > 0) else { continue };
        let suits = |candidate: &&Candidate<'_>| {
            candidate.kind == leaver.kind && candidate.lineage == lineage && candidate.held * FEW <= leaver.held
        };
        if let Some(position) = newest.iter().position(suits) {
            decided[index] = Succession::By(newest.remove(position).node.clone());
            continue;
        }
        let Some(leaving_for) = leaver.leaving_for.filter(|leaving_for| *leaving_for < HANDOVER_GRACE) else { continue };
        let mut a_pod_comes = leaving_for < APPEARANCE_GRACE;
        if let Some(pods) = awaited.get_mut(lineage).filter(|pods| **pods > 0) {
            *pods -= 1;
            a_pod_comes = true;
        }
        if a_pod_comes {
            decided[index] = Succession::Awaited;
        }
    }
    decided
}

/// What of the set of `from` goes to `to` as a block: what it may run and is not isolated from, without a second config of a check that an agent runs once only.
#[must_use]
pub fn block(table: &AssignmentTable, from: &NodeName, to: &NodeName) -> Vec<ConfigKey> {
    let Some(successor) = table.nodes().get(to).filter(|node| node.presence.is_staying()) else {
        return Vec::new();
    };
    let names = table.configs_of(to).map(|config| config.config.name.as_str());
    let mut singletons: BTreeSet<_> = names.filter(|name| is_singleton(name)).collect();
    let mut keys = Vec::new();
    for config in table.configs_of(from) {
        let name = config.config.name.as_str();
        // What is on its way to another node goes on.
        let belongs_there = table.rows().get(&config.key).and_then(|row| row.placement.owner()) == Some(from);
        let open = belongs_there && successor.facts.may_run(name) && !table.constraints().refuses(to, config.key);
        if open && (!is_singleton(name) || singletons.insert(name)) {
            keys.push(config.key);
        }
    }
    keys
}

#[cfg(test)]
mod tests;

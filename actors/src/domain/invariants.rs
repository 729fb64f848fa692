//! What must hold after every message (style 8), as pure functions.
//!
//! Called by the dispatcher after each change, by property tests and by the simulation. A violation is a value with its name and its
//! data, so that each caller decides what to do about it. Invariant 10 belongs to a room that does not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::assignment::{AssignmentTable, NodeRow, Placement, Row};
use crate::domain::exposure::Exposure;
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::{ConfigKey, NodeName, Seq};
use crate::domain::turn::Committed;
use crate::domain::world::{DanglingReason, Presence, ServedTable, Standing};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Name, usable as a metric label.
    pub name: &'static str,
    /// What was found.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.name, self.detail)
    }
}

fn broken(name: &'static str, detail: String) -> Violation {
    Violation { name, detail }
}

/// Invariants 1 and 2: each config has exactly one owner that is registered and may run it, or dangles with a true reason.
#[must_use]
pub fn check_table(table: &AssignmentTable) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, row) in table.rows() {
        if row.config.key != *key {
            violations.push(broken("row_key", format!("row {key} holds config {}", row.config.key)));
        }
        match &row.placement {
            Placement::Owned(owner) => {
                match table.nodes().get(owner) {
                    None => violations.push(broken("owner_known", format!("config {key} is on {owner}, which is not registered"))),
                    Some(node) if !node.facts.may_run(&row.config.config.name) => {
                        violations.push(broken("owner_eligible", format!("config {key} is on {owner}, which does not run it")));
                    }
                    Some(_) => {}
                }
                if !table.set_of(owner).contains(key) || table.dangling().contains(key) {
                    violations.push(broken("one_owner", format!("the set of {owner} does not agree with row {key}")));
                }
            }
            Placement::Moving(transfer) => {
                if !table.moving().contains(key) || table.dangling().contains(key) {
                    violations.push(broken("one_owner", format!("config {key} is on its way and not counted so")));
                }
                check_transfer(table, *key, transfer, &mut violations);
            }
            Placement::Dangling(_) => {
                if !table.dangling().contains(key) {
                    violations.push(broken("one_owner", format!("config {key} has no owner and does not dangle")));
                }
            }
        }
    }
    let owned: usize = table.rows().values().map(|row| row.placement.holders().count()).sum();
    let nowhere = table.rows().values().filter(|row| row.placement.holders().next().is_none()).count();
    let both = owned + nowhere - table.rows().len();
    let in_sets: usize = table.nodes().keys().map(|name| table.set_of(name).len()).sum();
    if owned != in_sets || both > table.moving().len() {
        violations.push(broken("one_owner", format!("{owned} configs have an owner, sets hold {in_sets}")));
    }
    for (name, node) in table.nodes() {
        if node.stamp > table.highest_stamp() || node.stamp.0 < 0 {
            violations.push(broken("stamp_bounds", format!("{name} has stamp {}, highest is {}", node.stamp, table.highest_stamp())));
        }
        if node.stamp.0 == 0 && !table.set_of(name).is_empty() {
            violations.push(broken("stamp_bounds", format!("{name} has configs and stamp 0")));
        }
    }
    violations
}

/// Between whom a config is on its way.
fn check_transfer(table: &AssignmentTable, key: ConfigKey, transfer: &Transfer, violations: &mut Vec<Violation>) {
    let Transfer { from, to, waits_for, stamp } = transfer;
    let (source, target) = (table.nodes().get(from), to.as_ref().map(|to| table.nodes().get(to)));
    if to.as_ref() == Some(from) || target.is_some_and(|node| node.is_none()) {
        violations.push(broken("transfer_target", format!("config {key} is on its way from {from} to {to:?}")));
    }
    let waited_for = match waits_for {
        Confirmation::Stopped => source,
        Confirmation::Started => target.flatten(),
    };
    if waited_for.is_some_and(|node| node.stamp < *stamp) || (*waits_for == Confirmation::Started && (source.is_none() || to.is_none())) {
        violations.push(broken("transfer_ends", format!("config {key} waits for version {stamp} from {from} to {to:?}, nobody gets it")));
    }
}

/// Invariant 8, as far as the table can say: what runs at most once is in one set, or while it is on its way in none.
#[must_use]
pub fn check_grants(table: &AssignmentTable) -> Vec<Violation> {
    let exclusive = table.rows().values().filter(|row| row.config.traits.handover == Handover::AtMostOnce);
    let several = exclusive.filter(|row| row.placement.holders().count() > 1);
    several.map(|row| broken("one_grant", format!("config {} runs at most once and is {:?}", row.config.key, row.placement))).collect()
}

/// Invariant 5: while the replica dispatches, nothing dangles that could be placed, the reason given is the true one, and draining
/// nodes hold only what nobody else may run.
#[must_use]
pub fn check_planned(table: &AssignmentTable) -> Vec<Violation> {
    let mut violations = Vec::new();
    for row in table.dangling().iter().filter_map(|key| table.rows().get(key)) {
        let Placement::Dangling(reason) = row.placement else { continue };
        if reason == DanglingReason::GrantsUnknown && row.config.traits.handover == Handover::AtMostOnce {
            continue;
        }
        let (key, demands) = (row.config.key, table.constraints());
        let quarantined = demands.quarantined.contains_key(&key);
        let expected = match table.nodes().is_empty() {
            _ if quarantined => DanglingReason::Quarantined,
            true => DanglingReason::NoNode,
            false => DanglingReason::NoEligibleNode,
        };
        let stays = |node: &NodeRow| node.presence.is_staying() && node.facts.may_run(&row.config.config.name);
        let place = table.nodes().iter().find(|(name, node)| !quarantined && stays(node) && !demands.refuses(name, key));
        if let Some((name, _)) = place {
            violations.push(broken("nothing_left_to_plan", format!("config {} dangles, {name} could run it", row.config.key)));
        } else if reason != expected {
            violations.push(broken("dangling_reason", format!("config {} dangles for {reason:?}, not {expected:?}", row.config.key)));
        }
    }
    for config in table.to_drain() {
        violations.push(broken("draining_is_drained", format!("config {} is on a draining node, another one may run it", config.key)));
    }
    violations
}

/// What was allowed to happen in a turn.
#[derive(Debug, Clone, Default)]
pub struct Permitted {
    /// Keys that discovery named as gone.
    pub removed: BTreeSet<ConfigKey>,
    /// Configs that a plan or a demand takes from owners that stay.
    pub moved: BTreeSet<ConfigKey>,
}

/// Invariants 3, 4, 6 and 7 for one change of the table.
#[must_use]
pub fn check_turn(table: &AssignmentTable, committed: &Committed, permitted: &Permitted) -> Vec<Violation> {
    let mut violations = Vec::new();
    let changed = changed_sets(table, &committed.rows_before);
    for (name, before) in &committed.nodes_before {
        let (Some(before), Some(after)) = (before, table.nodes().get(name)) else { continue };
        check_stamp(name, before, after, changed.contains(name), &mut violations);
    }
    for name in &changed {
        let known = table.nodes().contains_key(name);
        if known && !committed.nodes_before.contains_key(name) {
            violations.push(broken("stamp_follows_set", format!("the set of {name} changed, its stamp did not")));
        }
    }
    for (key, before) in &committed.rows_before {
        let Some(before) = before else { continue };
        let Some(after) = table.rows().get(key) else {
            if !permitted.removed.contains(key) {
                violations.push(broken("removed_only_when_named", format!("config {key} was removed, discovery did not say so")));
            }
            continue;
        };
        if let Some(owner) = had_it(&before.placement)
            && after.placement.owner() != Some(owner)
            && !permitted.moved.contains(key)
            && table
                .nodes()
                .get(owner)
                .is_some_and(|node| node.presence != Presence::Draining && node.facts.may_run(&before.config.config.name))
        {
            violations.push(broken("moves_only_orphans", format!("config {key} left {owner}, which stays and may run it")));
        }
    }
    violations.extend(check_next_grants(table, committed));
    if committed.delta.epoch != table.epoch() || committed.delta.seq != table.seq() {
        violations.push(broken("epoch_order", format!("delta {:?} is not the newest change", committed.delta.seq)));
    }
    violations
}

/// Who runs it if all goes as decided; nobody while the former owner is still to stop.
fn had_it(placement: &Placement) -> Option<&NodeName> {
    let stops = placement.transfer().is_some_and(|transfer| transfer.waits_for == Confirmation::Stopped);
    placement.owner().filter(|_| !stops)
}

/// Invariant 8 for one change: what runs at most once goes to another node only after its former owner was waited for.
fn check_next_grants(table: &AssignmentTable, committed: &Committed) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, before) in &committed.rows_before {
        let (Some(before), Some(after)) = (before, table.rows().get(key)) else { continue };
        let former = match &before.placement {
            Placement::Owned(owner) => owner,
            Placement::Moving(transfer) => &transfer.from,
            Placement::Dangling(_) => continue,
        };
        let waits = |transfer: &Transfer| transfer.waits_for == Confirmation::Stopped && transfer.from == *former;
        let stays = after.placement.transfer().is_some_and(waits) || matches!(&after.placement, Placement::Owned(owner) if owner == former);
        if after.config.traits.handover == Handover::AtMostOnce && !stays && !committed.released.contains(key) {
            violations.push(broken("one_grant", format!("config {key} left {former}, which may still run it")));
        }
    }
    violations
}

/// Nodes whose set changed in content or membership.
fn changed_sets(table: &AssignmentTable, rows_before: &BTreeMap<ConfigKey, Option<Row>>) -> BTreeSet<NodeName> {
    let mut changed = BTreeSet::new();
    for (key, before) in rows_before {
        let after = table.rows().get(key);
        if before.as_ref() == after {
            continue;
        }
        let holders = |row: Option<&Row>| row.iter().flat_map(|row| row.placement.holders()).cloned().collect::<BTreeSet<_>>();
        let (before, after) = ((holders(before.as_ref()), before.as_ref()), (holders(after), after));
        if before.1.map(|row| &row.config) == after.1.map(|row| &row.config) {
            changed.extend(before.0.symmetric_difference(&after.0).cloned());
        } else {
            changed.extend(before.0.union(&after.0).cloned());
        }
    }
    changed
}

fn check_stamp(name: &NodeName, before: &NodeRow, after: &NodeRow, set_changed: bool, violations: &mut Vec<Violation>) {
    if after.stamp < before.stamp {
        violations.push(broken("stamp_monotonic", format!("{name} went from {} to {}", before.stamp, after.stamp)));
    }
    if set_changed != (after.stamp != before.stamp) {
        violations
            .push(broken("stamp_follows_set", format!("set of {name} changed: {set_changed}, stamp {}->{}", before.stamp, after.stamp)));
    }
}

/// Invariant 9: agents see nothing that is neither saved nor known to have failed.
#[must_use]
pub fn check_exposure(exposure: &Exposure, settled: Seq) -> Vec<Violation> {
    if exposure.shown() > settled {
        return vec![broken("shown_is_saved", format!("change {} is shown, only {settled} is saved", exposure.shown()))];
    }
    Vec::new()
}

/// What is served agrees with itself; part of invariants 1 and 11.
#[must_use]
pub fn check_served(served: &ServedTable) -> Vec<Violation> {
    let mut violations = Vec::new();
    // While the roll is called, sets are those of before and nobody may fetch them.
    if served.standing == Standing::WarmingUp && !served.roll_call && served.nodes.values().any(|entry| !entry.view.configs.is_empty()) {
        violations.push(broken("nothing_before_warm_up_ends", "a set is served during the warm-up".to_owned()));
    }
    let mut owners: BTreeMap<ConfigKey, BTreeSet<&NodeName>> = BTreeMap::new();
    for (name, entry) in &served.nodes {
        for config in entry.view.configs.iter() {
            owners.entry(config.key).or_default().insert(name);
        }
    }
    for moving in &served.moving {
        let Transfer { from, to, waits_for, .. } = &moving.transfer;
        let expected = match waits_for {
            Confirmation::Stopped => BTreeSet::new(),
            Confirmation::Started => [from].into_iter().chain(to).collect(),
        };
        let shown_to = owners.remove(&moving.config.key).unwrap_or_default();
        if shown_to != expected {
            violations
                .push(broken("one_owner_shown", format!("config {} is {:?}, shown to {shown_to:?}", moving.config.key, moving.transfer)));
        }
    }
    for (key, nodes) in owners.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
        violations.push(broken("one_owner_shown", format!("config {key} is shown to {nodes:?}")));
    }
    violations
}

//! Placement to the node with the lowest known load: the fewest configs, ties by name. Nodes on their way out get nothing.
//!
//! Without run-time statistics every config counts the same, with advanced dispatching on or off (cluster-checks 8.1 and 11.5
//! phase 2: an unknown need is the same default for all).

use std::collections::{BTreeMap, BTreeSet};

use crate::balance::eligibility::{Eligibility, eligibility, is_singleton};
use crate::domain::assignment::{AssignmentTable, Placement, Row};
use crate::domain::handover::Confirmation;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::world::DanglingReason;

/// The nodes that stay, by load. Placing one config costs the logarithm of their number.
#[derive(Debug)]
pub struct LeastCount<'a> {
    table: &'a AssignmentTable,
    declared: BTreeSet<(usize, &'a NodeName)>,
    unrestricted: BTreeSet<(usize, &'a NodeName)>,
    /// Names of singleton checks on each node, filled when the first singleton is placed.
    singletons: Option<BTreeMap<&'a NodeName, BTreeSet<String>>>,
}

/// Number of configs that each node will get when their former owners have stopped.
fn coming(table: &AssignmentTable) -> BTreeMap<&NodeName, usize> {
    let mut coming = BTreeMap::new();
    for transfer in table.moving().iter().filter_map(|key| table.rows().get(key)?.placement.transfer()) {
        if let (Confirmation::Stopped, Some(to)) = (transfer.waits_for, &transfer.to) {
            *coming.entry(to).or_insert(0) += 1;
        }
    }
    coming
}

impl<'a> LeastCount<'a> {
    /// Starts from what the table says.
    #[must_use]
    pub fn new(table: &'a AssignmentTable) -> Self {
        let (mut declared, mut unrestricted) = (BTreeSet::new(), BTreeSet::new());
        let coming = coming(table);
        for (name, node) in table.nodes().iter().filter(|(_, node)| node.presence.is_staying()) {
            let entry = (table.set_of(name).len() + coming.get(name).copied().unwrap_or(0), name);
            if node.facts.compatibility.is_declared() {
                declared.insert(entry)
            } else {
                unrestricted.insert(entry)
            };
        }
        Self { table, declared, unrestricted, singletons: None }
    }

    /// Chooses a node for one more config of this check, which must not be on a node yet.
    pub fn place(&mut self, check_name: &str) -> Placement {
        let singleton = is_singleton(check_name);
        let chosen = if singleton {
            let taken = self.holders_of(check_name);
            self.choose(check_name, |name| !taken.contains(name)).or_else(|| self.choose(check_name, |_| true))
        } else {
            self.choose(check_name, |_| true)
        };
        let Some((load, name)) = chosen else {
            let reason = if self.table.nodes().is_empty() { DanglingReason::NoNode } else { DanglingReason::NoEligibleNode };
            return Placement::Dangling(reason);
        };
        for nodes in [&mut self.declared, &mut self.unrestricted] {
            if nodes.remove(&(load, name)) {
                nodes.insert((load + 1, name));
            }
        }
        if singleton && let Some(singletons) = &mut self.singletons {
            singletons.entry(name).or_default().insert(check_name.to_owned());
        }
        Placement::Owned(name.clone())
    }

    /// The eligible node with the lowest load; those that declared what they run go first.
    fn choose(&self, check_name: &str, suits: impl Fn(&NodeName) -> bool) -> Option<(usize, &'a NodeName)> {
        let eligible = |name: &NodeName| {
            let node = self.table.nodes().get(name);
            node.is_some_and(|node| eligibility(&node.facts, check_name) != Eligibility::Refused) && suits(name)
        };
        self.declared.iter().find(|(_, name)| eligible(name)).or_else(|| self.unrestricted.iter().find(|(_, name)| eligible(name))).copied()
    }

    fn holders_of(&mut self, check_name: &str) -> BTreeSet<&'a NodeName> {
        let table = self.table;
        let singletons = self.singletons.get_or_insert_with(|| {
            let names_on = |node| {
                let names = table.configs_of(node).map(|config| &config.config.name);
                names.filter(|name| is_singleton(name)).cloned().collect()
            };
            table.nodes().keys().map(|node| (node, names_on(node))).collect()
        });
        singletons.iter().filter(|(_, names)| names.contains(check_name)).map(|(node, _)| *node).collect()
    }
}

/// Chooses nodes for all these configs, which must dangle or have lost their owner. Order: by stock digest, then key.
///
/// Returns only where something is different from the table. Planning again after applying the result yields nothing.
#[must_use]
pub fn place_batch(table: &AssignmentTable, keys: impl IntoIterator<Item = ConfigKey>) -> Vec<(ConfigKey, Placement)> {
    let mut rows: Vec<&Row> =
        keys.into_iter().filter_map(|key| table.rows().get(&key)).filter(|row| row.placement.owner().is_none()).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    rows.sort_unstable_by_key(|row| (row.config.digest, row.config.key));
    let mut nodes = LeastCount::new(table);
    let placed = rows.into_iter().map(|row| (row, nodes.place(&row.config.config.name)));
    placed.filter(|(row, placement)| row.placement != *placement).map(|(row, placement)| (row.config.key, placement)).collect()
}

#[cfg(test)]
mod tests;

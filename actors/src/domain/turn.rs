//! One change of the assignment table, from the first touch to the delta.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::assignment::{AssignmentTable, Endpoint, NodeRow, Placement, Row, TableDelta};
use crate::domain::config::DispatchedConfig;
use crate::domain::constraints::{ConstraintChange, Constraints};
use crate::domain::ids::{ConfigKey, Epoch, KubernetesNodeName, NodeName, Seq};
use crate::domain::journal::{Cause, Decision};
use crate::domain::ledger::Ledger;
use crate::domain::node::NodeFacts;
use crate::domain::stamp::{highest_in_new_term, next_stamp};
use crate::domain::world::{DanglingReason, Presence};

/// What putting a config did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was there with the same content.
    Unchanged,
    /// It is new and has no owner yet.
    Added,
    /// Its content was replaced; its owner stays.
    Updated,
}

/// A change in the making. Everything done in one turn becomes visible together.
#[derive(Debug)]
pub struct Turn<'a> {
    table: &'a mut AssignmentTable,
    // States at the start of the turn, of whatever the turn touched.
    rows_before: BTreeMap<ConfigKey, Option<Row>>,
    nodes_before: BTreeMap<NodeName, Option<NodeRow>>,
    endpoints_before: BTreeMap<ConfigKey, Option<Endpoint>>,
    constraints_before: Arc<Constraints>,
    ledger_before: Arc<Ledger>,
    causes: BTreeMap<ConfigKey, Cause>,
}

/// A finished change.
#[derive(Debug)]
pub struct Committed {
    /// What to save and to replicate.
    pub delta: TableDelta,
    /// What to write into the journal, in key order.
    pub decisions: Vec<Decision>,
    /// The rows it touched, as they were before; `None` = not there.
    pub rows_before: BTreeMap<ConfigKey, Option<Row>>,
    /// The nodes it touched, as they were before; `None` = not there.
    pub nodes_before: BTreeMap<NodeName, Option<NodeRow>>,
}

impl<'a> Turn<'a> {
    /// Begins a change of the table.
    #[must_use = "changes get their stamps and their delta from `finish`"]
    pub fn begin(table: &'a mut AssignmentTable) -> Self {
        let (constraints_before, ledger_before) = (Arc::clone(&table.constraints), Arc::clone(&table.ledger));
        Self {
            table,
            constraints_before,
            ledger_before,
            rows_before: BTreeMap::new(),
            nodes_before: BTreeMap::new(),
            endpoints_before: BTreeMap::new(),
            causes: BTreeMap::new(),
        }
    }

    /// The table as it stands in the middle of the turn.
    #[must_use]
    pub fn table(&self) -> &AssignmentTable {
        self.table
    }

    /// Adds a cluster check without an owner, or replaces the content of a known one in place.
    pub fn put_config(&mut self, config: Arc<DispatchedConfig>, reason: DanglingReason) -> Put {
        let key = config.key;
        let (put, placement) = match self.table.rows().get(&key) {
            Some(row) if row.config == config => return Put::Unchanged,
            Some(row) => (Put::Updated, row.placement.clone()),
            None => (Put::Added, Placement::Dangling(reason)),
        };
        self.change_row(key, Some(Row { config, placement }), if put == Put::Added { Cause::Discovered } else { Cause::Updated });
        put
    }

    /// Adds or replaces an endpoint check of a Kubernetes node.
    pub fn put_endpoint(&mut self, node: KubernetesNodeName, config: Arc<DispatchedConfig>) -> Put {
        let key = config.key;
        let put = match self.table.endpoint(key) {
            Some(known) if known == (&node, &config) => return Put::Unchanged,
            Some(_) => Put::Updated,
            None => Put::Added,
        };
        let before = self.table.set_endpoint(key, Some((node, config)));
        self.endpoints_before.entry(key).or_insert(before);
        put
    }

    /// Forgets a config or endpoint check. Returns whether it was known.
    pub fn remove_config(&mut self, key: ConfigKey) -> bool {
        if self.table.rows().contains_key(&key) {
            self.change_row(key, None, Cause::Removed);
            self.change_demands(|constraints| constraints.forget_config(key));
            return true;
        }
        if self.table.endpoint(key).is_some() {
            let before = self.table.set_endpoint(key, None);
            self.endpoints_before.entry(key).or_insert(before);
            return true;
        }
        false
    }

    /// Changes what is demanded of placement. Whoever calls it moves what has to move.
    pub fn constrain(&mut self, change: &ConstraintChange) {
        self.change_demands(|constraints| constraints.apply(change));
    }

    /// Remembers that these configs were moved for balance. `kept` is the time for which it is remembered, at least the window of the
    /// budget.
    pub fn spend(&mut self, keys: impl IntoIterator<Item = ConfigKey>, now_unix_nanos: i64, kept: Duration) {
        let mut ledger = Ledger::clone(&self.table.ledger);
        ledger.record(keys, now_unix_nanos, kept);
        self.table.ledger = Arc::new(ledger);
    }

    fn change_demands(&mut self, change: impl FnOnce(&mut Constraints) -> bool) {
        let mut constraints = Constraints::clone(&self.table.constraints);
        if change(&mut constraints) {
            self.table.constraints = Arc::new(constraints);
        }
    }

    /// Registers a node with an empty set, or updates what is known about it. Returns whether it is new.
    pub fn put_node(&mut self, name: &NodeName, facts: NodeFacts) -> bool {
        let known = self.table.nodes.get(name);
        if known.is_some_and(|node| node.facts == facts) {
            return false;
        }
        let joined = known.is_none();
        // A node that left and came back within one turn continues its stamp: it never left as far as anybody can see.
        let left_in_this_turn = self.nodes_before.get(name).and_then(Option::as_ref).map(|node| node.stamp);
        let stamp = known.map(|node| node.stamp).or(left_in_this_turn).unwrap_or_default();
        let presence = known.map(|node| node.presence).unwrap_or_default();
        let before = self.table.nodes.insert(name.clone(), NodeRow { stamp, facts, presence });
        self.nodes_before.entry(name.clone()).or_insert(before);
        joined
    }

    /// Marks a node as staying or on its way out; nothing happens to one that is not known.
    pub fn set_presence(&mut self, name: &NodeName, presence: Presence) {
        if let Some(node) = self.table.nodes.get_mut(name)
            && node.presence != presence
        {
            self.nodes_before.entry(name.clone()).or_insert_with(|| Some(node.clone()));
            node.presence = presence;
        }
    }

    /// Takes from draining nodes what a node that stays may run; it dangles until it is placed.
    pub fn drain(&mut self) {
        let keys: Vec<_> = self.table.to_drain().map(|config| config.key).collect();
        for key in keys {
            self.place(key, Placement::Dangling(DanglingReason::NoEligibleNode), Cause::NodeDraining);
        }
    }

    /// Forgets a node; its configs dangle until they are placed. Returns their keys.
    pub fn remove_node(&mut self, name: &NodeName, cause: Cause) -> Vec<ConfigKey> {
        let Some(before) = self.table.nodes.remove(name) else {
            return Vec::new();
        };
        self.nodes_before.entry(name.clone()).or_insert(Some(before));
        let orphans: Vec<_> = self.table.set_of(name).iter().copied().collect();
        for key in &orphans {
            self.place(*key, Placement::Dangling(DanglingReason::NoNode), cause);
        }
        orphans
    }

    /// Keys on a node that it does not run any more, because it declares other checks than before.
    #[must_use]
    pub fn refused_by(&self, name: &NodeName) -> Vec<ConfigKey> {
        let Some(node) = self.table.nodes.get(name) else {
            return Vec::new();
        };
        let refused = self.table.configs_of(name).filter(|config| !node.facts.may_run(&config.config.name));
        refused.map(|config| config.key).collect()
    }

    /// Puts a known config somewhere else; nothing happens if it is there already.
    pub fn place(&mut self, key: ConfigKey, placement: Placement, cause: Cause) {
        let Some(row) = self.table.rows().get(&key) else {
            return;
        };
        if row.placement == placement {
            return;
        }
        let config = Arc::clone(&row.config);
        self.change_row(key, Some(Row { config, placement }), cause);
    }

    fn change_row(&mut self, key: ConfigKey, row: Option<Row>, cause: Cause) {
        let removed = row.is_none();
        let before = self.table.set_row(key, row);
        self.rows_before.entry(key).or_insert(before);
        // The first cause of a turn is the reason for what follows (an orphan that finds a place moved because its node expired),
        // except that nothing outlives a removal.
        if removed {
            self.causes.insert(key, cause);
        } else {
            self.causes.entry(key).or_insert(cause);
        }
    }

    /// Ends the turn: gives a new stamp to every node whose set changed.
    ///
    /// Returns `None` if the table is as it was before the turn.
    #[must_use]
    pub fn finish(self, epoch: Epoch, now_unix_nanos: i64) -> Option<Committed> {
        let Self { table, rows_before, mut nodes_before, endpoints_before, constraints_before, ledger_before, causes } = self;
        let mut delta = TableDelta { epoch, seq: Seq(table.seq.0 + 1), ..TableDelta::default() };
        let mut decisions = Vec::new();
        let mut changed_sets = BTreeSet::new();

        for (key, before) in &rows_before {
            let after = table.rows().get(key);
            if before.as_ref() == after {
                continue;
            }
            let from = before.as_ref().and_then(|row| row.placement.owner());
            let to = after.and_then(|row| row.placement.owner());
            let holders = |row: Option<&Row>| row.into_iter().flat_map(|row| row.placement.holders()).cloned().collect::<Vec<_>>();
            changed_sets.extend(holders(before.as_ref()).into_iter().chain(holders(after)));
            match after {
                Some(row) => delta.rows_put.push(row.clone()),
                None => delta.rows_removed.push(*key),
            }
            if let Some(row) = after.or(before.as_ref()) {
                decisions.push(Decision {
                    at_unix_nanos: now_unix_nanos,
                    epoch,
                    seq: delta.seq,
                    key: *key,
                    digest: row.config.digest,
                    check_name: row.config.config.name.clone(),
                    from: from.cloned(),
                    to: to.cloned(),
                    cause: causes.get(key).copied().unwrap_or(Cause::Updated),
                });
            }
        }

        let known = highest_in_new_term(table.highest_stamp, table.epoch, epoch);
        let stamp = next_stamp(known, now_unix_nanos);
        for name in changed_sets {
            if let Some(node) = table.nodes.get_mut(&name) {
                nodes_before.entry(name).or_insert_with(|| Some(node.clone()));
                node.stamp = stamp;
                table.highest_stamp = stamp;
            }
        }
        for (name, before) in &nodes_before {
            match table.nodes.get(name) {
                after if after == before.as_ref() => {}
                Some(node) => delta.nodes_put.push((name.clone(), node.clone())),
                None => delta.nodes_removed.push(name.clone()),
            }
        }

        for (key, before) in &endpoints_before {
            let after = table.endpoint(*key);
            let before = before.as_ref().map(|(node, config)| (node, config));
            if before == after {
                continue;
            }
            if let Some((node, _)) = before
                && after.map(|(node, _)| node) != Some(node)
            {
                delta.endpoints_removed.push((node.clone(), *key));
            }
            if let Some((node, config)) = after {
                delta.endpoints_put.push((node.clone(), Arc::clone(config)));
            }
        }

        if table.constraints != constraints_before {
            delta.constraints_put = Some(Arc::clone(&table.constraints));
        }
        if table.ledger != ledger_before {
            delta.ledger_put = Some(Arc::clone(&table.ledger));
        }

        if delta.is_empty() {
            return None;
        }
        table.highest_stamp = table.highest_stamp.max(known);
        delta.highest_stamp = table.highest_stamp;
        table.epoch = epoch;
        table.seq = delta.seq;
        Some(Committed { delta, decisions, rows_before, nodes_before })
    }
}

#[cfg(test)]
mod tests;

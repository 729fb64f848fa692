//! One change of the assignment table, from the first touch to the delta (`turn/finish.rs`).

mod finish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::assignment::{AssignmentTable, Endpoint, NodeRow, Placement, Row, TableDelta};
use crate::domain::config::DispatchedConfig;
use crate::domain::constraints::{ConstraintChange, Constraints};
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::{ConfigKey, KubernetesNodeName, NodeName};
use crate::domain::journal::{Cause, Decision};
use crate::domain::ledger::Ledger;
use crate::domain::node::NodeFacts;
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
    // Configs on their way for which whoever was waited for has confirmed, or is known to have stopped.
    released: BTreeSet<ConfigKey>,
    held: bool,
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
    /// The configs whose transfer ended because nobody has to be waited for any more.
    pub released: BTreeSet<ConfigKey>,
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
            released: BTreeSet::new(),
            held: false,
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
        let before = self.table.set_node(name, Some(NodeRow { stamp, facts, presence }));
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

    /// Begins to hold back what runs at most once and is new or has no owner: by a grant of an earlier term a node may run it of which
    /// the table says nothing.
    pub fn hold_back(&mut self) {
        self.held = true;
    }

    /// Ends a transfer: whoever was waited for has confirmed, or is known to have stopped. If the next owner is not chosen, or does not
    /// stay, the config dangles until it is placed.
    pub fn release(&mut self, key: ConfigKey, cause: Cause) {
        let Some(row) = self.table.rows().get(&key).filter(|row| row.placement.transfer().is_some()) else { return };
        let name = &row.config.config.name;
        let stays = |node: &&NodeName| {
            let node = self.table.nodes.get(*node);
            node.is_some_and(|node| node.presence.is_staying() && node.facts.may_run(name))
        };
        let next = row.placement.owner().filter(stays);
        let placement = next.map_or(Placement::Dangling(DanglingReason::NoNode), |next| Placement::Owned(next.clone()));
        self.released.insert(key);
        self.place(key, placement, cause);
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
        let Some(before) = self.table.set_node(name, None) else {
            return Vec::new();
        };
        self.nodes_before.entry(name.clone()).or_insert(Some(before));
        let orphans: Vec<_> = self.table.set_of(name).iter().copied().collect();
        let on_their_way: Vec<_> = self.table.moving().difference(self.table.set_of(name)).copied().collect();
        for key in orphans.iter().chain(&on_their_way) {
            self.take_away(*key, name, DanglingReason::NoNode, cause);
        }
        orphans
    }

    /// Takes from a node what it does not run any more, because it declares other checks than before; it dangles until it is placed.
    pub fn take_refused(&mut self, name: &NodeName) {
        for key in self.refused_by(name) {
            self.take_away(key, name, DanglingReason::NoEligibleNode, Cause::NotEligible);
        }
    }

    fn take_away(&mut self, key: ConfigKey, from: &NodeName, reason: DanglingReason, cause: Cause) {
        if let Some(placement) = self.without(key, from, Placement::Dangling(reason)) {
            self.place(key, placement, cause);
        }
    }

    /// Where a config is to be when a node cannot have it any more; `None` if it has nothing to do with that node.
    fn without(&self, key: ConfigKey, gone: &NodeName, nobody: Placement) -> Option<Placement> {
        let row = self.table.rows().get(&key)?;
        let other = match &row.placement {
            Placement::Owned(owner) => return (owner == gone).then_some(nobody),
            Placement::Moving(Transfer { from, to, .. }) if from == gone => to.as_ref(),
            Placement::Moving(Transfer { from, to: Some(to), waits_for: Confirmation::Started, .. }) if to == gone => Some(from),
            Placement::Moving(Transfer { to, .. }) if to.as_ref() == Some(gone) => None,
            Placement::Moving(_) | Placement::Dangling(_) => return None,
        };
        let may_run = |node: &&NodeName| self.table.nodes.get(*node).is_some_and(|node| node.facts.may_run(&row.config.config.name));
        let other = other.filter(may_run);
        Some(other.map_or(nobody, |other| Placement::Owned(other.clone())))
    }

    /// Keys on a node, or on their way to it, that it does not run any more, because it declares other checks than before.
    fn refused_by(&self, name: &NodeName) -> Vec<ConfigKey> {
        let Some(node) = self.table.nodes.get(name) else {
            return Vec::new();
        };
        let coming = self.table.moving().iter().filter_map(|key| self.table.rows().get(key));
        let coming = coming.filter(|row| row.placement.owner() == Some(name)).map(|row| &row.config);
        let all = self.table.configs_of(name).chain(coming);
        let refused: BTreeSet<_> = all.filter(|config| !node.facts.may_run(&config.config.name)).map(|config| config.key).collect();
        refused.into_iter().collect()
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
}

#[cfg(test)]
mod tests;

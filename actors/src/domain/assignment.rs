//! The assignment table: which config runs where, and which version of its set each node has.
//!
//! The table changes in two ways only: through a `domain::turn::Turn`, which ends in a [`TableDelta`], and by applying such a delta. A delta
//! holds states, not steps, so that replaying a log, loading a snapshot and following a leader are the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::config::DispatchedConfig;
use crate::domain::constraints::Constraints;
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::{ConfigKey, Epoch, KubernetesNodeName, NodeName, Seq, Stamp};
use crate::domain::ledger::Ledger;
use crate::domain::node::NodeFacts;
use crate::domain::world::{DanglingReason, NodeKind, Presence};

/// Where a config is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// On exactly this node.
    Owned(NodeName),
    /// On its way from one node to another one: on none of them, or on both, until one has confirmed.
    Moving(Transfer),
    /// On no node.
    Dangling(DanglingReason),
}

impl Placement {
    /// Where it belongs: its owner, or the node it is on its way to.
    #[must_use]
    pub fn owner(&self) -> Option<&NodeName> {
        match self {
            Self::Owned(owner) => Some(owner),
            Self::Moving(transfer) => transfer.to.as_ref(),
            Self::Dangling(_) => None,
        }
    }

    /// The nodes that have it in their sets.
    pub fn holders(&self) -> impl Iterator<Item = &NodeName> {
        let (first, second) = match self {
            Self::Owned(owner) => (Some(owner), None),
            Self::Moving(Transfer { from, to, waits_for: Confirmation::Started, .. }) => (Some(from), to.as_ref()),
            Self::Moving(_) | Self::Dangling(_) => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The transfer under way.
    #[must_use]
    pub fn transfer(&self) -> Option<&Transfer> {
        match self {
            Self::Moving(transfer) => Some(transfer),
            Self::Owned(_) | Self::Dangling(_) => None,
        }
    }
}

/// A cluster check in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The config.
    pub config: Arc<DispatchedConfig>,
    /// Where it is.
    pub placement: Placement,
}

/// A registered node in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Version of its set; 0 until its set changes for the first time.
    pub stamp: Stamp,
    /// What it told about itself.
    pub facts: NodeFacts,
    /// Whether it is on its way out. Kept here so that a promoted replica and a restarted server place nothing on it.
    pub presence: Presence,
}

/// Everything one turn changed, as the states after it. Applying it twice changes nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDelta {
    /// Epoch of the decision.
    pub epoch: Epoch,
    /// Position in the log.
    pub seq: Seq,
    /// Highest stamp given out so far.
    pub highest_stamp: Stamp,
    /// Rows that are new or changed.
    pub rows_put: Vec<Row>,
    /// Rows that are gone.
    pub rows_removed: Vec<ConfigKey>,
    /// Nodes that are new or changed.
    pub nodes_put: Vec<(NodeName, NodeRow)>,
    /// Nodes that are gone.
    pub nodes_removed: Vec<NodeName>,
    /// Endpoint checks that are new or changed.
    pub endpoints_put: Vec<(KubernetesNodeName, Arc<DispatchedConfig>)>,
    /// Endpoint checks that are gone.
    pub endpoints_removed: Vec<(KubernetesNodeName, ConfigKey)>,
    /// The demands on placement, if they changed.
    pub constraints_put: Option<Arc<Constraints>>,
    /// What balancing spent, if it spent something.
    pub ledger_put: Option<Arc<Ledger>>,
}

impl TableDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows_put.is_empty()
            && self.rows_removed.is_empty()
            && self.nodes_put.is_empty()
            && self.nodes_removed.is_empty()
            && self.endpoints_put.is_empty()
            && self.endpoints_removed.is_empty()
            && self.constraints_put.is_none()
            && self.ledger_put.is_none()
    }
}

/// Endpoint checks of one Kubernetes node.
pub type EndpointSet = BTreeMap<ConfigKey, Arc<DispatchedConfig>>;

/// An endpoint check and the Kubernetes node it belongs to.
pub(in crate::domain) type Endpoint = (KubernetesNodeName, Arc<DispatchedConfig>);

/// Who runs what. Holds the decided state; what agents see may be older (`domain::exposure`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignmentTable {
    pub(in crate::domain) epoch: Epoch,
    pub(in crate::domain) seq: Seq,
    pub(in crate::domain) highest_stamp: Stamp,
    rows: BTreeMap<ConfigKey, Row>,
    pub(in crate::domain) nodes: BTreeMap<NodeName, NodeRow>,
    endpoints: BTreeMap<KubernetesNodeName, EndpointSet>,
    pub(in crate::domain) constraints: Arc<Constraints>,
    pub(in crate::domain) ledger: Arc<Ledger>,
    // Indexes over the above; they hold nothing of their own.
    node_agents: usize,
    sets: BTreeMap<NodeName, BTreeSet<ConfigKey>>,
    dangling: BTreeSet<ConfigKey>,
    moving: BTreeSet<ConfigKey>,
    endpoint_nodes: BTreeMap<ConfigKey, KubernetesNodeName>,
}

static NO_KEYS: BTreeSet<ConfigKey> = BTreeSet::new();

impl AssignmentTable {
    /// An empty table that continues stamps and log positions of one that was lost.
    #[must_use]
    pub fn continuing(epoch: Epoch, seq: Seq, highest_stamp: Stamp) -> Self {
        Self { epoch, seq, highest_stamp, ..Self::default() }
    }

    /// Epoch of the last change.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Position of the last change in the log.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Highest stamp ever given out.
    #[must_use]
    pub fn highest_stamp(&self) -> Stamp {
        self.highest_stamp
    }

    /// Kubernetes node and content of an endpoint check.
    #[must_use]
    pub fn endpoint(&self, key: ConfigKey) -> Option<(&KubernetesNodeName, &Arc<DispatchedConfig>)> {
        let node = self.endpoint_nodes.get(&key)?;
        Some((node, self.endpoints.get(node)?.get(&key)?))
    }

    /// All cluster checks by key.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<ConfigKey, Row> {
        &self.rows
    }

    /// All registered nodes by name.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeName, NodeRow> {
        &self.nodes
    }

    /// Whether any of them is a node agent.
    #[must_use]
    pub fn has_node_agent(&self) -> bool {
        self.node_agents > 0
    }

    /// All endpoint checks by Kubernetes node; no entry is empty.
    #[must_use]
    pub fn endpoints(&self) -> &BTreeMap<KubernetesNodeName, EndpointSet> {
        &self.endpoints
    }

    /// Keys of the configs on a node; empty for a node that is not known.
    #[must_use]
    pub fn set_of(&self, node: &NodeName) -> &BTreeSet<ConfigKey> {
        self.sets.get(node).unwrap_or(&NO_KEYS)
    }

    /// Keys of the configs without an owner.
    #[must_use]
    pub fn dangling(&self) -> &BTreeSet<ConfigKey> {
        &self.dangling
    }

    /// Keys of the configs on their way.
    #[must_use]
    pub fn moving(&self) -> &BTreeSet<ConfigKey> {
        &self.moving
    }

    /// What is demanded of placement.
    #[must_use]
    pub fn constraints(&self) -> &Arc<Constraints> {
        &self.constraints
    }

    /// What balancing has spent lately.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The configs of a node in key order.
    pub fn configs_of<'a>(&'a self, node: &NodeName) -> impl Iterator<Item = &'a Arc<DispatchedConfig>> + 'a {
        self.rows_of(node).map(|row| &row.config)
    }

    fn rows_of<'a>(&'a self, node: &NodeName) -> impl Iterator<Item = &'a Row> + 'a {
        self.set_of(node).iter().filter_map(|key| self.rows.get(key))
    }

    /// The config or endpoint check of this key.
    #[must_use]
    pub fn config(&self, key: ConfigKey) -> Option<&Arc<DispatchedConfig>> {
        if let Some(row) = self.rows.get(&key) {
            return Some(&row.config);
        }
        self.endpoint(key).map(|(_, config)| config)
    }

    /// Whether a node that stays may get this config.
    fn somebody_stays_for(&self, config: &DispatchedConfig) -> bool {
        let may_get = |(name, node): (&NodeName, &NodeRow)| {
            node.presence.is_staying() && node.facts.may_run(&config.config.name) && !self.constraints.refuses(name, config.key)
        };
        self.nodes.iter().any(may_get)
    }

    /// The configs that draining nodes hold, or are to get, although a node that stays may run them; without those that are on their way
    /// from there already.
    pub fn to_drain(&self) -> impl Iterator<Item = &Arc<DispatchedConfig>> + '_ {
        let draining = self.nodes.iter().filter(|(_, node)| node.presence == Presence::Draining);
        let held = draining.flat_map(|(name, _)| self.rows_of(name).filter(move |row| row.placement.owner() == Some(name)));
        let drains = |node: &NodeName| self.nodes.get(node).is_some_and(|node| node.presence == Presence::Draining);
        let coming = self.moving.iter().filter_map(|key| self.rows.get(key)).filter(move |row| {
            let transfer = row.placement.transfer().filter(|transfer| transfer.waits_for == Confirmation::Stopped);
            transfer.and_then(|transfer| transfer.to.as_ref()).is_some_and(drains)
        });
        held.chain(coming).map(|row| &row.config).filter(|config| self.somebody_stays_for(config))
    }

    /// Keys of all configs and endpoint checks.
    pub fn keys(&self) -> impl Iterator<Item = ConfigKey> + '_ {
        self.rows.keys().chain(self.endpoint_nodes.keys()).copied()
    }

    /// Whether nothing is known: no config, no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.nodes.is_empty() && self.endpoints.is_empty() && self.constraints.is_empty()
    }

    /// The whole table as one delta: applied to an empty table it yields this one.
    #[must_use]
    pub fn to_delta(&self) -> TableDelta {
        TableDelta {
            epoch: self.epoch,
            seq: self.seq,
            highest_stamp: self.highest_stamp,
            rows_put: self.rows.values().cloned().collect(),
            nodes_put: self.nodes.iter().map(|(name, node)| (name.clone(), node.clone())).collect(),
            endpoints_put: self
                .endpoints
                .iter()
                .flat_map(|(node, set)| set.values().map(|config| (node.clone(), Arc::clone(config))))
                .collect(),
            constraints_put: (!self.constraints.is_empty()).then(|| Arc::clone(&self.constraints)),
            ledger_put: (*self.ledger != Ledger::default()).then(|| Arc::clone(&self.ledger)),
            ..TableDelta::default()
        }
    }

    /// Takes over the states of a delta; one that is not newer than the table is ignored.
    ///
    /// Returns whether it was taken. Source: style 8, invariant 4.
    pub fn apply(&mut self, delta: &TableDelta) -> bool {
        if (delta.epoch, delta.seq) <= (self.epoch, self.seq) {
            return false;
        }
        for name in &delta.nodes_removed {
            self.set_node(name, None);
        }
        for (name, node) in &delta.nodes_put {
            self.set_node(name, Some(node.clone()));
        }
        for key in &delta.rows_removed {
            self.set_row(*key, None);
        }
        for row in &delta.rows_put {
            self.set_row(row.config.key, Some(row.clone()));
        }
        for (_, key) in &delta.endpoints_removed {
            self.set_endpoint(*key, None);
        }
        for (node, config) in &delta.endpoints_put {
            self.set_endpoint(config.key, Some((node.clone(), Arc::clone(config))));
        }
        if let Some(constraints) = &delta.constraints_put {
            self.constraints = Arc::clone(constraints);
        }
        if let Some(ledger) = &delta.ledger_put {
            self.ledger = Arc::clone(ledger);
        }
        self.epoch = delta.epoch;
        self.seq = delta.seq;
        self.highest_stamp = self.highest_stamp.max(delta.highest_stamp);
        true
    }

    /// The only place that puts nodes and removes them; keeps their number.
    pub(in crate::domain) fn set_node(&mut self, name: &NodeName, node: Option<NodeRow>) -> Option<NodeRow> {
        let is_agent = |node: &NodeRow| node.facts.kind == NodeKind::NodeAgent;
        let comes = node.as_ref().is_some_and(is_agent);
        let before = match node {
            Some(node) => self.nodes.insert(name.clone(), node),
            None => self.nodes.remove(name),
        };
        self.node_agents += usize::from(comes);
        self.node_agents -= usize::from(before.as_ref().is_some_and(is_agent));
        before
    }

    /// The only place that writes rows; keeps the indexes.
    pub(in crate::domain) fn set_row(&mut self, key: ConfigKey, row: Option<Row>) -> Option<Row> {
        let now_at = row.as_ref().map(|row| row.placement.clone());
        let before = match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
        for holder in before.iter().flat_map(|row| row.placement.holders()) {
            if let Some(set) = self.sets.get_mut(holder) {
                set.remove(&key);
                if set.is_empty() {
                    self.sets.remove(holder);
                }
            }
        }
        self.dangling.remove(&key);
        self.moving.remove(&key);
        for holder in now_at.iter().flat_map(Placement::holders) {
            self.sets.entry(holder.clone()).or_default().insert(key);
        }
        match now_at {
            Some(Placement::Dangling(_)) => drop(self.dangling.insert(key)),
            Some(Placement::Moving(_)) => drop(self.moving.insert(key)),
            Some(Placement::Owned(_)) | None => {}
        }
        before
    }

    /// The only place that writes endpoint checks; keeps the index.
    pub(in crate::domain) fn set_endpoint(&mut self, key: ConfigKey, endpoint: Option<Endpoint>) -> Option<Endpoint> {
        let before = self.endpoint_nodes.remove(&key).and_then(|node| {
            let set = self.endpoints.get_mut(&node)?;
            let config = set.remove(&key)?;
            if set.is_empty() {
                self.endpoints.remove(&node);
            }
            Some((node, config))
        });
        if let Some((node, config)) = endpoint {
            self.endpoint_nodes.insert(key, node.clone());
            self.endpoints.entry(node).or_default().insert(key, config);
        }
        before
    }
}

#[cfg(test)]
mod tests;

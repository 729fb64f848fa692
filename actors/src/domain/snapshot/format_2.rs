//! What files of format 2 hold: nothing of transfers, demands on placement, spent moves, grants and traits of checks.

use std::sync::Arc;

use serde::Deserialize;

use crate::domain::assignment;
use crate::domain::check_traits::CheckTraits;
use crate::domain::config::{self, CheckConfig};
use crate::domain::ids::{CheckId, ConfigKey, Digest, Epoch, KubernetesNodeName, NodeName, Seq, Stamp};
use crate::domain::node::{self, CheckCompatibility};
use crate::domain::world::{DanglingReason, NodeKind, Presence};

#[derive(Deserialize)]
struct DispatchedConfig {
    key: ConfigKey,
    digest: Digest,
    config: CheckConfig,
    check_ids: Vec<CheckId>,
}

impl From<DispatchedConfig> for Arc<config::DispatchedConfig> {
    fn from(old: DispatchedConfig) -> Self {
        // Discovery names every config again after a start, with its traits.
        let DispatchedConfig { key, digest, config, check_ids } = old;
        Self::new(config::DispatchedConfig { key, digest, config, check_ids, traits: CheckTraits::default() })
    }
}

#[derive(Deserialize)]
enum Placement {
    Owned(NodeName),
    Dangling(DanglingReason),
}

#[derive(Deserialize)]
pub(super) struct Row {
    config: DispatchedConfig,
    placement: Placement,
}

impl From<Row> for assignment::Row {
    fn from(old: Row) -> Self {
        let placement = match old.placement {
            Placement::Owned(owner) => assignment::Placement::Owned(owner),
            Placement::Dangling(reason) => assignment::Placement::Dangling(reason),
        };
        Self { config: old.config.into(), placement }
    }
}

#[derive(Deserialize)]
pub(super) struct NodeFacts {
    kind: NodeKind,
    address: String,
    compatibility: CheckCompatibility,
}

impl From<NodeFacts> for node::NodeFacts {
    fn from(old: NodeFacts) -> Self {
        Self { kind: old.kind, address: old.address, compatibility: old.compatibility, honours_grants: false }
    }
}

#[derive(Deserialize)]
struct NodeRow {
    stamp: Stamp,
    facts: NodeFacts,
    presence: Presence,
}

/// Endpoint checks with the Kubernetes node of each.
#[derive(Deserialize)]
pub(super) struct Endpoints(Vec<(KubernetesNodeName, DispatchedConfig)>);

impl From<Endpoints> for Vec<(KubernetesNodeName, Arc<config::DispatchedConfig>)> {
    fn from(old: Endpoints) -> Self {
        old.0.into_iter().map(|(node, config)| (node, config.into())).collect()
    }
}

#[derive(Deserialize)]
pub(super) struct TableDelta {
    epoch: Epoch,
    seq: Seq,
    highest_stamp: Stamp,
    rows_put: Vec<Row>,
    rows_removed: Vec<ConfigKey>,
    nodes_put: Vec<(NodeName, NodeRow)>,
    nodes_removed: Vec<NodeName>,
    endpoints_put: Endpoints,
    endpoints_removed: Vec<(KubernetesNodeName, ConfigKey)>,
}

impl From<TableDelta> for assignment::TableDelta {
    fn from(old: TableDelta) -> Self {
        let row = |node: NodeRow| assignment::NodeRow { stamp: node.stamp, facts: node.facts.into(), presence: node.presence };
        Self {
            epoch: old.epoch,
            seq: old.seq,
            highest_stamp: old.highest_stamp,
            rows_put: old.rows_put.into_iter().map(assignment::Row::from).collect(),
            rows_removed: old.rows_removed,
            nodes_put: old.nodes_put.into_iter().map(|(name, node)| (name, row(node))).collect(),
            nodes_removed: old.nodes_removed,
            endpoints_put: old.endpoints_put.into(),
            endpoints_removed: old.endpoints_removed,
            ..Self::default()
        }
    }
}

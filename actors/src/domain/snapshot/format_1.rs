//! What files of format 1 hold.

use serde::Deserialize;

use crate::domain::assignment;
use crate::domain::ids::{ConfigKey, Epoch, KubernetesNodeName, NodeName, Seq, Stamp};
use crate::domain::snapshot::format_2::{Endpoints, NodeFacts, Row};
use crate::domain::world::Presence;

#[derive(Deserialize)]
struct NodeRow {
    stamp: Stamp,
    facts: NodeFacts,
}

/// A delta whose nodes do not say whether they are on their way out: all of them stayed.
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
        let row = |node: NodeRow| assignment::NodeRow { stamp: node.stamp, facts: node.facts.into(), presence: Presence::Staying };
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

//! What is known about an agent that polls.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What kind of agent polls. Source: cluster-checks 4.1 (`node_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// 0 or absent: an agent older than about 7.68.
    #[default]
    Unknown,
    /// 1: a dedicated cluster-check runner.
    Runner,
    /// 2: a node agent.
    NodeAgent,
}

impl NodeKind {
    /// Reads the wire number; numbers nobody sends yet count as unknown.
    #[must_use]
    pub fn from_wire(number: u8) -> Self {
        match number {
            1 => Self::Runner,
            2 => Self::NodeAgent,
            _ => Self::Unknown,
        }
    }

    /// The wire number.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Runner => 1,
            Self::NodeAgent => 2,
        }
    }
}

/// Checks that an agent declares it can or cannot run; the default accepts every check.
///
/// Source: cluster-checks 4.1 (`check_compatibility`) and 8.1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckCompatibility {
    /// Names it runs; empty = all.
    pub include: BTreeSet<String>,
    /// Names it refuses.
    pub exclude: BTreeSet<String>,
}

impl CheckCompatibility {
    /// Whether a check of this name may go there.
    #[must_use]
    pub fn accepts(&self, check_name: &str) -> bool {
        (self.include.is_empty() || self.include.contains(check_name)) && !self.exclude.contains(check_name)
    }

    /// Whether the agent declared anything; those that did take precedence for what they accept.
    #[must_use]
    pub fn is_declared(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }
}

/// Facts about a registered node, as its last polls told them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Kind of agent.
    pub kind: NodeKind,
    /// Address from `X-Real-Ip`; empty when never told.
    pub address: String,
    /// What it declared it can run.
    pub compatibility: CheckCompatibility,
    /// Whether it stops `at_most_once` checks by itself when it has not reached the cluster role for the time of a grant. Ours does.
    pub honours_grants: bool,
}

impl NodeFacts {
    /// Whether a check of this name may be placed on the node.
    #[must_use]
    pub fn may_run(&self, check_name: &str) -> bool {
        self.compatibility.accepts(check_name)
    }
}

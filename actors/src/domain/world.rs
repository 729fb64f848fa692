//! The published view of the assignment: what polls, fetches and commands are answered from.
//!
//! The `Dispatcher` builds these values; HTTP threads read them as immutable snapshots and never wait for an actor.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::domain::config::DispatchedConfig;
use crate::domain::constraints::Constraints;
use crate::domain::handover::Transfer;
use crate::domain::ids::{Epoch, KubernetesNodeName, NodeName, Seq, Stamp};
use crate::domain::journal::{Cause, Decision};
use crate::domain::ledger::Ledger;
use crate::domain::node::NodeFacts;
pub use crate::domain::node::NodeKind;
use crate::domain::stamp::is_up_to_date;

/// Whether a registered node goes on holding configs. A verdict on it, not told by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It stays.
    #[default]
    Staying,
    /// It is on its way out. It keeps its set a moment longer, because its successor is about to register, and gets nothing more.
    HandingOver,
    /// It is on its way out. It keeps only what no node that stays may run, and gets nothing more.
    Draining,
}

impl Presence {
    /// Whether it may get configs.
    #[must_use]
    pub fn is_staying(self) -> bool {
        self == Self::Staying
    }
}

/// Whether this replica may answer for the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The role is not known or the state not loaded: everything is 503.
    #[default]
    Starting,
    /// Leader after a cold start: agents register and keep what they run, nothing is dispatched, configs are 503.
    WarmingUp,
    /// Leader: the answers are authoritative.
    Active,
}

/// Set of configs of one node together with its stamp, as exposed to agents.
#[derive(Debug, Default)]
pub struct NodeView {
    /// Version of the set.
    pub stamp: Stamp,
    /// The set, in key order.
    pub configs: Arc<[Arc<DispatchedConfig>]>,
    /// Serialised answer, filled by the first reader; the view is immutable, so it never goes stale.
    pub body: OnceLock<Arc<[u8]>>,
}

/// Why a config has no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DanglingReason {
    /// No node reports.
    NoNode,
    /// Nodes report, none is eligible.
    NoEligibleNode,
    /// Nothing is dispatched before the warm-up ends.
    WarmingUp,
    /// Its owners died in a row.
    Quarantined,
    /// It runs at most once, and by a grant of an earlier term a node may run it of which nobody knows.
    GrantsUnknown,
}

/// A config without an owner.
#[derive(Clone, Debug)]
pub struct Dangling {
    /// The config.
    pub config: Arc<DispatchedConfig>,
    /// Why.
    pub reason: DanglingReason,
    /// Whether it has been waiting longer than `cluster_checks.unscheduled_check_threshold`.
    pub flagged: bool,
}

/// A config on its way from one node to another one.
#[derive(Clone, Debug)]
pub struct Moving {
    /// The config.
    pub config: Arc<DispatchedConfig>,
    /// From where to where, and who is waited for.
    pub transfer: Transfer,
}

/// Facts about a registered node, for status and metrics.
#[derive(Debug, Clone)]
pub struct NodeEntry {
    /// What it told about itself.
    pub facts: NodeFacts,
    /// Whether it is on its way out.
    pub presence: Presence,
    /// Exposed set and stamp.
    pub view: Arc<NodeView>,
}

/// Everything a replica answers from; replaced as a whole, never changed.
#[derive(Debug, Default)]
pub struct ServedTable {
    /// Whether answers are authoritative.
    pub standing: Standing,
    /// Epoch the decisions were made in.
    pub epoch: Epoch,
    /// Whether the dispatcher wants to hear of every poll itself: it waits until all nodes have polled.
    pub roll_call: bool,
    /// Whether agents are granted nothing for now, although their sets may be current: others may run by older grants what the table
    /// says that they have.
    pub grants_withheld: bool,
    /// Registered nodes.
    pub nodes: HashMap<NodeName, NodeEntry>,
    /// Endpoint checks by Kubernetes node; stamp is always 0.
    pub endpoints: HashMap<KubernetesNodeName, Arc<NodeView>>,
    /// Whether discovery finished its initial listing; before that endpoint answers are 503.
    pub discovery_synced: bool,
    /// Configs without an owner, in key order.
    pub dangling: Vec<Dangling>,
    /// Configs on their way from one node to another one, in key order. Those that both have are in the sets of both.
    pub moving: Vec<Moving>,
    /// What is demanded of placement, as decided.
    pub constraints: Arc<Constraints>,
    /// What balancing has spent lately, as decided.
    pub ledger: Arc<Ledger>,
    /// The last change of the table that was decided; later than [`Self::shown`] while it is being saved.
    pub decided: Seq,
    /// Whether advanced dispatching is on (cluster-checks 8.4).
    pub advanced_dispatching: bool,
    /// The last change of the table that agents see.
    pub shown: Seq,
    /// Configs that discovery found and that cannot be dispatched, in key order.
    pub rejected: Vec<Rejected>,
    /// What happened so far, for the metrics page.
    pub counters: DispatcherCounters,
}

impl ServedTable {
    /// Whether an agent with a current set is granted what runs at most once. While it warms up, "up to date" says nothing.
    #[must_use]
    pub fn grants(&self) -> bool {
        self.standing == Standing::Active && !self.grants_withheld
    }

    /// Answer to a status poll of a node in this table; `None` if `Membership` and `Dispatcher` have to be asked, because it is
    /// not in there or the roll is called.
    ///
    /// Only counts if [`Self::standing`] is not [`Standing::Starting`]. Source: cluster-checks 7, `ProcessStatus`.
    #[must_use]
    pub fn is_up_to_date(&self, node: &NodeName, last_change: i64) -> Option<bool> {
        let entry = self.nodes.get(node).filter(|_| !self.roll_call)?;
        Some(self.standing == Standing::WarmingUp || is_up_to_date(last_change, entry.view.stamp))
    }
}

impl ServedTable {
    /// Every cluster check: owned, dangling or on its way. One that two nodes have comes more than once.
    pub fn configs(&self) -> impl Iterator<Item = &Arc<DispatchedConfig>> {
        let owned = self.nodes.values().flat_map(|entry| entry.view.configs.iter());
        owned.chain(self.dangling.iter().map(|dangling| &dangling.config)).chain(self.moving.iter().map(|moving| &moving.config))
    }
}

/// A config that was found but cannot be dispatched. Other configs are not affected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Check name.
    pub check_name: String,
    /// Where it came from.
    pub source: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Counters of the dispatcher. They begin at 0 with each incarnation of the actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DispatcherCounters {
    /// Configs that got an owner and had none.
    pub placements: u64,
    /// Configs that went from one owner to another one.
    pub moves: BTreeMap<Cause, u64>,
    /// Nodes that expired.
    pub expired_nodes: u64,
    /// Nodes whose pod or Kubernetes node is gone.
    pub deleted_nodes: u64,
    /// Discovered configs that could not be patched.
    pub patch_failures: u64,
    /// Messages of an older epoch that were dropped.
    pub stale_epoch_dropped: u64,
    /// Changes that were shown although the disk, or with several replicas a follower, did not have them yet.
    pub persistence_failures: u64,
    /// Invariants found broken, by name.
    pub invariant_violations: BTreeMap<&'static str, u64>,
}

impl DispatcherCounters {
    /// Counts a decision as a placement or as a move; what is neither is not counted.
    pub fn count(&mut self, decision: &Decision) {
        if decision.is_move() {
            *self.moves.entry(decision.cause).or_default() += 1;
        } else if decision.from.is_none() && decision.to.is_some() {
            self.placements += 1;
        }
    }
}

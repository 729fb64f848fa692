//! What a planner looks at: one immutable value, made from what is published.

use std::sync::Arc;

use crate::domain::handover::Handover;
use crate::domain::ids::{ConfigKey, Digest, Epoch, NodeName, Seq};
use crate::domain::node::NodeFacts;
use crate::domain::world::Presence;

/// Index into [`World::runners`].
pub type RunnerIndex = usize;

/// The nodes and configs of one moment, with what is known and demanded of them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Epoch of the table.
    pub epoch: Epoch,
    /// The change of the table that it shows; a plan made from it counts only as long as this is the last one.
    pub generation: Seq,
    /// By name.
    pub runners: Vec<Runner>,
    /// By digest, then key.
    pub loads: Vec<Load>,
    /// Moves for balance in the last 10 minutes.
    pub spent: usize,
}

/// A registered node.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its name.
    pub name: NodeName,
    /// Workers to count with; 0 = it is unusable, because it told that it has none.
    pub workers: f64,
    /// Whether it told its workers; else they are assumed.
    pub workers_known: bool,
    /// Whether it stays.
    pub presence: Presence,
    /// What it told about itself.
    pub facts: NodeFacts,
    /// The only config it may have, if one is isolated there.
    pub isolated_for: Option<ConfigKey>,
    /// Weight of all its checks, also of those that are no cluster checks. Of `busyness` only.
    pub busyness: i64,
}

/// A config.
#[derive(Clone, Debug)]
pub struct Load {
    /// Which.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: Arc<str>,
    /// The service it was resolved for; empty = none. Configs of one service are kept apart where it costs nothing.
    pub service: Arc<str>,
    /// Where it belongs; `None` = it dangles.
    pub owner: Option<RunnerIndex>,
    /// Workers it occupies, smoothed; `None` = nothing is known yet. Of `bounded`.
    pub need: Option<f64>,
    /// Workers to count with: the known need, else the estimate.
    pub counted: f64,
    /// Workers as measured last; `None` = nothing is known yet. Of `utilization`.
    pub measured: Option<f64>,
    /// Weight of `busyness`; `None` = its owner tells nothing about it.
    pub weight: Option<i64>,
    /// Number of its instances; each occupies one worker at most.
    pub instances: usize,
    /// Whether one of its instances has no figures yet.
    pub incomplete: bool,
    /// What a move costs, 1 = a usual one. Source: cluster-checks 11.5.
    pub cost: f64,
    /// In which order it changes its owner.
    pub handover: Handover,
    /// The node it is pinned to; it may not be there.
    pub pinned_to: Option<NodeName>,
    /// Why balancing leaves it where it is.
    pub held: Option<Held>,
}

/// Why balancing leaves a config where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Its check name is in `cluster_checks.exclude_checks_from_dispatching`.
    NeverMoved,
    /// It is pinned.
    Pinned,
    /// It is isolated on its runner.
    Isolated,
    /// It was moved for balance less than `muster.rebalance_cooldown` ago.
    CoolingDown,
    /// It is on its way to another node at this moment.
    Moving,
    /// It is kept off every node.
    Quarantined,
    /// Nothing is known about its need yet.
    NeedUnknown,
}

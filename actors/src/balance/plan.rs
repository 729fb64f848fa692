//! What a planner proposes: an immutable value that counts only for the change of the table it was made from.

use serde::{Deserialize, Serialize};

use crate::balance::policy::Strategy;
use crate::domain::ids::{ConfigKey, Digest, Epoch, NodeName, Seq};

/// Why a plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// `cluster_checks.rebalance_period` is over.
    Period,
    /// Nodes came or went a while ago.
    Membership,
    /// Somebody asked for it.
    Manual,
    /// Somebody isolates a check.
    Isolation,
}

/// One config that goes from one runner to another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Which config.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: String,
    /// From where.
    pub from: NodeName,
    /// To where.
    pub to: NodeName,
    /// Workers it occupies, as counted.
    pub need: f64,
    /// What the move improves: the decrease of the sum of workers x (utilization - mean)^2. 0 where the rule has no such figure.
    pub gain: f64,
    /// What the move costs, 1 = a usual one.
    pub cost: f64,
    /// Utilization of both runners before this move.
    pub from_utilization: f64,
    /// See above.
    pub to_utilization: f64,
    /// The three figures of the stock answer; their meaning depends on the strategy. Source: cluster-checks 4.6.
    pub check_weight: i64,
    /// See above.
    pub source_diff: i64,
    /// See above.
    pub dest_diff: i64,
}

/// One runner before and after a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Which runner.
    pub runner: NodeName,
    /// Workers counted with; 0 = unusable.
    pub workers: f64,
    /// Utilization before.
    pub before: f64,
    /// Utilization after.
    pub after: f64,
    /// Configs before.
    pub configs_before: usize,
    /// Configs after.
    pub configs_after: usize,
}

/// Why a plan has no more moves than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Every runner is close enough to the mean.
    InsideBand,
    /// The budget of this window is used up.
    BudgetUsedUp,
    /// No allowed move improves anything.
    NothingImproves,
    /// The gain is too small to be worth the moves (`utilization`).
    NotWorthIt,
    /// Balancing is off.
    Off,
    /// Fewer than two usable runners.
    TooFewRunners,
}

/// What a planner proposes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Epoch of the table it was made from.
    pub epoch: Epoch,
    /// Change of the table it was made from.
    pub generation: Seq,
    /// By which rule.
    pub strategy: Strategy,
    /// Why.
    pub trigger: Trigger,
    /// Whether budget and cooldown were ignored.
    pub force: bool,
    /// In the order in which they were found.
    pub moves: Vec<Move>,
    /// Every usable runner, by name.
    pub forecast: Vec<Forecast>,
    /// Mean utilization.
    pub mean: f64,
    /// Tolerated deviation from it; 0 where the rule has none.
    pub tolerance: f64,
    /// Moves allowed in this window; `None` = any number.
    pub budget: Option<usize>,
    /// Moves of this window that were spent before.
    pub spent: usize,
    /// Why there are no more moves.
    pub stopped: Stopped,
}

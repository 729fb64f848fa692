//! What is told to people who ask why a check is where it is.

use serde::{Deserialize, Serialize};

use crate::balance::plan::Stopped;
use crate::balance::world::Held;
use crate::domain::constraints::Quarantine;
use crate::domain::handover::{Handover, Transfer};
use crate::domain::ids::{CheckId, ConfigKey, Digest, NodeName};
use crate::domain::journal::Decision;
use crate::domain::world::DanglingReason;

/// Why one config is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckExplanation {
    /// Which config.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: String,
    /// Its check ids.
    pub check_ids: Vec<CheckId>,
    /// Where it was found.
    pub source: String,
    /// Where it runs.
    pub node: Option<NodeName>,
    /// Why it runs nowhere.
    pub dangling: Option<DanglingReason>,
    /// From where to where it is on its way.
    pub transfer: Option<Transfer>,
    /// When it came to its node, as far as the journal reaches. Units: nanoseconds since the Unix epoch.
    pub since_unix_nanos: Option<i64>,
    /// Workers it occupies; `None` = nothing is known yet.
    pub need: Option<f64>,
    /// Workers it is counted with.
    pub counted: f64,
    /// What a move costs, 1 = a usual one.
    pub move_cost: f64,
    /// In which order it changes its owner.
    pub handover: Handover,
    /// Why balancing leaves it where it is.
    pub held: Option<Held>,
    /// The node it is pinned to.
    pub pinned_to: Option<NodeName>,
    /// Why it is kept off every node.
    pub quarantine: Option<Quarantine>,
    /// Every node, the one it is on first, then by utilization with it.
    pub candidates: Vec<Candidate>,
    /// Its last changes of place, newest first.
    pub history: Vec<Decision>,
    /// What would move it next, in words, most likely first.
    pub next: Vec<String>,
}

/// A node as a place for one config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which node.
    pub node: NodeName,
    /// Workers counted with.
    pub workers: f64,
    /// Configs it has.
    pub configs: usize,
    /// Its utilization now.
    pub utilization: f64,
    /// Its utilization if it had the config.
    pub with_it: f64,
    /// What moving it there would improve: the decrease of the sum of workers x (utilization - mean)^2. `None` for the node it is on, and
    /// where one of both cannot be counted.
    pub gain: Option<f64>,
    /// Why it is not there; `None` for the node it is on.
    pub ruled_out: Option<RuledOut>,
}

/// Why a config is not on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum RuledOut {
    /// The node is on its way out.
    Leaving,
    /// It told that it has no workers.
    NoWorkers,
    /// It declared that it does not run this check.
    NotDeclared,
    /// Another node declared that it runs this check and goes first.
    OthersDeclared,
    /// Another check is isolated there.
    IsolatedFor {
        /// Which.
        check_name: String,
    },
    /// It does not honour grants, and others that do go first.
    NoGrants,
    /// It has such a check already, and an agent runs only one of it.
    HasOne,
    /// The config is held where it is.
    Held {
        /// Why.
        held: Held,
    },
    /// Nothing is placed at this moment: the warm-up is not over, or the change is being made.
    NotYet,
    /// Balancing is off.
    Off,
    /// The next plan moves it to another node.
    GoesElsewhere {
        /// To which.
        node: NodeName,
    },
    /// The load is even enough: every runner is inside the band.
    InsideBand,
    /// Its node is not above the mean, so nothing leaves it for balance.
    OwnerNotAboveMean,
    /// The node is not below the mean, so nothing comes to it for balance.
    NotBelowMean,
    /// A move would not improve anything.
    NoGain,
    /// A move would improve something, and will be made when the budget allows.
    BudgetUsedUp,
    /// A move would improve something now, but others improve more, and after them it would not be made.
    OthersFirst,
    /// The new distribution has it there, but is not worth the moves (`utilization`).
    NotWorthIt,
    /// The rule prefers its present node; without that preference it would go there (`utilization`).
    Sticky,
    /// The rule gives it another place (`utilization`, `busyness`).
    NotChosen,
    /// It is part of the next plan.
    Planned,
}

/// What one node has, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeExplanation {
    /// Which node.
    pub node: NodeName,
    /// Workers counted with.
    pub workers: f64,
    /// Whether it told them.
    pub workers_known: bool,
    /// Its utilization.
    pub utilization: f64,
    /// Mean of all usable runners.
    pub mean: f64,
    /// Tolerated deviation.
    pub tolerance: f64,
    /// Whether it is on its way out, isolated, silent; in words.
    pub remarks: Vec<String>,
    /// Age of its figures in seconds; `None` = it never told any.
    pub figures_age_seconds: Option<f64>,
    /// Its configs, the largest need first.
    pub configs: Vec<NodeConfig>,
    /// Moves to and from it, newest first.
    pub history: Vec<Decision>,
    /// Moves of the next plan that concern it: check name, from, to.
    pub planned: Vec<(String, NodeName, NodeName)>,
    /// Why the next plan has no more moves.
    pub stopped: Stopped,
}

/// A config of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Which.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: String,
    /// Its first check id.
    pub check_id: Option<CheckId>,
    /// Workers it occupies; `None` = nothing is known yet.
    pub need: Option<f64>,
    /// Why balancing leaves it where it is.
    pub held: Option<Held>,
    /// When it came here. Units: nanoseconds since the Unix epoch.
    pub since_unix_nanos: Option<i64>,
}

//! Messages to the `Rebalancer`. Only the one on the leader acts.

use std::sync::Arc;

use actix::Message;
use serde::{Deserialize, Serialize};

use crate::balance::explanation::{CheckExplanation, NodeExplanation};
use crate::balance::plan::{Plan, Trigger};
use crate::domain::constraints::ConstraintChange;
use crate::domain::ids::NodeName;

/// Make a plan, and carry it out.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Evaluated, Refusal>")]
pub struct Evaluate {
    /// Why.
    pub trigger: Trigger,
    /// Ignore budget and cooldown, and end isolations.
    pub force: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// Carry out the plan that waits for approval.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Evaluated, Refusal>")]
pub struct Approve {
    /// Number of the plan, so that nobody approves another one than they saw.
    pub number: u64,
}

/// Answer to [`Evaluate`] and [`Approve`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has no moves.
    Nothing,
    /// Its moves are made.
    Applied,
    /// It was only to be shown.
    DryRun,
    /// It waits for approval under this number.
    AwaitsApproval(u64),
}

/// Why nothing was planned or done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another replica leads, or nobody; or it is warming up.
    #[error("this replica does not dispatch now")]
    NotDispatching,
    /// Source: cluster-checks 15, T32.
    #[error("no checks to rebalance: advanced dispatching is not enabled")]
    AdvancedDispatchingOff,
    /// The assignment went on changing while plans were made.
    #[error("the assignment changes too fast to plan; try again")]
    Stale,
    /// No plan of this number waits.
    #[error("no plan {0} waits for approval; see the one that does with: muster clusterchecks plan")]
    NoSuchPlan(u64),
    /// No check is called so.
    #[error("no check {0:?}: give a check id, a digest or the name of a check with one config, as in: muster clusterchecks")]
    UnknownCheck(String),
    /// Several configs are called so.
    #[error("{name:?} may be any of {of}: give a check id or a digest")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The candidates, as text.
        of: String,
    },
    /// No node is called so.
    #[error("no node {0:?}: give the name of an agent that reports, as in: muster clusterchecks")]
    UnknownNode(String),
    /// It is not demanded, so it cannot be taken back.
    #[error("nothing to take back: {0}")]
    NotInForce(String),
    /// The demand contradicts what a node or another demand says.
    #[error("{0}")]
    Impossible(String),
}

/// Isolate the config of a check on the runner it is on. Source: cluster-checks 4.7, 11.3.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Isolated, Refusal>")]
pub struct Isolate {
    /// A check id.
    pub check: String,
}

/// Answer to [`Isolate`], in the words of the stock answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolated {
    /// Where it is isolated; `None` = it is not.
    pub node: Option<NodeName>,
    /// Why not; empty if it is.
    pub reason: String,
    /// Configs that made room.
    pub moved: usize,
}

/// What an operator demands of a check, or takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Keep a check on a node.
    Pin {
        /// Check id, digest, or name of a check with one config.
        check: String,
        /// Name of a node.
        node: String,
    },
    /// Let it go anywhere.
    Unpin {
        /// As above.
        check: String,
    },
    /// End an isolation.
    EndIsolation {
        /// The isolated check, or the node.
        check: String,
    },
    /// End a quarantine.
    Release {
        /// As above.
        check: String,
    },
}

/// Carry out what an operator demands.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Demanded, Refusal>")]
pub struct Command {
    /// What.
    pub demand: Demand,
}

/// Answer to [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demanded {
    /// What changed.
    pub change: ConstraintChange,
    /// Check name and first check id of the config, for people.
    pub check: String,
    /// Configs that moved because of it.
    pub moved: usize,
}

/// The plan that waits for approval, with its number.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<(u64, Arc<Plan>)>")]
pub struct PendingPlan;

/// Why is this check where it is?
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Box<CheckExplanation>, Refusal>")]
pub struct ExplainCheck {
    /// Check id, digest, or name of a check with one config.
    pub check: String,
}

/// Why has this node what it has?
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Box<NodeExplanation>, Refusal>")]
pub struct ExplainNode {
    /// Name of a node.
    pub node: String,
}

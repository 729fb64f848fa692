//! Messages to the `Dispatcher`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{Message, MessageResponse};

use crate::balance::succession::Succession;
use crate::domain::assignment::AssignmentTable;
use crate::domain::config::CheckConfig;
use crate::domain::constraints::ConstraintChange;
use crate::domain::ids::{ConfigKey, Epoch, NodeName, Seq, Stamp};
use crate::domain::journal::Cause;
use crate::domain::node::NodeFacts;
use crate::domain::world::Standing;

/// An agent that is not in the published table asks whether its set is current.
///
/// Agents that are in the table are answered from it without asking.
#[derive(Debug, Clone, Message)]
#[rtype(result = "PollReply")]
pub struct Poll {
    /// Who asks.
    pub node: NodeName,
    /// The version it has.
    pub last_change: i64,
}

/// Answer to [`Poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollReply {
    /// Whether the answers of this replica count at all.
    pub standing: Standing,
    /// Whether the agent may keep its set.
    pub up_to_date: bool,
    /// The exposed version.
    pub stamp: Stamp,
}

/// Discovery begins to tell everything it knows: the first message after a start of the `Resolver`, and its first answer to
/// [`crate::messages::resolver::ReplayDiscovery`].
///
/// Why: only a listing that this dispatcher heard from its beginning proves that what was not named is gone.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DiscoveryStarted;

/// Discovery found configs, or lost some.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ConfigsDiscovered {
    /// New configs, unpatched; one with a known key changes nothing.
    pub added: Vec<Arc<CheckConfig>>,
    /// Keys of configs that are gone; a key that is also among the added ones stays.
    pub removed: Vec<ConfigKey>,
}

/// Discovery has told everything it knows since the last [`DiscoveryStarted`].
///
/// What the table holds and discovery did not name in between is removed, unless its source is one that cannot be read now:
/// a server that starts while a file is broken must not stop what the file said before.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct DiscoverySynced {
    /// Sources that exist and cannot be used, as in [`CheckConfig::source`], for example `file:/etc/datadog-agent/conf.d/a.yaml`.
    pub broken: BTreeSet<String>,
}

/// `Membership` saw nodes for the first time, learned new facts about them, or lost them.
///
/// Everything in one message is decided together, so that no orphan goes to a node that is lost in the same moment.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct NodesChanged {
    /// Nodes that are new or have new facts.
    pub seen: Vec<(NodeName, NodeFacts)>,
    /// Nodes that are dead.
    pub lost: Vec<LostNode>,
    /// Nodes that are on their way out.
    pub departing: Vec<Departure>,
    /// Nodes that were on their way out and are not any more: another pod of the same name runs.
    pub returned: Vec<NodeName>,
}

impl NodesChanged {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.lost.is_empty() && self.departing.is_empty() && self.returned.is_empty()
    }
}

/// A node whose pod or Kubernetes node is on its way out. It polls on for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Which node.
    pub node: NodeName,
    /// What becomes of its set.
    pub succession: Succession,
}

/// A node that is taken for dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostNode {
    /// Which node.
    pub node: NodeName,
    /// Time since its last heartbeat.
    pub silent_for: Duration,
    /// [`Cause::NodeExpired`] or [`Cause::NodeDeleted`].
    pub why: Cause,
    /// The node that takes its set over as a block, if there is one.
    pub successor: Option<NodeName>,
}

/// `Membership` just started and knows no node: tell it with [`crate::messages::membership::NodesRestored`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct NodesWanted;

/// `Persistence` or `Replica` just started: it forgot what it was told before and did not save.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct PersistenceStarted;

/// Where a loaded table is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// There was none: a cold start.
    #[default]
    Nothing,
    /// From a snapshot, or a copy of which nobody knows how old it is: agents may run what it does not say.
    Aged,
    /// It is what was decided last, as far as agents were shown it.
    Current,
}

/// Answer to [`crate::messages::persistence::LoadTable`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TableLoaded {
    /// The table; empty on a cold start.
    pub table: Box<AssignmentTable>,
    /// Where it is from: what is not current needs a warm-up.
    pub origin: Origin,
    /// Whether discovery was complete for whoever made the table, so that endpoint checks are served from it.
    pub discovery_synced: bool,
    /// The term of office it is for; `None` = for any, because nobody else can have changed it.
    pub epoch: Option<Epoch>,
}

/// What became of the changes up to and including `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct DeltaSaved {
    /// The last of these changes.
    pub seq: Seq,
    /// Whether they are on disk, or known to a follower if there is one. If not, agents are shown them all the same: being available
    /// is worth more.
    pub durable: bool,
}

/// Carry out a plan, or a change of the demands on placement together with the moves it calls for.
///
/// All moves are made in one change of the table, or none.
#[derive(Debug, Clone, Message)]
#[rtype(result = "PlanReply")]
pub struct ApplyPlan {
    /// Epoch and change of the table that the moves were planned for.
    pub epoch: Epoch,
    /// See above.
    pub generation: Seq,
    /// Changes of the demands, in this order, before the moves.
    pub constraints: Vec<ConstraintChange>,
    /// Config, the owner it was planned to leave, the node it goes to.
    pub moves: Vec<PlannedMove>,
    /// Why they move.
    pub cause: Cause,
    /// Whether the moves count against the budget and begin a cooldown.
    pub counts: bool,
}

/// One move of an [`ApplyPlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMove {
    /// Which config.
    pub key: ConfigKey,
    /// Where it is.
    pub from: NodeName,
    /// Where it goes.
    pub to: NodeName,
}

/// Answer to [`ApplyPlan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub enum PlanReply {
    /// Done; so many configs have another owner, or are on their way to one.
    Applied {
        /// Number of moves.
        moves: usize,
        /// The last change of the table. Until agents are shown it, it may be lost with this replica.
        decided: Seq,
    },
    /// The table changed since the plan was made.
    Stale {
        /// Its last change.
        have: Seq,
    },
    /// This replica does not dispatch now.
    NotDispatching,
}

/// Nodes told which version of their sets they have, where it differs from what they told before, or that they lost it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StampsConfirmed {
    /// Node and version; never 0 or -1.
    pub confirmed: Vec<(NodeName, Stamp)>,
    /// Nodes that had a set, and say that they have none.
    pub restarted: Vec<RestartedNode>,
}

/// An agent that was started again under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartedNode {
    /// Which node.
    pub node: NodeName,
    /// Time between the last heartbeat of the process before and the first one of this process.
    pub silent_for: Duration,
}

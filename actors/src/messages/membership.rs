//! Messages to `Membership`.

use std::collections::BTreeMap;

use actix::Message;

use crate::domain::ids::NodeName;
use crate::domain::node::{CheckCompatibility, NodeFacts};
use crate::domain::world::{NodeKind, Presence};

/// An agent posted its status.
///
/// Sent for every poll; may be lost, the agent repeats it. When it is answered, the `Dispatcher` has been told about a new node.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Heartbeat {
    /// Who polled.
    pub node: NodeName,
    /// Address from `X-Real-Ip`; `None` when the header was absent or empty.
    pub address: Option<String>,
    /// Kind as reported in this poll.
    pub kind: NodeKind,
    /// What the agent declared it can run; the default when it declared nothing.
    pub compatibility: CheckCompatibility,
    /// Whether it stops `at_most_once` checks by itself when its grant ends.
    pub honours_grants: bool,
    /// The version of its set that it has; 0 = it has none, -1 = it does not say.
    pub last_change: i64,
}

/// Heartbeats of agents that are in the published table, gathered for a moment.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Heartbeats {
    /// In order of arrival.
    pub beats: Vec<Heartbeat>,
}

/// The nodes of the table that the `Dispatcher` decides by. Nodes that `Membership` does not know count as just seen.
///
/// Answered with [`crate::messages::dispatcher::NodesChanged`] if `Membership` knows more.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct NodesRestored {
    /// Dispatching begins: until now others may have been polled, so all of them count as just seen. Source: cluster-checks 8.3.
    pub begins: bool,
    /// Another replica may lead from now on, and agents poll there: whatever was heard from them is forgotten first.
    pub anew: bool,
    /// The nodes.
    pub nodes: Vec<(NodeName, NodeFacts)>,
    /// Those of them that are on their way out.
    pub departing: BTreeMap<NodeName, Presence>,
}

//! Messages to the `Dispatcher`.

use std::sync::Arc;

use actix::Message;

use crate::domain::config::CheckConfig;
use crate::domain::ids::{ConfigKey, NodeName, Stamp};
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

/// Discovery found configs, or lost some.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ConfigsDiscovered {
    /// New configs, unpatched; one with a known key changes nothing.
    pub added: Vec<Arc<CheckConfig>>,
    /// Keys of configs that are gone.
    pub removed: Vec<ConfigKey>,
}

/// Discovery has told everything it knows since it started or since the last [`crate::messages::resolver::ReplayDiscovery`].
///
/// What the table holds and discovery did not name may be removed from now on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct DiscoverySynced;

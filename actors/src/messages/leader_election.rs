//! Messages to `LeaderElection`, and what it tells.

use actix::Message;

use crate::domain::ids::Epoch;
use crate::domain::lease::Role;

/// The sender just started: tell all subscribers the role again, with [`LeadershipChanged`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AnnounceLeadership;

/// Something saved is of this epoch: if the lock counts less, because it was deleted, it goes on from here.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct EpochSeen {
    /// The epoch.
    pub epoch: Epoch,
}

/// The process stops: this replica leads no more from now on and gives the lock up.
///
/// Answered when the lock is free, or after 2 s; alone at once.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Release;

/// The lock says something else than before. Repeating it changes nothing. Goes to the `Dispatcher` and to the `Replica`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct LeadershipChanged {
    /// What this replica may do.
    pub role: Role,
    /// The epoch; older ones are dropped.
    pub epoch: Epoch,
    /// Identity of the leader, also if that is this replica; empty when unknown.
    pub leader: String,
    /// `host:port` of the leader's API, if it is known.
    pub address: Option<String>,
}

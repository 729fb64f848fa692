//! Messages to `LeaderElection`.

use actix::Message;

use crate::domain::ids::Epoch;

/// The sender just started: tell all subscribers the role again, with [`crate::messages::dispatcher::LeadershipChanged`].
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

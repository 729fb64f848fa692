//! Messages to `LeaderElection`.

use actix::Message;

/// The dispatcher just started: tell it the role again, with [`crate::messages::dispatcher::LeadershipChanged`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AnnounceLeadership;

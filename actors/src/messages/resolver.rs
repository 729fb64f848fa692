//! Messages to the `Resolver`.

use actix::Message;

/// The dispatcher knows nothing (it just started): say [`crate::messages::dispatcher::DiscoveryStarted`], tell everything again,
/// then say synced.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ReplayDiscovery;

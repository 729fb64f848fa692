//! Messages to `Membership`.

use actix::Message;

use crate::domain::ids::NodeName;
use crate::domain::world::NodeKind;

/// An agent posted its status.
///
/// Sent for every poll; may be lost, the agent repeats it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Heartbeat {
    /// Who polled.
    pub node: NodeName,
    /// Address from `X-Real-Ip`; `None` when the header was absent or empty.
    pub address: Option<String>,
    /// Kind as reported in this poll.
    pub kind: NodeKind,
}

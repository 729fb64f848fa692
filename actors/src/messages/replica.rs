//! Messages to `Replica` from other replicas.

use std::time::Duration;

use actix::Message;

use crate::domain::replication::{Mirror, Position, Shipment};

/// How long a leader holds a question to which nothing is new.
pub const HOLD: Duration = Duration::from_secs(10);

/// Largest table that goes from replica to replica.
///
/// Units: bytes.
pub const LARGEST_TABLE: usize = 256 << 20;

/// A follower asks for what comes after its position, and acknowledges everything up to there.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Shipment")]
pub struct FetchDeltas {
    /// Who asks.
    pub replica: String,
    /// What it has; `None` = nothing.
    pub position: Option<Position>,
}

/// A follower offers its copy to a leader that has none. The answer is whether it was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "bool")]
pub struct OfferTable {
    /// Who offers.
    pub replica: String,
    /// The copy.
    pub mirror: Box<Mirror>,
}

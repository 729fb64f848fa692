//! How far the events of the cluster were forwarded, as it is kept for whoever leads next.

/// The token of the events. Source: cluster-agent-kubernetes 3.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventToken {
    /// Resource version that was processed last; empty = none.
    pub version: String,
    /// When everything was listed last. Units: seconds since the Unix epoch.
    pub listed_at: i64,
}

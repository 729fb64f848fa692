//! The id of the cluster. Source: cluster-agent-kubernetes 5.1.

use std::sync::Arc;

/// How far the id of the cluster is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClusterId {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// This is it, 36 characters.
    Known(Arc<str>),
    /// It could not be found out, and why.
    Failed(Arc<str>),
}

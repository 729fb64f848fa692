//! A Kubernetes event, as far as muster looks at it.

/// The object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvolvedObject {
    /// Kind, for example `Pod`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; may be empty.
    pub uid: String,
}

/// An event of either API version. Source: cluster-agent-kubernetes 3.5 to 3.7.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeEvent {
    /// Its own `metadata.resourceVersion`, as told.
    pub version: String,
    /// What it is about.
    pub involved: InvolvedObject,
    /// `reason`.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// `type`: `Normal`, `Warning` or anything else.
    pub event_type: String,
    /// `count`; an event of a series without one counts as it is told, which may be 0.
    pub count: i64,
    /// `firstTimestamp`. Units: seconds since the Unix epoch; `None` = zero.
    pub first_seen: Option<i64>,
    /// `lastTimestamp`.
    pub last_seen: Option<i64>,
    /// `eventTime`, for whoever sets neither of the others.
    pub event_time: Option<i64>,
    /// `source.component`.
    pub component: String,
    /// `source.host`.
    pub host: String,
    /// `reportingComponent`, the reporting controller.
    pub controller: String,
}

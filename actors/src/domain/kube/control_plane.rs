//! What the control plane says about itself. Source: cluster-agent-kubernetes 3.8, 3.9.

/// One ComponentStatus, as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Name; empty if it has none.
    pub name: String,
    /// Its conditions.
    pub conditions: Vec<ComponentCondition>,
}

/// One condition of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentCondition {
    /// `type`; only `Healthy` counts.
    pub condition_type: String,
    /// `True`, `False` or anything else.
    pub status: String,
    /// Message.
    pub message: String,
    /// Error.
    pub error: String,
}

/// A kind of objects that the API server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiResource {
    /// Plural name, for example `pods`.
    pub name: String,
    /// Kind, as told.
    pub kind: String,
    /// Group; empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
}

/// How many objects of a kind are stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageObjects {
    /// `<resource>`, or `<resource>.<group>` where the server tells the group.
    pub resource: String,
    /// How many.
    pub count: f64,
}

/// What is used of a quota of OpenShift, for one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaUse {
    /// Name of the quota.
    pub quota: String,
    /// Namespace for an applied quota; `None` = the whole cluster quota.
    pub namespace: Option<String>,
    /// Resource, for example `cpu`.
    pub resource: String,
    /// `hard`.
    pub limit: f64,
    /// `used`.
    pub used: f64,
}

//! What is read of the cluster besides watched objects: its events, and its control plane.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::domain::event_token::EventToken;
use crate::domain::kube::control_plane::{ApiResource, ComponentStatus, QuotaUse, StorageObjects};
use crate::domain::kube::event::KubeEvent;
use crate::ports::{SaveOutcome, StillLeads, StoreError};

/// Why nothing was learned about the events or the control plane of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterReadError {
    /// The version to go on from is too old; everything has to be listed.
    #[error("the resource version is too old: {0}")]
    Expired(String),
    /// A right is missing; the text names it.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The API server does not know this kind.
    #[error("not found: {0}")]
    NotFound(String),
    /// It was not reached, did not answer in time, or answered with an error that may pass.
    #[error("{0}")]
    Unavailable(String),
}

/// Some of the events of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events, in the order of the answer.
    pub events: Vec<KubeEvent>,
    /// Version of the list.
    pub version: String,
    /// Where the next page begins; `None` = this was the last one.
    pub next: Option<String>,
}

/// One thing that a watch on events tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventChange {
    /// Added or modified.
    Seen(Box<KubeEvent>),
    /// It is gone, as events are after an hour.
    Deleted,
    /// Nothing older than this version is to come.
    Bookmark(String),
}

/// Which events, as the API server is asked for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Field selector; empty = all.
    pub field_selector: String,
    /// `limit`.
    pub limit: u32,
}

/// The events of the cluster, in all namespaces.
pub trait EventSource: Send + Sync {
    /// One page of the list, from the beginning or from where a page before it ended. Ends in bounded time.
    ///
    /// Errors: [`ClusterReadError`].
    fn list(&self, query: &EventQuery, from: Option<String>) -> BoxFuture<'static, Result<EventPage, ClusterReadError>>;

    /// What changes from this version on. The stream ends with an error, or when the server closes it after `lasts`; dropping it ends
    /// the watch.
    fn watch(&self, query: &EventQuery, version: &str, lasts: Duration) -> BoxStream<'static, Result<EventChange, ClusterReadError>>;

    /// The Kubernetes node of a pod; empty if it has none or is gone. Ends in bounded time.
    ///
    /// Errors: [`ClusterReadError`].
    fn node_of_pod(&self, namespace: &str, name: &str) -> BoxFuture<'static, Result<String, ClusterReadError>>;

    /// `spec.providerID` of a Kubernetes node; empty if it has none or is gone. Ends in bounded time.
    ///
    /// Errors: [`ClusterReadError`].
    fn provider_id(&self, node: &str) -> BoxFuture<'static, Result<String, ClusterReadError>>;
}

/// Where the token of the events is kept, as stock keeps it. Source: cluster-agent-kubernetes 3.3.
pub trait EventTokens: Send + Sync {
    /// Reads it; makes the ConfigMap, and an empty token in it, if there is none. `now_unix_seconds` is the time for that.
    ///
    /// Errors: [`StoreError`] if it can neither be read nor made.
    fn load(&self, now_unix_seconds: i64) -> BoxFuture<'static, Result<EventToken, StoreError>>;

    /// Replaces it. `leads` is asked before each attempt, after what the attempt rests on was read.
    ///
    /// Errors: [`StoreError`].
    fn save(&self, token: EventToken, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>>;
}

/// The control plane of the cluster. Every call ends in bounded time. Source: cluster-agent-kubernetes 3.8, 3.9.
pub trait ControlPlane: Send + Sync {
    /// The component statuses.
    ///
    /// Errors: [`ClusterReadError`].
    fn components(&self) -> BoxFuture<'static, Result<Vec<ComponentStatus>, ClusterReadError>>;

    /// Whether this path (`/readyz`, `/readyz/etcd`) answers 200; any other answer but 401 and 403 is `false`.
    ///
    /// Errors: [`ClusterReadError`] if there was no answer, or the right to ask is missing.
    fn ready(&self, path: &'static str) -> BoxFuture<'static, Result<bool, ClusterReadError>>;

    /// The kinds that the API server knows.
    ///
    /// Errors: [`ClusterReadError`].
    fn api_resources(&self) -> BoxFuture<'static, Result<Vec<ApiResource>, ClusterReadError>>;

    /// How many objects are stored, from the metrics of the API server.
    ///
    /// Errors: [`ClusterReadError`].
    fn storage_objects(&self) -> BoxFuture<'static, Result<Vec<StorageObjects>, ClusterReadError>>;

    /// The quotas of OpenShift; `None` = this is no OpenShift.
    ///
    /// Errors: [`ClusterReadError`].
    fn quotas(&self) -> BoxFuture<'static, Result<Option<Vec<QuotaUse>>, ClusterReadError>>;
}

//! Traits through which the outside comes in. Each has a real adapter in `src` and a fake in [`crate::testing`].

mod cluster_reads;
mod spool;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::config::CheckConfig;
use crate::domain::delivery::{Encoded, KeyState, Payload, Route, SendResult};
use crate::domain::figures::CheckFigures;
use crate::domain::ids::{CheckId, Epoch};
use crate::domain::kube::objects::Kind;
use crate::domain::lease::Leadership;
use crate::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use crate::domain::replication::Shipment;
use crate::domain::samples::{Batch, RunSamples};
use crate::domain::secrets::{Handles, SecretError, SecretValues};
use crate::kernel::clock::Clock;
use crate::kernel::published::Reader;
use crate::messages::informer::WatchEvent;
use crate::messages::replica::{FetchDeltas, OfferTable};

pub use cluster_reads::{ClusterReadError, ControlPlane, EventChange, EventPage, EventQuery, EventSource, EventTokens};
pub use spool::{DiskSpace, Spool, SpoolId, SpoolListing, Spooled, StoredGroup};

/// One instance of a config that is to run here.
#[derive(Debug, Clone)]
pub struct CheckInstance {
    /// The config as received, but with secrets in place of their handles.
    pub config: Arc<CheckConfig>,
    /// Which of its instances.
    pub index: usize,
    /// Check id over the received bytes, by which the cluster agent knows it.
    pub id: CheckId,
}

/// What one run of a check produced.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Everything it submitted, also when it failed later.
    pub samples: RunSamples,
    /// Texts for the operator, shown in status.
    pub warnings: Vec<String>,
    /// Why the run failed, `None` when it did not.
    pub error: Option<String>,
}

/// A loaded check instance. Lives as long as it is scheduled, so it may keep state between runs.
pub trait Check: Send {
    /// Runs once. Dropping the future cancels the run; the check must stay usable.
    fn run(&mut self) -> BoxFuture<'_, RunReport>;
}

/// Why an instance cannot run here; shown in status, retried when its config changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No loader knows the check.
    #[error("no loader for check {name:?}, known checks: {known}")]
    NoLoader {
        /// Check name.
        name: String,
        /// Names that would work, for the message.
        known: String,
    },
    /// A key of the instance or init_config is missing or has a value that is not allowed.
    #[error("option {key:?}: found {found}, allowed: {allowed}")]
    Option {
        /// Key, dotted path.
        key: String,
        /// What was found.
        found: String,
        /// What is allowed, and so the mend.
        allowed: String,
    },
    /// The instance is no YAML mapping.
    #[error("instance {index}: {text}")]
    Unreadable {
        /// Position in the config.
        index: usize,
        /// Parser text with line and column.
        text: String,
    },
}

/// Turns instances into checks.
pub trait CheckLoader: Send + Sync {
    /// Loads one instance.
    ///
    /// Errors: [`LoadError`], which never keeps other instances from loading.
    fn load(&self, instance: &CheckInstance) -> Result<Box<dyn Check>, LoadError>;
}

/// Answer of the cluster agent to a posted status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusReply {
    /// Whether the node has the current set.
    pub up_to_date: bool,
    /// How long a current set is granted, counted from before the question; zero = nothing is granted for now. `None` = this cluster
    /// agent grants nothing and takes nothing back, as stock ones.
    pub grant: Option<Duration>,
}

/// Configs of this node as the cluster agent sent them.
#[derive(Debug, Clone, Default)]
pub struct FetchedConfigs {
    /// Version of the set.
    pub last_change: i64,
    /// The set.
    pub configs: Vec<Arc<CheckConfig>>,
}

/// Why a call to the cluster agent failed. The two classes have different consequences (cluster-checks 9.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterAgentError {
    /// Transport error, timeout, unreadable body, or any status but 200: keep running what runs.
    #[error("cluster agent not available: {0}")]
    Remote(String),
    /// 200 with a body that is not the expected JSON.
    #[error("cluster agent answered something unexpected: {0}")]
    Unexpected(String),
}

/// The cluster agent as a node sees it.
pub trait ClusterAgentClient: Send + Sync {
    /// Posts the node status. `last_change` is -1 for an extra heartbeat.
    ///
    /// Errors: [`ClusterAgentError`].
    fn post_status(&self, last_change: i64, deadline: Duration) -> BoxFuture<'static, Result<StatusReply, ClusterAgentError>>;

    /// Gets the cluster checks of this node.
    ///
    /// Errors: [`ClusterAgentError`].
    fn fetch_configs(&self) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>>;

    /// Gets the endpoint checks of a Kubernetes node.
    ///
    /// Errors: [`ClusterAgentError`].
    fn fetch_endpoint_configs(&self, kubernetes_node: &str) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>>;
}

/// A destination of samples: how a batch becomes payloads, and how one payload is sent.
pub trait OutputTransport: Send + Sync {
    /// Turns a batch into payloads of at most the size the destination takes. May take long: runs on the blocking pool.
    fn encode(&self, batch: &Batch) -> Encoded;

    /// Sends one payload. The future ends in bounded time; dropping it abandons the attempt.
    fn send(&self, payload: &Payload) -> BoxFuture<'static, SendResult>;

    /// The route of this name, which may come from an earlier version of this program; `None` if there is none any more.
    ///
    /// A transport without routes to tell has no spool.
    fn route(&self, _name: &str) -> Option<Route> {
        None
    }

    /// Connections made since the start.
    fn connections(&self) -> u64 {
        0
    }

    /// Asks the destination whether it accepts the key; `None` where there is nothing to ask.
    fn check_key(&self) -> Option<BoxFuture<'static, KeyState>> {
        None
    }
}

/// A provider of configs or a listener for services that runs outside the resolver, for example the watcher of files.
///
/// It sends [`crate::messages::resolver::ProviderListing`], or [`crate::messages::resolver::SourcesChanged`], or
/// [`crate::messages::resolver::ServicesChanged`] whenever something changed, and everything when it is asked.
pub trait DiscoverySource: Send + Sync {
    /// Name of the provider or listener, as in what it sends.
    fn provider(&self) -> &'static str;

    /// Asks for a full listing, also if nothing changed. Returns at once; the listing comes as a message.
    fn request_listing(&self);
}

/// What a store held when it was read.
#[derive(Debug, Clone, Default)]
pub struct StoredTable {
    /// The table; empty, but with the stamps going on, if it was lost.
    pub table: AssignmentTable,
    /// Whether a usable table was found.
    pub restored: bool,
    /// What was wrong with the files and what was done about it, for the operator.
    pub findings: Vec<String>,
    /// Size on disk.
    pub size: StoreSize,
}

/// Size of a store. Units: bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// The snapshot.
    pub snapshot: u64,
    /// The log of changes after it.
    pub log: u64,
}

/// Why the store did not do what it should. The text names the step, the place and the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{step}")]
pub struct StoreError {
    /// What was to be done and where, for example `append to /run/x/assignment/log`.
    pub step: String,
    /// What the system said.
    #[source]
    pub source: Arc<dyn std::error::Error + Send + Sync>,
}

/// Keeps the assignment table over the end of the process.
pub trait AssignmentStore: Send + Sync {
    /// Reads everything. Damage is repaired and reported as a finding, not as an error.
    ///
    /// Errors: [`StoreError`] if nothing can be read or repaired.
    fn load(&self) -> BoxFuture<'static, Result<StoredTable, StoreError>>;

    /// Appends changes in order. When it is done, they survive the loss of power.
    ///
    /// Errors: [`StoreError`]; then only [`Self::replace`] makes the store usable again.
    fn append(&self, deltas: Vec<Arc<TableDelta>>) -> BoxFuture<'static, Result<StoreSize, StoreError>>;

    /// Replaces everything by a table, at once or not at all.
    ///
    /// Errors: [`StoreError`]; what was stored before is still there.
    fn replace(&self, table: AssignmentTable) -> BoxFuture<'static, Result<StoreSize, StoreError>>;
}

/// Tells, on any thread, whether whoever saves still leads.
///
/// Why not asked once before saving: a save takes time, and a successor may have saved meanwhile.
pub type StillLeads = Arc<dyn Fn() -> bool + Send + Sync>;

/// Tells whether this replica still leads in this term of office.
#[must_use]
pub fn still_leads(leadership: Reader<Leadership>, clock: Arc<dyn Clock>, term: Epoch) -> StillLeads {
    Arc::new(move || leadership.peek().term(clock.monotonic()) == Some(term))
}

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It is stored.
    Saved,
    /// Nothing was written, because whoever saves does not lead any more.
    NotLeading,
}

/// Keeps the latest table where every replica finds it when none of them has one any more.
pub trait SnapshotStore: Send + Sync {
    /// The bytes that were saved last; `None` if there are none, or this replica may not read them.
    ///
    /// Errors: [`StoreError`]; it is tried again for a short while.
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>>;

    /// Replaces the bytes, at once or not at all. `leads` is asked before each attempt, after everything that the attempt rests on
    /// was read: what a successor saved is not overwritten.
    ///
    /// Errors: [`StoreError`]; what was saved before is still there.
    fn save(&self, snapshot: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>>;
}

/// Why a replica got nothing from another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// It did not answer, or not with something complete.
    #[error("leader not reached: {0}")]
    Unreachable(String),
    /// It answered that it will not: wrong token, another version.
    #[error("leader refused: {0}")]
    Refused(String),
}

/// The other replicas, as a follower sees them. Calls end in bounded time.
pub trait ReplicaClient: Send + Sync {
    /// Asks the replica at this address (`host:port`) for changes. It may hold the question for [`crate::messages::replica::HOLD`].
    ///
    /// Errors: [`ReplicaError`].
    fn fetch(&self, address: &str, question: FetchDeltas) -> BoxFuture<'static, Result<Shipment, ReplicaError>>;

    /// Offers the own copy. Returns whether it was wanted.
    ///
    /// Errors: [`ReplicaError`].
    fn offer(&self, address: &str, offer: OfferTable) -> BoxFuture<'static, Result<bool, ReplicaError>>;
}

/// A watch on all objects of one kind.
pub trait WatchSource: Send + Sync {
    /// Which kind.
    fn kind(&self) -> Kind;

    /// Starts watching: lists, then reports changes, in batches as they arrive. The stream never ends; it tries again after failures
    /// with growing, jittered pauses. Dropping it ends the watch.
    fn watch(&self) -> BoxStream<'static, Vec<WatchEvent>>;
}

/// The lock by which replicas agree who decides.
///
/// Each call ends within [`crate::domain::lease::LeaseTimings::call_limit`], whatever the other side does.
pub trait LeaseStore: Send + Sync {
    /// Reads the lock; `None` if there is none yet.
    ///
    /// Errors: [`LockError`], never a conflict.
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>>;

    /// Replaces the lock if it is still in that version; creates it if no version is given. Answers with what is stored then.
    ///
    /// Errors: [`LockError`].
    fn write(&self, record: LockRecord, version: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>>;
}

/// Looks up the address of a leader that did not write it into the lock, as stock replicas do not.
pub trait LeaderDirectory: Send + Sync {
    /// `host:port` of the API of the leader with this identity; `None` if it is not known (now). Ends in bounded time.
    fn address_of(&self, leader: &str) -> BoxFuture<'static, Option<String>>;
}

/// What knows the values of secrets.
pub trait SecretBackend: Send + Sync {
    /// The values of all these handles. Ends in bounded time; what it learned it keeps, so asking again costs little.
    ///
    /// Errors: [`SecretError`] if one of them has no value.
    fn resolve(&self, handles: Handles) -> BoxFuture<'static, Result<SecretValues, SecretError>>;
}

/// Why a runner told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// It did not answer in time, or the connection failed.
    #[error("runner not reached: {0}")]
    Unreachable(String),
    /// It answered something else than 200. A runner older than the route answers 404.
    #[error("runner answered {status}: {body}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// It answered something that cannot be read.
    #[error("answer of the runner not understood: {0}")]
    Garbled(String),
}

/// The statistics API of runners. Every call ends within 2 s. Source: cluster-checks 10.
pub trait RunnerStats: Send + Sync {
    /// Statistics of all its checks; the entry with the empty id is left out.
    ///
    /// Errors: [`RunnerError`].
    fn stats(&self, address: &str) -> BoxFuture<'static, Result<BTreeMap<CheckId, CheckFigures>, RunnerError>>;

    /// Number of its workers.
    ///
    /// Errors: [`RunnerError`].
    fn workers(&self, address: &str) -> BoxFuture<'static, Result<u32, RunnerError>>;
}

//! The cluster role in Kubernetes: the way to the API server, who this replica is there, and the informers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use muster_actors::cluster::informer::{Informer, InformerParts, actor_name};
use muster_actors::cluster::leader_election::Election;
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::kube::cluster_name::{cluster_name, cluster_name_labels};
use muster_actors::domain::kube::informer_status::InformerStatus;
use muster_actors::domain::kube::objects::Kind;
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::domain::lease::LeaseTimings;
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::messages::informer::ObjectsChanged;
use tracing::{info, warn};

use crate::app::carrier::Carrier;
use crate::app::host::Host;
use crate::config::ClusterSettings;
use crate::config::settings::WatchPods;
use crate::errors;
use crate::kube::client::{Connection, connect, wait_for_api_server};
use crate::kube::cluster_id::{ClusterIdError, ClusterIdSource};
use crate::kube::error::ObjectError;
use crate::kube::lock::{KubeLock, LockPlace, ServiceDirectory, ServiceDirectoryParts, own_address};
use crate::kube::snapshot_store::ConfigMapSnapshot;
use crate::kube::watch::{KubeWatch, WatchSettings};

/// Pause before id or name of the cluster are asked for again.
const FACT_RETRY: Duration = Duration::from_secs(2);

/// A replica is not ready before it has listed everything, so that a rolling update waits for it; after this time it is nevertheless.
///
/// Source: `kube_cache_sync_timeout_seconds` (10).
const LISTING_LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at the informers.
const LISTING_STEP: Duration = Duration::from_millis(20);

/// Refusals after which a right is taken for missing.
///
/// Why: an API server that has just started refuses everything for some seconds, until it has read who may do what.
const FINAL_REFUSALS: u32 = 6;

/// Counts refusals.
#[derive(Default)]
struct Refusals(u32);

impl Refusals {
    /// One more: whether asking again is pointless.
    fn are_final(&mut self) -> bool {
        self.0 += 1;
        self.0 >= FINAL_REFUSALS
    }
}

/// How the informers do, for status and metrics; filled when they are started.
pub(super) type InformerStatuses = Publisher<Vec<Reader<InformerStatus>>>;

/// The way to the API server, and who this replica is.
pub(super) struct Kubernetes {
    /// Carries everything that is received from and sent to the API server.
    carrier: Carrier,
    connection: Connection,
    /// Name in the lock, that of the pod.
    pub(super) identity: String,
    /// `host:port` under which other replicas reach this one.
    pub(super) address: Option<String>,
    /// Namespace of lock and snapshot.
    namespace: String,
}

/// What is known as soon as the API server answers.
pub(super) struct ClusterFacts {
    /// Its version, if it tells.
    pub(super) version: Option<ServerVersion>,
    /// The id of the cluster, if there is a way to know it.
    pub(super) id: Option<String>,
    /// The name of the cluster; empty if nobody told it.
    pub(super) name: String,
}

impl Kubernetes {
    /// Prepares the way; nothing is asked yet.
    ///
    /// Errors: no usable kubeconfig or pod environment.
    pub(super) async fn connect(settings: &ClusterSettings) -> anyhow::Result<Self> {
        let kubernetes = &settings.kubernetes;
        let carrier = Carrier::start("kubernetes", 1)?;
        let api_server = kubernetes.api_server.clone();
        let connection = carrier.handle.spawn(async move { connect(&api_server).await }).await.context("connect to Kubernetes")??;
        let advertised = kubernetes.election.advertise.as_deref();
        let url = &connection.url;
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        let address = match own_address(advertised, url.host().unwrap_or_default(), port, settings.cmd_port).await {
            Ok(address) => Some(address),
            Err(error) => {
                warn!(error = errors::chain(&error), "other replicas cannot reach this one when it leads");
                None
            }
        };
        let identity = kubernetes.election.identity.clone();
        let namespace = kubernetes.resources_namespace_in(&connection.namespace).to_owned();
        info!(identity, namespace, address, "replica in Kubernetes");
        Ok(Self { carrier, connection, identity, address, namespace })
    }

    /// Namespace of this pod, where runners live, too.
    pub(super) fn own_namespace(&self) -> &str {
        &self.connection.namespace
    }

    /// Waits until the API server answers, for ever; then asks what only it knows. `published` takes the id of the cluster.
    pub(super) async fn facts(&self, host: &Host, settings: &ClusterSettings, published: &Publisher<ClusterId>) -> ClusterFacts {
        let (client, random) = (self.connection.client.clone(), Arc::clone(&host.random));
        let version = wait_for_api_server(&client, &random).await;
        let id = self.cluster_id(published).await;
        let name = self.name_from_labels(settings).await;
        if name.is_empty() {
            warn!("Failed to auto-detect a Kubernetes cluster name. We recommend you set it manually via the cluster_name config option");
        }
        ClusterFacts { version, id, name }
    }

    /// Every replica must come to the same answer, because it becomes a tag: so a server that does not answer is asked again.
    async fn cluster_id(&self, published: &Publisher<ClusterId>) -> Option<String> {
        let source = ClusterIdSource::new(self.connection.client.clone(), &self.connection.namespace);
        let mut refusals = Refusals::default();
        loop {
            match source.get().await {
                Ok(id) => {
                    published.publish(ClusterId::Known(Arc::from(id.as_str())));
                    return Some(id);
                }
                Err(error) => {
                    let text = errors::chain(&error);
                    warn!(error = text, "the id of the cluster is not known");
                    published.publish(ClusterId::Failed(Arc::from(text)));
                    if !may_pass(&error) && refusals.are_final() {
                        return None;
                    }
                }
            }
            tokio::time::sleep(FACT_RETRY).await;
        }
    }

    /// The name of the cluster as labels of nodes tell it. Source: cluster-agent-kubernetes 5.2, step 3.
    ///
    /// Of all nodes the first one that has the label counts, and not the own one: it becomes a tag, so every replica must come to the
    /// same answer, also where only some nodes have the label.
    async fn name_from_labels(&self, settings: &ClusterSettings) -> String {
        let configured = settings.kubernetes.cluster_name_label.as_deref();
        let nodes = Api::<Node>::all(self.connection.client.clone());
        let mut labels = BTreeMap::new();
        let mut refusals = Refusals::default();
        for label in cluster_name_labels(configured) {
            loop {
                match nodes.list(&ListParams::default().labels(label).limit(1)).await {
                    Ok(found) => {
                        let value = found.items.into_iter().next().and_then(|node| node.metadata.labels?.remove(label));
                        labels.extend(value.map(|value| (Arc::from(label), Arc::from(value))));
                        break;
                    }
                    Err(error) => {
                        let error = ObjectError::classify("list", "nodes", "", &error);
                        info!(error = errors::chain(&error), label, "labels of nodes do not tell the name of the cluster");
                        if !matches!(error, ObjectError::Unavailable(_)) && refusals.are_final() {
                            break;
                        }
                    }
                }
                tokio::time::sleep(FACT_RETRY).await;
            }
        }
        cluster_name(&settings.cluster_name, &labels, configured)
    }

    /// How it is decided whether this replica leads.
    pub(super) fn election(&self, host: &Host, settings: &ClusterSettings, slices: bool) -> Election {
        let election = &settings.kubernetes.election;
        if !election.enabled {
            // Larger than that of every earlier start, wherever the pod ran.
            return Election::Alone { epoch: Epoch(u64::try_from(host.clock.unix_seconds()).unwrap_or(1)) };
        }
        if let Some(found) = &election.unknown_lock {
            warn!(found, "leader_election_default_resource is none of lease, leases, configmap, configmaps; using what the API server has");
        }
        let timings = LeaseTimings::from_lease(election.lease);
        let limit = timings.call_limit();
        let place = LockPlace { kind: election.lock, namespace: self.namespace.clone(), name: election.lock_name.clone() };
        let directory = ServiceDirectoryParts {
            client: self.connection.client.clone(),
            clock: Arc::clone(&host.clock),
            slices,
            namespace: self.namespace.clone(),
            service: settings.kubernetes.service_name.clone(),
            port: settings.cmd_port,
            limit,
        };
        Election::Contend {
            store: Arc::new(KubeLock::new(self.connection.client.clone(), place, limit)),
            candidacy: Candidacy { identity: self.identity.clone(), address: self.address.clone(), timings, release: election.release },
            directory: Some(Arc::new(ServiceDirectory::new(directory))),
            random: Arc::clone(&host.random),
        }
    }

    /// What outlives the end of all replicas.
    pub(super) fn snapshots(&self, settings: &ClusterSettings) -> Option<ConfigMapSnapshot> {
        settings.kubernetes.snapshot.then(|| ConfigMapSnapshot::new(self.connection.client.clone(), &self.namespace))
    }

    /// Starts one informer for each kind.
    pub(super) fn start_informers(
        &self,
        host: &Host,
        settings: &ClusterSettings,
        version: Option<&ServerVersion>,
        informers: Informers,
        statuses: &InformerStatuses,
    ) {
        let group = host.kernel.one_for_one("informers", None);
        let mut readers = Vec::new();
        for (kind, (handle, subscribers)) in informers.0 {
            let source = KubeWatch {
                client: self.connection.client.clone(),
                settings: WatchSettings {
                    kind,
                    namespace: self.watched_namespace(kind, settings),
                    page_size: settings.kubernetes.api_server.page_size,
                    streaming: version.is_some_and(ServerVersion::may_stream_listings),
                },
                runtime: self.carrier.handle.clone(),
                random: Arc::clone(&host.random),
                clock: Arc::clone(&host.clock),
            };
            let status = Arc::new(Publisher::new(InformerStatus::new(kind)));
            readers.push(status.reader());
            let parts = InformerParts { source: Arc::new(source), subscribers, status, clock: Arc::clone(&host.clock) };
            group.child(&handle, STATE_OWNER_CAPACITY, move || Informer::new(parts.clone()));
        }
        statuses.publish(readers);
    }

    /// Waits until every informer has listed everything, or cannot for want of a right; at most [`LISTING_LIMIT`].
    pub(super) async fn until_listed(statuses: &InformerStatuses) {
        let known = |informer: &Reader<InformerStatus>| {
            let status = informer.peek();
            status.synced || status.forbidden.is_some()
        };
        let informers = statuses.reader().current();
        let listed = async {
            while !informers.iter().all(known) {
                tokio::time::sleep(LISTING_STEP).await;
            }
        };
        if tokio::time::timeout(LISTING_LIMIT, listed).await.is_err() {
            warn!(seconds = LISTING_LIMIT.as_secs(), "not everything is listed yet, what needs it answers 503 until then");
        }
    }

    fn watched_namespace(&self, kind: Kind, settings: &ClusterSettings) -> Option<String> {
        (kind == Kind::Pods && settings.kubernetes.watch_pods == WatchPods::Own).then(|| self.connection.namespace.clone())
    }
}

/// Whether asking again may help.
fn may_pass(error: &ClusterIdError) -> bool {
    let source = match error {
        ClusterIdError::ConfigMap { source, .. } | ClusterIdError::Namespace(source) => source,
        ClusterIdError::Malformed(_) => return false,
    };
    matches!(source, ObjectError::Unavailable(_) | ObjectError::Conflict)
}

/// The informers that are needed: their handles, and who is told. Made before anything runs, so that others can hold the handles.
#[derive(Default)]
pub(super) struct Informers(BTreeMap<Kind, (Handle<Informer>, Vec<Outlet<ObjectsChanged>>)>);

impl Informers {
    /// One more subscriber of a kind; returns the informer, which is started later.
    pub(super) fn tell(&mut self, kind: Kind, subscriber: Outlet<ObjectsChanged>) -> &Handle<Informer> {
        let (handle, subscribers) = self.0.entry(kind).or_insert_with(|| (Handle::new(actor_name(kind)), Vec::new()));
        subscribers.push(subscriber);
        handle
    }
}

//! The cluster role in Kubernetes: the way to the API server, who this replica is there, and the informers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::cluster::informer::{Informer, InformerParts, actor_name};
use muster_actors::cluster::leader_election::Election;
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::kube::informer_status::InformerStatus;
use muster_actors::domain::kube::objects::Kind;
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::domain::lease::LeaseTimings;
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::messages::informer::ObjectsChanged;
use tracing::{info, warn};

use crate::app::api_server::ApiServer;
use crate::app::host::Host;
use crate::config::ClusterSettings;
use crate::config::settings::WatchPods;
use crate::errors;
use crate::kube::facts::{ClusterFacts, FactAsker};
use crate::kube::lock::{KubeLock, LockPlace, ServiceDirectory, ServiceDirectoryParts, own_address};
use crate::kube::snapshot_store::ConfigMapSnapshot;
use crate::kube::watch::{KubeWatch, WatchSettings};

/// Between two looks at the informers.
const LISTING_STEP: Duration = Duration::from_millis(20);

/// How the informers do, for status and metrics; filled when they are started.
pub(super) type InformerStatuses = Publisher<Vec<Reader<InformerStatus>>>;

/// The way to the API server, and who this replica is.
pub(super) struct Kubernetes {
    api: ApiServer,
    /// Name in the lock, that of the pod.
    pub(super) identity: String,
    /// `host:port` under which other replicas reach this one.
    pub(super) address: Option<String>,
    /// Namespace of lock and snapshot.
    namespace: String,
}

impl Kubernetes {
    /// Prepares the way; nothing is asked yet.
    ///
    /// Errors: no usable kubeconfig or pod environment.
    pub(super) async fn connect(settings: &ClusterSettings) -> anyhow::Result<Self> {
        let kubernetes = &settings.kubernetes;
        let api = ApiServer::connect(&kubernetes.api_server).await?;
        let connection = &api.connection;
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
        Ok(Self { api, identity, address, namespace })
    }

    /// Namespace of this pod, where runners live, too.
    pub(super) fn own_namespace(&self) -> &str {
        &self.api.connection.namespace
    }

    /// Waits until the API server answers, for ever; then asks what only it knows. `published` takes the id of the cluster.
    pub(super) async fn facts(&self, host: &Host, settings: &ClusterSettings, published: &Publisher<ClusterId>) -> ClusterFacts {
        let asker = FactAsker {
            client: &self.api.connection.client,
            random: &host.random,
            namespace: &self.api.connection.namespace,
            pod: &self.identity,
            cluster_name: &settings.cluster_name,
            cluster_name_label: settings.kubernetes.cluster_name_label.as_deref(),
        };
        asker.ask(published).await
    }

    /// The way to the API server.
    pub(super) fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Namespace of lock, snapshot and token of the events.
    pub(super) fn resources_namespace(&self) -> &str {
        &self.namespace
    }

    /// How it is decided whether this replica leads.
    pub(super) fn election(&self, host: &Host, settings: &ClusterSettings) -> Election {
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
            client: self.api.connection.client.clone(),
            clock: Arc::clone(&host.clock),
            slices: settings.kubernetes.discovery.use_endpoint_slices,
            namespace: self.namespace.clone(),
            service: settings.kubernetes.service_name.clone(),
            port: settings.cmd_port,
            limit,
        };
        Election::Contend {
            store: Arc::new(KubeLock::new(self.api.connection.client.clone(), place, limit)),
            candidacy: Candidacy { identity: self.identity.clone(), address: self.address.clone(), timings, release: election.release },
            directory: Some(Arc::new(ServiceDirectory::new(directory))),
            random: Arc::clone(&host.random),
        }
    }

    /// What outlives the end of all replicas.
    pub(super) fn snapshots(&self, settings: &ClusterSettings) -> Option<ConfigMapSnapshot> {
        settings.kubernetes.snapshot.then(|| ConfigMapSnapshot::new(self.api.connection.client.clone(), &self.namespace))
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
                client: self.api.connection.client.clone(),
                settings: WatchSettings {
                    kind,
                    namespace: self.watched_namespace(kind, settings),
                    page_size: settings.kubernetes.page_size,
                    streaming: version.is_some_and(ServerVersion::may_stream_listings),
                },
                runtime: self.api.carrier.handle.clone(),
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

    /// Waits until every informer has listed everything, or cannot for want of a right; at most `limit`.
    ///
    /// Why: a replica is not ready before, so that a rolling update waits for it; after that time it is nevertheless.
    pub(super) async fn until_listed(statuses: &InformerStatuses, limit: Duration) {
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
        if tokio::time::timeout(limit, listed).await.is_err() {
            warn!(seconds = limit.as_secs(), "not everything is listed yet, what needs it answers 503 until then");
        }
    }

    fn watched_namespace(&self, kind: Kind, settings: &ClusterSettings) -> Option<String> {
        (kind == Kind::Pods && settings.kubernetes.watch_pods == WatchPods::Own).then(|| self.api.connection.namespace.clone())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readiness_waits_for_the_listings_as_long_as_it_is_told() {
        let listing = Publisher::new(InformerStatus::new(Kind::Pods));
        let statuses = InformerStatuses::new(vec![listing.reader()]);
        let waits = async |seconds| {
            let until_listed = Kubernetes::until_listed(&statuses, Duration::from_secs(seconds));
            tokio::time::timeout(Duration::from_secs(60), until_listed).await.is_err()
        };
        assert!(!waits(59).await && waits(61).await);
        let mut listed = InformerStatus::new(Kind::Pods);
        listed.synced = true;
        listing.publish(listed);
        assert!(!waits(61).await);
    }
}

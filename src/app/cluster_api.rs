//! The port of the cluster role, and what it answers from.

use std::sync::Arc;

use anyhow::Context as _;
use muster_actors::balance::rebalancing::RebalancerView;
use muster_actors::cluster::kube_discovery::KubeDiscovery;
use muster_actors::cluster::metadata_mapper::MetadataMapper;
use muster_actors::cluster::metadata_reporter::MetadataReporter;
use muster_actors::cluster::self_telemetry::SelfTelemetry;
use muster_actors::cluster::wiring::Dispatching;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::lease::Leadership;
use muster_actors::domain::metadata_view::MetadataView;
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::shared::aggregator::Aggregator;
use muster_actors::shared::control_plane_probe::ControlPlaneProbe;
use muster_actors::shared::event_forwarder::EventForwarder;
use muster_actors::shared::resolver::Resolver;

use crate::api::auth::Tokens;
use crate::api::balance::BalanceRoutes;
use crate::api::body::BodyLimits;
use crate::api::cluster::{CheckRoutes, ClusterApi};
use crate::api::cluster_checks::ClusterChecks;
use crate::api::heartbeats::{GATHER, HeartbeatGatherer};
use crate::api::leader::LeaderGate;
use crate::api::listener::{ListenAddress, ListenerSettings};
use crate::api::metadata::MetadataRoutes;
use crate::api::relay::{Relay, RelayLimits};
use crate::api::replica::ReplicaRoutes;
use crate::api::world::WorldRoutes;
use crate::app::admin::{FillStatus, RoleView, admin_api};
use crate::app::host::Host;
use crate::app::kubernetes::InformerStatuses;
use crate::app::observer::CountRequests;
use crate::app::sent::Sent;
use crate::client::{ReplicaHttp, Trust};
use crate::config::ClusterSettings;
use crate::sealed_snapshots::Seal;
use crate::secrets::SecretCommand;
use crate::telemetry::sources;
use crate::telemetry::status::{BalancingSources, BalancingStatus, ClusterChecksStatus, KubernetesStatus, LeaderElectionStatus};

/// Threads that serve agents, at most. One carries 50 000 polls a second; the second keeps handshakes out of their way.
const MAX_API_WORKERS: usize = 2;

/// What is published by actors and read by threads. Made first, so that the port can answer before anything runs.
pub(super) struct Published {
    /// The assignment.
    pub(super) served: Arc<Publisher<ServedTable>>,
    /// Who leads.
    pub(super) leadership: Arc<Publisher<Leadership>>,
    /// What runners told.
    pub(super) figures: Arc<Publisher<Figures>>,
    /// What balancing did.
    pub(super) balance: Arc<Publisher<RebalancerView>>,
    /// What discovery found.
    pub(super) discovery: Arc<Publisher<DiscoveryReport>>,
    /// What was wrong with the assignment files.
    pub(super) findings: Arc<Publisher<Vec<String>>>,
    /// Pods and their services, nodes, namespaces.
    pub(super) metadata: Arc<Publisher<MetadataView>>,
    /// The id of the cluster.
    pub(super) cluster_id: Publisher<ClusterId>,
    /// How the informers do.
    pub(super) informers: Arc<InformerStatuses>,
    /// What is sent.
    pub(super) sent: Sent,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            served: Arc::new(Publisher::new(ServedTable::default())),
            leadership: Arc::new(Publisher::new(Leadership::default())),
            figures: Arc::new(Publisher::new(Figures::default())),
            balance: Arc::new(Publisher::new(RebalancerView::default())),
            discovery: Arc::new(Publisher::new(DiscoveryReport::default())),
            findings: Arc::new(Publisher::new(Vec::new())),
            metadata: Arc::new(Publisher::new(MetadataView::default())),
            cluster_id: Publisher::new(ClusterId::default()),
            informers: Arc::new(Publisher::new(Vec::new())),
            sent: Sent::default(),
        }
    }
}

/// Handles of the actors of the role, before they run.
pub(super) struct ClusterActors {
    /// Those that decide.
    pub(super) dispatching: Dispatching,
    /// Knows which configs exist.
    pub(super) resolver: Handle<Resolver>,
    /// Maps pods to services.
    pub(super) mapper: Handle<MetadataMapper>,
    /// Finds configs in Kubernetes objects.
    pub(super) kube_discovery: Handle<KubeDiscovery>,
    /// Gathers what is sent.
    pub(super) aggregator: Handle<Aggregator>,
    /// Reports that this replica runs.
    pub(super) self_telemetry: Handle<SelfTelemetry>,
    /// Reports how this replica is configured.
    pub(super) metadata_reporter: Handle<MetadataReporter>,
    /// Forwards events.
    pub(super) event_forwarder: Handle<EventForwarder>,
    /// Watches the control plane.
    pub(super) control_plane_probe: Handle<ControlPlaneProbe>,
}

impl Default for ClusterActors {
    fn default() -> Self {
        Self {
            dispatching: Dispatching::default(),
            resolver: Handle::new("Resolver"),
            mapper: Handle::new("MetadataMapper"),
            kube_discovery: Handle::new("KubeDiscovery"),
            aggregator: Handle::new("Aggregator"),
            self_telemetry: Handle::new("SelfTelemetry"),
            metadata_reporter: Handle::new("MetadataReporter"),
            event_forwarder: Handle::new("EventForwarder"),
            control_plane_probe: Handle::new("ControlPlaneProbe"),
        }
    }
}

/// This replica among others.
pub(super) struct Peer {
    /// Name in the lock.
    pub(super) identity: String,
    /// `host:port` under which the others reach it.
    pub(super) address: Option<String>,
    /// Which certificates of others are believed.
    pub(super) trust: Trust,
    /// The way to the others.
    pub(super) client: ReplicaHttp,
    /// What snapshots are encrypted with.
    pub(super) seal: Seal,
    /// Most connections to the leader.
    pub(super) max_connections: usize,
}

/// What the port is opened with.
pub(super) struct Api<'a> {
    /// Who may ask.
    pub(super) tokens: Tokens,
    /// What it answers from.
    pub(super) published: &'a Published,
    /// Whom it asks.
    pub(super) actors: &'a ClusterActors,
    /// `None` if there are no other replicas.
    pub(super) peer: Option<&'a Peer>,
    /// What must not be shown.
    pub(super) secrets: Option<SecretCommand>,
}

/// Opens the port of agents and command line. It answers 503 until there is something to answer from.
///
/// Errors: the port is taken, or certificates cannot be read.
pub(super) fn open_api(host: &mut Host, settings: &ClusterSettings, parts: Api<'_>) -> anyhow::Result<()> {
    let Api { tokens, published, actors, peer, secrets } = parts;
    let (common, enabled) = (&settings.common, settings.cluster_checks.enabled);
    let dispatching = &actors.dispatching;
    let shown = RoleView {
        hostname: published.sent.hostname.reader(),
        discovery: published.discovery.reader(),
        journal: enabled.then(|| dispatching.journal.outlet()),
        secrets,
        fill_status: fill_status(host, settings, published, peer.is_some()),
    };
    let leader = LeaderGate::new(published.leadership.reader(), Arc::clone(&host.clock));
    let relay = |peer: &Peer| {
        let limits = RelayLimits { connections: peer.max_connections, ..RelayLimits::default() };
        Relay::try_new(peer.address.clone(), &peer.trust, limits)
    };
    let api = ClusterApi {
        tokens,
        checks: enabled.then(|| Arc::new(check_routes(settings, published, actors, &leader))),
        relay: peer.map(relay).transpose()?,
        replicas: peer.map(|_| ReplicaRoutes { fetches: dispatching.replica.outlet(), offers: dispatching.replica.outlet(), leader }),
        kubernetes: (!settings.stand_alone).then(|| MetadataRoutes {
            view: published.metadata.reader(),
            cluster_id: published.cluster_id.reader(),
            host_alias_annotations: settings.kubernetes.host_alias_annotations.clone(),
        }),
        admin: admin_api(host, common, shown)?,
        observer: Arc::new(CountRequests(host.metrics.clone())),
        clock: Arc::clone(&host.clock),
        body_limits: BodyLimits::default(),
    };
    let tls = host.tls(common, None)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_API_WORKERS);
    let listener = ListenerSettings { workers, ..ListenerSettings::secure("api", ListenAddress::All(settings.cmd_port), tls) };
    host.serve(listener, Arc::new(api)).context("`cluster_agent.cmd_port` (set it to a free port)")
}

/// What there is where checks are dispatched.
fn check_routes(settings: &ClusterSettings, published: &Published, actors: &ClusterActors, leader: &LeaderGate) -> CheckRoutes {
    let Dispatching { membership, dispatcher, rebalancer, .. } = &actors.dispatching;
    CheckRoutes {
        checks: ClusterChecks {
            served: published.served.reader(),
            gatherer: Arc::new(HeartbeatGatherer::new(membership.outlet(), GATHER)),
            heartbeats: membership.outlet(),
            polls: dispatcher.outlet(),
            leader: leader.clone(),
            grant: settings.cluster_checks.node_expiration,
        },
        balance: BalanceRoutes {
            served: published.served.reader(),
            evaluate: rebalancer.outlet(),
            approve: rebalancer.outlet(),
            pending: rebalancer.outlet(),
            isolate: rebalancer.outlet(),
            command: rebalancer.outlet(),
            explain_check: rebalancer.outlet(),
            explain_node: rebalancer.outlet(),
        },
        world: WorldRoutes {
            served: published.served.reader(),
            figures: published.figures.reader(),
            policy: Arc::new(settings.balance.policy.clone()),
            pods: !settings.stand_alone,
        },
    }
}

/// The sections of the status that only this role has.
fn fill_status(host: &Host, settings: &ClusterSettings, published: &Published, elects: bool) -> FillStatus {
    let (table, findings, leadership) = (published.served.reader(), published.findings.reader(), published.leadership.reader());
    let informers = published.informers.reader();
    let (figures, balance, policy) = (published.figures.reader(), published.balance.reader(), settings.balance.policy.clone());
    let (clock, fill_sent) = (Arc::clone(&host.clock), published.sent.fill_status(settings, published.discovery.reader()));
    let enabled = settings.cluster_checks.enabled;
    let (elects, stand_alone) = (elects && (settings.stand_alone || settings.kubernetes.election.enabled), settings.stand_alone);
    Arc::new(move |document| {
        fill_sent(document);
        if elects {
            document.leader_election = Some(LeaderElectionStatus::of(&leadership.peek()));
        }
        document.kubernetes = (!stand_alone).then(|| KubernetesStatus::of(informers.peek().iter().map(Reader::current)));
        document.cluster_checks = enabled.then(|| {
            let repaired_files = (*findings.current()).clone();
            ClusterChecksStatus { repaired_files, ..ClusterChecksStatus::of(&table.peek()) }.beside(&leadership.peek())
        });
        let sources = BalancingSources {
            served: &table.current(),
            figures: &figures.current(),
            view: &balance.current(),
            policy: &policy,
            now_unix_nanos: clock.unix_nanos(),
            now: clock.monotonic(),
        };
        document.balancing = BalancingStatus::of(sources).filter(|_| enabled);
    })
}

/// Registers the sources of the role's metrics.
pub(super) fn add_metrics(host: &Host, settings: &ClusterSettings, published: &Published) {
    if settings.cluster_checks.enabled {
        let table = published.served.reader();
        host.metrics.add_source(move |scrape| sources::cluster_checks(&table.current(), scrape));
        let (table, figures, balance) = (published.served.reader(), published.figures.reader(), published.balance.reader());
        let clock = Arc::clone(&host.clock);
        host.metrics.add_source(move |scrape| {
            sources::balance(&table.current(), &figures.current(), &balance.current(), clock.monotonic(), scrape);
        });
    }
    // Who leads forwards events, whether anything is dispatched or not.
    if settings.cluster_checks.enabled || !settings.stand_alone {
        let (leadership, clock) = (published.leadership.reader(), Arc::clone(&host.clock));
        host.metrics.add_source(move |scrape| sources::leadership(&leadership.peek(), clock.monotonic(), scrape));
    }
    published.sent.add_metrics(host);
    let report = published.discovery.reader();
    host.metrics.add_source(move |scrape| sources::discovery(&report.peek(), scrape));
    let informers = published.informers.reader();
    host.metrics.add_source(move |scrape| {
        for informer in informers.current().iter() {
            sources::informer(&informer.peek(), scrape);
        }
    });
}

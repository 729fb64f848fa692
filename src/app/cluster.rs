//! The cluster role: discovers, dispatches, answers agents.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use muster_actors::cluster::dispatcher_parts::DispatchPolicy;
use muster_actors::cluster::leader_election::{Election, RELEASE_LIMIT};
use muster_actors::cluster::wiring::{Dispatching, DispatchingParts, Storage};
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::lease::Leadership;
use muster_actors::domain::patch::PatchOptions;
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::health::HealthKind;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::messages::leader_election::Release;
use muster_actors::shared::resolver::{DiscoverySubscriber, Resolver};
use tracing::{info, warn};

use crate::api::admin::AdminApi;
use crate::api::auth::Tokens;
use crate::api::body::BodyLimits;
use crate::api::cluster::ClusterApi;
use crate::api::cluster_checks::ClusterChecks;
use crate::api::heartbeats::{GATHER, HeartbeatRelay};
use crate::api::leader::LeaderGate;
use crate::api::listener::{ListenAddress, ListenerSettings};
use crate::api::version::AgentVersion;
use crate::app::admin::RoleAdmin;
use crate::app::discovery::{self, file_source};
use crate::app::host::Host;
use crate::app::observer::CountRequests;
use crate::autodiscovery::SecretCommand;
use crate::cli::StartCluster;
use crate::config::tokens::{read_or_create_cluster_token, read_or_create_local_token};
use crate::config::{ClusterSettings, Config};
use crate::standalone::assignment_store::FileAssignmentStore;
use crate::standalone::epoch_counter::EpochCounter;
use crate::standalone::state_folder::StateFolder;
use crate::telemetry::status::ClusterChecksStatus;
use crate::telemetry::{build, sources};

/// Threads that serve agents, at most. One carries 50 000 polls a second; the second keeps handshakes out of their way.
const MAX_API_WORKERS: usize = 2;

/// Runs the role until it is told to stop.
pub(super) async fn serve(start: StartCluster) -> anyhow::Result<ExitCode> {
    let StartCluster { config, settings } = start;
    // Two replicas that both believe to be alone would run every check twice.
    anyhow::ensure!(
        settings.stand_alone,
        "Kubernetes found, but this version runs stand-alone only; set muster.standalone: true for one replica"
    );
    let tokens = tokens(&config, &settings)?;
    let mut host = Host::open(config, &settings.common)?;
    if let Some(name) = &settings.invalid_cluster_name {
        warn!(found = name, "cluster_name is not valid and not used, allowed: lower-case letters, digits, - and _, labels joined by dots");
    }

    let served = Arc::new(Publisher::new(ServedTable::default()));
    let leadership = Arc::new(Publisher::new(Leadership::default()));
    let report = Arc::new(Publisher::new(DiscoveryReport::default()));
    let dispatching = Dispatching::default();
    let resolver = Handle::<Resolver>::new("Resolver");
    let findings = Arc::new(Publisher::new(Vec::new()));
    let secrets = discovery::secret_command(&host);
    let shown = Shown { served: &served, report: &report, leadership: &leadership, findings: &findings, secrets: secrets.clone() };
    open_api(&mut host, &settings, tokens, &shown, &dispatching)?;
    add_metrics(&host, &settings, &served, &leadership, &report);

    let folder = Arc::new(StateFolder::open(&settings.common.paths.run)?);
    let epoch = EpochCounter::open(&folder, &*host.clock)?.epoch();
    let store = FileAssignmentStore::open(folder, Arc::clone(&host.clock))?.showing_findings(findings);
    let mut subscribers = Vec::new();
    if settings.cluster_checks.enabled {
        let parts = DispatchingParts {
            clock: Arc::clone(&host.clock),
            patch: Arc::new(patch_options(&settings)),
            policy: DispatchPolicy {
                warmup: settings.cluster_checks.warmup,
                unscheduled_threshold: settings.cluster_checks.unscheduled_threshold,
                node_expiration: settings.cluster_checks.node_expiration,
                advanced_dispatching: settings.cluster_checks.advanced_dispatching,
            },
            storage: Storage::Local(Arc::new(store)),
            election: Election::Alone { epoch },
            leadership,
            published: Arc::clone(&served),
            replay: resolver.outlet(),
            watched: None,
        };
        dispatching.start(&host.kernel, parts);
        let dispatcher = &dispatching.dispatcher;
        subscribers.push(DiscoverySubscriber { started: dispatcher.outlet(), configs: dispatcher.outlet(), synced: dispatcher.outlet() });
    }
    let files = file_source(&host, &settings.common, resolver.outlet())?;
    let secrets = discovery::secret_backend(secrets.as_ref());
    let make_resolver = discovery::resolver(&host, &settings.common, vec![files as _], subscribers, report, secrets);
    host.kernel.one_for_one("discovery", None).child(&resolver, STATE_OWNER_CAPACITY, make_resolver);
    host.kernel.health().flag(HealthKind::Readiness, "components-started").set(true);
    Host::say_role(&settings.common);
    info!("All components started. Cluster Agent now running.");

    host.stop.clone().wait().await.context("receive signals")?;
    let election = dispatching.leader_election;
    let release = async move {
        // Alone there is nothing to give up; else the lease runs out by itself if this fails.
        let _ = election.ask(Release, 2 * RELEASE_LIMIT).await;
    };
    Ok(host.close(release).await)
}

fn tokens(config: &Config, settings: &ClusterSettings) -> anyhow::Result<Tokens> {
    let cluster = read_or_create_cluster_token(config)?;
    let local = read_or_create_local_token(&settings.common.paths.local_token)?;
    Ok(Tokens { cluster: Some(cluster), local: Some(local) })
}

fn patch_options(settings: &ClusterSettings) -> PatchOptions {
    let checks = &settings.cluster_checks;
    let mut global_tags = settings.common.tags.clone();
    global_tags.extend(checks.extra_tags.iter().cloned());
    PatchOptions {
        global_tags,
        cluster_tag_name: checks.cluster_tag_name.clone(),
        cluster_name: Some(settings.cluster_name_tag.clone()).filter(|name| !name.is_empty()),
        disable_cluster_name_tag_key: checks.disable_cluster_name_tag_key,
        // An id belongs to a Kubernetes cluster (cluster-checks 5.3).
        cluster_id: None,
        exclude_checks: checks.exclude_checks.iter().cloned().collect::<BTreeSet<_>>(),
    }
}

/// What the port answers from.
struct Shown<'a> {
    served: &'a Publisher<ServedTable>,
    report: &'a Publisher<DiscoveryReport>,
    leadership: &'a Publisher<Leadership>,
    /// What was wrong with the assignment files.
    findings: &'a Publisher<Vec<String>>,
    /// What must not be shown.
    secrets: Option<SecretCommand>,
}

/// Opens the port of agents and command line. It answers 503 until there is something to answer from.
fn open_api(
    host: &mut Host,
    settings: &ClusterSettings,
    tokens: Tokens,
    shown: &Shown<'_>,
    dispatching: &Dispatching,
) -> anyhow::Result<()> {
    let common = &settings.common;
    let leadership = shown.leadership.reader();
    let (table, findings, enabled) = (shown.served.reader(), shown.findings.reader(), settings.cluster_checks.enabled);
    let admin = RoleAdmin {
        runtime: host.runtime.clone(),
        settings: common.clone(),
        clock: Arc::clone(&host.clock),
        started_unix_nanos: host.clock.unix_nanos(),
        discovery: shown.report.reader(),
        registry: host.kernel.registry(),
        stop: host.stop.clone(),
        journal: enabled.then(|| dispatching.journal.outlet()),
        secrets: shown.secrets.clone(),
        fill_status: Arc::new(move |document| {
            document.cluster_checks = enabled.then(|| {
                let repaired_files = (*findings.current()).clone();
                ClusterChecksStatus { repaired_files, ..ClusterChecksStatus::of(&table.peek()) }.beside(&leadership.peek())
            });
        }),
    };
    let api = ClusterApi {
        tokens,
        checks: enabled.then(|| ClusterChecks {
            served: shown.served.reader(),
            relay: Arc::new(HeartbeatRelay::new(dispatching.membership.outlet(), GATHER)),
            heartbeats: dispatching.membership.outlet(),
            polls: dispatching.dispatcher.outlet(),
            leader: LeaderGate::new(shown.leadership.reader(), Arc::clone(&host.clock)),
        }),
        relay: None,
        replicas: None,
        kubernetes: None,
        admin: AdminApi {
            version: AgentVersion::parse(&common.compat_version, build::COMMIT)?.body(),
            hostname: common.hostname.clone(),
            admin: Arc::new(admin),
            health: host.kernel.health(),
            request_timeout: common.request_timeout,
        },
        observer: Arc::new(CountRequests(host.metrics.clone())),
        clock: Arc::clone(&host.clock),
        body_limits: BodyLimits::default(),
    };
    let tls = host.tls(common, None)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_API_WORKERS);
    let listener = ListenerSettings { workers, ..ListenerSettings::secure("api", ListenAddress::All(settings.cmd_port), tls) };
    host.serve(listener, Arc::new(api)).context("`cluster_agent.cmd_port` (set it to a free port)")
}

fn add_metrics(
    host: &Host,
    settings: &ClusterSettings,
    served: &Publisher<ServedTable>,
    leadership: &Publisher<Leadership>,
    report: &Publisher<DiscoveryReport>,
) {
    if settings.cluster_checks.enabled {
        let table = served.reader();
        host.metrics.add_source(move |scrape| sources::cluster_checks(&table.current(), scrape));
        let (leadership, clock) = (leadership.reader(), Arc::clone(&host.clock));
        host.metrics.add_source(move |scrape| sources::leadership(&leadership.peek(), clock.monotonic(), scrape));
    }
    let report = report.reader();
    host.metrics.add_source(move |scrape| sources::discovery(&report.peek(), scrape));
}

//! The cluster role: discovers, dispatches, answers agents.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use muster_actors::cluster::dispatcher::parts::DispatchPolicy;
use muster_actors::cluster::kube_discovery::{KubeDiscovery, KubeDiscoveryParts, discovery_sources};
use muster_actors::cluster::leader_election::{Election, LeaderElection, LeaderElectionParts, RELEASE_LIMIT};
use muster_actors::cluster::membership::WatchedNodes;
use muster_actors::cluster::metadata_mapper::{MetadataMapper, MetadataMapperParts};
use muster_actors::cluster::wiring::{Balancing, DispatchingParts, Storage};
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::kube::objects::Kind;
use muster_actors::domain::kube::plan::DiscoveryPlan;
use muster_actors::domain::lease::LeaseTimings;
use muster_actors::domain::patch::PatchOptions;
use muster_actors::kernel::mailbox::STATE_OWNER_CAPACITY;
use muster_actors::messages::leader_election::Release;
use muster_actors::ports::{DiscoverySource, SnapshotStore};
use muster_actors::shared::resolver::DiscoverySubscriber;
use tracing::{info, warn};

use crate::api::auth::Tokens;
use crate::app::carrier::Carrier;
use crate::app::cluster_api::{Api, ClusterActors, Peer, Published, add_metrics, open_api};
use crate::app::cluster_outputs::ClusterOutputs;
use crate::app::discovery::{self, file_source};
use crate::app::host::Host;
use crate::app::kubernetes::{Informers, Kubernetes};
use crate::app::sent::nobody_collects;
use crate::autodiscovery::{FileWatch, Listeners};
use crate::cli::Start;
use crate::client::{ReplicaHttp, RunnerHttp, Trust};
use crate::config::settings::WatchPods;
use crate::config::tokens::{read_or_create_cluster_token, read_or_create_local_token};
use crate::config::{ClusterSettings, Config};
use crate::kube::facts::ClusterFacts;
use crate::sealed_snapshots::{Seal, SealedSnapshots};
use crate::standalone::assignment_store::FileAssignmentStore;
use crate::standalone::epoch_counter::EpochCounter;
use crate::standalone::file_lock::FileLock;
use crate::standalone::snapshot_file::FileSnapshotStore;
use crate::standalone::state_folder::StateFolder;
use crate::telemetry::build;

/// Runs the role until it is told to stop.
pub(super) async fn serve(start: Start<ClusterSettings>) -> anyhow::Result<ExitCode> {
    let Start { config, mut settings } = start;
    let tokens = tokens(&config, &settings)?;
    let mut host = Host::open(config, &settings.common)?;
    if let Some(name) = &settings.invalid_cluster_name {
        warn!(found = name, "cluster_name is not valid and not used, allowed: lower-case letters, digits, - and _, labels joined by dots");
    }
    if settings.stand_alone {
        // A config of the check is told of when it is found.
        for problem in nobody_collects(settings.kubernetes.events.collect, &DiscoveryReport::default()) {
            warn!("{problem}");
        }
    }
    let kubernetes = if settings.stand_alone { None } else { Some(Kubernetes::connect(&settings).await?) };
    let peer = peer(&settings, &tokens, kubernetes.as_ref())?;
    let runners = settings.cluster_checks.enabled.then(|| Runners::open(&settings, &tokens)).transpose()?;
    let published = Published::default();
    published.sent.hostname.publish(settings.common.hostname.clone());
    let actors = ClusterActors::default();
    let secrets = discovery::secret_command(&host);
    open_api(&mut host, &settings, Api { tokens, published: &published, actors: &actors, peer: peer.as_ref(), secrets: secrets.clone() })?;
    add_metrics(&host, &settings, &published);

    let stop = host.stop.clone();
    let mut stopped = pin!(stop.wait());
    let facts = match &kubernetes {
        None => None,
        Some(kubernetes) => tokio::select! {
            facts = kubernetes.facts(&host, &settings, &published.cluster_id) => Some(facts),
            told = &mut stopped => {
                told.context("receive signals")?;
                return Ok(host.close(async {}).await);
            }
        },
    };
    if let Some(facts) = &facts {
        take_in(&mut settings, facts);
        published.sent.hostname.publish(settings.common.hostname.clone());
    }
    let ground = Ground { host: &host, settings: &settings, published: &published, actors: &actors };
    let Seen { mut sources, files, watched } = match (&kubernetes, &facts) {
        (Some(kubernetes), Some(facts)) => ground.watch_kubernetes(kubernetes, facts)?,
        _ => Seen { sources: Vec::new(), files: file_source(&host, &settings.common, actors.resolver.outlet().into())?, watched: None },
    };
    sources.push(files as _);
    let cluster = kubernetes.as_ref().zip(facts.as_ref());
    let (sent, mut subscribers) = ClusterOutputs::start(&host, &settings, (&published, &actors), cluster)?;
    if let Some(runners) = &runners {
        ground.dispatch(kubernetes.as_ref(), peer.as_ref(), facts.as_ref(), watched, runners)?;
        subscribers.push(DiscoverySubscriber::of(&actors.dispatching.dispatcher));
    } else if let Some(kubernetes) = &kubernetes {
        ground.elect(kubernetes);
    }
    let backend = discovery::secret_backend(secrets.as_ref());
    let make_resolver = discovery::resolver(&host, &settings.common, sources, subscribers, Arc::clone(&published.discovery), backend);
    host.kernel.one_for_one("discovery", None).child(&actors.resolver, STATE_OWNER_CAPACITY, make_resolver);
    Host::say_role(&settings.common);
    info!("All components started. Cluster Agent now running.");
    let ready = async {
        Kubernetes::until_listed(&published.informers, settings.kubernetes.listing_limit).await;
        host.started.set(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = stopped => told.context("receive signals")?,
        () = ready => {}
    }
    // Before the lock is given up: how far events are safe is for the leader to store.
    sent.finish().await;
    // Then at once, so that the next leader need not wait for what this process still has to end. If it fails, the lease runs out.
    let _ = actors.dispatching.leader_election.ask(Release, 2 * RELEASE_LIMIT).await;
    Ok(host.close(async {}).await)
}

/// What the API server told changes what was configured, before anything that depends on it starts.
fn take_in(settings: &mut ClusterSettings, facts: &ClusterFacts) {
    settings.common.name_host_after_node(&facts.node, &facts.name);
    settings.intake.hostname.clone_from(&settings.common.hostname);
    settings.kubernetes.discovery.limit_to(facts.version.as_ref());
}

fn tokens(config: &Config, settings: &ClusterSettings) -> anyhow::Result<Tokens> {
    let cluster = read_or_create_cluster_token(config)?;
    let local = read_or_create_local_token(&settings.common.paths.local_token)?;
    Ok(Tokens { cluster: Some(cluster), local: Some(local) })
}

/// Who this replica is among others; `None` where no copy of the assignment can be elsewhere (stand-alone without a lock file).
///
/// Errors: the certificates of the trust chain cannot be read.
fn peer(settings: &ClusterSettings, tokens: &Tokens, kubernetes: Option<&Kubernetes>) -> anyhow::Result<Option<Peer>> {
    let election = &settings.kubernetes.election;
    let (identity, address) = match (kubernetes, &settings.lock_file) {
        (Some(kubernetes), _) => (kubernetes.identity.clone(), kubernetes.address.clone()),
        (None, Some(_)) => {
            let address = election.advertise.clone().unwrap_or_else(|| format!("127.0.0.1:{}", settings.cmd_port));
            // Several may run on one machine.
            let identity =
                if election.identity_told { election.identity.clone() } else { format!("{}:{}", election.identity, settings.cmd_port) };
            (identity, Some(address))
        }
        (None, None) => return Ok(None),
    };
    let trust = Trust::from_settings(&settings.common.tls)?;
    let token = tokens.cluster.as_ref().context("replicas need the cluster token")?;
    let client = ReplicaHttp::try_new(token, &trust, build::VERSION)?;
    let seal = Seal::try_new(token)?;
    Ok(Some(Peer { identity, address, trust, client, seal, max_connections: election.max_leader_connections }))
}

fn sealed(store: impl SnapshotStore + 'static, peer: &Peer) -> Arc<dyn SnapshotStore> {
    Arc::new(SealedSnapshots::new(store, peer.seal.clone()))
}

/// The way to the statistics of runners.
struct Runners {
    /// Carries everything that is received from and sent to them; there as long as the role.
    _carrier: Carrier,
    client: RunnerHttp,
}

impl Runners {
    /// Errors: no thread can be started, or the token fits into no header.
    fn open(settings: &ClusterSettings, tokens: &Tokens) -> anyhow::Result<Self> {
        let token = tokens.cluster.as_ref().context("runners need the cluster token")?;
        let carrier = Carrier::start("runners", 1).context("start the thread of calls to runners")?;
        let client = RunnerHttp::try_new(token, settings.balance.runners_port, build::VERSION, carrier.handle.clone())?;
        Ok(Self { _carrier: carrier, client })
    }
}

/// Where discovery and liveness get their facts from.
struct Seen {
    sources: Vec<Arc<dyn DiscoverySource>>,
    files: Arc<FileWatch>,
    watched: Option<WatchedNodes>,
}

/// What the parts of the role are built on.
#[derive(Clone, Copy)]
struct Ground<'a> {
    host: &'a Host,
    settings: &'a ClusterSettings,
    published: &'a Published,
    actors: &'a ClusterActors,
}

impl Ground<'_> {
    /// Starts what watches Kubernetes objects: informers of the kinds that the enabled features need, discovery and metadata.
    fn watch_kubernetes(&self, kubernetes: &Kubernetes, facts: &ClusterFacts) -> anyhow::Result<Seen> {
        let Self { host, settings, published, actors } = self;
        let plan = Arc::new(DiscoveryPlan::new(&settings.kubernetes.discovery));
        for finding in &plan.findings {
            warn!(%finding, "a setting of discovery is not used");
        }
        let mut informers = Informers::default();
        let asked: BTreeMap<_, _> =
            plan.kinds().into_iter().map(|kind| (kind, informers.tell(kind, actors.kube_discovery.outlet()).outlet())).collect();
        let pods = settings.kubernetes.watch_pods != WatchPods::Off;
        let mapped = [
            Some(Kind::Nodes),
            Some(Kind::Namespaces),
            settings.kubernetes.metadata.then_some(plan.addresses.kind()),
            pods.then_some(Kind::Pods),
        ];
        let mapped = mapped.into_iter().flatten().map(|kind| (kind, informers.tell(kind, actors.mapper.outlet()).outlet())).collect();
        let watched = (pods && settings.cluster_checks.enabled).then(|| WatchedNodes {
            namespace: kubernetes.own_namespace().to_owned(),
            cluster_name: facts.name.clone(),
            informers: [Kind::Pods, Kind::Nodes]
                .into_iter()
                .map(|kind| informers.tell(kind, actors.dispatching.membership.outlet()).outlet())
                .collect(),
        });
        let listeners = Listeners { listings: actors.resolver.outlet(), templates: Some(actors.kube_discovery.outlet()) };
        let files = file_source(host, &settings.common, listeners)?;

        let group = host.kernel.one_for_one("kubernetes", None);
        let mapper = MetadataMapperParts {
            published: Arc::clone(&published.metadata),
            informers: mapped,
            map_unready: settings.kubernetes.map_unready,
        };
        group.child(&actors.mapper, STATE_OWNER_CAPACITY, move || MetadataMapper::new(mapper.clone()));
        let discovery = KubeDiscoveryParts {
            plan: Arc::clone(&plan),
            informers: asked,
            files: Arc::clone(&files) as _,
            sources: actors.resolver.outlet(),
            services: actors.resolver.outlet(),
        };
        group.child(&actors.kube_discovery, STATE_OWNER_CAPACITY, move || KubeDiscovery::new(discovery.clone()));
        kubernetes.start_informers(host, settings, facts.version.as_ref(), informers, &published.informers);
        Ok(Seen { sources: discovery_sources(&plan, &actors.kube_discovery.outlet()), files, watched })
    }

    /// Starts the election alone, where nothing is dispatched: somebody has to forward events.
    fn elect(&self, kubernetes: &Kubernetes) {
        let Self { host, settings, published, actors } = self;
        let parts = LeaderElectionParts {
            clock: Arc::clone(&host.clock),
            election: kubernetes.election(host, settings),
            published: Arc::clone(&published.leadership),
            subscribers: Vec::new(),
        };
        let group = host.kernel.one_for_one("election", None);
        group.child(&actors.dispatching.leader_election, STATE_OWNER_CAPACITY, move || LeaderElection::new(parts.clone()));
    }

    /// Starts what decides: alone on the own disk, or with other replicas behind one lock.
    fn dispatch(
        &self,
        kubernetes: Option<&Kubernetes>,
        peer: Option<&Peer>,
        facts: Option<&ClusterFacts>,
        watched: Option<WatchedNodes>,
        runners: &Runners,
    ) -> anyhow::Result<()> {
        let Self { host, settings, published, actors } = self;
        let replicated = |peer: &Peer, snapshots: Option<Arc<dyn SnapshotStore>>| Storage::Replicated {
            identity: peer.identity.clone(),
            client: Arc::new(peer.client.clone()),
            snapshots,
        };
        let (election, storage) = match (kubernetes, peer, &settings.lock_file) {
            (Some(kubernetes), Some(peer), _) => {
                let snapshots = kubernetes.snapshots(settings).map(|store| sealed(store, peer));
                (kubernetes.election(host, settings), replicated(peer, snapshots))
            }
            (None, Some(peer), Some(file)) => {
                let timings = LeaseTimings::from_lease(settings.kubernetes.election.lease);
                let election = Election::Contend {
                    store: Arc::new(FileLock::new(file.clone(), timings.call_limit())),
                    candidacy: Candidacy {
                        identity: peer.identity.clone(),
                        address: peer.address.clone(),
                        timings,
                        release: settings.kubernetes.election.release,
                    },
                    directory: None,
                    random: Arc::clone(&host.random),
                };
                let mut snapshot = file.clone().into_os_string();
                snapshot.push(".snapshot");
                (election, replicated(peer, Some(sealed(FileSnapshotStore::new(snapshot.into()), peer))))
            }
            _ => {
                let folder = Arc::new(StateFolder::open(&settings.common.paths.run)?);
                let epoch = EpochCounter::open(&folder, &*host.clock)?.epoch();
                let store = FileAssignmentStore::open(folder, Arc::clone(&host.clock))?.showing_findings(Arc::clone(&published.findings));
                (Election::Alone { epoch }, Storage::Local(Arc::new(store)))
            }
        };
        let checks = &settings.cluster_checks;
        let parts = DispatchingParts {
            clock: Arc::clone(&host.clock),
            patch: Arc::new(patch_options(settings, facts)),
            policy: DispatchPolicy {
                warmup: checks.warmup,
                unscheduled_threshold: checks.unscheduled_threshold,
                node_expiration: checks.node_expiration,
                advanced_dispatching: checks.advanced_dispatching,
                quarantine: settings.balance.quarantine,
            },
            storage,
            election,
            leadership: Arc::clone(&published.leadership),
            published: Arc::clone(&published.served),
            replay: actors.resolver.outlet(),
            watched,
            balancing: Balancing {
                policy: settings.balance.policy.clone(),
                // Without it their statistics are for nothing, as with stock.
                runners: checks.advanced_dispatching.then(|| Arc::new(runners.client.clone()) as _),
                figures: Arc::clone(&published.figures),
                published: Arc::clone(&published.balance),
                ..Balancing::default()
            },
        };
        actors.dispatching.start(&host.kernel, parts);
        Ok(())
    }
}

fn patch_options(settings: &ClusterSettings, facts: Option<&ClusterFacts>) -> PatchOptions {
    let checks = &settings.cluster_checks;
    let name = facts.map_or(&settings.cluster_name, |facts| &facts.name);
    PatchOptions {
        global_tags: settings.global_tags(),
        cluster_tag_name: checks.cluster_tag_name.clone(),
        cluster_name: Some(settings.cluster_name_tag(name)).filter(|name| !name.is_empty()),
        disable_cluster_name_tag_key: checks.disable_cluster_name_tag_key,
        // An id belongs to a Kubernetes cluster (cluster-checks 5.3).
        cluster_id: facts.and_then(|facts| facts.id.clone()),
        exclude_checks: checks.exclude_checks.iter().cloned().collect::<BTreeSet<_>>(),
        runs_apiserver_check: facts.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::kube::version::ServerVersion;

    use super::*;
    use crate::config::Role;

    #[test]
    fn a_server_without_slices_is_asked_for_none_wherever_the_setting_is_read() {
        let slices_with = |version: &str| {
            let mut settings = ClusterSettings::from_config(&Config::defaults(Role::Cluster)).unwrap();
            settings.kubernetes.discovery.use_endpoint_slices = true;
            take_in(&mut settings, &ClusterFacts { version: ServerVersion::parse(version), ..ClusterFacts::default() });
            settings.kubernetes.discovery.use_endpoint_slices
        };
        assert!(!slices_with("v1.20.15"));
        assert!(slices_with("v1.21.0") && slices_with("unknown"));
    }
}

//! One life of a replica: a process with the production actors of the cluster role.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::dispatcher::parts::DispatchPolicy;
use crate::cluster::informer::{Informer, InformerParts};
use crate::cluster::leader_election::{Election, RELEASE_LIMIT};
use crate::cluster::membership::WatchedNodes;
use crate::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use crate::domain::contender::Candidacy;
use crate::domain::discovery::DiscoveryReport;
use crate::domain::kube::informer_status::InformerStatus;
use crate::domain::kube::objects::Kind;
use crate::domain::lease::{Leadership, LeaseTimings};
use crate::domain::patch::PatchOptions;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::supervised::Observe;
use crate::kernel::supervisor::Kernel;
use crate::kernel::universe::Universe;
use crate::messages::dispatcher::ApplyPlan;
use crate::messages::leader_election::Release;
use crate::ports::DiscoverySource;
use crate::shared::resolver::{DiscoverySubscriber, Resolver};
use crate::sim::discovery::{FileSource, Files, Pace};
use crate::sim::front_door::{FrontDoor, GRANT, dispatch_policy};
use crate::sim::replicas::clock::{ProcessClock, WallError};
use crate::sim::replicas::lock::WayToLock;
use crate::sim::replicas::mutants::Mutant;
use crate::sim::replicas::overseer::{Overseer, Watched};
use crate::sim::replicas::peers::{PeerDoor, PeerDoors, Peers};
use crate::sim::replicas::pods::Pods;
use crate::sim::replicas::process::{Process, ProcessDoor};
use crate::sim::replicas::service::{ReplicaDoor, Street};
use crate::sim::replicas::snapshots::SharedSnapshot;
use crate::sim::trace::Trace;
use crate::testing::pods::NAMESPACE;
use crate::testing::snapshot_store::FakeSnapshotStore;

/// What all replicas have in common.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) trace: Trace,
    pub(super) overseer: Overseer,
    pub(super) street: Street,
    pub(super) peers: PeerDoors,
    pub(super) pods: Pods,
    pub(super) files: Files,
    pub(super) pace: Pace,
    pub(super) snapshot: FakeSnapshotStore,
    pub(super) outside: ProcessDoor,
    pub(super) mutant: Option<Mutant>,
}

/// What belongs to the machine of a replica and survives its processes.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) way_to_lock: WayToLock,
    pub(super) wall: WallError,
}

/// A running replica.
pub(super) struct ReplicaServer {
    name: String,
    cluster: Cluster,
    pub(super) process: Process,
    kernel: Kernel,
    core: Dispatching,
    source: Arc<FileSource>,
    pub(super) leadership: Reader<Leadership>,
    pub(super) served: Reader<ServedTable>,
}

impl ReplicaServer {
    pub(super) fn start(universe: &Universe, cluster: &Cluster, machine: &Machine, name: &str) -> Self {
        let broken = |mutant| cluster.mutant == Some(mutant);
        let overseer = cluster.overseer.clone();
        let process = Process::start(move || overseer.step());
        let clock: Arc<dyn Clock> = Arc::new(ProcessClock::start(universe.clock(), machine.wall.clone()));
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let (leads, served) = (leadership.reader(), published.reader());
        let core = Dispatching::default();
        let resolver: Handle<Resolver> = Handle::new("Resolver");
        let informer: Handle<Informer> = Handle::new(crate::cluster::informer::actor_name(Kind::Pods));
        let source = Arc::new(FileSource {
            files: cluster.files.clone(),
            resolver: resolver.outlet(),
            pace: cluster.pace.clone(),
            cut_short: Mutex::new(broken(Mutant::ListingCutShort)),
        });
        let parts = DispatchingParts {
            clock: Arc::clone(&clock),
            patch: Arc::new(PatchOptions::default()),
            policy: DispatchPolicy {
                warmup: if broken(Mutant::NoWarmUp) { Duration::ZERO } else { DispatchPolicy::default().warmup },
                ..dispatch_policy()
            },
            storage: Storage::Replicated {
                identity: name.to_owned(),
                client: Arc::new(cluster.peers_of(name)),
                snapshots: Some(Arc::new(cluster.snapshot_of(name))),
            },
            election: Election::Contend {
                store: Arc::new(machine.way_to_lock.clone()),
                candidacy: Candidacy { identity: name.to_owned(), address: Some(name.to_owned()), timings: timings(), release: true },
                directory: None,
                random: universe.random(),
            },
            leadership,
            published,
            replay: resolver.outlet(),
            watched: Some(WatchedNodes {
                namespace: NAMESPACE.to_owned(),
                cluster_name: String::new(),
                informers: vec![informer.outlet()],
            }),
            balancing: Balancing::default(),
        };
        let kernel = process.enter(|| {
            let (given_up, who) = (cluster.trace.clone(), name.to_owned());
            let kernel = universe.another_kernel(move |reason| given_up.violation(format_args!("{who} gave up: {reason}")));
            core.start(&kernel, parts);
            let informers = InformerParts {
                source: cluster.pods.watch(name),
                subscribers: vec![core.membership.outlet()],
                status: Arc::new(Publisher::new(InformerStatus::new(Kind::Pods))),
                clock: Arc::clone(&clock),
            };
            let discovery = kernel.one_for_one("discovery", None);
            discovery.child(&informer, STATE_OWNER_CAPACITY, move || Informer::new(informers.clone()));
            let dispatcher = &core.dispatcher;
            let subscriber = DiscoverySubscriber::of(dispatcher);
            let report = Arc::new(Publisher::new(DiscoveryReport::default()));
            let sources = vec![Arc::clone(&source) as Arc<dyn DiscoverySource>];
            discovery.child(&resolver, STATE_OWNER_CAPACITY, move || {
                Resolver::new(sources.clone(), vec![subscriber.clone()], Arc::clone(&report))
            });
            kernel
        });
        let server = Self { name: name.to_owned(), cluster: cluster.clone(), process, kernel, core, source, leadership: leads, served };
        server.open(clock);
        server
    }

    /// Opens the port.
    fn open(&self, clock: Arc<dyn Clock>) {
        let (cluster, process) = (&self.cluster, self.process.door());
        let watched = Watched { leadership: self.leadership.clone(), served: self.served.clone(), clock: Arc::clone(&clock) };
        cluster.overseer.begins(&self.name, watched);
        let peer = PeerDoor {
            process: process.clone(),
            fetches: self.core.replica.outlet(),
            offers: self.core.replica.outlet(),
            leadership: self.leadership.clone(),
            clock: Arc::clone(&clock),
        };
        cluster.peers.open(&self.name, peer);
        let front = FrontDoor {
            served: self.served.clone(),
            heartbeats: self.core.membership.outlet(),
            polls: self.core.dispatcher.outlet(),
            leadership: self.leadership.clone(),
            clock,
            trusts_role: cluster.mutant == Some(Mutant::ValidityIgnored),
            grant: if cluster.mutant == Some(Mutant::GrantsTooLong) { 10 * GRANT } else { GRANT },
            confirms_for_agents: cluster.mutant == Some(Mutant::ConfirmedUnheard),
        };
        let answers_as_follower = cluster.mutant == Some(Mutant::FollowersAnswer);
        let door = ReplicaDoor { name: self.name.clone(), process, front, answers_as_follower };
        cluster.street.doors().insert(self.name.clone(), door);
    }

    /// The files changed.
    pub(super) fn notice_files(&self) {
        self.process.enter(|| self.source.request_listing());
    }

    /// A plan for the dispatcher, unless the process stands still; whether it fits is seen there.
    pub(super) fn carry_out(&self, plan: ApplyPlan) {
        if !self.process.stands_still() {
            self.core.dispatcher.post(plan);
        }
    }

    pub(super) fn crash(&self, actor: &str) -> bool {
        self.kernel.crash(actor)
    }

    /// What its replica says about itself.
    pub(super) fn observe(&self) -> impl Future<Output = serde_json::Value> + use<> {
        let replica = self.core.replica.clone();
        async move { replica.ask(Observe, Duration::from_secs(1)).await.unwrap_or_default() }
    }

    /// SIGTERM: gives the lock up, then ends.
    pub(super) async fn stop(self) {
        // If it fails, the lease runs out by itself.
        let _ = self.core.leader_election.ask(Release, 2 * RELEASE_LIMIT).await;
        self.kill().await;
    }

    /// SIGKILL.
    pub(super) async fn kill(self) {
        let cluster = &self.cluster;
        cluster.street.doors().remove(&self.name);
        cluster.peers.close(&self.name);
        cluster.pods.unwatch(&self.name);
        cluster.overseer.ends(&self.name);
        self.process.close();
        self.kernel.shutdown(Duration::from_secs(1)).await;
    }
}

/// The times of the election: those of the manifests.
pub(super) fn timings() -> LeaseTimings {
    LeaseTimings::from_lease(Duration::from_secs(15))
}

impl Cluster {
    fn peers_of(&self, name: &str) -> Peers {
        Peers {
            own_name: name.to_owned(),
            doors: self.peers.clone(),
            network: self.street.network.clone(),
            overseer: self.overseer.clone(),
            outside: self.outside.clone(),
            mutant: self.mutant,
        }
    }

    fn snapshot_of(&self, name: &str) -> SharedSnapshot {
        SharedSnapshot {
            replica: name.to_owned(),
            store: self.snapshot.clone(),
            overseer: self.overseer.clone(),
            outside: self.outside.clone(),
            forgets: self.mutant == Some(Mutant::SnapshotsForgotten),
        }
    }
}

//! A server of the cluster role on a free port, with a cluster behind it that tests can arrange.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult};
use futures_util::future::BoxFuture;
use muster::api::admin::{Admin, AdminApi, Document, DocumentError, SettingError};
use muster::api::auth::Tokens;
use muster::api::balance::BalanceRoutes;
use muster::api::body::BodyLimits;
use muster::api::certificate::{CertificateSettings, server_certificate};
use muster::api::cluster::{CheckRoutes, ClusterApi};
use muster::api::cluster_checks::ClusterChecks;
use muster::api::heartbeats::HeartbeatGatherer;
use muster::api::leader::LeaderGate;
use muster::api::listener::{Application, BoundServer, ListenAddress, ListenerSettings, listen};
use muster::api::metadata::MetadataRoutes;
use muster::api::observer::{RequestObserver, Unobserved};
use muster::api::relay::{Relay, RelayLimits};
use muster::api::tls::server_config;
use muster::api::version::AgentVersion;
use muster::api::world::WorldRoutes;
use muster::client::Trust;
use muster::config::Secret;
use muster::config::settings::TlsVersion;
use muster_actors::domain::check_traits::CheckTraits;
use muster_actors::domain::config::{CheckConfig, Data, DispatchedConfig};
use muster_actors::domain::constraints::Constraints;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::ids::{CheckId, ConfigKey, Digest, Epoch, KubernetesNodeName, NodeName, Stamp};
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::world::{Dangling, DanglingReason, Moving, NodeEntry, NodeView, Presence, ServedTable, Standing};
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::health::HealthCatalogue;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::dispatcher::{Poll, PollReply};
use muster_actors::messages::membership::{Heartbeat, Heartbeats};
use muster_actors::supervised;
use serde_json::{Value as Json, json};

use crate::balancer::{self, FakeBalancer, SharedDesk};
use crate::client::{Call, Connection, Reply};

pub const CLUSTER: &str = "0123456789abcdef0123456789abcdef";
pub const LOCAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const COMMIT: &str = "abc1234567";

/// Both tokens.
pub fn tokens() -> Tokens {
    Tokens { cluster: Some(Secret::new(CLUSTER.to_owned())), local: Some(Secret::new(LOCAL.to_owned())) }
}

/// A config with one instance, as it would be dispatched.
pub fn config(name: &str) -> Arc<DispatchedConfig> {
    let config = CheckConfig {
        name: name.to_owned(),
        instances: vec![Data::from("empty_default_hostname: true\nhost: a\n")],
        init_config: Some(Data::from("{}\n")),
        provider: "file".to_owned(),
        source: format!("file:/conf.d/{name}.yaml"),
        ..CheckConfig::default()
    };
    let key = name.bytes().fold(0, |key, byte| key * 256 + u128::from(byte));
    Arc::new(DispatchedConfig {
        traits: CheckTraits::default(),
        key: ConfigKey(key),
        digest: Digest(key as u64),
        config,
        check_ids: vec![CheckId::from(format!("{name}:1f00aa"))],
    })
}

/// One node of the arranged cluster.
#[derive(Default, Clone)]
pub struct FakeNode {
    pub kind: muster_actors::domain::world::NodeKind,
    pub address: String,
    pub stamp: i64,
    pub configs: Vec<Arc<DispatchedConfig>>,
}

/// Membership and dispatcher in one: does what a poll needs, and whatever a test asks.
pub struct FakeCluster {
    publisher: Arc<Publisher<ServedTable>>,
    heartbeats: Arc<Mutex<Vec<Heartbeat>>>,
    pub standing: Standing,
    pub synced: bool,
    pub nodes: BTreeMap<String, FakeNode>,
    pub endpoints: BTreeMap<String, Vec<Arc<DispatchedConfig>>>,
    pub dangling: Vec<Arc<DispatchedConfig>>,
    pub constraints: Constraints,
    pub moving: Vec<Moving>,
}

impl FakeCluster {
    fn publish(&self) {
        let view = |stamp: i64, configs: &Vec<Arc<DispatchedConfig>>| {
            Arc::new(NodeView { stamp: Stamp(stamp), configs: configs.clone().into(), ..NodeView::default() })
        };
        let nodes = self.nodes.iter().map(|(name, node)| {
            let (address, view) = (node.address.clone(), view(node.stamp, &node.configs));
            let facts = NodeFacts { kind: node.kind, address, ..NodeFacts::default() };
            let entry = NodeEntry { facts, presence: Presence::Staying, view };
            (NodeName::from(name.as_str()), entry)
        });
        let endpoints = self.endpoints.iter().map(|(name, configs)| (KubernetesNodeName::from(name.as_str()), view(0, configs)));
        let dangling =
            self.dangling.iter().map(|config| Dangling { config: Arc::clone(config), reason: DanglingReason::NoNode, flagged: false });
        self.publisher.publish(ServedTable {
            standing: self.standing,
            nodes: nodes.collect(),
            endpoints: endpoints.collect(),
            discovery_synced: self.synced,
            dangling: dangling.collect(),
            constraints: Arc::new(self.constraints.clone()),
            moving: self.moving.clone(),
            ..ServedTable::default()
        });
    }
}

impl Actor for FakeCluster {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.publish();
    }
}

impl Observed for FakeCluster {
    fn observe(&self) -> Json {
        Json::Null
    }
}

supervised!(FakeCluster);

impl Handler<Heartbeat> for FakeCluster {
    type Result = ();

    fn handle(&mut self, beat: Heartbeat, _: &mut Self::Context) {
        let node = self.nodes.entry(beat.node.to_string()).or_default();
        node.kind = beat.kind;
        if let Some(address) = &beat.address {
            node.address.clone_from(address);
        }
        self.heartbeats.lock().unwrap().push(beat);
        self.publish();
    }
}

impl Handler<Heartbeats> for FakeCluster {
    type Result = ();

    fn handle(&mut self, beats: Heartbeats, context: &mut Self::Context) {
        for beat in beats.beats {
            <Self as Handler<Heartbeat>>::handle(self, beat, context);
        }
    }
}

impl Handler<Poll> for FakeCluster {
    type Result = MessageResult<Poll>;

    fn handle(&mut self, poll: Poll, _: &mut Self::Context) -> Self::Result {
        let stamp = self.nodes.get(poll.node.as_str()).map_or(0, |node| node.stamp);
        let up_to_date = poll.last_change == -1 || poll.last_change == stamp || self.standing == Standing::WarmingUp;
        MessageResult(PollReply { standing: self.standing, up_to_date, stamp: Stamp(stamp) })
    }
}

type Change = Box<dyn FnOnce(&mut FakeCluster) + Send>;

#[derive(Message)]
#[rtype(result = "()")]
struct Arrange(Change);

impl Handler<Arrange> for FakeCluster {
    type Result = ();

    fn handle(&mut self, Arrange(change): Arrange, _: &mut Self::Context) {
        change(self);
        self.publish();
    }
}

/// Remembers what was asked of it.
#[derive(Default)]
pub struct FakeAdmin {
    pub stops: Mutex<u32>,
    pub changes: Mutex<Vec<(String, String)>>,
    /// What the status routes do: answer, fail, panic, or never come back.
    pub mood: Mutex<Mood>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Good,
    Failing,
    Panicking,
    Hanging,
}

impl FakeAdmin {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

impl Admin for FakeAdmin {
    fn status_json(&self) -> BoxFuture<'_, Document<Json>> {
        let mood = self.mood();
        Box::pin(async move {
            match mood {
                Mood::Good => Ok(json!({ "version": "7.81.1" })),
                Mood::Failing => Err(DocumentError("no status today".to_owned())),
                Mood::Panicking => panic!("status panics on request of the test"),
                Mood::Hanging => std::future::pending().await,
            }
        })
    }

    fn status_text(&self, verbose: bool) -> BoxFuture<'_, Document<String>> {
        Box::pin(async move { Ok(if verbose { "=== <status>, all ===\n" } else { "=== <status> ===\n" }.to_owned()) })
    }

    fn config_check(&self, raw: bool) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async move { Ok(json!({ "configs": [], "raw": raw })) })
    }

    fn journal(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async { Ok(json!({ "decisions": [] })) })
    }

    fn diagnostics(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async { Ok(json!({ "Dispatcher": {} })) })
    }

    fn config_yaml(&self) -> String {
        "log_level: info\n".to_owned()
    }

    fn config_by_source(&self) -> Json {
        json!({ "default": { "log_level": "info" } })
    }

    fn runtime_settings(&self) -> Json {
        json!({ "log_level": { "Description": "level", "Hidden": false } })
    }

    fn config_get(&self, name: &str, with_sources: bool) -> Result<Json, SettingError> {
        match (name, with_sources) {
            ("log_level", false) => Ok(json!({ "value": "info" })),
            ("log_level", true) => Ok(json!({ "sources_value": [{ "Source": "default", "Value": "info" }], "value": "info" })),
            _ => Err(SettingError::Unknown(name.to_owned())),
        }
    }

    fn config_set(&self, name: &str, value: &str) -> Result<(), SettingError> {
        match name {
            "log_level" if value == "nosuch" => Err(SettingError::Refused("unknown log level: nosuch".to_owned())),
            "log_level" => {
                self.changes.lock().unwrap().push((name.to_owned(), value.to_owned()));
                Ok(())
            }
            _ => Err(SettingError::Unknown(name.to_owned())),
        }
    }

    fn scrub(&self, config: &CheckConfig) -> CheckConfig {
        let instances = config.instances.iter().map(|instance| Data::from(instance.text().replace("s3cr3t", "********")));
        CheckConfig { instances: instances.collect(), ..config.clone() }
    }

    fn stop(&self) {
        *self.stops.lock().unwrap() += 1;
    }
}

/// Remembers what was observed.
#[derive(Default)]
pub struct Observations(pub Mutex<Vec<(String, u16, bool)>>);

impl RequestObserver for Observations {
    fn observed(&self, handler: &'static str, status: actix_http::StatusCode, forwarded: bool, _elapsed: Duration) {
        self.0.lock().unwrap().push((handler.to_owned(), status.as_u16(), forwarded));
    }
}

/// How the server under test differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    pub checks_enabled: bool,
    /// What the local token is; `None` = there is none.
    pub local_token: Option<&'static str>,
    pub kubernetes: Option<MetadataRoutes>,
    pub cluster_runs: bool,
    pub minimum: TlsVersion,
    pub head_timeout: Duration,
    pub keep_alive: Duration,
    pub handshake_timeout: Duration,
    pub request_timeout: Duration,
    pub body_limits: BodyLimits,
    /// Who leads at first.
    pub leadership: Leadership,
    /// Under which address the others know this replica, and the bounds of its relay; `None` = no relay.
    pub relay: Option<(String, RelayLimits)>,
}

/// This replica leads and nobody else can.
pub fn leader() -> Leadership {
    Leadership { role: Role::Leader, epoch: Epoch(1), ..Leadership::default() }
}

impl Default for Setup {
    fn default() -> Self {
        let settings = ListenerSettings::plain("test", ListenAddress::All(0));
        Self {
            checks_enabled: true,
            local_token: Some(LOCAL),
            kubernetes: None,
            cluster_runs: true,
            minimum: TlsVersion::V1_2,
            head_timeout: settings.head_timeout,
            keep_alive: settings.keep_alive,
            handshake_timeout: settings.handshake_timeout,
            request_timeout: Duration::from_secs(60),
            body_limits: BodyLimits::default(),
            leadership: leader(),
            relay: None,
        }
    }
}

/// A running server and everything behind it.
pub struct Site {
    pub address: SocketAddr,
    pub admin: Arc<FakeAdmin>,
    pub observations: Arc<Observations>,
    pub desk: SharedDesk,
    pub leadership: Publisher<Leadership>,
    heartbeats: Arc<Mutex<Vec<Heartbeat>>>,
    cluster: Handle<FakeCluster>,
    kernel: Kernel,
    server: BoundServer,
}

impl Site {
    /// A leader without nodes.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let kernel = Kernel::start(SystemClock::shared(), |reason| panic!("{reason}"));
        let cluster = Handle::<FakeCluster>::new("FakeCluster");
        let publisher = Arc::new(Publisher::new(ServedTable::default()));
        let served = publisher.reader();
        let heartbeats = Arc::new(Mutex::new(Vec::new()));
        if setup.cluster_runs {
            let heartbeats = Arc::clone(&heartbeats);
            kernel.one_for_one("cluster", None).child(&cluster, STATE_OWNER_CAPACITY, move || FakeCluster {
                publisher: Arc::clone(&publisher),
                heartbeats: Arc::clone(&heartbeats),
                standing: Standing::Active,
                synced: true,
                nodes: BTreeMap::new(),
                endpoints: BTreeMap::new(),
                dangling: Vec::new(),
                constraints: Constraints::default(),
                moving: Vec::new(),
            });
        } else {
            publisher.publish(ServedTable { standing: Standing::Active, ..ServedTable::default() });
        }
        let desk = SharedDesk::default();
        let balancer = Handle::<FakeBalancer>::new("FakeBalancer");
        let shared = Arc::clone(&desk);
        let factory = move || FakeBalancer { desk: Arc::clone(&shared) };
        kernel.one_for_one("balancer", None).child(&balancer, STATE_OWNER_CAPACITY, factory);
        let admin = Arc::new(FakeAdmin::default());
        let observations = Arc::new(Observations::default());
        let leadership = Publisher::new(setup.leadership.clone());
        let checks = ClusterChecks {
            served: served.clone(),
            gatherer: Arc::new(HeartbeatGatherer::new(cluster.outlet(), Duration::ZERO)),
            heartbeats: cluster.outlet(),
            polls: cluster.outlet(),
            leader: LeaderGate::new(leadership.reader(), SystemClock::shared()),
            grant: Duration::from_secs(30),
        };
        let checks = setup.checks_enabled.then(|| check_routes(checks, balancer::routes(&balancer, served)));
        let api = ClusterApi {
            observer: Arc::clone(&observations) as Arc<dyn RequestObserver>,
            ..cluster_api(&setup, checks, Arc::clone(&admin) as Arc<dyn Admin>, kernel.health())
        };
        let server = serve(&setup, api);
        let site = Self { address: reachable(&server), admin, observations, desk, leadership, heartbeats, cluster, kernel, server };
        if setup.cluster_runs {
            site.arrange(|_| ()).await;
        }
        site
    }

    /// Changes the cluster; the change is published when this returns.
    pub async fn arrange(&self, change: impl FnOnce(&mut FakeCluster) + Send + 'static) {
        self.cluster.ask(Arrange(Box::new(change)), Duration::from_secs(5)).await.unwrap();
    }

    /// What the cluster holds, after everything that was posted to it.
    pub async fn node(&self, name: &str) -> Option<FakeNode> {
        let found = Arc::new(Mutex::new(None));
        let (slot, name) = (Arc::clone(&found), name.to_owned());
        self.arrange(move |cluster| *slot.lock().unwrap() = cluster.nodes.get(&name).cloned()).await;
        found.lock().unwrap().take()
    }

    /// Heartbeats that arrived so far.
    pub async fn heartbeats(&self) -> usize {
        self.arrange(|_| ()).await;
        self.heartbeats.lock().unwrap().len()
    }

    pub async fn connect(&self) -> Connection {
        Connection::secure(self.address).await
    }

    /// One call on a connection of its own.
    pub async fn call(&self, call: &Call) -> Reply {
        self.connect().await.call(call).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(&Call::get(path).bearer(CLUSTER)).await
    }

    pub async fn status(&self, node: &str, body: &str) -> Reply {
        self.call(&Call::post(&format!("/api/v1/clusterchecks/status/{node}"), body).bearer(CLUSTER)).await
    }

    /// Stops everything in order; nothing may be left running.
    pub async fn stop(self) {
        self.server.stop().await;
        let left = self.kernel.shutdown(Duration::from_secs(5)).await;
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

/// These routes, and a world of which nothing is known.
pub fn check_routes(checks: ClusterChecks, balance: BalanceRoutes) -> CheckRoutes {
    let figures = Publisher::new(Figures::default()).reader();
    let world = WorldRoutes { served: checks.served.clone(), figures, policy: Arc::default(), pods: false };
    CheckRoutes { checks, balance, world }
}

/// The application of the cluster role over the given check routes.
pub fn cluster_api(setup: &Setup, checks: Option<CheckRoutes>, admin: Arc<dyn Admin>, health: Arc<HealthCatalogue>) -> ClusterApi {
    // The client of the relay needs it; done once is enough.
    rustls::crypto::ring::default_provider().install_default().ok();
    let version = AgentVersion::parse("7.81.1", COMMIT).unwrap().body();
    ClusterApi {
        tokens: Tokens { local: setup.local_token.map(|token| Secret::new(token.to_owned())), ..tokens() },
        checks: checks.map(Arc::new),
        relay: setup.relay.clone().map(|(own, limits)| Relay::try_new(Some(own), &Trust::Any, limits).unwrap()),
        replicas: None,
        kubernetes: setup.kubernetes.clone(),
        admin: AdminApi {
            version,
            hostname: Publisher::new("dca-0".to_owned()).reader(),
            admin,
            health,
            request_timeout: setup.request_timeout,
        },
        observer: Arc::new(Unobserved),
        clock: SystemClock::shared(),
        body_limits: setup.body_limits,
    }
}

/// Serves an application with TLS on a free port.
pub fn serve<A: Application>(setup: &Setup, application: A) -> BoundServer {
    let folder = tempfile::tempdir().unwrap();
    let certificate = CertificateSettings { file: folder.path().join("ipc_cert.pem"), authority: None, extra_host: None };
    let certificate = server_certificate(&certificate, &SystemClock::new()).unwrap();
    let tls = server_config(certificate, setup.minimum).unwrap();
    let settings = ListenerSettings {
        head_timeout: setup.head_timeout,
        keep_alive: setup.keep_alive,
        handshake_timeout: setup.handshake_timeout,
        farewell_timeout: Duration::from_millis(50),
        ..ListenerSettings::secure("test", ListenAddress::All(0), tls)
    };
    listen(settings, Arc::new(application)).unwrap()
}

/// The bound port on the loopback address.
pub fn reachable(server: &BoundServer) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, server.local_addr.port()))
}

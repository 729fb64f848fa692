//! The check routes over the production actors: `Membership` and `Dispatcher` behind the real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use muster::api::admin::Admin;
use muster::api::balance::BalanceRoutes;
use muster::api::cluster::CheckRoutes;
use muster::api::cluster_checks::ClusterChecks;
use muster::api::heartbeats::HeartbeatGatherer;
use muster::api::leader::LeaderGate;
use muster::api::listener::BoundServer;
use muster::api::world::WorldRoutes;
use muster_actors::cluster::dispatcher::parts::DispatchPolicy;
use muster_actors::cluster::leader_election::Election;
use muster_actors::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::Leadership;
use muster_actors::domain::patch::PatchOptions;
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::dispatcher::{ConfigsDiscovered, DiscoverySynced};
use muster_actors::messages::resolver::ReplayDiscovery;
use muster_actors::sim::fleet::Scenario;
use muster_actors::supervised;
use muster_actors::testing::assignment_store::FakeAssignmentStore;
use muster_actors::testing::configs::discovered;
use serde_json::Value as Json;

use crate::client::{Call, Connection, Reply};
use crate::site::{CLUSTER, FakeAdmin, Setup, cluster_api, reachable, serve};

/// Only catches hangs.
const HANG: Duration = Duration::from_secs(20);

/// A discovery that knows two files.
struct TwoFiles {
    found: Outlet<ConfigsDiscovered>,
    synced: Outlet<DiscoverySynced>,
}

impl Actor for TwoFiles {
    type Context = Context<Self>;
}

impl Observed for TwoFiles {
    fn observe(&self) -> Json {
        Json::Null
    }
}

supervised!(TwoFiles);

impl Handler<ReplayDiscovery> for TwoFiles {
    type Result = ();

    fn handle(&mut self, _: ReplayDiscovery, _: &mut Self::Context) {
        let added = vec![discovered("redisdb", "host: a\n"), discovered("postgres", "host: b\n")];
        self.found.post(ConfigsDiscovered { added, removed: Vec::new() });
        self.synced.post(DiscoverySynced::default());
    }
}

/// A server with everything that dispatching needs.
struct Cluster {
    kernel: Kernel,
    server: BoundServer,
    address: SocketAddr,
}

impl Cluster {
    fn start(warmup: Duration) -> Self {
        let clock = SystemClock::shared();
        let kernel = Kernel::start(Arc::clone(&clock), |reason| panic!("{reason}"));
        let dispatching = Dispatching::default();
        let discovery = Handle::<TwoFiles>::new("two-files");
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let served = published.reader();
        let balancing = Balancing::default();
        let figures = balancing.figures.reader();
        let parts = DispatchingParts {
            clock,
            patch: Arc::new(PatchOptions::default()),
            policy: DispatchPolicy { warmup, ..DispatchPolicy::default() },
            storage: Storage::Local(Arc::new(FakeAssignmentStore::default())),
            election: Election::Alone { epoch: Epoch(1) },
            leadership: Arc::clone(&leadership),
            published,
            replay: discovery.outlet(),
            watched: None,
            balancing,
        };
        let (found, synced) = (dispatching.dispatcher.outlet(), dispatching.dispatcher.outlet());
        let factory = move || TwoFiles { found: found.clone(), synced: synced.clone() };
        kernel.one_for_one("discovery", None).child(&discovery, STATE_OWNER_CAPACITY, factory);
        dispatching.start(&kernel, parts);
        let checks = ClusterChecks {
            served,
            gatherer: Arc::new(HeartbeatGatherer::new(dispatching.membership.outlet(), Duration::ZERO)),
            heartbeats: dispatching.membership.outlet(),
            polls: dispatching.dispatcher.outlet(),
            leader: LeaderGate::new(leadership.reader(), SystemClock::shared()),
            grant: Duration::from_secs(30),
        };
        let rebalancer = &dispatching.rebalancer;
        let balance = BalanceRoutes {
            served: checks.served.clone(),
            evaluate: rebalancer.outlet(),
            approve: rebalancer.outlet(),
            pending: rebalancer.outlet(),
            isolate: rebalancer.outlet(),
            command: rebalancer.outlet(),
            explain_check: rebalancer.outlet(),
            explain_node: rebalancer.outlet(),
        };
        let admin = Arc::new(FakeAdmin::default()) as Arc<dyn Admin>;
        let setup = Setup::default();
        let world = WorldRoutes { served: checks.served.clone(), figures, policy: Arc::default(), pods: false };
        let api = cluster_api(&setup, Some(CheckRoutes { checks, balance, world }), admin, kernel.health());
        let server = serve(&setup, api);
        Self { kernel, address: reachable(&server), server }
    }

    async fn call(&self, call: Call) -> Reply {
        Connection::secure(self.address).await.call(&call.bearer(CLUSTER)).await
    }

    async fn status(&self, node: &str, last_change: i64) -> Reply {
        let body = format!("{{\"last_change\":{last_change},\"node_type\":1}}");
        self.call(Call::post(&format!("/api/v1/clusterchecks/status/{node}"), body)).await
    }

    async fn state(&self) -> Json {
        self.call(Call::get("/api/v1/clusterchecks")).await.json()
    }

    /// Looks at the state until it is as wanted.
    async fn until(&self, wanted: impl Fn(&Json) -> bool) -> Json {
        let looking = async {
            loop {
                let state = self.state().await;
                if wanted(&state) {
                    return state;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG, looking).await.expect("hangs")
    }

    async fn stop(self) {
        self.server.stop().await;
        let left = self.kernel.shutdown(Duration::from_secs(5)).await;
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

/// The node that has a check.
fn node_of(state: &Json, check: &str) -> Option<String> {
    let has =
        |node: &&Json| node["configs"].as_array().is_some_and(|configs| configs.iter().any(|one| one["config"]["check_name"] == check));
    state["nodes"].as_array()?.iter().find(has)?["name"].as_str().map(str::to_owned)
}

fn leads(state: &Json) -> bool {
    state["not_running"] == ""
}

#[actix_rt::test]
async fn cc_t16_a_cold_start_registers_agents_and_answers_no_configs() {
    let cluster = Cluster::start(Duration::from_secs(3600));
    assert_eq!(cluster.until(leads).await["warmup"], true);
    let reply = cluster.status("n1", 77).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"isuptodate":true}"#));
    let state = cluster.until(|state| !state["nodes"].is_null()).await;
    assert_eq!(state["nodes"][0]["name"], "n1");
    for path in ["/api/v1/clusterchecks/configs/n1", "/api/v1/endpointschecks/configs/n1"] {
        assert_eq!(cluster.call(Call::get(path)).await.status, 503, "{path}");
    }
    cluster.stop().await;
}

#[actix_rt::test]
async fn cc_t17_t18_an_agent_joins_fetches_and_is_up_to_date() {
    let cluster = Cluster::start(Duration::ZERO);
    cluster.until(|state| leads(state) && state["warmup"] == false && state["dangling"].as_array().unwrap().len() == 2).await;
    assert_eq!(cluster.call(Call::get("/api/v1/clusterchecks/configs/n1")).await.status, 500, "not heard of yet");
    assert_eq!(cluster.status("n1", 0).await.status, 200);
    cluster.until(|state| state["nodes"][0]["configs"].as_array().is_some_and(|configs| configs.len() == 2)).await;

    assert_eq!(cluster.status("n1", 0).await.json()["isuptodate"], false);
    let set = cluster.call(Call::get("/api/v1/clusterchecks/configs/n1")).await.json();
    let stamp = set["last_change"].as_i64().unwrap();
    assert!(stamp > 0);
    let names: Vec<_> = set["configs"].as_array().unwrap().iter().map(|config| config["check_name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"redisdb") && names.contains(&"postgres"));
    assert!(set["configs"].as_array().unwrap().iter().all(|config| config["cluster_check"] == false));
    for (last_change, up_to_date) in [(77, false), (stamp, true), (-1, true), (stamp - 1, false)] {
        assert_eq!(cluster.status("n1", last_change).await.json()["isuptodate"], up_to_date, "{last_change}");
    }

    assert_eq!(cluster.status("n8", 5).await.json()["isuptodate"], false, "a new agent with an old set");
    assert_eq!(cluster.call(Call::get("/api/v1/clusterchecks/configs/n8")).await.text(), r#"{"last_change":0,"configs":[]}"#);
    assert_eq!(cluster.status("n8", 0).await.json()["isuptodate"], true);
    cluster.stop().await;
}

#[actix_rt::test]
async fn known_agents_are_answered_while_the_deciding_actors_restart() {
    let cluster = Cluster::start(Duration::ZERO);
    cluster.until(|state| leads(state) && state["warmup"] == false).await;
    cluster.status("n1", 0).await;
    cluster.until(|state| state["nodes"][0]["configs"].as_array().is_some_and(|configs| configs.len() == 2)).await;
    let before = cluster.call(Call::get("/api/v1/clusterchecks/configs/n1")).await;
    let stamp = before.json()["last_change"].as_i64().unwrap();
    assert!(cluster.kernel.crash("Dispatcher"));
    for _ in 0..50 {
        let reply = cluster.status("n1", stamp).await;
        assert!(reply.status == 503 || reply.text() == r#"{"isuptodate":true}"#, "{}: {}", reply.status, reply.text());
    }
    cluster.until(|state| leads(state) && state["nodes"][0]["configs"].as_array().is_some_and(|configs| configs.len() == 2)).await;
    let after = cluster.call(Call::get("/api/v1/clusterchecks/configs/n1")).await;
    assert_eq!(after.body, before.body, "the same set, the same stamp");
    cluster.stop().await;
}

#[actix_rt::test]
async fn what_operators_demand_reaches_the_assignment_and_is_explained() {
    let cluster = Cluster::start(Duration::ZERO);
    cluster.until(|state| leads(state) && state["warmup"] == false && state["dangling"].as_array().unwrap().len() == 2).await;
    cluster.status("n1", 0).await;
    cluster.until(|state| node_of(state, "redisdb").is_some() && node_of(state, "postgres").is_some()).await;
    cluster.status("n2", 0).await;
    cluster.until(|state| state["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)).await;

    let pinned = cluster.call(Call::post("/api/v1/muster/pin", r#"{"check":"redisdb","node":"n2"}"#)).await;
    assert_eq!((pinned.status, &pinned.json()["moved"]), (200, &Json::from(1)), "{}", pinned.text());
    cluster.until(|state| node_of(state, "redisdb").as_deref() == Some("n2")).await;
    let listed = cluster.call(Call::get("/api/v1/muster/constraints")).await.json();
    assert_eq!((&listed["pins"][0]["check_name"], &listed["pins"][0]["node"]), (&Json::from("redisdb"), &Json::from("n2")));

    let explained = cluster.call(Call::get("/api/v1/muster/explain?check=redisdb")).await;
    let why = explained.json();
    assert_eq!((&why["node"], &why["pinned_to"], &why["held"]), (&Json::from("n2"), &Json::from("n2"), &Json::from("pinned")));
    assert_eq!(why["history"][0]["cause"], "pinned", "{}", explained.text());
    assert_eq!(why["candidates"].as_array().map(Vec::len), Some(2));
    let node = cluster.call(Call::get("/api/v1/muster/explain?node=n2")).await.json();
    assert_eq!(node["configs"][0]["check_name"], "redisdb");
    for (path, text) in [("check=nosuch", "no check \"nosuch\": "), ("node=nosuch", "no node \"nosuch\": ")] {
        let reply = cluster.call(Call::get(&format!("/api/v1/muster/explain?{path}"))).await;
        assert!(reply.status == 404 && reply.text().starts_with(text), "{}: {}", reply.status, reply.text());
    }

    let again = cluster.call(Call::post("/api/v1/muster/unpin", r#"{"check":"postgres"}"#)).await;
    assert_eq!(again.status, 409, "{}", again.text());
    assert_eq!(cluster.call(Call::post("/api/v1/muster/unpin", r#"{"check":"redisdb"}"#)).await.status, 200);
    let rebalanced = cluster.call(Call::post("/api/v1/clusterchecks/rebalance", r#"{"force":true}"#)).await;
    assert_eq!((rebalanced.status, rebalanced.text().as_str()), (200, "[]"));
    cluster.stop().await;
}

#[actix_rt::test]
async fn the_world_is_recorded_without_the_content_of_checks_and_can_be_simulated() {
    let cluster = Cluster::start(Duration::ZERO);
    cluster.until(|state| leads(state) && state["warmup"] == false && state["dangling"].as_array().unwrap().len() == 2).await;
    cluster.status("n1", 0).await;
    cluster.until(|state| node_of(state, "redisdb").is_some() && node_of(state, "postgres").is_some()).await;

    let recorded = cluster.call(Call::get("/api/v1/muster/world")).await;
    let scenario = Scenario::parse(&recorded.text()).unwrap();
    assert_eq!((scenario.nodes.len(), scenario.checks.len(), scenario.checks[0].node.as_deref()), (1, 2, Some("n1")));
    assert!(!recorded.text().contains("host:"), "{}", recorded.text());
    let anonymous = cluster.call(Call::get("/api/v1/muster/world?anonymous=true")).await.text();
    assert!(Scenario::parse(&anonymous).is_ok() && !anonymous.contains("redisdb") && !anonymous.contains("\"n1\""), "{anonymous}");
    cluster.stop().await;
}

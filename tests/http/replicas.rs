//! Replicas over HTTPS: the production actors, the production client, the production routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use muster::api::admin::Admin;
use muster::api::cluster::ClusterApi;
use muster::api::cluster_checks::ClusterChecks;
use muster::api::heartbeats::HeartbeatGatherer;
use muster::api::leader::LeaderGate;
use muster::api::listener::BoundServer;
use muster::api::relay::RelayLimits;
use muster::api::replica::ReplicaRoutes;
use muster::client::{ReplicaHttp, Trust};
use muster::config::Secret;
use muster_actors::cluster::dispatcher::parts::DispatchPolicy;
use muster_actors::cluster::leader_election::Election;
use muster_actors::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::{Leadership, LeaseTimings, Role};
use muster_actors::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use muster_actors::domain::patch::PatchOptions;
use muster_actors::domain::replication::Content;
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::rng::SeededRandom;
use muster_actors::kernel::supervised::Observe;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::dispatcher::ConfigsDiscovered;
use muster_actors::messages::leader_election::LeadershipChanged;
use muster_actors::messages::replica::FetchDeltas;
use muster_actors::ports::{LeaseStore, ReplicaClient as _, ReplicaError};
use muster_actors::shared::resolver::Resolver;
use muster_actors::testing::configs::discovered;

use crate::balancer;
use crate::client::{Call, Connection, Reply};
use crate::site::{CLUSTER, FakeAdmin, LOCAL, Setup, check_routes, cluster_api, reachable, serve};

/// Only catches hangs.
const HANG: Duration = Duration::from_secs(20);

/// A lock that never answers, so that only the test says who leads.
struct SilentLock;

impl LeaseStore for SilentLock {
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>> {
        Box::pin(std::future::pending())
    }

    fn write(&self, _: LockRecord, _: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>> {
        Box::pin(std::future::pending())
    }
}

/// A process of the cluster role whose lock the test hands out.
struct Replica {
    name: &'static str,
    kernel: Kernel,
    core: Dispatching,
    leadership: Arc<Publisher<Leadership>>,
    server: BoundServer,
    address: SocketAddr,
}

fn client(token: &str) -> ReplicaHttp {
    ReplicaHttp::try_new(&Secret::new(token.to_owned()), &Trust::Any, "0.1.0").unwrap()
}

impl Replica {
    fn start(name: &'static str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = SystemClock::shared();
        let kernel = Kernel::start(Arc::clone(&clock), |reason| panic!("{reason}"));
        let core = Dispatching::default();
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let served = published.reader();
        let timings = LeaseTimings::from_lease(Duration::from_secs(15));
        let candidacy = Candidacy { identity: name.to_owned(), address: None, timings, release: true };
        let parts = DispatchingParts {
            clock: Arc::clone(&clock),
            patch: Arc::new(PatchOptions::default()),
            policy: DispatchPolicy { warmup: Duration::ZERO, ..DispatchPolicy::default() },
            storage: Storage::Replicated { identity: name.to_owned(), client: Arc::new(client(CLUSTER)), snapshots: None },
            election: Election::Contend { store: Arc::new(SilentLock), candidacy, directory: None, random: Arc::new(SeededRandom::new(1)) },
            leadership: Arc::clone(&leadership),
            published,
            replay: Handle::<Resolver>::new("Resolver").outlet(),
            watched: None,
            balancing: Balancing::default(),
        };
        core.start(&kernel, parts);
        let leader = LeaderGate::new(leadership.reader(), clock);
        let checks = ClusterChecks {
            served,
            gatherer: Arc::new(HeartbeatGatherer::new(core.membership.outlet(), Duration::ZERO)),
            heartbeats: core.membership.outlet(),
            polls: core.dispatcher.outlet(),
            leader: leader.clone(),
            grant: Duration::from_secs(30),
        };
        let balance = balancer::routes(&Handle::new("FakeBalancer"), checks.served.clone());
        let setup = Setup { relay: Some(("127.0.0.1:1".to_owned(), RelayLimits::default())), ..Setup::default() };
        let admin = Arc::new(FakeAdmin::default()) as Arc<dyn Admin>;
        let api = ClusterApi {
            replicas: Some(ReplicaRoutes { fetches: core.replica.outlet(), offers: core.replica.outlet(), leader }),
            ..cluster_api(&setup, Some(check_routes(checks, balance)), admin, kernel.health())
        };
        let server = serve(&setup, api);
        Self { name, kernel, core, leadership, address: reachable(&server), server }
    }

    /// Tells it who leads, as its election would.
    fn notice(&self, leader: &str, address: SocketAddr, epoch: u64) {
        let role = if leader == self.name { Role::Leader } else { Role::Follower };
        let (leader, address, epoch) = (leader.to_owned(), Some(address.to_string()), Epoch(epoch));
        self.leadership.publish(Leadership { role, epoch, leader: leader.clone(), address: address.clone(), valid_until: None });
        let change = LeadershipChanged { role, epoch, leader, address };
        self.core.dispatcher.post(change.clone());
        self.core.replica.post(change);
    }

    async fn call(&self, call: Call) -> Reply {
        Connection::secure(self.address).await.call(&call.bearer(CLUSTER)).await
    }

    async fn position(&self) -> serde_json::Value {
        self.core.replica.ask(Observe, HANG).await.unwrap()["position"].clone()
    }

    /// Polls until the agent has this many configs, and returns its set.
    async fn set(&self, node: &str, configs: usize) -> Vec<u8> {
        within(async {
            loop {
                let polled =
                    self.call(Call::post(&format!("/api/v1/clusterchecks/status/{node}"), r#"{"last_change":0,"node_type":1}"#)).await;
                let set = self.call(Call::get(&format!("/api/v1/clusterchecks/configs/{node}"))).await;
                if polled.status == 200 && set.status == 200 && set.json()["configs"].as_array().unwrap().len() == configs {
                    return set.body;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn stop(self) {
        // In this order, because the server waits for questions that it holds.
        let left = self.kernel.shutdown(Duration::from_secs(5)).await;
        self.server.stop().await;
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANG, future).await.expect("hangs")
}

#[actix_rt::test]
async fn a_follower_over_https_goes_on_where_the_leader_ended_and_a_leader_without_a_table_gets_one() {
    let (one, two) = (Replica::start("dca-0"), Replica::start("dca-1"));
    one.notice("dca-0", one.address, 1);
    two.notice("dca-0", one.address, 1);
    let found = vec![discovered("redisdb", "host: a\n"), discovered("postgres", "host: b\n")];
    within(async {
        while one.call(Call::get("/api/v1/clusterchecks")).await.json()["not_running"] != "" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    one.core.dispatcher.post(ConfigsDiscovered { added: found, removed: Vec::new() });
    let set = one.set("n1", 2).await;
    assert_eq!(two.set("n1", 2).await, set, "through the relay");
    within(async {
        while one.position().await != two.position().await {
            tokio::task::yield_now().await;
        }
    })
    .await;

    one.stop().await;
    two.notice("dca-1", two.address, 2);
    assert_eq!(two.set("n1", 2).await, set, "promoted");

    let again = Replica::start("dca-0");
    two.notice("dca-0", again.address, 3);
    again.notice("dca-0", again.address, 3);
    assert_eq!(again.set("n1", 2).await, set, "offered by the follower");
    again.stop().await;
    two.stop().await;
}

#[actix_rt::test]
async fn only_the_cluster_token_and_the_same_version_open_the_routes_of_replicas() {
    let replica = Replica::start("dca-0");
    let address = replica.address.to_string();
    let question = FetchDeltas { replica: "dca-1".to_owned(), position: None };
    let shipment = client(CLUSTER).fetch(&address, question.clone()).await.unwrap();
    assert_eq!(shipment.content, Content::NotLeader);
    for token in [LOCAL, "wrong"] {
        let refused = client(token).fetch(&address, question.clone()).await;
        assert!(matches!(&refused, Err(ReplicaError::Refused(text)) if text.contains("403")), "{refused:?}");
    }
    for query in ["", "?version=0&replica=a", "?version=1", "?version=1&replica=a&epoch=x"] {
        let reply = replica.call(Call::get(&format!("/api/v1/muster/replica/deltas{query}"))).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    let reply = replica.call(Call::get("/api/v1/muster/replica/deltas?version=7&replica=a")).await;
    assert!(reply.text().contains("\"7\"") && reply.text().contains("same version everywhere"), "{}", reply.text());
    let reply = replica.call(Call::post("/api/v1/muster/replica/table?version=1&replica=a", "rubbish")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(replica.call(Call::get("/api/v1/muster/replica/table")).await.status, 405);
    replica.stop().await;
}

#[actix_rt::test]
async fn a_server_without_replicas_does_not_know_their_routes() {
    let site = crate::site::Site::start().await;
    assert_eq!(site.get("/api/v1/muster/replica/deltas?version=1&replica=a").await.status, 404);
    site.stop().await;
}

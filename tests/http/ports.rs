//! The health port, the metrics port, and the local API of the node role.

use std::sync::Arc;
use std::time::Duration;

use muster::api::admin::AdminApi;
use muster::api::auth::Tokens;
use muster::api::body::BodyLimits;
use muster::api::health::HealthServer;
use muster::api::listener::{Application, BoundServer, ListenAddress, ListenerSettings, listen};
use muster::api::metrics::MetricsServer;
use muster::api::node::NodeApi;
use muster::api::version::AgentVersion;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::health::{HealthCatalogue, HealthKind};
use muster_actors::kernel::published::Publisher;

use crate::client::{Call, Connection, Reply};
use crate::site::{CLUSTER, FakeAdmin, LOCAL, Setup, reachable, serve, tokens};

fn plain<A: Application>(application: A) -> BoundServer {
    listen(ListenerSettings::plain("test", ListenAddress::All(0)), Arc::new(application)).unwrap()
}

async fn get(server: &BoundServer, path: &str) -> Reply {
    Connection::plain(reachable(server)).await.call(&Call::get(path)).await
}

#[actix_rt::test]
async fn ca_p3_p4_health_answers_by_path() {
    let catalogue = Arc::new(HealthCatalogue::new(SystemClock::shared()));
    let ready = catalogue.flag(HealthKind::Readiness, "ConfigProvider");
    let live = catalogue.flag(HealthKind::Liveness, "Dispatcher");
    let server = plain(HealthServer { catalogue: Arc::clone(&catalogue) });

    live.set(true);
    let startup = get(&server, "/startup").await;
    assert_eq!((startup.status, startup.text().as_str()), (200, r#"{"Healthy":null,"Unhealthy":null}"#));
    let reply = get(&server, "/ready").await;
    assert_eq!(reply.status, 500, "the catalogue and ConfigProvider have not reported");
    assert_eq!(reply.text(), r#"{"Healthy":["Dispatcher"],"Unhealthy":["ConfigProvider","healthcheck"]}"#);
    ready.set(true);
    assert_eq!(get(&server, "/ready").await.text(), r#"{"Healthy":["ConfigProvider","Dispatcher"],"Unhealthy":["healthcheck"]}"#);
    assert_eq!(get(&server, "/live").await.body, get(&server, "/anything/else").await.body, "every other path is liveness");
    live.set(false);
    let reply = get(&server, "/live").await;
    assert_eq!((reply.status, reply.text().as_str()), (500, r#"{"Healthy":null,"Unhealthy":["Dispatcher","healthcheck"]}"#));
    server.stop().await;
}

#[actix_rt::test]
async fn metrics_are_served_as_prometheus_text() {
    let server = plain(MetricsServer { render: Arc::new(|| "muster_up 1\n".to_owned()) });
    for path in ["/metrics", "/telemetry"] {
        let reply = get(&server, path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "muster_up 1\n"));
        assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    }
    assert_eq!(get(&server, "/").await.status, 404);
    let reply = Connection::plain(reachable(&server)).await.call(&Call::post("/metrics", "")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET")));
    server.stop().await;
}

#[actix_rt::test]
async fn the_local_api_is_below_agent_and_takes_the_local_token_only() {
    let api = NodeApi {
        tokens: tokens(),
        admin: AdminApi {
            version: AgentVersion::parse("7.81.1", "c").unwrap().body(),
            hostname: Publisher::new("node-a".to_owned()).reader(),
            admin: Arc::new(FakeAdmin::default()),
            health: Arc::new(HealthCatalogue::new(SystemClock::shared())),
            request_timeout: Duration::from_secs(60),
        },
        body_limits: BodyLimits::default(),
    };
    let server = serve(&Setup::default(), api);
    let address = reachable(&server);
    let call = |call: Call| async move { Connection::secure(address).await.call(&call).await };
    assert_eq!(call(Call::get("/agent/hostname").bearer(LOCAL)).await.text(), r#""node-a""#);
    assert_eq!(call(Call::get("/agent/status?format=text").bearer(LOCAL)).await.text(), "=== <status> ===\n");
    assert_eq!(call(Call::post("/agent/config/log_level", "value=debug").bearer(LOCAL)).await.status, 200);
    assert_eq!(call(Call::get("/agent/hostname").bearer(CLUSTER)).await.status, 403);
    assert_eq!(call(Call::get("/agent/hostname")).await.status, 401);
    assert_eq!(call(Call::get("/hostname").bearer(LOCAL)).await.status, 404);
    assert_eq!(call(Call::get("/nope")).await.status, 401);
    assert_eq!(call(Call::get("/agent/stop").bearer(LOCAL)).await.status, 405);
    server.stop().await;
}

#[actix_rt::test]
async fn without_a_local_token_the_local_api_is_closed() {
    let api = NodeApi {
        tokens: Tokens { local: None, ..tokens() },
        admin: AdminApi {
            version: AgentVersion::parse("7.81.1", "c").unwrap().body(),
            hostname: Publisher::new(String::new()).reader(),
            admin: Arc::new(FakeAdmin::default()),
            health: Arc::new(HealthCatalogue::new(SystemClock::shared())),
            request_timeout: Duration::from_secs(60),
        },
        body_limits: BodyLimits::default(),
    };
    let server = serve(&Setup::default(), api);
    let reply = Connection::secure(reachable(&server)).await.call(&Call::get("/agent/hostname").bearer("")).await;
    assert_eq!(reply.status, 403);
    server.stop().await;
}

#[actix_rt::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let server = plain(MetricsServer { render: Arc::new(String::new) });
    let taken = reachable(&server);
    let settings = ListenerSettings::plain("metrics", ListenAddress::Exact(taken));
    let error = listen(settings, Arc::new(MetricsServer { render: Arc::new(String::new) })).unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {taken} for metrics"));
    server.stop().await;
}

#[actix_rt::test]
async fn a_server_that_stops_closes_idle_connections_at_once() {
    let server = plain(MetricsServer { render: Arc::new(|| "muster_up 1\n".to_owned()) });
    let mut connection = Connection::plain(reachable(&server)).await;
    assert_eq!(connection.call(&Call::get("/metrics")).await.status, 200);
    server.stop().await;
    assert!(connection.closed().await);
}

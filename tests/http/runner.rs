//! The runner API. Source: node-runner 8, vectors T12 to T15.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster::api::body::BodyLimits;
use muster::api::listener::BoundServer;
use muster::api::runner::{RunNowError, RunnerApi, StatsSource, StatsView};
use muster::api::version::AgentVersion;
use muster::client::RunnerHttp;
use muster::config::Secret;
use muster::config::settings::IncludePending;
use muster_actors::domain::ids::CheckId;
use muster_actors::ports::{RunnerError, RunnerStats as _};

use crate::client::{Call, Connection, Reply};
use crate::site::{CLUSTER, LOCAL, Setup, reachable, serve, tokens};

#[derive(Default)]
struct Figures {
    views: Mutex<Vec<StatsView>>,
    run: Mutex<Vec<String>>,
}

impl StatsSource for Figures {
    fn stats_json(&self, view: StatsView) -> Bytes {
        self.views.lock().unwrap().push(view);
        Bytes::from_static(b"{}")
    }

    fn workers_json(&self) -> Bytes {
        Bytes::from_static(br#"{"Count":4,"Instances":{"worker_1":{"Utilization":0.25}}}"#)
    }

    fn status_json(&self) -> Bytes {
        Bytes::from_static(br#"{"checks":{}}"#)
    }

    fn run_now(&self, check: CheckId) -> BoxFuture<'_, Result<(), RunNowError>> {
        let answer = match check.as_str() {
            "a:b c:1f" => {
                self.run.lock().unwrap().push(check.to_string());
                Ok(())
            }
            "busy" => Err(RunNowError::Busy),
            "down" => Err(RunNowError::Unavailable),
            _ => Err(RunNowError::Unknown),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn start(include_pending: IncludePending) -> (BoundServer, Arc<Figures>) {
    let figures = Arc::new(Figures::default());
    let api = RunnerApi {
        tokens: tokens(),
        version: AgentVersion::parse("7.81.0-rc.1+git.5.abc", "0a1b2c3").unwrap().body(),
        stats: Arc::clone(&figures) as Arc<dyn StatsSource>,
        include_pending,
        body_limits: BodyLimits::default(),
    };
    (serve(&Setup::default(), api), figures)
}

async fn call(server: &BoundServer, call: Call) -> Reply {
    Connection::secure(reachable(server)).await.call(&call).await
}

#[actix_rt::test]
async fn nr_t12_statistics_need_the_cluster_token() {
    let (server, _) = start(IncludePending::Auto);
    let path = "/api/v1/clcrunner/stats";
    let reply = call(&server, Call::get(path)).await;
    assert_eq!((reply.status, reply.text().as_str()), (401, "no session token provided\n"));
    assert_eq!(call(&server, Call::get(path).bearer("wrong")).await.status, 403);
    assert_eq!(call(&server, Call::get(path).bearer(LOCAL)).await.status, 403);
    let reply = call(&server, Call::get(path).bearer(CLUSTER)).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    server.stop().await;
}

#[actix_rt::test]
async fn nr_t13_t14_workers_and_version() {
    let (server, _) = start(IncludePending::Auto);
    let reply = call(&server, Call::get("/api/v1/clcrunner/workers").bearer(CLUSTER)).await;
    assert_eq!(reply.json()["Count"], 4);
    let reply = call(&server, Call::get("/api/v1/clcrunner/version").bearer(CLUSTER)).await;
    assert_eq!(reply.text(), r#"{"Major":7,"Minor":81,"Patch":0,"Pre":"rc.1","Meta":"git.5.abc","Commit":"0a1b2c3"}"#);
    server.stop().await;
}

#[actix_rt::test]
async fn pending_checks_are_for_callers_that_understand_them() {
    let ours = "muster/0.1.0";
    let stock = "Go-http-client/1.1";
    for (setting, agent, pending) in [
        (IncludePending::Auto, ours, true),
        (IncludePending::Auto, stock, false),
        (IncludePending::Always, stock, true),
        (IncludePending::Never, ours, false),
    ] {
        let (server, figures) = start(setting);
        let bytes = format!(
            "GET /api/v1/clcrunner/stats?verbose=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nAuthorization: Bearer {CLUSTER}\r\n\r\n"
        );
        let mut connection = Connection::secure(reachable(&server)).await;
        connection.send(bytes.as_bytes()).await;
        assert_eq!(connection.reply(true).await.unwrap().status, 200);
        assert_eq!(*figures.views.lock().unwrap(), [StatsView { pending, verbose: true }], "{setting:?} {agent}");
        server.stop().await;
    }
}

#[actix_rt::test]
async fn own_routes_and_methods() {
    let (server, figures) = start(IncludePending::Auto);
    assert_eq!(call(&server, Call::get("/healthz")).await.status, 200, "without a token");
    assert_eq!(call(&server, Call::get("/status").bearer(LOCAL)).await.text(), r#"{"checks":{}}"#);
    assert_eq!(call(&server, Call::get("/status")).await.status, 401);
    let run = |check: &str| Call::post(&format!("/checks/{check}/run"), "").bearer(CLUSTER);
    assert_eq!(call(&server, run("a:b%20c:1f")).await.status, 200);
    assert_eq!(*figures.run.lock().unwrap(), ["a:b c:1f"]);
    let reply = call(&server, run("nosuch")).await;
    assert_eq!((reply.status, reply.text().as_str()), (404, "{\"error\":\"check is not scheduled here\"}\n"));
    assert_eq!(call(&server, run("busy")).await.status, 409);
    assert_eq!(call(&server, run("down")).await.status, 503);
    assert_eq!(call(&server, Call::post("/api/v1/clcrunner/stats", "").bearer(CLUSTER)).await.status, 405);
    assert_eq!(call(&server, Call::get("/checks/x/run").bearer(CLUSTER)).await.status, 405);
    assert_eq!(call(&server, Call::get("/version").bearer(CLUSTER)).await.status, 404);
    server.stop().await;
}

#[actix_rt::test]
async fn our_own_cluster_role_is_told_everything_and_only_with_the_token() {
    // A second installation in the same test process fails and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (server, figures) = start(IncludePending::Auto);
    let address = reachable(&server);
    let (ip, carrier) = (address.ip().to_string(), tokio::runtime::Handle::current());
    let client = |token: &str| RunnerHttp::try_new(&Secret::new(token.to_owned()), address.port(), "0.1.0", carrier.clone()).unwrap();
    assert!(client(CLUSTER).stats(&ip).await.unwrap().is_empty());
    assert_eq!(client(CLUSTER).workers(&ip).await, Ok(4));
    assert_eq!(figures.views.lock().unwrap().as_slice(), [StatsView { pending: true, verbose: false }]);
    let refused = RunnerError::Refused { status: 403, body: "invalid session token".to_owned() };
    assert_eq!(client(LOCAL).stats(&ip).await, Err(refused));
    server.stop().await;
}

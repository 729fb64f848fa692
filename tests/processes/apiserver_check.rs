//! The check `kubernetes_apiserver` as a cluster check: dispatched, loaded and run by real runners, on a made-up API server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::{StreamExt as _, stream};
use muster::demo::stage::Actor;
use serde_json::{Value, json};

use crate::scene::{Scene, exit_code, muster, signal, until};

/// What the API server holds.
#[derive(Default)]
struct Cluster {
    events: Vec<Value>,
    /// By name.
    config_maps: BTreeMap<String, Value>,
    /// Version of the newest change of a ConfigMap.
    changes: u64,
    requests: u64,
}

/// A small API server: events, ConfigMaps, one component; everything else is not found.
struct ApiServer {
    address: SocketAddr,
    cluster: Arc<Mutex<Cluster>>,
    server: ServerHandle,
}

impl ApiServer {
    fn start() -> Self {
        let cluster = Arc::new(Mutex::new(Cluster::default()));
        let shared = web::Data::from(Arc::clone(&cluster));
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let address = server.addrs()[0];
        let running = server.run();
        let handle = running.handle();
        actix_rt::spawn(running);
        Self { address, cluster, server: handle }
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap()
    }

    /// A pod says something.
    fn make_event(&self, number: u64) {
        let at = "2026-01-02T03:04:05Z";
        self.cluster().events.push(json!({
            "metadata": {"name": format!("pod.{number}"), "namespace": "shop", "resourceVersion": (100 + number).to_string()},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "pod", "uid": "u1"},
            "reason": "Said", "message": format!("word {number}."), "type": "Normal", "count": 1,
            "firstTimestamp": at, "lastTimestamp": at, "source": {"component": "kubelet", "host": "n1"}, "reportingComponent": "kubelet",
        }));
    }

    fn token(&self) -> String {
        self.cluster().config_maps.get("datadogtoken").map(|map| map["data"]["event.tokenKey"].to_string()).unwrap_or_default()
    }

    fn kubeconfig(&self, scene: &Scene) -> String {
        let path = scene.stage.folder().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u, namespace: monitoring}}}}]\ncurrent-context: x\n",
            self.address
        );
        std::fs::write(&path, text).unwrap();
        format!("kubernetes_kubeconfig_path={}", path.display())
    }
}

fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404}))
}

async fn answer(request: HttpRequest, body: web::Bytes, cluster: web::Data<Mutex<Cluster>>) -> HttpResponse {
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
    let mut cluster = cluster.lock().unwrap();
    cluster.requests += 1;
    if let Some(name) = request.path().strip_prefix("/api/v1/namespaces/monitoring/configmaps") {
        return config_map(&mut cluster, request.method(), name.trim_start_matches('/'), &body);
    }
    let newest = (100 + cluster.events.len() as u64).to_string();
    match request.path() {
        "/version" => HttpResponse::Ok().json(json!({"major": "1", "minor": "33", "gitVersion": "v1.33.1"})),
        "/api/v1/nodes" => HttpResponse::Ok().json(json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": []})),
        "/api/v1/componentstatuses" => HttpResponse::Ok().json(json!({"metadata": {}, "items": [
            {"metadata": {"name": "etcd-0"}, "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]},
        ]})),
        "/api/v1/events" if query.contains_key("watch") => {
            let from: u64 = query["resourceVersion"].parse().unwrap_or(0);
            let is_new = |event: &&Value| event["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > from;
            let lines: Vec<u8> = cluster
                .events
                .iter()
                .filter(is_new)
                .flat_map(|event| format!("{}\n", json!({"type": "ADDED", "object": event})).into_bytes())
                .collect();
            let lasts = Duration::from_secs(query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(1));
            let end = stream::once(async move {
                tokio::time::sleep(lasts).await;
                web::Bytes::new()
            });
            let changes = stream::once(async { web::Bytes::from(lines) }).chain(end).map(Ok::<_, actix_web::Error>);
            HttpResponse::Ok().content_type("application/json").streaming(changes)
        }
        "/api/v1/events" => {
            HttpResponse::Ok().json(json!({"kind": "EventList", "metadata": {"resourceVersion": newest}, "items": cluster.events}))
        }
        _ => not_found(),
    }
}

/// Reads, creates and updates as the API server does, with conflicts.
fn config_map(cluster: &mut Cluster, method: &Method, name: &str, body: &[u8]) -> HttpResponse {
    let mut sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let known = cluster.config_maps.get(name);
    match *method {
        Method::GET => known.map_or_else(not_found, |map| HttpResponse::Ok().json(map)),
        Method::PUT if known.is_none_or(|map| map["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"]) => {
            HttpResponse::Conflict()
                .json(json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "message": "modified", "code": 409}))
        }
        _ => {
            cluster.changes += 1;
            sent["metadata"]["resourceVersion"] = cluster.changes.to_string().into();
            let name = sent["metadata"]["name"].as_str().unwrap().to_owned();
            cluster.config_maps.insert(name, sent.clone());
            HttpResponse::Ok().json(sent)
        }
    }
}

const DISPATCHED: &str = "cluster_check: true
init_config: {}
instances:
  - skip_leader_election: true
    collect_events: true
    unbundle_events: true
    collected_event_types: [{kind: Pod}]
    kubernetes_event_read_timeout_ms: 1000
    min_collection_interval: 1
";

fn says(actor: &Actor, number: u64) -> bool {
    actor.log().contains(&format!("word {number}."))
}

#[actix_rt::test]
async fn a_dispatched_check_forwards_events_and_the_next_runner_goes_on_where_the_first_one_ended() {
    let scene = Scene::set();
    let api = ApiServer::start();
    let kubeconfig = api.kubeconfig(&scene);
    scene.stage.write_check_file("kubernetes_apiserver.yaml", DISPATCHED).unwrap();
    let _server = scene.start_server();
    let start = |number| scene.stage.start_runner_with(number, &["--set", "muster.outputs=stdout", "--set", &kubeconfig]).unwrap();
    api.make_event(1);
    let mut first = start(1);
    until("the first runner forwards", async || says(&first, 1)).await;
    // As a check does on any node: its service check, its gauges, its place in the status.
    until("the control plane is reported", async || first.log().contains("kube_apiserver_controlplane.up")).await;
    let folder = scene.stage.folder_of("runner-1").display().to_string();
    let status = async || muster(&["node", "status", "-c", &folder]).await.out;
    until("the status shows it", async || status().await.contains("Events Forwarded: 1")).await;
    // A run tells what was published before it.
    let warning = "Warning: failed to read the metrics of the API server";
    until("a run of the check warns", async || status().await.contains(warning)).await;
    let shown = status().await;
    assert!(shown.contains("kubernetes_apiserver") && shown.contains("etcd-0 [OK]") && !shown.contains("[ERROR]"), "{shown}");

    (2..=20).for_each(|number| api.make_event(number));
    signal(first.pid().unwrap(), "TERM").await;
    assert_eq!(exit_code(&mut first).await, 0, "{}", first.log());
    let last_of_first = (1..=20).filter(|number| says(&first, *number)).max().unwrap();
    let stored: u64 = api.token().trim_matches('"').parse().unwrap();
    assert!(stored >= 101 && stored <= 100 + last_of_first, "{stored}: never further than what was sent, {last_of_first}");
    (21..=30).for_each(|number| api.make_event(number));
    let second = start(2);
    until("every event was forwarded", async || (1..=30).all(|number| says(&first, number) || says(&second, number))).await;
    until("the token is that of the last one", async || api.token() == "\"130\"").await;
    assert!(!says(&second, 1), "what was stored as safe is not sent again");
    drop(second);
    api.server.stop(false).await;
}

#[actix_rt::test]
async fn ca_c7_behind_a_cluster_agent_a_check_that_does_not_skip_the_election_asks_nothing() {
    let scene = Scene::set();
    let api = ApiServer::start();
    let kubeconfig = api.kubeconfig(&scene);
    api.make_event(1);
    let check = DISPATCHED.replace("skip_leader_election: true", "skip_leader_election: false");
    scene.stage.write_check_file("kubernetes_apiserver.yaml", &check).unwrap();
    let _server = scene.start_server();
    let runner = scene.stage.start_runner_with(1, &["--set", "muster.outputs=stdout", "--set", &kubeconfig]).unwrap();
    let folder = scene.stage.folder_of("runner-1").display().to_string();
    let status = async || muster(&["node", "status", "-c", &folder]).await.out;
    until("it has run", async || status().await.contains("kubernetes_apiserver")).await;
    until("it says so", async || runner.log().contains("collects nothing here, the cluster agent does")).await;
    let shown = status().await;
    assert!(!shown.contains("[ERROR]") && !shown.contains("[WARNING]") && !shown.contains("Kubernetes Events"), "{shown}");
    assert_eq!((api.cluster().requests, says(&runner, 1)), (0, false));
    api.server.stop(false).await;
}

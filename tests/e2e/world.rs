//! A cluster with nodes, annotated services and our manifests in it, and the agents and replicas that live there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use muster_rig::{ControlPlane, Identity, Options, PatchKind, until};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::agents::{Agent, Service, endpoint_agent, runner};
use crate::ledger::{Ledger, Sums};
use crate::prober::Prober;
use crate::replica::Replica;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Namespace of the manifests.
pub const HOME: &str = "muster";

/// Namespace of the services.
pub const SHOP: &str = "shop";

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub nodes: usize,
    pub runners: usize,
    /// Services with a cluster check.
    pub cluster_checks: usize,
    /// Services with an endpoint check, each with two pods.
    pub endpoint_checks: usize,
    /// Services whose annotations have a mistake.
    pub mistakes: usize,
    pub replicas: usize,
    pub lease_seconds: u64,
}

pub struct World {
    pub size: Size,
    pub plane: ControlPlane,
    pub admin: Identity,
    pub replicas: Vec<Replica>,
    pub service: Service,
    pub runners: Ledger,
    pub endpoints: Ledger,
    agents: BTreeMap<String, Agent>,
    _folder: TempDir,
}

impl World {
    /// Starts everything, and returns when every check runs where it stays.
    pub async fn start(size: Size) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let plane = ControlPlane::start(Options::full().audit()).await.unwrap();
        let admin = plane.admin();
        apply_manifests(&admin, size.runners).await;
        for number in 0..size.nodes {
            admin.make_node(&node_name(number), &[]).await.unwrap();
        }
        make_services(&admin, size).await;
        let folder = tempfile::tempdir().unwrap();
        let environment = replica_environment(&admin, size.lease_seconds).await;
        let account = admin.service_account(HOME, "muster-cluster").await.unwrap();
        let mut world = Self {
            size,
            plane,
            admin,
            replicas: Vec::new(),
            service: Service::default(),
            runners: Ledger::default(),
            endpoints: Ledger::default(),
            agents: BTreeMap::new(),
            _folder: folder,
        };
        // One more than run, so that a new one can start before an old one goes.
        for number in 0..=size.replicas {
            let name = format!("muster-cluster-{number}");
            world.replicas.push(Replica::new(&name, environment.clone(), &account, world._folder.path()).await);
        }
        for number in 0..size.replicas {
            world.start_replica(number);
        }
        for replica in world.replicas.iter().filter(|replica| replica.runs()) {
            replica.until_ready().await;
        }
        world.follow_runners().await;
        for number in 0..size.nodes {
            let name = node_name(number);
            world.agents.insert(name.clone(), endpoint_agent(&name, &world.service, TOKEN, &world.endpoints));
        }
        world.until_settled().await;
        world
    }

    pub fn start_replica(&mut self, number: usize) {
        self.replicas[number].start();
        self.service.add(self.replicas[number].port);
    }

    pub async fn kill_replica(&mut self, number: usize) {
        self.replicas[number].kill().await;
        self.service.remove(self.replicas[number].port);
    }

    pub async fn stop_replica(&mut self, number: usize) {
        // A pod that ends is out of the Service at once.
        self.service.remove(self.replicas[number].port);
        self.replicas[number].stop().await;
    }

    /// One runner model for each running pod of the runners' Deployment; those whose pod is gone stop.
    pub async fn follow_runners(&mut self) {
        let names = self.runner_pods().await;
        let gone: Vec<String> = self.runners.accounts().into_keys().filter(|name| !names.contains(name)).collect();
        for name in gone {
            self.agents.remove(&name);
            self.runners.forget(&name);
        }
        for name in names {
            let (service, runners) = (&self.service, &self.runners);
            self.agents.entry(name.clone()).or_insert_with(|| runner(&name, service, TOKEN, runners));
        }
    }

    pub async fn runner_pods(&self) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{HOME}/pods?labelSelector=app%3Dmuster-runner");
        let list = self.admin.get(&path).await.unwrap();
        let running = list["items"].as_array().unwrap().iter().filter(|pod| pod["status"]["phase"] == "Running");
        running.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(|pod| text(&pod["metadata"]["name"])).collect()
    }

    /// A prober of all replicas that beats the heart of an existing runner.
    pub fn prober(&self) -> Prober {
        let runner = self.runners.accounts().into_keys().next().expect("there is a runner");
        Prober::start(self.replicas.iter().map(|replica| replica.port), TOKEN, &runner)
    }

    /// Waits until every good check runs exactly once, and nothing changed for a few polls.
    pub async fn until_settled(&self) {
        let settled = async || self.complete();
        if until("every check runs once", settled).await.is_err() {
            panic!("{}\n{}", self.shortage(), self.words());
        }
        let mut before = self.sums();
        for quiet in 0.. {
            sleep(Duration::from_secs(1)).await;
            let now = self.sums();
            let changed = now.since(before);
            before = now;
            if quiet >= 3 && changed == Sums::default() && self.complete() {
                return;
            }
            assert!(quiet < 120, "it does not come to rest: {changed:?}\n{}", self.shortage());
        }
    }

    pub fn sums(&self) -> Sums {
        Sums::of(&[&self.runners, &self.endpoints])
    }

    fn complete(&self) -> bool {
        self.runners.owners().len() == self.size.cluster_checks && self.endpoints.owners().len() == 2 * self.size.endpoint_checks
    }

    fn shortage(&self) -> String {
        format!(
            "cluster checks {} of {}, endpoint checks {} of {}",
            self.runners.owners().len(),
            self.size.cluster_checks,
            self.endpoints.owners().len(),
            2 * self.size.endpoint_checks
        )
    }

    /// The ends of the logs of all replicas.
    pub fn words(&self) -> String {
        self.replicas
            .iter()
            .filter(|replica| replica.runs())
            .map(|replica| format!("== {}\n{}\n", replica.name, replica.last_words()))
            .collect()
    }

    pub fn number_of(&self, port: u16) -> usize {
        self.replicas.iter().position(|replica| replica.port == port).expect("a port of ours")
    }

    /// Panics if the API server ever refused something to the service account of the manifests.
    pub fn assert_rights_suffice(&self) {
        let audit = self.plane.audit().unwrap();
        let ours = |entry: &&Json| entry["user"]["username"] == format!("system:serviceaccount:{HOME}:muster-cluster");
        let refused: Vec<String> = audit
            .iter()
            .filter(ours)
            .filter(|entry| entry["responseStatus"]["code"] == 403)
            .map(|entry| format!("{} {}", entry["verb"], entry["requestURI"]))
            .collect();
        assert!(refused.is_empty(), "a right is missing in deploy/: {refused:#?}");
        assert!(audit.iter().any(|entry| ours(&entry)), "the replicas asked as their service account");
    }
}

pub fn node_name(number: usize) -> String {
    format!("node-{number}")
}

pub fn text(value: &Json) -> String {
    value.as_str().expect("a text").to_owned()
}

async fn apply_manifests(admin: &Identity, runners: usize) {
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/overlays/with-runners");
    admin.apply_path(&overlay).await.unwrap();
    let secret = json!({"metadata": {"name": "muster"}, "stringData": {"token": TOKEN, "api-key": "0".repeat(32)}});
    admin.create(&format!("/api/v1/namespaces/{HOME}/secrets"), &secret).await.unwrap();
    let deployments = format!("/apis/apps/v1/namespaces/{HOME}/deployments");
    // Our replicas are processes of the test; runners are pods, each with a model that polls.
    scale(admin, &format!("{deployments}/muster-cluster"), 0).await;
    scale(admin, &format!("{deployments}/muster-runner"), runners).await;
    let nodes_first = json!({"spec": {"template": {"spec": {"affinity": null}}}});
    admin.patch(&format!("{deployments}/muster-runner"), PatchKind::Merge, &nodes_first).await.unwrap();
}

async fn scale(admin: &Identity, deployment: &str, replicas: usize) {
    admin.patch(deployment, PatchKind::Merge, &json!({"spec": {"replicas": replicas}})).await.unwrap();
}

/// The environment that the manifest gives a replica, with references resolved as a kubelet does.
async fn replica_environment(admin: &Identity, lease_seconds: u64) -> BTreeMap<String, String> {
    let deployment = admin.get(&format!("/apis/apps/v1/namespaces/{HOME}/deployments/muster-cluster")).await.unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mut environment = BTreeMap::new();
    for entry in container["env"].as_array().unwrap() {
        let name = text(&entry["name"]);
        let from = &entry["valueFrom"];
        let value = match (entry["value"].as_str(), from["fieldRef"]["fieldPath"].as_str(), from["secretKeyRef"]["key"].as_str()) {
            (Some(value), _, _) => value.to_owned(),
            (_, Some("metadata.namespace"), _) => HOME.to_owned(),
            (_, Some("metadata.name"), _) => continue,
            (_, _, Some("token")) => TOKEN.to_owned(),
            (_, _, Some("api-key")) => "0".repeat(32),
            _ => panic!("the manifest sets {name} in a way that this test does not know: {entry}"),
        };
        environment.insert(name, value);
    }
    environment.insert("DD_LEADER_LEASE_DURATION".to_owned(), lease_seconds.to_string());
    environment
}

async fn make_services(admin: &Identity, size: Size) {
    admin.create("/api/v1/namespaces", &json!({"metadata": {"name": SHOP}})).await.unwrap();
    let services = format!("/api/v1/namespaces/{SHOP}/services");
    let pods = format!("/api/v1/namespaces/{SHOP}/pods");
    until("pods may be created", async || admin.get(&format!("/api/v1/namespaces/{SHOP}/serviceaccounts/default")).await.is_ok())
        .await
        .unwrap();
    let nodes: Vec<String> = (0..size.nodes).map(node_name).collect();
    let mut wanted = Vec::new();
    let mut behind = Vec::new();
    for number in 0..size.cluster_checks {
        wanted.push(annotated(&format!("cluster-{number}"), &cluster_check(number)));
    }
    for number in 0..size.endpoint_checks {
        let name = format!("endpoints-{number}");
        wanted.push(annotated(&name, &endpoint_check(number)));
        let spread = [nodes[number % nodes.len()].clone(), nodes[(number + 1) % nodes.len()].clone()];
        behind.extend(muster_rig::pods(&name, &spread, 2));
    }
    for number in 0..size.mistakes {
        wanted.push(annotated(&format!("mistake-{number}"), &mistake(number)));
    }
    admin.create_all(&services, wanted).await.unwrap();
    admin.create_all(&pods, behind).await.unwrap();
}

fn annotated(name: &str, annotations: &Json) -> Json {
    json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]},
    })
}

pub fn cluster_check(number: usize) -> Json {
    let instance = json!({"name": format!("check-{number}"), "url": "http://%%host%%:%%port%%/"});
    json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": [instance]}}).to_string()})
}

fn endpoint_check(number: usize) -> Json {
    json!({
        "ad.datadoghq.com/endpoints.check_names": "[\"http_check\"]",
        "ad.datadoghq.com/endpoints.init_configs": "[{}]",
        "ad.datadoghq.com/endpoints.instances":
            json!([{"name": format!("endpoint-{number}"), "url": "http://%%host%%:%%port%%/"}]).to_string(),
    })
}

fn mistake(number: usize) -> Json {
    match number % 4 {
        0 => json!({"ad.datadoghq.com/service.checks": "{\"http_check\": "}),
        1 => json!({"ad.datadoghq.com/service.check_names": "[\"a\"]", "ad.datadoghq.com/service.init_configs": "[{}]"}),
        2 => json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": ["no object"]}}).to_string()}),
        _ => json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": [{"url": "http://%%nope%%/"}]}}).to_string()}),
    }
}

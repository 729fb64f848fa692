//! A cluster with nodes, annotated services and our manifests in it, and the agents and replicas that live there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use muster_rig::{ControlPlane, Identity, Options, until};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::agents::{Agent, Service, endpoint_agent, runner};
use crate::ledger::{Ledger, Sums};
use crate::prober::Prober;
use crate::replica::Replica;
use crate::scenery::{apply_manifests, make_services, replica_environment};
use crate::statistics::Statistics;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Address of models that have none of their own.
pub const LOCALHOST: &str = "127.0.0.1";

/// Namespace of the manifests.
pub const HOME: &str = "muster";

/// The Deployment of the runners, for the API server.
pub const RUNNER_DEPLOYMENT: &str = "/apis/apps/v1/namespaces/muster/deployments/muster-runner";

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
    /// Who answers for runners; if nobody does, nobody knows what their checks cost.
    pub statistics: Option<Statistics>,
    agents: BTreeMap<String, Agent>,
    folder: TempDir,
}

impl World {
    /// Starts everything, and returns when every check runs where it stays.
    pub async fn start(size: Size) -> Self {
        let mut world = Self::prepare(size).await;
        world.run().await;
        world
    }

    /// Everything but processes and models of ours: a test may change rights and settings before they [`Self::run`].
    pub async fn prepare(size: Size) -> Self {
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
            statistics: None,
            agents: BTreeMap::new(),
            folder,
        };
        // One more than run, so that a new one can start before an old one goes.
        for number in 0..=size.replicas {
            let name = format!("muster-cluster-{number}");
            let replica = Replica::new(&name, environment.clone(), &account, world.folder()).await;
            world.replicas.push(replica);
        }
        world
    }

    /// Starts replicas and agents, and returns when every check runs where it stays.
    pub async fn run(&mut self) {
        self.launch().await;
        // Whoever has nobody to ask never comes to rest.
        if self.size.replicas > 0 {
            self.until_settled().await;
        }
    }

    /// Starts replicas and agents, and returns when they are ready.
    pub async fn launch(&mut self) {
        for number in 0..self.size.replicas {
            self.start_replica(number);
        }
        for replica in self.replicas.iter().filter(|replica| replica.runs()) {
            replica.until_ready().await;
        }
        self.until("all runners are there", async || self.runners_rolled_out().await).await;
        self.follow_runners().await;
        for number in 0..self.size.nodes {
            let name = node_name(number);
            self.agents.insert(name.clone(), endpoint_agent(&name, &self.service, TOKEN, &self.endpoints));
        }
    }

    /// A folder of this test, gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
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

    /// One runner model for each running pod of the runners' Deployment, also while it terminates; those whose pod is gone stop.
    pub async fn follow_runners(&mut self) {
        let pods = self.runner_pods().await;
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
        let names: Vec<String> = running.map(|pod| text(&pod["metadata"]["name"])).collect();
        let gone: Vec<String> = self.runners.accounts().into_keys().filter(|name| !names.contains(name)).collect();
        for name in gone {
            self.agents.remove(&name);
            self.runners.forget(&name);
        }
        for name in names {
            let (service, runners, address) = (&self.service, &self.runners, self.address_of(&name));
            self.agents.entry(name.clone()).or_insert_with(|| runner(&name, &address, service, TOKEN, runners));
        }
    }

    /// Where a runner is said to serve its statistics.
    fn address_of(&self, runner: &str) -> String {
        self.statistics.as_ref().map_or_else(|| LOCALHOST.to_owned(), |statistics| statistics.move_in(runner))
    }

    pub async fn runner_pods(&self) -> Vec<Json> {
        let path = format!("/api/v1/namespaces/{HOME}/pods?labelSelector=app%3Dmuster-runner");
        let mut list = self.admin.get(&path).await.unwrap();
        list["items"].as_array_mut().map(std::mem::take).unwrap()
    }

    /// Whether all runners are of the newest template, and there are as many as there should be.
    pub async fn runners_rolled_out(&self) -> bool {
        let deployment = self.admin.get(RUNNER_DEPLOYMENT).await.unwrap();
        let status = &deployment["status"];
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap();
        let counts = ["replicas", "updatedReplicas", "availableReplicas"].map(|count| status[count].as_u64().unwrap_or(0));
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && counts == [wanted; 3]
            && self.runner_pods().await.len() as u64 == wanted
    }

    /// A prober of all replicas that beats the heart of an existing runner.
    pub fn prober(&self) -> Prober {
        let runner = self.runners.accounts().into_keys().next().expect("there is a runner");
        Prober::start(self.replicas.iter().map(|replica| replica.port), TOKEN, &runner, &self.address_of(&runner))
    }

    /// The replica that leads; waits until there is one.
    pub async fn until_led(&self, prober: &Prober) -> usize {
        self.until("a replica leads", async || prober.leader().is_some()).await;
        self.number_of(prober.leader().expect("seen above"))
    }

    /// Waits until every agent was answered three times more.
    pub async fn until_all_polled(&self) {
        let answered = || {
            let accounts = self.runners.accounts().into_iter().chain(self.endpoints.accounts());
            accounts.map(|(name, account)| (name, account.answered)).collect::<BTreeMap<_, _>>()
        };
        let before = answered();
        let polled = async || answered().iter().all(|(name, now)| *now >= before.get(name).copied().unwrap_or(0) + 3);
        self.until("every agent polls", polled).await;
    }

    /// Waits until `look` finds what it wants, and says what every replica logged when it never does.
    pub async fn until(&self, what: &str, look: impl AsyncFnMut() -> bool) {
        if let Err(error) = until(what, look).await {
            panic!("{error}\n{}\n{}", self.shortage(), self.words());
        }
    }

    /// Waits until every good check runs exactly once, and nothing changed for a few polls.
    pub async fn until_settled(&self) {
        self.until_quiet(3).await;
    }

    /// Waits until every good check runs exactly once, and nothing changed for so many seconds.
    pub async fn until_quiet(&self, seconds: u32) {
        self.until("every check runs once", async || self.complete()).await;
        let mut before = self.sums();
        let mut quiet = 0;
        for waited in 0.. {
            sleep(Duration::from_secs(1)).await;
            let now = self.sums();
            let changed = now.since(before);
            before = now;
            quiet = if changed == Sums::default() && self.complete() { quiet + 1 } else { 0 };
            if quiet == seconds {
                return;
            }
            assert!(waited < 120, "it does not come to rest: {changed:?}\n{}", self.shortage());
        }
    }

    pub fn sums(&self) -> Sums {
        Sums::of(&[&self.runners, &self.endpoints])
    }

    pub fn complete(&self) -> bool {
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
        let running = self.replicas.iter().filter(|replica| replica.runs());
        running.map(|replica| ["== ", &replica.name, "\n", &replica.last_words(), "\n"].concat()).collect()
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

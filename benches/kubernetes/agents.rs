//! Agents that speak the stock wire and run nothing: runners of cluster checks, and node agents.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use serde_json::Value as Json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::report::Report;
use crate::wire::{connect, get, post_status};

/// Between two polls of a stock agent.
const POLL: Duration = Duration::from_secs(10);

/// A node agent asks for the services of its pods with every so many-th poll.
const POLLS_PER_LOOK: usize = 6;

/// When a check name first came to its owner. Units: nanoseconds since the Unix epoch.
type Arrivals = Arc<Mutex<BTreeMap<String, i64>>>;

/// Runners of cluster checks. Source: cluster-checks 9.1.
pub struct Runners {
    arrivals: Arrivals,
    /// Between two polls. Units: milliseconds.
    pause: Arc<AtomicU64>,
    running: Vec<JoinHandle<()>>,
}

impl Runners {
    pub fn start(address: SocketAddr, count: usize, clock: &SystemClock) -> Self {
        let arrivals = Arrivals::default();
        let pause = Arc::new(AtomicU64::new(1_000));
        let runner = |number| {
            let (clock, arrivals, pause) = (clock.clone(), Arc::clone(&arrivals), Arc::clone(&pause));
            tokio::spawn(run(address, number, clock, arrivals, pause))
        };
        let running = (0..count).map(runner).collect();
        Self { arrivals, pause, running }
    }

    /// Time between two polls of each from now on.
    pub fn poll_every(&self, pause: Duration) {
        self.pause.store(pause.as_millis() as u64, Ordering::Relaxed);
    }

    /// When a check of this name first came to its owner.
    pub fn arrival(&self, check: &str) -> Option<i64> {
        self.arrivals.lock().unwrap().get(check).copied()
    }

    /// Waits until so many configs have an owner; from then on polls come as those of stock runners.
    pub async fn until_placed(&self, address: SocketAddr, configs: usize, report: &Report) {
        let mut connection = connect(address).await;
        for look in 0.. {
            let table: Json = serde_json::from_str(&get(&mut connection, "/api/v1/muster/assignments").await).unwrap();
            let placed: usize = table["nodes"].as_array().unwrap().iter().map(|node| node["configs"].as_array().unwrap().len()).sum();
            if placed == configs {
                self.poll_every(POLL);
                return;
            }
            if look % 10 == 0 {
                report.say(&format!("{placed} of {configs} checks have an owner"));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

impl Drop for Runners {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

async fn run(address: SocketAddr, number: usize, clock: SystemClock, arrivals: Arrivals, pause: Arc<AtomicU64>) {
    let mut connection = connect(address).await;
    let (name, ip) = (format!("muster-runner-{number}"), format!("10.1.0.{}", number + 1));
    let mut stamp = 0;
    loop {
        if post_status(&mut connection, &name, &ip, stamp).await.contains("false") {
            let answer = get(&mut connection, &format!("/api/v1/clusterchecks/configs/{name}")).await;
            let at = clock.unix_nanos();
            let set: Json = serde_json::from_str(&answer).unwrap();
            stamp = set["last_change"].as_i64().unwrap();
            let mut arrivals = arrivals.lock().unwrap();
            for config in set["configs"].as_array().unwrap() {
                arrivals.entry(config["check_name"].as_str().unwrap().to_owned()).or_insert(at);
            }
        }
        sleep(Duration::from_millis(pause.load(Ordering::Relaxed))).await;
    }
}

/// Node agents: each with a connection of its own, they ask for their endpoint checks and the services of their pods.
pub struct Agents(Vec<JoinHandle<()>>);

impl Agents {
    /// Returns when all are connected and had an answer.
    pub async fn start(address: SocketAddr, nodes: &[String]) -> Self {
        let mut agents = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let mut connection = connect(address).await;
            let node = node.clone();
            get(&mut connection, &format!("/api/v1/tags/pod/{node}")).await;
            agents.push(tokio::spawn(async move {
                sleep(POLL * (number % 100) as u32 / 100).await;
                for poll in number.. {
                    get(&mut connection, &format!("/api/v1/endpointschecks/configs/{node}")).await;
                    if poll % POLLS_PER_LOOK == 0 {
                        get(&mut connection, &format!("/api/v1/tags/pod/{node}")).await;
                    }
                    sleep(POLL).await;
                }
            }));
        }
        Self(agents)
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

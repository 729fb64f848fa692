//! Every event of the cluster reaches the intake, whatever happens to replicas, API server and intake; and the stored token never
//! stands further than what arrived.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_rig::Identity;
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::intake::{Intake, MARK};
use crate::world::{HOME, SHOP, Size, World, text};

/// Objects that the events are about.
const OBJECTS: u32 = 40;

/// Time between the beginnings of two creations; what an outage held up is made up for. Units: milliseconds.
const STEP: u64 = 16;

/// Runs come every second here, so that a round is under way whatever happens.
const CHECK: &str = "instances:\n- collect_events: true\n  kubernetes_event_read_timeout_ms: 1000\n  min_collection_interval: 1\n";

/// Version of an event that was created, by its number.
type Created = Arc<Mutex<BTreeMap<u32, u64>>>;

/// Creates numbered events, whatever the API server does.
struct Source {
    created: Created,
    ended: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Source {
    fn start(admin: &Identity, numbers: std::ops::Range<u32>) -> Self {
        let (created, ended) = (Created::default(), Arc::new(AtomicBool::new(false)));
        let (admin, versions, end) = (admin.clone(), Arc::clone(&created), Arc::clone(&ended));
        let mut beats = interval(Duration::from_millis(STEP));
        let task = tokio::spawn(async move {
            for number in numbers {
                beats.tick().await;
                let version = create(&admin, number).await;
                versions.lock().unwrap().insert(number, version);
            }
            end.store(true, Ordering::SeqCst);
        });
        Self { created, ended, task }
    }

    fn count(&self) -> usize {
        self.created.lock().unwrap().len()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Creates one until it is there, and returns its version.
async fn create(admin: &Identity, number: u32) -> u64 {
    let (events, name) = (format!("/api/v1/namespaces/{SHOP}/events"), format!("numbered-{number}"));
    let object = format!("web-{}", number % OBJECTS);
    let event = json!({
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "namespace": SHOP, "name": object, "uid": format!("uid-of-{object}"), "apiVersion": "v1"},
        "reason": "Numbered", "message": format!("{MARK}{number}."), "type": if number.is_multiple_of(3) { "Warning" } else { "Normal" },
        "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "numberer", "host": "node-0"}, "reportingComponent": "numberer",
    });
    loop {
        let made = match admin.create(&events, &event).await {
            // It was made, and the answer was lost.
            Err(error) if error.status() == Some(409) => admin.get(&format!("{events}/{name}")).await,
            made => made,
        };
        match made {
            Ok(made) => return text(&made["metadata"]["resourceVersion"]).parse().unwrap(),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// The stored token, unless the API server does not answer.
async fn token(admin: &Identity) -> Option<u64> {
    let path = format!("/api/v1/namespaces/{HOME}/configmaps/datadogtoken");
    let map = timeout(Duration::from_secs(5), admin.get(&path)).await.ok()?.ok()?;
    map["data"]["event.tokenKey"].as_str()?.parse().ok()
}

/// Looks at the token all the time.
struct Watchman {
    task: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Watchman {
    /// Panics when the token goes back. `strict`: also when it stands further than what has arrived, as it may only where there is no disk
    /// that keeps what the intake has not taken.
    fn start(admin: &Identity, intake: &Arc<Intake>, created: &Created, strict: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (admin, intake, created, stopped) = (admin.clone(), Arc::clone(intake), Arc::clone(created), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (mut before, mut looks) = (0, 0);
            while !stopped.load(Ordering::SeqCst) {
                if let Some(token) = token(&admin).await {
                    assert!(token >= before, "the token went back from {before} to {token}");
                    before = token;
                    looks += 1;
                    let seen = intake.seen();
                    let created = created.lock().unwrap().clone();
                    let ahead: Vec<_> =
                        created.iter().filter(|(number, version)| **version <= token && !seen.contains_key(number)).collect();
                    assert!(!strict || ahead.is_empty(), "the token {token} is ahead of {} events: {:?}", ahead.len(), ahead.first());
                }
                sleep(Duration::from_millis(100)).await;
            }
            looks
        });
        Self { task, stop }
    }

    /// How often it looked.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// The replica that holds the lock.
async fn holder(world: &World) -> Option<usize> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/muster-leader-election");
    let lease = timeout(Duration::from_secs(5), world.admin.get(&path)).await.ok()?.ok()?;
    let name = lease["spec"]["holderIdentity"].as_str()?.to_owned();
    world.replicas.iter().position(|replica| replica.name == name)
}

async fn until_held(world: &World) -> usize {
    world
        .until("a replica that runs holds the lock", async || holder(world).await.is_some_and(|leader| world.replicas[leader].runs()))
        .await;
    holder(world).await.expect("seen above")
}

/// Waits until events arrive that were created after this call: whoever leads forwards again.
async fn until_flowing(world: &World, intake: &Intake, source: &Source) {
    let before = source.count();
    let flows = async || {
        let newest = intake.seen().last_key_value().map_or(0, |(number, _)| *number as usize);
        newest > before || source.ended.load(Ordering::SeqCst)
    };
    world.until("events arrive again", flows).await;
}

async fn until_all_arrived(world: &World, intake: &Intake, source: &Source) {
    world.until("all events are created", async || source.ended.load(Ordering::SeqCst)).await;
    let missing = || {
        let seen = intake.seen();
        source.created.lock().unwrap().keys().filter(|number| !seen.contains_key(number)).copied().collect::<Vec<_>>()
    };
    let began = Instant::now();
    while !missing().is_empty() {
        assert!(
            began.elapsed() < muster_rig::HANG,
            "{} events are lost, the first of them {:?}\n{}",
            missing().len(),
            missing().first(),
            world.words()
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// What is done to the world.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Kill,
    Freeze,
    Stop,
    RestartApiServer,
    Compact,
    RefuseAtIntake,
}

async fn play(world: &mut World, intake: &Intake, deed: Deed) {
    let leader = until_held(world).await;
    match deed {
        Deed::Kill => {
            world.kill_replica(leader).await;
            sleep(Duration::from_millis(300)).await;
            world.start_replica(leader);
        }
        Deed::Freeze => {
            world.replicas[leader].signal(Signal::STOP);
            sleep(Duration::from_secs(world.size.lease_seconds + 1)).await;
            world.replicas[leader].signal(Signal::CONT);
        }
        Deed::Stop => {
            world.stop_replica(leader).await;
            sleep(Duration::from_millis(300)).await;
            world.start_replica(leader);
        }
        Deed::RestartApiServer => world.plane.restart_api_server().await.unwrap(),
        Deed::Compact => world.plane.expire_watches().await.unwrap(),
        Deed::RefuseAtIntake => {
            intake.refuse(true);
            sleep(Duration::from_secs(4)).await;
            intake.refuse(false);
        }
    }
}

/// Plays all of these while numbered events are created, waits until all of them have arrived, and tells about it.
async fn rounds(world: &mut World, intake: &Arc<Intake>, numbers: std::ops::Range<u32>, deeds: &[Deed], strict: bool) {
    let began = Instant::now();
    world.until("the token is stored", async || token(&world.admin).await.is_some()).await;
    let source = Source::start(&world.admin, numbers.clone());
    let watchman = Watchman::start(&world.admin, intake, &source.created, strict);
    for deed in deeds {
        play(world, intake, *deed).await;
        until_flowing(world, intake, &source).await;
    }
    until_all_arrived(world, intake, &source).await;
    let looks = watchman.end().await;
    let arrivals: BTreeMap<u32, u32> = intake.seen().into_iter().filter(|(number, _)| numbers.contains(number)).collect();
    let repeated = arrivals.values().filter(|count| **count > 1).count();
    let more: u32 = arrivals.values().map(|count| count - 1).sum();
    assert_eq!(arrivals.len(), numbers.len());
    println!(
        "{} events through {deeds:?} in {:.0} s: none lost, {repeated} arrived again ({more} arrivals too many), token looked at {looks} times",
        numbers.len(),
        began.elapsed().as_secs_f64(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_the_intake_and_the_token_never_runs_ahead() {
    #[expect(clippy::disallowed_methods, reason = "the switch of this test, documented in tests/e2e/main.rs")]
    let full = std::env::var("MUSTER_E2E").is_ok_and(|value| value == "full");
    let lease_seconds = if full { 15 } else { 4 };
    let size = Size { nodes: 1, runners: 1, cluster_checks: 0, endpoint_checks: 0, mistakes: 0, replicas: 2, lease_seconds };
    let mut world = World::prepare(size).await;
    let intake = Arc::new(Intake::start());
    for replica in &mut world.replicas {
        replica.set("DD_DD_URL", &intake.url);
        replica.set("DD_FORWARDER_BACKOFF_MAX", "1");
        replica.write("conf.d/kubernetes_apiserver.yaml", CHECK);
    }
    world.launch().await;

    let all = [Deed::Kill, Deed::Freeze, Deed::RestartApiServer, Deed::Stop, Deed::Compact, Deed::RefuseAtIntake];
    let deeds = if full { all.repeat(4) } else { all.to_vec() };
    let events = if full { 30_000 } else { 4_000 };
    rounds(&mut world, &intake, 0..events, &deeds, false).await;
    the_leader_tells(&world).await;

    // Without a disk an event is safe only with the intake: then the token must not pass it.
    for number in 0..world.size.replicas {
        world.stop_replica(number).await;
    }
    for replica in &mut world.replicas {
        replica.set("MUSTER_SPOOL_ENABLED", "false");
    }
    for number in 0..world.size.replicas {
        world.start_replica(number);
        world.replicas[number].until_ready().await;
    }
    rounds(&mut world, &intake, events..events + 1_000, &[Deed::RefuseAtIntake, Deed::Kill], true).await;
    assert_eq!(intake.unreadable(), Vec::<String>::new());
    let payloads = intake.payloads();
    assert!(payloads.contains_key("/api/v1/check_run") && payloads.contains_key("/api/v2/series"), "{payloads:?}");
}

/// What the leader says about it in status and metrics.
async fn the_leader_tells(world: &World) {
    let leader = until_held(world).await;
    let active = async || world.replicas[leader].ask_json(&["status", "--json"]).await["kubernetesEvents"]["duty"] == "active";
    world.until("the leader says that it forwards", active).await;
    let status: Json = world.replicas[leader].ask_json(&["status", "--json"]).await;
    assert!(status["kubernetesEvents"]["forwarded"].as_u64().unwrap() > 0, "{status:#}");
    assert!(status["forwarderStats"]["Transactions"]["Success"].as_u64().unwrap() > 0, "{status:#}");
    let (_, words) = world.replicas[leader].ask(&["status"]).await;
    for part in ["Kubernetes Events", "Last Token: ", "Lag: ", "Control Plane", "Aggregator", "Number Of Flushes: ", "API Key ending with:"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
}

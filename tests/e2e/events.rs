//! Every event of the cluster reaches the intake, whatever happens to replicas, API server, etcd and intake; and the stored token never
//! stands further than what is safe.

mod history;
mod outage;
mod source;
mod watchman;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_rig::Link;
use rustix::process::Signal;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, timeout};

use crate::events::source::Source;
use crate::events::watchman::{Watchman, token};
use crate::intake::Intake;
use crate::world::{HOME, Size, World};

/// Runs come every second here, so that a round is under way whatever happens.
const CHECK: &str = "instances:\n- collect_events: true\n  kubernetes_event_read_timeout_ms: 1000\n  min_collection_interval: 1\n";

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
    let next = source.next();
    let flows = async || intake.seen().last_key_value().is_some_and(|(newest, _)| *newest >= next);
    world.until("events arrive again", flows).await;
}

async fn until_all_arrived(world: &World, intake: &Intake, source: &Source) {
    let missing = || {
        let seen = intake.seen();
        source.created.lock().unwrap().keys().filter(|number| !seen.contains_key(number)).copied().collect::<Vec<_>>()
    };
    let began = Instant::now();
    while !missing().is_empty() {
        let lost = missing();
        assert!(began.elapsed() < muster_rig::HANG, "{} events are lost: {:?}\n{}", lost.len(), lost.first(), world.words());
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
    /// Compacts etcd and restarts the API server, while the replicas can read nothing.
    Compact,
    /// The intake is away for this time, twice, and leaders are killed meanwhile; with a seed.
    Outage(Duration, u64),
    /// The intake answers 503.
    Refuse,
    /// The intake takes what it gets, and answers 503 all the same: that comes again.
    LoseAnswers,
}

/// The intake, and the way to it.
struct Destination {
    intake: Arc<Intake>,
    way: Link,
}

async fn play(world: &mut World, Destination { intake, way }: &Destination, source: &Source, deed: Deed) {
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
        Deed::Compact => history::forget(world, intake, source).await,
        Deed::Outage(half, seed) => outage::intake_away(world, intake, way, source, half, seed).await,
        Deed::Refuse => {
            intake.refuse(true);
            sleep(Duration::from_secs(4)).await;
            intake.refuse(false);
        }
        Deed::LoseAnswers => {
            let before = intake.repeats();
            intake.lose_answers(true);
            until_flowing(world, intake, source).await;
            intake.lose_answers(false);
            let repeated = async || intake.repeats().sent_again > before.sent_again;
            world.until("what was taken without an answer comes again", repeated).await;
            assert_eq!(intake.repeats().read_again, before.read_again, "only what is sent comes again, nothing is read again");
        }
    }
    until_flowing(world, intake, source).await;
}

/// Plays all of these while numbered events are created, from number `first` on and at least so many; waits until all of them have
/// arrived, and tells about it. Returns the number after the last one.
async fn rounds(world: &mut World, to: &Destination, first: u32, at_least: u32, deeds: &[Deed], strict: bool) -> u32 {
    let (began, intake) = (Instant::now(), &to.intake);
    world.until("the token is stored", async || token(&world.admin).await.is_some()).await;
    let before = intake.repeats();
    let mut source = Source::start(&world.admin, first, at_least);
    let watchman = Watchman::start(&world.admin, intake, &source.created, strict);
    until_flowing(world, intake, &source).await;
    assert_eq!(intake.repeats(), before, "nothing arrives twice while nothing happens");
    for deed in deeds {
        let (at, started, repeats) = (began.elapsed().as_secs_f64(), Instant::now(), intake.repeats());
        play(world, to, &source, *deed).await;
        println!("{at:.1} s, {:.1} s long: {deed:?}, {:?}", started.elapsed().as_secs_f64(), intake.repeats() - repeats);
    }
    source.finish().await;
    until_all_arrived(world, intake, &source).await;
    let looks = watchman.end().await;
    let numbers = first..source.next();
    let arrivals: BTreeMap<u32, u32> = intake.seen().into_iter().filter(|(number, _)| numbers.contains(number)).collect();
    assert_eq!(arrivals.len(), numbers.len());
    println!(
        "{} events in {:.0} s: none lost, {} arrived more than once, {:?}, token looked at {looks} times",
        numbers.len(),
        began.elapsed().as_secs_f64(),
        arrivals.values().filter(|count| **count > 1).count(),
        intake.repeats() - before,
    );
    numbers.end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_the_intake_and_the_token_never_runs_ahead() {
    #[expect(clippy::disallowed_methods, reason = "the switch of this test, documented in tests/e2e/main.rs")]
    let full = std::env::var("MUSTER_E2E").is_ok_and(|value| value == "full");
    let lease_seconds = if full { 15 } else { 4 };
    let size = Size { nodes: 1, runners: 1, cluster_checks: 0, endpoint_checks: 0, mistakes: 0, replicas: 2, lease_seconds };
    let mut world = World::prepare(size).await;
    let intake = Arc::new(Intake::start());
    let to = Destination { way: Link::start(intake.address).await.unwrap(), intake };
    for replica in &mut world.replicas {
        replica.set("DD_DD_URL", &format!("http://{}", to.way.address()));
        replica.set("DD_FORWARDER_BACKOFF_MAX", "1");
        replica.write("conf.d/kubernetes_apiserver.yaml", CHECK);
    }
    world.launch().await;

    let deeds = |outage, seed| {
        let outage = Deed::Outage(outage, seed);
        [Deed::LoseAnswers, Deed::Kill, Deed::Freeze, Deed::RestartApiServer, Deed::Stop, Deed::Compact, outage]
    };
    let deeds = if full {
        let outages = [30, 2, 2, 2].map(Duration::from_secs);
        outages.into_iter().zip(0..).flat_map(|(outage, seed)| deeds(outage, seed)).collect()
    } else {
        deeds(Duration::from_secs(2), 0).to_vec()
    };
    let next = rounds(&mut world, &to, 0, if full { 30_000 } else { 4_000 }, &deeds, false).await;
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
    rounds(&mut world, &to, next, 1_000, &[Deed::Refuse, Deed::Kill], true).await;
    assert_eq!(to.intake.unreadable(), Vec::<String>::new());
    let payloads = to.intake.payloads();
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

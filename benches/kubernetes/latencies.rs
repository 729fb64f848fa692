//! The way of a change: from the call that makes it, to a bare watch (the floor), to what agents are told.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use serde_json::Value as Json;
use tokio::time::sleep;

use crate::agents::Runners;
use crate::api::{BareWatch, Sights};
use crate::replica::Replica;
use crate::report::{Report, percentiles};
use crate::wire::{connect, get};
use crate::world::{World, pod_name};

/// Between two polls of a runner while changes are made.
const FAST_POLL: Duration = Duration::from_millis(10);

/// Between two changes: longer than what one of them keeps busy.
const BETWEEN: Duration = Duration::from_millis(60);

/// Between two looks for what came in meanwhile.
const LOOK: Duration = Duration::from_millis(1);

pub async fn measure(world: &World, leader: &Replica, runners: &Runners, clock: &SystemClock, report: &mut Report) {
    report.say("changing pods behind services");
    let watch = BareWatch::start(&world.admin, "/apis/discovery.k8s.io/v1/endpointslices", clock).await;
    metadata(world, leader, &watch.sights, clock, report).await;
    drop(watch);

    report.say("annotating services");
    runners.poll_every(FAST_POLL);
    // Those that wait for their next poll of before.
    sleep(Duration::from_secs(10)).await;
    let watch = BareWatch::start(&world.admin, "/api/v1/services", clock).await;
    dispatching(world, leader, &watch.sights, runners, clock, report).await;
}

/// A pod behind a service gets ready or not, until the answer to its node agent says so.
async fn metadata(world: &World, leader: &Replica, sights: &Sights, clock: &SystemClock, report: &mut Report) {
    let mut connection = connect(leader.address()).await;
    let (mut floor, mut shown) = (Vec::new(), Vec::new());
    for change in 0..world.size.changes {
        // Each pod goes, and comes back later.
        let service = change / 2 * 7 % world.size.services;
        let ready = change % 2 == 1;
        let (path, pod) = (format!("/api/v1/tags/pod/{}", world.node_of(service)), format!("\"{}\"", pod_name(service, 0)));
        let begun = clock.unix_nanos();
        let told = async {
            while get(&mut connection, &path).await.contains(&pod) != ready {
                sleep(LOOK).await;
            }
            clock.unix_nanos()
        };
        let (version, told) = tokio::join!(world.set_ready(service, ready), told);
        floor.push(since(begun, seen(sights, &version).await));
        shown.push(since(begun, told));
        sleep(BETWEEN).await;
    }
    let floor = format!("{}: a bare watch of the slices, same changes", percentiles(&mut floor));
    report.latency("call that changes a pod behind a service until its node agent would be told", &mut shown, &floor);
}

/// A service is annotated, until the check is decided about and until the poll of its owner brings it.
async fn dispatching(world: &World, leader: &Replica, sights: &Sights, runners: &Runners, clock: &SystemClock, report: &mut Report) {
    let first = world.size.services - world.size.changes;
    let mut begun = BTreeMap::new();
    let (mut floor, mut polled) = (Vec::new(), Vec::new());
    for service in first..world.size.services {
        let check = format!("late_{service}");
        let at = clock.unix_nanos();
        let version = world.annotate_one(service, &[check.as_str()]).await;
        let arrival = loop {
            match runners.arrival(&check) {
                Some(arrival) => break arrival,
                None => sleep(LOOK).await,
            }
        };
        floor.push(since(at, seen(sights, &version).await));
        polled.push(since(at, arrival));
        begun.insert(check, at);
        sleep(BETWEEN).await;
    }
    let mut decided = Vec::new();
    let journal: Json = serde_json::from_str(&get(&mut connect(leader.address()).await, "/api/v1/muster/journal").await).unwrap();
    for decision in journal["decisions"].as_array().unwrap() {
        if let (Some(at), true) = (begun.get(decision["check_name"].as_str().unwrap()), decision["cause"] == "discovered") {
            decided.push(since(*at, decision["at_unix_nanos"].as_i64().unwrap()));
        }
    }
    assert_eq!(decided.len(), world.size.changes, "each has one decision");
    let floor = format!("{}: a bare watch of the services, same changes", percentiles(&mut floor));
    report.latency(
        "call that annotates a service until its check is dispatched",
        &mut decided,
        &format!("goal <= 100 ms; stock 2 to 8 s; {floor}"),
    );
    report.latency(
        "the same until a poll of the owner, every 10 ms, has brought it",
        &mut polled,
        "the row above, half a pause, two requests",
    );
}

/// When the bare watch saw a version; it may be a little later than somebody else.
async fn seen(sights: &Sights, resource_version: &str) -> i64 {
    loop {
        match sights.at(resource_version) {
            Some(at) => return at,
            None => sleep(LOOK).await,
        }
    }
}

fn since(begun: i64, at: i64) -> Duration {
    Duration::from_nanos(u64::try_from(at - begun).unwrap_or(0))
}

//! Measures the cluster role against a real API server: decoding of pods, listing of 10 000 pods and 2 000 services, memory of a leader
//! and its follower at rest and under agents, and the time from a change in Kubernetes until agents are told.
//! Run with `cargo bench --profile bench-fast --bench kubernetes`, or with `-- --quick` behind it to try it; results belong in
//! docs/BENCHMARKS.md.
//!
//! Control plane, replicas and the agents share the machine, so times are upper bounds; the limit beside each is from the same run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

mod agents;
mod api;
mod decode;
mod latencies;
mod replica;
mod report;
#[path = "../wire/mod.rs"]
mod wire;
mod world;

use std::time::Duration;

use muster_actors::kernel::clock::SystemClock;
use tikv_jemallocator::Jemalloc;
use tokio::time::sleep;

use crate::agents::{Agents, Runners};
use crate::replica::Replica;
use crate::report::Report;
use crate::world::{Size, World};

/// As the program has it, so that memory means the same.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What start-up or a burst allocated is given back in this time.
const REST: Duration = Duration::from_secs(8);

fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let quick = std::env::args().any(|argument| argument == "--quick");
    let size = if quick { Size::quick() } else { Size::full() };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(measure(size));
}

async fn measure(size: Size) {
    let clock = SystemClock::new();
    let mut report = Report::new(&clock);
    let world = World::start(size, &report).await;

    report.say("listing the pods without looking at them");
    let listing = api::stream_pods(&world.admin, &clock).await;
    decode::measure(&listing, &mut report).await;
    drop(listing.lines);

    report.say("starting a leader");
    let leader = Replica::start(&world, "muster-cluster-0", &clock);
    let synced = leader.until_synced(&clock).await;
    let bytes = listing.bytes as f64 / 1e6;
    report.row(
        &format!("process start until all informers are synced, {} pods, {} services", size.pods(), size.services),
        format!("{:.2} s, {:.2} s of processor time", synced.time.as_secs_f64(), synced.cpu),
        format!(
            "the {bytes:.0} MB of the pods alone, received by a client that looks for their end only: {:.2} s",
            listing.time.as_secs_f64()
        ),
    );
    report.row("process start until /ready", format!("{:.2} s", synced.ready.as_secs_f64()), "-");
    sleep(REST).await;
    report.memory(&format!("leader, {} watched pods, {} checks, no agent", size.pods(), size.annotated), leader.memory(), "goal <= 60 MB");

    report.say("starting a follower, annotating services, connecting agents");
    let follower = Replica::start(&world, "muster-cluster-1", &clock);
    follower.until_synced(&clock).await;
    let runners = Runners::start(leader.address(), size.runners, &clock);
    world.annotate(size.checks - size.annotated).await;
    runners.until_placed(leader.address(), size.checks, &report).await;
    sleep(REST).await;
    report.memory(&format!("the same with {} checks on {} runners", size.checks, size.runners), leader.memory(), "-");
    let agents = Agents::start(leader.address(), &world.nodes()).await;
    report.say("all agents are connected");
    sleep(REST).await;

    let seconds = size.seconds;
    let before = [leader.cpu_seconds(), follower.cpu_seconds()];
    sleep(Duration::from_secs(seconds)).await;
    let [leading, following] = [leader.cpu_seconds() - before[0], follower.cpu_seconds() - before[1]].map(|cpu| cpu / seconds as f64);
    let crowd = format!("{} checks, {} agents and {} runners", size.checks, size.nodes, size.runners);
    report.memory(&format!("leader with {crowd} connected"), leader.memory(), "goal <= 22 KB for each connection");
    report.memory("its follower", follower.memory(), "-");
    report.row(
        &format!("processor time of the leader while they poll, over {seconds} s"),
        format!("{:.1} % of a core", 100.0 * leading),
        "-",
    );
    report.row("of the follower", format!("{:.1} % of a core", 100.0 * following), "-");

    latencies::measure(&world, &leader, &runners, &clock, &mut report).await;
    sleep(REST).await;
    report.memory("leader after these changes", leader.memory(), "-");
    drop((agents, runners, follower, leader));
    report.print();
}

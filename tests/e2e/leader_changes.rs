//! Whatever happens to a leader, no agent notices: nothing moves, nothing is sent again, nothing runs twice.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::before::Before;
use crate::prober::Prober;
use crate::world::{Size, World};

/// How often each thing happens.
struct Rounds {
    kill: usize,
    terminate: usize,
    freeze: usize,
    cut: usize,
    restart_api_server: usize,
    compact: usize,
    roll: usize,
}

/// One line of the table.
struct Row {
    what: &'static str,
    blind: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_a_leader_is_not_noticed() {
    #[expect(clippy::disallowed_methods, reason = "the switch of this test, documented in tests/e2e/main.rs")]
    let full = std::env::var("MUSTER_E2E").is_ok_and(|value| value == "full");
    let lease_seconds = if full { 15 } else { 6 };
    let rounds = if full {
        Rounds { kill: 20, terminate: 10, freeze: 3, cut: 3, restart_api_server: 3, compact: 3, roll: 3 }
    } else {
        Rounds { kill: 2, terminate: 2, freeze: 1, cut: 1, restart_api_server: 1, compact: 1, roll: 1 }
    };
    let size = Size { nodes: 10, runners: 40, cluster_checks: 200, endpoint_checks: 80, mistakes: 20, replicas: 3, lease_seconds };
    let mut world = World::start(size).await;
    let prober = world.prober();
    let mut rows = Vec::new();
    for round in 0..rounds.kill {
        rows.push(if round % 2 == 0 { kill(&mut world, &prober).await } else { kill_for_long(&mut world, &prober).await });
    }
    for _ in 0..rounds.terminate {
        rows.push(terminate(&mut world, &prober).await);
    }
    for _ in 0..rounds.freeze {
        rows.push(freeze(&mut world, &prober).await);
    }
    for _ in 0..rounds.cut {
        rows.push(cut(&mut world, &prober).await);
    }
    // Before the API server restarts: one that has just started refuses everything until it has read who may do what.
    world.assert_rights_suffice();
    for _ in 0..rounds.restart_api_server {
        rows.push(restart_api_server(&mut world, &prober).await);
    }
    for _ in 0..rounds.compact {
        rows.push(compact(&mut world, &prober).await);
    }
    for _ in 0..rounds.roll {
        rows.push(roll(&mut world, &prober).await);
    }
    println!("lease {lease_seconds} s; moved 0, sent again 0, emptied 0 in every line");
    for row in rows {
        println!("{:<40} blind {:>7.2} s", row.what, row.blind.as_secs_f64());
    }
}

/// Plays one thing, waits until a leader answers and every agent polled on, and judges.
async fn judged(world: &mut World, prober: &Prober, what: &'static str, play: impl AsyncFnOnce(&mut World, usize)) -> Row {
    let leader = world.until_led(prober).await;
    let before = Before::note(world);
    prober.begin();
    play(world, leader).await;
    world.until_led(prober).await;
    world.until_all_polled().await;
    before.assert_unnoticed(world, what);
    prober.assert_one_leader();
    Row { what, blind: prober.blind() }
}

async fn kill(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "leader killed (SIGKILL), comes back", async |world, leader| {
        world.kill_replica(leader).await;
        sleep(Duration::from_secs(1)).await;
        world.start_replica(leader);
        world.replicas[leader].until_ready().await;
    })
    .await
}

async fn kill_for_long(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "leader killed (SIGKILL), stays away", async |world, leader| {
        world.kill_replica(leader).await;
        let gone = world.replicas[leader].port;
        let led = async || prober.leader().is_some_and(|port| port != gone);
        world.until("another replica leads", led).await;
        world.start_replica(leader);
        world.replicas[leader].until_ready().await;
    })
    .await
}

async fn terminate(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "leader stopped (SIGTERM), others lead on", async |world, leader| {
        world.stop_replica(leader).await;
        world.until_led(prober).await;
        sleep(Duration::from_secs(2)).await;
        world.start_replica(leader);
        world.replicas[leader].until_ready().await;
    })
    .await
}

async fn freeze(world: &mut World, prober: &Prober) -> Row {
    let asleep = Duration::from_secs(2 * world.size.lease_seconds);
    judged(world, prober, "leader frozen for two leases, wakes", async |world, leader| {
        world.replicas[leader].signal(Signal::STOP);
        sleep(asleep).await;
        world.replicas[leader].signal(Signal::CONT);
        sleep(Duration::from_secs(3)).await;
    })
    .await
}

async fn cut(world: &mut World, prober: &Prober) -> Row {
    let away = Duration::from_secs(2 * world.size.lease_seconds);
    judged(world, prober, "leader cut from the API server only", async |world, leader| {
        world.replicas[leader].link.cut().await.unwrap();
        sleep(away).await;
        world.replicas[leader].link.mend().await.unwrap();
        sleep(Duration::from_secs(3)).await;
    })
    .await
}

async fn restart_api_server(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "API server restarted", async |world, _| {
        world.plane.restart_api_server().await.unwrap();
        sleep(Duration::from_secs(5)).await;
    })
    .await
}

async fn compact(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "etcd compacted, watches expire", async |world, _| {
        world.plane.expire_watches().await.unwrap();
        sleep(Duration::from_secs(5)).await;
    })
    .await
}

/// One after the other is replaced by a new one under another name, which is ready before the old one goes.
async fn roll(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "all replicas rolled, with surge", async |world, _| {
        let old: Vec<usize> = (0..world.replicas.len()).filter(|number| world.replicas[*number].runs()).collect();
        for number in old {
            let spare = world.replicas.iter().position(|replica| !replica.runs()).expect("one more than run");
            world.start_replica(spare);
            world.replicas[spare].until_ready().await;
            world.stop_replica(number).await;
        }
    })
    .await
}

//! Whatever happens to a leader, no agent notices: nothing moves, nothing is sent again, nothing runs twice.

use std::time::Duration;

use muster_rig::until;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::ledger::Sums;
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

/// What agents had before something happened.
struct Before {
    runners: Vec<(String, Vec<String>)>,
    sums: Sums,
}

impl Before {
    fn note(world: &World) -> Self {
        Self { runners: world.runners.owners().into_iter().collect(), sums: world.sums() }
    }

    fn assert_unnoticed(&self, world: &World, what: &str) {
        let now: Vec<_> = world.runners.owners().into_iter().collect();
        let moved = self.runners.iter().zip(&now).filter(|(before, now)| before != now).count();
        assert!(moved == 0 && now.len() == self.runners.len(), "{what}: {moved} checks moved\n{}", world.words());
        let since = world.sums().since(self.sums);
        assert_eq!((since.resent, since.emptied), (0, 0), "{what}: sets were sent again or emptied\n{}", world.words());
        world.runners.assert_well();
        world.endpoints.assert_well();
    }
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
    let leader = until_led(world, prober).await;
    let before = Before::note(world);
    prober.begin();
    play(world, leader).await;
    until_led(world, prober).await;
    until_all_polled(world).await;
    before.assert_unnoticed(world, what);
    prober.assert_one_leader();
    Row { what, blind: prober.blind() }
}

async fn until_led(world: &World, prober: &Prober) -> usize {
    if until("a replica leads", async || prober.leader().is_some()).await.is_err() {
        panic!("nobody leads\n{}", world.words());
    }
    world.number_of(prober.leader().expect("seen above"))
}

/// Every agent was answered three times more.
async fn until_all_polled(world: &World) {
    let answered = |world: &World| {
        let accounts = world.runners.accounts().into_iter().chain(world.endpoints.accounts());
        accounts.map(|(name, account)| (name, account.answered)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = answered(world);
    let polled = async || answered(world).iter().all(|(name, now)| *now >= before.get(name).copied().unwrap_or(0) + 3);
    if until("every agent polls", polled).await.is_err() {
        panic!("an agent is not answered\n{}", world.words());
    }
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
        if until("another replica leads", led).await.is_err() {
            panic!("nobody succeeds\n{}", world.words());
        }
        world.start_replica(leader);
        world.replicas[leader].until_ready().await;
    })
    .await
}

async fn terminate(world: &mut World, prober: &Prober) -> Row {
    judged(world, prober, "leader stopped (SIGTERM), others lead on", async |world, leader| {
        world.stop_replica(leader).await;
        until_led(world, prober).await;
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

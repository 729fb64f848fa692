//! Replicas that end all at once, or come back under their own name, go on with what they had.

use std::time::Duration;

use tokio::time::sleep;

use crate::before::Before;
use crate::prober::Prober;
use crate::world::{HOME, Size, World};

/// A snapshot is saved at most so often; a little longer. Source: style 9.6.
const UNTIL_SAVED: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_assignment_outlives_its_replicas() {
    let size = Size { nodes: 2, runners: 4, cluster_checks: 40, endpoint_checks: 4, mistakes: 0, replicas: 3, lease_seconds: 6 };
    let mut world = World::start(size).await;
    let prober = world.prober();
    a_leader_comes_back_under_its_own_name(&mut world, &prober).await;
    all_replicas_end_at_once(&mut world, &prober).await;
    one_replica_without_election(&mut world, &prober).await;
    world.assert_rights_suffice();
}

async fn a_leader_comes_back_under_its_own_name(world: &mut World, prober: &Prober) {
    let leader = world.until_led(prober).await;
    let before = Before::note(world);
    prober.begin();
    world.kill_replica(leader).await;
    world.start_replica(leader);
    world.replicas[leader].until_ready().await;
    world.until_all_polled().await;
    let next = world.until_led(prober).await;
    println!("a leader killed and started again at once: {} leads, blind {:?}", world.replicas[next].name, prober.blind());
    assert_eq!(next, leader, "it takes its own lock");
    before.assert_unnoticed(world, "a leader came back under its own name");
    prober.assert_one_leader();
}

async fn all_replicas_end_at_once(world: &mut World, prober: &Prober) {
    world.until_led(prober).await;
    sleep(UNTIL_SAVED).await;
    let map = world.admin.get(&format!("/api/v1/namespaces/{HOME}/configmaps/muster-state")).await.unwrap();
    assert!(map["binaryData"]["snapshot"].is_string(), "{map}");
    let before = Before::note(world);
    prober.begin();
    let running: Vec<usize> = (0..world.replicas.len()).filter(|number| world.replicas[*number].runs()).collect();
    for number in &running {
        world.kill_replica(*number).await;
    }
    for number in &running {
        world.start_replica(*number);
    }
    for number in &running {
        world.replicas[*number].until_ready().await;
    }
    world.until_all_polled().await;
    let leader = world.until_led(prober).await;
    println!("all replicas killed at once: blind {:?}", prober.blind());
    before.assert_unnoticed(world, "all replicas ended at once");
    prober.assert_one_leader();
    let words = world.replicas[leader].all_words();
    assert!(!words.contains("cold start"), "{words}");
}

async fn one_replica_without_election(world: &mut World, prober: &Prober) {
    world.until_led(prober).await;
    sleep(UNTIL_SAVED).await;
    let before = Before::note(world);
    let running: Vec<usize> = (0..world.replicas.len()).filter(|number| world.replicas[*number].runs()).collect();
    for number in running {
        world.stop_replica(number).await;
    }
    let alone = world.replicas.len() - 1;
    world.replicas[alone].set("DD_LEADER_ELECTION", "false");
    for again in ["started", "killed and started again"] {
        if world.replicas[alone].runs() {
            sleep(UNTIL_SAVED).await;
            world.kill_replica(alone).await;
        }
        world.start_replica(alone);
        world.replicas[alone].until_ready().await;
        world.until("it leads", async || prober.leader() == Some(world.replicas[alone].port)).await;
        world.until_all_polled().await;
        before.assert_unnoticed(world, &format!("a replica without election was {again}"));
    }
    let (_, status) = world.replicas[alone].ask(&["status"]).await;
    assert!(status.contains("Leader Election Status:  Disabled"), "{status}");
}

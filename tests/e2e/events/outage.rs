//! An intake that is away while those who send to it are killed.

use std::time::Duration;

use muster_actors::kernel::rng::{Random, SeededRandom};
use muster_rig::Link;
use tokio::time::{Instant, sleep_until};

use crate::events::source::Source;
use crate::events::watchman::{ahead, token};
use crate::events::{holder, until_held};
use crate::intake::Intake;
use crate::world::World;

/// Longest time between two kills; shorter than half an outage. Units: milliseconds.
const BETWEEN_KILLS: u64 = 1_600;

/// For so long the intake refuses connections, then answers 503 for as long again, while leaders are killed at random moments.
///
/// Returns when the intake is back. What the token has passed by then was acknowledged, and nobody reads it again: it arrives from the
/// disks of replicas that were killed, or not at all.
pub async fn intake_away(world: &mut World, intake: &Intake, way: &Link, source: &Source, half: Duration, seed: u64) {
    let random = SeededRandom::new(seed);
    let (began, mut kills) = (Instant::now(), 0);
    way.cut().await.unwrap();
    let cut_at = source.next();
    kills += kill_until(world, Instant::now() + half, &random).await;
    intake.refuse(true);
    way.mend().await.unwrap();
    kills += kill_until(world, Instant::now() + half, &random).await;

    let waiting = async || {
        let (token, created) = (token(&world.admin).await.unwrap_or_default(), source.created.lock().unwrap().clone());
        created.get(&cut_at).is_some_and(|version| *version <= token).then(|| ahead(token, &created, &intake.seen()).len())
    };
    world.until("the token passes what was created meanwhile", async || waiting().await.is_some()).await;
    let acknowledged = waiting().await.expect("the token never goes back");
    assert!(acknowledged > 0, "the token waited for the intake although there is a disk");
    println!(
        "the intake was away for {:?}: {kills} kills of leaders, {acknowledged} events acknowledged and on disks only",
        began.elapsed()
    );
    intake.refuse(false);
}

/// Kills whoever leads at random moments until then, and starts it again each time.
async fn kill_until(world: &mut World, end: Instant, random: &dyn Random) -> u32 {
    let mut kills = 0;
    loop {
        let next = Instant::now() + Duration::from_millis(random.below(BETWEEN_KILLS));
        sleep_until(next.min(end)).await;
        if next >= end {
            return kills;
        }
        let leader = match holder(world).await {
            Some(leader) if world.replicas[leader].runs() => leader,
            _ => until_held(world).await,
        };
        world.kill_replica(leader).await;
        world.start_replica(leader);
        kills += 1;
    }
}

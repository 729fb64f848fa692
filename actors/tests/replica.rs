//! Several replicas: the leader may be lost at any moment without any agent noticing.

#![expect(clippy::expect_used, reason = "tests panic")]

#[path = "replica/demands.rs"]
mod demands;
mod replicas;

use std::time::Duration;

use muster_actors::domain::ids::NodeName;
use muster_actors::domain::snapshot;
use muster_actors::domain::world::Standing;
use muster_actors::kernel::universe;
use replicas::{Replicas, instance};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_follower_is_promoted_without_a_move_and_with_equal_stamps() {
    universe::run(1, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.kill("r1").await;
        assert_eq!(replicas.served("r2").standing, Standing::Starting);
        replicas.lead("r2", 2).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active);
        assert_eq!(replicas.shown("r2"), before);
        for (node, (stamp, _)) in &before {
            assert!(replicas.poll("r2", node, stamp.0).await.up_to_date, "{node}");
        }
        replicas.keep_polling("r2", &["n1", "n2", "n3"], 60).await;
        assert_eq!(replicas.shown("r2"), before);
        assert_eq!(replicas.served("r2").counters.moves.values().sum::<u64>(), 0);
        assert_eq!(replicas.seq("r3").await, replicas.seq("r2").await, "the third one follows the second");
    });
}

#[test]
fn a_leader_that_follows_a_short_term_goes_on_at_once() {
    universe::run(18, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.kill("r1").await;
        replicas.lead("r2", 2).await;
        universe.advance(seconds(1)).await;
        replicas.kill("r2").await;
        replicas.lead("r3", 3).await;
        assert_eq!(replicas.served("r3").standing, Standing::Active, "nobody is left to offer a table");
        assert_eq!(replicas.shown("r3"), before);
    });
}

#[test]
fn twenty_leaders_in_a_row_die_and_nothing_moves() {
    universe::run(2, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let mut stamps = replicas.shown("r1");
        for round in 0..20_usize {
            let names = ["r1", "r2", "r3"];
            let (dies, next) = (names[round % 3], names[(round + 1) % 3]);
            replicas.kill(dies).await;
            universe.advance(seconds(10)).await;
            replicas.lead(next, 2 + round as u64).await;
            assert_eq!(replicas.shown(next), stamps, "round {round}");
            replicas.start(dies);
            replicas.keep_polling(next, &["n1", "n2", "n3"], 5).await;
            replicas.find(instance(1_000 + round as u32));
            replicas.keep_polling(next, &["n1", "n2", "n3"], 5).await;
            let now = replicas.shown(next);
            for (node, (stamp, set)) in &now {
                let (earlier, kept) = &stamps[node];
                assert!(stamp >= earlier && kept.iter().all(|key| set.contains(key)), "{node} in round {round}");
            }
            stamps = now;
        }
        assert_eq!(stamps.values().map(|(_, set)| set.len()).sum::<usize>(), 30);
    });
}

#[test]
fn a_leader_that_comes_back_empty_under_its_own_name_gets_its_table_from_a_follower() {
    universe::run(3, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.snapshots.fail(true);
        replicas.kill("r1").await;
        universe.advance(millis(700)).await;
        replicas.start("r1");
        universe.advance(millis(100)).await;
        replicas.lead("r1", 2).await;
        assert_eq!(replicas.served("r1").standing, Standing::Starting);
        universe.advance(seconds(2)).await;
        assert_eq!(replicas.served("r1").standing, Standing::Active, "blind for less than three seconds");
        assert_eq!(replicas.shown("r1"), before);
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 40).await;
        assert_eq!(replicas.shown("r1"), before);
    });
}

#[test]
fn the_latest_of_two_offers_is_taken() {
    universe::run(4, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.network.cut("r2", true);
        universe.advance(seconds(16)).await;
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 1).await;
        replicas.find(instance(77));
        universe.advance(seconds(1)).await;
        let before = replicas.shown("r1");
        replicas.kill("r1").await;
        replicas.network.cut("r2", false);
        replicas.start("r1");
        replicas.lead("r1", 2).await;
        universe.advance(seconds(3)).await;
        assert_eq!(replicas.shown("r1"), before);
    });
}

#[test]
fn invariant_9_what_an_agent_is_shown_every_follower_in_contact_knows() {
    universe::run(5, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        replicas.network.slow(millis(30));
        universe.advance(seconds(15)).await;
        replicas.find(instance(50));
        universe.settle().await;
        let mut waited = 0;
        while replicas.served("r1").shown.0 < replicas.seq("r1").await {
            waited += 1;
            universe.advance(millis(5)).await;
            let shown = replicas.served("r1").shown.0;
            assert!(shown <= replicas.seq("r2").await && shown <= replicas.seq("r3").await);
        }
        assert!(waited > 3, "shown before a way there and back was over");
        assert_eq!(replicas.observe("r1").await["shown_by_timer"], 0);
        assert_eq!(replicas.served("r1").counters.persistence_failures, 0);
    });
}

#[test]
fn without_an_answer_of_followers_a_change_is_shown_after_200_ms_and_counted() {
    universe::run(6, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        replicas.network.slow(seconds(1));
        universe.advance(seconds(12)).await;
        let shown = replicas.served("r1").shown;
        replicas.find(instance(50));
        universe.advance(millis(190)).await;
        assert_eq!(replicas.served("r1").shown, shown);
        universe.advance(millis(20)).await;
        assert!(replicas.served("r1").shown > shown);
        assert_eq!(replicas.observe("r1").await["shown_by_timer"], 1);
        assert_eq!(replicas.served("r1").counters.persistence_failures, 1);
    });
}

#[test]
fn a_leader_that_is_alone_for_long_shows_changes_at_once() {
    universe::run(7, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.kill("r2").await;
        replicas.kill("r3").await;
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 20).await;
        replicas.find(instance(50));
        universe.settle().await;
        assert_eq!(replicas.served("r1").shown.0, replicas.seq("r1").await);
        assert_eq!(replicas.served("r1").counters.persistence_failures, 0);
    });
}

#[test]
fn a_follower_that_comes_late_gets_the_whole_table_and_then_changes() {
    universe::run(8, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.kill("r3").await;
        universe.advance(seconds(1)).await;
        replicas.start("r3");
        universe.advance(seconds(1)).await;
        let whole = replicas.observe("r3").await["tables_received"].clone();
        assert_eq!((replicas.seq("r3").await, whole.as_u64()), (replicas.seq("r1").await, Some(1)));
        replicas.find(instance(50));
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.seq("r3").await, replicas.seq("r1").await);
        assert_eq!(replicas.observe("r3").await["tables_received"], 1);
    });
}

#[test]
fn a_former_leader_gives_up_what_nobody_else_knew() {
    universe::run(9, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        for name in ["r2", "r3"] {
            replicas.network.cut(name, true);
        }
        universe.advance(seconds(1)).await;
        replicas.find(instance(50));
        universe.settle().await;
        assert!(replicas.seq("r1").await > replicas.seq("r2").await);
        for name in ["r2", "r3"] {
            replicas.network.cut(name, false);
        }
        replicas.lead("r2", 2).await;
        assert_eq!(replicas.served("r1").standing, Standing::Starting);
        assert!(replicas.served("r1").nodes.is_empty());
        for (node, (stamp, set)) in replicas.shown("r2") {
            assert!(stamp >= before[&node].0 && set.len() >= before[&node].1.len());
        }
        universe.advance(seconds(3)).await;
        assert_eq!(replicas.seq("r1").await, replicas.seq("r2").await);
        assert_eq!(replicas.observe("r1").await["position"], replicas.observe("r2").await["position"]);
        assert_eq!(replicas.observe("r1").await["tables_received"], 1);
    });
}

#[test]
fn a_leader_that_slept_through_its_lease_decides_nothing_while_another_one_leads() {
    universe::run(10, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let clock = universe.clock();
        replicas.lead_until("r1", 1, Some(clock.monotonic() + seconds(10))).await;
        universe.advance(seconds(9)).await;
        let decided = replicas.seq("r1").await;
        // It hears of a new config and of a new node, but not of the lock.
        replicas.find(instance(50));
        let refused = replicas.poll("r1", "n9", 0).await;
        assert_eq!(refused.standing, Standing::Starting);
        universe.advance(seconds(3)).await;
        replicas.grant("r2", 2, None);
        replicas.notice("r2");
        replicas.notice("r3");
        universe.advance(seconds(2)).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active);
        assert_eq!(replicas.observe_dispatcher("r1").await["decided"], decided, "the old leader has not moved");
        assert_eq!(replicas.observe_dispatcher("r1").await["paused"], true);
        assert!(replicas.seq("r2").await > decided, "the new one dispatched what is new");
        replicas.notice("r1");
        universe.advance(seconds(2)).await;
        assert_eq!(replicas.served("r1").standing, Standing::Starting);
        assert_eq!(replicas.seq("r1").await, replicas.seq("r2").await);
    });
}

#[test]
fn what_happened_while_the_lease_was_not_renewed_is_made_up_for() {
    universe::run(11, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let now = universe.clock().monotonic();
        replicas.lead_until("r1", 1, Some(now + seconds(10))).await;
        universe.advance(seconds(9)).await;
        replicas.find(instance(50));
        replicas.forget_first();
        replicas.poll("r1", "n9", 0).await;
        universe.advance(millis(500)).await;
        assert!(!replicas.served("r1").nodes.contains_key(&NodeName::from("n9")));
        assert_eq!(replicas.shown("r1").values().map(|(_, set)| set.len()).sum::<usize>(), 10);
        replicas.renew("r1", now + seconds(100));
        replicas.keep_polling("r1", &["n1", "n2", "n3", "n9"], 3).await;
        assert!(replicas.served("r1").nodes.contains_key(&NodeName::from("n9")));
        assert_eq!(replicas.shown("r1").values().map(|(_, set)| set.len()).sum::<usize>(), 10, "one found, one gone");
    });
}

#[test]
fn nothing_is_removed_before_the_own_listing_is_complete_and_endpoints_are_served_at_once() {
    universe::run(12, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        // The follower learns with the next answer that discovery of the leader is complete.
        universe.advance(seconds(11)).await;
        replicas.complete(false);
        replicas.forget_first();
        replicas.kill("r1").await;
        replicas.lead("r2", 2).await;
        let served = replicas.served("r2");
        assert!(served.discovery_synced);
        assert_eq!(served.endpoints["k1"].configs.len(), 1);
        replicas.keep_polling("r2", &["n1", "n2", "n3"], 20).await;
        assert_eq!(replicas.shown("r2").values().map(|(_, set)| set.len()).sum::<usize>(), 10);
        replicas.synced("r2").await;
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.shown("r2").values().map(|(_, set)| set.len()).sum::<usize>(), 9);
    });
}

#[test]
fn a_replica_whose_copy_is_of_an_older_term_asks_the_others_first() {
    universe::run(13, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.network.cut("r2", true);
        universe.advance(seconds(16)).await;
        replicas.kill("r1").await;
        replicas.lead("r3", 2).await;
        replicas.keep_polling("r3", &["n1", "n2", "n3"], 20).await;
        replicas.find(instance(50));
        universe.advance(seconds(1)).await;
        let before = replicas.shown("r3");
        replicas.network.cut("r2", false);
        replicas.lead("r2", 3).await;
        assert_eq!(replicas.served("r2").standing, Standing::Starting);
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.shown("r2"), before);
    });
}

#[test]
fn the_snapshot_serves_the_cold_start_and_without_one_there_is_a_warm_up() {
    universe::run(14, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        universe.advance(seconds(6)).await;
        let before = replicas.shown("r1");
        let saves = replicas.snapshots.saves();
        assert!((1..10).contains(&saves), "{saves} saves in 46 seconds");
        for name in ["r1", "r2", "r3"] {
            replicas.kill(name).await;
        }
        replicas.start("r3");
        replicas.lead("r3", 2).await;
        universe.advance(seconds(3)).await;
        assert_eq!(replicas.served("r3").standing, Standing::WarmingUp, "nobody knows how old it is");
        replicas.keep_polling("r3", &["n1", "n2", "n3"], 2).await;
        assert_eq!(replicas.served("r3").standing, Standing::Active, "everybody in it has polled");
        assert_eq!(replicas.shown("r3"), before);
        replicas.kill("r3").await;

        let mut damaged = replicas.snapshots.bytes().expect("it was saved");
        assert!(snapshot::read_whole(&damaged).is_some());
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        replicas.snapshots.put(damaged);
        replicas.start("r1");
        replicas.lead("r1", 3).await;
        universe.advance(seconds(12)).await;
        assert_eq!(replicas.served("r1").standing, Standing::WarmingUp);
        assert!(replicas.poll("r1", "n1", 77).await.up_to_date);
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 31).await;
        assert_eq!(replicas.set_size("r1", "n1"), 4);
    });
}

#[test]
fn nodes_of_a_replica_that_leads_again_count_as_just_seen_and_expire_from_then_on() {
    universe::run(18, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        replicas.lead("r2", 2).await;
        replicas.keep_polling("r2", &["n1", "n2", "n3"], 25).await;
        let before = replicas.shown("r2");
        replicas.lead("r1", 3).await;
        // Nobody polled this replica for 25 s, and somebody needs a moment to find it.
        universe.advance(seconds(20)).await;
        assert_eq!(replicas.shown("r1"), before);
        replicas.keep_polling("r1", &["n1", "n2"], 12).await;
        assert!(!replicas.served("r1").nodes.contains_key(&NodeName::from("n3")));
        assert_eq!(replicas.shown("r1").len(), 2);
    });
}

#[test]
fn a_save_that_takes_long_does_not_replace_the_snapshot_of_the_successor() {
    universe::run(19, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        universe.advance(seconds(6)).await;
        replicas.snapshots.slow(seconds(8));
        replicas.find(instance(50));
        universe.advance(seconds(1)).await;
        replicas.snapshots.slow(Duration::ZERO);
        replicas.lead("r2", 2).await;
        replicas.find(instance(51));
        universe.advance(seconds(6)).await;
        let of_the_successor = replicas.snapshots.bytes();
        let saves = replicas.snapshots.saves();
        universe.advance(seconds(10)).await;
        assert_eq!(replicas.snapshots.saves(), saves);
        assert_eq!(replicas.snapshots.bytes(), of_the_successor);
        let saved = snapshot::read_whole(&of_the_successor.expect("it was saved")).expect("it is whole");
        assert_eq!(saved.epoch().0, 2);
    });
}

#[test]
fn a_snapshot_that_cannot_be_saved_disturbs_nobody() {
    universe::run(15, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        replicas.snapshots.fail(true);
        for number in 20..30 {
            replicas.find(instance(number));
            replicas.keep_polling("r1", &["n1", "n2", "n3"], 6).await;
        }
        let failures = replicas.observe("r1").await["snapshot_failures"].as_u64().expect("a number");
        assert!((2..6).contains(&failures), "{failures} in a minute: longer and longer pauses");
        let saves = replicas.snapshots.saves();
        replicas.snapshots.fail(false);
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 200).await;
        assert_eq!(replicas.snapshots.saves(), saves + 1);
    });
}

#[test]
fn actors_that_panic_change_nothing_that_is_shown() {
    universe::run(16, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        for (name, actor) in [("r1", "Replica"), ("r1", "Dispatcher"), ("r2", "Replica"), ("r2", "Dispatcher")] {
            replicas.crash(name, actor);
            replicas.keep_polling("r1", &["n1", "n2", "n3"], 5).await;
            assert_eq!(replicas.served("r1").standing, Standing::Active, "{name} {actor}");
            assert_eq!(replicas.shown("r1"), before, "{name} {actor}");
            assert_eq!(replicas.seq("r2").await, replicas.seq("r1").await, "{name} {actor}");
        }
        replicas.find(instance(50));
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.seq("r2").await, replicas.seq("r1").await);
        replicas.lead("r2", 2).await;
        assert_eq!(replicas.shown("r2").values().map(|(_, set)| set.len()).sum::<usize>(), 11);
    });
}

#[test]
fn a_lock_that_was_deleted_goes_on_where_the_table_stands() {
    universe::run(17, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.kill("r1").await;
        replicas.lead("r2", 40).await;
        universe.advance(seconds(3)).await;
        replicas.find(instance(50));
        universe.advance(seconds(6)).await;
        let before = replicas.shown("r2");
        replicas.kill("r2").await;
        replicas.kill("r3").await;
        replicas.start("r1");
        replicas.lead("r1", 1).await;
        universe.advance(seconds(3)).await;
        assert_eq!((replicas.served("r1").standing, replicas.epoch_seen.get()), (Standing::Starting, Some(40)));
        replicas.lead("r1", 41).await;
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 2).await;
        assert_eq!(replicas.served("r1").standing, Standing::Active);
        assert_eq!(replicas.shown("r1"), before);
    });
}

fn all(shown: &replicas::Shown) -> usize {
    shown.values().map(|(_, set)| set.len()).sum()
}

#[test]
fn a_lease_that_runs_out_in_the_middle_of_a_decision_loses_nothing() {
    for looks in 1..16 {
        universe::run(18, move |universe| async move {
            let replicas = Replicas::at_work(&universe).await;
            let now = universe.clock().monotonic();
            replicas.lead_until("r1", 1, Some(now + seconds(4))).await;
            replicas.clock.jump_after(looks, seconds(3));
            for number in 50..55 {
                replicas.find(instance(number));
            }
            universe.advance(millis(500)).await;
            replicas.renew("r1", now + seconds(100));
            replicas.keep_polling("r1", &["n1", "n2", "n3"], 3).await;
            assert_eq!(all(&replicas.shown("r1")), 15, "after {looks} looks at the clock");
        });
    }
}

#[test]
fn a_lease_that_runs_out_while_the_warm_up_ends_gives_nobody_an_empty_set() {
    for looks in 1..16 {
        universe::run(19, move |universe| async move {
            let mut replicas = Replicas::none(&universe);
            replicas.start("r1");
            replicas.find(instance(1));
            replicas.lead("r1", 1).await;
            replicas.keep_polling("r1", &["n1"], 31).await;
            let now = universe.clock().monotonic();
            assert_eq!(replicas.served("r1").standing, Standing::WarmingUp);
            replicas.lead_until("r1", 1, Some(now + seconds(5))).await;
            replicas.clock.jump_after(looks, seconds(4));
            for _ in 0..30 {
                universe.advance(millis(100)).await;
                let served = replicas.served("r1");
                assert!(served.standing != Standing::Active || replicas.set_size("r1", "n1") == 1, "after {looks} looks at the clock");
            }
            replicas.renew("r1", now + seconds(100));
            replicas.keep_polling("r1", &["n1"], 5).await;
            assert_eq!((replicas.served("r1").standing, replicas.set_size("r1", "n1")), (Standing::Active, 1));
        });
    }
}

#[test]
fn a_replica_that_loses_the_lock_while_it_looks_for_a_table_keeps_the_best_so_far() {
    universe::run(20, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.snapshots.fail(true);
        replicas.network.cut("r2", true);
        replicas.kill("r1").await;
        replicas.lead("r3", 2).await;
        replicas.kill("r3").await;
        replicas.lead("r2", 3).await;
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.served("r2").standing, Standing::Starting, "it has only a copy of the first term");
        replicas.lead("", 3).await;
        replicas.lead("r2", 4).await;
        universe.advance(seconds(12)).await;
        replicas.keep_polling("r2", &["n1", "n2", "n3"], 2).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active);
        assert_eq!(replicas.shown("r2"), before);
    });
}

#[test]
fn a_change_that_waits_while_the_replica_panics_is_shown_nevertheless() {
    universe::run(21, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        replicas.network.slow(seconds(1));
        universe.advance(seconds(12)).await;
        replicas.find(instance(50));
        universe.advance(millis(50)).await;
        assert!(replicas.served("r1").shown.0 < replicas.seq("r1").await);
        replicas.crash("r1", "Replica");
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.served("r1").shown.0, replicas.seq("r1").await);
        assert_eq!(all(&replicas.shown("r1")), 11);
    });
}

#[test]
fn a_follower_that_lost_its_leader_long_before_the_lock_was_free_asks_the_others_first() {
    universe::run(22, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        replicas.network.cut("r2", true);
        universe.advance(seconds(16)).await;
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 1).await;
        replicas.find(instance(50));
        replicas.keep_polling("r1", &["n1", "n2", "n3"], 30).await;
        let before = replicas.shown("r1");
        replicas.kill("r1").await;
        replicas.network.cut("r2", false);
        replicas.lead("r2", 2).await;
        assert_eq!(replicas.served("r2").standing, Standing::Starting);
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active);
        assert_eq!(replicas.shown("r2"), before);
    });
}

#[test]
fn an_empty_leader_waits_for_followers_that_look_at_the_lock_seldom() {
    universe::run(23, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.kill("r1").await;
        replicas.snapshots.clear();
        replicas.lease = seconds(60);
        replicas.start("r4");
        replicas.grant("r4", 2, None);
        replicas.notice("r4");
        // Twice in a retry period of 8 s, and up to a fifth later.
        universe.advance(millis(4_800)).await;
        assert_eq!(replicas.served("r4").standing, Standing::Starting);
        replicas.notice("r2");
        replicas.notice("r3");
        universe.advance(seconds(1)).await;
        assert_eq!(replicas.served("r4").standing, Standing::Active);
        assert_eq!(replicas.shown("r4"), before);
    });
}

#[test]
fn a_leader_of_before_that_leads_again_takes_no_agent_for_dead_that_polled_elsewhere_meanwhile() {
    universe::run(31, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        replicas.lead("r2", 2).await;
        replicas.keep_polling("r2", &["n1", "n2", "n3"], 20).await;
        replicas.lead("r1", 3).await;
        // Silent for 34 s as far as this replica heard itself.
        universe.advance(seconds(14)).await;
        assert_eq!(replicas.shown("r1"), before);
    });
}

#[test]
fn a_snapshot_of_any_age_empties_nobody() {
    universe::run(24, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        universe.advance(seconds(6)).await;
        let known = replicas.shown("r1");
        replicas.snapshots.fail(true);
        // Not in the snapshot: n4 has come, new configs run there, and n3 ends with the replicas.
        replicas.poll("r1", "n4", 0).await;
        for number in 50..53 {
            replicas.find(instance(number));
        }
        replicas.keep_polling("r1", &["n1", "n2", "n3", "n4"], 10).await;
        let version = replicas.shown("r1")["n4"].0.0;
        for name in ["r1", "r2", "r3"] {
            replicas.kill(name).await;
        }
        replicas.snapshots.fail(false);
        replicas.start("r3");
        replicas.lead("r3", 2).await;
        universe.advance(seconds(3)).await;
        for second in 0..40 {
            let answer = replicas.poll("r3", "n4", version).await;
            let warm = replicas.served("r3").standing == Standing::WarmingUp;
            assert!(if warm { answer.up_to_date } else { replicas.set_size("r3", "n4") > 0 }, "n4 is emptied after {second} s");
            assert!(warm || second >= 29, "n3 has not polled and is not expired after {second} s");
            replicas.keep_polling("r3", &["n1", "n2"], 1).await;
        }
        let now = replicas.shown("r3");
        assert_eq!(now.keys().collect::<Vec<_>>(), ["n1", "n2", "n4"]);
        assert_eq!(all(&now), 13);
        for node in ["n1", "n2"] {
            assert!(known[node].1.iter().all(|key| now[node].1.contains(key)), "{node} keeps what it has");
        }
    });
}

#[test]
fn a_snapshot_moves_nothing_and_serves_as_soon_as_all_its_nodes_have_polled() {
    universe::run(25, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        universe.advance(seconds(6)).await;
        let before = replicas.shown("r1");
        for name in ["r1", "r2", "r3"] {
            replicas.kill(name).await;
        }
        replicas.start("r2");
        replicas.lead("r2", 2).await;
        universe.advance(seconds(3)).await;
        replicas.find(instance(50));
        replicas.keep_polling("r2", &["n1", "n2"], 5).await;
        assert_eq!((replicas.served("r2").standing, replicas.shown("r2")), (Standing::WarmingUp, before.clone()));
        replicas.keep_polling("r2", &["n3"], 2).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active);
        assert_eq!(all(&replicas.shown("r2")), 11, "what is new is placed");
        for (node, (_, set)) in replicas.shown("r2") {
            assert!(before[&node].1.iter().all(|key| set.contains(key)), "{node} keeps what it has");
        }
        replicas.crash("r2", "Dispatcher");
        replicas.keep_polling("r2", &["n1"], 1).await;
        assert_eq!(replicas.served("r2").standing, Standing::Active, "its warm-up is over");
    });
}

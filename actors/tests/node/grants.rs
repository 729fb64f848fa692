//! What runs at most once runs only while it is granted.

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::kernel::universe;

use crate::world::{Answer, World, scripted};

/// A config that runs at most once.
fn once(name: &str) -> Arc<CheckConfig> {
    let init_config = Some(Data::from("muster_handover: at_most_once\n"));
    Arc::new(CheckConfig { init_config, ..(*scripted(name, "min_collection_interval: 1")).clone() })
}

const GRANT: Option<Duration> = Some(Duration::from_secs(30));

#[test]
fn what_runs_at_most_once_stops_when_its_grant_ends_and_starts_with_the_next_answer() {
    universe::run(1, |universe| async move {
        let world = World::start(&universe, &[once("one"), scripted("many", "min_collection_interval: 1")]);
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(15).await;
        assert!(world.runs_of("one").len() > 10);
        world.agent.answer(Answer::Down);
        world.seconds(60).await;
        let last = world.runs_of("one").last().unwrap().0;
        assert!((38_000..42_000).contains(&last), "granted at 10 s for 30 s, ran last at {last} ms");
        assert!(world.runs_of("many").len() > 70, "others run on");
        assert_eq!(world.observe("Scheduler").await["stopped_without_grant"], 1);
        let failures = world.node.stats.current().load_failures.clone();
        assert!(failures[0].error.contains("runs at most once"), "{failures:?}");
        world.agent.set(&[once("one"), scripted("many", "min_collection_interval: 1")]);
        world.seconds(20).await;
        assert!(world.runs_of("one").last().unwrap().0 > 80_000);
        assert!(world.node.stats.current().load_failures.is_empty());
    });
}

#[test]
fn a_run_under_way_is_cancelled_when_its_grant_ends() {
    universe::run(1, |universe| async move {
        let config = Arc::new(CheckConfig { instances: vec![Data::from("name: one\nscript: hang\n")], ..(*once("one")).clone() });
        let world = World::start(&universe, &[config]);
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(5).await;
        assert_eq!(world.observe("WorkerPool").await["running"], 1);
        world.agent.answer(Answer::Down);
        world.seconds(40).await;
        assert_eq!(world.observe("WorkerPool").await["running"], 0);
    });
}

#[test]
fn with_a_stock_server_nothing_stops() {
    universe::run(1, |universe| async move {
        let world = World::start(&universe, &[once("one")]);
        world.seconds(15).await;
        world.agent.answer(Answer::Down);
        world.seconds(300).await;
        assert!(world.runs_of("one").len() > 300);
    });
}

#[test]
fn an_outdated_set_and_a_server_that_warms_up_are_granted_nothing() {
    universe::run(1, |universe| async move {
        let world = World::start(&universe, &[once("one")]);
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(15).await;
        *world.agent.grant.lock().unwrap() = Some(Duration::ZERO);
        world.seconds(60).await;
        assert!(world.runs_of("one").last().unwrap().0 < 42_000);
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(10).await;
        assert!(world.runs_of("one").last().unwrap().0 > 70_000);
    });
}

#[test]
fn what_comes_from_a_leader_that_grants_nothing_yet_waits_for_its_first_grant() {
    universe::run(1, |universe| async move {
        let world = World::start(&universe, &[once("one")]);
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(15).await;
        *world.agent.grant.lock().unwrap() = Some(Duration::ZERO);
        world.agent.set(&[once("one"), once("two")]);
        world.seconds(20).await;
        assert!(world.runs_of("one").last().unwrap().0 > 30_000, "the grant of before holds for what was here before");
        assert_eq!(world.runs_of("two"), [], "somebody else may still run it");
        *world.agent.grant.lock().unwrap() = GRANT;
        world.seconds(15).await;
        assert!(world.runs_of("two").len() > 3);
    });
}

#[test]
fn a_restart_of_any_actor_keeps_to_the_grant() {
    for actor in ["Scheduler", "ConfigProvider(cluster-checks)"] {
        universe::run(1, |universe| async move {
            let world = World::start(&universe, &[once("one")]);
            *world.agent.grant.lock().unwrap() = GRANT;
            world.seconds(15).await;
            world.agent.answer(Answer::Down);
            universe.expect_panics(1);
            assert!(universe.kernel().crash(actor));
            world.seconds(10).await;
            assert!(world.runs_of("one").last().unwrap().0 > 20_000, "{actor}");
            world.seconds(60).await;
            assert!(world.runs_of("one").last().unwrap().0 < 42_000, "{actor}");
        });
    }
}

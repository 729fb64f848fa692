//! When checks run, what becomes of their runs, and what they leave behind.

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::check_options::CheckOptions;
use muster_actors::domain::ids::CheckId;
use muster_actors::domain::provider_state::ConfigSource;
use muster_actors::domain::samples::ServiceStatus;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::universe;
use muster_actors::messages::output::Enqueue;
use muster_actors::messages::run_stats::RunFinished;
use muster_actors::messages::worker_pool::{Install, RunDue, RunNow, RunNowReply};
use muster_actors::node::{NodePolicy, PoolLinks, PoolPolicy, SchedulerPolicy, WorkerPool};
use muster_actors::ports::{CheckInstance, CheckLoader as _};
use muster_actors::shared::aggregator::{Aggregator, AggregatorPolicy};

use crate::world::{Runs, ScriptedLoader, World, scripted};

#[test]
fn a_new_check_runs_within_two_seconds_and_then_once_per_interval_without_drift() {
    universe::run(7, |universe| async move {
        let configs: Vec<_> = (0..40).map(|number| scripted(&format!("c{number}"), "takes: 1700")).collect();
        let world = World::start(&universe, &configs);
        world.seconds(150).await;
        for number in 0..40 {
            let starts: Vec<u64> = world.runs_of(&format!("c{number}")).into_iter().map(|run| run.0).collect();
            assert!(starts[0] <= 2_000, "c{number}: {starts:?}");
            // The turn right after the first run may find it running; from then on the phase never changes.
            let tail = &starts[starts.len() - 9..];
            assert!(tail.windows(2).all(|pair| pair[1] - pair[0] == 15_000), "c{number}: {starts:?}");
        }
    });
}

#[test]
fn without_first_run_immediately_a_check_waits_for_its_bucket() {
    universe::run(8, |universe| async move {
        let scheduler = SchedulerPolicy { first_run_immediately: false, ..SchedulerPolicy::default() };
        let configs: Vec<_> = (0..4).map(|number| scripted(&format!("c{number}"), "")).collect();
        let policy = NodePolicy { scheduler, ..NodePolicy::default() };
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], policy);
        world.seconds(60).await;
        let mut phases: Vec<u64> = (0..4).map(|number| world.runs_of(&format!("c{number}"))[0].0 / 1000).collect();
        phases.sort_unstable();
        // Buckets 0, 7, 14, 6 are visited at seconds 1, 8, 15, 7.
        assert_eq!(phases, [1, 7, 8, 15]);
    });
}

#[test]
fn jitter_spreads_the_checks_of_one_turn_over_a_second() {
    universe::run(9, |universe| async move {
        let scheduler = SchedulerPolicy { first_run_immediately: false, jitter: 1.0, ..SchedulerPolicy::default() };
        let configs: Vec<_> = (0..20).map(|number| scripted(&format!("c{number}"), "min_collection_interval: 1")).collect();
        let policy = NodePolicy { scheduler, ..NodePolicy::default() };
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], policy);
        universe.advance(Duration::from_millis(2_500)).await;
        let mut starts: Vec<u64> = (0..20).map(|number| world.runs_of(&format!("c{number}"))[0].0).collect();
        starts.sort_unstable();
        assert!(starts[0] >= 1_000 && starts[19] <= 2_001, "{starts:?}");
        starts.dedup();
        assert!(starts.len() > 10, "{starts:?}");
    });
}

#[test]
fn nr_t11_a_panic_is_an_error_and_the_next_run_happens() {
    universe::run(10, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "script: panic"), scripted("b", "")]);
        world.seconds(40).await;
        let stats = world.stats_of("a").unwrap();
        assert_eq!(stats.last_error, "check panicked: scripted");
        assert!(stats.total_runs >= 2 && stats.total_errors == stats.total_runs);
        assert_eq!(world.stats_of("b").unwrap().total_errors, 0);
    });
}

#[test]
fn a_failed_run_keeps_what_it_submitted_and_its_error_is_scrubbed() {
    universe::run(11, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "script: fail")]);
        world.seconds(16).await;
        assert_eq!(world.stats_of("a").unwrap().last_error, "boom at http://********@db/");
        assert!(World::flushed(&world.sent.take(), "a") >= 1.0);
    });
}

#[test]
fn a_hung_check_is_ended_by_the_hard_timeout_and_runs_again() {
    universe::run(12, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "script: hang\nmin_collection_interval: 5"), scripted("b", "script: hang")]);
        world.seconds(130).await;
        let (a, b) = (world.stats_of("a").unwrap(), world.stats_of("b").unwrap());
        assert_eq!(a.last_error, "check timed out after 30s", "four intervals are less than 30 s");
        assert_eq!(b.last_error, "check timed out after 60s");
        assert_eq!((a.last_execution_time, a.timeouts), (30_000, a.total_runs));
        assert!(a.total_runs >= 3 && a.missed_runs > 0, "{a:?}");
        assert_eq!(World::flushed(&world.sent.take(), "a"), 0.0);
    });
}

#[test]
fn nr_t15_statistics_are_there_while_64_checks_hang() {
    universe::run(13, |universe| async move {
        let configs: Vec<_> = (0..64).map(|number| scripted(&format!("c{number}"), "script: hang")).collect();
        let pool = PoolPolicy { concurrency: 16, ..PoolPolicy::default() };
        let policy = NodePolicy { pool, ..NodePolicy::default() };
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], policy);
        world.seconds(20).await;
        let view = world.node.stats.current();
        assert_eq!(view.checks.len(), 64);
        assert!(view.entries(false).is_empty());
        assert!(view.entries(true).values().all(|entry| entry.pending));
        let observed = world.observe("WorkerPool").await;
        assert_eq!((observed["running"].as_u64(), observed["waiting"].as_u64()), (Some(16), Some(48)));
        assert_eq!(view.workers.count, 4);
        assert!(view.workers.instances["worker_1"].utilization > 0.2);
    });
}

#[test]
fn a_check_never_overlaps_itself_and_missed_turns_are_counted() {
    universe::run(14, |universe| async move {
        let world = World::start(&universe, &[scripted("slow", "takes: 3500\nmin_collection_interval: 1")]);
        world.seconds(60).await;
        let runs = world.runs_of("slow");
        assert!(runs.windows(2).all(|pair| pair[0].1.unwrap() <= pair[1].0), "{runs:?}");
        assert!(runs.len() > 12, "{runs:?}");
        let stats = world.stats_of("slow").unwrap();
        assert!(stats.missed_runs >= 3 * (stats.total_runs - 1), "{stats:?}");
    });
}

#[test]
fn a_check_that_is_unscheduled_is_cancelled_and_its_run_forgotten() {
    universe::run(15, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "takes: 20000")]);
        world.seconds(5).await;
        assert_eq!(world.runs_of("a").len(), 1);
        world.agent.set(&[]);
        world.seconds(60).await;
        assert_eq!(world.runs_of("a"), [(world.runs_of("a")[0].0, None)]);
        assert_eq!(World::flushed(&world.sent.take(), "a"), 0.0);
        assert!(world.node.stats.current().checks.is_empty());
        let observed = world.observe("WorkerPool").await;
        assert_eq!((observed["checks"].as_u64(), observed["running"].as_u64(), observed["stopping"].as_u64()), (Some(0), Some(0), Some(0)));
    });
}

#[test]
fn totals_of_runs_outlive_their_checks_and_a_restart_of_the_statistics() {
    universe::run(14, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "takes: 10"), scripted("b", "script: fail")]);
        world.seconds(40).await;
        let before = world.node.stats.current().totals["scripted"].clone();
        assert!(before.succeeded >= 2 && before.failed >= 2, "{before:?}");
        assert_eq!(before.execution.count(), before.succeeded + before.failed);
        world.agent.set(&[scripted("a", "takes: 10")]);
        world.seconds(20).await;
        assert!(universe.kernel().crash("RunStats"));
        universe.expect_panics(1);
        world.seconds(20).await;
        let after = world.node.stats.current().totals["scripted"].clone();
        assert!(after.failed >= before.failed && after.succeeded > before.succeeded, "{before:?} {after:?}");
        assert!(after.execution.sum() > before.execution.sum());
    });
}

#[test]
fn a_check_can_be_run_now_but_not_twice_at_once() {
    universe::run(20, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "takes: 100\nmin_collection_interval: 3600")]);
        world.seconds(10).await;
        let before = world.runs_of("a").len();
        let id = world.node.stats.current().checks.keys().next().unwrap().clone();
        let ask = |id: &str| world.node.run_now.ask(RunNow { id: id.into() }, Duration::from_secs(1));
        assert_eq!(ask(id.as_str()).await, Ok(RunNowReply::Queued));
        assert_eq!(ask(id.as_str()).await, Ok(RunNowReply::UnderWay));
        assert_eq!(ask("scripted:b:1").await, Ok(RunNowReply::Unknown));
        world.seconds(1).await;
        assert_eq!(world.runs_of("a").len(), before + 1);
    });
}

#[test]
fn permits_bound_the_number_of_runs_and_new_checks_go_first() {
    universe::run(21, |universe| async move {
        let configs: Vec<_> = (0..10).map(|number| scripted(&format!("c{number}"), "takes: 4000\nmin_collection_interval: 5")).collect();
        let pool = PoolPolicy { concurrency: 2, ..PoolPolicy::default() };
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], NodePolicy { pool, ..NodePolicy::default() });
        world.seconds(25).await;
        let all: Vec<(u64, Option<u64>)> = (0..10).flat_map(|number| world.runs_of(&format!("c{number}"))).collect();
        let most = all.iter().map(|run| all.iter().filter(|other| other.0 <= run.0 && other.1.is_none_or(|end| end > run.0)).count()).max();
        assert_eq!(most, Some(2));
        // 25 s hold about 12 runs; every check had its first before any had its third.
        assert!((0..10).all(|number| !world.runs_of(&format!("c{number}")).is_empty()));
    });
}

#[test]
fn every_run_is_flushed_once_with_the_agents_host_unless_it_is_to_be_empty() {
    universe::run(22, |universe| async move {
        let world = World::start(&universe, &[scripted("a", ""), scripted("b", "empty_default_hostname: true")]);
        world.seconds(151).await;
        world.node.drain(Duration::from_secs(5)).await;
        universe.settle().await;
        let batches = world.sent.take();
        assert!(batches.len() >= 10);
        for (name, host) in [("a", "node-1"), ("b", "")] {
            assert_eq!(World::flushed(&batches, name), world.runs_of(name).len() as f64);
            let tag = format!("check:{name}");
            let series = batches.iter().flat_map(|enqueue| &enqueue.batch.series).filter(|series| series.tags.contains(&tag));
            assert!(series.clone().all(|series| series.host == host && series.source_type_name == "System"));
            assert!(series.count() > 5);
        }
    });
}

#[test]
fn draining_waits_for_running_checks_and_cancels_those_that_do_not_end() {
    universe::run(23, |universe| async move {
        let world = World::start(&universe, &[scripted("short", "takes: 3000"), scripted("endless", "script: hang")]);
        world.seconds(2).await;
        world.node.drain(Duration::from_secs(5)).await;
        universe.settle().await;
        assert_eq!(World::flushed(&world.sent.take(), "short"), 1.0);
        let runs = world.runs.lock().unwrap().values().map(Vec::len).sum::<usize>();
        world.seconds(60).await;
        assert_eq!(world.runs.lock().unwrap().values().map(Vec::len).sum::<usize>(), runs, "nothing starts after a drain");
    });
}

#[test]
fn each_run_is_followed_by_a_service_check_when_asked_for() {
    universe::run(24, |universe| async move {
        let pool = PoolPolicy { check_status: true, ..PoolPolicy::default() };
        let configs = [scripted("good", ""), scripted("bad", "script: panic\n")];
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], NodePolicy { pool, ..NodePolicy::default() });
        world.seconds(16).await;
        let batches = world.sent.take();
        let mut statuses: Vec<ServiceStatus> = batches.iter().flat_map(|enqueue| &enqueue.batch.check_runs).map(|run| run.status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        assert_eq!(statuses, [ServiceStatus::Ok, ServiceStatus::Critical]);
        let first = &batches[0].batch.check_runs[0];
        assert_eq!((first.name.as_str(), first.host.as_str()), ("datadog.agent.check_status", "node-1"));
        assert_eq!(first.tags, ["check:scripted", "dd_enable_check_intake:true"]);
        assert_eq!(world.stats_of("good").unwrap().total_service_checks, 0, "it is not the check's own");
    });
}

#[test]
fn a_restart_of_any_actor_brings_all_checks_back_and_keeps_the_statistics() {
    universe::run(25, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "takes: 10")]);
        world.seconds(40).await;
        for actor in ["Scheduler", "WorkerPool", "Aggregator", "RunStats", "ConfigProvider(cluster-checks)"] {
            let (runs, total) = (world.runs_of("a").len(), world.stats_of("a").unwrap().total_runs);
            assert!(universe.kernel().crash(actor), "{actor}");
            universe.expect_panics(1);
            world.seconds(61).await;
            assert!(world.runs_of("a").len() >= runs + 4, "{actor}");
            assert!(world.stats_of("a").unwrap().total_runs >= total + 4, "{actor}");
        }
    });
}

#[test]
fn samples_that_find_the_aggregator_full_are_dropped_and_the_run_says_so() {
    universe::run(28, |universe| async move {
        let (pool, aggregator) = (Handle::<WorkerPool>::new("WorkerPool"), Handle::<Aggregator>::new("Aggregator"));
        let (output, _sent) = universe.recorder::<Enqueue>("output");
        let group = universe.kernel().group("running", None);
        group.child(&aggregator, 1, move || Aggregator::new(AggregatorPolicy::default(), vec![output.clone()]));
        let (finished, runs) = universe.recorder::<RunFinished>("finished");
        let links = PoolLinks {
            commits: aggregator.outlet(),
            states: universe.recorder("states").0,
            finished,
            missed: universe.recorder("missed").0,
            measured: universe.recorder("measured").0,
        };
        let (clock, runtime) = (universe.clock(), tokio::runtime::Handle::current());
        group.child(&pool, 4096, move || WorkerPool::new(PoolPolicy::default(), links.clone(), Arc::clone(&clock), runtime.clone()));
        let loader = ScriptedLoader { clock: universe.clock(), runs: Runs::default() };
        let ids: Vec<CheckId> = (0..50).map(|number| CheckId::from(format!("scripted:c{number}:1"))).collect();
        for id in &ids {
            let instance = CheckInstance { config: scripted(id.as_str(), ""), index: 0, id: id.clone() };
            let options = CheckOptions { interval: Duration::from_secs(15), empty_default_hostname: false };
            pool.post(Install { id: id.clone(), check: loader.load(&instance).unwrap(), options });
        }
        pool.post(RunDue { ids });
        universe.advance(Duration::from_secs(1)).await;
        let errors: Vec<Option<String>> = runs.take().into_iter().map(|finished| finished.run.error).collect();
        assert_eq!(errors.len(), 50);
        assert!(errors.iter().any(Option::is_none));
        assert!(errors.iter().any(|error| error.as_deref() == Some("output backpressure")), "{errors:?}");
    });
}

#[test]
fn dynamic_workers_are_reported_as_checks_arrive() {
    universe::run(26, |universe| async move {
        let configs: Vec<_> = (0..16).map(|number| scripted(&format!("c{number}"), "")).collect();
        let pool = PoolPolicy { workers: None, ..PoolPolicy::default() };
        let world = World::with(&universe, &configs, &[ConfigSource::ClusterChecks], NodePolicy { pool, ..NodePolicy::default() });
        world.seconds(5).await;
        assert_eq!(world.node.stats.current().workers.count, 15);
        world.agent.set(&[]);
        world.seconds(60).await;
        assert_eq!(world.node.stats.current().workers.count, 15, "the number only grows");
    });
}

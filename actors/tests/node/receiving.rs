//! What the cluster agent says, and what runs of it: polls, sets that change, outages.

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::digest::check_ids;
use muster_actors::domain::provider_state::ConfigSource;
use muster_actors::kernel::health::HealthKind;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::node::NodePolicy;
use muster_actors::testing::secret_backend::FakeSecretBackend;

use crate::world::{Answer, World, config, scripted};

#[test]
fn a_node_posts_its_status_first_then_fetches_then_polls_every_ten_seconds() {
    universe::run(1, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "")]);
        world.seconds(25).await;
        let calls = world.agent.calls();
        let named: Vec<&str> = calls.iter().map(|(_, call)| call.as_str()).collect();
        assert_eq!(named, ["status 0", "configs", "status 1", "status 1"]);
        assert_eq!(calls[0].0, 0, "the first poll is at once");
        assert!((9_000..=10_000).contains(&calls[2].0), "the first wait is at most a tenth shorter: {}", calls[2].0);
        assert_eq!(calls[3].0 - calls[2].0, 10_000);
    });
}

#[test]
fn a_received_config_with_a_secret_runs_under_the_id_that_the_server_knows() {
    universe::run(30, |universe| async move {
        let backend = Arc::new(FakeSecretBackend::slow(Duration::from_secs(1)));
        let received = config(&["name: ENC[n]\n"]);
        let sources = [ConfigSource::ClusterChecks];
        let secrets = Some(Arc::clone(&backend) as _);
        let world = World::build(&universe, &[Arc::clone(&received), scripted("b", "")], &sources, NodePolicy::default(), secrets);
        world.seconds(5).await;
        assert!(!world.runs_of("b").is_empty(), "others do not wait");
        let failures = world.node.stats.current().load_failures.clone();
        assert!(failures[0].error.ends_with("secret handle 'n' was not resolved by the secret_backend_command"), "{failures:?}");
        backend.put("n", "a");
        world.seconds(90).await;
        assert!(!world.runs_of("a").is_empty());
        assert!(world.node.stats.current().checks.contains_key(&check_ids(&received)[0]), "not the id of the bytes with the secret");
        assert!(world.node.stats.current().load_failures.is_empty());
        let calls = backend.calls();
        world.agent.set(&[scripted("b", "")]);
        world.seconds(600).await;
        assert_eq!(backend.calls(), calls);
        assert_eq!(world.observe("Scheduler").await["checks"], 1);
    });
}

#[test]
fn endpoint_checks_are_fetched_at_every_poll() {
    universe::run(2, |universe| async move {
        let world = World::with(&universe, &[], &[ConfigSource::EndpointChecks], NodePolicy::default());
        world.seconds(25).await;
        let calls = world.agent.calls();
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|(_, call)| call == "endpoint configs of node-a"), "{calls:?}");
    });
}

#[test]
fn checks_go_on_while_the_cluster_agent_is_away() {
    universe::run(3, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "")]);
        world.seconds(20).await;
        world.agent.answer(Answer::Down);
        world.seconds(3600).await;
        let provider = world.node.providers[0].current();
        assert_eq!((provider.configs, provider.in_contact), (1, false));
        assert_eq!(provider.last_error.as_deref(), Some("cluster agent not available: 503"));
        assert_eq!(provider.condition(), "degraded, running the last known configs");
        assert!(provider.polls > provider.failed_polls && provider.failed_polls >= 359, "{provider:?}");
        assert!(provider.last_poll.unwrap() - provider.last_success.unwrap() > 3500, "{provider:?}");
        let before = world.runs_of("a").len();
        world.seconds(60).await;
        assert_eq!(world.runs_of("a").len() - before, 4);
        assert_eq!(world.runs.lock().unwrap().len(), 1);
    });
}

#[test]
fn an_empty_or_unreadable_answer_stops_all_checks_and_the_next_set_starts_them_again() {
    universe::run(4, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "")]);
        for answer in [Answer::Set(Vec::new()), Answer::Garbage] {
            world.seconds(20).await;
            assert!(world.stats_of("a").is_some());
            world.agent.answer(answer);
            world.seconds(13).await;
            assert_eq!(world.stats_of("a"), None);
            world.agent.set(&[scripted("a", "")]);
        }
        world.seconds(13).await;
        assert!(world.stats_of("a").is_some());
    });
}

#[test]
fn a_silent_cluster_agent_gets_extra_heartbeats() {
    universe::run(5, |universe| async move {
        let world = World::start(&universe, &[scripted("a", "")]);
        world.seconds(15).await;
        world.agent.answer(Answer::Silent);
        let _ = world.agent.calls();
        world.seconds(60).await;
        let beats: Vec<u64> = world.agent.calls().into_iter().filter(|(_, call)| call == "status -1").map(|(at, _)| at).collect();
        assert_eq!(beats.len(), 2, "{beats:?}");
        assert!((24_900..=26_000).contains(&(beats[1] - beats[0])), "{beats:?}");
    });
}

#[test]
fn readiness_waits_for_the_first_poll_whatever_its_answer() {
    universe::run(6, |universe| async move {
        let world = World::start(&universe, &[]);
        world.agent.answer(Answer::Silent);
        universe.settle().await;
        let ready = |universe: &Universe| universe.kernel().health().report(HealthKind::Readiness);
        assert_eq!(ready(&universe).unhealthy, ["ConfigProvider(cluster-checks)"]);
        world.agent.answer(Answer::Down);
        world.seconds(40).await;
        assert!(ready(&universe).passes());
    });
}

#[test]
fn a_changed_config_replaces_the_old_one_without_a_moment_of_both() {
    universe::run(16, |universe| async move {
        let world = World::start(&universe, &[scripted("old", "takes: 500\nmin_collection_interval: 1")]);
        world.seconds(15).await;
        world.agent.set(&[scripted("new", "takes: 500\nmin_collection_interval: 1")]);
        world.seconds(30).await;
        let last_old = world.runs_of("old").last().unwrap().0;
        let first_new = world.runs_of("new")[0].0;
        assert!(last_old <= first_new, "{last_old} {first_new}");
        assert_eq!(world.node.stats.current().checks.len(), 1);
    });
}

#[test]
fn a_load_error_is_shown_and_stops_nothing_else() {
    universe::run(17, |universe| async move {
        let mixed = config(&["name: a\n", "name: b\nscript: unknown\n", "name: c\nmin_collection_interval: 0.5\n", "name: [\n"]);
        let world = World::start(&universe, &[mixed]);
        world.seconds(20).await;
        let view = world.node.stats.current();
        let failures: Vec<(usize, &str)> = view.load_failures.iter().map(|failure| (failure.instance, failure.error.as_str())).collect();
        assert_eq!(failures.len(), 3, "{failures:?}");
        assert_eq!(failures[0], (1, r#"no loader for check "scripted", known checks: scripted"#));
        assert!(failures[1].1.contains("schedule interval must be greater than 1s or 0"), "{failures:?}");
        assert!(failures[2].1.starts_with("instance 3: "), "{failures:?}");
        assert!(world.stats_of("a").unwrap().total_runs >= 1);
        world.agent.set(&[]);
        world.seconds(20).await;
        assert!(world.node.stats.current().load_failures.is_empty());
    });
}

#[test]
fn templates_and_configs_for_the_dispatcher_do_not_run() {
    universe::run(18, |universe| async move {
        let base = |name: &str| (*scripted(name, "")).clone();
        let waiting = CheckConfig { ad_identifiers: vec!["kubernetes_pod://1".to_owned()], ..base("template") };
        let undispatched = CheckConfig { cluster_check: true, ..base("undispatched") };
        let excluded = CheckConfig { metrics_excluded: true, ..base("excluded") };
        let world = World::start(&universe, &[Arc::new(waiting), Arc::new(undispatched), Arc::new(excluded), scripted("a", "")]);
        world.seconds(20).await;
        assert_eq!(world.runs.lock().unwrap().keys().cloned().collect::<Vec<_>>(), ["a"]);
        assert_eq!(world.observe("Scheduler").await["waiting_for_service"], 1);
    });
}

#[test]
fn a_check_named_by_two_sources_runs_once_until_both_let_it_go() {
    universe::run(19, |universe| async move {
        let sources = [ConfigSource::ClusterChecks, ConfigSource::EndpointChecks];
        let world = World::with(&universe, &[scripted("a", "takes: 100")], &sources, NodePolicy::default());
        world.seconds(61).await;
        assert!((4..=6).contains(&world.runs_of("a").len()), "{:?}", world.runs_of("a"));
        assert_eq!(world.observe("Scheduler").await["checks"], 1);
        world.agent.set(&[]);
        world.seconds(20).await;
        assert_eq!(world.observe("Scheduler").await["checks"], 0);
    });
}

#[test]
fn a_restarted_scheduler_forgets_what_is_gone_meanwhile() {
    universe::run(27, |universe| async move {
        let world = World::start(&universe, &[scripted("a", ""), scripted("b", "")]);
        world.seconds(15).await;
        assert_eq!(world.node.stats.current().checks.len(), 2);
        // The provider loses its set together with the scheduler, and the next set it gets is smaller.
        world.agent.set(&[scripted("b", "")]);
        universe.expect_panics(2);
        assert!(universe.kernel().crash("ConfigProvider(cluster-checks)") && universe.kernel().crash("Scheduler"));
        world.seconds(15).await;
        assert!(world.stats_of("a").is_none());
        assert!(world.stats_of("b").is_some_and(|stats| stats.total_runs >= 2));
    });
}

//! The node role on paused time: providers, scheduler, pool, statistics and aggregator together, with a scripted outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::check_options::CheckOptions;
use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::digest::check_ids;
use muster_actors::domain::ids::CheckId;
use muster_actors::domain::provider_state::{ConfigSource, ProviderPolicy};
use muster_actors::domain::run_stats::CheckStats;
use muster_actors::domain::samples::{RunSamples, Sample, SampleKind, ServiceStatus};
use muster_actors::domain::yaml;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::health::HealthKind;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::universe::{self, Recorded, Universe};
use muster_actors::messages::dispatcher::DiscoverySynced;
use muster_actors::messages::output::Enqueue;
use muster_actors::messages::run_stats::RunFinished;
use muster_actors::messages::worker_pool::{Install, RunDue, RunNow, RunNowReply};
use muster_actors::node::{self, Node, NodePolicy, NodePorts, PoolLinks, PoolPolicy, ProviderPlan, SchedulerPolicy, WorkerPool};
use muster_actors::ports::{
    Check, CheckInstance, CheckLoader, ClusterAgentClient, ClusterAgentError, FetchedConfigs, LoadError, RunReport, SecretBackend,
    StatusReply,
};
use muster_actors::shared::aggregator::{Aggregator, AggregatorPolicy};
use muster_actors::testing::secret_backend::FakeSecretBackend;

/// What the scripted checks did: name -> (start, end) in milliseconds of virtual time; no end while running or when cancelled.
type Runs = Arc<Mutex<BTreeMap<String, Vec<(u64, Option<u64>)>>>>;

/// Loads checks whose instance says what they do: `script` ok, panic, hang, fail; `takes` in milliseconds; `name`.
struct ScriptedLoader {
    clock: Arc<dyn Clock>,
    runs: Runs,
}

struct ScriptedCheck {
    name: String,
    script: String,
    takes: Duration,
    clock: Arc<dyn Clock>,
    runs: Runs,
}

impl CheckLoader for ScriptedLoader {
    fn load(&self, instance: &CheckInstance) -> Result<Box<dyn Check>, LoadError> {
        let keys = yaml::parse(&instance.config.instances[instance.index].text()).unwrap();
        let text = |key: &str| keys.get(key).map(yaml::Value::key_text).unwrap_or_default();
        if text("script") == "unknown" {
            return Err(LoadError::NoLoader { name: instance.config.name.clone(), known: "scripted".to_owned() });
        }
        let takes = Duration::from_millis(text("takes").parse().unwrap_or(0));
        let (clock, runs) = (Arc::clone(&self.clock), Arc::clone(&self.runs));
        Ok(Box::new(ScriptedCheck { name: text("name"), script: text("script"), takes, clock, runs }))
    }
}

impl ScriptedCheck {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap()
    }
}

impl Check for ScriptedCheck {
    fn run(&mut self) -> BoxFuture<'_, RunReport> {
        async move {
            let started = self.now();
            let index = {
                let mut runs = self.runs.lock().unwrap();
                let mine = runs.entry(self.name.clone()).or_default();
                mine.push((started, None));
                mine.len() - 1
            };
            tokio::time::sleep(self.takes).await;
            match self.script.as_str() {
                "hang" => pending().await,
                "panic" => panic!("scripted"),
                _ => {}
            }
            let ended = self.now();
            self.runs.lock().unwrap().get_mut(&self.name).unwrap()[index].1 = Some(ended);
            let sample = Sample {
                name: "scripted.runs".to_owned(),
                kind: SampleKind::Count,
                value: 1.0,
                tags: vec![format!("check:{}", self.name)],
                host: None,
                flush_first_value: false,
                no_index: false,
            };
            let error = (self.script == "fail").then(|| "boom at http://me:secret@db/".to_owned());
            RunReport { samples: RunSamples { samples: vec![sample], ..RunSamples::default() }, warnings: Vec::new(), error }
        }
        .boxed()
    }
}

/// What the scripted cluster agent answers.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Set(Vec<Arc<CheckConfig>>),
    Down,
    Garbage,
    Silent,
}

/// A cluster agent with one answer at a time; stamps grow with every change of the answer.
struct ScriptedAgent {
    clock: Arc<dyn Clock>,
    state: Mutex<(Answer, i64)>,
    /// (milliseconds of virtual time, call).
    calls: Mutex<Vec<(u64, String)>>,
    /// What it says about grants; nothing, as a stock one.
    grant: Mutex<Option<Duration>>,
}

impl ScriptedAgent {
    fn new(universe: &Universe, configs: &[Arc<CheckConfig>]) -> Arc<Self> {
        Arc::new(Self {
            clock: universe.clock(),
            state: Mutex::new((Answer::Set(configs.to_vec()), 1)),
            calls: Mutex::default(),
            grant: Mutex::default(),
        })
    }

    fn answer(&self, answer: Answer) {
        let mut state = self.state.lock().unwrap();
        *state = (answer, state.1 + 1);
    }

    fn set(&self, configs: &[Arc<CheckConfig>]) {
        self.answer(Answer::Set(configs.to_vec()));
    }

    fn note(&self, call: String) -> (Answer, i64) {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap();
        self.calls.lock().unwrap().push((now, call));
        self.state.lock().unwrap().clone()
    }

    fn calls(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn fetch(&self, call: String) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        match self.note(call) {
            (Answer::Set(configs), last_change) => async move { Ok(FetchedConfigs { last_change, configs }) }.boxed(),
            (Answer::Garbage, _) => async { Err(ClusterAgentError::Unexpected("no JSON".to_owned())) }.boxed(),
            (Answer::Down, _) => async { Err(ClusterAgentError::Remote("503".to_owned())) }.boxed(),
            (Answer::Silent, _) => pending().boxed(),
        }
    }
}

impl ClusterAgentClient for ScriptedAgent {
    fn post_status(&self, last_change: i64, _: Duration) -> BoxFuture<'static, Result<StatusReply, ClusterAgentError>> {
        match self.note(format!("status {last_change}")) {
            // An extra heartbeat is accepted even by an agent that does not get around to anything else.
            (Answer::Silent, _) if last_change >= 0 => pending().boxed(),
            (Answer::Down, _) => async { Err(ClusterAgentError::Remote("503".to_owned())) }.boxed(),
            (_, stamp) => {
                let (up_to_date, grant) = (last_change == stamp || last_change == -1, *self.grant.lock().unwrap());
                async move { Ok(StatusReply { up_to_date, grant }) }.boxed()
            }
        }
    }

    fn fetch_configs(&self) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        self.fetch("configs".to_owned())
    }

    fn fetch_endpoint_configs(&self, kubernetes_node: &str) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        self.fetch(format!("endpoint configs of {kubernetes_node}"))
    }
}

/// A config with one instance per text.
fn config(instances: &[&str]) -> Arc<CheckConfig> {
    let instances = instances.iter().map(|text| Data::from(*text)).collect();
    Arc::new(CheckConfig { name: "scripted".to_owned(), instances, ..CheckConfig::default() })
}

/// A config with one instance `{name: <name>, <more>}`.
fn scripted(name: &str, more: &str) -> Arc<CheckConfig> {
    config(&[&format!("name: {name}\n{more}")])
}

struct World {
    universe: Universe,
    agent: Arc<ScriptedAgent>,
    node: Node,
    runs: Runs,
    sent: Recorded<Enqueue>,
}

impl World {
    fn start(universe: &Universe, configs: &[Arc<CheckConfig>]) -> Self {
        Self::with(universe, configs, &[ConfigSource::ClusterChecks], NodePolicy::default())
    }

    fn with(universe: &Universe, configs: &[Arc<CheckConfig>], sources: &[ConfigSource], policy: NodePolicy) -> Self {
        Self::build(universe, configs, sources, policy, None)
    }

    fn build(
        universe: &Universe,
        configs: &[Arc<CheckConfig>],
        sources: &[ConfigSource],
        mut policy: NodePolicy,
        secrets: Option<Arc<dyn SecretBackend>>,
    ) -> Self {
        let agent = ScriptedAgent::new(universe, configs);
        let runs = Runs::default();
        let (output, sent) = universe.recorder::<Enqueue>("output");
        policy.pool.agent_host = Arc::from("node-1");
        let ports = NodePorts {
            clock: universe.clock(),
            random: universe.random(),
            loader: Arc::new(ScriptedLoader { clock: universe.clock(), runs: Arc::clone(&runs) }),
            runtime: tokio::runtime::Handle::current(),
            outputs: vec![output],
            replay: universe.recorder("replay").0,
            secrets,
        };
        let plan = |source: &ConfigSource| ProviderPlan {
            source: *source,
            identity: "node-a".to_owned(),
            policy: ProviderPolicy::default(),
            client: Arc::<ScriptedAgent>::clone(&agent),
        };
        let node = node::start(&universe.kernel(), policy, ports, sources.iter().map(plan).collect());
        // This machine has no files of its own.
        node.local.synced.post(DiscoverySynced::default());
        Self { universe: universe.clone(), agent, node, runs, sent }
    }

    async fn seconds(&self, seconds: u64) {
        self.universe.advance(Duration::from_secs(seconds)).await;
    }

    fn runs_of(&self, name: &str) -> Vec<(u64, Option<u64>)> {
        self.runs.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn stats_of(&self, name: &str) -> Option<Arc<CheckStats>> {
        let prefix = format!("scripted:{name}:");
        self.node.stats.current().checks.iter().find(|(id, _)| id.as_str().starts_with(&prefix)).map(|(_, stats)| Arc::clone(stats))
    }

    /// Sum of the counts flushed for a check since the last call.
    fn flushed(batches: &[Enqueue], name: &str) -> f64 {
        let tag = format!("check:{name}");
        let series = batches.iter().flat_map(|enqueue| &enqueue.batch.series).filter(|series| series.tags.contains(&tag));
        series.flat_map(|series| &series.points).map(|point| point.1).sum()
    }

    async fn observe(&self, actor: &str) -> serde_json::Value {
        self.universe.kernel().registry().observe_all(Duration::from_secs(1)).await[actor].clone()
    }
}

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

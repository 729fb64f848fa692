//! A node with a cluster agent and checks that follow scripts.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::provider_state::{ConfigSource, ProviderPolicy};
use muster_actors::domain::run_stats::CheckStats;
use muster_actors::domain::samples::{RunSamples, Sample, SampleKind};
use muster_actors::domain::yaml;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::universe::{Recorded, Universe};
use muster_actors::messages::dispatcher::DiscoverySynced;
use muster_actors::messages::output::Enqueue;
use muster_actors::node::{self, Node, NodePolicy, NodePorts, ProviderPlan};
use muster_actors::ports::{
    Check, CheckInstance, CheckLoader, ClusterAgentClient, ClusterAgentError, FetchedConfigs, LoadError, RunReport, SecretBackend,
    StatusReply,
};

/// What the scripted checks did: name -> (start, end) in milliseconds of virtual time; no end while running or when cancelled.
pub type Runs = Arc<Mutex<BTreeMap<String, Vec<(u64, Option<u64>)>>>>;

/// Loads checks whose instance says what they do: `script` ok, panic, hang, fail; `takes` in milliseconds; `name`.
pub struct ScriptedLoader {
    pub clock: Arc<dyn Clock>,
    pub runs: Runs,
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
pub enum Answer {
    Set(Vec<Arc<CheckConfig>>),
    Down,
    Garbage,
    Silent,
}

/// A cluster agent with one answer at a time; stamps grow with every change of the answer.
pub struct ScriptedAgent {
    clock: Arc<dyn Clock>,
    state: Mutex<(Answer, i64)>,
    /// (milliseconds of virtual time, call).
    calls: Mutex<Vec<(u64, String)>>,
    /// What it says about grants; nothing, as a stock one.
    pub grant: Mutex<Option<Duration>>,
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

    pub fn answer(&self, answer: Answer) {
        let mut state = self.state.lock().unwrap();
        *state = (answer, state.1 + 1);
    }

    pub fn set(&self, configs: &[Arc<CheckConfig>]) {
        self.answer(Answer::Set(configs.to_vec()));
    }

    fn note(&self, call: String) -> (Answer, i64) {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap();
        self.calls.lock().unwrap().push((now, call));
        self.state.lock().unwrap().clone()
    }

    pub fn calls(&self) -> Vec<(u64, String)> {
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
pub fn config(instances: &[&str]) -> Arc<CheckConfig> {
    let instances = instances.iter().map(|text| Data::from(*text)).collect();
    Arc::new(CheckConfig { name: "scripted".to_owned(), instances, ..CheckConfig::default() })
}

/// A config with one instance `{name: <name>, <more>}`.
pub fn scripted(name: &str, more: &str) -> Arc<CheckConfig> {
    config(&[&format!("name: {name}\n{more}")])
}

pub struct World {
    universe: Universe,
    pub agent: Arc<ScriptedAgent>,
    pub node: Node,
    pub runs: Runs,
    pub sent: Recorded<Enqueue>,
}

impl World {
    pub fn start(universe: &Universe, configs: &[Arc<CheckConfig>]) -> Self {
        Self::with(universe, configs, &[ConfigSource::ClusterChecks], NodePolicy::default())
    }

    pub fn with(universe: &Universe, configs: &[Arc<CheckConfig>], sources: &[ConfigSource], policy: NodePolicy) -> Self {
        Self::build(universe, configs, sources, policy, None)
    }

    pub fn build(
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

    pub async fn seconds(&self, seconds: u64) {
        self.universe.advance(Duration::from_secs(seconds)).await;
    }

    pub fn runs_of(&self, name: &str) -> Vec<(u64, Option<u64>)> {
        self.runs.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    pub fn stats_of(&self, name: &str) -> Option<Arc<CheckStats>> {
        let prefix = format!("scripted:{name}:");
        self.node.stats.current().checks.iter().find(|(id, _)| id.as_str().starts_with(&prefix)).map(|(_, stats)| Arc::clone(stats))
    }

    /// Sum of the counts flushed for a check since the last call.
    pub fn flushed(batches: &[Enqueue], name: &str) -> f64 {
        let tag = format!("check:{name}");
        let series = batches.iter().flat_map(|enqueue| &enqueue.batch.series).filter(|series| series.tags.contains(&tag));
        series.flat_map(|series| &series.points).map(|point| point.1).sum()
    }

    pub async fn observe(&self, actor: &str) -> serde_json::Value {
        self.universe.kernel().registry().observe_all(Duration::from_secs(1)).await[actor].clone()
    }
}

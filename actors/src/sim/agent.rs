//! A simulated agent: the production provider of cluster checks, and workers that run whatever it says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::config::CheckConfig;
use crate::domain::grants::runs_at_most_once;
use crate::domain::ids::{NodeName, Stamp};
use crate::domain::provider_state::{ConfigSource, Grant, ProviderPolicy};
use crate::domain::world::Standing;
use crate::kernel::clock::Clock;
use crate::kernel::health::HealthKind;
use crate::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::kernel::supervisor::Kernel;
use crate::kernel::universe::Universe;
use crate::messages::scheduler::{ApplyConfigs, RenewGrant};
use crate::ports::{ClusterAgentClient, ClusterAgentError, FetchedConfigs, StatusReply};
use crate::shared::config_provider::{ConfigProvider, ProviderLinks, ProviderView};
use crate::sim::auditor::{Auditor, RunningSet, running_set};
use crate::sim::front_door::{Reply, Request, unavailable};
use crate::sim::trace::Trace;
use crate::supervised;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time between two looks at whether a grant has ended, as in the scheduler of an agent.
const LOOK: Duration = Duration::from_secs(1);

/// Whether an agent is like a stock one, which knows no grants. The last of four is.
fn is_stock(node: &NodeName) -> bool {
    node.as_str().starts_with("runner-3")
}

/// The address under which agents find whoever answers.
pub(super) trait Service: Send + Sync {
    /// Carries a question of this agent there and the answer back, and shows both to the auditor.
    fn ask(&self, agent: &NodeName, request: Request) -> BoxFuture<'static, Result<Reply, ClusterAgentError>>;
}

/// What connects agents to the rest of the simulation.
#[derive(Clone)]
pub(super) struct AgentLinks {
    pub(super) service: Arc<dyn Service>,
    pub(super) auditor: Auditor,
    pub(super) trace: Trace,
}

/// How an agent reaches the cluster agent.
struct SimClient {
    node: NodeName,
    links: AgentLinks,
}

fn misunderstood<T>() -> Result<T, ClusterAgentError> {
    Err(ClusterAgentError::Unexpected("an answer to another question".to_owned()))
}

impl ClusterAgentClient for SimClient {
    fn post_status(&self, last_change: i64, _: Duration) -> BoxFuture<'static, Result<StatusReply, ClusterAgentError>> {
        let (node, links) = (self.node.clone(), self.links.clone());
        let asked = links.service.ask(&node, Request::Status { node: node.clone(), last_change, honours_grants: !is_stock(&node) });
        async move {
            let answer = asked.await;
            links.trace.note(format_args!("{node} status {last_change} -> {answer:?}"));
            match answer? {
                Reply::Status { up_to_date, standing, grant } => {
                    // While the server warms up, "up to date" says nothing about the set.
                    if up_to_date && last_change >= 0 && standing == Standing::Active {
                        links.auditor.polled(&node);
                    }
                    Ok(StatusReply { up_to_date, grant })
                }
                Reply::Configs(_) => misunderstood(),
            }
        }
        .boxed()
    }

    fn fetch_configs(&self) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        let (node, links) = (self.node.clone(), self.links.clone());
        let asked = links.service.ask(&node, Request::Configs { node: node.clone() });
        async move {
            match asked.await {
                Ok(Reply::Configs(fetched)) => {
                    let set = running_set(fetched.configs.iter().map(AsRef::as_ref));
                    links.trace.note(format_args!("{node} fetched {} -> {}", fetched.last_change, set.len()));
                    links.auditor.received(&node, Stamp(fetched.last_change), &set);
                    links.auditor.polled(&node);
                    Ok(fetched)
                }
                Ok(Reply::Status { .. }) => misunderstood(),
                Err(error) => {
                    links.trace.note(format_args!("{node} fetched nothing: {error}"));
                    Err(error)
                }
            }
        }
        .boxed()
    }

    fn fetch_endpoint_configs(&self, _: &str) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        // Simulated agents are dedicated runners, which have no Kubernetes node of their own.
        async { Err(unavailable("no endpoint checks for runners")) }.boxed()
    }
}

/// Runs what it is told, at once; what runs at most once only as long as it is granted.
struct Workers {
    node: NodeName,
    life: Arc<Life>,
    configs: Vec<Arc<CheckConfig>>,
    grant: Option<Grant>,
    /// What came with an answer that granted nothing.
    uncovered: RunningSet,
    clock: Arc<dyn Clock>,
    auditor: Auditor,
}

/// What is seen of an agent from outside.
struct Life {
    running: Mutex<RunningSet>,
    ended: AtomicBool,
}

impl Workers {
    fn run(&self) {
        if self.life.ended.load(Ordering::Relaxed) {
            return;
        }
        let granted = self.grant.is_some_and(|grant| grant.is_in_force(self.clock.monotonic()));
        let (once, others): (Vec<_>, Vec<_>) = self.configs.iter().map(AsRef::as_ref).partition(|config| runs_at_most_once(config));
        let once = if granted { &running_set(once) - &self.uncovered } else { RunningSet::new() };
        if !is_stock(&self.node) {
            self.auditor.runs_once(&self.node, &once);
        }
        *lock(&self.life.running) = running_set(others).union(&once).copied().collect();
    }
}

impl Actor for Workers {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(LOOK, |workers, _| workers.run());
    }
}

supervised!(Workers);

impl Observed for Workers {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!(lock(&self.life.running).len())
    }
}

impl Handler<ApplyConfigs> for Workers {
    type Result = ();

    fn handle(&mut self, apply: ApplyConfigs, _: &mut Context<Self>) {
        let before = running_set(self.configs.iter().map(AsRef::as_ref));
        self.configs = apply.configs;
        self.grant = apply.grant.or(self.grant);
        if apply.covers_new {
            self.uncovered.clear();
        } else {
            self.uncovered.extend(&running_set(self.configs.iter().map(AsRef::as_ref)) - &before);
        }
        self.run();
    }
}

impl Handler<RenewGrant> for Workers {
    type Result = ();

    fn handle(&mut self, renewed: RenewGrant, _: &mut Context<Self>) {
        self.grant = Some(renewed.grant);
        self.uncovered.clear();
        self.run();
    }
}

/// One life of an agent.
pub(super) struct Agent {
    kernel: Kernel,
    life: Arc<Life>,
}

impl Agent {
    pub(super) fn start(universe: &Universe, node: &NodeName, links: &AgentLinks) -> Self {
        let given_up = links.trace.clone();
        let kernel = universe.another_kernel(move |reason| given_up.violation(format_args!("an agent gave up: {reason}")));
        let life = Arc::new(Life { running: Mutex::default(), ended: AtomicBool::new(false) });
        let (workers, provider) = (Handle::<Workers>::new("Workers"), Handle::<ConfigProvider>::new("ConfigProvider"));
        let group = kernel.one_for_one("agent", None);
        let (shared, name, auditor, time) = (Arc::clone(&life), node.clone(), links.auditor.clone(), universe.clock());
        group.child(&workers, STATE_OWNER_CAPACITY, move || Workers {
            node: name.clone(),
            life: Arc::clone(&shared),
            configs: Vec::new(),
            grant: None,
            uncovered: RunningSet::new(),
            clock: Arc::clone(&time),
            auditor: auditor.clone(),
        });
        let provider_links = ProviderLinks {
            client: Arc::new(SimClient { node: node.clone(), links: links.clone() }),
            scheduler: workers.outlet(),
            grants: workers.outlet(),
            view: Arc::new(Publisher::new(ProviderView::default())),
            ready: kernel.health().flag(HealthKind::Readiness, "ConfigProvider"),
        };
        let (clock, identity) = (universe.clock(), node.to_string());
        group.child(&provider, STATE_OWNER_CAPACITY, move || {
            let policy = ProviderPolicy::default();
            ConfigProvider::new(ConfigSource::ClusterChecks, policy, identity.clone(), provider_links.clone(), Arc::clone(&clock))
        });
        Self { kernel, life }
    }

    pub(super) fn running(&self) -> RunningSet {
        lock(&self.life.running).clone()
    }

    /// The provider forgets its version and its set; the workers run on.
    pub(super) fn crash_provider(&self) -> bool {
        self.kernel.crash("ConfigProvider")
    }

    pub(super) async fn kill(self) {
        self.life.ended.store(true, Ordering::Relaxed);
        self.kernel.shutdown(Duration::from_secs(1)).await;
    }
}

//! Wires the node role: creates its handles, starts its actors, stops them in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tracing::warn;

use crate::domain::provider_state::{ConfigSource, ProviderPolicy};
use crate::domain::run_stats::RunStatsView;
use crate::kernel::clock::Clock;
use crate::kernel::health::HealthKind;
use crate::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::rng::Random;
use crate::kernel::supervisor::Kernel;
use crate::messages::aggregator::{Commit, FlushNow};
use crate::messages::output::Enqueue;
use crate::messages::resolver::ReplayDiscovery;
use crate::messages::worker_pool::{Drain, RunNow};
use crate::node::local_configs::LocalConfigs;
use crate::node::run_stats::RunStats;
use crate::node::scheduler::{Scheduler, SchedulerLinks, SchedulerPolicy};
use crate::node::worker_pool::{PoolLinks, PoolPolicy, WorkerPool};
use crate::ports::{CheckLoader, ClusterAgentClient, SecretBackend};
use crate::shared::aggregator::{Aggregator, AggregatorPolicy};
use crate::shared::config_provider::{ConfigProvider, ProviderLinks, ProviderView};
use crate::shared::resolver::DiscoverySubscriber;

/// Time in which the aggregator has to take a question during shutdown.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

/// A source of configs to poll.
#[derive(Clone)]
pub struct ProviderPlan {
    /// Which list.
    pub source: ConfigSource,
    /// Name under which this node polls, or the Kubernetes node for endpoint checks.
    pub identity: String,
    /// Timings.
    pub policy: ProviderPolicy,
    /// The cluster agent.
    pub client: Arc<dyn ClusterAgentClient>,
}

/// Settings of the node role.
#[derive(Debug, Clone, Default)]
pub struct NodePolicy {
    /// When checks run.
    pub scheduler: SchedulerPolicy,
    /// How they run.
    pub pool: PoolPolicy,
    /// What becomes of their samples.
    pub aggregator: AggregatorPolicy,
}

/// The outside of the node role.
#[derive(Clone)]
pub struct NodePorts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Turns instances into checks.
    pub loader: Arc<dyn CheckLoader>,
    /// Where checks run as tasks; its threads are not those of the actors.
    pub runtime: runtime::Handle,
    /// Destinations of samples.
    pub outputs: Vec<Outlet<Enqueue>>,
    /// To the `Resolver` that reads this machine's files.
    pub replay: Outlet<ReplayDiscovery>,
    /// What knows the secrets of received configs; `None` = they are left alone.
    pub secrets: Option<Arc<dyn SecretBackend>>,
}

/// The running node role. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    /// Statistics, for the runner API.
    pub stats: Reader<RunStatsView>,
    /// State of each provider, in the order of the plans.
    pub providers: Vec<Reader<ProviderView>>,
    /// Runs a check now.
    pub run_now: Outlet<RunNow>,
    /// What the `Resolver` of this machine's files tells.
    pub local: DiscoverySubscriber,
    /// Takes what is sent beside the runs of checks.
    pub commits: Outlet<Commit>,
    pool: Handle<WorkerPool>,
    aggregator: Handle<Aggregator>,
}

/// Starts the actors of the node role.
///
/// Scheduler, pool and aggregator restart together, statistics and providers each alone.
#[must_use]
pub fn start(kernel: &Kernel, policy: NodePolicy, ports: NodePorts, plans: Vec<ProviderPlan>) -> Node {
    let NodePolicy { scheduler: scheduler_policy, pool: pool_policy, aggregator: aggregator_policy } = policy;
    let NodePorts { clock, random, loader, runtime, outputs, replay, secrets } = ports;
    let stats = Handle::<RunStats>::new("RunStats");
    let aggregator = Handle::<Aggregator>::new("Aggregator");
    let pool = Handle::<WorkerPool>::new("WorkerPool");
    let scheduler = Handle::<Scheduler>::new("Scheduler");
    let local = Handle::<LocalConfigs>::new("LocalConfigs");
    let providers: Vec<(Handle<ConfigProvider>, ProviderPlan)> =
        plans.into_iter().map(|plan| (Handle::new(provider_name(plan.source)), plan)).collect();

    let view = Arc::new(Publisher::new(RunStatsView::default()));
    let reader = view.reader();
    kernel.one_for_one("statistics", None).child(&stats, STATE_OWNER_CAPACITY, move || RunStats::new(Arc::clone(&view)));

    let pool_links = PoolLinks {
        commits: aggregator.outlet(),
        states: stats.outlet(),
        finished: stats.outlet(),
        missed: stats.outlet(),
        measured: stats.outlet(),
    };
    let scheduler_links = SchedulerLinks {
        install: pool.outlet(),
        uninstall: pool.outlet(),
        due: pool.outlet(),
        scheduled: stats.outlet(),
        unscheduled: stats.outlet(),
        retain: stats.outlet(),
        failures: stats.outlet(),
        next_run: stats.outlet(),
        sources: providers.iter().map(|(handle, _)| handle.outlet()).chain([local.outlet()]).collect(),
    };
    let running = kernel.group("running", None);
    running.child(&aggregator, STATE_OWNER_CAPACITY, move || Aggregator::new(aggregator_policy.clone(), outputs.clone()));
    let pool_clock = Arc::clone(&clock);
    running.child(&pool, STATE_OWNER_CAPACITY, move || {
        WorkerPool::new(pool_policy.clone(), pool_links.clone(), Arc::clone(&pool_clock), runtime.clone())
    });
    let scheduler_clock = Arc::clone(&clock);
    running.child(&scheduler, STATE_OWNER_CAPACITY, move || {
        let (loader, clock, random) = (Arc::clone(&loader), Arc::clone(&scheduler_clock), Arc::clone(&random));
        Scheduler::new(scheduler_policy.clone(), scheduler_links.clone(), loader, clock, random).with_secrets(secrets.clone())
    });

    let polling = kernel.one_for_one("polling", None);
    let apply = scheduler.outlet();
    polling.child(&local, STATE_OWNER_CAPACITY, move || LocalConfigs::new(apply.clone(), replay.clone()));
    let mut views = Vec::new();
    for (handle, plan) in providers {
        let view = Arc::new(Publisher::new(ProviderView { source: plan.source.name(), ..ProviderView::default() }));
        views.push(view.reader());
        let ready = kernel.health().flag(HealthKind::Readiness, handle.name());
        let links =
            ProviderLinks { client: Arc::clone(&plan.client), scheduler: scheduler.outlet(), grants: scheduler.outlet(), view, ready };
        let clock = Arc::clone(&clock);
        polling.child(&handle, STATE_OWNER_CAPACITY, move || {
            ConfigProvider::new(plan.source, plan.policy.clone(), plan.identity.clone(), links.clone(), Arc::clone(&clock))
        });
    }
    let local = DiscoverySubscriber::of(&local);
    Node { stats: reader, providers: views, run_now: pool.outlet(), local, commits: aggregator.outlet(), pool, aggregator }
}

impl Node {
    /// Lets running checks end, at most `grace`, and hands everything that was submitted to the outputs. Nothing runs afterwards.
    ///
    /// The outputs and the kernel are shut down by the caller, in this order.
    pub async fn drain(&self, grace: Duration) {
        match self.pool.ask(Drain { grace }, grace + FLUSH_DEADLINE).await {
            Ok(drained) if drained.cancelled > 0 => warn!(cancelled = drained.cancelled, "checks did not end in time"),
            Ok(_) => {}
            Err(error) => warn!(%error, "pool did not drain"),
        }
        if let Err(error) = self.aggregator.ask(FlushNow, FLUSH_DEADLINE).await {
            warn!(%error, "last samples are lost");
        }
    }
}

fn provider_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::ClusterChecks => "ConfigProvider(cluster-checks)",
        ConfigSource::EndpointChecks => "ConfigProvider(endpoints-checks)",
    }
}

//! The node role: polls, runs checks, sends what they measure.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::provider_state::{ConfigSource, ProviderPolicy};
use muster_actors::domain::sample_state::HistogramPolicy;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::node::{Node, NodePolicy, NodePorts, PoolPolicy, ProviderPlan, SchedulerPolicy};
use muster_actors::ports::ClusterAgentClient;
use muster_actors::shared::aggregator::AggregatorPolicy;
use muster_actors::shared::resolver::Resolver;
use tracing::{info, warn};

use crate::api::auth::Tokens;
use crate::api::body::BodyLimits;
use crate::api::listener::{ListenAddress, ListenerSettings};
use crate::api::node::NodeApi;
use crate::api::runner::RunnerApi;
use crate::app::admin::{FillStatus, RoleView, admin_api};
use crate::app::carrier::Carrier;
use crate::app::discovery::{self, file_source};
use crate::app::host::Host;
use crate::app::node_apiserver::NodeApiserver;
use crate::app::outputs::Outputs;
use crate::app::runner_stats::PublishedStats;
use crate::checks::{AgentProxy, CheckSettings, NativeLoader};
use crate::cli::Start;
use crate::client::{ClientSettings, ClusterAgentHttp, Trust};
use crate::config::tokens::read_or_create_local_token;
use crate::config::{NodeSettings, Secret};
use crate::output::settings::OutputSettings;
use crate::secrets::SecretCommand;
use crate::telemetry::status::CheckSchedulerStatus;
use crate::telemetry::{build, sources, status};

/// Time that running checks have to end.
const CHECK_GRACE: Duration = Duration::from_secs(5);
/// Threads on which checks run, at most. Checks wait for others; their own work is parsing.
const MAX_CHECK_THREADS: usize = 4;

/// Runs the role until it is told to stop.
pub(super) async fn serve(start: Start<NodeSettings>) -> anyhow::Result<ExitCode> {
    let Start { config, settings } = start;
    let local_token = read_or_create_local_token(&settings.common.paths.local_token)?;
    let mut host = Host::open(config, &settings.common)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_CHECK_THREADS);
    let checks = Carrier::start("checks", threads).context("start the threads of checks")?;

    let apiserver = NodeApiserver::new(&settings);
    let outputs = Outputs::start(&host, &OutputSettings::for_node(&settings))?;
    let report = Arc::new(Publisher::new(DiscoveryReport::default()));
    let resolver = Handle::<Resolver>::new("Resolver");
    let secret_command = discovery::secret_command(&host);
    let secrets = discovery::secret_backend(secret_command.as_ref());
    let ports = NodePorts {
        clock: Arc::clone(&host.clock),
        random: Arc::clone(&host.random),
        loader: Arc::new(NativeLoader::new(check_settings(&host, &settings, &apiserver))),
        runtime: checks.handle.clone(),
        outputs: outputs.outlets(),
        replay: resolver.outlet(),
        secrets: secrets.clone(),
    };
    let plans = provider_plans(&host, &settings)?;
    let node = muster_actors::node::start(&host.kernel, node_policy(&settings), ports, plans);
    let files = file_source(&host, &settings.common, resolver.outlet().into())?;
    let (subscriber, published) = (node.local.clone(), Arc::clone(&report));
    let make_resolver = discovery::resolver(&host, &settings.common, vec![files as _], vec![subscriber], published, secrets);
    host.kernel.one_for_one("discovery", None).child(&resolver, STATE_OWNER_CAPACITY, make_resolver);
    let shown = Shown { node: &node, apiserver: &apiserver, report: &report, outputs: &outputs, secrets: secret_command };
    open_ports(&mut host, &settings, local_token, &shown)?;
    add_metrics(&host, &report, &node);
    host.started.set(true);
    Host::say_role(&settings.common);
    info!(identifier = %settings.identifier, kind = ?settings.kind, "node running");

    let stop = host.stop.clone();
    tokio::select! {
        told = stop.wait() => told.context("receive signals")?,
        () = apiserver.serve(&host, outputs.outlets(), node.commits.clone()) => {}
    }
    let stop_timeout = settings.intake.forwarder.stop_timeout;
    let code = host
        .close(async move {
            let draining = async {
                node.drain(CHECK_GRACE).await;
                outputs.drain(stop_timeout).await;
            };
            // In this order: nothing more is read, and what waits for the outputs is settled by their end.
            futures_util::future::join(apiserver.finish(CHECK_GRACE + stop_timeout), draining).await;
        })
        .await;
    Ok(code)
}

fn check_settings(host: &Host, settings: &NodeSettings, apiserver: &NodeApiserver) -> CheckSettings {
    let proxy = &settings.intake.proxy;
    let exposed = |url: &Option<Secret<String>>| url.as_ref().map(|url| url.expose().clone());
    CheckSettings {
        apiserver: Some(apiserver.link()),
        proxy: AgentProxy { http: exposed(&proxy.http), https: exposed(&proxy.https), no_proxy: proxy.no_proxy.clone() },
        ..CheckSettings::new(settings.common.compat_version.clone(), Arc::clone(&host.clock))
    }
}

fn node_policy(settings: &NodeSettings) -> NodePolicy {
    let checks = &settings.checks;
    NodePolicy {
        scheduler: SchedulerPolicy {
            first_run_immediately: checks.first_run_immediately,
            jitter: checks.schedule_jitter,
            check_version: build::VERSION.to_owned(),
        },
        pool: PoolPolicy {
            concurrency: checks.native_concurrency,
            workers: checks.runners.map(|workers| workers as usize),
            timeout: checks.timeout,
            max_series: checks.max_series.unwrap_or(0),
            histograms: HistogramPolicy::parse(&checks.histogram_aggregates, &checks.histogram_percentiles),
            agent_host: Arc::from(settings.common.hostname.as_str()),
            check_status: checks.send_check_status,
            utilization_threshold: checks.utilization_threshold,
            utilization_cooldown: checks.utilization_cooldown,
        },
        aggregator: AggregatorPolicy { flush_interval: checks.flush_interval, global_tags: None },
    }
}

/// One plan per list that the cluster agent has for this node.
fn provider_plans(host: &Host, settings: &NodeSettings) -> anyhow::Result<Vec<ProviderPlan>> {
    let Some(agent) = &settings.cluster_agent else {
        return Ok(Vec::new());
    };
    let client = ClusterAgentHttp::try_new(
        ClientSettings {
            endpoint: agent.url.clone(),
            token: agent.token.clone(),
            identity: settings.identifier.to_string(),
            kind: settings.kind,
            runner_host: agent.real_ip.clone(),
            version: build::VERSION.to_owned(),
            trust: Trust::from_settings(&settings.common.tls)?,
            reconnect_period: agent.reconnect_period.unwrap_or_default(),
        },
        Arc::clone(&host.clock),
    )?;
    let client: Arc<dyn ClusterAgentClient> = Arc::new(client);
    let mut plans = Vec::new();
    for provider in &settings.providers {
        let (source, identity) = match provider.name.as_str() {
            "clusterchecks" => (ConfigSource::ClusterChecks, settings.identifier.to_string()),
            "endpointschecks" => (ConfigSource::EndpointChecks, settings.common.hostname.clone()),
            other => {
                warn!(provider = other, "config provider is not known and not used, known: clusterchecks, endpointschecks");
                continue;
            }
        };
        plans.push(ProviderPlan {
            source,
            identity,
            policy: ProviderPolicy {
                poll_interval: provider.poll_interval,
                grace: provider.grace,
                degraded_deadline: provider.degraded_deadline,
                heartbeat_after: settings.node_expiration.saturating_sub(Duration::from_secs(5)).max(Duration::from_secs(1)),
            },
            client: Arc::clone(&client),
        });
    }
    Ok(plans)
}

/// What the ports answer from.
struct Shown<'a> {
    node: &'a Node,
    apiserver: &'a NodeApiserver,
    report: &'a Publisher<DiscoveryReport>,
    outputs: &'a Outputs,
    /// What must not be shown.
    secrets: Option<SecretCommand>,
}

/// Opens the local API and, on runners, the API that the cluster role asks.
fn open_ports(host: &mut Host, settings: &NodeSettings, local: Secret<String>, shown: &Shown<'_>) -> anyhow::Result<()> {
    let Shown { node, apiserver, report, outputs, secrets } = shown;
    let common = &settings.common;
    let shown = RoleView {
        hostname: Publisher::new(common.hostname.clone()).reader(),
        discovery: report.reader(),
        journal: None,
        secrets: secrets.clone(),
        fill_status: fill_status(node, apiserver, outputs),
    };
    let admin = admin_api(host, common, shown)?;
    let version = admin.version.clone();
    let local_api = NodeApi { tokens: Tokens { cluster: None, local: Some(local.clone()) }, admin, body_limits: BodyLimits::default() };
    let tls = host.tls(common, None)?;
    let address = ListenAddress::Exact(([127, 0, 0, 1], settings.cmd_port).into());
    host.serve(ListenerSettings::secure("local api", address, tls), Arc::new(local_api)).context("`cmd_port` (set it to a free port)")?;

    if let Some(runner) = &settings.runner_api {
        let api = RunnerApi {
            tokens: Tokens { cluster: Some(runner.token.clone()), local: Some(local) },
            version,
            stats: Arc::new(PublishedStats { stats: node.stats.clone(), run_now: node.run_now.clone() }),
            include_pending: runner.include_pending,
            body_limits: BodyLimits { timeout: runner.write_timeout, ..BodyLimits::default() },
        };
        let tls = host.tls(common, Some(runner.address.ip().to_string()))?;
        let listener = ListenerSettings {
            head_timeout: runner.read_header_timeout,
            ..ListenerSettings::secure("runner api", ListenAddress::Exact(runner.address), tls)
        };
        host.serve(listener, Arc::new(api))
            .context("`clc_runner_host`, `clc_runner_port` (an address of this host, and a port free there)")?;
    }
    Ok(())
}

/// The node's own sections of the status.
fn fill_status(node: &Node, apiserver: &NodeApiserver, outputs: &Outputs) -> FillStatus {
    let (stats, providers, forwarder) = (node.stats.clone(), node.providers.clone(), outputs.status());
    let fill_apiserver = apiserver.fill_status();
    Arc::new(move |document| {
        fill_apiserver(document);
        let view = stats.peek();
        let checks = view.checks.iter().map(|(id, check)| {
            let statistics = serde_json::to_value(&**check).unwrap_or_default();
            (check.identity.check_name.clone(), id.to_string(), statistics)
        });
        document.runner_stats = Some(status::runner_stats(checks));
        document.check_scheduler = Some(CheckSchedulerStatus::of(&view.load_failures));
        document.config_providers = Some(providers.iter().map(|provider| (**provider.peek()).clone()).collect());
        let forwarder = forwarder();
        document.endpoints = forwarder.endpoints();
        document.forwarder = Some(forwarder);
    })
}

fn add_metrics(host: &Host, report: &Publisher<DiscoveryReport>, node: &Node) {
    let (report, stats, providers) = (report.reader(), node.stats.clone(), node.providers.clone());
    host.metrics.add_source(move |scrape| {
        sources::discovery(&report.peek(), scrape);
        sources::running_checks(&stats.current(), scrape);
        for provider in &providers {
            sources::provider(&provider.peek(), scrape);
        }
    });
}

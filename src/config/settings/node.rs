//! Settings of the node role. Source: node-runner 1, 2, 5 to 8.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use muster_actors::domain::ids::NodeName;
use muster_actors::domain::secret::Secret;
use muster_actors::domain::world::NodeKind;
use serde_json::{Map as JsonMap, Value as Json};
use url::Url;

use super::apiserver_check::ApiserverCheckSettings;
use super::cluster_agent_url::cluster_agent_url;
use super::common::CommonSettings;
use super::error::SettingsError;
use super::intake::{IntakeSettings, OutputKind, flush_interval, outputs};
use super::read::{read, text};
use crate::config::effective::Config;
use crate::config::option::Unit;
use crate::config::tokens;
use crate::config::value::{Value, parse_node};

/// A source of check configurations besides files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// `clusterchecks`, `endpointschecks`, ...
    pub name: String,
    /// Time between two polls.
    pub poll_interval: Duration,
    /// How long a failing poll counts as up to date.
    pub grace: Duration,
    /// How long the last set is kept while the source does not answer; `None` = for ever.
    pub degraded_deadline: Option<Duration>,
}

/// The cluster agent this node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAgentSettings {
    /// https address.
    pub url: Url,
    /// Shared token.
    pub token: Secret<String>,
    /// Value of `X-Real-Ip`, empty when `clc_runner_host` is not set.
    pub real_ip: String,
    /// Time after which the connection is made anew; `None` = never.
    pub reconnect_period: Option<Duration>,
}

/// The statistics API that the cluster agent asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerApiSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Shared token.
    pub token: Secret<String>,
    /// Longest time to write an answer.
    pub write_timeout: Duration,
    /// Longest time to read the head of a request.
    pub read_header_timeout: Duration,
    /// Whether checks that have not run yet are reported.
    pub include_pending: IncludePending,
}

/// Who is shown checks that have not finished a first run (`muster.clc_stats_include_pending`).
///
/// Why: a stock cluster agent would read their zeros as "needs nothing" (node-runner 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludePending {
    /// Callers whose `User-Agent` begins with `muster`.
    Auto,
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

/// How checks run.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSettings {
    /// Logical workers; `None` = from the number of checks.
    pub runners: Option<u32>,
    /// Native checks that may run at once.
    pub native_concurrency: usize,
    /// Longest time of one run; `None` = four intervals, at least 30 s.
    pub timeout: Option<Duration>,
    /// Most series of one run.
    pub max_series: Option<usize>,
    /// First run within 2 s.
    pub first_run_immediately: bool,
    /// Part of the interval by which runs are spread, 0 to 1.
    pub schedule_jitter: f64,
    /// Utilization worth a warning, 0 to 1.
    pub utilization_threshold: f64,
    /// Time between two such warnings.
    pub utilization_cooldown: Duration,
    /// Send `datadog.agent.check_status`.
    pub send_check_status: bool,
    /// Aggregates of histogram samples.
    pub histogram_aggregates: Vec<String>,
    /// Percentiles of histogram samples, 0 to 1.
    pub histogram_percentiles: Vec<f64>,
    /// Time between two flushes to the outputs.
    pub flush_interval: Duration,
}

/// Settings of the node role.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSettings {
    /// Those of both roles.
    pub common: CommonSettings,
    /// Port of the local API on 127.0.0.1.
    pub cmd_port: u16,
    /// Name this node polls under.
    pub identifier: NodeName,
    /// Runner or node agent.
    pub kind: NodeKind,
    /// The cluster agent, `None` when none is asked.
    pub cluster_agent: Option<ClusterAgentSettings>,
    /// The runner API, `None` when it is off.
    pub runner_api: Option<RunnerApiSettings>,
    /// Sources of check configurations besides files.
    pub providers: Vec<ProviderSettings>,
    /// Time between extra heartbeats is 5 s less than this.
    pub node_expiration: Duration,
    /// Running checks.
    pub checks: CheckSettings,
    /// Destinations, at least one.
    pub outputs: Vec<OutputKind>,
    /// The intake.
    pub intake: IntakeSettings,
    /// The check `kubernetes_apiserver`.
    pub apiserver_check: ApiserverCheckSettings,
}

impl NodeSettings {
    /// Takes what the node role needs.
    ///
    /// Errors: [`SettingsError`] for values that fit their keys and not each other, among them a missing cluster token.
    pub fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let mut common = CommonSettings::from_config(config)?;
        let providers = providers(config);
        let runner_enabled: bool = read(config, "clc_runner_enabled");
        let runner_host = text(config, "clc_runner_host");
        let asks_cluster_agent = read::<bool>(config, "cluster_agent.enabled")
            || providers.iter().any(|provider| FROM_CLUSTER_AGENT.contains(&provider.name.as_str()));
        let token = (asks_cluster_agent || runner_enabled).then(|| tokens::read_cluster_token(config)).transpose()?;
        let cluster_agent = match &token {
            Some(token) if asks_cluster_agent => Some(ClusterAgentSettings {
                url: cluster_agent_url(
                    &read::<String>(config, "cluster_agent.url"),
                    &read::<String>(config, "cluster_agent.kubernetes_service_name"),
                    config.environment(),
                )?,
                token: token.clone(),
                real_ip: runner_host.clone().unwrap_or_default(),
                reconnect_period: positive(read(config, "cluster_agent.client_reconnect_period_seconds")),
            }),
            _ => None,
        };
        let runner_api = match token {
            Some(token) if runner_enabled => Some(runner_api(config, token, runner_host)?),
            _ => None,
        };
        let only_cluster_checks = matches!(providers.as_slice(), [only] if only.name == "clusterchecks");
        let kind = if runner_enabled && only_cluster_checks { NodeKind::Runner } else { NodeKind::NodeAgent };
        let identifier = text(config, "clc_runner_id").filter(|_| runner_enabled).unwrap_or_else(|| common.hostname.clone());
        let intake = IntakeSettings::from_config(config, &common.hostname);
        let outputs = outputs(config, intake.api_key.is_some())?.unwrap_or_else(|| vec![OutputKind::Stdout]);
        common.log.on_stderr = outputs.contains(&OutputKind::Stdout);
        Ok(Self {
            cmd_port: read(config, "cmd_port"),
            identifier: NodeName::from(identifier),
            kind,
            cluster_agent,
            runner_api,
            providers,
            node_expiration: read(config, "cluster_checks.node_expiration_timeout"),
            checks: checks(config),
            outputs,
            intake,
            apiserver_check: ApiserverCheckSettings::from_config(config, &common.hostname),
            common,
        })
    }
}

/// Sources that the cluster agent answers for.
const FROM_CLUSTER_AGENT: &[&str] = &["clusterchecks", "endpointschecks"];

fn runner_api(config: &Config, token: Secret<String>, host: Option<String>) -> Result<RunnerApiSettings, SettingsError> {
    let host = host.ok_or(SettingsError::RunnerHostMissing)?;
    let ip: IpAddr = host.trim_matches(['[', ']']).parse().map_err(|_| SettingsError::RunnerHostInvalid { found: host })?;
    Ok(RunnerApiSettings {
        address: SocketAddr::new(ip, read(config, "clc_runner_port")),
        token,
        write_timeout: read(config, "clc_runner_server_write_timeout"),
        read_header_timeout: read(config, "clc_runner_server_readheader_timeout"),
        include_pending: match read::<String>(config, "muster.clc_stats_include_pending").as_str() {
            "true" => IncludePending::Always,
            "false" => IncludePending::Never,
            _ => IncludePending::Auto,
        },
    })
}

/// `config_providers` keyed by name, then the names of `extra_config_providers` not already there.
///
/// Source: autodiscovery 3.2, 3.3.
fn providers(config: &Config) -> Vec<ProviderSettings> {
    let default_interval: Duration = read(config, "ad_config_poll_interval");
    let mut found: Vec<ProviderSettings> = Vec::new();
    for entry in read::<Vec<JsonMap<String, Json>>>(config, "config_providers") {
        if let Some(provider) = provider(&entry, default_interval)
            && found.iter().all(|known| known.name != provider.name)
        {
            found.push(provider);
        }
    }
    for name in read::<Vec<String>>(config, "extra_config_providers") {
        if found.iter().all(|known| known.name != name) {
            let entry = JsonMap::from_iter([("name".to_owned(), Json::from(name))]);
            found.extend(provider(&entry, default_interval));
        }
    }
    found
}

fn provider(entry: &JsonMap<String, Json>, default_interval: Duration) -> Option<ProviderSettings> {
    let name = entry.get("name").and_then(Json::as_str).filter(|name| !name.is_empty())?.to_owned();
    let duration = |key: &str, unit: Unit| {
        let kind = crate::config::option::Kind::Duration { unit, min: Duration::ZERO };
        match entry.get(key).and_then(|node| parse_node(kind, node)) {
            Some(Value::Duration(value)) => Some(value),
            _ => None,
        }
    };
    // Without polling a node would run its first answer for ever; so neither `polling: false` nor an interval of 0 turns it off.
    let poll_interval = duration("poll_interval", Unit::GoStyle).and_then(positive).unwrap_or(default_interval);
    Some(ProviderSettings {
        name,
        poll_interval,
        grace: duration("grace_time_seconds", Unit::Seconds).unwrap_or(Duration::from_secs(60)),
        degraded_deadline: duration("degraded_deadline_minutes", Unit::Minutes).and_then(positive),
    })
}

fn checks(config: &Config) -> CheckSettings {
    let percentiles = read::<Vec<String>>(config, "histogram_percentiles");
    CheckSettings {
        runners: Some(read::<u32>(config, "check_runners")).filter(|workers| *workers != 0),
        native_concurrency: read(config, "muster.native_concurrency"),
        timeout: positive(read(config, "muster.check_timeout")),
        max_series: Some(read::<usize>(config, "muster.check_max_series")).filter(|limit| *limit != 0),
        first_run_immediately: read(config, "muster.first_run_immediately"),
        schedule_jitter: read(config, "muster.schedule_jitter"),
        utilization_threshold: read(config, "check_runner_utilization_threshold"),
        utilization_cooldown: read(config, "check_runner_utilization_warning_cooldown"),
        send_check_status: read(config, "integration_check_status_enabled"),
        histogram_aggregates: read(config, "histogram_aggregates"),
        flush_interval: flush_interval(config),
        histogram_percentiles: percentiles.iter().filter_map(|text| text.parse().ok()).filter(|part| (0.0..=1.0).contains(part)).collect(),
    }
}

fn positive(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;

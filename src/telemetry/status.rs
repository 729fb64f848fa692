//! The status document: what `/status?format=json` answers and what the text form is made from.
//!
//! Source: cluster-agent-kubernetes 8.3, cluster-checks 14.2.

mod aggregator;
mod balancing;
mod events;
mod forwarder;
mod kubernetes;

use std::collections::{BTreeMap, BTreeSet};

use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::lease::{self, Leadership};
use muster_actors::domain::run_stats::LoadFailure;
use muster_actors::domain::world::{ServedTable, Standing};
use muster_actors::shared::config_provider::ProviderView;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::build;
use crate::config::settings::HostnameProvider;
use crate::config::{CommonSettings, Config, Role, Severity};

pub use aggregator::AggregatorStatus;
pub use balancing::{BalancingSources, BalancingStatus};
pub use events::{ControlPlaneStatus, EventsStatus};
pub use forwarder::{ForwarderStatus, Transactions};
pub use kubernetes::{KubernetesStatus, LeaderElectionStatus};

/// Facts about the process that only it knows.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFacts {
    /// Process id.
    pub pid: u32,
    /// Nanoseconds since the Unix epoch at which it started.
    pub started_unix_nanos: i64,
    /// Nanoseconds since the Unix epoch now.
    pub now_unix_nanos: i64,
}

/// A feature that is off, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Why.
    #[serde(rename = "Disabled")]
    pub reason: String,
}

/// Host name and who told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostnameStats {
    /// Who told it.
    pub provider: String,
    /// What else was tried.
    pub errors: BTreeMap<String, String>,
}

/// State of dispatching, with stock's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterChecksStatus {
    /// Whether another replica leads.
    pub follower: bool,
    /// Address of the leader, for a follower.
    #[serde(rename = "LeaderIP")]
    pub leader_ip: String,
    /// Whether this replica leads.
    pub leader: bool,
    /// Whether it dispatches (not warming up).
    pub active: bool,
    /// Registered nodes.
    pub node_count: usize,
    /// Configs with an owner.
    pub active_configs: usize,
    /// Configs without.
    pub dangling_configs: usize,
    /// Configs without for too long.
    pub unscheduled_checks: usize,
    /// All of them.
    pub total_configs: usize,
    /// Registered nodes on their way out, by name. Ours.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub draining: BTreeSet<String>,
    /// What was discovered and cannot be dispatched: `name (source): reason`. Ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<String>,
    /// Files of the assignment that were damaged at start, and what was done about each. Ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired_files: Vec<String>,
    /// Names of the checks.
    pub check_names: BTreeMap<String, JsonMap<String, Json>>,
}

impl ClusterChecksStatus {
    /// The same with what is known about another replica that leads.
    #[must_use]
    pub fn beside(self, leadership: &Leadership) -> Self {
        let follower = leadership.role == lease::Role::Follower;
        let address = leadership.address.as_deref().filter(|_| follower).unwrap_or_default();
        let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip).trim_matches(['[', ']']);
        Self { follower, leader_ip: ip.to_owned(), ..self }
    }

    /// What the table says.
    #[must_use]
    pub fn of(table: &ServedTable) -> Self {
        let owned = || table.nodes.values().flat_map(|entry| entry.view.configs.iter());
        let dangling = || table.dangling.iter().map(|dangling| &dangling.config);
        let names: BTreeSet<&str> = owned().chain(dangling()).map(|config| config.config.name.as_str()).collect();
        let active_configs = owned().count();
        let draining = table.nodes.iter().filter(|(_, entry)| !entry.presence.is_staying());
        Self {
            leader: table.standing != Standing::Starting,
            active: table.standing == Standing::Active,
            node_count: table.nodes.len(),
            active_configs,
            dangling_configs: table.dangling.len(),
            unscheduled_checks: table.dangling.iter().filter(|dangling| dangling.flagged).count(),
            total_configs: active_configs + table.dangling.len(),
            draining: draining.map(|(name, _)| name.to_string()).collect(),
            rejected: table.rejected.iter().map(|one| format!("{} ({}): {}", one.check_name, one.source, one.reason)).collect(),
            check_names: names.into_iter().map(|name| (name.to_owned(), JsonMap::new())).collect(),
            ..Self::default()
        }
    }
}

/// What discovery could not use, with stock's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutoConfigStatus {
    /// Integration -> why its file is not used.
    pub config_errors: BTreeMap<String, String>,
    /// Template -> what went wrong.
    pub resolve_warnings: BTreeMap<String, Vec<String>>,
}

impl AutoConfigStatus {
    /// What the report says.
    #[must_use]
    pub fn of(report: &DiscoveryReport) -> Self {
        Self { config_errors: report.config_errors.clone(), resolve_warnings: report.resolve_warnings.clone() }
    }
}

/// What cannot run, with stock's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckSchedulerStatus {
    /// Check name -> source and instance -> why it cannot run here.
    pub loader_errors: BTreeMap<String, BTreeMap<String, String>>,
}

impl CheckSchedulerStatus {
    /// What the scheduler reported.
    #[must_use]
    pub fn of(failures: &[LoadFailure]) -> Self {
        let mut loader_errors: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for failure in failures {
            let place = format!("{}[{}]", failure.config_source, failure.instance);
            loader_errors.entry(failure.check_name.clone()).or_default().insert(place, failure.error.clone());
        }
        Self { loader_errors }
    }
}

/// The status document. Sections that a role does not have are absent.
#[derive(Clone, Debug, Serialize)]
pub struct StatusDocument {
    /// Version that clients are told.
    pub version: String,
    /// Version of muster.
    pub muster_version: String,
    /// `cluster_agent` or `agent`.
    pub flavor: String,
    /// Process id.
    pub pid: u32,
    /// Nanoseconds since the Unix epoch.
    pub agent_start_nano: i64,
    /// Nanoseconds since the Unix epoch.
    pub time_nano: i64,
    /// Processor.
    pub build_arch: String,
    /// Configuration file, empty when there is none.
    pub conf_file: String,
    /// A few effective values.
    pub config: BTreeMap<String, String>,
    /// What is wrong with the configuration. Ours.
    pub config_problems: Vec<String>,
    /// Host name.
    pub hostname: String,
    /// Who told it.
    #[serde(rename = "hostnameStats")]
    pub hostname_stats: HostnameStats,
    /// Leader election; cluster role.
    #[serde(rename = "leaderelection", skip_serializing_if = "Option::is_none")]
    pub leader_election: Option<LeaderElectionStatus>,
    /// What is watched; cluster role in Kubernetes. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesStatus>,
    /// Dispatching; cluster role. `null` = off.
    #[serde(rename = "clusterchecks", skip_serializing_if = "Option::is_none")]
    pub cluster_checks: Option<ClusterChecksStatus>,
    /// Balancing; cluster role, while it leads. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balancing: Option<BalancingStatus>,
    /// External metrics; cluster role.
    #[serde(rename = "custommetrics", skip_serializing_if = "Option::is_none")]
    pub custom_metrics: Option<Disabled>,
    /// Admission webhooks; cluster role.
    #[serde(rename = "admissionWebhook", skip_serializing_if = "Option::is_none")]
    pub admission_webhook: Option<Disabled>,
    /// What discovery could not use.
    #[serde(rename = "autoConfigStats")]
    pub auto_config: AutoConfigStatus,
    /// `{"Checks": {name: {id: statistics}}}`; node role.
    #[serde(rename = "runnerStats", skip_serializing_if = "Option::is_none")]
    pub runner_stats: Option<Json>,
    /// Instances that cannot run; node role.
    #[serde(rename = "checkSchedulerStats", skip_serializing_if = "Option::is_none")]
    pub check_scheduler: Option<CheckSchedulerStatus>,
    /// State of the sources that are polled; node role. Ours.
    #[serde(rename = "configProviders", skip_serializing_if = "Option::is_none")]
    pub config_providers: Option<Vec<ProviderView>>,
    /// What was gathered for the destinations; cluster role.
    #[serde(rename = "aggregatorStats", skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<AggregatorStatus>,
    /// How events are forwarded; cluster role in Kubernetes. Ours.
    #[serde(rename = "kubernetesEvents", skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsStatus>,
    /// How the control plane is; cluster role in Kubernetes. Ours.
    #[serde(rename = "controlPlane", skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlaneStatus>,
    /// Counters of the destinations.
    #[serde(rename = "forwarderStats", skip_serializing_if = "Option::is_none")]
    pub forwarder: Option<ForwarderStatus>,
    /// Address -> last characters of its keys.
    #[serde(rename = "endpointsInfos", skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, Vec<String>>,
}

impl StatusDocument {
    /// The parts that every process has; the rest is put into the fields by who knows it.
    #[must_use]
    pub fn new(config: &Config, settings: &CommonSettings, process: ProcessFacts) -> Self {
        let cluster = settings.role == Role::Cluster;
        let off = |text: &str| cluster.then(|| Disabled { reason: text.to_owned() });
        let shown = |key: &str| {
            let value = config.get(key).map(|sourced| sourced.value);
            value.map_or_else(String::new, |value| match value.to_json(crate::config::option::Kind::Text) {
                Json::String(text) => text,
                other => other.to_string(),
            })
        };
        let path = |path: &std::path::Path| path.display().to_string();
        Self {
            version: settings.compat_version.clone(),
            muster_version: build::VERSION.to_owned(),
            flavor: if cluster { "cluster_agent" } else { "agent" }.to_owned(),
            pid: process.pid,
            agent_start_nano: process.started_unix_nanos,
            time_nano: process.now_unix_nanos,
            build_arch: build::architecture().to_owned(),
            conf_file: settings.paths.config_file.as_deref().map(path).unwrap_or_default(),
            config: BTreeMap::from([
                ("confd_path".to_owned(), settings.paths.confd.first().map(|directory| path(directory)).unwrap_or_default()),
                ("log_file".to_owned(), settings.log.file.as_deref().map(path).unwrap_or_default()),
                ("log_level".to_owned(), shown("log_level")),
                ("run_path".to_owned(), path(&settings.paths.run)),
            ]),
            config_problems: config
                .problems()
                .iter()
                .filter(|problem| problem.severity() > Severity::Note)
                .map(ToString::to_string)
                .collect(),
            hostname: settings.hostname.clone(),
            hostname_stats: HostnameStats { provider: settings.hostname_provider.name().to_owned(), errors: BTreeMap::new() },
            leader_election: cluster.then(LeaderElectionStatus::disabled),
            kubernetes: None,
            cluster_checks: None,
            balancing: None,
            custom_metrics: off("The external metrics provider is not enabled on the Cluster Agent"),
            admission_webhook: off("The admission controller is not enabled on the Cluster Agent"),
            auto_config: AutoConfigStatus::default(),
            runner_stats: None,
            check_scheduler: None,
            config_providers: None,
            aggregator: None,
            events: None,
            control_plane: None,
            forwarder: None,
            endpoints: BTreeMap::new(),
        }
    }
}

impl StatusDocument {
    /// Takes a name of the host that the API server told in the place of that of the system. An empty one is none.
    pub fn name_host(&mut self, name: &str) {
        if !name.is_empty() && name != self.hostname {
            name.clone_into(&mut self.hostname);
            HostnameProvider::Container.name().clone_into(&mut self.hostname_stats.provider);
        }
    }
}

/// Statistics of checks in the form of `runnerStats`: `(check name, check id, statistics with stock's keys)`.
#[must_use]
pub fn runner_stats(checks: impl IntoIterator<Item = (String, String, Json)>) -> Json {
    let mut names: BTreeMap<String, BTreeMap<String, Json>> = BTreeMap::new();
    for (name, id, statistics) in checks {
        names.entry(name).or_default().insert(id, statistics);
    }
    json!({ "Checks": names })
}

#[cfg(test)]
mod tests;

//! Settings of the cluster role.

use std::path::PathBuf;
use std::time::Duration;

use super::balance::BalanceSettings;
use super::common::CommonSettings;
use super::error::SettingsError;
use super::intake::{IntakeSettings, OutputKind, flush_interval, outputs};
use super::kubernetes::KubernetesSettings;
use super::read::{path, read, text};
use crate::config::effective::Config;

/// What the dispatcher is told. Source: cluster-checks 13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterChecksSettings {
    /// Whether anything is dispatched.
    pub enabled: bool,
    /// Time without a poll after which a node is dead.
    pub node_expiration: Duration,
    /// Time after a cold start in which nothing is dispatched.
    pub warmup: Duration,
    /// Time without an owner after which a config is flagged.
    pub unscheduled_threshold: Duration,
    /// Whether dedicated runners are preferred.
    pub advanced_dispatching: bool,
    /// Names of checks that are never dispatched.
    pub exclude_checks: Vec<String>,
    /// Name of the tag for the cluster name.
    pub cluster_tag_name: String,
    /// Tags for every cluster check, without those of the cluster name.
    pub extra_tags: Vec<String>,
    /// Leave out the tag `cluster_name`.
    pub disable_cluster_name_tag_key: bool,
}

/// Settings of the cluster role.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSettings {
    /// Those of both roles.
    pub common: CommonSettings,
    /// Port of the API.
    pub cmd_port: u16,
    /// Runs without Kubernetes.
    pub stand_alone: bool,
    /// Kubernetes, election, discovery from objects.
    pub kubernetes: KubernetesSettings,
    /// File that serves as the lock of several stand-alone replicas.
    pub lock_file: Option<PathBuf>,
    /// Where samples and events go; empty = nowhere.
    pub outputs: Vec<OutputKind>,
    /// Sending to the intake. Its host name is only the one of the settings.
    pub intake: IntakeSettings,
    /// Whether the intake is told which version runs and how it is configured.
    pub metadata: bool,
    /// Whether the configuration is told with it.
    pub metadata_configuration: bool,
    /// Time between two flushes of what was gathered to the outputs.
    pub flush_interval: Duration,
    /// Dispatching.
    pub cluster_checks: ClusterChecksSettings,
    /// Balancing.
    pub balance: BalanceSettings,
    /// Further global tags.
    pub orchestrator_tags: Vec<String>,
    /// Name of the cluster, empty when unknown.
    pub cluster_name: String,
    /// Whether tags carry the cluster name with `-` for `_`.
    pub compliant_cluster_name_tag: bool,
    /// The cluster name is not valid and not used; what was found.
    pub invalid_cluster_name: Option<String>,
}

impl ClusterSettings {
    /// Takes what the cluster role needs.
    ///
    /// Errors: [`SettingsError`] for values that fit their keys and not each other.
    pub fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let common = CommonSettings::from_config(config)?;
        let stand_alone = config.stand_alone();
        // Stand alone there may be nothing to send.
        let intake = IntakeSettings::from_config(config, &common.hostname);
        if intake.api_key.is_none() && !stand_alone {
            return Err(SettingsError::NoApiKey);
        }
        let (cluster_name, invalid_cluster_name) = cluster_name(config, &common.hostname);
        Ok(Self {
            common,
            cmd_port: read(config, "cluster_agent.cmd_port"),
            stand_alone,
            kubernetes: KubernetesSettings::from_config(config),
            lock_file: path(config, "muster.lock_file"),
            outputs: outputs(config, intake.api_key.is_some())?.unwrap_or_default(),
            intake,
            metadata: read(config, "enable_cluster_agent_metadata_collection"),
            metadata_configuration: read(config, "inventories_configuration_enabled"),
            flush_interval: flush_interval(config),
            cluster_checks: ClusterChecksSettings {
                enabled: read(config, "cluster_checks.enabled"),
                node_expiration: read(config, "cluster_checks.node_expiration_timeout"),
                warmup: read(config, "cluster_checks.warmup_duration"),
                unscheduled_threshold: read(config, "cluster_checks.unscheduled_check_threshold"),
                advanced_dispatching: read(config, "cluster_checks.advanced_dispatching_enabled"),
                exclude_checks: read(config, "cluster_checks.exclude_checks"),
                cluster_tag_name: read(config, "cluster_checks.cluster_tag_name"),
                extra_tags: read(config, "cluster_checks.extra_tags"),
                disable_cluster_name_tag_key: read(config, "disable_cluster_name_tag_key"),
            },
            balance: BalanceSettings::from_config(config),
            orchestrator_tags: read(config, "orchestrator_explorer.extra_tags"),
            compliant_cluster_name_tag: read(config, "enabled_rfc1123_compliant_cluster_name_tag"),
            cluster_name,
            invalid_cluster_name,
        })
    }
}

impl ClusterSettings {
    /// The cluster name as tags carry it.
    #[must_use]
    pub fn cluster_name_tag(&self, name: &str) -> String {
        if self.compliant_cluster_name_tag { name.replace('_', "-") } else { name.to_owned() }
    }

    /// Tags of every cluster check, and of everything that the cluster role itself sends. Source: cluster-checks 5.3.
    #[must_use]
    pub fn global_tags(&self) -> Vec<String> {
        [&self.common.tags, &self.cluster_checks.extra_tags, &self.orchestrator_tags].into_iter().flatten().cloned().collect()
    }

    /// Tags of everything that the cluster role of this cluster itself sends, as stock has been seen to send them.
    #[must_use]
    pub fn sent_tags(&self, cluster_name: &str) -> Vec<String> {
        let mut tags = self.global_tags();
        tags.retain(|tag| tag.contains(':'));
        let name = self.cluster_name_tag(cluster_name);
        if !name.is_empty() {
            tags.push(format!("kube_cluster_name:{name}"));
        }
        tags
    }
}

/// Name of the cluster as configured, empty when there is none; and what was found instead, if it is not valid and so not used.
pub(super) fn cluster_name(config: &Config, hostname: &str) -> (String, Option<String>) {
    match text(config, "cluster_name") {
        Some(name) if cluster_name_is_valid(&name, hostname) => (name, None),
        found => (String::new(), found),
    }
}

/// Labels of lower-case letters, digits, `-` and `_`, joined by dots, each beginning and ending with a letter or digit.
///
/// Source: cluster-agent-kubernetes 5.2 (the wider pattern).
fn cluster_name_is_valid(name: &str, hostname: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(alphanumeric) && label.ends_with(alphanumeric) && label.chars().all(|c| alphanumeric(c) || c == '-' || c == '_')
    };
    name.split('.').all(label) && hostname.len() + 1 + name.len() <= 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Request, Role};

    #[test]
    fn ca_i1_a_dotted_name_is_valid() {
        assert!(cluster_name_is_valid("prod.eu-1", "n1"));
    }

    #[test]
    fn ca_i2_names_that_are_no_labels_are_not_valid() {
        for name in ["Prod", "prod-", "a..b", "-a"] {
            assert!(!cluster_name_is_valid(name, "n1"), "{name}");
        }
    }

    #[test]
    fn ca_i3_digits_first_and_underscores_are_accepted() {
        assert!(cluster_name_is_valid("1prod", "n1"));
        assert!(cluster_name_is_valid("my_cluster", "n1"));
    }

    #[test]
    fn ca_i4_a_name_too_long_with_the_host_is_not_valid() {
        assert!(cluster_name_is_valid(&"a".repeat(252), "n1"));
        assert!(!cluster_name_is_valid(&"a".repeat(253), "n1"));
    }

    /// Settings with this name of the cluster.
    fn named(name: &str) -> ClusterSettings {
        settings(name, "")
    }

    fn settings(name: &str, file: &str) -> ClusterSettings {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog-cluster.yaml"), file).unwrap();
        let environment = Environment::from_pairs([("DD_CLUSTER_NAME", name), ("DD_API_KEY", "0"), ("DD_HOSTNAME", "n1")]);
        let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        ClusterSettings::from_config(&Config::load(request).unwrap()).unwrap()
    }

    #[test]
    fn ca_i2_a_name_that_is_not_valid_is_ignored_and_told() {
        let settings = named("prod-");
        assert_eq!((settings.cluster_name.as_str(), settings.invalid_cluster_name.as_deref()), ("", Some("prod-")));
    }

    #[test]
    fn ca_i3_the_tag_has_dashes_for_underscores() {
        let settings = named("my_cluster");
        assert_eq!((settings.cluster_name.as_str(), &settings.invalid_cluster_name), ("my_cluster", &None));
        assert_eq!(settings.cluster_name_tag(&settings.cluster_name), "my-cluster");
    }

    #[test]
    fn what_is_sent_has_the_tags_that_stock_was_seen_to_send() {
        let file = "tags: [\"a:1\", plain]\nextra_tags: [\"et:1\"]\nenv: prod\ncluster_checks:\n  extra_tags: [\"cct:1\"]\n\
                    orchestrator_explorer:\n  extra_tags: [\"oet:1\"]\n";
        let sent = settings("example", file).sent_tags("example");
        assert_eq!(sent, ["a:1", "et:1", "env:prod", "cct:1", "oet:1", "kube_cluster_name:example"]);
    }
}

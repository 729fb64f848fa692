//! Settings of the check `kubernetes_apiserver` on a node. Source: cluster-agent-kubernetes 3, 7.3, 7.4.

use super::cluster::cluster_name;
use super::events::EventSettings;
use super::kubernetes::ApiServerSettings;
use super::read::{read, text};
use crate::config::effective::Config;

/// What a node needs to work at the API server, if an instance of the check wants it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiserverCheckSettings {
    /// A cluster agent does it for this node (`cluster_agent.enabled`).
    pub behind_cluster_agent: bool,
    /// The API server.
    pub api_server: ApiServerSettings,
    /// Namespace of the token; `None` = that of the pod.
    pub resources_namespace: Option<String>,
    /// Events.
    pub events: EventSettings,
    /// Name of the cluster, empty when unknown.
    pub cluster_name: String,
    /// The cluster name is not valid and not used; what was found.
    pub invalid_cluster_name: Option<String>,
    /// Node label that names the cluster.
    pub cluster_name_label: Option<String>,
}

impl ApiserverCheckSettings {
    pub(super) fn from_config(config: &Config, hostname: &str) -> Self {
        let (cluster_name, invalid_cluster_name) = cluster_name(config, hostname);
        Self {
            behind_cluster_agent: read(config, "cluster_agent.enabled"),
            api_server: ApiServerSettings::from_config(config),
            resources_namespace: text(config, "kube_resources_namespace"),
            events: EventSettings::from_config(config),
            cluster_name,
            invalid_cluster_name,
            cluster_name_label: text(config, "kubernetes_node_label_as_cluster_name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{Environment, NodeSettings, Request, Role};

    const FILE: &str = "
hostname: n1
api_key: '0'
cluster_name: prod
kubernetes_kubeconfig_path: /etc/kubeconfig
kubernetes_apiserver_client_timeout: 3
kube_resources_namespace: monitoring
collect_kubernetes_events: true
cluster_agent:
  token_name: shoptoken
kubernetes_events_source_detection:
  enabled: true
";

    #[test]
    fn a_node_reads_them_from_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("datadog.yaml"), FILE).unwrap();
        let request = Request {
            role: Role::Node,
            path: Some(folder.path().to_owned()),
            environment: Environment::from_pairs([("DD_LOG_LEVEL", "info")]),
            overrides: Vec::new(),
        };
        let settings = NodeSettings::from_config(&Config::load(request).unwrap()).unwrap().apiserver_check;
        assert_eq!((settings.cluster_name.as_str(), settings.resources_namespace.as_deref()), ("prod", Some("monitoring")));
        assert_eq!(settings.api_server.kubeconfig.as_deref(), Some(Path::new("/etc/kubeconfig")));
        assert_eq!((settings.api_server.timeout, settings.api_server.tls_verify), (Duration::from_secs(3), true));
        let EventSettings { collect, token_name, source_detection, .. } = settings.events;
        assert_eq!((collect, token_name.as_str(), source_detection, settings.behind_cluster_agent), (true, "shoptoken", true, false));
    }
}

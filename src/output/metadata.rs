//! What the cluster role tells about itself. Source: cluster-agent-kubernetes 6.6.

use std::path::Path;

use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::world::{NodeKind, ServedTable};
use muster_actors::domain::yaml;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::config::{ClusterSettings, RuntimeConfig};

/// File in the folder of the configuration that says how the program was installed.
const INSTALL_INFO: &str = "install_info";
/// Value of what nobody told.
const UNDEFINED: &str = "undefined";
/// Where a machine says which one it is, the most lasting first.
const MACHINE_IDS: [&str; 3] = ["/sys/class/dmi/id/product_uuid", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"];

/// Key of the document -> source of the configuration.
const CONFIGURATIONS: [(&str, &str); 7] = [
    ("provided_configuration", "provided"),
    ("file_configuration", "file"),
    ("environment_variable_configuration", "environment-variable"),
    ("agent_runtime_configuration", "agent-runtime"),
    ("fleet_policies_configuration", "fleet-policies"),
    ("cli_configuration", "cli"),
    ("source_local_configuration", "local-config-process"),
];

/// Features of stock that this program does not have.
const ABSENT_FEATURES: [&str; 12] = [
    "admission_controller_enabled",
    "admission_controller_inject_config_enabled",
    "admission_controller_inject_tags_enabled",
    "admission_controller_validation_enabled",
    "admission_controller_mutation_enabled",
    "admission_controller_auto_instrumentation_enabled",
    "admission_controller_cws_instrumentation_enabled",
    "apm_config_instrumentation_enabled",
    "autoscaling_workload_enabled",
    "external_metrics_provider_enabled",
    "external_metrics_provider_use_datadogmetric_crd",
    "compliance_config_enabled",
];

/// What does not change while the process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Which machine it runs on; empty if it does not say.
    pub machine: String,
    /// Tool, its version, version of the installer.
    pub install: [String; 3],
}

impl Origin {
    /// Reads it; `configuration` is the folder of the configuration. What cannot be read is unknown.
    #[must_use]
    pub fn read(configuration: &Path) -> Self {
        let ids = MACHINE_IDS.iter().filter_map(|file| machine_id(&std::fs::read_to_string(file).ok()?));
        let install = std::fs::read_to_string(configuration.join(INSTALL_INFO)).unwrap_or_default();
        Self { machine: ids.into_iter().next().unwrap_or_default(), install: install_method(&install) }
    }
}

/// A UUID in lower case with its dashes.
fn machine_id(text: &str) -> Option<String> {
    uuid::Uuid::try_parse(text.trim()).ok().map(|id| id.hyphenated().to_string())
}

fn install_method(text: &str) -> [String; 3] {
    let document = yaml::parse(text).ok();
    let method = document.as_ref().and_then(|document| document.get("install_method"));
    ["tool", "tool_version", "installer_version"].map(|key| {
        let told = method.and_then(|method| method.get(key)).and_then(yaml::Value::as_str);
        told.unwrap_or(UNDEFINED).to_owned()
    })
}

/// What changes while the process runs.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Units: nanoseconds since the Unix epoch.
    pub started_unix_nanos: i64,
    /// Units: nanoseconds since the Unix epoch.
    pub now_unix_nanos: i64,
    /// Name of the cluster, empty when unknown.
    pub cluster_name: &'a str,
    /// Its id.
    pub cluster_id: &'a ClusterId,
    /// Whether this replica leads.
    pub leads: bool,
    /// Who polls; of a replica that does not lead, nobody.
    pub table: &'a ServedTable,
}

/// Writes the document.
#[must_use]
pub fn document(settings: &ClusterSettings, configuration: &RuntimeConfig, origin: &Origin, moment: &Moment<'_>) -> String {
    let (cluster_id, cluster_id_error) = match moment.cluster_id {
        ClusterId::Known(id) => (id.as_ref(), ""),
        ClusterId::Failed(reason) => ("", reason.as_ref()),
        ClusterId::Unknown => ("", ""),
    };
    let nodes = |kind: NodeKind| moment.table.nodes.values().filter(|node| node.facts.kind == kind).count();
    let checks = &settings.cluster_checks;
    let elects = if settings.stand_alone { settings.lock_file.is_some() } else { settings.kubernetes.election.enabled };
    let mut about = JsonMap::new();
    let mut tell = |key: &str, value: Json| about.insert(key.to_owned(), value);
    tell("agent_version", json!(settings.common.compat_version));
    tell("agent_startup_time_ms", json!(moment.started_unix_nanos / 1_000_000));
    tell("flavor", json!("cluster_agent"));
    tell("cluster_id_error", json!(cluster_id_error));
    tell("install_method_tool", json!(origin.install[0]));
    tell("install_method_tool_version", json!(origin.install[1]));
    tell("install_method_installer_version", json!(origin.install[2]));
    tell("leader_election", json!(elects));
    tell("is_leader", json!(moment.leads));
    tell("cluster_check_runner_count", json!(nodes(NodeKind::Runner)));
    tell("cluster_check_node_agent_count", json!(nodes(NodeKind::NodeAgent)));
    tell("feature_cluster_checks_enabled", json!(checks.enabled));
    tell("feature_cluster_checks_advanced_dispatching_enabled", json!(checks.advanced_dispatching));
    tell("feature_cluster_checks_exclude_checks", json!(checks.exclude_checks));
    for feature in ABSENT_FEATURES {
        tell(&format!("feature_{feature}"), json!(false));
    }
    if settings.metadata_configuration {
        let sources = configuration.yaml_by_source();
        tell("full_configuration", json!(configuration.effective_yaml()));
        for (key, source) in CONFIGURATIONS {
            tell(key, json!(sources.get(source).map_or("{}\n", String::as_str)));
        }
        // Nobody configures this program from afar.
        tell("remote_configuration", json!("{}\n"));
    }
    json!({
        "clustername": moment.cluster_name,
        "cluster_id": cluster_id,
        "timestamp": moment.now_unix_nanos,
        "datadog_cluster_agent_metadata": about,
        "uuid": origin.machine,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, Environment, Request, Role};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn told(file: &str, cluster_id: &ClusterId) -> Json {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog-cluster.yaml"), file).unwrap();
        std::fs::write(directory.path().join("install_info"), "install_method:\n  tool: helm\n  tool_version: Helm\n").unwrap();
        let pairs = [("DD_API_KEY", KEY), ("DD_CLUSTER_AGENT_AUTH_TOKEN", KEY), ("DD_PROXY_HTTPS", "http://u:proxypassword@p:3128")];
        let environment = Environment::from_pairs(pairs);
        let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        let config = Config::load(request).unwrap();
        let settings = ClusterSettings::from_config(&config).unwrap();
        let moment = Moment {
            started_unix_nanos: 1_700_000_000_123_456_789,
            now_unix_nanos: 1_700_000_060_000_000_000,
            cluster_name: "prod",
            cluster_id,
            leads: true,
            table: &ServedTable::default(),
        };
        let text = document(&settings, &RuntimeConfig::new(config, Arc::new(|_| {})), &Origin::read(directory.path()), &moment);
        assert!(!text.contains(&KEY[..20]) && !text.contains("proxypassword") && !text.contains("hunter22"), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn it_says_what_runs_and_how_it_is_configured_and_no_secret() {
        let file =
            "site: datadoghq.eu\ncluster_checks: {enabled: true, exclude_checks: [a]}\nadditional_endpoints: {'http://x': [hunter22]}\n";
        let document = told(file, &ClusterId::Known("f364e1bc-c27c-4746-beed-6daaec4c816f".into()));
        assert_eq!((&document["clustername"], &document["timestamp"]), (&json!("prod"), &json!(1_700_000_060_000_000_000_i64)));
        assert_eq!(document["cluster_id"], "f364e1bc-c27c-4746-beed-6daaec4c816f");
        let about = &document["datadog_cluster_agent_metadata"];
        for (key, value) in [
            ("agent_version", json!("7.81.1")),
            ("agent_startup_time_ms", json!(1_700_000_000_123_i64)),
            ("flavor", json!("cluster_agent")),
            ("install_method_tool", json!("helm")),
            ("install_method_tool_version", json!("Helm")),
            ("install_method_installer_version", json!("undefined")),
            ("is_leader", json!(true)),
            ("leader_election", json!(false)),
            ("cluster_check_runner_count", json!(0)),
            ("feature_cluster_checks_enabled", json!(true)),
            ("feature_cluster_checks_exclude_checks", json!(["a"])),
            ("feature_admission_controller_enabled", json!(false)),
            ("remote_configuration", json!("{}\n")),
        ] {
            assert_eq!(about[key], value, "{key}");
        }
        let text = |key: &str| about[key].as_str().unwrap();
        assert!(text("full_configuration").contains("site: datadoghq.eu") && text("full_configuration").contains("forwarder_timeout"));
        assert!(text("file_configuration").contains("site: datadoghq.eu") && !text("file_configuration").contains("api_key: "));
        assert!(text("environment_variable_configuration").contains("***************************bcdef"));
        assert!(text("provided_configuration").contains("site") && !text("provided_configuration").contains("forwarder_timeout"));
    }

    #[test]
    fn the_configuration_is_left_out_on_demand_and_a_missing_id_has_its_reason() {
        let document = told("inventories_configuration_enabled: false\n", &ClusterId::Failed("forbidden".into()));
        let about = document["datadog_cluster_agent_metadata"].as_object().unwrap();
        assert!(about.keys().all(|key| !key.ends_with("_configuration")), "{about:?}");
        assert_eq!((&document["cluster_id"], &about["cluster_id_error"]), (&json!(""), &json!("forbidden")));
    }

    #[test]
    fn machines_are_told_in_one_form() {
        assert_eq!(machine_id("4C4C4544-0051-3510-8052-B4C04F4D3732\n").as_deref(), Some("4c4c4544-0051-3510-8052-b4c04f4d3732"));
        assert_eq!(machine_id("f364e1bcc27c4746beed6daaec4c816f\n").as_deref(), Some("f364e1bc-c27c-4746-beed-6daaec4c816f"));
        assert_eq!(machine_id("Not Settable"), None);
        assert_eq!(install_method(""), [UNDEFINED; 3].map(str::to_owned));
        assert_eq!(install_method("install_method: [what"), [UNDEFINED; 3].map(str::to_owned));
    }
}

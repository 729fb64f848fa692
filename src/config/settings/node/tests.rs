//! Settings of nodes and runners.

use std::path::Path;

use super::*;
use crate::config::{Environment, Request, Role};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn config(directory: &Path, text: &str, environment: &[(&str, &str)]) -> Config {
    std::fs::write(directory.join("datadog.yaml"), text).unwrap();
    let environment = Environment::from_pairs(environment.iter().copied());
    Config::load(Request { role: Role::Node, path: Some(directory.to_owned()), environment, overrides: Vec::new() }).unwrap()
}

fn settings(text: &str, environment: &[(&str, &str)]) -> Result<NodeSettings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    NodeSettings::from_config(&config(directory.path(), text, environment))
}

/// The environment of a runner pod. Source: node-runner 1, cluster-agent-kubernetes 9.4.
const RUNNER_POD: &[(&str, &str)] = &[
    ("KUBERNETES", "yes"),
    ("DD_API_KEY", "0123456789abcdef0123456789abcdef"),
    ("DD_EXTRA_CONFIG_PROVIDERS", "clusterchecks"),
    ("DD_HEALTH_PORT", "5557"),
    ("DD_CLUSTER_AGENT_ENABLED", "true"),
    ("DD_CLUSTER_AGENT_KUBERNETES_SERVICE_NAME", "datadog-cluster-agent"),
    ("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "10.96.0.5"),
    ("DATADOG_CLUSTER_AGENT_SERVICE_PORT", "5005"),
    ("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN),
    ("DD_ENABLE_METADATA_COLLECTION", "false"),
    ("DD_CLC_RUNNER_ENABLED", "true"),
    ("DD_CLC_RUNNER_HOST", "10.1.0.7"),
    ("DD_CLC_RUNNER_ID", "datadog-clusterchecks-abc"),
    ("DD_USE_DOGSTATSD", "false"),
    ("DD_PROCESS_AGENT_ENABLED", "false"),
    ("DD_LOGS_ENABLED", "false"),
    ("DD_APM_ENABLED", "false"),
    ("DD_REMOTE_CONFIGURATION_ENABLED", "false"),
    ("DD_HOSTNAME", "node-a"),
];

#[test]
fn nr_t52_the_environment_of_a_runner_pod_makes_a_runner() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "", RUNNER_POD);
    assert_eq!(config.problems(), []);
    let node = NodeSettings::from_config(&config).unwrap();
    assert_eq!(node.kind, NodeKind::Runner);
    assert_eq!(node.kind.to_wire(), 1);
    assert_eq!(node.identifier, NodeName::from("datadog-clusterchecks-abc".to_owned()));
    assert_eq!(node.common.hostname, "node-a");
    assert_eq!(node.common.health_port, Some(5557));
    let runner_api = node.runner_api.unwrap();
    assert_eq!(runner_api.address, "10.1.0.7:5005".parse().unwrap());
    assert_eq!(runner_api.token.expose(), TOKEN);
    let cluster_agent = node.cluster_agent.unwrap();
    assert_eq!(cluster_agent.url.as_str(), "https://10.96.0.5:5005/");
    assert_eq!(cluster_agent.real_ip, "10.1.0.7");
    assert_eq!(node.providers.len(), 1);
    assert_eq!(node.providers[0].name, "clusterchecks");
    assert_eq!(node.outputs, [OutputKind::Datadog]);
    assert!(!node.common.log.on_stderr);
}

#[test]
fn a_node_agent_with_two_sources_is_no_runner() {
    let mut environment = RUNNER_POD.to_vec();
    environment.retain(|(name, _)| !name.starts_with("DD_CLC_RUNNER") && *name != "DD_EXTRA_CONFIG_PROVIDERS");
    environment.push(("DD_EXTRA_CONFIG_PROVIDERS", "clusterchecks endpointschecks"));
    let node = settings("", &environment).unwrap();
    assert_eq!(node.kind, NodeKind::NodeAgent);
    assert_eq!(node.identifier, NodeName::from("node-a".to_owned()));
    assert_eq!(node.runner_api, None);
    assert_eq!(node.cluster_agent.unwrap().real_ip, "");
}

#[test]
fn nr_t52_a_runner_is_a_node_that_polls_for_cluster_checks_only() {
    for providers in ["clusterchecks endpointschecks", ""] {
        let mut environment = RUNNER_POD.to_vec();
        environment.retain(|(name, _)| *name != "DD_EXTRA_CONFIG_PROVIDERS");
        environment.push(("DD_EXTRA_CONFIG_PROVIDERS", providers));
        assert_eq!(settings("", &environment).unwrap().kind, NodeKind::NodeAgent, "{providers:?}");
    }
}

#[test]
fn polling_without_a_token_is_refused_with_the_stock_text() {
    let environment = [("DD_CLUSTER_AGENT_ENABLED", "true"), ("DD_CLUSTER_AGENT_URL", "https://127.0.0.1:5005")];
    let error = settings("", &environment).unwrap_err().to_string();
    assert!(error.starts_with("empty cluster_agent.auth_token and cannot find \""), "{error}");
}

#[test]
fn a_runner_needs_an_address() {
    let environment = [("DD_CLC_RUNNER_ENABLED", "true"), ("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)];
    let error = settings("", &environment).unwrap_err().to_string();
    assert!(error.starts_with("clc_runner_host is not set"), "{error}");
    let error = settings("clc_runner_host: here\n", &environment).unwrap_err().to_string();
    assert_eq!(error, "clc_runner_host: invalid value \"here\"; allowed: an IP address");
    let node = settings("clc_runner_host: fd00::7\n", &environment).unwrap();
    assert_eq!(node.runner_api.unwrap().address, "[fd00::7]:5005".parse().unwrap());
}

#[test]
fn verification_between_nodes_needs_an_authority() {
    let text = "cluster_trust_chain: {enable_tls_verification: true, ca_cert_file_path: /ca.pem}\n";
    assert_eq!(
        settings(text, &[]).unwrap_err().to_string(),
        "cluster_trust_chain.enable_tls_verification cannot be true if cluster_trust_chain.ca_cert_file_path or \
         cluster_trust_chain.ca_key_file_path is not set"
    );
}

#[test]
fn sources_take_their_options_from_config_providers() {
    let text = "config_providers:\n  - name: clusterchecks\n    polling: true\n    poll_interval: 30s\n    grace_time_seconds: 15\n    degraded_deadline_minutes: 2\nextra_config_providers: [clusterchecks, endpointschecks]\ncluster_agent:\n  url: 127.0.0.1:5005\n";
    let node = settings(text, &[("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)]).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(
        node.providers,
        [
            ProviderSettings {
                name: "clusterchecks".to_owned(),
                poll_interval: seconds(30),
                grace: seconds(15),
                degraded_deadline: Some(seconds(120)),
            },
            ProviderSettings {
                name: "endpointschecks".to_owned(),
                poll_interval: seconds(10),
                grace: seconds(60),
                degraded_deadline: None,
            },
        ]
    );
}

#[test]
fn a_source_is_always_polled() {
    let text =
        "config_providers:\n  - name: clusterchecks\n    polling: false\n    poll_interval: 0s\ncluster_agent:\n  url: 127.0.0.1:5005\n";
    let node = settings(text, &[("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)]).unwrap();
    assert_eq!(node.providers[0].poll_interval, Duration::from_secs(10));
}

#[test]
fn defaults_of_the_node_role_are_stated() {
    let node = settings("", &[]).unwrap();
    assert_eq!(node.cmd_port, 5001);
    assert_eq!(node.cluster_agent, None);
    assert_eq!(node.checks.runners, Some(4));
    assert_eq!(node.checks.timeout, None);
    assert_eq!(node.checks.max_series, None);
    assert!(node.checks.first_run_immediately);
    assert_eq!(node.checks.native_concurrency, 256);
    assert_eq!(node.checks.histogram_percentiles, [0.95]);
    assert_eq!(node.outputs, [OutputKind::Stdout]);
    assert!(node.common.log.on_stderr, "standard output carries samples");
    assert_eq!(node.common.metrics_port, Some(5000));
    assert_eq!(node.common.health_port, None);
    assert_eq!(node.intake.forwarder.queue_max_bytes, 15 << 20);
    assert_eq!(node.intake.proxy.no_proxy, ["169.254.169.254", "100.100.100.200"]);
}

#[test]
fn check_runners_0_means_as_many_as_the_checks_need() {
    assert_eq!(settings("check_runners: 0\n", &[]).unwrap().checks.runners, None);
}

#[test]
fn the_output_datadog_needs_a_key() {
    let error = settings("muster:\n  outputs: [datadog, stdout]\n", &[]).unwrap_err();
    assert!(matches!(error, SettingsError::OutputWithoutApiKey));
    let both = settings("muster:\n  outputs: [datadog, stdout]\napi_key: k\n", &[]).unwrap();
    assert_eq!(both.outputs, [OutputKind::Datadog, OutputKind::Stdout]);
}

#[test]
fn proxies_come_from_the_usual_variables_when_not_configured() {
    let environment = [("HTTPS_PROXY", "http://usual:3128"), ("NO_PROXY", "a.example, b.example"), ("DD_PROXY_HTTP", "http://own:3128")];
    let proxy = settings("", &environment).unwrap().intake.proxy;
    assert_eq!(proxy.https.unwrap().expose(), "http://usual:3128");
    assert_eq!(proxy.http.unwrap().expose(), "http://own:3128");
    assert_eq!(proxy.no_proxy, ["a.example", "b.example", "169.254.169.254", "100.100.100.200"]);
}

#[test]
fn an_unfit_compatibility_version_is_refused() {
    for version in ["6.9.0", "7.54.0", "seven", "7.81"] {
        let error = settings("", &[("MUSTER_COMPAT_VERSION", version)]).unwrap_err();
        assert!(matches!(error, SettingsError::CompatVersion { .. }), "{version}");
    }
    assert_eq!(settings("", &[("MUSTER_COMPAT_VERSION", "7.60.1-rc.2")]).unwrap().common.compat_version, "7.60.1-rc.2");
}

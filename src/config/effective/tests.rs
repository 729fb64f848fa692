//! Sources, their precedence, and what is said about values that are wrong.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::super::problem::Severity;
use super::*;

/// A configuration directory with one file.
fn directory(role: Role, text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(role.file_name()), text).unwrap();
    directory
}

fn load(role: Role, text: &str, environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = directory(role, text);
    Config::load(Request {
        role,
        path: Some(directory.path().to_owned()),
        environment: Environment::from_pairs(environment.iter().copied()),
        overrides: overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    })
}

fn integer(config: &Config, key: &str) -> (i64, &'static str) {
    let sourced = config.get(key).unwrap();
    match sourced.value {
        Value::Integer(number) => (number, sourced.source.stock_name()),
        other => panic!("{other:?}"),
    }
}

fn texts(config: &Config) -> Vec<String> {
    config.problems().iter().filter(|problem| problem.severity() > Severity::Note).map(ToString::to_string).collect()
}

#[test]
fn stronger_sources_win() {
    let file = "health_port: 1\nmetrics_port: 1\ncheck_runners: 1\n";
    let environment = [("DD_METRICS_PORT", "2"), ("DD_CHECK_RUNNERS", "2"), ("DD_CLC_RUNNER_PORT", "2")];
    let config = load(Role::Node, file, &environment, &[("check_runners", "4")]).unwrap();
    assert_eq!(integer(&config, "cmd_port"), (5001, "default"));
    assert_eq!(integer(&config, "health_port"), (1, "file"));
    assert_eq!(integer(&config, "metrics_port"), (2, "environment-variable"));
    assert_eq!(integer(&config, "check_runners"), (4, "cli"));
    let spec = keys::find("check_runners").unwrap();
    let sources: Vec<_> = config.by_source(spec).iter().map(|sourced| sourced.source.stock_name()).collect();
    assert_eq!(sources, ["default", "file", "environment-variable", "cli"]);
}

#[test]
fn our_own_variable_wins_over_the_stock_one() {
    let environment = [("MUSTER_CLUSTER_AGENT_URL", "https://ours:5005"), ("DD_CLUSTER_AGENT_URL", "https://theirs:5005")];
    let config = load(Role::Node, "", &environment, &[]).unwrap();
    let url = config.get("cluster_agent.url").unwrap();
    assert_eq!(url.value, Value::Text("https://ours:5005".to_owned()));
    assert_eq!(url.source, Source::Environment { name: "MUSTER_CLUSTER_AGENT_URL".to_owned() });
}

#[test]
fn a_change_while_running_is_stronger_than_the_environment_and_weaker_than_the_command_line() {
    let spec = keys::find("log_level").unwrap();
    let level = |config: &Config| config.effective(spec).value.to_json(spec.kind);
    let config = load(Role::Cluster, "", &[("DD_LOG_LEVEL", "warn")], &[]).unwrap().with_runtime_value(spec, "debug").unwrap();
    assert_eq!(level(&config), json!("debug"));
    assert!(config.with_runtime_value(spec, "loud").is_none());
    let config = load(Role::Cluster, "", &[], &[("log_level", "error")]).unwrap().with_runtime_value(spec, "debug").unwrap();
    assert_eq!(level(&config), json!("error"));
}

#[test]
fn a_value_of_the_file_knows_its_line() {
    let config = load(Role::Cluster, "site: datadoghq.eu\n\ncluster_agent:\n  cmd_port: 6005\n", &[], &[]).unwrap();
    let Source::File { path, line } = config.get("cluster_agent.cmd_port").unwrap().source else { panic!("from the file") };
    assert_eq!(line, 4);
    assert!(path.ends_with("datadog-cluster.yaml"));
}

#[test]
fn an_invalid_stock_value_is_an_error_and_the_default_is_used() {
    let config = load(Role::Cluster, "health_port: 99999\n", &[("DD_CLUSTER_AGENT_CMD_PORT", "five")], &[]).unwrap();
    assert_eq!(integer(&config, "health_port"), (0, "default"));
    assert_eq!(integer(&config, "cluster_agent.cmd_port"), (5005, "default"));
    let file = config.file().unwrap().display().to_string();
    assert_eq!(
        texts(&config),
        [
            format!(
                "health_port: invalid value 99999 ({file}, line 1); allowed: a whole number from 0 to 65535; correct it, or remove it to use the default 0"
            ),
            "cluster_agent.cmd_port: invalid value \"five\" (environment variable DD_CLUSTER_AGENT_CMD_PORT); allowed: a whole number from 1 to 65535; correct it, or remove it to use the default 5005"
                .to_owned(),
        ]
    );
}

#[test]
fn an_invalid_value_hides_weaker_sources() {
    let config = load(Role::Node, "check_runners: 9\n", &[("DD_CHECK_RUNNERS", "many")], &[]).unwrap();
    assert_eq!(integer(&config, "check_runners"), (4, "default"));
}

#[test]
fn an_invalid_value_of_ours_stops_the_start_and_all_are_listed() {
    let environment = [("MUSTER_CHECK_TIMEOUT", "soon"), ("MUSTER_STANDALONE", "maybe")];
    let error = load(Role::Node, "muster:\n  outputs: [datadog, kafka]\n", &environment, &[]).unwrap_err().to_string();
    assert!(error.starts_with("use the configuration:\n  muster.outputs: invalid value"), "{error}");
    assert!(
        error.contains("\n  muster.standalone: invalid value \"maybe\" (environment variable MUSTER_STANDALONE); allowed: true or false"),
        "{error}"
    );
    assert!(
        error.contains("\n  muster.check_timeout: invalid value \"soon\" (environment variable MUSTER_CHECK_TIMEOUT); allowed: a number of seconds or a duration such as 10m or 1h30m; correct it, or remove it to use the default 0s"),
        "{error}"
    );
}

#[test]
fn a_secret_is_not_shown_in_a_problem() {
    let config = load(Role::Node, "additional_endpoints: 0123456789abcdef0123456789abcdef\n", &[], &[]).unwrap();
    let shown = texts(&config).join("\n");
    assert!(shown.starts_with("additional_endpoints: invalid value *** ("), "{shown}");
    assert!(!shown.contains("0123456789"), "{shown}");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let config = load(Role::Cluster, "cluster_checks:\n  enable: true\nzzz: 1\n", &[], &[]).unwrap();
    let file = config.file().unwrap().display().to_string();
    assert_eq!(
        texts(&config),
        [
            format!("unknown key cluster_checks.enable ({file}, line 2); did you mean cluster_checks.enabled?"),
            format!("unknown key zzz ({file}, line 3); it is ignored"),
        ]
    );
}

#[test]
fn an_unknown_variable_is_told_only_when_it_is_ours_or_a_slip() {
    let environment = [("DD_SOME_OTHER_PRODUCT", "1"), ("DD_CLUSTER_CHECKS_ENABLE", "true"), ("MUSTER_NONSENSE", "1"), ("PATH", "/bin")];
    let config = load(Role::Cluster, "", &environment, &[]).unwrap();
    assert_eq!(
        texts(&config),
        [
            "unknown environment variable DD_CLUSTER_CHECKS_ENABLE; did you mean DD_CLUSTER_CHECKS_ENABLED?",
            "unknown environment variable MUSTER_NONSENSE; it is ignored",
        ]
    );
}

/// Everything the chart sets on the cluster agent by default. Source: cluster-agent-kubernetes 9.3.
#[test]
fn the_environment_of_the_chart_is_taken_without_a_word() {
    let environment = [
        ("DD_POD_NAME", "dca-1"),
        ("DD_CLUSTER_AGENT_SERVICE_ACCOUNT_NAME", "dca"),
        ("DD_HEALTH_PORT", "5556"),
        ("DD_API_KEY", "0123456789abcdef0123456789abcdef"),
        ("KUBERNETES", "yes"),
        ("DD_CSI_ENABLED", "false"),
        ("DD_LANGUAGE_DETECTION_ENABLED", "false"),
        ("DD_LANGUAGE_DETECTION_REPORTING_ENABLED", "false"),
        ("DD_CLUSTER_AGENT_LANGUAGE_DETECTION_PATCHER_ENABLED", "false"),
        ("DD_ADMISSION_CONTROLLER_ENABLED", "true"),
        ("DD_ADMISSION_CONTROLLER_INJECT_CONFIG_MODE", "socket"),
        ("DD_ADMISSION_CONTROLLER_PORT", "8000"),
        ("DD_TRACE_AGENT_HOST_SOCKET_PATH", "/var/run/datadog"),
        ("DD_DOGSTATSD_HOST_SOCKET_PATH", "/var/run/datadog"),
        ("DD_DOGSTATSD_SOCKET", "/var/run/datadog/dsd.socket"),
        ("DD_APM_RECEIVER_SOCKET", "/var/run/datadog/apm.socket"),
        ("DD_REMOTE_CONFIGURATION_ENABLED", "false"),
        ("DD_CLUSTER_CHECKS_ENABLED", "true"),
        ("DD_EXTRA_CONFIG_PROVIDERS", "kube_endpoints kube_services"),
        ("DD_EXTRA_LISTENERS", "kube_endpoints kube_services"),
        ("DD_LOG_LEVEL", "INFO"),
        ("DD_LEADER_ELECTION", "true"),
        ("DD_LEADER_ELECTION_DEFAULT_RESOURCE", "configmap"),
        ("DD_LEADER_LEASE_NAME", "datadog-leader-election"),
        ("DD_LEADER_LEASE_DURATION", "15"),
        ("DD_CLUSTER_AGENT_TOKEN_NAME", "datadogtoken"),
        ("DD_COLLECT_KUBERNETES_EVENTS", "true"),
        ("DD_KUBERNETES_USE_ENDPOINT_SLICES", "true"),
        ("DD_KUBERNETES_KUBE_SERVICE_IGNORE_READINESS", "false"),
        ("DD_KUBERNETES_EVENTS_SOURCE_DETECTION_ENABLED", "false"),
        ("DD_CLUSTER_AGENT_KUBERNETES_SERVICE_NAME", "datadog-cluster-agent"),
        ("DD_CLUSTER_AGENT_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("DD_CLUSTER_AGENT_COLLECT_KUBERNETES_TAGS", "false"),
        ("DD_KUBE_RESOURCES_NAMESPACE", "datadog"),
        ("DD_ORCHESTRATOR_EXPLORER_ENABLED", "true"),
        ("DD_ORCHESTRATOR_EXPLORER_CONTAINER_SCRUBBING_ENABLED", "true"),
        ("DD_INSTRUMENTATION_INSTALL_TIME", "1700000000"),
        ("DD_INSTRUMENTATION_INSTALL_ID", "an-id"),
        ("DD_INSTRUMENTATION_INSTALL_TYPE", "k8s_manual"),
        ("DD_NAMESPACE_LABELS_AS_TAGS", "{}"),
        ("DD_KUBERNETES_NAMESPACE_LABELS_AS_TAGS", r#"{"team":"team"}"#),
        ("DD_TAGS", r#"["a:1","b:2"]"#),
    ];
    let config = load(Role::Cluster, "", &environment, &[]).unwrap();
    assert_eq!(texts(&config), Vec::<String>::new());
}

#[test]
fn no_file_is_fine_and_a_named_file_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let request =
        |path: &Path| Request { role: Role::Node, path: Some(path.to_owned()), environment: Environment::default(), overrides: Vec::new() };
    let config = Config::load(request(directory.path())).unwrap();
    assert_eq!(config.file(), None);
    assert_eq!(config.directory(), directory.path());
    let missing = directory.path().join("other.yaml");
    let error = Config::load(request(&missing)).unwrap_err().to_string();
    assert_eq!(error, format!("read configuration file {}", missing.display()));
    fs::write(&missing, "site: datadoghq.eu\n").unwrap();
    let config = Config::load(request(&missing)).unwrap();
    assert_eq!(config.file(), Some(missing.as_path()));
    assert_eq!(config.directory(), directory.path());
}

#[test]
fn a_broken_file_stops_the_start() {
    let error = load(Role::Cluster, "a: [1\nb: 2\n", &[], &[]).unwrap_err().to_string();
    assert!(error.contains("datadog-cluster.yaml: line "), "{error}");
}

#[test]
fn stand_alone_dispatches_unless_told_otherwise() {
    let enabled = |config: &Config| config.get("cluster_checks.enabled").unwrap().value;
    assert_eq!(enabled(&load(Role::Cluster, "", &[], &[]).unwrap()), Value::Bool(true));
    assert_eq!(enabled(&load(Role::Cluster, "cluster_checks:\n  enabled: false\n", &[], &[]).unwrap()), Value::Bool(false));
    let kubernetes = load(Role::Cluster, "kubernetes_kubeconfig_path: /root/.kube/config\n", &[], &[]).unwrap();
    assert!(!kubernetes.stand_alone());
    assert_eq!(enabled(&kubernetes), Value::Bool(false));
    let told = load(Role::Cluster, "kubernetes_kubeconfig_path: /root/.kube/config\nmuster.standalone: true\n", &[], &[]).unwrap();
    assert!(told.stand_alone());
}

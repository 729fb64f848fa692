//! The cluster role in the place of the official chart's and of the operator's cluster agent. Source: cluster-agent-kubernetes 9.3.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use actix_web::{App, HttpResponse, HttpServer, web};
use muster::config::{Config, Environment, NodeSettings, Request, Role};
use muster::demo::stage::free_port;
use muster_rig::until;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cluster::MUSTER;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the chart sets, with the names and values of a release `datadog` without options, and runners.
const OF_THE_CHART: &[(&str, &str)] = &[
    ("DD_POD_NAME", "datadog-cluster-agent-5d6f7c9b8-abcde"),
    ("DD_CLUSTER_AGENT_SERVICE_ACCOUNT_NAME", "datadog-cluster-agent"),
    ("DD_API_KEY", TOKEN),
    ("KUBERNETES", "yes"),
    ("DD_CSI_ENABLED", "false"),
    ("DD_LANGUAGE_DETECTION_ENABLED", "false"),
    ("DD_LANGUAGE_DETECTION_REPORTING_ENABLED", "false"),
    ("DD_CLUSTER_AGENT_LANGUAGE_DETECTION_PATCHER_ENABLED", "false"),
    ("DD_ADMISSION_CONTROLLER_ENABLED", "true"),
    ("DD_ADMISSION_CONTROLLER_VALIDATION_ENABLED", "true"),
    ("DD_ADMISSION_CONTROLLER_MUTATION_ENABLED", "true"),
    ("DD_ADMISSION_CONTROLLER_WEBHOOK_NAME", "datadog-webhook"),
    ("DD_ADMISSION_CONTROLLER_MUTATE_UNLABELLED", "false"),
    ("DD_ADMISSION_CONTROLLER_SERVICE_NAME", "datadog-cluster-agent-admission-controller"),
    ("DD_ADMISSION_CONTROLLER_INJECT_CONFIG_MODE", "socket"),
    ("DD_ADMISSION_CONTROLLER_INJECT_CONFIG_LOCAL_SERVICE_NAME", "datadog"),
    ("DD_ADMISSION_CONTROLLER_FAILURE_POLICY", "Ignore"),
    ("DD_ADMISSION_CONTROLLER_PORT", "8000"),
    ("DD_ADMISSION_CONTROLLER_CONTAINER_REGISTRY", "gcr.io/datadoghq"),
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
    ("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN),
    ("DD_CLUSTER_AGENT_COLLECT_KUBERNETES_TAGS", "false"),
    ("DD_KUBE_RESOURCES_NAMESPACE", "default"),
    ("CHART_RELEASE_NAME", "datadog"),
    ("AGENT_DAEMONSET", "datadog"),
    ("CLUSTER_AGENT_DEPLOYMENT", "datadog-cluster-agent"),
    ("DD_ORCHESTRATOR_EXPLORER_ENABLED", "true"),
    ("DD_ORCHESTRATOR_EXPLORER_CONTAINER_SCRUBBING_ENABLED", "true"),
    ("DD_INSTRUMENTATION_INSTALL_TIME", "1760000000"),
    ("DD_INSTRUMENTATION_INSTALL_ID", "3f1c5e5e-0000-4000-8000-000000000000"),
    ("DD_INSTRUMENTATION_INSTALL_TYPE", "k8s_manual"),
];

/// What the chart sets on a runner.
const OF_A_RUNNER: &[(&str, &str)] = &[
    ("KUBERNETES", "yes"),
    ("DD_CSI_ENABLED", "false"),
    ("DD_API_KEY", TOKEN),
    ("DD_LOG_LEVEL", "INFO"),
    ("DD_EXTRA_CONFIG_PROVIDERS", "clusterchecks"),
    ("DD_HEALTH_PORT", "5557"),
    ("DD_CLUSTER_AGENT_ENABLED", "true"),
    ("DD_CLUSTER_AGENT_KUBERNETES_SERVICE_NAME", "datadog-cluster-agent"),
    ("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN),
    ("DD_ENABLE_METADATA_COLLECTION", "false"),
    ("DD_CLC_RUNNER_ENABLED", "true"),
    ("DD_CLC_RUNNER_HOST", "10.244.0.7"),
    ("DD_CLC_RUNNER_ID", "datadog-clusterchecks-5d6f7c9b8-abcde"),
    ("DD_USE_DOGSTATSD", "false"),
    ("DD_PROCESS_AGENT_ENABLED", "false"),
    ("DD_LOGS_ENABLED", "false"),
    ("DD_APM_ENABLED", "false"),
    ("DD_REMOTE_CONFIGURATION_ENABLED", "false"),
    ("DD_HOSTNAME", "node-a"),
];

/// What the chart sets on the agent of a node, besides.
const OF_A_NODE: &[(&str, &str)] = &[
    ("DD_AUTH_TOKEN_FILE_PATH", "/etc/datadog-agent/auth/token"),
    ("DD_KUBERNETES_KUBELET_HOST", "10.0.0.1"),
    ("DD_EXTRA_CONFIG_PROVIDERS", "clusterchecks endpointschecks"),
    ("DD_HEALTH_PORT", "5555"),
    ("DD_EXPVAR_PORT", "6000"),
    ("DD_IGNORE_AUTOCONF", "kubernetes_state"),
    ("DD_KUBERNETES_USE_ENDPOINT_SLICES", "true"),
    ("DD_CLC_RUNNER_ENABLED", "false"),
];

/// What Kubernetes sets for a Service of the namespace.
const OF_THE_SERVICE: &[(&str, &str)] =
    &[("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "10.96.0.7"), ("DATADOG_CLUSTER_AGENT_SERVICE_PORT", "5005")];

/// Set on request, or by other versions; the last one by nobody.
const ON_REQUEST: &[(&str, &str)] = &[
    ("DATADOGAGENT_CR_NAME", "datadog"),
    ("DD_CLUSTER_NAME", "prod"),
    ("DD_TAGS", "[\"team:web\",\"tier:1\"]"),
    ("DD_SITE", "datadoghq.eu"),
    ("DD_APP_KEY", "0123456789abcdef0123456789abcdef01234567"),
    ("DD_KUBERNETES_POD_LABELS_AS_TAGS", "{\"app\":\"kube_app\"}"),
    ("DD_EXTERNAL_METRICS_PROVIDER_ENABLED", "false"),
    ("DD_EXTERNAL_METRICS_PROVIDER_WPA_CONTROLLER", "false"),
    ("DD_EXTERNAL_METRICS_AGGREGATOR", "avg"),
    ("DD_CONTAINER_EXCLUDE", "kube_namespace:^kube-system$"),
    ("DD_PROMETHEUS_SCRAPE_ENABLED", "false"),
    ("DD_COMPLIANCE_CONFIG_ENABLED", "false"),
    ("DD_ADMISSION_CONTROLLER_AUTO_INSTRUMENTATION_APPSEC_PROXY_ENABLED", "false"),
    ("DD_APM_INSTRUMENTATION_ENABLED", "false"),
    ("DD_AUTOSCALING_WORKLOAD_ENABLED", "false"),
    ("DD_PRIVATE_ACTION_RUNNER_ENABLED", "false"),
    ("DD_KUBEACTIONS_ENABLED", "false"),
    ("DD_INSTRUMENTATION_CRD_CONTROLLER_ENABLED", "false"),
    ("DD_PROVIDER_KIND", "gke-autopilot"),
    ("DD_CLOUD_PROVIDER_METADATA", "[\"aws\"]"),
    ("DD_OF_A_VERSION_TO_COME", "x"),
];

/// What the chart mounts at `/conf.d`: checks of its own, and one of the user.
const CHECK_FILES: &[(&str, &str)] = &[
    (
        "kubernetes_state_core.d/kubernetes_state_core.yaml.default",
        "cluster_check: true\ninit_config:\ninstances:\n  - pod_collection_mode: default\n",
    ),
    (
        "kubernetes_apiserver.d/kubernetes_apiserver.yaml",
        "init_config:\ninstances:\n  - filtering_enabled: false\n    unbundle_events: false\n",
    ),
    (
        "orchestrator.d/orchestrator.yaml",
        "ad_identifiers:\n  - _kube_orchestrator\ninit_config:\ninstances:\n  - skip_leader_election: false\n",
    ),
    ("helm.d/helm.yaml", "init_config:\ninstances:\n  - collect_events: false\n"),
    ("helm.d/more.yaml", "init_config:\ninstances:\n  - collect_events: true\n"),
    ("http_check.yaml", "cluster_check: true\ninit_config:\ninstances:\n  - name: x\n    url: http://127.0.0.1:1\n"),
];

/// Takes whatever is sent, so that nothing leaves this machine; there as long as the test.
fn intake() -> String {
    let take_all = || App::new().default_service(web::to(async || HttpResponse::Accepted().body("{}")));
    let server = HttpServer::new(take_all).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    actix_rt::spawn(server.run());
    url
}

/// A container with its volumes.
struct Container {
    folder: TempDir,
    variables: Vec<(String, String)>,
    health_port: u16,
}

impl Container {
    fn new(variables: &[&[(&str, &str)]]) -> Self {
        // As the program does at its start; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("configuration");
        fs::create_dir_all(configuration.join("auth")).unwrap();
        for (name, text) in CHECK_FILES {
            let path = folder.path().join("conf.d").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let health_port = free_port("127.0.0.1").unwrap();
        let mut all: Vec<_> = variables.concat().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // Paths and ports are those of the container; here they have to be ours.
        let [confd, run] = ["conf.d", "run"].map(|name| folder.path().join(name).display().to_string());
        for (name, value) in [
            ("MUSTER_STANDALONE", "true".to_owned()),
            ("DD_DD_URL", intake()),
            ("DD_CONFD_PATH", confd),
            ("DD_RUN_PATH", run),
            ("DD_HEALTH_PORT", health_port.to_string()),
            ("DD_METRICS_PORT", free_port("127.0.0.1").unwrap().to_string()),
            ("DD_CLUSTER_AGENT_CMD_PORT", free_port("127.0.0.1").unwrap().to_string()),
        ] {
            all.push((name.to_owned(), value));
        }
        Self { folder, variables: all, health_port }
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("configuration")
    }

    fn set(&mut self, name: &str, value: &Path) {
        self.variables.push((name.to_owned(), value.display().to_string()));
    }

    fn command(&self, command: &str) -> Command {
        let mut called = Command::new(MUSTER);
        called.args(["cluster", command, "-c"]).arg(self.configuration()).env_clear().envs(self.variables.iter().cloned());
        called.kill_on_drop(true);
        called
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn start(&self) -> Child {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = self.command("start").stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for probe in ["startup", "live", "ready"] {
            let url = format!("http://127.0.0.1:{}/{probe}", self.health_port);
            let passes = until("the probe passes", async || client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)).await;
            passes.unwrap_or_else(|error| panic!("{probe}: {error}\n{}", self.log()));
        }
        until("files are discovered", async || self.log().contains("discovery is complete")).await.unwrap();
        child
    }

    /// Stops it as the kubelet does; what it logged.
    async fn stop(&self, mut child: Child) -> String {
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(child.wait().await.unwrap().success(), "{}", self.log());
        self.log()
    }
}

/// Lines of a log that somebody has to read, but those that are about the missing API server: here the container has none.
fn loud(log: &str) -> Vec<&str> {
    let loud = log.lines().filter(|line| line.contains(" | WARN | ") || line.contains(" | ERROR | "));
    loud.filter(|line| !line.contains("without Kubernetes no")).collect()
}

fn names_below(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[actix_rt::test]
async fn the_variables_of_the_chart_are_all_it_needs_and_none_disturbs() {
    let container = Container::new(&[OF_THE_CHART]);
    let child = container.start().await;
    let doctor = container.command("doctor").output().await.unwrap();
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    let log = container.stop(child).await;
    // Checks that a stock cluster agent runs itself, and ours does not, are named, each once; nothing else is worth a warning.
    let loud = loud(&log);
    let unsupported = |name: &str| {
        loud.iter().filter(|line| line.contains("check is not supported") && line.contains(&format!(" check={name} "))).count()
    };
    assert_eq!((unsupported("helm"), unsupported("kubernetes_apiserver"), loud.len()), (1, 0, 1), "{loud:#?}");
}

#[actix_rt::test]
async fn what_is_set_on_request_and_what_nobody_knows_is_accepted() {
    let container = Container::new(&[OF_THE_CHART, ON_REQUEST]);
    let log = container.stop(container.start().await).await;
    assert!(loud(&log).iter().all(|line| line.contains("check is not supported")), "{log}");
}

#[actix_rt::test]
async fn the_operator_gives_no_place_to_write_but_those_it_mounts() {
    let mut container = Container::new(&[OF_THE_CHART]);
    let token = container.configuration().join("auth/token");
    container.set("DD_AUTH_TOKEN_FILE_PATH", &token);
    let child = container.start().await;
    assert_eq!(names_below(&container.configuration()), ["auth".to_owned()].into());
    assert_eq!(names_below(token.parent().unwrap()), ["ipc_cert.pem", "token"].map(str::to_owned).into());
    let doctor = container.command("doctor").output().await.unwrap();
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    container.stop(child).await;
}

#[test]
fn runners_and_agents_of_nodes_take_the_variables_of_the_chart() {
    for (name, variables) in
        [("runner", [OF_A_RUNNER, OF_THE_SERVICE].concat()), ("node", [OF_A_RUNNER, OF_THE_SERVICE, OF_A_NODE].concat())]
    {
        let folder = tempfile::tempdir().unwrap();
        // As `touch` leaves it.
        fs::write(folder.path().join("datadog.yaml"), "").unwrap();
        let environment = Environment::from_pairs(variables);
        let request = Request { role: Role::Node, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() };
        let config = Config::load(request).unwrap();
        let problems: Vec<String> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new(), "{name}");
        NodeSettings::from_config(&config).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

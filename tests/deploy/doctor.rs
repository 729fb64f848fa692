//! `muster cluster doctor` and `secret-helper` against a real API server.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use muster_rig::{Identity, until};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cluster::{MUSTER, deployed, items};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A pod of the cluster role, as far as its files and variables go.
struct Pod {
    folder: TempDir,
}

impl Pod {
    fn of(identity: &Identity, namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut kubeconfig: Json = serde_json::from_str(&identity.kubeconfig()).unwrap();
        kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
        fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MUSTER);
        let run = self.path().join("run");
        command.args(arguments).arg("-c").arg(self.path()).env_clear().kill_on_drop(true);
        command.env("DD_KUBERNETES_KUBECONFIG_PATH", self.path().join("kubeconfig")).env("DD_RUN_PATH", run);
        // As the Deployment says. Nobody who runs tests listens on port 1.
        let variables = [
            ("DD_API_KEY", TOKEN),
            ("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN),
            ("DD_POD_NAME", "muster-cluster-0"),
            ("DD_LEADER_ELECTION", "true"),
            ("DD_LEADER_ELECTION_DEFAULT_RESOURCE", "lease"),
            ("DD_LEADER_LEASE_NAME", "muster-leader-election"),
            ("DD_KUBERNETES_USE_ENDPOINT_SLICES", "true"),
            ("DD_COLLECT_KUBERNETES_EVENTS", "true"),
            ("DD_CLUSTER_AGENT_CMD_PORT", "1"),
            ("DD_METRICS_PORT", "0"),
        ];
        command.envs(variables);
        command
    }

    /// The report as JSON, and the exit code.
    async fn doctor(&self) -> (Json, i32) {
        let output = self.command(&["cluster", "doctor", "--json"]).output().await.unwrap();
        let report = serde_json::from_slice(&output.stdout);
        (report.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.code().unwrap())
    }
}

/// Findings of a section: `subject: state: found`.
fn lines(report: &Json, section: &str) -> Vec<String> {
    let of_section = items(&report["findings"]).filter(|finding| finding["section"] == section);
    let word = |finding: &Json, key: &str| finding[key].as_str().unwrap().to_owned();
    of_section.map(|finding| format!("{}: {}: {}", word(finding, "subject"), word(finding, "state"), word(finding, "found"))).collect()
}

#[tokio::test]
async fn with_the_rights_of_the_manifests_nothing_is_to_be_mended() {
    let plane = deployed().await;
    let pod = Pod::of(&plane.service_account("muster", "muster-cluster").await.unwrap(), "muster");
    let mut seen = Json::Null;
    // The authorizer learns of new bindings a moment after they are made.
    let well = until("the doctor is content", async || {
        let (report, code) = pod.doctor().await;
        seen = report;
        code == 0
    });
    let well = well.await.is_ok();
    assert!(well, "{seen:#}");
    let rights = [
        "metadata: well: all 12 granted",
        "endpoint-slices: well: all 3 granted",
        "lock: well: all 3 granted",
        "cluster-id: well: all 4 granted",
        "snapshot: well: all 3 granted",
        "events: well: all 7 granted",
        "control-plane: well: all 4 granted",
    ];
    assert_eq!(lines(&seen, "rights"), rights);
    assert_eq!(
        lines(&seen, "identity"),
        ["user: well: system:serviceaccount:muster:muster-cluster", "namespace: well: muster", "pod name: well: muster-cluster-0"]
    );
    assert!(lines(&seen, "api_server")[0].contains(&plane.url()), "{seen:#}");
    assert_eq!(lines(&seen, "lock"), ["Lease muster/muster-leader-election: well: not there yet: the first replica that starts makes it"]);
}

#[tokio::test]
async fn a_missing_right_is_named_and_its_rule_mends_it() {
    let plane = deployed().await;
    let admin = plane.admin();
    let namespace = plane.namespace("poor").await.unwrap();
    let poor = plane.service_account(&namespace, "default").await.unwrap();
    let pod = Pod::of(&poor, &namespace);
    let (report, code) = pod.doctor().await;
    assert_eq!((code, &report["well"]), (1, &json!(false)), "{report:#}");
    let rights = lines(&report, "rights");
    assert!(rights[0].starts_with("metadata: mend: not granted: get, list, watch services in the cluster; "), "{rights:#?}");
    assert!(rights.iter().any(|line| line.starts_with("lock: mend: ")), "{rights:#?}");
    assert!(rights.iter().any(|line| line.starts_with("snapshot: advice: ")), "{rights:#?}");

    // What it says is bound as it says.
    let text = String::from_utf8(pod.command(&["cluster", "doctor"]).output().await.unwrap().stdout).unwrap();
    assert!(
        text.contains(&format!("with these rules to the service account {namespace}/default (deploy/rbac/metadata has them)")),
        "{text}"
    );
    let rules: Vec<&str> =
        items(&report["findings"]).flat_map(|finding| items(&finding["rules"])).map(|rule| rule.as_str().unwrap()).collect();
    // A Role is about resources of its namespace.
    let resources = rules.iter().copied().filter(|rule| !rule.contains("nonResourceURLs")).collect::<String>();
    let role = |kind: &str, place: &str| {
        let rules = if kind == "Role" { resources.clone() } else { rules.concat() };
        let head = "apiVersion: rbac.authorization.k8s.io/v1";
        let subject = format!("{{kind: ServiceAccount, name: default, namespace: {namespace}}}");
        format!(
            "{head}\nkind: {kind}\nmetadata: {{name: {namespace}{place}}}\nrules:\n{rules}---\n{head}\nkind: {kind}Binding\nmetadata: {{name: \
             {namespace}{place}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {namespace}}}\nsubjects: [{subject}]\n"
        )
    };
    let in_namespace = format!(", namespace: {namespace}");
    admin.apply_yaml(&format!("{}---\n{}", role("ClusterRole", ""), role("Role", &in_namespace))).await.unwrap();
    until("the doctor is content", async || pod.doctor().await.1 == 0).await.unwrap();
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_said_once() {
    let plane = deployed().await;
    let pod = Pod::of(&plane.admin(), "muster");
    let path = pod.path().join("kubeconfig");
    let text = fs::read_to_string(&path).unwrap();
    // Port 1 needs privileges nobody who runs tests uses.
    fs::write(&path, text.replace(&plane.url(), "https://127.0.0.1:1")).unwrap();
    let (report, code) = pod.doctor().await;
    assert_eq!(code, 1);
    assert_eq!(lines(&report, "api_server")[0], "address: well: https://127.0.0.1:1");
    assert!(lines(&report, "api_server")[1].starts_with("version: mend: no answer: "), "{report:#}");
    assert_eq!(lines(&report, "rights"), Vec::<String>::new());
    assert_eq!(lines(&report, "tokens").len(), 2);
}

#[tokio::test]
async fn the_holder_of_the_lock_is_told() {
    let plane = deployed().await;
    let namespace = plane.namespace("held").await.unwrap();
    let lease = json!({
        "metadata": {"name": "muster-leader-election", "annotations": {
            "muster.io/leader-address": "10.1.0.7:5005", "muster.io/leader-address-of": "muster-cluster-9",
        }},
        "spec": {"holderIdentity": "muster-cluster-9", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z", "leaseTransitions": 3},
    });
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    plane.admin().create(&path, &lease).await.unwrap();
    let (report, _) = Pod::of(&plane.admin(), &namespace).doctor().await;
    let found = lines(&report, "lock").concat();
    assert!(found.contains(": advice: run out: held by \"muster-cluster-9\" at 10.1.0.7:5005, renewed "), "{found}");
    assert!(found.ends_with("lease 15 s, epoch 3"), "{found}");
}

#[tokio::test]
async fn secrets_are_read_with_one_right_and_refused_without() {
    let plane = deployed().await;
    let namespace = plane.namespace("secrets").await.unwrap();
    let secret = json!({"metadata": {"name": "db"}, "stringData": {"password": "hunter2"}});
    plane.admin().create(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret).await.unwrap();
    let handle = format!("k8s_secret@{namespace}/db/password");
    let ask = async |identity: &Identity| -> Json {
        let pod = Pod::of(identity, &namespace);
        let mut command = pod.command(&["secret-helper", "read", "--with-provider-prefixes"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let request = json!({"version": "1.0", "secrets": [handle]}).to_string();
        child.stdin.take().unwrap().write_all(request.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        serde_json::from_slice::<Json>(&output.stdout).unwrap()[&handle].clone()
    };
    assert_eq!(ask(&plane.admin()).await, json!({"value": "hunter2", "error": null}));
    let refused = ask(&plane.service_account("muster", "muster-cluster").await.unwrap()).await;
    assert!(refused["error"].as_str().unwrap().starts_with("get secrets \"db\" is forbidden"), "{refused}");
}

//! What the service accounts of the manifests may do: all that is needed, and nothing else. Source: cluster-agent-kubernetes 9.1.

use muster::config::settings::{KubernetesSettings, LockKind, WatchPods};
use muster::config::{Config, Role};
use muster::kube::rights::{Need, needed};
use muster_rig::{Identity, until};
use serde_json::json;

use crate::cluster::deployed;

async fn may(who: &Identity, need: &Need, verb: &str) -> bool {
    let spec = if need.is_url() {
        json!({"nonResourceAttributes": {"verb": verb, "path": need.resource}})
    } else {
        json!({"resourceAttributes": {
            "verb": verb, "group": need.group, "resource": need.resource, "namespace": need.namespace, "name": need.name,
        }})
    };
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    let answer = who.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.unwrap();
    answer["status"]["allowed"].as_bool().unwrap()
}

/// Verbs on resources that this somebody may not use, or may.
async fn with_answer(who: &Identity, needs: &[Need], allowed: bool) -> Vec<String> {
    let mut found = Vec::new();
    for need in needs {
        for verb in &need.verbs {
            if may(who, need, verb).await == allowed {
                found.push(format!("{verb}: {need}"));
            }
        }
    }
    found
}

/// Everything of the table: both kinds of lock, Endpoints and slices.
fn everything() -> Vec<Need> {
    let mut settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster));
    settings.election.enabled = true;
    "muster-leader-election".clone_into(&mut settings.election.lock_name);
    settings.watch_pods = WatchPods::Own;
    settings.events.collect = true;
    let mut needs = needed(&settings, "muster");
    settings.election.lock = LockKind::Lease;
    settings.discovery.use_endpoint_slices = true;
    needs.extend(needed(&settings, "muster"));
    needs
}

/// What would be harm, and everything that a stock cluster agent has and ours does not need.
fn too_much() -> Vec<Need> {
    let template = &everything()[0];
    let need = |namespace: Option<&str>, group, resource, name: Option<&str>, verbs: &[&'static str]| Need {
        namespace: namespace.map(str::to_owned),
        group,
        resource,
        name: name.map(str::to_owned),
        verbs: verbs.to_vec(),
        ..template.clone()
    };
    let (own, all, write) = (Some("muster"), None, &["create", "update", "patch", "delete"][..]);
    vec![
        need(own, "", "secrets", None, &["get", "list", "watch", "create", "update", "delete"]),
        need(own, "", "secrets", Some("muster"), &["get"]),
        need(all, "", "secrets", None, &["get", "list", "watch"]),
        need(all, "", "configmaps", None, &["get", "list", "watch", "create"]),
        need(own, "", "configmaps", None, &["get", "list", "watch", "update", "patch", "delete"]),
        need(own, "", "configmaps", Some("somebody-elses"), &["get", "update"]),
        need(own, "", "configmaps", Some("muster-state"), &["patch", "delete"]),
        need(own, "coordination.k8s.io", "leases", Some("somebody-elses"), &["get", "update"]),
        need(own, "coordination.k8s.io", "leases", None, &["list", "watch", "update", "patch", "delete"]),
        need(Some("kube-system"), "coordination.k8s.io", "leases", None, &["get", "update", "create"]),
        need(own, "", "pods", None, write),
        need(own, "", "pods/exec", None, &["create", "get"]),
        need(all, "", "pods", None, &["list", "watch"]),
        need(all, "", "services", None, write),
        need(all, "", "nodes", None, write),
        need(all, "", "nodes/proxy", None, &["get"]),
        need(all, "", "events", None, write),
        need(own, "", "configmaps", Some("datadogtoken"), &["patch", "delete"]),
        need(all, "", "/debug/pprof", None, &["get"]),
        need(all, "", "/logs", None, &["get"]),
        need(all, "rbac.authorization.k8s.io", "clusterroles", None, &["get", "escalate", "bind"]),
        need(own, "", "serviceaccounts/token", None, &["create"]),
        need(all, "admissionregistration.k8s.io", "mutatingwebhookconfigurations", None, &["get", "create"]),
    ]
}

#[tokio::test]
async fn the_cluster_role_may_do_what_it_needs_and_no_more() {
    let plane = deployed().await;
    let account = plane.service_account("muster", "muster-cluster").await.unwrap();
    let needs = everything();
    let mut missing = Vec::new();
    // The authorizer learns of new bindings a moment after they are made.
    let granted = until("everything that is needed is granted", async || {
        missing = with_answer(&account, &needs, false).await;
        missing.is_empty()
    });
    let granted = granted.await.is_ok();
    assert!(granted, "not granted: {missing:#?}");
    assert_eq!(with_answer(&account, &too_much(), true).await, Vec::<String>::new());
}

#[tokio::test]
async fn runners_and_agents_of_nodes_may_do_nothing() {
    let plane = deployed().await;
    for name in ["muster-runner", "muster-node"] {
        let account = plane.service_account("muster", name).await.unwrap();
        assert_eq!(with_answer(&account, &everything(), true).await, Vec::<String>::new(), "{name}");
        assert_eq!(with_answer(&account, &too_much(), true).await, Vec::<String>::new(), "{name}");
    }
}

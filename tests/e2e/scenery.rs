//! What stands in a cluster before anything of ours runs: the manifests, and services with checks in their annotations.

use std::collections::BTreeMap;
use std::path::Path;

use muster_rig::{Identity, PatchKind, environment_of, until};
use serde_json::{Value as Json, json};

use crate::world::{HOME, SHOP, Size, TOKEN, node_name};

pub async fn apply_manifests(admin: &Identity, runners: usize) {
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/overlays/with-runners");
    admin.apply_path(&overlay).await.unwrap();
    let secret = json!({"metadata": {"name": "muster"}, "stringData": {"token": TOKEN, "api-key": "0".repeat(32)}});
    admin.create(&format!("/api/v1/namespaces/{HOME}/secrets"), &secret).await.unwrap();
    let deployments = format!("/apis/apps/v1/namespaces/{HOME}/deployments");
    // Our replicas are processes of the test; runners are pods, each with a model that polls.
    scale(admin, &format!("{deployments}/muster-cluster"), 0).await;
    scale(admin, &format!("{deployments}/muster-runner"), runners).await;
    let nodes_first = json!({"spec": {"template": {"spec": {"affinity": null}}}});
    admin.patch(&format!("{deployments}/muster-runner"), PatchKind::Merge, &nodes_first).await.unwrap();
}

pub async fn scale(admin: &Identity, deployment: &str, replicas: usize) {
    admin.patch(deployment, PatchKind::Merge, &json!({"spec": {"replicas": replicas}})).await.unwrap();
}

/// The environment that the manifest gives a replica, with references resolved as a kubelet does.
pub async fn replica_environment(admin: &Identity, lease_seconds: u64) -> BTreeMap<String, String> {
    let deployment = admin.get(&format!("/apis/apps/v1/namespaces/{HOME}/deployments/muster-cluster")).await.unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mut environment = environment_of(container, HOME, TOKEN).unwrap();
    environment.insert("DD_LEADER_LEASE_DURATION".to_owned(), lease_seconds.to_string());
    // Nobody listens there: what a test does not look at must not leave this machine.
    environment.insert("DD_DD_URL".to_owned(), "http://127.0.0.1:1".to_owned());
    environment
}

pub async fn make_services(admin: &Identity, size: Size) {
    admin.create("/api/v1/namespaces", &json!({"metadata": {"name": SHOP}})).await.unwrap();
    let services = format!("/api/v1/namespaces/{SHOP}/services");
    let pods = format!("/api/v1/namespaces/{SHOP}/pods");
    until("pods may be created", async || admin.get(&format!("/api/v1/namespaces/{SHOP}/serviceaccounts/default")).await.is_ok())
        .await
        .unwrap();
    let nodes: Vec<String> = (0..size.nodes).map(node_name).collect();
    let mut wanted = Vec::new();
    let mut behind = Vec::new();
    for number in 0..size.cluster_checks {
        wanted.push(annotated(&format!("cluster-{number}"), &cluster_check(number)));
    }
    for number in 0..size.endpoint_checks {
        let name = format!("endpoints-{number}");
        wanted.push(annotated(&name, &endpoint_check(number)));
        let spread = [nodes[number % nodes.len()].clone(), nodes[(number + 1) % nodes.len()].clone()];
        behind.extend(muster_rig::pods(&name, &spread, 2));
    }
    for number in 0..size.mistakes {
        wanted.push(annotated(&format!("mistake-{number}"), &mistake(number)));
    }
    admin.create_all(&services, wanted).await.unwrap();
    admin.create_all(&pods, behind).await.unwrap();
}

pub fn annotated(name: &str, annotations: &Json) -> Json {
    json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]},
    })
}

pub fn cluster_check(number: usize) -> Json {
    let instance = json!({"name": format!("check-{number}"), "url": "http://%%host%%:%%port%%/"});
    json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": [instance]}}).to_string()})
}

fn endpoint_check(number: usize) -> Json {
    json!({
        "ad.datadoghq.com/endpoints.check_names": "[\"http_check\"]",
        "ad.datadoghq.com/endpoints.init_configs": "[{}]",
        "ad.datadoghq.com/endpoints.instances":
            json!([{"name": format!("endpoint-{number}"), "url": "http://%%host%%:%%port%%/"}]).to_string(),
    })
}

fn mistake(number: usize) -> Json {
    match number % 4 {
        0 => json!({"ad.datadoghq.com/service.checks": "{\"http_check\": "}),
        1 => json!({"ad.datadoghq.com/service.check_names": "[\"a\"]", "ad.datadoghq.com/service.init_configs": "[{}]"}),
        2 => json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": ["no object"]}}).to_string()}),
        _ => json!({"ad.datadoghq.com/service.checks": json!({"http_check": {"instances": [{"url": "http://%%nope%%/"}]}}).to_string()}),
    }
}

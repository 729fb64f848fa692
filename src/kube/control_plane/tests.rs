//! The control plane against a scripted API server.

use serde_json::json;

use super::*;
use crate::kube::testing::{Reply, Script};

fn plane(script: &Script) -> KubeControlPlane {
    KubeControlPlane::new(script.client(), Handle::current(), Duration::from_secs(10))
}

#[tokio::test]
async fn component_statuses_are_read_with_and_without_their_parts() {
    let list = json!({"kind": "ComponentStatusList", "items": [
        {"metadata": {"name": "etcd-0"}, "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]},
        {"metadata": {"name": "scheduler"}, "conditions": [{"type": "Healthy", "status": "False", "message": "m", "error": "e"}]},
        {"metadata": {}, "conditions": null},
    ]});
    let script = Script::new().on("GET", "/api/v1/componentstatuses", Reply::json(200, &list));
    let found = plane(&script).components().await.unwrap();
    let condition = |status: &str, message: &str, error: &str| ComponentCondition {
        condition_type: "Healthy".to_owned(),
        status: status.to_owned(),
        message: message.to_owned(),
        error: error.to_owned(),
    };
    let component = |name: &str, conditions| ComponentStatus { name: name.to_owned(), conditions };
    let expected = [
        component("etcd-0", vec![condition("True", "ok", "")]),
        component("scheduler", vec![condition("False", "m", "e")]),
        component("", vec![]),
    ];
    assert_eq!(found, expected);
    script.finish();
}

#[tokio::test]
async fn an_api_server_without_component_statuses_is_told_apart() {
    let script = Script::new().on("GET", "componentstatuses", Reply::status(404, "NotFound", "no")).on(
        "GET",
        "componentstatuses",
        Reply::status(403, "Forbidden", "no"),
    );
    let plane = plane(&script);
    assert!(matches!(plane.components().await.unwrap_err(), ClusterReadError::NotFound(_)));
    assert!(matches!(plane.components().await.unwrap_err(), ClusterReadError::Forbidden(_)));
    script.finish();
}

#[tokio::test]
async fn only_200_is_ready_and_a_missing_right_is_no_answer() {
    let script = Script::new()
        .on("GET", "/readyz", Reply::text(200, "ok"))
        .on("GET", "/readyz/etcd", Reply::text(500, "internal server error"))
        .on("GET", "/readyz/etcd", Reply::status(403, "Forbidden", "no"))
        .on("GET", "/readyz", Reply::Broken("refused"));
    let plane = plane(&script);
    assert!(plane.ready("/readyz").await.unwrap());
    assert!(!plane.ready("/readyz/etcd").await.unwrap());
    assert!(matches!(plane.ready("/readyz/etcd").await.unwrap_err(), ClusterReadError::Forbidden(_)));
    assert!(matches!(plane.ready("/readyz").await.unwrap_err(), ClusterReadError::Unavailable(_)));
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_fails_in_time() {
    let script = Script::new().on("GET", "/readyz", Reply::Silence).on("GET", "/apis", Reply::Silence);
    let plane = plane(&script);
    let failed = plane.ready("/readyz").await.unwrap_err();
    assert_eq!(failed, ClusterReadError::Unavailable("get /readyz: no answer within 10 s".to_owned()));
    let failed = plane.api_resources().await.unwrap_err();
    assert_eq!(failed, ClusterReadError::Unavailable("discover API resources: no answer within 10 s".to_owned()));
    script.finish();
}

fn kind(resource: &str, kind: &str) -> serde_json::Value {
    json!({
        "resource": resource, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": "Namespaced", "singularResource": "",
        "verbs": ["get", "list"], "subresources": [{"subresource": "status", "verbs": ["get"]}],
    })
}

#[tokio::test]
async fn each_kind_counts_once_and_subresources_do_not() {
    let group = |name: &str, versions: serde_json::Value| json!({"metadata": {"name": name}, "versions": versions});
    let version = |version: &str, resources: serde_json::Value| json!({"version": version, "resources": resources, "freshness": "Current"});
    let list = |items: serde_json::Value| json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items});
    let apps = group(
        "apps",
        json!([version("v1", json!([kind("deployments", "Deployment")])), version("v1beta1", json!([kind("deployments", "Deployment")]))]),
    );
    let core = group("", json!([version("v1", json!([kind("pods", "Pod"), kind("nodes", "Node")]))]));
    let script =
        Script::new().on("GET", "/apis", Reply::json(200, &list(json!([apps])))).on("GET", "/api", Reply::json(200, &list(json!([core]))));
    let found = plane(&script).api_resources().await.unwrap();
    let resource = |name: &str, kind: &str, group: &str| ApiResource {
        name: name.to_owned(),
        kind: kind.to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
    };
    assert_eq!(found, [resource("nodes", "Node", ""), resource("pods", "Pod", ""), resource("deployments", "Deployment", "apps")]);
    script.finish();
}

#[tokio::test]
async fn an_old_api_server_is_asked_group_by_group() {
    let groups = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
        "name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}], "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
    }]});
    let resources = |version: &str, name: &str, kind: &str| {
        json!({"kind": "APIResourceList", "groupVersion": version, "resources": [
            {"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["list"]},
            {"name": format!("{name}/status"), "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]},
        ]})
    };
    let versions = json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []});
    let script = Script::new()
        .on("GET", "/apis", Reply::json(200, &groups))
        .on("GET", "/api", Reply::json(200, &versions))
        .on("GET", "/apis", Reply::json(200, &groups))
        .on("GET", "/apis/apps/v1", Reply::json(200, &resources("apps/v1", "deployments", "Deployment")))
        .on("GET", "/api", Reply::json(200, &versions))
        .on("GET", "/api/v1", Reply::json(200, &resources("v1", "pods", "Pod")));
    let found = plane(&script).api_resources().await.unwrap();
    let names: Vec<_> = found.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["pods", "deployments"]);
    script.finish();
}

async fn counted(text: &str) -> Vec<(String, f64)> {
    let script = Script::new().on("GET", "/metrics", Reply::text(200, text));
    let found = plane(&script).storage_objects().await.unwrap();
    script.finish();
    found.into_iter().map(|objects| (objects.resource, objects.count)).collect()
}

#[tokio::test]
async fn of_the_counts_of_objects_the_first_name_that_is_there_counts() {
    let old = "# HELP etcd_object_counts x\n# TYPE etcd_object_counts gauge\netcd_object_counts{resource=\"pods\"} 5\n";
    let newer = "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 3\napiserver_resource_objects{group=\"\",resource=\"pods\"} 4\n";
    let first = "apiserver_storage_objects_other 1\napiserver_storage_objects{resource=\"events\"} 1.2e+03\napiserver_storage_objects{resource=\"x\"} -1\n";
    let pairs = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(counted(old).await, pairs(&[("pods", 5.0)]));
    assert_eq!(counted(&[old, newer].concat()).await, pairs(&[("deployments.apps", 3.0), ("pods", 4.0)]));
    assert_eq!(counted(&[old, newer, first].concat()).await, pairs(&[("events", 1200.0)]));
    assert_eq!(counted("process_cpu_seconds_total 1\n").await, []);
}

#[tokio::test]
async fn quotas_of_openshift_are_read_and_what_is_no_openshift_is_not_asked_again() {
    let quota = json!({"items": [{"metadata": {"name": "team-a"}, "status": {
        "total": {"hard": {"cpu": "4", "memory": "2Gi", "pods": "x"}, "used": {"cpu": "500m", "memory": "1Gi"}},
        "namespaces": [{"namespace": "shop", "status": {"hard": {"cpu": "4"}, "used": {"cpu": "250m"}}}],
    }}]});
    let script = Script::new().on("GET", "/apis/quota.openshift.io", Reply::json(200, &json!({"kind": "APIGroup"}))).on(
        "GET",
        "/apis/quota.openshift.io/v1/clusterresourcequotas",
        Reply::json(200, &quota),
    );
    let found = plane(&script).quotas().await.unwrap().unwrap();
    let quota = |namespace: Option<&str>, resource: &str, limit, used| QuotaUse {
        quota: "team-a".to_owned(),
        namespace: namespace.map(str::to_owned),
        resource: resource.to_owned(),
        limit,
        used,
    };
    let gibibyte = 1_073_741_824.0;
    assert_eq!(
        found,
        [quota(None, "cpu", 4.0, 0.5), quota(None, "memory", 2.0 * gibibyte, gibibyte), quota(Some("shop"), "cpu", 4.0, 0.25)]
    );
    script.finish();

    let script = Script::new().on("GET", "/apis/quota.openshift.io", Reply::text(404, "404 page not found\n"));
    let plane = plane(&script);
    assert_eq!(plane.quotas().await, Ok(None));
    assert_eq!(plane.quotas().await, Ok(None));
    script.finish();
}

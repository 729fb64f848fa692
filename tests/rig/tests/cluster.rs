//! The shared control plane: what runs in it, and what its identities may do.

use muster_rig::{ControlPlane, PatchKind, pod, until};
use serde_json::{Value, json};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'example.com/web:1'}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

#[tokio::test]
async fn pods_of_a_deployment_run_and_stand_behind_their_service() {
    let plane = ControlPlane::shared().await.unwrap();
    let admin = plane.admin();
    let namespace = plane.namespace("web").await.unwrap();
    let node = format!("{namespace}-node");
    admin.create("/api/v1/nodes", &json!({"metadata": {"name": node}})).await.unwrap();
    admin.kubectl(&["-n", &namespace, "get", "serviceaccount", "default"]).await.unwrap();
    let objects = DEPLOYMENT.replace("{name: web}\nspec", &format!("{{name: web, namespace: {namespace}}}\nspec"));
    admin.apply_yaml(&objects).await.unwrap();

    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let mut pods = Vec::new();
    until("both pods run", async || {
        pods = admin.get(&path).await.unwrap()["items"].as_array().unwrap().clone();
        pods.len() == 2 && pods.iter().all(|pod| pod["status"]["phase"] == "Running")
    })
    .await
    .unwrap();
    for pod in &pods {
        let container = &pod["status"]["containerStatuses"][0];
        let id = format!("containerd://{}-web", pod["metadata"]["uid"].as_str().unwrap());
        assert_eq!(container["containerID"], *id);
        assert!(pod["status"]["podIP"].as_str().unwrap().starts_with("10.244."));
    }
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    until("the service has both endpoints", async || {
        admin.get(&slices).await.unwrap()["items"][0]["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 2)
    })
    .await
    .unwrap();

    admin.delete(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await.unwrap();
    until("the pods are gone", async || admin.get(&path).await.unwrap()["items"].as_array().unwrap().is_empty()).await.unwrap();
}

#[tokio::test]
async fn jobs_end() {
    let plane = ControlPlane::shared().await.unwrap();
    let admin = plane.admin();
    let namespace = plane.namespace("job").await.unwrap();
    admin.create("/api/v1/nodes", &json!({"metadata": {"name": format!("{namespace}-node")}})).await.unwrap();
    let job = json!({"metadata": {"name": "once"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "example.com/main:1"}],
    }}}});
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    admin.create(&path, &job).await.unwrap();
    until("the job has succeeded", async || admin.get(&format!("{path}/once")).await.unwrap()["status"]["succeeded"] == 1).await.unwrap();
}

#[tokio::test]
async fn an_account_may_do_what_its_role_says_and_no_more() {
    let plane = ControlPlane::shared().await.unwrap();
    let admin = plane.admin();
    let namespace = plane.namespace("rights").await.unwrap();
    let role = json!({"metadata": {"name": "look"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    let binding = json!({
        "metadata": {"name": "look"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    });
    let rights = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    admin.create(&format!("{rights}/roles"), &role).await.unwrap();
    admin.create(&format!("{rights}/rolebindings"), &binding).await.unwrap();

    let account = plane.service_account(&namespace, "default").await.unwrap();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    until("the role is known", async || account.get(&pods).await.is_ok()).await.unwrap();
    let refused = account.create(&pods, &pod("own", None)).await.unwrap_err();
    assert_eq!(refused.status(), Some(403), "{refused}");
    assert!(refused.to_string().contains(account.name()), "{refused}");
    assert_eq!(account.get("/api/v1/nodes").await.unwrap_err().status(), Some(403));
}

#[tokio::test]
async fn what_a_pod_finds_leads_to_the_api_server() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("found").await.unwrap();
    let account = plane.service_account(&namespace, "default").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let found = account.in_cluster(&folder.path().join("account"), &namespace).unwrap();
    let read = |file| std::fs::read_to_string(found.folder.join(file)).unwrap();
    assert_eq!(read("token"), account.token());
    assert_eq!(read("ca.crt"), plane.ca_pem());
    assert_eq!(read("namespace"), namespace);
    let [(_, host), (_, port)] = &found.variables;
    assert_eq!(format!("{host}:{port}"), plane.host_port().to_string());

    let config = folder.path().join("config");
    account.write_kubeconfig(&config).unwrap();
    let who = account.kubectl(&["--kubeconfig", config.to_str().unwrap(), "auth", "whoami", "-o", "json"]).await.unwrap();
    let who: Value = serde_json::from_str(&who).unwrap();
    assert_eq!(who["status"]["userInfo"]["username"], account.name());
}

#[tokio::test]
async fn objects_are_replaced_and_patched() {
    let plane = ControlPlane::shared().await.unwrap();
    let admin = plane.admin();
    let namespace = plane.namespace("objects").await.unwrap();
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let made = admin.create(&maps, &json!({"metadata": {"name": "map"}, "data": {"a": "1"}})).await.unwrap();
    let path = format!("{maps}/map");
    let patched = admin.patch(&path, PatchKind::Merge, &json!({"data": {"b": "2"}})).await.unwrap();
    assert_eq!(patched["data"], json!({"a": "1", "b": "2"}));
    let patched = admin.patch(&path, PatchKind::Json, &json!([{"op": "remove", "path": "/data/a"}])).await.unwrap();
    assert_eq!(patched["data"], json!({"b": "2"}));
    assert_eq!(admin.replace(&path, &made).await.unwrap_err().status(), Some(409));
    admin.replace(&path, &patched).await.unwrap();
    admin.delete(&path).await.unwrap();
    assert_eq!(admin.get(&path).await.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn strict_validation_refuses_unknown_fields() {
    let plane = ControlPlane::shared().await.unwrap();
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: typo, namespace: default}, dada: {}}";
    let refused = plane.admin().apply_yaml(text).await.unwrap_err();
    assert!(refused.to_string().contains("dada"), "{refused}");
}

//! What node agents ask about nodes, namespaces and pods: every replica answers the same, from the objects that are there.

use muster_rig::PatchKind;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::world::{HOME, SHOP, Size, World, text};

const PODS: &str = "/api/v1/namespaces/shop/pods";

impl World {
    /// The answer of every replica that runs, which must be the same.
    async fn answer(&self, path: &str) -> (u16, String) {
        let mut answers = Vec::new();
        for replica in self.replicas.iter().filter(|replica| replica.runs()) {
            answers.push(replica.get(path).await);
        }
        assert!(answers.len() >= 2);
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{path}: {answers:?}");
        answers.remove(0)
    }

    /// Waits until every replica answers 200 with this.
    async fn until_answered(&self, path: &str, wanted: &Json) {
        let mut seen = Vec::new();
        let look = async || {
            seen.clear();
            for replica in self.replicas.iter().filter(|replica| replica.runs()) {
                seen.push(replica.get(path).await);
            }
            seen.iter().all(|(status, body)| *status == 200 && serde_json::from_str::<Json>(body).is_ok_and(|body| body == *wanted))
        };
        let answered = muster_rig::until("every replica answers", look).await;
        assert!(answered.is_ok(), "{path}: {seen:?}, expected {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_tells_what_the_objects_say() {
    let size = Size { nodes: 2, runners: 0, cluster_checks: 0, endpoint_checks: 0, mistakes: 0, replicas: 2, lease_seconds: 6 };
    let world = World::start(size).await;
    let lock = async || world.admin.get(&format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/muster-leader-election")).await;
    world.until("one leads and one follows", async || lock().await.is_ok_and(|lock| lock["spec"]["holderIdentity"] != "")).await;

    nodes(&world).await;
    namespaces(&world).await;
    pods(&world).await;
    cluster_id(&world).await;
    world.assert_rights_suffice();
}

async fn nodes(world: &World) {
    let patch = json!({"metadata": {
        "labels": {"zone": "a"},
        "annotations": {"cluster.k8s.io/machine": "m-1", "other": "x"},
    }});
    world.admin.patch("/api/v1/nodes/node-0", PatchKind::Merge, &patch).await.unwrap();
    let node = world.admin.get("/api/v1/nodes/node-0").await.unwrap();
    assert_eq!(node["metadata"]["labels"]["zone"], "a");
    world.until_answered("/api/v1/tags/node/node-0", &node["metadata"]["labels"]).await;
    world.until_answered("/api/v1/annotations/node/node-0", &json!({"cluster.k8s.io/machine": "m-1"})).await;
    world.until_answered("/api/v1/annotations/node/node-0?filter=other&filter=nope", &json!({"other": "x"})).await;
    world.until_answered("/api/v1/annotations/node/node-0?filter=nope", &json!({})).await;
    world.until_answered("/api/v1/uid/node/node-0", &json!({"uid": node["metadata"]["uid"]})).await;
    let (status, info) = world.answer("/api/v1/info/node/node-0").await;
    let info: Json = serde_json::from_str(&info).unwrap();
    assert_eq!((status, &info["nodeInfo"], &info["capacity"]), (200, &node["status"]["nodeInfo"], &node["status"]["capacity"]));
    let (status, text) = world.answer("/api/v1/tags/node/zz").await;
    assert!(status == 500 && text.contains("zz") && text.contains("not found"), "{status} {text}");

    // Labels that are removed are gone.
    let bare: serde_json::Map<String, Json> =
        node["metadata"]["labels"].as_object().unwrap().keys().map(|key| (key.clone(), Json::Null)).collect();
    world.admin.patch("/api/v1/nodes/node-1", PatchKind::Merge, &json!({"metadata": {"labels": bare}})).await.unwrap();
    let labels = world.admin.get("/api/v1/nodes/node-1").await.unwrap()["metadata"]["labels"].clone();
    world.until_answered("/api/v1/tags/node/node-1", &labels).await;
}

async fn namespaces(world: &World) {
    let patch = json!({"metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}}});
    let namespace = world.admin.patch(&format!("/api/v1/namespaces/{SHOP}"), PatchKind::Merge, &patch).await.unwrap();
    let labels = &namespace["metadata"]["labels"];
    world.until_answered("/api/v1/tags/namespace/shop", labels).await;
    let wanted = json!({"name": "shop", "namespace": "", "annotations": {"x": "y"}, "labels": labels, "uid": namespace["metadata"]["uid"]});
    world.until_answered("/api/v1/metadata/namespace/shop", &wanted).await;
    let (status, text) = world.answer("/api/v1/tags/namespace/zz").await;
    assert!(status == 500 && text.contains("/namespaces//zz"), "{status} {text}");
}

async fn pods(world: &World) {
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    let services = "/api/v1/namespaces/shop/services";
    world.admin.create_all(services, vec![service("web"), service("web-canary")]).await.unwrap();
    let nodes = ["node-0".to_owned(), "node-1".to_owned()];
    world.admin.create_all(PODS, muster_rig::pods("web", &nodes, 2)).await.unwrap();

    let both = json!({"web": {}, "web-canary": {}});
    let of_node = |node: &str, pods: Json| {
        let bundle = if pods == json!({}) { json!({}) } else { json!({"services": {"shop": pods}}) };
        json!({"Nodes": {node: bundle}})
    };
    world.until_answered("/api/v1/tags/pod/node-0", &of_node("node-0", json!({"web-0": both}))).await;
    world.until_answered("/api/v1/tags/pod/node-1", &of_node("node-1", json!({"web-1": both}))).await;
    world.until_answered("/api/v1/tags/pod/node-0/shop/web-0", &json!(["kube_service:web", "kube_service:web-canary"])).await;
    world.until_answered("/api/v1/metadata/node-0/shop/web-0", &json!(["kube_service:web", "kube_service:web-canary"])).await;
    world.until_answered("/api/v1/tags/pod/node-0/shop/none", &Json::Null).await;
    let all = json!({"Nodes": {"node-0": {"services": {"shop": {"web-0": both}}}, "node-1": {"services": {"shop": {"web-1": both}}}}});
    world.until_answered("/api/v1/tags/pod", &all).await;
    let (status, unknown) = world.answer("/api/v1/tags/pod/zz").await;
    let unknown: Json = serde_json::from_str(&unknown).unwrap();
    assert!(status == 200 && unknown["Nodes"].is_null(), "{unknown}");
    assert!(text(&unknown["Warnings"][0]).starts_with("Node zz could not be added to the metadata map bundle: "), "{unknown}");

    for replica in world.replicas.iter().filter(|replica| replica.runs()) {
        let (code, map) = replica.ask(&["metamap", "node-0"]).await;
        let wanted = "Node detected: node-0\n\n  - Namespace: shop\n      - Pod: web-0\n        Services: [web web-canary]\n";
        assert!(code == 0 && map.contains(wanted) && map.contains("Metadata Mapper"), "{map}");
        assert_eq!(replica.ask_json(&["metamap", "--json"]).await, all);
    }

    // A Service that goes takes its name away; a pod that is not ready loses all, and so does one that is gone.
    world.admin.delete("/api/v1/namespaces/shop/services/web-canary").await.unwrap();
    world.until_answered("/api/v1/tags/pod/node-0/shop/web-0", &json!(["kube_service:web"])).await;
    let ready = |word: &str| json!({"status": {"conditions": [{"type": "Ready", "status": word}]}});
    world.admin.patch(&format!("{PODS}/web-0/status"), PatchKind::Strategic, &ready("False")).await.unwrap();
    let changed = Instant::now();
    world.until_answered("/api/v1/tags/pod/node-0", &of_node("node-0", json!({}))).await;
    println!("a pod that is not ready any more: all replicas say so after {:?}", changed.elapsed());
    world.admin.patch(&format!("{PODS}/web-0/status"), PatchKind::Strategic, &ready("True")).await.unwrap();
    world.until_answered("/api/v1/tags/pod/node-0", &of_node("node-0", json!({"web-0": {"web": {}}}))).await;
    world.admin.delete(&format!("{PODS}/web-1")).await.unwrap();
    world.until_answered("/api/v1/tags/pod/node-1", &of_node("node-1", json!({}))).await;
    world.admin.delete("/api/v1/nodes/node-1").await.unwrap();
    world
        .until("a node that is gone is unknown", async || {
            let mut gone = true;
            for replica in world.replicas.iter().filter(|replica| replica.runs()) {
                gone &= replica.get("/api/v1/uid/node/node-1").await.0 == 500;
            }
            gone
        })
        .await;
}

async fn cluster_id(world: &World) {
    let system = world.admin.get("/api/v1/namespaces/kube-system").await.unwrap();
    let id = &system["metadata"]["uid"];
    let map = world.admin.get(&format!("/api/v1/namespaces/{HOME}/configmaps/datadog-cluster-id")).await.unwrap();
    assert_eq!(&map["data"]["id"], id);
    world.until_answered("/api/v1/cluster/id", id).await;
}

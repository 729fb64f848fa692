//! Many objects, and nodes and pods that run without anybody who runs them.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::error::RigError;
use crate::http::PatchKind;
use crate::identity::Identity;

/// Requests under way at once: more do not make an API server on two cores faster.
const AT_ONCE: usize = 16;

/// Any time in the past serves.
const SINCE: &str = "2026-01-01T00:00:00Z";

/// A pod with one container named `main`; bound to `node` when that is given.
pub fn pod(name: &str, node: Option<&str>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}], "terminationGracePeriodSeconds": 0},
    });
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

/// `count` pods named `prefix-0`, `prefix-1`, ... with the label `app: prefix`, spread over `nodes` in turn and bound to
/// them, so that no scheduler is needed. Without nodes they are not bound.
pub fn pods(prefix: &str, nodes: &[String], count: usize) -> Vec<Value> {
    let mut turns = nodes.iter().cycle();
    let mut pods = Vec::with_capacity(count);
    for number in 0..count {
        let mut pod = pod(&format!("{prefix}-{number}"), turns.next().map(String::as_str));
        pod["metadata"]["labels"]["app"] = prefix.into();
        pods.push(pod);
    }
    pods
}

impl Identity {
    /// Creates all `objects` in the collection at `path`, several at once. 10 000 bound pods take about 15 s on a control
    /// plane without kwok.
    pub async fn create_all(&self, path: &str, objects: Vec<Value>) -> Result<(), RigError> {
        let requests = objects.into_iter().map(|object| async move { self.create(path, &object).await.map(drop) });
        stream::iter(requests).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Creates a node that is Ready at once and takes pods without end. With kwok running, creating it is enough.
    pub async fn make_node(&self, name: &str, labels: &[(&str, &str)]) -> Result<(), RigError> {
        let labels: serde_json::Map<String, Value> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        self.create("/api/v1/nodes", &node).await?;
        self.ready_node(name).await
    }

    /// Makes an existing node Ready, as its kubelet would.
    pub async fn ready_node(&self, name: &str) -> Result<(), RigError> {
        let room = json!({"cpu": "32", "memory": "256Gi", "pods": "110000"});
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": SINCE, "lastTransitionTime": SINCE}],
            "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}, {"type": "Hostname", "address": name}],
            "allocatable": room,
            "capacity": room,
        }});
        self.patch(&format!("/api/v1/nodes/{name}/status"), PatchKind::Strategic, &status).await?;
        Ok(())
    }

    /// Makes every pod of `namespace` that is bound and Pending run, as kubelets would: Ready, with address, container and
    /// image ids. Tells how many.
    pub async fn run_pods(&self, namespace: &str) -> Result<usize, RigError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let mut list = self.get(&path).await?;
        let pods = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let waiting =
            pods.into_iter().enumerate().filter(|(_, pod)| pod["spec"]["nodeName"].is_string() && pod["status"]["phase"] == "Pending");
        let path = &path;
        let patches = waiting.map(|(number, pod)| async move {
            let path = format!("{path}/{}/status", pod["metadata"]["name"].as_str().unwrap_or_default());
            self.patch(&path, PatchKind::Merge, &json!({"status": running(&pod, number)})).await
        });
        stream::iter(patches).buffer_unordered(AT_ONCE).try_fold(0, async |count, _| Ok(count + 1)).await
    }
}

/// The status that a kubelet reports for `pod` when it runs; `number` makes its address.
fn running(pod: &Value, number: usize) -> Value {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let address = format!("10.244.{}.{}", number / 250 % 250, number % 250 + 1);
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers.map(|container| running_container(uid, container)).collect();
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let conditions = conditions.map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": SINCE}));
    json!({
        "phase": "Running",
        "startTime": SINCE,
        "hostIP": "10.1.0.1",
        "hostIPs": [{"ip": "10.1.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "containerStatuses": containers,
    })
}

fn running_container(uid: &str, container: &Value) -> Value {
    let name = container["name"].as_str().unwrap_or_default();
    let image = container["image"].as_str().unwrap_or_default();
    json!({
        "name": name,
        "image": image,
        "imageID": format!("{image}@sha256:{:064}", 0),
        "containerID": format!("containerd://{uid}-{name}"),
        "ready": true,
        "started": true,
        "restartCount": 0,
        "state": {"running": {"startedAt": SINCE}},
    })
}

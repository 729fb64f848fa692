//! Pods.

use muster_actors::domain::kube::objects::{Kind, KubeObject, KubePod, ObjectKey};
use serde::Deserialize;

use super::form::Form;
use super::head::{Condition, Dropped, Head, or_empty, ready};
use super::interner::Interner;

/// A pod without its annotations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodForm {
    metadata: Head<Dropped>,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: Box<str>,
    #[serde(rename = "podIP")]
    pod_ip: Box<str>,
    #[serde(deserialize_with = "or_empty")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_empty")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "containerID")]
    container_id: Box<str>,
}

impl Form for PodForm {
    const KIND: Kind = Kind::Pods;
    const NAME: &'static str = "Pod";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        let ids = self.status.container_statuses.iter().map(|container| &*container.container_id);
        let containers = ids.filter(|id| !id.is_empty()).map(|id| id.split_once("://").map_or(id, |(_, id)| id).into()).collect();
        let pod = KubePod {
            node: interner.share(&self.spec.node_name),
            phase: interner.share(&self.status.phase),
            ip: self.status.pod_ip.into(),
            ready: ready(&self.status.conditions).unwrap_or(false),
            owner: self.metadata.controller(interner),
            containers,
            meta: self.metadata.into_meta(interner),
        };
        KubeObject::Pod(pod.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::form::tests::decoded;
    use super::*;

    fn pod(object: &serde_json::Value) -> KubePod {
        let KubeObject::Pod(pod) = decoded::<PodForm>(object) else { panic!("a pod") };
        (*pod).clone()
    }

    #[test]
    fn a_pod_keeps_what_rules_read() {
        let found = pod(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u1", "resourceVersion": "17", "generateName": "web-",
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web", "tier": "front"},
                "annotations": {"large": "text"}, "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u0"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u2", "controller": true},
                ],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "hostIPC": false},
            "status": {
                "phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}],
                "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True", "lastProbeTime": null}],
                "containerStatuses": [{"name": "c", "containerID": "containerd://abc"}, {"name": "d"}, {"containerID": "plain"}],
            },
        }));
        assert_eq!((&*found.meta.key.namespace, &*found.meta.key.name, &*found.meta.uid), ("shop", "web-1", "u1"));
        assert_eq!((&*found.node, &*found.phase, &*found.ip, found.ready), ("n1", "Running", "10.0.0.9", true));
        assert_eq!(found.containers, ["abc".into(), "plain".into()]);
        let owner = found.owner.unwrap();
        assert_eq!((&*owner.kind, &*owner.name, &*owner.uid), ("ReplicaSet", "web", "u2"));
        assert_eq!(found.meta.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(), ["app=web", "tier=front"]);
        assert!(found.meta.annotations.is_empty());
        assert!(!found.meta.terminating);
    }

    #[test]
    fn a_pod_that_was_just_created_or_is_on_its_way_out_has_gaps() {
        let new = pod(&json!({"metadata": {"name": "p", "namespace": "n", "labels": null}, "spec": {}, "status": {"phase": "Pending"}}));
        assert_eq!((&*new.node, &*new.ip, new.ready, new.containers.len()), ("", "", false, 0));
        let old = pod(&json!({
            "metadata": {"name": "p", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": null},
        }));
        assert!(old.meta.terminating);
        assert!(!old.ready);
    }
}

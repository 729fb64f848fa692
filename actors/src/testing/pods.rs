//! Builders of pods and Kubernetes nodes.

use std::sync::Arc;

use crate::domain::kube::objects::{KubeNode, KubeObject, KubePod, Meta, ObjectKey, Owner, Texts};

/// Namespace of the pods that these builders make.
pub const NAMESPACE: &str = "monitoring";

/// A pod that runs and is ready; its uid is its name with `-uid` behind it.
#[must_use]
pub fn pod(name: &str) -> KubePod {
    KubePod {
        meta: meta(NAMESPACE, name),
        node: "node-1".into(),
        phase: "Running".into(),
        ip: "10.0.0.1".into(),
        ready: true,
        owner: None,
        containers: Vec::new(),
    }
}

/// A pod of a `ReplicaSet` of the Deployment `deployment`, made from the template with this hash.
#[must_use]
pub fn deployed(deployment: &str, template_hash: &str, name: &str) -> KubePod {
    let mut pod = pod(name);
    pod.meta.labels.insert("pod-template-hash".into(), template_hash.into());
    controlled(pod, "ReplicaSet", &format!("{deployment}-{template_hash}"))
}

/// The same pod with a controller.
#[must_use]
pub fn controlled(pod: KubePod, kind: &str, name: &str) -> KubePod {
    let owner = Owner { kind: kind.into(), name: name.into(), uid: format!("{name}-uid").into() };
    KubePod { owner: Some(owner), ..pod }
}

/// The same pod, being deleted.
#[must_use]
pub fn terminating(mut pod: KubePod) -> KubePod {
    pod.meta.terminating = true;
    pod
}

/// A Kubernetes node that is ready.
#[must_use]
pub fn kubernetes_node(name: &str) -> KubeNode {
    KubeNode { meta: meta("", name), ready: true, status: "{}".into() }
}

/// The pod as an informer tells it.
#[must_use]
pub fn observed(pod: &KubePod) -> KubeObject {
    KubeObject::Pod(Arc::new(pod.clone()))
}

fn meta(namespace: &str, name: &str) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: format!("{name}-uid").into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: Texts::new(),
        terminating: false,
    }
}

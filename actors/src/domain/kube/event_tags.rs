//! Tags, alert type and name of what an event is about. Source: cluster-agent-kubernetes 3.5.

use super::event::{InvolvedObject, KubeEvent};
use super::event_hosts::EventHost;

/// Tag of a kind, if the kind has one.
fn kind_tag(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Pod" => "pod_name",
        "Deployment" => "kube_deployment",
        "ReplicaSet" => "kube_replica_set",
        "ReplicationController" => "kube_replication_controller",
        "StatefulSet" => "kube_stateful_set",
        "DaemonSet" => "kube_daemon_set",
        "Job" => "kube_job",
        "CronJob" => "kube_cronjob",
        "Service" => "kube_service",
        "Namespace" => "kube_namespace",
        _ => return None,
    })
}

/// Tags of the object that an event is about, in the order of stock.
#[must_use]
pub fn object_tags(object: &InvolvedObject) -> Vec<String> {
    let InvolvedObject { kind, namespace, name, .. } = object;
    let mut tags =
        vec![format!("kube_kind:{kind}"), format!("kube_name:{name}"), format!("kubernetes_kind:{kind}"), format!("name:{name}")];
    if !namespace.is_empty() {
        tags.extend([format!("kube_namespace:{namespace}"), format!("namespace:{namespace}")]);
    }
    tags.extend(kind_tag(kind).map(|tag| format!("{tag}:{name}")));
    tags
}

/// Tags of whoever reported an event.
#[must_use]
pub fn reporter_tags(event: &KubeEvent) -> [String; 3] {
    [
        format!("source_component:{}", event.component),
        "orchestrator:kubernetes".to_owned(),
        format!("reporting_controller:{}", event.controller),
    ]
}

/// Tag of the provider id, if it is known.
#[must_use]
pub fn provider_tag(host: &EventHost) -> Option<String> {
    (!host.provider_id.is_empty()).then(|| format!("host_provider_id:{}", host.provider_id))
}

/// `<Kind> <namespace>/<name>`, without the namespace for objects that have none.
#[must_use]
pub fn readable_key(object: &InvolvedObject) -> String {
    let InvolvedObject { kind, namespace, name, .. } = object;
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// Alert type of an event type.
#[must_use]
pub fn alert_type(event_type: &str) -> &'static str {
    if event_type == "Warning" { "warning" } else { "info" }
}

/// Key by which events about one object belong together.
#[must_use]
pub fn aggregation_key(object: &InvolvedObject) -> String {
    format!("kubernetes_apiserver:{}", object.uid)
}

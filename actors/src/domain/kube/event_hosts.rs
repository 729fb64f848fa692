//! The host of an event. Source: cluster-agent-kubernetes 3.5, "Host of an event".

use std::collections::{BTreeMap, BTreeSet};

use super::event::KubeEvent;

/// What events do not say themselves about hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Kubernetes node by namespace and name of a pod; empty if it has none or is gone.
    pub nodes_of_pods: BTreeMap<(String, String), String>,
    /// `spec.providerID` by Kubernetes node; empty if it has none.
    pub provider_ids: BTreeMap<String, String>,
}

/// Where an event happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventHost {
    /// Host for the intake; empty if the event is about no host, or nobody knows which.
    pub name: String,
    /// Last piece of the provider id of the Kubernetes node; empty if unknown.
    pub provider_id: String,
}

/// Namespace and name of the pods whose Kubernetes node has to be asked for.
#[must_use]
pub fn pods_to_ask(events: &[KubeEvent]) -> BTreeSet<(String, String)> {
    let unknown = events.iter().filter(|event| event.involved.kind == "Pod" && event.host.is_empty() && !event.involved.name.is_empty());
    unknown.map(|event| (event.involved.namespace.clone(), event.involved.name.clone())).collect()
}

/// The Kubernetes nodes whose provider id has to be asked for. `facts` has the nodes of [`pods_to_ask`].
#[must_use]
pub fn nodes_to_ask(events: &[KubeEvent], facts: &ObjectFacts) -> BTreeSet<String> {
    let nodes = events.iter().map(|event| node(event, facts));
    nodes.filter(|node| !node.is_empty() && !facts.provider_ids.contains_key(*node)).map(str::to_owned).collect()
}

/// Where an event happened.
#[must_use]
pub fn host(event: &KubeEvent, cluster_name: &str, facts: &ObjectFacts) -> EventHost {
    let node = node(event, facts);
    if node.is_empty() {
        return EventHost::default();
    }
    let provider_id = facts.provider_ids.get(node).and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    EventHost { name: host_of_node(node, cluster_name), provider_id: provider_id.to_owned() }
}

/// The host that a Kubernetes node is known as: with the name of the cluster, if that is known.
#[must_use]
pub fn host_of_node(node: &str, cluster_name: &str) -> String {
    if cluster_name.is_empty() { node.to_owned() } else { format!("{node}-{cluster_name}") }
}

/// The Kubernetes node; empty if the event is about none, or nobody knows which.
fn node<'a>(event: &'a KubeEvent, facts: &'a ObjectFacts) -> &'a str {
    match event.involved.kind.as_str() {
        "Node" => &event.involved.name,
        "Pod" if event.host.is_empty() => {
            let pod = (event.involved.namespace.clone(), event.involved.name.clone());
            facts.nodes_of_pods.get(&pod).map_or("", String::as_str)
        }
        "Pod" => &event.host,
        _ => "",
    }
}

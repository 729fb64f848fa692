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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::kube::event::InvolvedObject;

    fn about(kind: &str, namespace: &str, name: &str, source_host: &str) -> KubeEvent {
        let (kind, namespace, name) = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let involved = InvolvedObject { kind, namespace, name, uid: String::new() };
        KubeEvent { involved, host: source_host.to_owned(), ..KubeEvent::default() }
    }

    fn facts() -> ObjectFacts {
        ObjectFacts {
            nodes_of_pods: [(("default".to_owned(), "web-1".to_owned()), "node-b".to_owned())].into(),
            provider_ids: [("n9".to_owned(), "aws:///us-east-1e/i-0abc".to_owned())].into(),
        }
    }

    fn name(event: &KubeEvent, cluster_name: &str) -> String {
        host(event, cluster_name, &facts()).name
    }

    #[test]
    fn ca_e7_an_event_on_a_node_has_that_node_as_its_host() {
        assert_eq!(name(&about("Node", "", "n9", ""), ""), "n9");
        assert_eq!(name(&about("Node", "", "n9", ""), "prod"), "n9-prod");
    }

    #[test]
    fn ca_e8_an_event_on_another_kind_has_no_host() {
        assert_eq!(host(&about("Deployment", "default", "web", "node-a"), "prod", &facts()), EventHost::default());
    }

    #[test]
    fn ca_e9_the_last_piece_of_the_provider_id_counts() {
        assert_eq!(host(&about("Node", "", "n9", ""), "", &facts()).provider_id, "i-0abc");
        assert_eq!(host(&about("Node", "", "n8", ""), "", &facts()).provider_id, "");
    }

    #[test]
    fn a_pod_is_on_the_host_that_the_event_tells_else_on_its_node() {
        assert_eq!(name(&about("Pod", "default", "web-1", "node-a"), ""), "node-a");
        assert_eq!(name(&about("Pod", "default", "web-1", ""), "prod"), "node-b-prod");
        assert_eq!(name(&about("Pod", "other", "web-1", ""), "prod"), "");
    }

    #[test]
    fn only_what_is_not_known_is_asked_for() {
        let events = [
            about("Pod", "default", "web-1", ""),
            about("Pod", "default", "web-1", ""),
            about("Pod", "default", "web-2", "node-a"),
            about("Node", "", "n9", ""),
            about("Deployment", "default", "web", ""),
        ];
        assert_eq!(pods_to_ask(&events), [("default".to_owned(), "web-1".to_owned())].into());
        assert_eq!(nodes_to_ask(&events, &facts()), ["node-a".to_owned(), "node-b".to_owned()].into());
    }
}

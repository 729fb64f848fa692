//! What only the API server knows of a cluster, asked for once at the start. Source: cluster-agent-kubernetes 5.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::kube::cluster_name::{cluster_name, cluster_name_labels};
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::rng::Random;
use tracing::{info, warn};

use super::client::wait_for_api_server;
use super::cluster_id::{ClusterIdError, ClusterIdSource};
use super::error::ObjectError;
use crate::errors;

/// Pause before a fact is asked for again.
const FACT_RETRY: Duration = Duration::from_secs(2);

/// Refusals after which a right is taken for missing.
///
/// Why: an API server that has just started refuses everything for some seconds, until it has read who may do what.
const FINAL_REFUSALS: u32 = 6;

/// What is known as soon as the API server answers.
#[derive(Clone, Debug, Default)]
pub struct ClusterFacts {
    /// Its version, if it tells.
    pub version: Option<ServerVersion>,
    /// The id of the cluster, if there is a way to know it.
    pub id: Option<String>,
    /// The name of the cluster; empty if nobody told it.
    pub name: String,
    /// The Kubernetes node of the own pod; empty if this is no pod, or nobody may know.
    pub node: String,
}

/// Who asks for facts, and what is known before.
pub struct FactAsker<'a> {
    /// The way to the API server.
    pub client: &'a Client,
    /// For the pauses.
    pub random: &'a Arc<dyn Random>,
    /// Namespace of the own pod.
    pub namespace: &'a str,
    /// Name of the own pod.
    pub pod: &'a str,
    /// Name of the cluster as configured; empty if it is not.
    pub cluster_name: &'a str,
    /// Node label that names the cluster.
    pub cluster_name_label: Option<&'a str>,
}

/// Counts refusals.
#[derive(Default)]
struct Refusals(u32);

impl Refusals {
    /// One more: whether asking again is pointless.
    fn are_final(&mut self) -> bool {
        self.0 += 1;
        self.0 >= FINAL_REFUSALS
    }
}

impl FactAsker<'_> {
    /// Waits until the API server answers, for ever; then asks. `published` takes the id of the cluster.
    pub async fn ask(&self, published: &Publisher<ClusterId>) -> ClusterFacts {
        let version = wait_for_api_server(self.client, self.random).await;
        let id = self.cluster_id(published).await;
        let name = name_of_cluster(self.client, self.cluster_name, self.cluster_name_label).await;
        ClusterFacts { version, id, name, node: self.own_node().await }
    }

    /// Every replica must come to the same answer, because it becomes a tag: so a server that does not answer is asked again.
    async fn cluster_id(&self, published: &Publisher<ClusterId>) -> Option<String> {
        let source = ClusterIdSource::new(self.client.clone(), self.namespace);
        let mut refusals = Refusals::default();
        loop {
            match source.get().await {
                Ok(id) => {
                    published.publish(ClusterId::Known(Arc::from(id.as_str())));
                    return Some(id);
                }
                Err(error) => {
                    let text = errors::chain(&error);
                    warn!(error = text, "the id of the cluster is not known");
                    published.publish(ClusterId::Failed(Arc::from(text)));
                    if !may_pass(&error) && refusals.are_final() {
                        return None;
                    }
                }
            }
            tokio::time::sleep(FACT_RETRY).await;
        }
    }

    /// The node of the own pod, which names this host. Source: cluster-agent-kubernetes 5.3.
    async fn own_node(&self) -> String {
        let pods = Api::<Pod>::namespaced(self.client.clone(), self.namespace);
        let mut refusals = Refusals::default();
        loop {
            let error = match pods.get(self.pod).await {
                Ok(pod) => return pod.spec.and_then(|spec| spec.node_name).unwrap_or_default(),
                Err(error) => ObjectError::classify("get", "pods", self.pod, &error),
            };
            let is_final = error == ObjectError::NotFound || !matches!(error, ObjectError::Unavailable(_)) && refusals.are_final();
            info!(error = errors::chain(&error), pod = self.pod, "the own pod does not tell its node, which would name this host");
            if is_final {
                return String::new();
            }
            tokio::time::sleep(FACT_RETRY).await;
        }
    }
}

/// The name of the cluster: as configured, else as labels of nodes tell it; empty if nobody does. Source: cluster-agent-kubernetes 5.2, step 3.
///
/// Of all nodes the first one that has the label counts, and not the own one: it becomes a tag, so every process must come to the same
/// answer, also where only some nodes have the label.
pub async fn name_of_cluster(client: &Client, configured: &str, label: Option<&str>) -> String {
    let nodes = Api::<Node>::all(client.clone());
    let mut labels = BTreeMap::new();
    let mut refusals = Refusals::default();
    for label in cluster_name_labels(label) {
        loop {
            match nodes.list(&ListParams::default().labels(label).limit(1)).await {
                Ok(found) => {
                    let value = found.items.into_iter().next().and_then(|node| node.metadata.labels?.remove(label));
                    labels.extend(value.map(|value| (Arc::from(label), Arc::from(value))));
                    break;
                }
                Err(error) => {
                    let error = ObjectError::classify("list", "nodes", None, &error);
                    info!(error = errors::chain(&error), label, "labels of nodes do not tell the name of the cluster");
                    if !matches!(error, ObjectError::Unavailable(_)) && refusals.are_final() {
                        break;
                    }
                }
            }
            tokio::time::sleep(FACT_RETRY).await;
        }
    }
    let name = cluster_name(configured, &labels, label);
    if name.is_empty() {
        warn!("Failed to auto-detect a Kubernetes cluster name. We recommend you set it manually via the cluster_name config option");
    }
    name
}

/// Whether asking again may help.
fn may_pass(error: &ClusterIdError) -> bool {
    let source = match error {
        ClusterIdError::ConfigMap { source, .. } | ClusterIdError::Namespace(source) => source,
        ClusterIdError::Malformed(_) => return false,
    };
    matches!(source, ObjectError::Unavailable(_) | ObjectError::Conflict)
}

#[cfg(test)]
mod tests {
    use muster_actors::kernel::rng::SeededRandom;
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::testing::{Reply, Script};

    const ID: &str = "0123456789-0123456789-0123456789-abc";

    fn beginning() -> Script {
        let id = json!({"metadata": {"name": "datadog-cluster-id"}, "data": {"id": ID}});
        Script::new().on("GET", "/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.1"}))).on(
            "GET",
            "datadog-cluster-id",
            Reply::json(200, &id),
        )
    }

    fn nodes(items: &Value) -> Reply {
        Reply::json(200, &json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    async fn facts(script: &Script) -> ClusterFacts {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let client = script.client();
        let asker =
            FactAsker { client: &client, random: &random, namespace: "ns", pod: "dca-0", cluster_name: "", cluster_name_label: None };
        asker.ask(&Publisher::new(ClusterId::default())).await
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_asked_for_and_what_does_not_answer_is_asked_again() {
        let label = "alpha.eksctl.io/cluster-name";
        let named = json!([{"metadata": {"name": "n", "labels": {label: "Prod"}}}]);
        let script = beginning().on("GET", "/api/v1/nodes", Reply::Broken("reset")).on("GET", "/api/v1/nodes", nodes(&named));
        let script = (1..cluster_name_labels(None).count()).fold(script, |script, _| script.on("GET", "/api/v1/nodes", nodes(&json!([]))));
        let script = script.on("GET", "/pods/dca-0", Reply::Broken("reset")).on(
            "GET",
            "/api/v1/namespaces/ns/pods/dca-0",
            Reply::json(200, &json!({"spec": {"nodeName": "node-a", "containers": []}})),
        );
        let facts = facts(&script).await;
        assert_eq!((facts.id.as_deref(), facts.name.as_str(), facts.node.as_str()), (Some(ID), "prod", "node-a"));
        script.finish();
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_no_pod_or_may_not_know_has_no_node() {
        let without_names =
            || (0..cluster_name_labels(None).count()).fold(beginning(), |script, _| script.on("GET", "/nodes", nodes(&json!([]))));
        let script = without_names().on("GET", "/pods/dca-0", Reply::status(404, "NotFound", "no"));
        assert_eq!(facts(&script).await.node, "");
        script.finish();
        let refused = |script: Script, _| script.on("GET", "/pods/dca-0", Reply::status(403, "Forbidden", "no"));
        let script = (0..FINAL_REFUSALS).fold(without_names(), refused);
        assert_eq!(facts(&script).await.node, "");
        script.finish();
    }
}

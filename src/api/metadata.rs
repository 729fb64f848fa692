//! Routes about nodes, pods and namespaces, answered on every replica from the published view.
//!
//! Source: cluster-agent-kubernetes 1.5 and 1.6. The rule behind every 503: an agent that gets an empty 200 drops its tags, one that gets
//! a 5xx keeps what it had.

use std::collections::{BTreeMap, BTreeSet};

use actix_http::StatusCode;
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::kube::objects::{KubeNamespace, KubeNode, Texts};
use muster_actors::domain::metadata_view::{Bundle, MetadataView, Supply, unknown_node_warning};
use muster_actors::kernel::published::Reader;
use serde::Serialize;

use crate::api::go_write;
use crate::api::reply::{self, Reply};

/// A route of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataRoute<'a> {
    /// `/api/v1/tags/node/{node}`
    NodeLabels(&'a str),
    /// `/api/v1/annotations/node/{node}`
    NodeAnnotations(&'a str),
    /// `/api/v1/uid/node/{node}`
    NodeUid(&'a str),
    /// `/api/v1/info/node/{node}`
    NodeInfo(&'a str),
    /// `/api/v1/tags/namespace/{namespace}`
    NamespaceLabels(&'a str),
    /// `/api/v1/metadata/namespace/{namespace}`
    NamespaceMetadata(&'a str),
    /// `/api/v1/tags/pod/{node}/{namespace}/{pod}`, and below `/api/v1/metadata` for agents before 6.5
    PodTags {
        /// Kubernetes node.
        node: &'a str,
        /// Namespace.
        namespace: &'a str,
        /// Pod.
        pod: &'a str,
    },
    /// `/api/v1/metadata/{node}/{container id}`
    ContainerTags {
        /// Kubernetes node.
        node: &'a str,
        /// Id without the runtime's prefix.
        container: &'a str,
    },
    /// `/api/v1/tags/pod/{node}`
    NodeServices(&'a str),
    /// `/api/v1/tags/pod`
    AllServices,
    /// `/api/v1/cluster/id`
    ClusterId,
}

impl<'a> MetadataRoute<'a> {
    /// Looks a path up.
    pub fn find(segments: &[&'a str]) -> Option<Self> {
        let ["api", "v1", rest @ ..] = segments else { return None };
        Some(match rest {
            ["tags", "node", node] => Self::NodeLabels(node),
            ["annotations", "node", node] => Self::NodeAnnotations(node),
            ["uid", "node", node] => Self::NodeUid(node),
            ["info", "node", node] => Self::NodeInfo(node),
            ["tags", "namespace", namespace] => Self::NamespaceLabels(namespace),
            ["metadata", "namespace", namespace] => Self::NamespaceMetadata(namespace),
            ["tags", "pod", node, namespace, pod] | ["metadata", node, namespace, pod] => Self::PodTags { node, namespace, pod },
            ["metadata", node, container] if is_container_id(container) => Self::ContainerTags { node, container },
            ["tags", "pod", node] => Self::NodeServices(node),
            ["tags", "pod"] => Self::AllServices,
            ["cluster", "id"] => Self::ClusterId,
            _ => return None,
        })
    }

    /// Label in request telemetry.
    pub fn handler(self) -> &'static str {
        match self {
            Self::NodeLabels(_) => "getNodeLabels",
            Self::NodeAnnotations(_) => "getNodeAnnotations",
            Self::NodeUid(_) => "getNodeUID",
            Self::NodeInfo(_) => "getNodeInfo",
            Self::NamespaceLabels(_) => "getNamespaceLabels",
            Self::NamespaceMetadata(_) => "getNamespaceMetadata",
            Self::PodTags { .. } | Self::ContainerTags { .. } => "getPodMetadata",
            Self::NodeServices(_) => "getPodMetadataForNode",
            Self::AllServices => "getAllMetadata",
            Self::ClusterId => "getClusterID",
        }
    }
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// What these routes answer from.
#[derive(Debug, Clone)]
pub struct MetadataRoutes {
    /// Nodes, pods and namespaces.
    pub view: Reader<MetadataView>,
    /// The id of the cluster.
    pub cluster_id: Reader<ClusterId>,
    /// Annotations of a node that are served when a request names none (`kubernetes_node_annotations_as_host_aliases`).
    pub host_alias_annotations: Vec<String>,
}

impl MetadataRoutes {
    /// Answers a route; `query` without the question mark.
    pub fn answer(&self, route: MetadataRoute<'_>, query: Option<&str>) -> Reply {
        let view = self.view.peek();
        if !is_known(&view, route) {
            return reply::startup_in_progress();
        }
        match route {
            MetadataRoute::NodeLabels(name) => of_node(&view, name, |node| json(&labels(&node.meta.labels))),
            MetadataRoute::NodeAnnotations(name) => of_node(&view, name, |node| {
                let wanted = filters(query).unwrap_or_else(|| self.host_alias_annotations.iter().cloned().collect());
                let kept = node.meta.annotations.iter().filter(|(key, _)| wanted.contains(&***key));
                json(&kept.collect::<BTreeMap<_, _>>())
            }),
            MetadataRoute::NodeUid(name) => of_node(&view, name, |node| json(&BTreeMap::from([("uid", &node.meta.uid)]))),
            MetadataRoute::NodeInfo(name) => of_node(&view, name, |node| reply::json(go_write::escape(node.status.as_bytes()))),
            MetadataRoute::NamespaceLabels(name) => of_namespace(&view, name, |namespace| json(&labels(&namespace.meta.labels))),
            MetadataRoute::NamespaceMetadata(name) => of_namespace(&view, name, |namespace| json(&NamespaceBody::of(namespace))),
            MetadataRoute::PodTags { node, namespace, pod } => pod_tags(&view, node, namespace, pod),
            MetadataRoute::ContainerTags { node, container } => match view.pod_of_container(node, container) {
                Some(pod) => pod_tags(&view, node, &pod.namespace, &pod.name),
                None => json(&None::<()>),
            },
            MetadataRoute::NodeServices(node) => json(&node_services(&view, node)),
            MetadataRoute::AllServices => json(&ServicesBody { nodes: view.bundles().map(with_body).collect(), warnings: Vec::new() }),
            MetadataRoute::ClusterId => cluster_id(&self.cluster_id.peek()),
        }
    }
}

/// Whether the informers behind a route finished their initial listing. A kind that is not watched is known to be empty.
fn is_known(view: &MetadataView, route: MetadataRoute<'_>) -> bool {
    let supplies = view.supplies;
    let listed = |needed: &[Supply]| needed.iter().all(|supply| *supply != Supply::Listing);
    match route {
        MetadataRoute::NodeLabels(_) | MetadataRoute::NodeAnnotations(_) | MetadataRoute::NodeUid(_) | MetadataRoute::NodeInfo(_) => {
            listed(&[supplies.nodes])
        }
        MetadataRoute::NamespaceLabels(_) | MetadataRoute::NamespaceMetadata(_) => listed(&[supplies.namespaces]),
        MetadataRoute::PodTags { .. } => listed(&[supplies.endpoints]),
        MetadataRoute::ContainerTags { .. } => listed(&[supplies.endpoints, supplies.pods]),
        MetadataRoute::NodeServices(_) | MetadataRoute::AllServices => listed(&[supplies.endpoints, supplies.nodes]),
        MetadataRoute::ClusterId => true,
    }
}

/// Values of the query's `filter`, each one key; `None` without any.
fn filters(query: Option<&str>) -> Option<BTreeSet<String>> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    let found: BTreeSet<String> = pairs.filter(|(key, _)| key == "filter").map(|(_, value)| value.trim().to_owned()).collect();
    (!found.is_empty()).then_some(found)
}

fn of_node(view: &MetadataView, name: &str, body: impl FnOnce(&KubeNode) -> Reply) -> Reply {
    view.node(name).map_or_else(|| not_found("nodes", name), body)
}

fn of_namespace(view: &MetadataView, name: &str, body: impl FnOnce(&KubeNamespace) -> Reply) -> Reply {
    view.namespace(name).map_or_else(|| not_found("namespaces", name), body)
}

/// 500, as stock servers say it: clients only compare with 200.
fn not_found(resource: &str, name: &str) -> Reply {
    let entity = format!("/{resource}//{name}");
    reply::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{entity:?} not found"))
}

fn cluster_id(id: &ClusterId) -> Reply {
    match id {
        ClusterId::Unknown => reply::startup_in_progress(),
        ClusterId::Known(id) => json(id),
        ClusterId::Failed(why) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

fn pod_tags(view: &MetadataView, node: &str, namespace: &str, pod: &str) -> Reply {
    let services = view.services_of(node, namespace, pod);
    json(&services.map(|services| services.names().map(|name| format!("kube_service:{name}")).collect::<Vec<_>>()))
}

fn node_services<'a>(view: &'a MetadataView, node: &'a str) -> ServicesBody<'a> {
    // Without endpoints nobody maps, and a node without services would be a claim.
    let bundle = view.bundle(node).filter(|_| view.supplies.endpoints == Supply::Synced);
    match bundle {
        Some(bundle) => ServicesBody { nodes: BTreeMap::from([with_body((node, bundle))]), warnings: Vec::new() },
        None => ServicesBody { nodes: BTreeMap::new(), warnings: vec![unknown_node_warning(node)] },
    }
}

/// The metadata response. Its third key, `Errors`, is never needed: what would be said there is a 503.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServicesBody<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    nodes: BTreeMap<&'a str, BundleBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct BundleBody<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: &'a Bundle,
}

fn with_body<'a>((node, services): (&'a str, &'a Bundle)) -> (&'a str, BundleBody<'a>) {
    (node, BundleBody { services })
}

/// A stock server has capital keys and no uid; stock readers ignore case.
#[derive(Serialize)]
struct NamespaceBody<'a> {
    name: &'a str,
    namespace: &'static str,
    annotations: Option<&'a Texts>,
    labels: Option<&'a Texts>,
    uid: &'a str,
}

impl<'a> NamespaceBody<'a> {
    fn of(KubeNamespace { meta }: &'a KubeNamespace) -> Self {
        let (annotations, labels) = (labels(&meta.annotations), labels(&meta.labels));
        Self { name: &meta.key.name, namespace: "", annotations, labels, uid: &meta.uid }
    }
}

/// A Go map without entries that was never made: `null`.
fn labels(texts: &Texts) -> Option<&Texts> {
    Some(texts).filter(|texts| !texts.is_empty())
}

fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => reply::json(go_write::escape(&body)),
        Err(error) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_from_a_namespace_and_from_nothing() {
        let id = "0a".repeat(32);
        let find = |rest: &[&'static str], last: &'static str| {
            let segments: Vec<&str> = ["api", "v1"].iter().chain(rest).copied().chain([last]).collect();
            MetadataRoute::find(&segments)
        };
        let id: &'static str = id.leak();
        assert_eq!(find(&["metadata", "n1"], id), Some(MetadataRoute::ContainerTags { node: "n1", container: id }));
        assert_eq!(find(&["metadata", "namespace"], id), Some(MetadataRoute::NamespaceMetadata(id)));
        assert_eq!(find(&["metadata", "n1"], "default"), None);
        assert_eq!(find(&["metadata", "n1"], "A".repeat(64).leak()), None);
    }

    #[test]
    fn filters_are_whole_keys_without_blanks_around_them() {
        let of = |query| filters(query).map(|found| found.into_iter().collect::<Vec<_>>());
        assert_eq!(of(Some("filter=+a/b%20&x=1&filter=c,d")), Some(vec!["a/b".to_owned(), "c,d".to_owned()]));
        assert_eq!(of(Some("x=1")), None);
        assert_eq!(of(None), None);
    }
}

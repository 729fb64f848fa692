//! What is known about Kubernetes nodes, pods and namespaces, as readers see it.
//!
//! A view is a cheap copy: it shares every node that did not change with the view before it.
//! Source: cluster-agent-kubernetes 1.5, 1.6 and 4.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::domain::kube::objects::{Kind, KubeNamespace, KubeNode, ObjectKey};

/// How far the objects of one kind are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Supply {
    /// Nobody watches them, by configuration.
    Unwatched,
    /// They are watched, and the initial listing is not finished: nothing may be concluded from what is missing.
    #[default]
    Listing,
    /// The initial listing is in.
    Synced,
}

/// [`Supply`] of every kind that metadata is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Supplies {
    /// Endpoints or EndpointSlices, whichever are used.
    pub endpoints: Supply,
    /// Nodes.
    pub nodes: Supply,
    /// Namespaces.
    pub namespaces: Supply,
    /// Pods.
    pub pods: Supply,
}

impl Supplies {
    /// The supply of a kind; `None` for one that no metadata is made of.
    pub fn of(&mut self, kind: Kind) -> Option<&mut Supply> {
        Some(match kind {
            Kind::Endpoints | Kind::EndpointSlices => &mut self.endpoints,
            Kind::Nodes => &mut self.nodes,
            Kind::Namespaces => &mut self.namespaces,
            Kind::Pods => &mut self.pods,
            Kind::Services => return None,
        })
    }

    /// Whether everything that is synced there is synced here.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        let pairs =
            [(self.endpoints, other.endpoints), (self.nodes, other.nodes), (self.namespaces, other.namespaces), (self.pods, other.pods)];
        pairs.iter().all(|(here, there)| *here == Supply::Synced || *there != Supply::Synced)
    }
}

/// Services that select a pod, in ascending order. Written as JSON it is an object whose values are empty objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodServices(pub(super) Vec<Claim>);

/// A service that selects a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) service: Arc<str>,
    /// Objects that say so: slices of one service may name a pod more than once (dual stack, moves between slices).
    pub(super) objects: u32,
}

impl PodServices {
    /// Names of the services, in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|claim| &*claim.service)
    }
}

impl Serialize for PodServices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names().map(|name| (name, BTreeMap::<&str, ()>::new())))
    }
}

/// Namespace -> pod -> services, of one node. Holds no empty parts.
pub type Bundle = BTreeMap<Arc<str>, BTreeMap<Arc<str>, PodServices>>;

/// Pod -> ids of its containers, of one node.
pub(super) type Containers = BTreeMap<ObjectKey, Arc<[Box<str>]>>;

/// What the nodes informer told about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Nothing, but endpoints name it.
    #[default]
    Never,
    /// It is there.
    Present(Arc<KubeNode>),
    /// It was there and is gone; endpoints may still name it for a while.
    Gone,
}

/// What is known about one node. Each part is shared until it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeMetadata {
    pub(super) sighting: Sighting,
    pub(super) services: Arc<Bundle>,
    pub(super) containers: Arc<Containers>,
}

impl NodeMetadata {
    fn bundle(&self) -> Option<&Bundle> {
        match &self.sighting {
            Sighting::Present(_) => Some(&self.services),
            // Endpoints may come before the node; what they say is right.
            Sighting::Never if !self.services.is_empty() => Some(&self.services),
            Sighting::Never | Sighting::Gone => None,
        }
    }

    /// Whether there is nothing left to know about.
    pub(super) fn is_void(&self) -> bool {
        !matches!(self.sighting, Sighting::Present(_)) && self.services.is_empty() && self.containers.is_empty()
    }
}

/// Everything metadata routes answer from. Cloning it copies pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataView {
    /// What may be concluded from it.
    pub supplies: Supplies,
    pub(super) nodes: Arc<BTreeMap<Arc<str>, Arc<NodeMetadata>>>,
    pub(super) namespaces: Arc<BTreeMap<Arc<str>, Arc<KubeNamespace>>>,
}

impl MetadataView {
    /// A node that exists.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&KubeNode> {
        match &self.nodes.get(name)?.sighting {
            Sighting::Present(node) => Some(node),
            Sighting::Never | Sighting::Gone => None,
        }
    }

    /// A namespace that exists.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&KubeNamespace> {
        self.namespaces.get(name).map(|namespace| &**namespace)
    }

    /// Services by namespace and pod of a node; empty for a node without any, `None` for an unknown node.
    #[must_use]
    pub fn bundle(&self, node: &str) -> Option<&Bundle> {
        self.nodes.get(node)?.bundle()
    }

    /// The bundles of all nodes, in ascending order of their names.
    pub fn bundles(&self) -> impl Iterator<Item = (&str, &Bundle)> {
        self.nodes.iter().filter_map(|(name, node)| Some((&**name, node.bundle()?)))
    }

    /// Services that select a pod; `None` when node, namespace or pod is unknown, or no service does.
    #[must_use]
    pub fn services_of(&self, node: &str, namespace: &str, pod: &str) -> Option<&PodServices> {
        self.bundle(node)?.get(namespace)?.get(pod)
    }

    /// The pod of this node that owns a container.
    #[must_use]
    pub fn pod_of_container(&self, node: &str, container: &str) -> Option<&ObjectKey> {
        let containers = &self.nodes.get(node)?.containers;
        // A node has some hundred containers and this is asked by hand, so no index is kept.
        containers.iter().find(|(_, ids)| ids.iter().any(|id| **id == *container)).map(|(pod, _)| pod)
    }
}

/// What is said instead of the bundle of a node that is not known. Source: cluster-agent-kubernetes 1.6.
#[must_use]
pub fn unknown_node_warning(node: &str) -> String {
    format!(
        "Node {node} could not be added to the metadata map bundle: the key agent/KubernetesMetadataMapping/{node} was not found in the cache"
    )
}

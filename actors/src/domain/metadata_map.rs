//! Which services select which pod on which node, kept up to date object by object.
//!
//! Every Endpoints object or slice claims pods for its service. A change of an object takes back the claims it no longer makes and adds
//! the new ones, so it costs in proportion to that object, and a service of many slices keeps a pod as long as one slice claims it.
//! Source: cluster-agent-kubernetes 4.1 to 4.3, with all nodes cleaned that a service leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::kube::objects::{Kind, KubeEndpoints, KubeNode, KubeObject, KubePod, ObjectKey};
use crate::domain::metadata_view::{Claim, MetadataView, NodeMetadata, Sighting, Supplies, Supply};

/// Pods that one Endpoints object or slice claims for its service; their namespace is that of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    service: Arc<str>,
    /// Node and pod, in ascending order without duplicates.
    pods: Vec<(Arc<str>, Arc<str>)>,
}

/// The map and the objects it was made from.
#[derive(Debug)]
pub struct MetadataMap {
    view: MetadataView,
    map_unready: bool,
    claims: BTreeMap<ObjectKey, Claims>,
    /// On which node the containers of a pod are filed.
    pod_nodes: BTreeMap<ObjectKey, Arc<str>>,
    /// Nodes that lost something in this step; forgotten at its end if nothing is left of them, so that a gone node which lost a pod and
    /// got another one in one step stays gone.
    reduced: Vec<Arc<str>>,
    changed: bool,
}

impl MetadataMap {
    /// A map that waits for the listings of these kinds; others count as not watched.
    ///
    /// `map_unready`: addresses that are not ready count, too (`kubernetes_kube_service_ignore_readiness`).
    #[must_use]
    pub fn new(watched: impl IntoIterator<Item = Kind>, map_unready: bool) -> Self {
        let off = Supply::Unwatched;
        let mut supplies = Supplies { endpoints: off, nodes: off, namespaces: off, pods: off };
        for kind in watched {
            if let Some(supply) = supplies.of(kind) {
                *supply = Supply::Listing;
            }
        }
        Self {
            view: MetadataView { supplies, ..MetadataView::default() },
            map_unready,
            claims: BTreeMap::new(),
            pod_nodes: BTreeMap::new(),
            reduced: Vec::new(),
            changed: true,
        }
    }

    /// The present state; a cheap copy.
    #[must_use]
    pub fn view(&self) -> MetadataView {
        self.view.clone()
    }

    /// What is known so far.
    #[must_use]
    pub fn supplies(&self) -> Supplies {
        self.view.supplies
    }

    /// Whether the view differs from the one of the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Objects behind the map: Endpoints or slices, and pods with containers.
    #[must_use]
    pub fn object_counts(&self) -> (usize, usize) {
        (self.claims.len(), self.pod_nodes.len())
    }

    /// The objects of a kind are these and no others.
    pub fn replace(&mut self, kind: Kind, objects: &[KubeObject]) {
        let kept: BTreeSet<&ObjectKey> = objects.iter().map(KubeObject::key).collect();
        let vanished = |known: &ObjectKey| !kept.contains(known);
        let gone: Vec<ObjectKey> = match kind {
            Kind::Endpoints | Kind::EndpointSlices => self.claims.keys().filter(|key| vanished(key)).cloned().collect(),
            Kind::Pods => self.pod_nodes.keys().filter(|key| vanished(key)).cloned().collect(),
            Kind::Nodes => {
                let present = self.view.nodes.iter().filter(|(_, node)| matches!(node.sighting, Sighting::Present(_)));
                present.map(|(name, _)| ObjectKey::new("", Arc::clone(name))).filter(vanished).collect()
            }
            Kind::Namespaces => self.view.namespaces.keys().map(|name| ObjectKey::new("", Arc::clone(name))).filter(vanished).collect(),
            Kind::Services => Vec::new(),
        };
        for key in &gone {
            self.take_out(kind, key);
        }
        for object in objects {
            self.take_in(object);
        }
        self.forget_void_nodes();
    }

    /// An object is new or changed.
    pub fn apply(&mut self, object: &KubeObject) {
        self.take_in(object);
        self.forget_void_nodes();
    }

    /// An object is gone.
    pub fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        self.take_out(kind, key);
        self.forget_void_nodes();
    }

    /// The initial listing of a kind is complete, or is not any more. A kind that is not watched stays so.
    pub fn set_synced(&mut self, kind: Kind, synced: bool) {
        let next = if synced { Supply::Synced } else { Supply::Listing };
        if let Some(supply) = self.view.supplies.of(kind)
            && *supply != Supply::Unwatched
            && *supply != next
        {
            *supply = next;
            self.changed = true;
        }
    }

    fn take_in(&mut self, object: &KubeObject) {
        match object {
            KubeObject::Endpoints(endpoints) => {
                let claims = self.claims_of(endpoints);
                self.claim(&endpoints.meta.key, claims);
            }
            KubeObject::Node(node) => self.apply_node(node),
            KubeObject::Namespace(namespace) => {
                let name = &namespace.meta.key.name;
                if self.view.namespaces.get(name) != Some(namespace) {
                    Arc::make_mut(&mut self.view.namespaces).insert(Arc::clone(name), Arc::clone(namespace));
                    self.changed = true;
                }
            }
            KubeObject::Pod(pod) => self.apply_pod(pod),
            KubeObject::Service(_) => {}
        }
    }

    fn take_out(&mut self, kind: Kind, key: &ObjectKey) {
        match kind {
            Kind::Endpoints | Kind::EndpointSlices => self.claim(key, Claims::default()),
            Kind::Nodes => {
                let present = |node: &Arc<NodeMetadata>| matches!(node.sighting, Sighting::Present(_));
                if self.view.nodes.get(&key.name).is_some_and(present) {
                    self.node(&key.name).sighting = Sighting::Gone;
                    self.reduced.push(Arc::clone(&key.name));
                }
            }
            Kind::Namespaces => {
                if self.view.namespaces.contains_key(&key.name) {
                    Arc::make_mut(&mut self.view.namespaces).remove(&key.name);
                    self.changed = true;
                }
            }
            Kind::Pods => self.forget_containers(key),
            Kind::Services => {}
        }
    }

    fn claims_of(&self, endpoints: &KubeEndpoints) -> Claims {
        if endpoints.service.is_empty() {
            return Claims::default();
        }
        let mut pods = Vec::new();
        for address in endpoints.subsets.iter().flat_map(|subset| &subset.addresses) {
            let Some(target) = &address.target else { continue };
            let named = &*target.kind == "Pod" && !target.name.is_empty() && !target.namespace.is_empty() && !address.node.is_empty();
            if named && (address.ready || self.map_unready) {
                pods.push((Arc::clone(&address.node), Arc::clone(&target.name)));
            }
        }
        pods.sort_unstable();
        pods.dedup();
        Claims { service: Arc::clone(&endpoints.service), pods }
    }

    /// Replaces the claims of an object; only pods that come or go are touched.
    fn claim(&mut self, key: &ObjectKey, new: Claims) {
        let old = self.claims.remove(key).unwrap_or_default();
        let same_service = old.service == new.service;
        for pod in &old.pods {
            if !same_service || new.pods.binary_search(pod).is_err() {
                self.take_back(&key.namespace, &old.service, pod);
            }
        }
        for pod in &new.pods {
            if !same_service || old.pods.binary_search(pod).is_err() {
                self.file(&key.namespace, &new.service, pod);
            }
        }
        if !new.pods.is_empty() {
            self.claims.insert(key.clone(), new);
        }
    }

    fn file(&mut self, namespace: &Arc<str>, service: &Arc<str>, (node, pod): &(Arc<str>, Arc<str>)) {
        let bundle = Arc::make_mut(&mut self.node(node).services);
        let claims = &mut bundle.entry(Arc::clone(namespace)).or_default().entry(Arc::clone(pod)).or_default().0;
        match claims.binary_search_by(|claim| claim.service.cmp(service)) {
            Ok(at) => claims[at].objects += 1,
            Err(at) => claims.insert(at, Claim { service: Arc::clone(service), objects: 1 }),
        }
    }

    fn take_back(&mut self, namespace: &Arc<str>, service: &Arc<str>, (node, pod): &(Arc<str>, Arc<str>)) {
        let bundle = Arc::make_mut(&mut self.node(node).services);
        if let Some(pods) = bundle.get_mut(namespace) {
            if let Some(services) = pods.get_mut(pod) {
                if let Ok(at) = services.0.binary_search_by(|claim| claim.service.cmp(service)) {
                    services.0[at].objects -= 1;
                    services.0.retain(|claim| claim.objects > 0);
                }
                if services.0.is_empty() {
                    pods.remove(pod);
                }
            }
            if pods.is_empty() {
                bundle.remove(namespace);
            }
        }
        self.reduced.push(Arc::clone(node));
    }

    fn apply_node(&mut self, node: &Arc<KubeNode>) {
        let name = &node.meta.key.name;
        let next = Sighting::Present(Arc::clone(node));
        if self.view.nodes.get(name).is_none_or(|known| known.sighting != next) {
            self.node(name).sighting = next;
        }
    }

    fn apply_pod(&mut self, pod: &KubePod) {
        let key = &pod.meta.key;
        let known = self.pod_nodes.get(key).and_then(|node| self.view.nodes.get(node)?.containers.get(key));
        if known.is_some_and(|ids| **ids == *pod.containers) && self.pod_nodes.get(key) == Some(&pod.node) {
            return;
        }
        self.forget_containers(key);
        if !pod.node.is_empty() && !pod.containers.is_empty() {
            self.pod_nodes.insert(key.clone(), Arc::clone(&pod.node));
            Arc::make_mut(&mut self.node(&pod.node).containers).insert(key.clone(), pod.containers.clone().into());
        }
    }

    fn forget_containers(&mut self, pod: &ObjectKey) {
        if let Some(node) = self.pod_nodes.remove(pod) {
            Arc::make_mut(&mut self.node(&node).containers).remove(pod);
            self.reduced.push(node);
        }
    }

    /// A node to be changed; copied first if a reader holds it.
    fn node(&mut self, name: &Arc<str>) -> &mut NodeMetadata {
        self.changed = true;
        Arc::make_mut(Arc::make_mut(&mut self.view.nodes).entry(Arc::clone(name)).or_default())
    }

    fn forget_void_nodes(&mut self) {
        for name in std::mem::take(&mut self.reduced) {
            if self.view.nodes.get(&name).is_some_and(|node| node.is_void()) {
                Arc::make_mut(&mut self.view.nodes).remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;

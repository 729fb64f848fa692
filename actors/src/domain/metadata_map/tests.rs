//! Rules of the map, and the proof that keeping it up to date gives the same as making it anew.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::kube::objects::{EndpointAddress, KubeNamespace, Meta, Subset, TargetRef, Texts};
use crate::domain::metadata_view::Bundle;

fn meta(namespace: &str, name: &str) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: format!("uid-{name}").into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: Texts::new(),
        terminating: false,
    }
}

fn node(name: &str) -> KubeObject {
    KubeObject::Node(Arc::new(KubeNode { meta: meta("", name), ready: true, status: "{}".into() }))
}

fn namespace(name: &str) -> KubeObject {
    KubeObject::Namespace(Arc::new(KubeNamespace { meta: meta("", name) }))
}

fn pod(name: &str, node: &str, containers: &[&str]) -> KubeObject {
    KubeObject::Pod(Arc::new(KubePod {
        meta: meta("default", name),
        node: node.into(),
        phase: "Running".into(),
        ip: "10.0.0.1".into(),
        ready: true,
        owner: None,
        containers: containers.iter().map(|id| (*id).into()).collect(),
    }))
}

/// Pod, node, ready.
fn address((pod, node, ready): &(&str, &str, bool)) -> EndpointAddress {
    let target = TargetRef { kind: "Pod".into(), namespace: "default".into(), name: (*pod).into(), uid: "u".into() };
    EndpointAddress { ip: "10.0.0.1".into(), node: (*node).into(), target: Some(target), ready: *ready, terminating: false }
}

fn slice(name: &str, service: &str, addresses: &[(&str, &str, bool)]) -> KubeObject {
    slice_of(name, service, addresses.iter().map(address).collect())
}

fn slice_of(name: &str, service: &str, addresses: Vec<EndpointAddress>) -> KubeObject {
    let subsets = vec![Subset { addresses, ports: Vec::new() }];
    KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta("default", name), service: service.into(), subsets }))
}

fn map(objects: &[KubeObject]) -> MetadataMap {
    let mut map = MetadataMap::new([Kind::EndpointSlices, Kind::Nodes, Kind::Pods], false);
    for object in objects {
        map.apply(object);
    }
    map
}

fn services(view: &MetadataView, node: &str, pod: &str) -> Vec<String> {
    view.services_of(node, "default", pod).map(|services| services.names().map(str::to_owned).collect()).unwrap_or_default()
}

fn gone(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

#[test]
fn ca_m15_a_service_that_leaves_a_node_leaves_nothing_there() {
    let mut map =
        map(&[node("n1"), node("n2"), slice("web", "web", &[("p1", "n1", true)]), slice("canary", "web-canary", &[("p1", "n1", true)])]);
    map.apply(&slice("web", "web", &[("p3", "n2", true)]));
    assert_eq!(services(&map.view(), "n1", "p1"), ["web-canary"]);
    assert_eq!(services(&map.view(), "n2", "p3"), ["web"]);
}

#[test]
fn ca_m16_addresses_that_are_no_pods_touch_no_node() {
    let mut map = map(&[node("n1")]);
    map.take_changed();
    let bare = EndpointAddress { target: None, ..address(&("p", "n1", true)) };
    let other = |change: &dyn Fn(&mut TargetRef)| {
        let mut address = address(&("p", "n1", true));
        address.target.as_mut().map(change);
        address
    };
    let addresses = vec![
        bare,
        address(&("p", "", true)),
        other(&|target| target.kind = "Node".into()),
        other(&|target| target.name = "".into()),
        other(&|target| target.namespace = "".into()),
    ];
    map.apply(&slice_of("web", "web", addresses));
    map.apply(&slice("nameless", "", &[("p", "n1", true)]));
    assert!(!map.take_changed(), "{:?}", map.view());
}

#[test]
fn ca_m17_a_deleted_slice_takes_only_its_own_pods() {
    let mut map = map(&[node("n1"), slice("web-a", "web", &[("p1", "n1", true)]), slice("web-b", "web", &[("p4", "n1", true)])]);
    map.remove(Kind::EndpointSlices, &gone("web-b"));
    assert_eq!(services(&map.view(), "n1", "p1"), ["web"]);
    assert!(services(&map.view(), "n1", "p4").is_empty());
}

#[test]
fn a_pod_in_two_slices_stays_until_both_let_it_go() {
    let pods: &[(&str, &str, bool)] = &[("p1", "n1", true), ("p1", "n1", true)];
    let mut map = map(&[node("n1"), slice("v4", "web", pods), slice("v6", "web", pods)]);
    map.remove(Kind::EndpointSlices, &gone("v4"));
    assert_eq!(services(&map.view(), "n1", "p1"), ["web"]);
    map.remove(Kind::EndpointSlices, &gone("v6"));
    assert_eq!(map.view().bundle("n1"), Some(&Bundle::new()), "no empty pods or namespaces are left");
}

#[test]
fn ca_m12_unready_addresses_count_if_readiness_is_ignored() {
    let unready = slice("web", "web", &[("p2", "n2", false)]);
    assert!(services(&map(&[node("n2"), unready.clone()]).view(), "n2", "p2").is_empty());
    let mut ignoring = MetadataMap::new([Kind::EndpointSlices], true);
    ignoring.apply(&unready);
    assert_eq!(services(&ignoring.view(), "n2", "p2"), ["web"]);
}

#[test]
fn nodes_come_before_or_after_their_services_and_take_them_away_when_they_go() {
    let mut map = map(&[slice("web", "web", &[("p1", "n1", true)])]);
    assert!(map.view().bundle("n1").is_some(), "endpoints may be faster than nodes");
    map.apply(&node("n1"));
    map.apply(&node("n2"));
    assert_eq!(map.view().bundles().map(|(name, _)| name.to_owned()).collect::<Vec<_>>(), ["n1", "n2"]);
    map.remove(Kind::Nodes, &ObjectKey::new("", "n1"));
    assert_eq!((map.view().bundle("n1"), map.view().node("n1")), (None, None));
    map.apply(&slice("web", "web", &[("p1", "n1", true), ("p2", "n2", true)]));
    assert_eq!(map.view().bundle("n1"), None, "endpoints of a dead node linger and do not revive it");
    map.apply(&slice("web", "web", &[("p9", "n1", true)]));
    assert_eq!(map.view().bundle("n1"), None, "nor does a pod that takes the place of the last one");
    map.apply(&slice("web", "web", &[("p1", "n1", true), ("p2", "n2", true)]));
    map.apply(&node("n1"));
    assert_eq!(services(&map.view(), "n1", "p1"), ["web"]);
}

#[test]
fn a_service_that_changes_its_label_takes_its_pods_along() {
    let mut map = map(&[node("n1"), slice("x", "old", &[("p1", "n1", true)])]);
    map.apply(&slice("x", "new", &[("p1", "n1", true)]));
    assert_eq!(services(&map.view(), "n1", "p1"), ["new"]);
}

#[test]
fn containers_lead_to_their_pod_on_their_node() {
    let mut map = map(&[node("n1"), node("n2"), pod("p1", "n1", &["a", "b"])]);
    assert_eq!(map.view().pod_of_container("n1", "b"), Some(&gone("p1")));
    assert_eq!(map.view().pod_of_container("n2", "b"), None);
    map.take_changed();
    map.apply(&pod("p1", "n1", &["a", "b"]));
    assert!(!map.take_changed(), "the rest of a pod is of no interest");
    map.apply(&pod("p1", "n2", &["c"]));
    assert_eq!((map.view().pod_of_container("n1", "a"), map.view().pod_of_container("n2", "c")), (None, Some(&gone("p1"))));
    map.remove(Kind::Pods, &gone("p1"));
    assert_eq!(map.view().pod_of_container("n2", "c"), None);
}

#[test]
fn a_listing_forgets_what_it_does_not_name() {
    let mut map = map(&[
        node("n1"),
        namespace("default"),
        pod("p1", "n1", &["a"]),
        slice("web", "web", &[("p1", "n1", true)]),
        slice("api", "api", &[("p1", "n1", true)]),
    ]);
    map.replace(Kind::EndpointSlices, &[slice("api", "api", &[("p1", "n1", true)])]);
    map.replace(Kind::Namespaces, &[namespace("other")]);
    map.replace(Kind::Pods, &[]);
    let view = map.view();
    assert_eq!(services(&view, "n1", "p1"), ["api"]);
    assert!(view.namespace("default").is_none() && view.namespace("other").is_some());
    assert_eq!(view.pod_of_container("n1", "a"), None);
    map.replace(Kind::Nodes, &[node("n2")]);
    assert_eq!(map.view().bundles().map(|(name, _)| name.to_owned()).collect::<Vec<_>>(), ["n2"]);
}

#[test]
fn a_kind_is_synced_when_it_is_watched_and_listed() {
    let mut map = MetadataMap::new([Kind::Nodes, Kind::Services], false);
    let supplies = map.supplies();
    assert_eq!((supplies.nodes, supplies.pods), (Supply::Listing, Supply::Unwatched));
    map.set_synced(Kind::Nodes, true);
    map.set_synced(Kind::Pods, true);
    assert_eq!((map.supplies().nodes, map.supplies().pods), (Supply::Synced, Supply::Unwatched));
    assert!(map.supplies().cover(&supplies) && !supplies.cover(&map.supplies()));
}

#[test]
fn a_change_copies_the_nodes_it_touches_and_shares_all_others() {
    let nodes: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let mut map = map(&nodes.iter().map(|name| node(name)).collect::<Vec<_>>());
    for (number, name) in nodes.iter().enumerate() {
        map.apply(&slice(&format!("s{number}"), &format!("s{number}"), &[(&format!("p{number}"), name, true)]));
    }
    let before = map.view();
    map.apply(&slice("s7", "s7", &[("p7", "n7", true), ("q7", "n8", true)]));
    let after = map.view();
    let copied: Vec<&str> =
        before.nodes.iter().filter(|(name, node)| !Arc::ptr_eq(node, &after.nodes[*name])).map(|(name, _)| &**name).collect();
    assert_eq!(copied, ["n8"]);
    assert!(services(&before, "n8", "q7").is_empty(), "a reader keeps what it holds");
}

/// One step of a history; small names so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Slice(KubeObject),
    SliceGone(u8),
    Slices(Vec<KubeObject>),
    Node(u8),
    NodeGone(u8),
    Pod(KubeObject),
    PodGone(u8),
    Read,
}

fn any_slice() -> impl Strategy<Value = KubeObject> {
    let address = (0..5u8, 0..4u8, any::<bool>()).prop_map(|(pod, node, ready)| {
        let (pod, node) = (format!("p{pod}"), format!("n{node}"));
        address(&(&pod, &node, ready))
    });
    let parts = (0..5u8, 0..3u8, proptest::collection::vec(address, 0..5));
    parts.prop_map(|(name, service, addresses)| slice_of(&format!("e{name}"), &format!("s{service}"), addresses))
}

fn any_step() -> impl Strategy<Value = Step> {
    let pod = (0..4u8, 0..3u8, 0..3u8).prop_map(|(name, on, container)| {
        let (name, on, container) = (format!("p{name}"), format!("n{on}"), format!("c{name}-{container}"));
        pod(&name, &on, &[&container])
    });
    prop_oneof![
        4 => any_slice().prop_map(Step::Slice),
        2 => (0..5u8).prop_map(Step::SliceGone),
        1 => proptest::collection::vec(any_slice(), 0..4).prop_map(Step::Slices),
        2 => (0..4u8).prop_map(Step::Node),
        1 => (0..4u8).prop_map(Step::NodeGone),
        2 => pod.prop_map(Step::Pod),
        1 => (0..4u8).prop_map(Step::PodGone),
        1 => Just(Step::Read),
    ]
}

/// The same facts without any cleverness: the last version of each object.
#[derive(Default)]
struct Facts {
    slices: BTreeMap<ObjectKey, KubeObject>,
    nodes: BTreeMap<String, KubeObject>,
    buried: BTreeSet<String>,
    pods: BTreeMap<ObjectKey, KubeObject>,
}

impl Facts {
    /// Node -> pod -> services, for every node of the names.
    fn bundles(&self, map_unready: bool) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> =
            self.nodes.keys().map(|name| (name.clone(), BTreeMap::new())).collect();
        for slice in self.slices.values() {
            let KubeObject::Endpoints(slice) = slice else { unreachable!() };
            for address in slice.subsets.iter().flat_map(|subset| &subset.addresses) {
                let target = address.target.as_ref().unwrap();
                let shown = !self.buried.contains(&*address.node);
                if shown && (address.ready || map_unready) {
                    let pods = found.entry(address.node.to_string()).or_default();
                    pods.entry(target.name.to_string()).or_default().insert(slice.service.to_string());
                }
            }
        }
        found
    }
}

fn shown(view: &MetadataView) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let pods = |bundle: &Bundle| {
        let pods = bundle.values().flatten();
        pods.map(|(pod, services)| (pod.to_string(), services.names().map(str::to_owned).collect())).collect()
    };
    view.bundles().map(|(name, bundle)| (name.to_owned(), pods(bundle))).collect()
}

proptest! {
    #[test]
    fn keeping_up_to_date_gives_the_same_as_making_anew(steps in proptest::collection::vec(any_step(), 0..40), map_unready: bool) {
        let mut map = MetadataMap::new([Kind::EndpointSlices, Kind::Nodes, Kind::Pods], map_unready);
        let mut facts = Facts::default();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Slice(slice) => {
                    map.apply(&slice);
                    facts.slices.insert(slice.key().clone(), slice);
                }
                Step::SliceGone(number) => {
                    let key = gone(&format!("e{number}"));
                    map.remove(Kind::EndpointSlices, &key);
                    facts.slices.remove(&key);
                }
                Step::Slices(slices) => {
                    map.replace(Kind::EndpointSlices, &slices);
                    facts.slices = slices.into_iter().map(|slice| (slice.key().clone(), slice)).collect();
                }
                Step::Node(number) => {
                    let name = format!("n{number}");
                    map.apply(&node(&name));
                    facts.buried.remove(&name);
                    facts.nodes.insert(name.clone(), node(&name));
                }
                Step::NodeGone(number) => {
                    let name = format!("n{number}");
                    map.remove(Kind::Nodes, &ObjectKey::new("", name.as_str()));
                    if facts.nodes.remove(&name).is_some() {
                        facts.buried.insert(name);
                    }
                }
                Step::Pod(pod) => {
                    map.apply(&pod);
                    facts.pods.insert(pod.key().clone(), pod);
                }
                Step::PodGone(number) => {
                    let key = gone(&format!("p{number}"));
                    map.remove(Kind::Pods, &key);
                    facts.pods.remove(&key);
                }
                Step::Read => {
                    let view = map.view();
                    held.push((shown(&view), view));
                }
            }
            // A node is remembered as gone only while something still names it.
            facts.buried.retain(|name| map.view.nodes.contains_key(name.as_str()));
        }
        let view = map.view();
        prop_assert_eq!(shown(&view), facts.bundles(map_unready));
        for pod in facts.pods.values() {
            let KubeObject::Pod(pod) = pod else { unreachable!() };
            prop_assert_eq!(view.pod_of_container(&pod.node, &pod.containers[0]), Some(&pod.meta.key));
        }
        let filed: usize = view.nodes.values().map(|node| node.containers.len()).sum();
        prop_assert_eq!(filed, facts.pods.len());
        prop_assert!(view.nodes.values().all(|node| !node.is_void()), "nothing is left of what is gone");
        for (then, view) in held {
            prop_assert_eq!(then, shown(&view), "a view that is held never changes");
        }
    }
}

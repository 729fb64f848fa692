//! Measures keeping metadata: 10 000 pods on 2 000 nodes behind 2 000 services, from the listing to single changes and their publication.
//! Run with `cargo bench --bench metadata`.
#![expect(clippy::print_stdout, reason = "a measurement tells its result")]

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::kube::objects::{
    EndpointAddress, Kind, KubeEndpoints, KubeNode, KubeObject, Meta, ObjectKey, Subset, TargetRef, Texts,
};
use muster_actors::domain::metadata_map::MetadataMap;
use muster_actors::domain::metadata_view::MetadataView;
use muster_actors::kernel::clock::{Clock, SystemClock};
use muster_actors::kernel::published::Publisher;

const NODES: usize = 2_000;
const SERVICES: usize = 2_000;
/// Pods of an ordinary service.
const PODS: usize = 5;
const ROUNDS: usize = 2_001;

fn main() {
    let clock = SystemClock::new();
    let mut map = MetadataMap::new([Kind::EndpointSlices, Kind::Nodes], false);
    let nodes: Vec<KubeObject> = (0..NODES).map(node).collect();
    let slices: Vec<KubeObject> = (0..SERVICES).map(|service| slice(service, PODS, 0)).collect();
    let listed = time(&clock, || {
        map.replace(Kind::Nodes, &nodes);
        map.replace(Kind::EndpointSlices, &slices);
    });
    println!("listing of {NODES} nodes and {SERVICES} services with {} pods: {listed:.1?}", SERVICES * PODS);

    let published = Publisher::new(MetadataView::default());
    // Every change is published, so every change copies the list of nodes.
    report("one pod of a service replaced, and published", |round| {
        let change = slice(round % SERVICES, PODS, 1 + round / SERVICES);
        time(&clock, || {
            map.apply(&change);
            published.publish(map.view());
        })
    });
    report("the same without publishing in between", |round| {
        let change = slice(round % SERVICES, PODS, 10 + round / SERVICES);
        time(&clock, || map.apply(&change))
    });
    map.apply(&slice(SERVICES, 1_000, 0));
    report("one pod of a slice of 1 000 pods replaced, and published", |round| {
        let change = slice(SERVICES, 1_000, 1 + round);
        time(&clock, || {
            map.apply(&change);
            published.publish(map.view());
        })
    });
}

fn time(clock: &dyn Clock, work: impl FnOnce()) -> Duration {
    let begin = clock.monotonic();
    work();
    clock.monotonic().saturating_sub(begin)
}

fn report(what: &str, round: impl FnMut(usize) -> Duration) {
    let mut times: Vec<Duration> = (0..ROUNDS).map(round).collect();
    times.sort_unstable();
    println!("{what}: median {:.1?}, p99 {:.1?}", times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
}

fn meta(namespace: &str, name: String) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: "u".into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: Texts::new(),
        terminating: false,
    }
}

fn node(number: usize) -> KubeObject {
    KubeObject::Node(Arc::new(KubeNode { meta: meta("", format!("node-{number}")), ready: true, status: "{}".into() }))
}

/// A slice whose last pod has another name, on another node, in each version.
fn slice(service: usize, pods: usize, version: usize) -> KubeObject {
    let namespace = format!("team-{}", service % 40);
    let address = |pod: usize| {
        let version = if pod + 1 == pods { version } else { 0 };
        let name = format!("service-{service}-{pod}-{version}");
        EndpointAddress {
            ip: "10.0.0.1".into(),
            node: format!("node-{}", (service * pods + pod + version * 7) % NODES).into(),
            target: Some(TargetRef { kind: "Pod".into(), namespace: namespace.as_str().into(), name: name.into(), uid: "u".into() }),
            ready: true,
            terminating: false,
        }
    };
    let subsets = vec![Subset { addresses: (0..pods).map(address).collect(), ports: Vec::new() }];
    let meta = meta(&namespace, format!("service-{service}-x"));
    KubeObject::Endpoints(Arc::new(KubeEndpoints { meta, service: format!("service-{service}").into(), subsets }))
}

//! Vectors of cluster-agent-kubernetes 11: metadata of nodes, pods and namespaces.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use muster::api::metadata::MetadataRoutes;
use muster_actors::cluster::metadata_mapper::{MetadataMapper, MetadataMapperParts};
use muster_actors::domain::kube::cluster_id::ClusterId;
use muster_actors::domain::kube::objects::{
    EndpointAddress, Kind, KubeEndpoints, KubeNamespace, KubeNode, KubeObject, KubePod, Meta, ObjectKey, Subset, TargetRef, Texts,
};
use muster_actors::domain::metadata_map::MetadataMap;
use muster_actors::domain::metadata_view::MetadataView;
use muster_actors::domain::world::Standing;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::informer::{ObjectsChanged, TellObjects};
use muster_actors::supervised;

use crate::client::{Call, Reply};
use crate::site::{CLUSTER, LOCAL, Setup, Site, config};

const CONTAINER: &str = "5f3c0c9dfe7b7c9a3a6a0d6a1f7c7d1f0b8a2e4c6d8f0a1b2c3d4e5f60718293";
/// Longest wait for anything; only catches hangs.
const HANG: Duration = Duration::from_secs(20);

const KINDS: [Kind; 4] = [Kind::EndpointSlices, Kind::Nodes, Kind::Namespaces, Kind::Pods];

fn meta(namespace: &str, name: &str, uid: &str) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: uid.into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: Texts::new(),
        terminating: false,
    }
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn node(name: &str, uid: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> KubeObject {
    let meta = Meta { labels: texts(labels), annotations: texts(annotations), ..meta("", name, uid) };
    KubeObject::Node(Arc::new(KubeNode { meta, ready: true, status: r#"{"capacity":{"cpu":"4"},"nodeInfo":{"osImage":"a<b>&c"}}"#.into() }))
}

fn namespace(name: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> KubeObject {
    let meta = Meta { labels: texts(labels), annotations: texts(annotations), ..meta("", name, "N1") };
    KubeObject::Namespace(Arc::new(KubeNamespace { meta }))
}

/// A slice of a service in `default`; of each pod its node and whether it is ready.
fn slice(name: &str, service: &str, pods: &[(&str, &str, bool)]) -> KubeObject {
    let addresses = pods.iter().map(|(pod, node, ready)| EndpointAddress {
        ip: "10.0.0.1".into(),
        node: (*node).into(),
        target: Some(TargetRef { kind: "Pod".into(), namespace: "default".into(), name: (*pod).into(), uid: "P".into() }),
        ready: *ready,
        terminating: false,
    });
    let subsets = vec![Subset { addresses: addresses.collect(), ports: Vec::new() }];
    KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta("default", name, "E"), service: service.into(), subsets }))
}

fn pod(name: &str, node: &str, container: &str) -> KubeObject {
    KubeObject::Pod(Arc::new(KubePod {
        meta: meta("default", name, "P"),
        node: node.into(),
        phase: "Running".into(),
        ip: "10.0.0.1".into(),
        ready: true,
        owner: None,
        containers: vec![container.into()],
    }))
}

/// A replica in Kubernetes whose informers are the test.
struct Replica {
    site: Site,
    map: MetadataMap,
    view: Arc<Publisher<MetadataView>>,
    id: Publisher<ClusterId>,
}

impl Replica {
    async fn start(map: MetadataMap) -> Self {
        let (view, id) = (Arc::new(Publisher::new(MetadataView::default())), Publisher::new(ClusterId::default()));
        let kubernetes = MetadataRoutes {
            view: view.reader(),
            cluster_id: id.reader(),
            host_alias_annotations: vec!["cluster.k8s.io/machine".to_owned()],
        };
        let site = Site::with(Setup { kubernetes: Some(kubernetes), ..Setup::default() }).await;
        Self { site, map, view, id }
    }

    /// The cluster of the vectors.
    async fn with_cluster(map_unready: bool) -> Self {
        let mut map = MetadataMap::new(KINDS, map_unready);
        for object in [
            node("n1", "U1", &[("zone", "a")], &[("cluster.k8s.io/machine", "m-1"), ("other", "x")]),
            node("n2", "U2", &[], &[]),
            namespace("default", &[("team", "a")], &[("x", "y")]),
            namespace("bare", &[], &[]),
            slice("web-x", "web", &[("p1", "n1", true), ("p2", "n2", false)]),
            slice("web-canary-x", "web-canary", &[("p1", "n1", true)]),
            pod("p1", "n1", CONTAINER),
        ] {
            map.apply(&object);
        }
        for kind in KINDS {
            map.set_synced(kind, true);
        }
        let mut replica = Self::start(map).await;
        replica.change(|_| ());
        replica
    }

    fn change(&mut self, change: impl FnOnce(&mut MetadataMap)) {
        change(&mut self.map);
        self.view.publish(self.map.view());
    }

    async fn get(&self, path: &str) -> Reply {
        self.site.get(path).await
    }

    /// The body of a 200.
    async fn body(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{path}");
        reply.text()
    }
}

#[actix_rt::test]
async fn ca_m1_to_m7_what_a_node_says_about_itself() {
    let replica = Replica::with_cluster(false).await;
    for (path, body) in [
        ("/api/v1/tags/node/n1", r#"{"zone":"a"}"#),
        ("/api/v1/tags/node/n2", "null"),
        ("/api/v1/annotations/node/n1", r#"{"cluster.k8s.io/machine":"m-1"}"#),
        ("/api/v1/annotations/node/n1?filter=other&filter=nope", r#"{"other":"x"}"#),
        ("/api/v1/annotations/node/n1?filter=%20other%20", r#"{"other":"x"}"#),
        ("/api/v1/annotations/node/n1?filter=nope", "{}"),
        ("/api/v1/annotations/node/n2", "{}"),
        ("/api/v1/uid/node/n1", r#"{"uid":"U1"}"#),
        ("/api/v1/info/node/n1", r#"{"capacity":{"cpu":"4"},"nodeInfo":{"osImage":"a\u003cb\u003e\u0026c"}}"#),
    ] {
        assert_eq!(replica.body(path).await, body, "{path}");
    }
    for resource in ["tags", "annotations", "uid", "info"] {
        let reply = replica.get(&format!("/api/v1/{resource}/node/zz")).await;
        assert_eq!((reply.status, reply.text().as_str()), (500, "\"/nodes//zz\" not found\n"), "{resource}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    replica.site.stop().await;
}

#[actix_rt::test]
async fn ca_m8_to_m13_services_of_pods() {
    let replica = Replica::with_cluster(false).await;
    let unknown = r#"{"Warnings":["Node zz could not be added to the metadata map bundle: the key agent/KubernetesMetadataMapping/zz was not found in the cache"]}"#;
    let n1 = r#""n1":{"services":{"default":{"p1":{"web":{},"web-canary":{}}}}}"#;
    for (path, body) in [
        ("/api/v1/tags/pod/n1/default/p1", r#"["kube_service:web","kube_service:web-canary"]"#.to_owned()),
        ("/api/v1/metadata/n1/default/p1", r#"["kube_service:web","kube_service:web-canary"]"#.to_owned()),
        ("/api/v1/tags/pod/n1/default/none", "null".to_owned()),
        ("/api/v1/tags/pod/n1/none/p1", "null".to_owned()),
        ("/api/v1/tags/pod/zz/default/p1", "null".to_owned()),
        ("/api/v1/tags/pod/n1", format!(r#"{{"Nodes":{{{n1}}}}}"#)),
        ("/api/v1/tags/pod/n2", r#"{"Nodes":{"n2":{}}}"#.to_owned()),
        ("/api/v1/tags/pod/zz", unknown.to_owned()),
        ("/api/v1/tags/pod", format!(r#"{{"Nodes":{{{n1},"n2":{{}}}}}}"#)),
    ] {
        assert_eq!(replica.body(path).await, body, "{path}");
    }
    replica.site.stop().await;
    let ignoring = Replica::with_cluster(true).await;
    assert_eq!(ignoring.body("/api/v1/tags/pod/n2").await, r#"{"Nodes":{"n2":{"services":{"default":{"p2":{"web":{}}}}}}}"#);
    ignoring.site.stop().await;
}

#[actix_rt::test]
async fn ca_m14_m15_m17_changes_show() {
    let mut replica = Replica::with_cluster(false).await;
    replica.change(|map| map.apply(&slice("web-b", "web", &[("p4", "n1", true)])));
    assert_eq!(replica.body("/api/v1/tags/pod/n1/default/p4").await, r#"["kube_service:web"]"#);
    replica.change(|map| map.remove(Kind::EndpointSlices, &ObjectKey::new("default", "web-b")));
    assert_eq!(replica.body("/api/v1/tags/pod/n1/default/p4").await, "null");
    assert_eq!(replica.body("/api/v1/tags/pod/n1/default/p1").await, r#"["kube_service:web","kube_service:web-canary"]"#);
    replica.change(|map| map.apply(&slice("web-x", "web", &[("p3", "n2", true)])));
    assert_eq!(replica.body("/api/v1/tags/pod/n1").await, r#"{"Nodes":{"n1":{"services":{"default":{"p1":{"web-canary":{}}}}}}}"#);
    replica.change(|map| map.apply(&slice("web-x", "web", &[("p1", "n1", true)])));
    replica.change(|map| map.remove(Kind::EndpointSlices, &ObjectKey::new("default", "web-canary-x")));
    assert_eq!(replica.body("/api/v1/tags/pod/n1/default/p1").await, r#"["kube_service:web"]"#);
    replica.site.stop().await;
}

#[actix_rt::test]
async fn ca_m18_namespaces() {
    let replica = Replica::with_cluster(false).await;
    for (path, body) in [
        (
            "/api/v1/metadata/namespace/default",
            r#"{"name":"default","namespace":"","annotations":{"x":"y"},"labels":{"team":"a"},"uid":"N1"}"#,
        ),
        ("/api/v1/metadata/namespace/bare", r#"{"name":"bare","namespace":"","annotations":null,"labels":null,"uid":"N1"}"#),
        ("/api/v1/tags/namespace/default", r#"{"team":"a"}"#),
        ("/api/v1/tags/namespace/bare", "null"),
    ] {
        assert_eq!(replica.body(path).await, body, "{path}");
    }
    for resource in ["tags", "metadata"] {
        let reply = replica.get(&format!("/api/v1/{resource}/namespace/zz")).await;
        assert_eq!((reply.status, reply.text().as_str()), (500, "\"/namespaces//zz\" not found\n"), "{resource}");
    }
    replica.site.stop().await;
}

#[actix_rt::test]
async fn ca_m19_the_cluster_id_waits_answers_and_fails() {
    let replica = Replica::with_cluster(false).await;
    let path = "/api/v1/cluster/id";
    let reply = replica.get(path).await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"));
    replica.id.publish(ClusterId::Failed("config map datadog-cluster-id: forbidden".into()));
    let reply = replica.get(path).await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "config map datadog-cluster-id: forbidden\n"));
    replica.id.publish(ClusterId::Known("226430c6-5e57-11ea-91d5-42010a8400c6".into()));
    assert_eq!(replica.body(path).await, r#""226430c6-5e57-11ea-91d5-42010a8400c6""#);
    let reply = replica.get("/api/v1/cluster/eks-identity").await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "EKS cluster identity is not available\n"));
    replica.site.stop().await;
}

#[actix_rt::test]
async fn a_container_is_answered_like_its_pod() {
    let replica = Replica::with_cluster(false).await;
    let path = |node: &str, container: &str| format!("/api/v1/metadata/{node}/{container}");
    assert_eq!(replica.body(&path("n1", CONTAINER)).await, r#"["kube_service:web","kube_service:web-canary"]"#);
    assert_eq!(replica.body(&path("n2", CONTAINER)).await, "null");
    assert_eq!(replica.body(&path("n1", &"0".repeat(64))).await, "null");
    let with_local_token = Call::get(&path("n1", CONTAINER)).bearer(LOCAL);
    assert_eq!(replica.site.call(&with_local_token).await.status, 200);
    for other in ["5f3c", &"F".repeat(64), &"0".repeat(65)] {
        assert_eq!(replica.get(&path("n1", other)).await.status, 404, "{other}");
    }
    replica.site.stop().await;
}

#[actix_rt::test]
async fn every_route_waits_for_its_own_informers_and_for_no_others() {
    let nodes = ["/api/v1/tags/node/n1", "/api/v1/annotations/node/n1", "/api/v1/uid/node/n1", "/api/v1/info/node/n1"];
    let namespaces = ["/api/v1/tags/namespace/n", "/api/v1/metadata/namespace/n"];
    let pods = ["/api/v1/tags/pod/n1/default/p1", "/api/v1/metadata/n1/default/p1"];
    let both = ["/api/v1/tags/pod/n1", "/api/v1/tags/pod"];
    let container = format!("/api/v1/metadata/n1/{CONTAINER}");
    let mut replica = Replica::start(MetadataMap::new(KINDS, false)).await;
    let waiting = async |replica: &Replica| {
        let mut waiting = Vec::new();
        for path in nodes.iter().chain(&namespaces).chain(&pods).chain(&both).copied().chain([container.as_str()]) {
            let reply = replica.get(path).await;
            if reply.status == 503 {
                assert_eq!(reply.text(), "Startup in progress\n");
                waiting.push(path.to_owned());
            }
        }
        waiting
    };
    assert_eq!(waiting(&replica).await.len(), 11, "nothing is published yet");
    replica.change(|map| map.set_synced(Kind::Nodes, true));
    assert_eq!(waiting(&replica).await, [&namespaces[..], &pods, &both, &[&container]].concat());
    replica.change(|map| map.set_synced(Kind::EndpointSlices, true));
    assert_eq!(waiting(&replica).await, [&namespaces[..], &[&container]].concat());
    replica.change(|map| map.set_synced(Kind::Namespaces, true));
    replica.change(|map| map.set_synced(Kind::Pods, true));
    assert_eq!(waiting(&replica).await, Vec::<String>::new());
    replica.change(|map| map.set_synced(Kind::Nodes, false));
    assert_eq!(waiting(&replica).await, [&nodes[..], &both].concat());
    replica.site.stop().await;
}

#[actix_rt::test]
async fn what_is_not_watched_is_not_waited_for() {
    let mut map = MetadataMap::new([Kind::Nodes], false);
    map.apply(&node("n1", "U1", &[], &[]));
    map.set_synced(Kind::Nodes, true);
    let mut replica = Replica::start(map).await;
    replica.change(|_| ());
    assert_eq!(replica.body("/api/v1/tags/pod/n1/default/p1").await, "null");
    assert_eq!(replica.body(&format!("/api/v1/metadata/n1/{CONTAINER}")).await, "null");
    let body = replica.body("/api/v1/tags/pod/n1").await;
    assert!(body.starts_with(r#"{"Warnings":["Node n1 could not be added"#), "nobody maps, so nobody knows: {body}");
    replica.site.stop().await;
}

/// An informer whose listing is given.
struct FakeInformer {
    kind: Kind,
    objects: Vec<KubeObject>,
    mapper: Handle<MetadataMapper>,
}

impl Actor for FakeInformer {
    type Context = Context<Self>;
}

impl Observed for FakeInformer {
    fn observe(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

supervised!(FakeInformer);

impl Handler<TellObjects> for FakeInformer {
    type Result = ();

    fn handle(&mut self, _: TellObjects, _: &mut Context<Self>) {
        let (kind, applied) = (self.kind, self.objects.clone());
        self.mapper.post(ObjectsChanged { kind, reset: true, applied, gone: Vec::new(), synced: true });
    }
}

#[actix_rt::test]
async fn what_informers_tell_the_mapper_reaches_the_routes() {
    let published = Arc::new(Publisher::new(MetadataView::default()));
    let id = Publisher::new(ClusterId::default());
    let kubernetes = MetadataRoutes { view: published.reader(), cluster_id: id.reader(), host_alias_annotations: Vec::new() };
    let site = Site::with(Setup { kubernetes: Some(kubernetes), ..Setup::default() }).await;
    let kernel = Kernel::start(SystemClock::shared(), |reason| panic!("{reason}"));
    let group = kernel.one_for_one("metadata", None);
    let mapper = Handle::new("MetadataMapper");
    let mut informers = Vec::new();
    for (kind, objects) in
        [(Kind::Nodes, vec![node("n1", "U1", &[], &[])]), (Kind::Endpoints, vec![slice("web", "web", &[("p1", "n1", true)])])]
    {
        let informer = Handle::new("Informer");
        let mapper = mapper.clone();
        group.child(&informer, STATE_OWNER_CAPACITY, move || FakeInformer { kind, objects: objects.clone(), mapper: mapper.clone() });
        informers.push((kind, informer.outlet()));
    }
    let parts = MetadataMapperParts { published, informers, map_unready: false };
    group.child(&mapper, STATE_OWNER_CAPACITY, move || MetadataMapper::new(parts.clone()));

    let becomes = async |path: &str, body: &str| {
        let waiting = async { while site.get(path).await.text() != body {} };
        tokio::time::timeout(HANG, waiting).await.unwrap_or_else(|_| panic!("{path} never becomes {body}"));
    };
    let path = "/api/v1/tags/pod/n1/default/p1";
    becomes(path, r#"["kube_service:web"]"#).await;
    let applied = vec![slice("api", "api", &[("p1", "n1", true)])];
    mapper.post(ObjectsChanged { kind: Kind::Endpoints, reset: false, applied, gone: Vec::new(), synced: true });
    becomes(path, r#"["kube_service:api","kube_service:web"]"#).await;
    site.stop().await;
    assert!(kernel.shutdown(HANG).await.is_empty());
}

#[actix_rt::test]
async fn ca_h10_h11_classes_of_the_metadata_paths() {
    let replica = Replica::with_cluster(false).await;
    for (path, local, cluster) in [
        ("/api/v1/annotations/node/n1?filter=a/b", 403, 200),
        ("/api/v1/tags/pod", 200, 200),
        ("/api/v1/tags/pod/n1", 403, 200),
        ("/api/v1/tags/pod/n1/default", 404, 404),
        ("/api/v1/tags/pod/n1/default/p", 403, 200),
    ] {
        for (token, status) in [(LOCAL, local), (CLUSTER, cluster)] {
            assert_eq!(replica.site.call(&Call::get(path).bearer(token)).await.status, status, "{path} {token}");
        }
    }
    replica.site.stop().await;
}

#[actix_rt::test]
async fn every_route_is_counted_under_the_name_of_the_stock_server() {
    let replica = Replica::with_cluster(false).await;
    let routes = [
        ("/api/v1/tags/node/n1", "getNodeLabels"),
        ("/api/v1/annotations/node/n1", "getNodeAnnotations"),
        ("/api/v1/uid/node/n1", "getNodeUID"),
        ("/api/v1/info/node/n1", "getNodeInfo"),
        ("/api/v1/tags/namespace/default", "getNamespaceLabels"),
        ("/api/v1/metadata/namespace/default", "getNamespaceMetadata"),
        ("/api/v1/tags/pod/n1/default/p1", "getPodMetadata"),
        ("/api/v1/metadata/n1/default/p1", "getPodMetadata"),
        ("/api/v1/tags/pod/n1", "getPodMetadataForNode"),
        ("/api/v1/tags/pod", "getAllMetadata"),
    ];
    for (path, _) in routes {
        replica.get(path).await;
    }
    replica.get("/api/v1/tags/node/zz").await;
    replica.get("/api/v1/cluster/id").await;
    replica.get("/api/v1/cluster/eks-identity").await;
    let seen = replica.site.observations.0.lock().unwrap().clone();
    let others = [("getNodeLabels", 500), ("getClusterID", 503), ("getEKSClusterIdentity", 503)];
    let expected = routes.iter().map(|(_, handler)| (*handler, 200)).chain(others);
    assert_eq!(seen, expected.map(|(handler, status)| (handler.to_owned(), status, false)).collect::<Vec<_>>());
    replica.site.stop().await;
}

#[actix_rt::test]
async fn a_check_is_found_by_its_name_wherever_it_is() {
    let site = Site::start().await;
    let path = "/api/v1/postgres/checks";
    assert_eq!(site.get(path).await.text(), "[]");
    site.arrange(|cluster| {
        let mut secret = (*config("postgres")).clone();
        secret.config.instances = vec!["password: s3cr3t\n".into()];
        let secret = Arc::new(secret);
        cluster.endpoints.insert("node-a".to_owned(), vec![Arc::clone(&secret), config("redisdb")]);
        cluster.endpoints.insert("node-b".to_owned(), vec![secret]);
        cluster.dangling = vec![config("nginx")];
    })
    .await;
    for token in [CLUSTER, LOCAL] {
        let found = site.call(&Call::get(path).bearer(token)).await.json();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "each config once: {found}");
        assert_eq!(found[0]["check_name"], "postgres");
        assert_eq!(found[0]["instances"][0], "cGFzc3dvcmQ6ICoqKioqKioqCg==", "without its secrets");
    }
    assert_eq!(site.get("/api/v1/nginx/checks").await.json()[0]["check_name"], "nginx");
    site.arrange(|cluster| cluster.standing = Standing::Starting).await;
    assert_eq!(site.get(path).await.status, 503);
    site.stop().await;
    let site = Site::with(Setup { checks_enabled: false, ..Setup::default() }).await;
    assert_eq!(site.get(path).await.status, 404);
    site.stop().await;
}

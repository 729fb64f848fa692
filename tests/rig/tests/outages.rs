//! Control planes of their own, and what is done to them.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use muster_rig::{ControlPlane, Identity, Link, Options, RigError, Watch, pods, until};
use serde_json::json;
use tokio::time::timeout;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// Long enough for an answer that could come, short enough to wait for one that must not.
const SILENCE: Duration = Duration::from_secs(2);

async fn version(admin: &Identity) -> String {
    admin.get(MAPS).await.unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn next_type(watch: &mut Watch) -> String {
    watch.next().await.unwrap().unwrap()["type"].as_str().unwrap().to_owned()
}

/// A watch from `version` on is told that the version is too old.
async fn assert_gone(admin: &Identity, collection: &str, version: &str) {
    let event = admin.watch(collection, version).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
}

#[tokio::test]
async fn a_restarted_api_server_has_forgotten_old_versions() {
    let mut plane = ControlPlane::start(Options::bare().audit()).await.unwrap();
    let admin = plane.admin();
    let before = version(&admin).await;
    let mut watch = admin.watch(MAPS, &before).await.unwrap();
    admin.create(MAPS, &json!({"metadata": {"name": "seen"}})).await.unwrap();
    assert_eq!(next_type(&mut watch).await, "ADDED");

    plane.kill_api_server().unwrap();
    assert!(matches!(admin.get(MAPS).await, Err(RigError::Request { .. })));
    assert!(matches!(plane.kill_api_server(), Err(RigError::NotRunning { .. })));
    plane.restart_api_server().await.unwrap();
    assert_gone(&admin, MAPS, &before).await;

    let newest = version(&admin).await;
    plane.expire_watches().await.unwrap();
    assert_gone(&admin, MAPS, &newest).await;

    let audited = plane.audit().unwrap();
    assert!(audited.iter().any(|line| line["verb"] == "create" && line["user"]["username"] == "admin"), "{audited:?}");
}

async fn make_event(admin: &Identity, name: &str) {
    let object = json!({"kind": "Pod", "namespace": "default", "name": "web"});
    admin.create(EVENTS, &json!({"metadata": {"name": name}, "involvedObject": object})).await.unwrap();
}

#[tokio::test]
async fn a_compacted_etcd_has_forgotten_old_events_for_good() {
    let mut plane = ControlPlane::start(Options::bare()).await.unwrap();
    let admin = plane.admin();
    for name in ["first", "second"] {
        make_event(&admin, name).await;
    }
    let page = admin.get(&format!("{EVENTS}?limit=1")).await.unwrap()["metadata"].clone();
    let [old, next] = ["resourceVersion", "continue"].map(|field| page[field].as_str().unwrap().to_owned());
    make_event(&admin, "third").await;

    // No cache of the API server stands between events and etcd: its restart alone makes no version of theirs too old.
    plane.restart_api_server().await.unwrap();
    assert_eq!(next_type(&mut admin.watch(EVENTS, &old).await.unwrap()).await, "ADDED");
    assert!(plane.etcd_remembers(old.parse().unwrap()).await.unwrap());
    let revision = plane.compact_etcd().await.unwrap();
    assert!(revision > old.parse().unwrap());
    assert!(!plane.etcd_remembers(old.parse().unwrap()).await.unwrap());
    assert!(plane.etcd_remembers(revision).await.unwrap());
    assert_gone(&admin, EVENTS, &old).await;
    let refused = admin.get(&format!("{EVENTS}?limit=1&continue={next}")).await.unwrap_err();
    assert_eq!(refused.status(), Some(410), "{refused}");

    plane.restart_api_server().await.unwrap();
    assert_gone(&admin, EVENTS, &old).await;
}

#[tokio::test]
async fn a_cut_link_separates_one_client_only() {
    let [plane, other] = ControlPlane::start_several([Options::bare(), Options::bare()]).await.unwrap();
    assert_ne!((plane.folder(), plane.url()), (other.folder(), other.url()));
    let refused = other.admin().service_account("default", "nobody").await.unwrap_err();
    assert_eq!(refused.status(), Some(404));

    let admin = plane.admin();
    let link = Link::start(plane.host_port()).await.unwrap();
    let linked = admin.through(&link);
    let mut watch = linked.watch(MAPS, &version(&admin).await).await.unwrap();

    link.hang().await.unwrap();
    admin.create(MAPS, &json!({"metadata": {"name": "while-hanging"}})).await.unwrap();
    assert!(timeout(SILENCE, watch.next()).await.is_err());
    assert!(timeout(SILENCE, linked.get(MAPS)).await.is_err());
    link.mend().await.unwrap();
    assert_eq!(next_type(&mut watch).await, "ADDED");

    link.cut().await.unwrap();
    assert!(!matches!(watch.next().await, Ok(Some(_))));
    assert!(TcpStream::connect(link.address()).is_err());
    assert!(linked.get(MAPS).await.is_err());
    assert!(admin.get(MAPS).await.is_ok());
    link.mend().await.unwrap();
    assert!(linked.get(MAPS).await.is_ok());

    // A control plane without controllers has neither the objects of the other nor anybody who runs pods.
    assert_eq!(other.admin().get(&format!("{MAPS}/while-hanging")).await.unwrap_err().status(), Some(404));
    let nodes = ["n-1".to_owned(), "n-2".to_owned()];
    for node in &nodes {
        other.admin().make_node(node, &[("zone", "a")]).await.unwrap();
    }
    let path = "/api/v1/namespaces/default/pods";
    other.admin().create_all(path, pods("crowd", &nodes, 100)).await.unwrap();
    assert_eq!(other.admin().run_pods("default").await.unwrap(), 100);
    assert_eq!(other.admin().run_pods("default").await.unwrap(), 0);
    let list = other.admin().get(path).await.unwrap();
    let addresses: BTreeSet<&str> = list["items"].as_array().unwrap().iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
    assert_eq!(addresses.len(), 100);
}

#[tokio::test]
async fn more_control_planes_than_places_are_refused() {
    let asked = ControlPlane::start_several([(); 3].map(|()| Options::bare())).await;
    assert!(matches!(asked, Err(RigError::TooMany { asked: 3, .. })));
}

#[tokio::test]
async fn scheduled_pods_run_by_hand_without_kwok() {
    let plane = ControlPlane::start(Options::full().kwok(false)).await.unwrap();
    let admin = plane.admin();
    admin.make_node("by-hand", &[]).await.unwrap();
    let path = "/api/v1/namespaces/default/pods";
    admin.create_all(path, pods("waiting", &[], 5)).await.unwrap();
    let bound = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3Dby-hand";
    until("all pods are bound", async || admin.get(bound).await.unwrap()["items"].as_array().unwrap().len() == 5).await.unwrap();
    assert_eq!(admin.run_pods("default").await.unwrap(), 5);
}

//! etcd forgets what nobody has read yet.

use muster_rig::{ControlPlane, Identity};
use serde_json::Value as Json;

use crate::events::source::Source;
use crate::events::until_flowing;
use crate::intake::Intake;
use crate::world::{HOME, World, text};

const EVENTS: &str = "/api/v1/events";

/// Events that are created while no replica can read them.
const UNREAD: u32 = 60;

/// Cuts the replicas off, compacts etcd behind events that they have not read, restarts the API server, and proves that they had to list
/// everything: no watch from their version on brings these events any more.
pub async fn forget(world: &mut World, intake: &Intake, source: &Source) {
    for replica in &world.replicas {
        replica.link.cut().await.unwrap();
    }
    let admin = world.admin.clone();
    let page = admin.get(&format!("{EVENTS}?limit=1")).await.unwrap()["metadata"].clone();
    let [version, next] = ["resourceVersion", "continue"].map(|field| text(&page[field]));
    let before = source.next();
    world.until("events are created meanwhile", async || source.next() >= before + UNREAD).await;

    let old = version.parse().unwrap();
    assert!(world.plane.etcd_remembers(old).await.unwrap(), "it has everything until it is compacted");
    let revision = world.plane.compact_etcd().await.unwrap();
    assert!(revision >= old + u64::from(UNREAD) && !world.plane.etcd_remembers(old).await.unwrap(), "{old} {revision}");
    world.plane.restart_api_server().await.unwrap();
    assert_forgotten(&admin, &version, &next).await;

    let lists = lists(&world.plane);
    for replica in &world.replicas {
        replica.link.mend().await.unwrap();
    }
    until_flowing(world, intake, source).await;
    assert!(self::lists(&world.plane) > lists, "the leader listed what no watch brings\n{}", world.words());
}

/// A watch and a `continue` from this version are told that it is too old.
async fn assert_forgotten(admin: &Identity, version: &str, next: &str) {
    let told = admin.watch(EVENTS, version).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((told["type"].as_str(), told["object"]["code"].as_u64()), (Some("ERROR"), Some(410)), "{told}");
    let refused = admin.get(&format!("{EVENTS}?limit=1&continue={next}")).await.unwrap_err();
    assert_eq!(refused.status(), Some(410), "{refused}");
}

/// How often replicas began to list all events.
fn lists(plane: &ControlPlane) -> usize {
    let ours = |entry: &&Json| entry["user"]["username"] == format!("system:serviceaccount:{HOME}:muster-cluster");
    let begins = |entry: &&Json| {
        let uri = entry["requestURI"].as_str().unwrap_or_default();
        entry["verb"] == "list" && uri.split('?').next() == Some(EVENTS) && !uri.contains("continue=")
    };
    plane.audit().unwrap().iter().filter(ours).filter(begins).count()
}

//! Pods of runners come and go: their checks move once, as a block where somebody replaces them, and nobody else notices.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_rig::{HANG, PatchKind};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::ledger::Account;
use crate::scenery::{annotated, cluster_check};
use crate::world::{HOME, RUNNER_DEPLOYMENT as DEPLOYMENT, SHOP, Size, World, text};

/// Keeps a pod that is being deleted until this test says that its containers have ended, as its kubelet would. kwok ends pods at once.
const KUBELET: &str = "test.muster.io/kubelet";

const RUNNERS: usize = 6;

impl World {
    /// Looks again and again, with a model for each runner that has come in the meantime.
    async fn until_runners(&mut self, what: &str, mut look: impl AsyncFnMut(&World) -> bool) {
        let began = Instant::now();
        loop {
            self.follow_runners().await;
            if look(self).await {
                return;
            }
            assert!(began.elapsed() < HANG, "did not see in time that {what}: {:#?}\n{}", self.sets(), self.words());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runner -> number of its checks.
    fn sets(&self) -> BTreeMap<String, usize> {
        self.runners.accounts().into_iter().map(|(name, account)| (name, account.set.len())).collect()
    }

    /// The runners whose pods are being deleted.
    async fn leaving(&self) -> Vec<String> {
        let pods = self.runner_pods().await;
        let leaving = pods.iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
        leaving.map(|pod| text(&pod["metadata"]["name"])).collect()
    }

    /// The containers of a pod that is being deleted have ended; of another one they will end at once when it is deleted.
    async fn release(&self, pod: &str) {
        let patch = json!({"metadata": {"finalizers": null}});
        self.admin.patch(&pod_path(pod), PatchKind::Merge, &patch).await.unwrap();
    }

    async fn set_runners(&self, count: usize) {
        self.admin.patch(DEPLOYMENT, PatchKind::Merge, &json!({"spec": {"replicas": count}})).await.unwrap();
    }

    async fn roll_out(&self, template: Json) {
        self.admin.patch(DEPLOYMENT, PatchKind::Merge, &json!({"spec": {"template": template}})).await.unwrap();
    }
}

fn pod_path(pod: &str) -> String {
    format!("/api/v1/namespaces/{HOME}/pods/{pod}")
}

/// What is told to all runners but one.
fn others(world: &World, but: &str) -> BTreeMap<String, (i64, crate::ledger::Set)> {
    let others = world.runners.accounts().into_iter().filter(|(name, _)| name != but);
    others.map(|(name, Account { stamp, set, .. })| (name, (stamp, set))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_follow_the_pods_of_runners() {
    let size = Size { nodes: 3, runners: RUNNERS, cluster_checks: 60, endpoint_checks: 0, mistakes: 0, replicas: 2, lease_seconds: 6 };
    let mut world = World::prepare(size).await;
    // A runner is ready when it polls, which takes a moment after its start.
    world.admin.patch(DEPLOYMENT, PatchKind::Merge, &json!({"spec": {"minReadySeconds": 2}})).await.unwrap();
    world.roll_out(json!({"metadata": {"finalizers": [KUBELET]}})).await;
    world.until("the pods wait for their kubelet", async || world.runners_rolled_out().await).await;
    world.run().await;

    a_replacement_takes_the_set_over(&mut world).await;
    without_a_replacement_the_others_share(&mut world).await;
    a_pod_that_is_gone_at_once(&mut world).await;
    a_rolling_update_moves_each_check_once(&mut world).await;
    world.assert_rights_suffice();
}

async fn a_replacement_takes_the_set_over(world: &mut World) {
    let victim = world.sets().into_keys().next().unwrap();
    let set = world.runners.account(&victim).set;
    assert!(!set.is_empty());
    let (before, given) = (others(world, &victim), world.runners.given());
    world.admin.delete(&pod_path(&victim)).await.unwrap();
    let mut came_at = None;
    let replaced = async |world: &World| {
        let sets = others(world, &victim);
        let new = sets.iter().find(|(name, _)| !before.contains_key(*name));
        came_at = came_at.or(new.map(|_| Instant::now()));
        new.is_some_and(|(_, (_, held))| *held == set) && world.runners.account(&victim).set.is_empty()
    };
    world.until_runners("the replacement holds the whole set, and the old runner none of it", replaced).await;
    println!("a deleted runner: its set of {} on its replacement {:?} after that one's first poll", set.len(), came_at.unwrap().elapsed());
    world.release(&victim).await;
    world.until_runners("the pod is gone", async |world| !world.sets().contains_key(&victim)).await;
    world.until_settled().await;
    let mut now = others(world, &victim);
    now.retain(|name, _| before.contains_key(name));
    assert_eq!(now, before, "the others were told something");
    assert_eq!(world.runners.given() - given, set.len() as u64, "each check moves once");
    world.runners.assert_well();
}

async fn without_a_replacement_the_others_share(world: &mut World) {
    let given = world.runners.given();
    world.set_runners(RUNNERS - 1).await;
    world.until("a runner leaves", async || !world.leaving().await.is_empty()).await;
    let (began, victim) = (Instant::now(), world.leaving().await.remove(0));
    let set = world.runners.account(&victim).set;
    assert!(!set.is_empty());
    let drained = async |world: &World| world.runners.account(&victim).set.is_empty() && world.complete();
    world.until_runners("the others share the set", drained).await;
    println!("scaled down by one: its {} checks run elsewhere {:?} after the deletion", set.len(), began.elapsed());
    world.release(&victim).await;
    world.until_runners("the pod is gone", async |world| !world.sets().contains_key(&victim)).await;
    world.until_settled().await;
    assert_eq!(world.runners.given() - given, set.len() as u64, "each check moves once");
    world.runners.assert_well();
}

async fn a_pod_that_is_gone_at_once(world: &mut World) {
    let given = world.runners.given();
    let victim = world.sets().into_keys().next().unwrap();
    let set = world.runners.account(&victim).set;
    world.release(&victim).await;
    let began = Instant::now();
    world.admin.delete(&pod_path(&victim)).await.unwrap();
    let shared = async |world: &World| !world.sets().contains_key(&victim) && world.complete();
    world.until_runners("its checks run elsewhere", shared).await;
    println!("a runner gone at once: its {} checks run elsewhere {:?} after the deletion", set.len(), began.elapsed());
    world.until_settled().await;
    assert_eq!(world.runners.given() - given, set.len() as u64, "each check moves once");
    world.runners.assert_well();
}

async fn a_rolling_update_moves_each_check_once(world: &mut World) {
    world.set_runners(RUNNERS).await;
    world.until_runners("all runners are there", async |world| world.runners_rolled_out().await && world.sets().len() == RUNNERS).await;
    // The runners that have come are empty: what is new goes to them.
    let services = format!("/api/v1/namespaces/{SHOP}/services");
    for number in world.size.cluster_checks..world.size.cluster_checks + 24 {
        world.admin.create(&services, &annotated(&format!("cluster-{number}"), &cluster_check(number))).await.unwrap();
    }
    world.size.cluster_checks += 24;
    world.until_settled().await;
    assert!(world.sets().values().all(|held| *held > 0), "{:#?}", world.sets());

    let (before, given) = (world.sets(), world.runners.given());
    world.roll_out(json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}})).await;
    let mut ended = Vec::new();
    let rolled = async |world: &World| {
        for pod in world.leaving().await {
            if world.runners.account(&pod).set.is_empty() && !ended.contains(&pod) {
                world.release(&pod).await;
                ended.push(pod);
            }
        }
        ended.len() == RUNNERS
    };
    world.until_runners("all runners are new, and each was drained before its end", rolled).await;
    world.until_runners("the old ones are gone", async |world| world.runners_rolled_out().await && world.sets().len() == RUNNERS).await;
    assert!(before.keys().all(|old| !world.sets().contains_key(old)));
    world.until_settled().await;
    let moves = world.runners.given() - given;
    let per_check = moves as f64 / world.size.cluster_checks as f64;
    println!("a rolling update of {RUNNERS} runners with surge: {per_check:.3} moves per check");
    assert!(per_check <= 1.05, "{moves} moves of {} checks\n{}", world.size.cluster_checks, world.words());
    world.runners.assert_well();
}

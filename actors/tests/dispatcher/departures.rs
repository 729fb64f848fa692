//! Nodes whose pod or Kubernetes node goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::plan::Trigger;
use muster_actors::domain::ids::{ConfigKey, NodeName, Stamp};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::kube::objects::{Kind, KubeObject, KubePod, ObjectKey};
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::world::{DanglingReason, NodeKind, Presence};
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::informer::ObjectsChanged;
use muster_actors::messages::rebalancer::{Evaluate, Outcome};
use muster_actors::testing::lease_store::LockService;
use muster_actors::testing::pods::{NAMESPACE, controlled, deployed, kubernetes_node, observed, pod, terminating};

use crate::cluster::{Cluster, instance};

const NOTHING: ObjectsChanged = ObjectsChanged { kind: Kind::Pods, reset: false, applied: Vec::new(), gone: Vec::new(), synced: true };

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn runner(name: &str) -> KubePod {
    deployed("runners", "77aa", name)
}

fn place(set: &[Arc<muster_actors::domain::config::DispatchedConfig>]) -> Vec<ConfigKey> {
    set.iter().map(|config| config.key).collect()
}

/// A cluster with runners of one Deployment, and configs on them.
struct Site {
    universe: Universe,
    cluster: Cluster,
}

impl Site {
    async fn with(universe: &Universe, runners: &[&str], configs: u32) -> Self {
        let cluster = Cluster::watching(universe, runners).await;
        let site = Self { universe: universe.clone(), cluster };
        site.list(runners).await;
        let configs: Vec<_> = (0..configs).map(instance).collect();
        site.cluster.discover(&configs).await;
        site
    }

    /// A complete listing of exactly these runners.
    async fn list(&self, runners: &[&str]) {
        let applied = runners.iter().map(|name| observed(&runner(name))).collect();
        self.cluster.objects(ObjectsChanged { reset: true, applied, ..NOTHING }).await;
    }

    async fn apply(&self, pod: &KubePod) {
        self.cluster.objects(ObjectsChanged { applied: vec![observed(pod)], ..NOTHING }).await;
    }

    /// The pod is there; its agent has not polled.
    async fn create(&self, name: &str) {
        self.apply(&runner(name)).await;
    }

    async fn terminate(&self, name: &str) {
        self.apply(&terminating(runner(name))).await;
    }

    async fn delete(&self, name: &str) {
        self.cluster.objects(ObjectsChanged { gone: vec![ObjectKey::new(NAMESPACE, name)], ..NOTHING }).await;
    }

    async fn poll(&self, name: &str) {
        self.cluster.poll(name, -1).await;
        self.universe.settle().await;
    }

    fn count(&self, node: &str) -> usize {
        self.cluster.set(node).len()
    }

    fn is_registered(&self, node: &str) -> bool {
        self.cluster.served().nodes.contains_key(node)
    }

    fn presence(&self, node: &str) -> Presence {
        self.cluster.served().nodes[node].presence
    }

    fn moves(&self) -> BTreeMap<Cause, u64> {
        self.cluster.served().counters.moves.clone()
    }

    fn all_moves(&self) -> u64 {
        self.moves().values().sum()
    }

    fn everything(&self) -> BTreeMap<NodeName, (Stamp, Vec<ConfigKey>)> {
        let served = self.cluster.served();
        served.nodes.iter().map(|(name, entry)| (name.clone(), (entry.view.stamp, place(&entry.view.configs)))).collect()
    }
}

#[test]
fn the_set_of_a_deleted_runner_goes_to_its_successor_as_a_block_in_one_turn() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.create("r4").await;
        site.poll("r4").await;
        let (before, decided) = (site.everything(), site.cluster.served().shown);
        let of_r1 = site.cluster.keys("r1");
        site.delete("r1").await;
        assert!(!site.is_registered("r1"));
        assert_eq!((site.cluster.keys("r4"), of_r1.len()), (of_r1, 10));
        assert_eq!(site.cluster.served().shown.0, decided.0 + 1, "one turn");
        let after = site.everything();
        for other in ["r2", "r3"] {
            assert_eq!(before[other], after[other], "{other} is not touched");
        }
        assert_eq!(site.moves(), BTreeMap::from([(Cause::Succeeded, 10)]));
        assert_eq!((site.cluster.served().counters.deleted_nodes, site.cluster.served().counters.expired_nodes), (1, 0));
    });
}

#[test]
fn cc_t57_the_set_of_a_terminating_runner_goes_to_its_empty_successor_and_nobody_else_is_touched() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 6).await;
        site.create("r4").await;
        site.poll("r4").await;
        let (before, of_r1) = (site.everything(), site.cluster.keys("r1"));
        site.terminate("r1").await;
        assert_eq!((site.cluster.keys("r4"), of_r1.len()), (of_r1.clone(), 2));
        site.cluster.keep_polling(&["r1", "r2", "r3", "r4"], seconds(65)).await;
        let asked = Evaluate { trigger: Trigger::Manual, force: false, dry_run: false };
        let looked = site.cluster.rebalancer(asked).await.expect("it leads");
        assert_eq!((looked.outcome, looked.plan.moves.len()), (Outcome::Nothing, 0));
        let after = site.everything();
        for other in ["r2", "r3"] {
            assert_eq!(before[other], after[other], "{other} is not touched");
        }
        assert_eq!(site.cluster.keys("r4"), of_r1);
    });
}

#[test]
fn runners_that_are_rolled_one_by_one_move_each_check_once() {
    universe::run(1, |universe| async move {
        let old: Vec<_> = (0..10).map(|number| format!("old-{number}")).collect();
        let old: Vec<_> = old.iter().map(String::as_str).collect();
        let site = Site::with(&universe, &old, 200).await;
        let mut polling = old.clone();
        let new: Vec<_> = (0..10).map(|number| format!("new-{number}")).collect();
        for (leaving, coming) in old.iter().zip(&new) {
            site.apply(&deployed("runners", "99bb", coming)).await;
            site.cluster.keep_polling(&polling, seconds(3)).await;
            polling.push(coming);
            site.cluster.keep_polling(&polling, seconds(7)).await;
            site.terminate(leaving).await;
            assert_eq!(site.count(leaving), 0, "drained before it dies");
            site.cluster.keep_polling(&polling, seconds(3)).await;
            polling.retain(|node| node != leaving);
            site.delete(leaving).await;
            assert!(!site.is_registered(leaving));
        }
        assert!(site.all_moves() * 100 <= 200 * 105, "{:?}", site.moves());
        for coming in &new {
            assert_eq!(site.count(coming), 20);
        }
    });
}

#[test]
fn without_a_successor_the_others_share_the_set_before_the_pod_is_gone() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.terminate("r1").await;
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::HandingOver, 10), "a successor may appear");
        universe.advance(millis(600)).await;
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::Draining, 0));
        assert_eq!((site.count("r2"), site.count("r3")), (15, 15));
        assert_eq!(site.moves(), BTreeMap::from([(Cause::NodeDraining, 10)]));
        site.cluster.discover(&[instance(100)]).await;
        assert_eq!(site.count("r1"), 0, "and gets nothing although it holds the least");
    });
}

#[test]
fn a_deleted_runner_without_a_successor_is_shared_at_once() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.delete("r1").await;
        assert!(!site.is_registered("r1"));
        assert_eq!((site.count("r2"), site.count("r3")), (15, 15));
        assert_eq!(site.moves(), BTreeMap::from([(Cause::NodeDeleted, 10)]));
    });
}

#[test]
fn a_terminating_runner_keeps_its_set_until_the_successor_registers() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        let of_r1 = site.cluster.keys("r1");
        site.terminate("r1").await;
        universe.advance(millis(100)).await;
        site.create("r4").await;
        site.cluster.keep_polling(&["r1", "r2", "r3"], seconds(6)).await;
        assert_eq!((site.presence("r1"), site.cluster.keys("r1")), (Presence::HandingOver, of_r1.clone()));
        site.cluster.discover(&[instance(100), instance(101)]).await;
        assert_eq!(site.count("r1"), 10, "it gets nothing more");
        site.poll("r4").await;
        assert_eq!((site.cluster.keys("r4"), site.count("r1")), (of_r1, 0));
        assert_eq!(site.moves(), BTreeMap::from([(Cause::Succeeded, 10)]));
    });
}

#[test]
fn nobody_waits_for_a_successor_longer_than_ten_seconds_or_than_its_pod_runs() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.terminate("r1").await;
        site.create("r4").await;
        site.cluster.keep_polling(&["r1", "r2", "r3"], seconds(9)).await;
        assert_eq!(site.count("r1"), 10);
        site.cluster.keep_polling(&["r1", "r2", "r3"], seconds(2)).await;
        assert_eq!((site.count("r1"), site.count("r2"), site.count("r3")), (0, 15, 15));

        site.terminate("r2").await;
        site.cluster.keep_polling(&["r2", "r3"], seconds(1)).await;
        assert_eq!(site.count("r2"), 15);
        site.delete("r2").await;
        assert_eq!(site.count("r3"), 30);
    });
}

#[test]
fn two_runners_have_two_successors() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        let (of_r1, of_r2) = (site.cluster.keys("r1"), site.cluster.keys("r2"));
        for name in ["r4", "r5"] {
            site.create(name).await;
            site.poll(name).await;
            universe.advance(seconds(1)).await;
        }
        let applied = ["r1", "r2"].map(|name| observed(&terminating(runner(name)))).into();
        site.cluster.objects(ObjectsChanged { applied, ..NOTHING }).await;
        assert_eq!((site.cluster.keys("r5"), site.cluster.keys("r4")), (of_r1, of_r2));
        assert_eq!(site.moves(), BTreeMap::from([(Cause::Succeeded, 20)]));
    });
}

#[test]
fn runners_that_all_go_at_once_do_not_hand_their_sets_around() {
    universe::run(1, |universe| async move {
        let old = ["r1", "r2", "r3"];
        let site = Site::with(&universe, &old, 30).await;
        for name in old {
            site.terminate(name).await;
        }
        for name in ["n1", "n2", "n3"] {
            site.create(name).await;
        }
        universe.advance(seconds(2)).await;
        site.delete("r1").await;
        assert_eq!((site.count("r2"), site.count("r3"), site.cluster.served().dangling.len()), (10, 10, 10));
        site.poll("n1").await;
        site.poll("n2").await;
        assert_eq!((site.count("n1"), site.count("n2"), site.count("r2") + site.count("r3")), (20, 10, 0));
        assert_eq!(site.all_moves(), 20);
    });
}

#[test]
fn runners_of_other_deployments_are_no_successors() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.apply(&deployed("others", "77aa", "o1")).await;
        site.poll("o1").await;
        site.delete("r1").await;
        assert_eq!((site.count("o1"), site.count("r2"), site.count("r3")), (10, 10, 10));
        assert_eq!(site.moves(), BTreeMap::from([(Cause::NodeDeleted, 10)]), "it got them for holding the least");
    });
}

#[test]
fn the_last_runner_keeps_what_it_has_until_somebody_else_registers() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1"], 5).await;
        site.terminate("r1").await;
        universe.advance(seconds(1)).await;
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::Draining, 5));
        site.cluster.discover(&[instance(100)]).await;
        let served = site.cluster.served();
        assert_eq!((site.count("r1"), served.dangling[0].reason), (5, DanglingReason::NoEligibleNode));
        site.create("r2").await;
        site.poll("r2").await;
        assert_eq!((site.count("r1"), site.count("r2")), (0, 6));
        site.delete("r2").await;
        site.delete("r1").await;
        let served = site.cluster.served();
        assert_eq!((served.dangling.len(), served.dangling[0].reason), (6, DanglingReason::NoNode));
    });
}

#[test]
fn a_runner_that_polls_although_its_pod_is_gone_gets_nothing_until_it_is_silent() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2"], 10).await;
        site.delete("r1").await;
        universe.advance(millis(10)).await;
        for _ in 0..40 {
            site.poll("r1").await;
            site.poll("r2").await;
            assert_eq!((site.presence("r1"), site.count("r1"), site.count("r2")), (Presence::Draining, 0, 10));
            universe.advance(seconds(1)).await;
        }
        assert!(!site.cluster.poll("r1", 77).await.up_to_date, "it is told that its set is empty");
        site.cluster.keep_polling(&["r2"], seconds(33)).await;
        assert!(!site.is_registered("r1"));
        assert_eq!(site.all_moves(), 5, "nothing flapped");
    });
}

#[test]
fn a_pod_that_returns_under_its_name_keeps_its_set() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r2"], 0).await;
        let of_a_set = controlled(pod("set-0"), "StatefulSet", "set");
        site.apply(&of_a_set).await;
        site.poll("set-0").await;
        let configs: Vec<_> = (0..10).map(instance).collect();
        site.cluster.discover(&configs).await;
        let before = site.everything();
        site.apply(&terminating(of_a_set.clone())).await;
        site.cluster.keep_polling(&["r2"], seconds(5)).await;
        site.delete("set-0").await;
        site.cluster.keep_polling(&["r2"], seconds(15)).await;
        let mut next = of_a_set;
        next.meta.uid = "another".into();
        site.apply(&next).await;
        site.poll("set-0").await;
        assert_eq!(site.everything(), before);
        site.cluster.keep_polling(&["r2"], seconds(33)).await;
        assert!(!site.is_registered("set-0"), "heartbeats judge it");
    });
}

#[test]
fn another_pod_of_the_same_name_is_staying() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2"], 10).await;
        site.terminate("r1").await;
        universe.advance(seconds(1)).await;
        assert_eq!(site.count("r1"), 0);
        site.delete("r1").await;
        let mut next = runner("r1");
        next.meta.uid = "another".into();
        site.apply(&next).await;
        site.poll("r1").await;
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::Staying, 0));
        site.cluster.discover(&[instance(100)]).await;
        assert_eq!(site.count("r1"), 1);
    });
}

#[test]
fn a_listing_that_is_not_complete_removes_nobody() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        let before = site.everything();
        site.cluster.objects(ObjectsChanged { reset: true, synced: false, ..NOTHING }).await;
        let applied = vec![observed(&runner("r2"))];
        site.cluster.objects(ObjectsChanged { applied, synced: false, ..NOTHING }).await;
        site.cluster.keep_polling(&["r1", "r2", "r3"], seconds(60)).await;
        assert_eq!(site.everything(), before);
        site.cluster.objects(ObjectsChanged { applied: vec![observed(&runner("r3"))], ..NOTHING }).await;
        assert!(!site.is_registered("r1"));
        assert_eq!((site.count("r2"), site.count("r3")), (15, 15));
    });
}

#[test]
fn an_hour_without_the_api_server_changes_nothing() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        let before = site.everything();
        site.cluster.keep_polling(&["r1", "r2", "r3"], seconds(3600)).await;
        assert_eq!(site.everything(), before);
        site.list(&["r1", "r2", "r3"]).await;
        assert_eq!(site.everything(), before);
    });
}

#[test]
fn a_pod_that_is_not_ready_is_shown_as_suspect_and_nothing_else_happens() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2"], 10).await;
        let before = site.everything();
        site.apply(&KubePod { ready: false, ..runner("r1") }).await;
        site.cluster.keep_polling(&["r1", "r2"], seconds(40)).await;
        assert_eq!(site.everything(), before);
        let seen = site.cluster.observe_membership().await;
        assert_eq!((&seen["nodes"]["r1"]["state"], &seen["nodes"]["r2"]["state"]), (&"suspect".into(), &"alive".into()));
        assert_eq!((&seen["pods_synced"], &seen["kubernetes_nodes_synced"]), (&true.into(), &false.into()));
    });
}

#[test]
fn node_agents_die_with_their_kubernetes_node() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::watching(&universe, &[]).await;
        for agent in ["k1-prod", "k2"] {
            cluster.beat(agent, None, NodeKind::NodeAgent, CheckCompatibility::default()).await;
        }
        let applied = ["k1", "k2"].map(|name| KubeObject::Node(Arc::new(kubernetes_node(name)))).into();
        cluster.objects(ObjectsChanged { kind: Kind::Nodes, reset: true, applied, ..NOTHING }).await;
        let configs: Vec<_> = (0..10).map(instance).collect();
        cluster.discover(&configs).await;
        assert_eq!((cluster.set("k1-prod").len(), cluster.set("k2").len()), (5, 5));
        cluster.objects(ObjectsChanged { kind: Kind::Nodes, gone: vec![ObjectKey::new("", "k1")], ..NOTHING }).await;
        assert!(!cluster.served().nodes.contains_key("k1-prod"));
        assert_eq!(cluster.set("k2").len(), 10);
    });
}

#[test]
fn a_membership_that_panics_asks_its_informers_and_goes_on_draining() {
    universe::run(1, |universe| async move {
        let site = Site::with(&universe, &["r1", "r2"], 10).await;
        assert_eq!(site.cluster.informer_asked(), 1);
        site.terminate("r1").await;
        universe.advance(seconds(1)).await;
        universe.expect_panics(1);
        assert!(site.cluster.crash("Membership"));
        universe.settle().await;
        universe.settle().await;
        assert_eq!(site.cluster.informer_asked(), 2);
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::Draining, 0), "the table remembers");
        let applied = vec![observed(&terminating(runner("r1"))), observed(&runner("r2"))];
        site.cluster.objects(ObjectsChanged { reset: true, applied, ..NOTHING }).await;
        site.cluster.discover(&[instance(100)]).await;
        site.cluster.keep_polling(&["r1", "r2"], seconds(12)).await;
        assert_eq!((site.presence("r1"), site.count("r1"), site.count("r2")), (Presence::Draining, 0, 11));
        site.delete("r1").await;
        assert!(!site.is_registered("r1"));
    });
}

#[test]
fn a_restarted_server_places_nothing_on_a_node_that_was_draining() {
    universe::run(1, |universe| async move {
        let mut site = Site::with(&universe, &["r1", "r2"], 10).await;
        site.terminate("r1").await;
        universe.advance(seconds(1)).await;
        site.cluster = site.cluster.kill_and_restart().await;
        assert_eq!(site.presence("r1"), Presence::Draining);
        site.cluster.discover(&[instance(100)]).await;
        assert_eq!((site.count("r1"), site.count("r2")), (0, 11));
        // The pod went while nobody watched.
        site.list(&["r2"]).await;
        site.cluster.keep_polling(&["r2"], seconds(33)).await;
        assert!(!site.is_registered("r1"));
    });
}

#[test]
fn a_replica_that_is_promoted_knows_whose_pod_has_gone_meanwhile() {
    universe::run(1, |universe| async move {
        let mut site = Site::with(&universe, &["r1", "r2", "r3"], 30).await;
        site.create("r4").await;
        site.poll("r4").await;
        let of_r1 = site.cluster.keys("r1");
        site.cluster = site.cluster.kill_and_restart_without_lease().await;
        // A follower watches pods although nobody polls it.
        site.list(&["r1", "r2", "r3", "r4"]).await;
        site.delete("r1").await;
        universe.advance(seconds(5)).await;
        site.cluster.lease.set(LockService::Up);
        universe.advance(seconds(6)).await;
        assert_eq!((site.presence("r1"), site.count("r1")), (Presence::Draining, 0));
        assert_eq!(site.cluster.keys("r4"), of_r1);
    });
}

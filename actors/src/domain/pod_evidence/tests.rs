use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::pods::{NAMESPACE, controlled, deployed, kubernetes_node, observed, pod, terminating};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(NAMESPACE, name)
}

struct World {
    evidence: PodEvidence,
    now: u64,
}

impl World {
    fn new() -> Self {
        Self { evidence: PodEvidence::new(NAMESPACE, "prod"), now: 100 }
    }

    fn report(&mut self, reset: bool, pods: &[KubePod], gone: &[ObjectKey], synced: bool) -> bool {
        let applied: Vec<_> = pods.iter().map(observed).collect();
        self.now += 1;
        self.evidence.take_in(&Report { kind: Kind::Pods, reset, applied: &applied, gone, synced }, at(self.now))
    }

    fn listed(pods: &[KubePod]) -> Self {
        let mut world = Self::new();
        world.report(true, pods, &[], true);
        world
    }

    fn applied(&mut self, pod: &KubePod) -> bool {
        self.report(false, std::slice::from_ref(pod), &[], true)
    }

    fn deleted(&mut self, name: &str) -> bool {
        self.report(false, &[], &[key(name)], true)
    }

    fn of(&self, name: &str) -> Testimony {
        self.evidence.of(&name.into(), NodeKind::Runner)
    }
}

const RUNNING: Testimony = Testimony::Running { ready: true };

#[test]
fn a_pod_that_was_never_seen_says_nothing() {
    let mut world = World::listed(&[pod("a")]);
    assert_eq!((world.of("a"), world.of("b")), (RUNNING, Testimony::Unknown));
    world.deleted("b");
    assert_eq!(world.of("b"), Testimony::Unknown);
}

#[test]
fn a_pod_terminates_and_is_gone_and_never_comes_back() {
    let mut world = World::listed(&[pod("a")]);
    world.applied(&terminating(pod("a")));
    assert_eq!(world.of("a"), Testimony::Leaving { since: at(102) });
    world.applied(&terminating(pod("a")));
    assert_eq!(world.of("a"), Testimony::Leaving { since: at(102) }, "since it was seen first");
    world.report(true, &[pod("a")], &[], true);
    assert_eq!(world.of("a"), Testimony::Leaving { since: at(102) }, "a listing from an old cache");
    world.deleted("a");
    assert_eq!(world.of("a"), Testimony::Gone { at: at(105) });
    world.report(true, &[pod("a")], &[], true);
    assert_eq!(world.of("a"), Testimony::Gone { at: at(105) });
}

#[test]
fn what_says_nothing_new_is_no_change() {
    let mut world = World::listed(&[pod("a"), pod("b")]);
    assert!(!world.applied(&pod("a")) && !world.report(true, &[pod("a"), pod("b")], &[], true) && !world.deleted("c"));
    assert!(world.applied(&terminating(pod("a"))) && !world.applied(&terminating(pod("a"))));
    assert!(world.deleted("a") && !world.deleted("a"));
    assert!(world.applied(&pod("c")));
    assert!(world.report(true, &[pod("b")], &[], true), "c is not listed");
}

#[test]
fn a_pod_that_ended_is_gone() {
    for phase in ["Failed", "Succeeded"] {
        let mut world = World::listed(&[pod("a")]);
        world.applied(&KubePod { phase: phase.into(), ..pod("a") });
        assert_eq!(world.of("a"), Testimony::Gone { at: at(102) });
    }
}

#[test]
fn a_pod_that_is_not_ready_only_says_so() {
    let world = World::listed(&[KubePod { ready: false, ..pod("a") }]);
    assert_eq!(world.of("a"), Testimony::Running { ready: false });
}

#[test]
fn another_pod_of_the_same_name_is_another_incarnation() {
    let mut world = World::listed(&[pod("a")]);
    world.applied(&terminating(pod("a")));
    world.deleted("a");
    let mut next = pod("a");
    next.meta.uid = "another".into();
    world.applied(&next);
    assert_eq!(world.of("a"), RUNNING);
}

#[test]
fn the_end_of_a_pod_that_returns_under_its_name_is_no_evidence() {
    let of_a_set = controlled(pod("a-0"), "StatefulSet", "a");
    let mut world = World::listed(std::slice::from_ref(&of_a_set));
    world.applied(&terminating(of_a_set.clone()));
    assert_eq!(world.of("a-0"), RUNNING);
    world.applied(&KubePod { phase: "Failed".into(), ..of_a_set });
    assert_eq!(world.of("a-0"), RUNNING);
    world.deleted("a-0");
    assert_eq!(world.of("a-0"), Testimony::Unknown);
}

#[test]
fn pods_of_other_namespaces_say_nothing() {
    let mut elsewhere = pod("a");
    elsewhere.meta.key = ObjectKey::new("elsewhere", "a");
    let mut world = World::listed(&[elsewhere.clone()]);
    assert_eq!(world.of("a"), Testimony::Unknown);
    world.applied(&pod("a"));
    world.applied(&terminating(elsewhere));
    world.report(false, &[], &[ObjectKey::new("elsewhere", "a")], true);
    assert_eq!(world.of("a"), RUNNING);
}

#[test]
fn only_a_complete_listing_proves_that_what_it_does_not_name_is_gone() {
    let mut world = World::listed(&[pod("a"), pod("b"), pod("c")]);
    world.report(true, &[], &[], false);
    assert_eq!((world.of("a"), world.of("b")), (RUNNING, RUNNING));
    world.report(false, &[pod("a")], &[], false);
    assert_eq!((world.of("a"), world.of("b")), (RUNNING, RUNNING));
    world.report(true, &[pod("c")], &[], false);
    world.report(false, &[pod("b")], &[], true);
    assert_eq!((world.of("a"), world.of("b"), world.of("c")), (Testimony::Gone { at: at(105) }, RUNNING, RUNNING));
}

#[test]
fn node_agents_are_found_by_their_kubernetes_node_with_and_without_the_cluster_name() {
    let mut evidence = PodEvidence::new(NAMESPACE, "prod");
    let node = KubeObject::Node(Arc::new(kubernetes_node("k1")));
    let report = Report { kind: Kind::Nodes, reset: true, applied: &[node], gone: &[], synced: true };
    evidence.take_in(&report, at(1));
    assert_eq!(evidence.synced(), (false, true));
    let gone = Report { reset: false, applied: &[], gone: &[ObjectKey::new("", "k1")], ..report };
    evidence.take_in(&gone, at(2));
    for (name, kind, expected) in [
        ("k1", NodeKind::NodeAgent, Testimony::Gone { at: at(2) }),
        ("k1-prod", NodeKind::NodeAgent, Testimony::Gone { at: at(2) }),
        ("k1-prod", NodeKind::Unknown, Testimony::Gone { at: at(2) }),
        ("k1", NodeKind::Runner, Testimony::Unknown),
        ("k1-test", NodeKind::NodeAgent, Testimony::Unknown),
        ("k2", NodeKind::NodeAgent, Testimony::Unknown),
    ] {
        assert_eq!(evidence.of(&name.into(), kind), expected, "{name} {kind:?}");
    }
}

#[test]
fn replica_sets_of_one_deployment_are_one_lineage() {
    let world = World::listed(&[
        deployed("runners", "6d4f", "a"),
        deployed("runners", "77aa", "b"),
        deployed("others", "6d4f", "c"),
        controlled(pod("d"), "ReplicaSet", "runners"),
        controlled(pod("e"), "ReplicaSet", "runners"),
        pod("f"),
    ]);
    let lineage = |name: &str| world.evidence.lineage(&name.into());
    assert!(lineage("a").is_some() && lineage("a") == lineage("b"));
    assert_ne!(lineage("a"), lineage("c"));
    assert!(lineage("d").is_some() && lineage("d") == lineage("e"));
    assert_ne!(lineage("a"), lineage("d"), "a ReplicaSet that no Deployment made");
    assert_eq!(lineage("f"), None);
    let awaited = world.evidence.awaited(|name| name == "a");
    assert_eq!(awaited.values().copied().collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn ends_are_forgotten_after_ten_minutes_unless_somebody_still_polls() {
    let mut world = World::listed(&[pod("a"), pod("b")]);
    world.deleted("a");
    world.deleted("b");
    world.evidence.forget_old(at(101 + 600), |_| false);
    assert_ne!(world.of("b"), Testimony::Unknown);
    world.evidence.forget_old(at(103 + 600), |name| name == "a");
    assert_eq!((world.of("a"), world.of("b")), (Testimony::Gone { at: at(102) }, Testimony::Unknown));
}

/// What an informer may tell, in any order, while no listing is ever complete and nothing is named as gone.
fn unfinished() -> impl Strategy<Value = (bool, Vec<usize>)> {
    (any::<bool>(), vec(0usize..4, 0..4))
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #[test]
    fn nothing_is_gone_because_a_listing_is_not_complete(reports in vec(unfinished(), 0..12)) {
        let mut world = World::listed(&NAMES.map(pod));
        for (reset, named) in reports {
            let named: Vec<_> = named.into_iter().map(|number| pod(NAMES[number])).collect();
            world.report(reset, &named, &[], false);
            for name in NAMES {
                prop_assert_eq!(world.of(name), RUNNING);
            }
        }
    }

    #[test]
    fn of_one_pod_the_end_only_gets_closer(steps in vec(0u8..6, 0..20)) {
        let mut world = World::listed(&[pod("a")]);
        let rank = |testimony| match testimony {
            Testimony::Unknown | Testimony::Running { .. } => 0,
            Testimony::Leaving { .. } => 1,
            Testimony::Gone { .. } => 2,
        };
        let mut before = 0;
        for step in steps {
            let _ = match step {
                0 => world.applied(&pod("a")),
                1 => world.applied(&terminating(pod("a"))),
                2 => world.report(true, &[pod("a")], &[], true),
                3 => world.report(true, &[], &[], false),
                4 => world.report(true, &[], &[], true),
                _ => world.deleted("a"),
            };
            let now = rank(world.of("a"));
            prop_assert!(now >= before, "{} after {}", now, before);
            before = now;
        }
    }
}

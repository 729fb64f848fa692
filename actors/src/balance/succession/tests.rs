use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::balance::least_count::place_batch;
use crate::domain::assignment::Placement;
use crate::domain::constraints::ConstraintChange;
use crate::domain::handover::Handover;
use crate::domain::ids::Epoch;
use crate::domain::invariants::{Permitted, check_planned, check_table, check_turn};
use crate::domain::journal::Cause;
use crate::domain::kube::objects::Kind;
use crate::domain::node::{CheckCompatibility, NodeFacts};
use crate::domain::pod_evidence::{PodEvidence, Report};
use crate::domain::turn::Turn;
use crate::domain::world::{DanglingReason, Presence};
use crate::testing::configs::{config_with, named_config};
use crate::testing::pods::{NAMESPACE, deployed, observed};

/// Pods a0, a1, ... of Deployment a and b0, b1, ... of Deployment b.
struct World {
    evidence: PodEvidence,
    names: Vec<NodeName>,
}

impl World {
    fn new() -> Self {
        let names: Vec<_> = ["a", "b"].iter().flat_map(|deployment| (0..8).map(move |number| (*deployment, number))).collect();
        let pods: Vec<_> =
            names.iter().map(|(deployment, number)| observed(&deployed(deployment, "77", &format!("{deployment}{number}")))).collect();
        let mut evidence = PodEvidence::new(NAMESPACE, "");
        evidence.take_in(&Report { kind: Kind::Pods, reset: true, applied: &pods, gone: &[], synced: true }, Duration::ZERO);
        Self { evidence, names: names.iter().map(|(deployment, number)| NodeName::from(format!("{deployment}{number}"))).collect() }
    }

    fn name(&self, name: &str) -> &NodeName {
        self.names.iter().find(|known| known.as_str() == name).unwrap()
    }

    fn leaver(&self, name: &str, held: usize, leaving_for: Option<u64>) -> Leaver<'_> {
        let node = self.name(name);
        let leaving_for = leaving_for.map(Duration::from_millis);
        Leaver { node, kind: NodeKind::Runner, lineage: self.evidence.lineage(node), held, leaving_for }
    }

    fn candidate(&self, name: &str, held: usize, registered_at: u64) -> Candidate<'_> {
        let node = self.name(name);
        let lineage = self.evidence.lineage(node).unwrap();
        Candidate { node, kind: NodeKind::Runner, lineage, held, registered_at: Duration::from_secs(registered_at) }
    }

    fn awaited(&self, name: &str, pods: usize) -> BTreeMap<&Lineage, usize> {
        BTreeMap::from([(self.evidence.lineage(self.name(name)).unwrap(), pods)])
    }
}

fn by(name: &str) -> Succession {
    Succession::By(name.into())
}

#[test]
fn the_newest_of_the_lineage_that_holds_nothing_takes_over() {
    let world = World::new();
    let candidates =
        [world.candidate("a1", 0, 5), world.candidate("a2", 0, 9), world.candidate("a3", 40, 10), world.candidate("b1", 0, 11)];
    let decided = successions(&[world.leaver("a0", 40, Some(0))], &candidates, &BTreeMap::new());
    assert_eq!(decided, [by("a2")]);
}

#[test]
fn a_few_configs_do_no_harm() {
    let world = World::new();
    let decide = |held| successions(&[world.leaver("a0", 40, None)], &[world.candidate("a1", held, 1)], &BTreeMap::new());
    assert_eq!((decide(10), decide(11)), (vec![by("a1")], vec![Succession::Nobody]));
}

#[test]
fn another_kind_of_agent_is_no_successor() {
    let world = World::new();
    let candidate = Candidate { kind: NodeKind::NodeAgent, ..world.candidate("a1", 0, 1) };
    assert_eq!(successions(&[world.leaver("a0", 4, None)], &[candidate], &BTreeMap::new()), [Succession::Nobody]);
}

#[test]
fn each_has_at_most_one_and_those_that_cannot_wait_come_first() {
    let world = World::new();
    let leavers = [world.leaver("a0", 40, Some(700)), world.leaver("a1", 10, None), world.leaver("a2", 20, None)];
    let candidates = [world.candidate("a3", 0, 1), world.candidate("a4", 0, 2)];
    let decided = successions(&leavers, &candidates, &world.awaited("a0", 0));
    assert_eq!(decided, [Succession::Nobody, by("a3"), by("a4")]);
}

#[test]
fn a_terminating_pod_waits_for_its_successor_at_most_ten_seconds() {
    let world = World::new();
    let decide = |leaving_for, pods| {
        let leavers = [world.leaver("a0", 4, leaving_for)];
        successions(&leavers, &[], &world.awaited("a0", pods))[0].clone()
    };
    for (leaving_for, pods, expected) in [
        (Some(0), 0, Succession::Awaited),
        (Some(499), 0, Succession::Awaited),
        (Some(500), 0, Succession::Nobody),
        (Some(500), 1, Succession::Awaited),
        (Some(9_999), 1, Succession::Awaited),
        (Some(10_000), 1, Succession::Nobody),
        (None, 1, Succession::Nobody),
    ] {
        assert_eq!(decide(leaving_for, pods), expected, "{leaving_for:?} with {pods} pods to come");
    }
    let leavers = [world.leaver("a0", 4, Some(600)), world.leaver("a1", 9, Some(600))];
    assert_eq!(successions(&leavers, &[], &world.awaited("a0", 1)), [Succession::Nobody, Succession::Awaited], "one pod for one set");
}

#[test]
fn who_holds_nothing_waits_for_nobody() {
    let world = World::new();
    let decided = successions(&[world.leaver("a0", 0, Some(0))], &[world.candidate("a1", 0, 1)], &world.awaited("a0", 1));
    assert_eq!(decided, [Succession::Nobody]);
}

proptest! {
    #[test]
    fn nobody_takes_over_two_sets_and_nobody_of_another_lineage(
        leaving in vec((0usize..16, 0usize..50, proptest::option::of(0u64..12_000)), 0..8),
        waiting in vec((0usize..16, 0usize..20, 0u64..5), 0..8),
    ) {
        let world = World::new();
        let mut taken = BTreeSet::new();
        let leavers: Vec<_> = leaving
            .iter()
            .filter(|(number, ..)| taken.insert(*number))
            .map(|(number, held, leaving_for)| world.leaver(world.names[*number].as_str(), *held, *leaving_for))
            .collect();
        let candidates: Vec<_> = waiting
            .iter()
            .filter(|(number, ..)| taken.insert(*number))
            .map(|(number, held, at)| world.candidate(world.names[*number].as_str(), *held, *at))
            .collect();
        let decided = successions(&leavers, &candidates, &BTreeMap::new());
        let mut successors = BTreeSet::new();
        for (leaver, succession) in leavers.iter().zip(&decided) {
            if let Succession::By(successor) = succession {
                prop_assert!(successors.insert(successor.clone()));
                prop_assert_eq!(leaver.node.as_str().as_bytes()[0], successor.as_str().as_bytes()[0]);
            }
        }
        let mut backwards = leavers.clone();
        backwards.reverse();
        let mut again = successions(&backwards, &candidates, &BTreeMap::new());
        again.reverse();
        prop_assert_eq!(decided, again, "the order of the arguments does not matter");
    }
}

const CHECKS: [&str; 4] = ["http_check", "redisdb", "cpu", "memory"];

fn facts(refuses: &[usize]) -> NodeFacts {
    let exclude = refuses.iter().map(|number| CHECKS[*number].to_owned()).collect();
    NodeFacts { compatibility: CheckCompatibility { exclude, ..CheckCompatibility::default() }, ..NodeFacts::default() }
}

/// What the dispatcher does in one turn.
fn turn(table: &mut AssignmentTable, act: impl FnOnce(&mut Turn<'_>)) -> usize {
    let mut turn = Turn::begin(table);
    act(&mut turn);
    turn.drain();
    let dangling: Vec<_> = turn.table().dangling().iter().copied().collect();
    for (key, placement) in place_batch(turn.table(), dangling) {
        turn.place(key, placement, Cause::Discovered);
    }
    let Some(committed) = turn.finish(Epoch(1), 1) else { return 0 };
    assert_eq!(check_turn(table, &committed, &Permitted::default()), []);
    assert_eq!((check_table(table), check_planned(table)), (vec![], vec![]));
    committed.decisions.iter().filter(|decision| decision.is_move()).count()
}

fn table(nodes: &[(&str, NodeFacts)], configs: &[usize]) -> AssignmentTable {
    let mut table = AssignmentTable::default();
    turn(&mut table, |turn| {
        for (name, facts) in nodes {
            turn.put_node(&(*name).into(), facts.clone());
        }
    });
    turn(&mut table, |turn| {
        for (number, check) in configs.iter().enumerate() {
            turn.put_config(named_config(number as u64, CHECKS[*check]), DanglingReason::NoNode);
        }
    });
    table
}

#[test]
fn a_block_moves_each_config_once_and_touches_no_other_node() {
    let mut table = table(&[("a", facts(&[])), ("b", facts(&[])), ("c", facts(&[]))], &[0; 30]);
    turn(&mut table, |turn| {
        turn.put_node(&"new".into(), facts(&[]));
    });
    let before: Vec<_> = ["b", "c"].map(|node| table.nodes()[&NodeName::from(node)].stamp).into();
    let moves = turn(&mut table, |turn| {
        turn.set_presence(&"a".into(), Presence::Draining);
        for key in block(turn.table(), &"a".into(), &"new".into()) {
            turn.place(key, Placement::Owned("new".into()), Cause::Succeeded);
        }
    });
    assert_eq!((moves, table.set_of(&"a".into()).len(), table.set_of(&"new".into()).len()), (10, 0, 10));
    assert_eq!(before, ["b", "c"].map(|node| table.nodes()[&NodeName::from(node)].stamp));
}

#[test]
fn cc_t57_a_rolling_restart_moves_the_set_as_a_block() {
    let world = World::new();
    let decided = successions(&[world.leaver("a0", 2, Some(0))], &[world.candidate("a3", 0, 1)], &BTreeMap::new());
    assert_eq!(decided, [by("a3")]);
    let mut table = table(&[("a0", facts(&[])), ("a1", facts(&[])), ("a2", facts(&[]))], &[0; 6]);
    turn(&mut table, |turn| {
        turn.put_node(&"a3".into(), facts(&[]));
    });
    let set = table.set_of(&"a0".into()).clone();
    let stamps = |table: &AssignmentTable| ["a1", "a2"].map(|node| table.nodes()[&NodeName::from(node)].stamp);
    let before = stamps(&table);
    turn(&mut table, |turn| {
        turn.set_presence(&"a0".into(), Presence::Draining);
        for key in block(turn.table(), &"a0".into(), &"a3".into()) {
            turn.place(key, Placement::Owned("a3".into()), Cause::Succeeded);
        }
    });
    assert_eq!((set.len(), table.set_of(&"a3".into()), stamps(&table)), (2, &set, before));
}

#[test]
fn a_successor_that_is_kept_for_another_config_takes_nothing() {
    let mut table = table(&[("a", facts(&[]))], &[0, 0]);
    turn(&mut table, |turn| {
        turn.put_node(&"new".into(), facts(&[]));
        turn.constrain(&ConstraintChange::Isolate { node: "new".into(), key: ConfigKey(1) });
    });
    assert_eq!(block(&table, &"a".into(), &"new".into()), [ConfigKey(1)]);
}

#[test]
fn what_the_successor_refuses_goes_to_the_others() {
    let mut table = table(&[("a", facts(&[])), ("b", facts(&[0]))], &[0, 0, 1, 1, 1]);
    turn(&mut table, |turn| {
        turn.put_node(&"new".into(), facts(&[0]));
        turn.put_node(&"c".into(), facts(&[1]));
    });
    let of_a = table.set_of(&"a".into()).clone();
    turn(&mut table, |turn| {
        turn.set_presence(&"a".into(), Presence::Draining);
        for key in block(turn.table(), &"a".into(), &"new".into()) {
            turn.place(key, Placement::Owned("new".into()), Cause::Succeeded);
        }
    });
    assert!(of_a.contains(&ConfigKey(0)) && of_a.contains(&ConfigKey(1)));
    assert_eq!(table.set_of(&"c".into()).len(), 2, "only c runs these");
    assert!(table.set_of(&"a".into()).is_empty());
}

#[test]
fn a_block_holds_no_second_config_of_a_check_that_runs_once() {
    let mut table = table(&[("a", facts(&[]))], &[2, 2, 0]);
    turn(&mut table, |turn| {
        turn.put_node(&"new".into(), facts(&[]));
    });
    assert_eq!(block(&table, &"a".into(), &"new".into()).len(), 2);
}

#[test]
fn a_node_that_leaves_too_is_no_successor() {
    let mut table = table(&[("a", facts(&[]))], &[0]);
    turn(&mut table, |turn| {
        turn.put_node(&"new".into(), facts(&[]));
        turn.set_presence(&"new".into(), Presence::HandingOver);
    });
    assert!(block(&table, &"a".into(), &"new".into()).is_empty());
    assert!(block(&table, &"a".into(), &"unknown".into()).is_empty());
}

proptest! {
    /// Invariants 1, 2, 5 and 6 with nodes on their way out; `turn` checks them after each step.
    #[test]
    fn draining_nodes_keep_only_what_nobody_else_may_run(
        nodes in vec(vec(0usize..4, 0..3), 1..6),
        configs in vec(0usize..4, 0..30),
        steps in vec((0usize..6, 0u8..5, 0usize..6), 1..12),
    ) {
        let names = ["n0", "n1", "n2", "n3", "n4", "n5"];
        let nodes: Vec<_> = names.iter().copied().zip(nodes.iter().map(|refuses| facts(refuses))).collect();
        let mut table = table(&nodes, &configs);
        for (number, act, other) in steps {
            let (name, other) = (NodeName::from(names[number]), NodeName::from(names[other]));
            turn(&mut table, |turn| match act {
                0 => turn.set_presence(&name, Presence::Staying),
                1 => turn.set_presence(&name, Presence::HandingOver),
                2 => turn.set_presence(&name, Presence::Draining),
                3 => {
                    if turn.table().nodes().contains_key(&name) && name != other {
                        turn.set_presence(&name, Presence::Draining);
                        for key in block(turn.table(), &name, &other) {
                            turn.place(key, Placement::Owned(other.clone()), Cause::Succeeded);
                        }
                    }
                }
                _ => drop(turn.remove_node(&name, Cause::NodeDeleted)),
            });
            let again = turn(&mut table, |_| ());
            prop_assert_eq!(again, 0, "planning twice moves nothing");
        }
    }
}

#[test]
fn what_is_on_its_way_to_another_node_is_not_part_of_the_block() {
    let mut table = table(&[("a", facts(&[])), ("b", facts(&[])), ("c", facts(&[]))], &[]);
    turn(&mut table, |turn| {
        turn.put_config(config_with(1, Handover::Overlap), DanglingReason::NoNode);
        turn.put_config(config_with(2, Handover::Overlap), DanglingReason::NoNode);
        for key in [1, 2] {
            turn.place(ConfigKey(key), Placement::Owned("a".into()), Cause::Discovered);
        }
    });
    let mut planned = Turn::begin(&mut table);
    planned.place(ConfigKey(1), Placement::Owned("b".into()), Cause::Rebalanced);
    assert!(planned.finish(Epoch(1), 2).is_some());
    assert_eq!(table.set_of(&"a".into()).len(), 2);
    assert_eq!(block(&table, &"a".into(), &"c".into()), [ConfigKey(2)]);
}

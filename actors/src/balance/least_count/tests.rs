use std::collections::BTreeSet;

use super::*;
use crate::domain::ids::{Epoch, NodeName};
use crate::domain::journal::Cause;
use crate::domain::node::{CheckCompatibility, NodeFacts};
use crate::domain::turn::Turn;
use crate::domain::world::{DanglingReason, Presence};
use crate::testing::configs::named_config;

fn declaring(include: &[&str]) -> NodeFacts {
    let include = include.iter().map(|name| (*name).to_owned()).collect();
    NodeFacts { compatibility: CheckCompatibility { include, exclude: BTreeSet::new() }, ..NodeFacts::default() }
}

struct World {
    table: AssignmentTable,
}

impl World {
    fn with_nodes(nodes: &[(&str, NodeFacts)]) -> Self {
        let mut world = Self { table: AssignmentTable::default() };
        for (name, facts) in nodes {
            world.turn(|turn| {
                turn.put_node(&NodeName::from(*name), facts.clone());
            });
        }
        world
    }

    fn turn(&mut self, act: impl FnOnce(&mut Turn<'_>)) {
        let mut turn = Turn::begin(&mut self.table);
        act(&mut turn);
        let dangling: Vec<_> = turn.table().dangling().iter().copied().collect();
        for (key, placement) in place_batch(turn.table(), dangling) {
            turn.place(key, placement, Cause::Discovered);
        }
        let _ = turn.finish(Epoch(1), 1);
    }

    fn schedule(&mut self, number: u64, check_name: &str) -> Placement {
        self.turn(|turn| {
            turn.put_config(named_config(number, check_name), DanglingReason::NoNode);
        });
        self.table.rows()[&ConfigKey(u128::from(number))].placement.clone()
    }
}

fn owned(name: &str) -> Placement {
    Placement::Owned(name.into())
}

#[test]
fn cc_t25_configs_go_to_the_node_with_the_fewest() {
    let mut world = World::with_nodes(&[("nA", NodeFacts::default()), ("nB", NodeFacts::default())]);
    let places: Vec<_> = (1..=4).map(|number| world.schedule(number, "http_check")).collect();
    assert_eq!(places, [owned("nA"), owned("nB"), owned("nA"), owned("nB")]);
    world.turn(|turn| {
        turn.put_node(&"nC".into(), NodeFacts::default());
    });
    assert_eq!(world.schedule(5, "http_check"), owned("nC"));
}

#[test]
fn cc_t26_without_a_node_a_config_dangles_until_one_registers() {
    let mut world = World::with_nodes(&[]);
    assert_eq!(world.schedule(1, "http_check"), Placement::Dangling(DanglingReason::NoNode));
    world.turn(|turn| {
        turn.put_node(&"n1".into(), NodeFacts::default());
    });
    assert!(world.table.dangling().is_empty());
    assert_eq!(world.table.set_of(&"n1".into()).len(), 1);
}

#[test]
fn cc_t33_declared_checks_go_to_who_declared_them() {
    let mut world = World::with_nodes(&[("r1", declaring(&["postgres"])), ("r2", NodeFacts::default())]);
    assert_eq!(world.schedule(1, "postgres"), owned("r1"));
    assert_eq!(world.schedule(2, "postgres"), owned("r1"));
    assert_eq!(world.schedule(3, "redisdb"), owned("r2"));
    world.turn(|turn| {
        turn.remove_node(&"r1".into(), Cause::NodeExpired);
    });
    assert_eq!(world.table.set_of(&"r2".into()).len(), 3);

    let mut alone = World::with_nodes(&[("r1", declaring(&["postgres"]))]);
    assert_eq!(alone.schedule(3, "redisdb"), Placement::Dangling(DanglingReason::NoEligibleNode));
}

#[test]
fn two_configs_of_a_singleton_check_avoid_each_other() {
    let mut world = World::with_nodes(&[("a", NodeFacts::default()), ("b", NodeFacts::default())]);
    assert_eq!(world.schedule(1, "cpu"), owned("a"));
    assert_eq!(world.schedule(2, "http_check"), owned("b"));
    assert_eq!(world.schedule(3, "http_check"), owned("a"));
    assert_eq!(world.schedule(4, "http_check"), owned("b"));
    assert_eq!(world.schedule(5, "http_check"), owned("a"));
    assert_eq!(world.schedule(6, "cpu"), owned("b"), "b has as many configs, but no cpu");
    assert_eq!(world.schedule(7, "cpu"), owned("a"), "nobody is free of it: the load decides");
}

#[test]
fn singletons_of_one_batch_avoid_each_other() {
    let mut world = World::with_nodes(&[("a", NodeFacts::default()), ("b", NodeFacts::default()), ("c", NodeFacts::default())]);
    world.turn(|turn| {
        for number in 1..=3 {
            turn.put_config(named_config(number, "memory"), DanglingReason::NoNode);
        }
    });
    assert!(world.table.nodes().keys().all(|node| world.table.set_of(node).len() == 1));
}

#[test]
fn a_batch_is_even_to_one_config() {
    let names: Vec<_> = (0..7).map(|number| format!("n{number}")).collect();
    let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), NodeFacts::default())).collect();
    let mut world = World::with_nodes(&nodes);
    world.turn(|turn| {
        for number in 1..=100 {
            turn.put_config(named_config(number, "http_check"), DanglingReason::NoNode);
        }
    });
    let sizes: BTreeSet<_> = world.table.nodes().keys().map(|node| world.table.set_of(node).len()).collect();
    assert_eq!(sizes, BTreeSet::from([14, 15]));
}

#[test]
fn a_node_on_its_way_out_gets_nothing() {
    for presence in [Presence::HandingOver, Presence::Draining] {
        let mut world = World::with_nodes(&[("a", NodeFacts::default()), ("b", declaring(&["redisdb", "cpu"]))]);
        world.turn(|turn| turn.set_presence(&"a".into(), presence));
        assert_eq!(world.schedule(1, "redisdb"), owned("b"));
        assert_eq!(world.schedule(2, "redisdb"), owned("b"));
        assert_eq!(world.schedule(3, "http_check"), Placement::Dangling(DanglingReason::NoEligibleNode));
        assert_eq!(world.schedule(4, "cpu"), owned("b"));
        assert_eq!(world.schedule(5, "cpu"), owned("b"), "although it has one");
    }
}

use proptest::prelude::*;

use super::*;
use crate::domain::handover::Handover;
use crate::domain::ids::{Epoch, Stamp};
use crate::domain::invariants::{Permitted, check_table, check_turn};
use crate::testing::configs::{config, config_with};

const NOW: i64 = 1_700_000_000_000_000_000;

fn owned(name: &str) -> Placement {
    Placement::Owned(name.into())
}

fn commit(table: &mut AssignmentTable, act: impl FnOnce(&mut Turn<'_>)) -> Option<Committed> {
    let mut turn = Turn::begin(table);
    act(&mut turn);
    let committed = turn.finish(Epoch(1), NOW)?;
    assert_eq!(check_table(table), []);
    let removed = committed.delta.rows_removed.iter().copied().collect();
    assert_eq!(check_turn(table, &committed, &Permitted { removed, ..Permitted::default() }), []);
    Some(committed)
}

fn stamp(table: &AssignmentTable, name: &str) -> Stamp {
    table.nodes()[&NodeName::from(name)].stamp
}

fn set(table: &AssignmentTable, name: &str) -> Vec<u128> {
    table.set_of(&name.into()).iter().map(|key| key.0).collect()
}

/// Nodes a and b, config 1 on a.
fn small_table() -> AssignmentTable {
    let mut table = AssignmentTable::default();
    commit(&mut table, |turn| {
        turn.put_node(&"a".into(), NodeFacts::default());
        turn.put_node(&"b".into(), NodeFacts::default());
        turn.put_config(config(1), DanglingReason::NoNode);
        turn.place(ConfigKey(1), owned("a"), Cause::Discovered);
    });
    table
}

#[test]
fn a_new_node_has_version_0_and_an_empty_set() {
    let table = small_table();
    assert_eq!(stamp(&table, "b"), Stamp(0));
    assert_eq!(stamp(&table, "a"), Stamp(NOW));
}

#[test]
fn cc_t28_a_config_that_is_scheduled_twice_is_there_once() {
    let mut table = small_table();
    let before = table.clone();
    let again = commit(&mut table, |turn| {
        assert_eq!(turn.put_config(config(1), DanglingReason::NoNode), Put::Unchanged);
        turn.place(ConfigKey(1), owned("a"), Cause::Discovered);
    });
    assert!(again.is_none());
    assert_eq!(table, before);
    assert_eq!(set(&table, "a"), [1]);
}

#[test]
fn cc_t29_a_move_changes_both_versions() {
    let mut table = small_table();
    let (a, b) = (stamp(&table, "a"), stamp(&table, "b"));
    let mut turn = Turn::begin(&mut table);
    turn.place(ConfigKey(1), owned("b"), Cause::NotEligible);
    let committed = turn.finish(Epoch(1), NOW).unwrap();
    assert!(stamp(&table, "a") > a && stamp(&table, "b") > b);
    assert_eq!((set(&table, "a"), set(&table, "b")), (vec![], vec![1]));
    assert_eq!(table.rows().len(), 1);
    let [decision] = &committed.decisions[..] else { panic!("one decision") };
    assert!(decision.is_move());
    assert_eq!(check_turn(&table, &committed, &Permitted::default()).len(), 1, "a move from a living node is noticed");
}

#[test]
fn what_ends_as_it_began_changes_no_version() {
    let mut table = small_table();
    let nothing = commit(&mut table, |turn| {
        turn.put_config(config(7), DanglingReason::NoNode);
        turn.place(ConfigKey(7), owned("a"), Cause::Discovered);
        turn.remove_config(ConfigKey(7));
        turn.place(ConfigKey(1), owned("b"), Cause::NotEligible);
        turn.place(ConfigKey(1), owned("a"), Cause::NotEligible);
    });
    assert!(nothing.is_none());
}

#[test]
fn a_node_that_leaves_and_returns_in_one_turn_keeps_its_version() {
    let mut table = small_table();
    let before = stamp(&table, "a");
    let nothing = commit(&mut table, |turn| {
        let orphans = turn.remove_node(&"a".into(), Cause::NodeExpired);
        turn.put_node(&"a".into(), NodeFacts::default());
        for key in orphans {
            turn.place(key, owned("a"), Cause::NodeExpired);
        }
    });
    assert!(nothing.is_none());
    assert_eq!(stamp(&table, "a"), before);
}

#[test]
fn versions_do_not_go_back_when_the_clock_does() {
    let mut table = small_table();
    let before = stamp(&table, "a");
    let mut turn = Turn::begin(&mut table);
    turn.put_config(config(2), DanglingReason::NoNode);
    turn.place(ConfigKey(2), owned("a"), Cause::Discovered);
    assert!(turn.finish(Epoch(1), 5).is_some());
    assert_eq!(stamp(&table, "a"), Stamp(before.0 + 1));
}

#[test]
fn other_content_under_the_same_key_stays_on_its_node_with_a_new_version() {
    let mut table = small_table();
    let before = stamp(&table, "a");
    let mut changed = (*config(1)).clone();
    changed.config.source = "elsewhere".to_owned();
    let committed = commit(&mut table, |turn| {
        assert_eq!(turn.put_config(Arc::new(changed), DanglingReason::NoNode), Put::Updated);
    })
    .unwrap();
    assert_eq!(set(&table, "a"), [1]);
    assert!(stamp(&table, "a") > before);
    assert_eq!(committed.decisions[0].cause, Cause::Updated);
    assert!(!committed.decisions[0].is_move());
}

#[test]
fn an_orphan_names_its_former_owner_and_the_expiry_as_cause() {
    let mut table = small_table();
    let committed = commit(&mut table, |turn| {
        for key in turn.remove_node(&"a".into(), Cause::NodeExpired) {
            turn.place(key, owned("b"), Cause::NodeJoined);
        }
    })
    .unwrap();
    let [decision] = &committed.decisions[..] else { panic!("one decision") };
    assert_eq!((decision.from.clone(), decision.to.clone()), (Some("a".into()), Some("b".into())));
    assert_eq!(decision.cause, Cause::NodeExpired);
    assert_eq!(committed.delta.nodes_removed, ["a".into()]);
}

#[test]
fn an_endpoint_check_that_changes_its_node_leaves_the_old_one() {
    let mut table = AssignmentTable::default();
    commit(&mut table, |turn| assert_eq!(turn.put_endpoint("k1".into(), config(1)), Put::Added));
    let committed = commit(&mut table, |turn| assert_eq!(turn.put_endpoint("k2".into(), config(1)), Put::Updated)).unwrap();
    assert_eq!(committed.delta.endpoints_removed, [("k1".into(), ConfigKey(1))]);
    assert_eq!(table.endpoints().keys().map(KubernetesNodeName::as_str).collect::<Vec<_>>(), ["k2"]);
    commit(&mut table, |turn| assert!(turn.remove_config(ConfigKey(1))));
    assert!(table.is_empty());
}

#[test]
fn removing_what_is_not_known_does_nothing() {
    let mut table = small_table();
    assert!(commit(&mut table, |turn| assert!(!turn.remove_config(ConfigKey(99)))).is_none());
}

/// A change of the set of a node, decided in a term by a clock that shows `now`.
fn change(table: &mut AssignmentTable, epoch: u64, now: i64, number: u64) -> TableDelta {
    let mut turn = Turn::begin(table);
    turn.put_config(config(number), DanglingReason::NoNode);
    turn.place(ConfigKey(number.into()), owned("a"), Cause::Discovered);
    turn.finish(Epoch(epoch), now).unwrap().delta
}

/// Nodes a, b and c, config 1 on a.
fn table_with(handover: Handover) -> AssignmentTable {
    let mut table = AssignmentTable::default();
    commit(&mut table, |turn| {
        for name in ["a", "b", "c"] {
            turn.put_node(&name.into(), NodeFacts::default());
        }
        turn.put_config(config_with(1, handover), DanglingReason::NoNode);
        turn.place(ConfigKey(1), owned("a"), Cause::Discovered);
    });
    table
}

/// Marks nodes as on their way out and puts the config on another one.
fn drain_to(table: &mut AssignmentTable, draining: &[&str], to: &str) -> Option<Committed> {
    commit(table, |turn| {
        for name in draining {
            turn.set_presence(&(*name).into(), Presence::Draining);
        }
        turn.drain();
        let keys: Vec<_> = turn.table().dangling().iter().copied().collect();
        for key in keys {
            turn.place(key, owned(to), Cause::NodeJoined);
        }
    })
}

fn transfer(table: &AssignmentTable) -> &Transfer {
    table.rows()[&ConfigKey(1)].placement.transfer().unwrap()
}

#[test]
fn with_a_gap_nobody_has_it_until_the_former_owner_is_done() {
    for handover in [Handover::Gap, Handover::AtMostOnce] {
        let mut table = table_with(handover);
        let (a, b) = (stamp(&table, "a"), stamp(&table, "b"));
        let committed = drain_to(&mut table, &["a"], "b").unwrap();
        assert!(committed.decisions[0].is_move(), "it counts as a move once");
        assert_eq!((set(&table, "a"), set(&table, "b")), (vec![], vec![]));
        assert!(stamp(&table, "a") > a && stamp(&table, "b") == b, "only one set is another one");
        assert_eq!((transfer(&table).stamp, transfer(&table).to.clone()), (stamp(&table, "a"), Some("b".into())));
        assert!(drain_to(&mut table, &["a"], "c").is_none(), "nothing is left to drain");
        let before = stamp(&table, "a");
        let committed = commit(&mut table, |turn| turn.release(ConfigKey(1), Cause::HandedOver)).unwrap();
        assert_eq!((set(&table, "b"), stamp(&table, "a")), (vec![1], before));
        assert!(!committed.decisions[0].is_move());
    }
}

#[test]
fn with_an_overlap_both_have_it_and_only_changed_sets_get_a_new_version() {
    let mut table = table_with(Handover::Overlap);
    let a = stamp(&table, "a");
    drain_to(&mut table, &["a"], "b");
    assert_eq!((set(&table, "a"), set(&table, "b")), (vec![1], vec![1]));
    assert_eq!((stamp(&table, "a"), transfer(&table).stamp), (a, stamp(&table, "b")));
    assert!(drain_to(&mut table, &["a"], "c").is_none(), "it is on its way already");
    drain_to(&mut table, &["a", "b"], "c");
    assert_eq!((set(&table, "a"), set(&table, "b"), set(&table, "c")), (vec![1], vec![], vec![1]), "another one gets it instead");
    let c = stamp(&table, "c");
    commit(&mut table, |turn| turn.release(ConfigKey(1), Cause::HandedOver));
    assert_eq!((set(&table, "a"), set(&table, "c"), stamp(&table, "c")), (vec![], vec![1], c));
}

#[test]
fn a_node_that_is_lost_during_an_overlap_leaves_it_to_the_other_one() {
    for (lost, kept) in [("a", "b"), ("b", "a")] {
        let mut table = table_with(Handover::Overlap);
        drain_to(&mut table, &["a"], "b");
        let before = stamp(&table, kept);
        commit(&mut table, |turn| drop(turn.remove_node(&lost.into(), Cause::NodeExpired)));
        assert_eq!((set(&table, kept), stamp(&table, kept)), (vec![1], before));
        assert!(table.moving().is_empty());
    }
}

#[test]
fn a_former_owner_that_is_lost_ends_a_gap_and_is_waited_for_at_most_once() {
    let mut table = table_with(Handover::Gap);
    drain_to(&mut table, &["a"], "b");
    commit(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    assert_eq!(set(&table, "b"), [1]);

    let mut table = table_with(Handover::AtMostOnce);
    drain_to(&mut table, &["a"], "b");
    let before = transfer(&table).clone();
    commit(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    assert_eq!(transfer(&table), &before);
    commit(&mut table, |turn| drop(turn.remove_node(&"b".into(), Cause::NodeExpired)));
    assert_eq!(transfer(&table), &Transfer { to: None, ..before });
    commit(&mut table, |turn| assert!(turn.put_node(&"a".into(), NodeFacts::default())));
    assert_eq!(transfer(&table).stamp, stamp(&table, "a"), "it begins with a version that it can confirm");
    commit(&mut table, |turn| turn.release(ConfigKey(1), Cause::HandedOver));
    assert_eq!(table.dangling().len(), 1);
}

#[test]
fn an_owner_that_dies_keeps_what_runs_at_most_once() {
    let mut table = table_with(Handover::AtMostOnce);
    commit(&mut table, |turn| {
        for key in turn.remove_node(&"a".into(), Cause::NodeExpired) {
            turn.place(key, owned("b"), Cause::NodeJoined);
        }
    });
    assert_eq!((transfer(&table).from.clone(), transfer(&table).to.clone()), ("a".into(), Some("b".into())));
    assert!(set(&table, "b").is_empty());
}

#[test]
fn a_lost_owner_that_comes_back_gets_a_version_although_none_was_given_out_meanwhile() {
    let mut table = AssignmentTable::default();
    commit(&mut table, |turn| {
        turn.put_node(&"a".into(), NodeFacts::default());
        turn.put_config(config_with(1, Handover::AtMostOnce), DanglingReason::NoNode);
        turn.place(ConfigKey(1), owned("a"), Cause::Discovered);
    });
    let before = stamp(&table, "a");
    commit(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    commit(&mut table, |turn| assert!(turn.put_node(&"a".into(), NodeFacts::default())));
    assert!(stamp(&table, "a") > before);
    assert_eq!(transfer(&table).stamp, stamp(&table, "a"));
}

#[test]
fn what_runs_at_most_once_is_held_back_while_grants_are_unknown() {
    let mut table = AssignmentTable::default();
    let hold = |turn: &mut Turn<'_>| {
        turn.hold_back();
        turn.place(ConfigKey(1), owned("a"), Cause::Discovered);
        turn.place(ConfigKey(2), owned("a"), Cause::Discovered);
    };
    commit(&mut table, |turn| {
        turn.put_node(&"a".into(), NodeFacts::default());
        turn.put_config(config_with(1, Handover::AtMostOnce), DanglingReason::NoNode);
        turn.put_config(config(2), DanglingReason::NoNode);
        hold(turn);
    });
    assert_eq!(set(&table, "a"), [2]);
    assert_eq!(table.rows()[&ConfigKey(1)].placement, Placement::Dangling(DanglingReason::GrantsUnknown));
    assert!(commit(&mut table, hold).is_none());
    commit(&mut table, |turn| turn.place(ConfigKey(1), owned("a"), Cause::HandedOver));
    assert_eq!(set(&table, "a"), [1, 2]);
}

#[test]
fn a_broken_order_is_noticed() {
    let mut table = table_with(Handover::AtMostOnce);
    let mut turn = Turn::begin(&mut table);
    turn.set_presence(&"a".into(), Presence::Draining);
    turn.place(ConfigKey(1), owned("b"), Cause::NodeDraining);
    let mut committed = turn.finish(Epoch(1), NOW).unwrap();
    let released = commit(&mut table, |turn| turn.release(ConfigKey(1), Cause::HandedOver)).unwrap();
    committed.rows_before = released.rows_before;
    let names: Vec<_> = check_turn(&table, &committed, &Permitted::default()).into_iter().map(|violation| violation.name).collect();
    assert!(names.contains(&"one_grant"), "{names:?}");
}

proptest! {
    /// Each leader decides, and only a part of it reaches the next one; the rest may have been shown by the timer all the same.
    #[test]
    fn no_two_leaders_give_out_one_stamp_although_the_clock_is_behind(
        terms in prop::collection::vec((1_usize..40, 0_usize..40, 1_u64..4, -5_000_000_000_i64..0), 2..8),
    ) {
        let (mut copy, mut epoch, mut number) = (small_table(), 1, 10);
        let mut given = BTreeSet::from([stamp(&copy, "a")]);
        for (decided, reached, passed, behind) in terms {
            epoch += passed;
            let mut table = copy.clone();
            for position in 0..decided {
                number += 1;
                let delta = change(&mut table, epoch, NOW + behind, number);
                if position < reached {
                    prop_assert!(copy.apply(&delta));
                    prop_assert_eq!(&copy, &table);
                }
                prop_assert!(given.insert(stamp(&table, "a")), "in term {}", epoch);
            }
        }
    }

    #[test]
    fn the_first_change_of_a_term_keeps_the_gap_although_no_set_changes(passed in 1_u64..4) {
        let (mut table, mut other) = (small_table(), small_table());
        let lost = change(&mut other, 1, 0, 10).highest_stamp;
        let mut turn = Turn::begin(&mut table);
        turn.put_node(&"c".into(), NodeFacts::default());
        prop_assert!(turn.finish(Epoch(1 + passed), 0).unwrap().delta.highest_stamp > lost);
        change(&mut table, 1 + passed, 0, 11);
        prop_assert!(stamp(&table, "a") > lost);
    }
}

use proptest::prelude::*;

use super::*;
use crate::domain::ids::Stamp;
use crate::domain::invariants::{Permitted, check_table, check_turn};
use crate::testing::configs::config;

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

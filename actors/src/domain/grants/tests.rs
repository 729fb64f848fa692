use super::*;
use crate::domain::assignment::Placement;
use crate::domain::ids::Epoch;
use crate::domain::journal::Cause;
use crate::domain::node::NodeFacts;
use crate::domain::turn::Turn;
use crate::domain::world::DanglingReason;
use crate::testing::configs::config_with;

const KEY: ConfigKey = ConfigKey(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn turn(table: &mut AssignmentTable, act: impl FnOnce(&mut Turn<'_>)) {
    let mut turn = Turn::begin(table);
    act(&mut turn);
    assert!(turn.finish(Epoch(1), 100).is_some());
}

/// Config 1 on its way from a to b.
fn table(handover: Handover) -> AssignmentTable {
    let mut table = AssignmentTable::default();
    turn(&mut table, |turn| {
        turn.put_node(&"a".into(), NodeFacts::default());
        turn.put_node(&"b".into(), NodeFacts::default());
        turn.put_config(config_with(1, handover), DanglingReason::NoNode);
        turn.place(KEY, Placement::Owned("a".into()), Cause::Discovered);
    });
    turn(&mut table, |turn| turn.place(KEY, Placement::Owned("b".into()), Cause::Rebalanced));
    assert_eq!(table.moving().len(), 1);
    table
}

fn stamp(table: &AssignmentTable, node: &str) -> Stamp {
    table.nodes()[&NodeName::from(node)].stamp
}

/// A watch whose hold is over.
fn watch() -> (GrantWatch, Duration) {
    let watch = GrantWatch::beginning(seconds(0), seconds(30));
    assert!(watch.holds(seconds(31)) && !watch.holds(seconds(32)));
    (watch, seconds(100))
}

#[test]
fn the_version_that_is_waited_for_ends_a_transfer_and_no_other_does() {
    for (handover, waited_for) in [(Handover::Gap, "a"), (Handover::AtMostOnce, "a"), (Handover::Overlap, "b")] {
        let (table, (mut watch, now)) = (table(handover), watch());
        let current = stamp(&table, waited_for);
        assert!(watch.ended(&table, now).is_empty());
        for wrong in [Stamp(current.0 - 1), Stamp(current.0 + 1)] {
            watch.confirmed(waited_for.into(), wrong);
            assert!(watch.ended(&table, now).is_empty(), "{handover:?} {wrong}");
        }
        watch.confirmed(if waited_for == "a" { "b" } else { "a" }.into(), current);
        assert!(watch.ended(&table, now).is_empty());
        watch.confirmed(waited_for.into(), current);
        assert_eq!(watch.ended(&table, now), [KEY], "{handover:?}");
    }
}

#[test]
fn a_grant_ends_so_long_after_the_last_heartbeat_and_after_agents_see_it() {
    let (mut table, (mut watch, now)) = (table(Handover::AtMostOnce), watch());
    turn(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeDeleted)));
    watch.lost(&"a".into(), seconds(10), now, table.seq());
    let before = Seq(table.seq().0 - 1);
    for shown in [before, before, before] {
        watch.look(&table, shown, now + seconds(40));
    }
    assert!(watch.ended(&table, now + seconds(40)).is_empty(), "agents may still be told that a has it");
    watch.look(&table, table.seq(), now);
    watch.look(&table, table.seq(), now);
    assert!(watch.ended(&table, now + seconds(21)).is_empty());
    assert_eq!(watch.ended(&table, now + seconds(22)), [KEY]);
}

#[test]
fn silence_from_before_the_term_does_not_count() {
    let mut table = table(Handover::AtMostOnce);
    let mut watch = GrantWatch::beginning(seconds(50), seconds(30));
    turn(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    watch.lost(&"a".into(), seconds(40), seconds(60), table.seq());
    for _ in 0..2 {
        watch.look(&table, table.seq(), seconds(60));
    }
    assert!(watch.ended(&table, seconds(81)).is_empty());
    assert_eq!(watch.ended(&table, seconds(82)), [KEY]);
}

#[test]
fn an_owner_that_was_gone_before_the_term_is_waited_for_until_the_hold_ends() {
    let mut table = table(Handover::AtMostOnce);
    turn(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    let watch = GrantWatch::beginning(seconds(0), seconds(30));
    assert!(watch.ended(&table, seconds(31)).is_empty());
    assert_eq!(watch.ended(&table, seconds(32)), [KEY]);
}

#[test]
fn an_owner_that_comes_back_confirms_the_version_of_its_new_life() {
    let (mut table, (mut watch, now)) = (table(Handover::AtMostOnce), watch());
    let before = stamp(&table, "a");
    turn(&mut table, |turn| drop(turn.remove_node(&"a".into(), Cause::NodeExpired)));
    watch.lost(&"a".into(), seconds(31), now, table.seq());
    turn(&mut table, |turn| assert!(turn.put_node(&"a".into(), NodeFacts::default())));
    assert!(stamp(&table, "a") > before);
    watch.confirmed("a".into(), before);
    for _ in 0..3 {
        watch.look(&table, table.seq(), now);
    }
    assert!(watch.ended(&table, now + seconds(60)).is_empty());
    watch.confirmed("a".into(), stamp(&table, "a"));
    assert_eq!(watch.ended(&table, now + seconds(60)), [KEY]);
}

#[test]
fn what_discovery_lost_is_remembered_until_its_owner_has_stopped() {
    let (mut table, (mut watch, now)) = (table(Handover::AtMostOnce), watch());
    let transfer = table.rows()[&KEY].placement.transfer().unwrap().clone();
    turn(&mut table, |turn| assert!(turn.remove_config(KEY)));
    watch.abandoned(KEY, transfer.clone());
    watch.look(&table, table.seq(), now);
    assert_eq!(watch.resumed(KEY), Some(&transfer));
    watch.confirmed("a".into(), stamp(&table, "a"));
    watch.look(&table, table.seq(), now);
    assert_eq!(watch.resumed(KEY), None);
}

//! Carries out what is demanded of placement beyond even load: quarantines, pins, and the end of isolations.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::constraints::{ConstraintChange, Constraints};
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::journal::Cause;
use crate::domain::turn::Turn;
use crate::domain::world::DanglingReason;

/// Makes the table agree with quarantines and pins. To be called in every turn, before what dangles is placed.
///
/// Returns the configs that left an owner for it. Calling it again changes nothing.
pub fn enforce(turn: &mut Turn<'_>, now_unix_nanos: i64) -> BTreeSet<ConfigKey> {
    let demands = Arc::clone(turn.table().constraints());
    let mut moved = BTreeSet::new();
    for (key, quarantine) in &demands.quarantined {
        if quarantine.until_unix_nanos <= now_unix_nanos {
            turn.constrain(&ConstraintChange::Release { key: *key });
            continue;
        }
        turn.place(*key, Placement::Dangling(DanglingReason::Quarantined), Cause::Quarantined);
        moved.insert(*key);
    }
    for (key, node) in &demands.pinned {
        if goes_to_its_pin(turn.table(), *key, node) {
            turn.place(*key, Placement::Owned(node.clone()), Cause::Pinned);
            moved.insert(*key);
        }
    }
    moved
}

/// Whether a quarantine ended by itself.
#[must_use]
pub fn quarantine_is_over(table: &AssignmentTable, now_unix_nanos: i64) -> bool {
    table.constraints().quarantined.values().any(|quarantine| quarantine.until_unix_nanos <= now_unix_nanos)
}

/// Ends the isolations whose config is not on its runner any more, because one of them is gone or the config had to leave.
///
/// Source: cluster-checks 11.3.
pub fn end_isolations(turn: &mut Turn<'_>) {
    let demands = Arc::clone(turn.table().constraints());
    for (node, key) in &demands.isolated {
        let owner = turn.table().rows().get(key).and_then(|row| row.placement.owner());
        if owner != Some(node) {
            turn.constrain(&ConstraintChange::EndIsolation { node: node.clone() });
        }
    }
}

/// Whether a config has an owner and its pin can be followed now. One that is on its way arrives first.
fn goes_to_its_pin(table: &AssignmentTable, key: ConfigKey, pin: &NodeName) -> bool {
    let Some(row) = table.rows().get(&key) else { return false };
    let Placement::Owned(owner) = &row.placement else { return false };
    owner != pin && may_go(table, table.constraints(), key, pin)
}

/// Whether a config may be placed on a node: it stays, it runs such checks, and no other config is isolated there.
#[must_use]
pub fn may_go(table: &AssignmentTable, demands: &Constraints, key: ConfigKey, to: &NodeName) -> bool {
    let (Some(row), Some(node)) = (table.rows().get(&key), table.nodes().get(to)) else { return false };
    node.presence.is_staying() && node.facts.may_run(&row.config.config.name) && !demands.refuses(to, key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::constraints::Quarantine;
    use crate::domain::ids::Epoch;
    use crate::domain::node::NodeFacts;
    use crate::domain::world::Presence;
    use crate::testing::configs::config;

    /// Configs 1 to 3 on `a`, nothing on `b`.
    fn table() -> AssignmentTable {
        let mut table = AssignmentTable::default();
        change(&mut table, |turn| {
            turn.put_node(&"a".into(), NodeFacts::default());
            turn.put_node(&"b".into(), NodeFacts::default());
            for number in 1..=3 {
                turn.put_config(config(number), DanglingReason::NoNode);
                turn.place(ConfigKey(u128::from(number)), Placement::Owned("a".into()), Cause::Discovered);
            }
        });
        table
    }

    fn change(table: &mut AssignmentTable, act: impl FnOnce(&mut Turn<'_>)) {
        let mut turn = Turn::begin(table);
        act(&mut turn);
        assert!(turn.finish(Epoch(1), 1_000).is_some());
    }

    fn demand(table: &mut AssignmentTable, change_of: ConstraintChange) -> BTreeSet<ConfigKey> {
        let mut moved = BTreeSet::new();
        change(table, |turn| {
            turn.constrain(&change_of);
            moved = enforce(turn, 50);
            end_isolations(turn);
        });
        moved
    }

    fn owner(table: &AssignmentTable, key: u128) -> Option<&str> {
        table.rows()[&ConfigKey(key)].placement.owner().map(NodeName::as_str)
    }

    #[test]
    fn a_pinned_config_goes_to_its_node_and_calling_it_again_changes_nothing() {
        let mut table = table();
        let moved = demand(&mut table, ConstraintChange::Pin { key: ConfigKey(1), node: "b".into() });
        assert_eq!((moved, owner(&table, 1), owner(&table, 2)), ([ConfigKey(1)].into(), Some("b"), Some("a")));
        let mut turn = Turn::begin(&mut table);
        assert!(enforce(&mut turn, 50).is_empty());
        assert!(turn.finish(Epoch(1), 2_000).is_none());
    }

    #[test]
    fn a_pin_waits_for_a_node_that_is_not_there_leaves_or_has_another_check_isolated() {
        let mut table = table();
        assert!(demand(&mut table, ConstraintChange::Pin { key: ConfigKey(1), node: "c".into() }).is_empty());
        change(&mut table, |turn| turn.set_presence(&"b".into(), Presence::Draining));
        assert!(demand(&mut table, ConstraintChange::Pin { key: ConfigKey(2), node: "b".into() }).is_empty());
        change(&mut table, |turn| turn.set_presence(&"b".into(), Presence::Staying));
        demand(&mut table, ConstraintChange::Pin { key: ConfigKey(3), node: "b".into() });
        demand(&mut table, ConstraintChange::Isolate { node: "b".into(), key: ConfigKey(3) });
        assert!(!may_go(&table, table.constraints(), ConfigKey(2), &"b".into()));
    }

    #[test]
    fn a_quarantine_takes_a_config_off_every_node_until_it_is_over() {
        let mut table = table();
        let quarantine = Quarantine { since_unix_nanos: 10, until_unix_nanos: 100, killed: Vec::new() };
        let moved = demand(&mut table, ConstraintChange::Quarantine { key: ConfigKey(1), quarantine });
        assert_eq!((moved, owner(&table, 1)), ([ConfigKey(1)].into(), None));
        assert_eq!((quarantine_is_over(&table, 99), quarantine_is_over(&table, 100)), (false, true));
        change(&mut table, |turn| assert!(enforce(turn, 100).is_empty()));
        assert!(table.constraints().is_empty());
    }

    #[test]
    fn an_isolation_ends_when_its_config_is_somewhere_else() {
        let mut table = table();
        demand(&mut table, ConstraintChange::Isolate { node: "a".into(), key: ConfigKey(1) });
        assert_eq!(table.constraints().isolated.len(), 1);
        demand(&mut table, ConstraintChange::Pin { key: ConfigKey(1), node: "b".into() });
        assert!(table.constraints().isolated.is_empty());
    }

    #[test]
    fn a_draining_node_keeps_what_only_an_isolated_runner_could_run() {
        let mut table = table();
        demand(&mut table, ConstraintChange::Pin { key: ConfigKey(1), node: "b".into() });
        demand(&mut table, ConstraintChange::Isolate { node: "b".into(), key: ConfigKey(1) });
        change(&mut table, |turn| {
            turn.set_presence(&"a".into(), Presence::Draining);
            turn.drain();
        });
        assert_eq!((owner(&table, 2), owner(&table, 3)), (Some("a"), Some("a")));
        change(&mut table, |turn| {
            turn.constrain(&ConstraintChange::EndIsolations);
            turn.drain();
        });
        assert_eq!((owner(&table, 2), table.dangling().len()), (None, 2));
    }
}

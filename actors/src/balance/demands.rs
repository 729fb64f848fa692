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

//! Placement to the node with the fewest configs, ties by name. Nodes on their way out get nothing.
//!
//! For agents of which no statistics are collected: while advanced dispatching is off every config counts the same (cluster-checks 8.1).

use crate::balance::placement::place_batch_by_count;
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::ids::ConfigKey;

/// Chooses nodes for all these configs, which must dangle or have lost their owner. Order: by stock digest, then key.
///
/// Returns only where something is different from the table. Planning again after applying the result yields nothing.
#[must_use]
pub fn place_batch(table: &AssignmentTable, keys: impl IntoIterator<Item = ConfigKey>) -> Vec<(ConfigKey, Placement)> {
    place_batch_by_count(table, keys)
}

#[cfg(test)]
mod tests;

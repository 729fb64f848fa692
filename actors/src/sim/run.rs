//! Runs a seed of either world.

use crate::sim::replicas;
use crate::sim::replicas::mutants::Mutant;
use crate::sim::report::{Report, WorldKind};
use crate::sim::single;

/// Runs one seed of a world to its end.
///
/// Panics: if an actor panics that was not told to, among them a dispatcher that finds an invariant broken; the seed is printed.
#[must_use]
pub fn simulate(kind: WorldKind, seed: u64) -> Report {
    match kind {
        WorldKind::Single => single::world::simulate(seed),
        WorldKind::Replicas => replicas::world::simulate(seed, None),
    }
}

/// Runs one seed of the world of replicas with a rule broken on purpose, to prove that it is noticed.
///
/// Panics: as [`simulate`].
#[must_use]
pub fn simulate_mutant(mutant: Mutant, seed: u64) -> Report {
    replicas::world::simulate(seed, Some(mutant))
}

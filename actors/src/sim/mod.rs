//! Deterministic simulation: the production actors of the cluster role and the production config providers of agents, on paused time,
//! with an unreliable network, processes that stop, stand still and die, a disk that loses power, and clock steps.
//!
//! There are two worlds: one server with its own disk, and several replicas with one lock. The same seed gives the same run, to the
//! last message.

mod agent;
mod auditor;
mod discovery;
mod front_door;
mod network;
mod replicas;
mod report;
mod single;
mod trace;

pub use replicas::mutants::Mutant;
pub use report::{Report, WorldKind};

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

//! Deterministic simulation: the production actors of the cluster role and the production config providers of agents, on paused time,
//! with an unreliable network, processes that stop, stand still and die, a disk that loses power, and clock steps.
//!
//! There are three worlds: one server with its own disk, several replicas with one lock, and fleets of agents whose load is balanced
//! ([`fleet`]). The same seed gives the same run; in the first two to the last message.

mod agent;
mod auditor;
mod discovery;
pub mod fleet;
mod front_door;
mod network;
mod replicas;
mod report;
mod run;
mod single;
mod trace;

pub use replicas::mutants::Mutant;
pub use report::{Report, WorldKind};
pub use run::{simulate, simulate_fleet_mutant, simulate_mutant};

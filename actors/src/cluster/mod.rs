//! Actors of the cluster role.

mod discovery_inbox;
pub mod dispatcher;
pub mod dispatcher_parts;
mod intake;
pub mod journal;
pub mod leader_election;
pub mod membership;
pub mod persistence;
pub mod replica;
mod waiting_polls;
pub mod wiring;

//! Actors of the cluster role.

pub mod dispatcher;
pub mod front_desk;
pub mod journal;
pub mod leader_election;
pub mod membership;
pub mod persistence;
pub mod wiring;

//! Deterministic simulation: the production actors of the cluster role and the production config providers of agents, on paused time,
//! with an unreliable network, a disk that loses power, crashes and clock steps.
//!
//! The same seed gives the same run, to the last message.

mod agent;
mod auditor;
mod discovery;
mod faults;
mod front_door;
mod network;
mod server;
mod trace;
mod world;

pub use world::{Report, simulate};

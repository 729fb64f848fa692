//! The world of replicas: each runs the production actors in a simulated process of its own; they share a lock, a snapshot and what
//! they discover.

mod clock;
mod faults;
mod lock;
pub(super) mod mutants;
mod overseer;
mod peers;
mod pods;
mod process;
mod server;
mod service;
mod snapshots;
pub(super) mod world;

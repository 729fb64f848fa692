//! The host of actors: supervision, handles, asks with deadlines, liveness, time and randomness.

pub mod ask;
pub mod clock;
pub mod health;
pub mod heavy_work;
pub mod intensity;
mod lifeline;
pub mod mailbox;
pub mod published;
pub mod registry;
pub mod rng;
pub mod supervised;
pub mod supervisor;
mod tree;
pub mod universe;

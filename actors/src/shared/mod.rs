//! Actors that both roles use.

pub mod resolver;

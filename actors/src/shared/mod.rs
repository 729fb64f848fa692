//! Actors that both roles have.

pub mod aggregator;
pub mod config_provider;
pub mod output;
pub mod resolver;

//! Actors that both roles have.

pub mod config_provider;

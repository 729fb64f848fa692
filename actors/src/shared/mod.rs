//! Actors that both roles use.

pub mod output;
//! Actors that both roles have.
pub mod config_provider;

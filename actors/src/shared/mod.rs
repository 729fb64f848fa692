//! Actors that both roles have.

pub mod aggregator;
mod apiserver_configs;
mod complaints;
pub mod config_provider;
pub mod control_plane_probe;
pub mod event_forwarder;
pub mod output;
pub mod resolver;

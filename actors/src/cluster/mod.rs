//! Actors of the cluster role.

mod apiserver_configs;
mod complaints;
pub mod control_plane_probe;
mod discovery_inbox;
pub mod dispatcher;
pub mod dispatcher_parts;
pub mod event_forwarder;
pub mod informer;
mod intake;
pub mod journal;
pub mod kube_discovery;
pub mod leader_election;
pub mod membership;
pub mod metadata_mapper;
pub mod metadata_reporter;
pub mod persistence;
pub mod rebalancer;
pub mod replica;
pub mod self_telemetry;
pub mod stats_collector;
mod waiting_polls;
pub mod wiring;

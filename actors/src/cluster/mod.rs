//! Actors of the cluster role.

mod apiserver_configs;
mod complaints;
pub mod control_plane_probe;
pub mod dispatcher;
pub mod event_forwarder;
pub mod informer;
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
pub mod wiring;

//! Actors of the cluster role.

pub mod dispatcher;
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

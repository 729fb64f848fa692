//! What actors say to each other: one file per receiver.

pub mod aggregator;
pub mod config_provider;
pub mod dispatcher;
pub mod event_forwarder;
pub mod informer;
pub mod journal;
pub mod kube_discovery;
pub mod leader_election;
pub mod membership;
pub mod output;
pub mod persistence;
pub mod rebalancer;
pub mod replica;
pub mod resolver;
pub mod run_stats;
pub mod scheduler;
pub mod stats_collector;
pub mod worker_pool;

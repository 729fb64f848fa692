//! Fakes of the ports and builders of test data.

pub mod assignment_store;
pub mod configs;
pub mod control_plane;
pub mod event_source;
pub mod event_tokens;
pub mod lease_store;
pub mod pods;
pub mod replica_network;
pub mod runner_stats;
pub mod secret_backend;
pub mod snapshot_store;
pub mod spool;
pub mod watch_source;
pub mod worlds;

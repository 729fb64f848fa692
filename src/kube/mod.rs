//! The Kubernetes API server: client, watches, ConfigMaps, identity of the cluster. Source: cluster-agent-kubernetes 4.5, 5, 9.1.

pub mod client;
pub mod cluster_id;
pub mod config_map;
pub mod decode;
pub mod error;
mod limits;
pub mod lock;
mod pause;
pub mod rights;
pub mod snapshot_store;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

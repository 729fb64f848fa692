//! The Kubernetes API server: client, watches, ConfigMaps, identity of the cluster. Source: cluster-agent-kubernetes 4.5, 5, 9.1.

pub mod client;
pub mod cluster_id;
pub mod config_map;
pub mod control_plane;
pub mod decode;
pub mod error;
pub mod event_token;
pub mod events;
pub mod facts;
mod limits;
pub mod lock;
mod pause;
mod reads;
pub mod rights;
pub mod snapshot_store;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

//! Stand-alone mode: what a cluster role needs without Kubernetes (cluster-agent-kubernetes 6.9).

pub mod assignment_store;
pub mod epoch_counter;
pub mod file_lock;
pub mod snapshot_file;
pub mod state_folder;

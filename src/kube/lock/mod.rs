//! The lock of the leader election as a Kubernetes object, compatible with stock replicas byte by byte.
//!
//! Source: cluster-agent-kubernetes 2.1 to 2.4.

mod address;
mod call;
mod directory;
mod record;
mod store;

pub use address::{AddressError, own_address};
pub use directory::{ServiceDirectory, ServiceDirectoryParts};
pub use store::{KubeLock, LockPlace};

#[cfg(test)]
mod tests;

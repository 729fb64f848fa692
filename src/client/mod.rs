//! The cluster agent as a node or another replica sees it, and runners as the cluster agent sees them, over HTTPS.
//!
//! Source: cluster-agent-kubernetes 1.4, cluster-checks 2, 9 and 10.

mod backoff;
mod bearer;
mod http;
mod replica;
mod runner;
mod runner_wire;
#[cfg(test)]
mod tests;
mod trust;
mod wire;

pub(crate) use http::read_body;
pub use http::{ClientError, ClientSettings, ClusterAgentHttp};
pub(crate) use replica::http_client;
pub use replica::{ReplicaClientError, ReplicaHttp};
pub use runner::{RunnerClientError, RunnerHttp};
pub use trust::{Trust, TrustError};

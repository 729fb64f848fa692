//! The cluster agent as a node or another replica sees it, over HTTPS. Source: cluster-agent-kubernetes 1.4, cluster-checks 2 and 9.

mod backoff;
mod http;
mod replica;
#[cfg(test)]
mod tests;
mod trust;
mod wire;

pub(crate) use http::read_body;
pub use http::{ClientError, ClientSettings, ClusterAgentHttp};
pub(crate) use replica::http_client;
pub use replica::{ReplicaClientError, ReplicaHttp};
pub use trust::{Trust, TrustError};

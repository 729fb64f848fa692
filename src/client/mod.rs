//! The cluster agent as a node sees it, over HTTPS. Source: cluster-agent-kubernetes 1.4, cluster-checks 2 and 9.

mod backoff;
mod http;
#[cfg(test)]
mod tests;
mod wire;

pub use http::{ClientError, ClientSettings, ClusterAgentHttp, Trust};

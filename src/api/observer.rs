//! Where request telemetry goes.

use std::time::Duration;

use actix_http::StatusCode;

/// Told about every answer of a check route or a metadata route.
///
/// Source: cluster-agent-kubernetes 1.8 (`api_requests`, `api_elapsed`); handler names: cluster-checks 14.1.
pub trait RequestObserver: Send + Sync {
    /// One answer: handler name, status, whether a follower relayed it, and the time from the decoded head to the answer.
    fn observed(&self, handler: &'static str, status: StatusCode, forwarded: bool, elapsed: Duration);
}

/// Observes nothing, for servers without such telemetry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl RequestObserver for Unobserved {
    fn observed(&self, _handler: &'static str, _status: StatusCode, _forwarded: bool, _elapsed: Duration) {}
}

//! Request telemetry into metrics.

use std::time::Duration;

use actix_http::StatusCode;

use crate::api::observer::RequestObserver;
use crate::telemetry::Metrics;

/// Counts and times requests. Source: cluster-agent-kubernetes 1.8.
pub(super) struct CountRequests(pub(super) Metrics);

impl RequestObserver for CountRequests {
    fn observed(&self, handler: &'static str, status: StatusCode, forwarded: bool, elapsed: Duration) {
        self.0.request(handler, status.as_u16(), forwarded, elapsed);
    }
}

//! Request telemetry into metrics.

use std::time::Duration;

use actix_http::StatusCode;

use crate::api::observer::RequestObserver;
use crate::telemetry::{Metric, Metrics};

/// Counts and times requests. Source: cluster-agent-kubernetes 1.8.
pub(super) struct CountRequests(pub(super) Metrics);

impl RequestObserver for CountRequests {
    fn observed(&self, handler: &'static str, status: StatusCode, forwarded: bool, elapsed: Duration) {
        let labels = [handler, status.as_str(), if forwarded { "true" } else { "false" }];
        self.0.increment(Metric::ApiRequests, &labels);
        self.0.observe(Metric::ApiElapsed, &labels, elapsed);
    }
}

//! The metrics port: Prometheus text over plain HTTP, without authentication.
//!
//! Source: cluster-agent-kubernetes 6.7, node-runner 14.9.

use std::sync::Arc;

use actix_http::header::HeaderValue;
use actix_http::{Method, Request};

use crate::api::listener::{Answer, Application};
use crate::api::reply;

/// Content type of the classic Prometheus text format.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The server of the metrics port.
#[derive(Clone)]
pub struct MetricsServer {
    /// Renders the page.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Application for MetricsServer {
    fn answer(self: &Arc<Self>, request: Request) -> Answer {
        Answer::Now(match request.path() {
            "/metrics" | "/telemetry" if matches!(*request.method(), Method::GET | Method::HEAD) => {
                reply::with_type((self.render)(), PROMETHEUS)
            }
            "/metrics" | "/telemetry" => reply::method_not_allowed("GET"),
            _ => reply::not_found(),
        })
    }
}

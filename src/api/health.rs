//! The health port: what orchestrators probe.
//!
//! Source: cluster-agent-kubernetes 6.8.

use std::sync::Arc;

use actix_http::{Method, Request, StatusCode};
use serde::Serialize;

use crate::api::listener::{Answer, Application};
use crate::api::reply::{self, Reply};

/// Which question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Is the process to be restarted?
    Live,
    /// Is it to get traffic?
    Ready,
    /// Has it started?
    Startup,
}

/// Components by health. An empty list is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthReport {
    /// Components that report.
    #[serde(serialize_with = "null_when_empty")]
    pub healthy: Vec<String>,
    /// Components that do not.
    #[serde(serialize_with = "null_when_empty")]
    pub unhealthy: Vec<String>,
}

fn null_when_empty<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

/// Knows which components are healthy; reads memory only.
pub trait HealthSource: Send + Sync {
    /// The components that matter for a probe.
    fn report(&self, probe: Probe) -> HealthReport;
}

/// The server of the health port.
#[derive(Clone)]
pub struct HealthServer {
    /// Who knows.
    pub source: Arc<dyn HealthSource>,
}

impl HealthServer {
    fn reply(&self, probe: Probe) -> Reply {
        let report = self.source.report(probe);
        let mut reply = reply::json_value(&report);
        if !report.unhealthy.is_empty() {
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        reply
    }
}

impl Application for HealthServer {
    fn answer(self: &Arc<Self>, request: Request) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Answer::Now(reply::method_not_allowed("GET"));
        }
        // Every path that is not one of the other two is a liveness probe, as with stock agents.
        let probe = match request.path() {
            "/ready" => Probe::Ready,
            "/startup" => Probe::Startup,
            _ => Probe::Live,
        };
        Answer::Now(self.reply(probe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_are_null() {
        let report = HealthReport { healthy: vec!["a".to_owned()], unhealthy: Vec::new() };
        assert_eq!(serde_json::to_string(&report).unwrap(), r#"{"Healthy":["a"],"Unhealthy":null}"#);
    }
}

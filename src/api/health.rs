//! The health port: what orchestrators probe.
//!
//! Source: cluster-agent-kubernetes 6.8.

use std::sync::Arc;

use actix_http::{Method, Request, StatusCode};
use muster_actors::kernel::health::{HealthCatalogue, HealthKind, HealthReport};
use serde::Serialize;

use crate::api::listener::{Answer, Application};
use crate::api::reply::{self, Reply};

/// Components by health, as the probes show them. An empty list is `null`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    #[serde(serialize_with = "null_when_empty")]
    healthy: Vec<String>,
    #[serde(serialize_with = "null_when_empty")]
    unhealthy: Vec<String>,
}

fn null_when_empty<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

/// A report as JSON, 200 whatever it says.
pub fn report(report: HealthReport) -> Reply {
    reply::json_value(&Body { healthy: report.healthy, unhealthy: report.unhealthy })
}

/// The server of the health port.
#[derive(Clone)]
pub struct HealthServer {
    /// Who knows.
    pub catalogue: Arc<HealthCatalogue>,
}

impl HealthServer {
    fn reply(&self, kind: HealthKind) -> Reply {
        let verdict = self.catalogue.report(kind);
        let passes = verdict.passes();
        let mut reply = report(verdict);
        if !passes {
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
        let kind = match request.path() {
            "/ready" => HealthKind::Readiness,
            "/startup" => HealthKind::Startup,
            _ => HealthKind::Liveness,
        };
        Answer::Now(self.reply(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_are_null() {
        let body = Body { healthy: vec!["a".to_owned()], unhealthy: Vec::new() };
        assert_eq!(serde_json::to_string(&body).unwrap(), r#"{"Healthy":["a"],"Unhealthy":null}"#);
    }
}

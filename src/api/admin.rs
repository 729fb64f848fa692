//! Routes about the process itself, used by the command line: the same on every role.
//!
//! Source: cluster-agent-kubernetes 1.7. The documents come from other rooms through [`Admin`].

use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderValue;
use actix_http::{Method, Payload, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster_actors::domain::config::CheckConfig;
use muster_actors::kernel::health::{HealthCatalogue, HealthKind};
use muster_actors::kernel::published::Reader;
use serde_json::Value as Json;

use crate::api::body::{self, BodyError, BodyLimits};
use crate::api::health;
use crate::api::path::query_value;
use crate::api::reply::{self, Reply};

/// Why a setting is not read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such setting: 400.
    #[error("setting {0} not found")]
    Unknown(String),
    /// The value is not allowed, or the setting cannot change while the process runs: 500 with this text.
    #[error("{0}")]
    Refused(String),
}

/// A document could not be made: 500 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DocumentError(pub String);

/// A document, or why there is none.
pub type Document<T> = Result<T, DocumentError>;

/// What the command line asks a process about itself.
///
/// Implemented where the role is wired, over configuration, telemetry and discovery. Nothing here may show secrets: the
/// implementations scrub.
pub trait Admin: Send + Sync {
    /// Status as one JSON object. Source: cluster-agent-kubernetes 8.3.
    fn status_json(&self) -> BoxFuture<'_, Document<Json>>;

    /// Status as text, without the line `Getting the status from the agent.`
    fn status_text(&self, verbose: bool) -> BoxFuture<'_, Document<String>>;

    /// What discovery found. Source: autodiscovery 11.4. `raw` = without scrubbing.
    fn config_check(&self, raw: bool) -> BoxFuture<'_, Document<Json>>;

    /// The decision journal, newest last, as `{"decisions":[...]}`.
    fn journal(&self) -> BoxFuture<'_, Document<Json>>;

    /// Observable state of every actor, by actor name.
    fn diagnostics(&self) -> BoxFuture<'_, Document<Json>>;

    /// The whole effective configuration as YAML.
    fn config_yaml(&self) -> String;

    /// The configuration by source: one object per source.
    fn config_by_source(&self) -> Json;

    /// Settings that can change at run time: name -> `{"Description":..,"Hidden":..}`.
    fn runtime_settings(&self) -> Json;

    /// One setting as `{"value":..}`, with `sources_value` when asked for.
    ///
    /// Errors: [`SettingError`].
    fn config_get(&self, name: &str, with_sources: bool) -> Result<Json, SettingError>;

    /// Changes one setting until the process ends.
    ///
    /// Errors: [`SettingError`].
    fn config_set(&self, name: &str, value: &str) -> Result<(), SettingError>;

    /// A config without passwords, tokens and the like.
    fn scrub(&self, config: &CheckConfig) -> CheckConfig;

    /// Begins an orderly stop, as SIGTERM does.
    fn stop(&self);
}

/// A route of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminRoute {
    /// `/version`
    Version,
    /// `/hostname`
    Hostname,
    /// `/status`
    Status,
    /// `/status/health`
    Health,
    /// `/stop`
    Stop,
    /// `/config-check`
    ConfigCheck,
    /// `/config`
    Config,
    /// `/config/by-source`
    ConfigBySource,
    /// `/config/list-runtime`
    ConfigRuntime,
    /// `/config/{setting}`
    Setting(String),
}

impl AdminRoute {
    /// Looks a path up, without the role's prefix.
    pub fn find(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["version"] => Self::Version,
            ["hostname"] => Self::Hostname,
            ["status"] => Self::Status,
            ["status", "health"] => Self::Health,
            ["stop"] => Self::Stop,
            ["config-check"] => Self::ConfigCheck,
            ["config"] => Self::Config,
            ["config", "by-source"] => Self::ConfigBySource,
            ["config", "list-runtime"] => Self::ConfigRuntime,
            ["config", setting] => Self::Setting((*setting).to_owned()),
            _ => return None,
        })
    }

    /// Methods it answers, as in the `Allow` header.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Stop => "POST",
            Self::Setting(_) => "GET, POST",
            _ => "GET",
        }
    }
}

/// The parts of a request that these routes look at.
#[derive(Debug, Clone, Default)]
pub struct AdminRequest {
    /// Whether the method is POST.
    pub post: bool,
    /// The query, without the question mark.
    pub query: Option<String>,
    /// The body; only looked at by routes that change something.
    pub body: Bytes,
}

impl AdminRequest {
    /// Takes these parts of a request, whose body is read to its end.
    ///
    /// Errors: [`BodyError`].
    pub fn read(request: &Request, payload: Payload, limits: BodyLimits) -> impl Future<Output = Result<Self, BodyError>> + use<> {
        let (post, query) = (request.method() == Method::POST, request.uri().query().map(str::to_owned));
        async move { Ok(Self { post, query, body: body::read(payload, limits).await? }) }
    }

    fn flag(&self, name: &str) -> bool {
        query_value(self.query.as_deref(), name).is_some_and(|value| value == "true")
    }
}

/// What the routes of this file answer from.
#[derive(Clone)]
pub struct AdminApi {
    /// Body of `/version`.
    pub version: Bytes,
    /// Host name, empty when unknown.
    pub hostname: Reader<String>,
    /// Documents and settings.
    pub admin: Arc<dyn Admin>,
    /// Health of the actors.
    pub health: Arc<HealthCatalogue>,
    /// Longest time for one answer.
    ///
    /// Source: `cluster_agent.server.idle_timeout_seconds`, default 60.
    pub request_timeout: Duration,
}

impl AdminApi {
    /// Answers a route.
    pub async fn answer(&self, route: AdminRoute, request: AdminRequest) -> Reply {
        tokio::time::timeout(self.request_timeout, self.answer_in_time(route, &request))
            .await
            .unwrap_or_else(|_| reply::text(StatusCode::SERVICE_UNAVAILABLE, "request timed out"))
    }

    async fn answer_in_time(&self, route: AdminRoute, request: &AdminRequest) -> Reply {
        match route {
            AdminRoute::Version => reply::json(self.version.clone()),
            AdminRoute::Hostname => reply::json_value(&*self.hostname.current()),
            AdminRoute::Status => self.status(request).await,
            AdminRoute::Health => health::report(self.health.report(HealthKind::Readiness)),
            AdminRoute::Stop => {
                self.admin.stop();
                reply::json(Bytes::from_static(b"\"\""))
            }
            AdminRoute::ConfigCheck => document(self.admin.config_check(request.flag("raw")).await),
            AdminRoute::Config => yaml(self.admin.config_yaml()),
            AdminRoute::ConfigBySource => reply::json_value(&self.admin.config_by_source()),
            AdminRoute::ConfigRuntime => reply::json_value(&self.admin.runtime_settings()),
            AdminRoute::Setting(name) if request.post => {
                let form = String::from_utf8_lossy(&request.body);
                let value = query_value(Some(&form), "value").unwrap_or_default();
                match self.admin.config_set(&name, &unescape_html(&value)) {
                    Ok(()) => reply::empty(StatusCode::OK),
                    Err(error) => setting_error(&error),
                }
            }
            AdminRoute::Setting(name) => match self.admin.config_get(&name, request.flag("sources")) {
                Ok(value) => reply::json_value(&value),
                Err(error) => setting_error(&error),
            },
        }
    }

    async fn status(&self, request: &AdminRequest) -> Reply {
        let verbose = request.flag("verbose");
        match query_value(request.query.as_deref(), "format").as_deref() {
            Some("json") => document(self.admin.status_json().await),
            Some("text") => text_document(self.admin.status_text(verbose).await),
            Some("html") => {
                let text = self.admin.status_text(verbose).await;
                text_document(text.map(|text| format!("<pre>\n{}\n</pre>\n", escape_html(&text))))
            }
            _ => reply::json(Bytes::new()),
        }
    }
}

/// A JSON document, or 500 with its error.
pub fn document(document: Document<Json>) -> Reply {
    match document {
        Ok(value) => reply::json_value(&value),
        Err(error) => reply::json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The stock server says "JSON" for every format of the status.
fn text_document(document: Document<String>) -> Reply {
    match document {
        Ok(text) => reply::json(text),
        Err(error) => reply::json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn yaml(text: String) -> Reply {
    reply::with_type(text, HeaderValue::from_static("text/plain; charset=utf-8"))
}

fn setting_error(error: &SettingError) -> Reply {
    let status = match error {
        SettingError::Unknown(_) => StatusCode::BAD_REQUEST,
        SettingError::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    reply::json_error(status, &error.to_string())
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The command line escapes values before it sends them.
fn unescape_html(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_their_methods() {
        assert_eq!(AdminRoute::find(&["config", "log_level"]), Some(AdminRoute::Setting("log_level".to_owned())));
        assert_eq!(AdminRoute::find(&["config", "list-runtime"]), Some(AdminRoute::ConfigRuntime));
        assert_eq!(AdminRoute::find(&["config", "a", "b"]), None);
        assert_eq!(AdminRoute::Setting("x".to_owned()).methods(), "GET, POST");
        assert_eq!(AdminRoute::Stop.methods(), "POST");
    }

    #[test]
    fn escaped_values_come_back() {
        assert_eq!(unescape_html(&escape_html("a<b>&amp;")), "a<b>&amp;");
        assert_eq!(unescape_html("&#34;x&#39;"), "\"x'");
    }
}

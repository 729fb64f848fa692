//! The runner API: statistics for the cluster role, answered from memory.
//!
//! Source: node-runner 8. The caller waits 2 s, so nothing here waits for a check.

use std::sync::Arc;

use actix_http::header;
use actix_http::{HttpMessage as _, Method, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster_actors::domain::ids::CheckId;

use crate::api::auth::{PathClass, Tokens};
use crate::api::body::{self, BodyLimits};
use crate::api::gate;
use crate::api::listener::{Answer, Application};
use crate::api::path::query_value;
use crate::api::reply::{self, Reply};
use crate::config::settings::IncludePending;

/// Which entries a caller of `stats` wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsView {
    /// Checks without a finished run too, with `"Pending":true`.
    pub pending: bool,
    /// The fields that stock runners do not have.
    pub verbose: bool,
}

/// Why a check cannot be run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunNowError {
    /// No such check is scheduled here: 404.
    #[error("check is not scheduled here")]
    Unknown,
    /// It is running, or waiting for a worker: 409.
    #[error("check is already running")]
    Busy,
    /// Whoever schedules does not answer: 503.
    #[error("scheduler is not available")]
    Unavailable,
}

/// Published figures of the running checks.
pub trait StatsSource: Send + Sync {
    /// Object of check id -> statistics, serialised. Source: node-runner 8.2.
    fn stats_json(&self, view: StatsView) -> Bytes;

    /// Number and utilization of the workers, serialised. Source: node-runner 8.3.
    fn workers_json(&self) -> Bytes;

    /// Everything about every check, serialised. Source: node-runner 7.
    fn status_json(&self) -> Bytes;

    /// Puts a check first in line.
    ///
    /// Errors: [`RunNowError`].
    fn run_now(&self, check: CheckId) -> BoxFuture<'_, Result<(), RunNowError>>;
}

/// The server on `clc_runner_host`:`clc_runner_port`.
pub struct RunnerApi {
    /// The cluster token; the local token opens what is not for the cluster role.
    pub tokens: Tokens,
    /// Body of `version`.
    pub version: Bytes,
    /// The figures.
    pub stats: Arc<dyn StatsSource>,
    /// Who is shown pending checks.
    pub include_pending: IncludePending,
    /// Bounds of request bodies.
    pub body_limits: BodyLimits,
}

/// What is left to do once the route is known.
enum Next {
    Reply(Reply),
    RunNow(CheckId),
}

enum Route<'a> {
    Version,
    Stats,
    Workers,
    Healthz,
    Status,
    RunNow(&'a str),
}

impl<'a> Route<'a> {
    fn find(segments: &[&'a str]) -> Option<Self> {
        Some(match segments {
            ["api", "v1", "clcrunner", "version"] => Self::Version,
            ["api", "v1", "clcrunner", "stats"] => Self::Stats,
            ["api", "v1", "clcrunner", "workers"] => Self::Workers,
            ["healthz"] => Self::Healthz,
            ["status"] => Self::Status,
            ["checks", check, "run"] => Self::RunNow(check),
            _ => return None,
        })
    }

    fn methods(&self) -> &'static str {
        if matches!(self, Self::RunNow(_)) { "POST" } else { "GET" }
    }
}

fn class(segments: &[&str]) -> PathClass {
    match segments {
        ["healthz"] => PathClass::Open,
        ["api", "v1", "clcrunner", ..] => PathClass::External,
        _ => PathClass::Internal,
    }
}

impl Application for RunnerApi {
    fn answer(self: &Arc<Self>, mut request: Request) -> Answer {
        let payload = gate::take_body(&mut request);
        match self.reply(&request) {
            Ok(Next::Reply(reply)) | Err(reply) => gate::after_body(reply, payload, self.body_limits),
            Ok(Next::RunNow(check)) => {
                let api = Arc::clone(self);
                Answer::Later(Box::pin(async move {
                    body::discard(payload, api.body_limits).await;
                    match api.stats.run_now(check).await {
                        Ok(()) => reply::json(Bytes::from_static(b"{}")),
                        Err(error) => reply::json_error(run_now_status(error), &error.to_string()),
                    }
                }))
            }
        }
    }
}

impl RunnerApi {
    /// Errors: the refusal.
    fn reply(&self, request: &Request) -> Result<Next, Reply> {
        let path = gate::admit(request, &self.tokens, class)?;
        let segments = path.segments();
        let route = Route::find(segments.as_slice()).ok_or_else(reply::not_found)?;
        gate::check_method(route.methods(), request.method())?;
        Ok(Next::Reply(match route {
            Route::Version => reply::json(self.version.clone()),
            Route::Stats => reply::json(self.stats.stats_json(self.view(request))),
            Route::Workers => reply::json(self.stats.workers_json()),
            Route::Healthz => reply::text(StatusCode::OK, "ok"),
            Route::Status => reply::json(self.stats.status_json()),
            Route::RunNow(check) => return Ok(Next::RunNow(CheckId::from(check))),
        }))
    }

    fn view(&self, request: &Request) -> StatsView {
        debug_assert!(request.method() == Method::GET, "the route table allows GET only");
        let pending = match self.include_pending {
            IncludePending::Always => true,
            IncludePending::Never => false,
            IncludePending::Auto => request.headers().get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"muster")),
        };
        StatsView { pending, verbose: query_value(request.uri().query(), "verbose").is_some_and(|value| value == "1") }
    }
}

fn run_now_status(error: RunNowError) -> StatusCode {
    match error {
        RunNowError::Unknown => StatusCode::NOT_FOUND,
        RunNowError::Busy => StatusCode::CONFLICT,
        RunNowError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

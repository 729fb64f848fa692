//! The command port of the cluster role: token, route, answer, telemetry, in one pass.

use std::sync::Arc;
use std::time::Duration;

use actix_http::header::{self, HeaderName};
use actix_http::{HttpMessage as _, Method, Payload, Request, StatusCode};
use bytes::Bytes;
use muster_actors::domain::ids::NodeName;
use muster_actors::kernel::clock::Clock;

use crate::api::admin::{self, AdminApi, AdminRequest, AdminRoute};
use crate::api::auth::{self, PathClass, Tokens};
use crate::api::body::{self, BodyLimits};
use crate::api::cluster_checks::ClusterChecks;
use crate::api::listener::{Answer, Application};
use crate::api::observer::RequestObserver;
use crate::api::path::{Path, Segments};
use crate::api::reply::{self, Reply};
use crate::api::routes::Route;

/// Header in which agents send the address of their runner API.
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The server of port 5005 in the cluster role.
pub struct ClusterApi {
    /// Accepted tokens.
    pub tokens: Tokens,
    /// Check routes; `None` when `cluster_checks.enabled` is false.
    pub checks: Option<ClusterChecks>,
    /// Routes about the process.
    pub admin: AdminApi,
    /// Request telemetry.
    pub observer: Arc<dyn RequestObserver>,
    /// For request durations.
    pub clock: Arc<dyn Clock>,
    /// Bounds of request bodies.
    pub body_limits: BodyLimits,
}

impl Application for ClusterApi {
    fn answer(self: &Arc<Self>, mut request: Request) -> Answer {
        let started = self.clock.monotonic();
        let payload = request.take_payload();
        match self.dispatch(&request) {
            Ok(Next::Reply(route, reply)) => {
                self.observe(route, &reply, started);
                self.after_body(reply, payload)
            }
            Ok(Next::Status { node, real_ip }) => self.status(node, real_ip, payload, started),
            Ok(Next::Document(document)) => self.document(document, &request, payload),
            Err(reply) => self.after_body(reply, payload),
        }
    }
}

/// What is left to do once the route is known.
enum Next {
    /// The answer, and the handler it counts for.
    Reply(Option<&'static str>, Reply),
    /// Read the body of a status, then answer.
    Status { node: NodeName, real_ip: Option<Bytes> },
    /// Ask another room for a document.
    Document(DocumentRoute),
}

/// Documents that may take time.
enum DocumentRoute {
    Journal,
    Diagnostics,
    Admin(AdminRoute),
}

impl ClusterApi {
    /// Token, route, method, and every answer that is there at once.
    ///
    /// Errors: the refusal.
    fn dispatch(&self, request: &Request) -> Result<Next, Reply> {
        let path = Path::parse(request.path());
        let segments = path.as_ref().map(Path::segments).ok();
        let segments = segments.as_ref().map(Segments::as_slice).unwrap_or_default();
        authorize(auth::cluster_class(segments), request, &self.tokens)?;
        if let Err(error) = &path {
            return Err(reply::text(StatusCode::BAD_REQUEST, &error.to_string()));
        }
        let route = Route::find(segments).filter(|route| self.checks.is_some() || !route.needs_cluster_checks());
        let route = route.ok_or_else(reply::not_found)?;
        check_method(route.methods(), request.method())?;
        self.begin(route, request)
    }

    fn begin(&self, route: Route<'_>, request: &Request) -> Result<Next, Reply> {
        let scrub = |config: &_| self.admin.admin.scrub(config);
        let handler = route.handler();
        let reply = match (route, &self.checks) {
            (Route::PostStatus(node), _) => {
                let real_ip = request.headers().get(&REAL_IP).map(|value| Bytes::copy_from_slice(value.as_bytes()));
                return Ok(Next::Status { node: NodeName::from(node), real_ip });
            }
            (Route::Admin(route), _) => return Ok(Next::Document(DocumentRoute::Admin(route))),
            (Route::Journal, _) => return Ok(Next::Document(DocumentRoute::Journal)),
            (Route::Diagnostics, _) => return Ok(Next::Document(DocumentRoute::Diagnostics)),
            (Route::Configs(node), Some(checks)) => checks.get_configs(node),
            (Route::EndpointConfigs(node), Some(checks)) => checks.get_endpoint_configs(node),
            (Route::AllEndpointConfigs, Some(checks)) => checks.get_all_endpoint_configs(),
            (Route::State, Some(checks)) => checks.get_state(&scrub),
            (Route::Assignments, Some(checks)) => checks.get_assignments(&scrub),
            (Route::Kubernetes(_), _) => unavailable("no Kubernetes in stand-alone mode"),
            (Route::EksIdentity, _) => unavailable("EKS cluster identity is not available"),
            (Route::LanguageDetection, _) => unavailable("Language detection feature is disabled on the cluster agent"),
            (Route::LocalSeries, _) => unavailable("Autoscaling workload failover store is disabled on the cluster agent"),
            (Route::AutoscalerList, _) => reply::empty(StatusCode::NO_CONTENT),
            (_, None) => return Err(reply::not_found()),
        };
        Ok(Next::Reply(handler, reply))
    }

    fn status(self: &Arc<Self>, node: NodeName, real_ip: Option<Bytes>, payload: Payload, started: Duration) -> Answer {
        let api = Arc::clone(self);
        Answer::Later(Box::pin(async move {
            let reply = match (body::read(payload, api.body_limits).await, &api.checks) {
                (Ok(body), Some(checks)) => checks.post_status(node, real_ip.as_deref(), &body).await,
                (Ok(_), None) => reply::not_found(),
                (Err(error), _) => error.reply(),
            };
            api.observe(Route::PostStatus("").handler(), &reply, started);
            reply
        }))
    }

    fn document(self: &Arc<Self>, route: DocumentRoute, request: &Request, payload: Payload) -> Answer {
        let api = Arc::clone(self);
        let post = request.method() == Method::POST;
        let query = request.uri().query().map(str::to_owned);
        Answer::Later(Box::pin(async move {
            let body = match body::read(payload, api.body_limits).await {
                Ok(body) => body,
                Err(error) => return error.reply(),
            };
            match route {
                DocumentRoute::Admin(route) => api.admin.answer(route, AdminRequest { post, query, body }).await,
                DocumentRoute::Journal => admin::document(api.admin.admin.journal().await),
                DocumentRoute::Diagnostics => admin::document(api.admin.admin.diagnostics().await),
            }
        }))
    }

    /// Sends an answer that needs no body, after reading a short body away.
    fn after_body(&self, reply: Reply, payload: Payload) -> Answer {
        after_body(reply, payload, self.body_limits)
    }

    fn observe(&self, handler: Option<&'static str>, reply: &Reply, started: Duration) {
        if let Some(handler) = handler {
            let elapsed = self.clock.monotonic().saturating_sub(started);
            self.observer.observed(handler, reply.status(), false, elapsed);
        }
    }
}

/// Answers at once when no body is to come, else after it was read away.
///
/// Why: an answer before the body would close the connection, and an agent with a wrong token would pay a handshake per poll.
pub(crate) fn after_body(reply: Reply, payload: Payload, limits: BodyLimits) -> Answer {
    if matches!(payload, Payload::None) {
        return Answer::Now(reply);
    }
    Answer::Later(Box::pin(async move {
        body::discard(payload, limits).await;
        reply
    }))
}

/// Applies the token rules to a request.
///
/// Errors: the refusal as a reply.
pub(crate) fn authorize(class: PathClass, request: &Request, tokens: &Tokens) -> Result<(), Reply> {
    let header = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    auth::authorize(class, header, tokens).map_err(|refusal| refusal.reply())
}

/// Compares the method with the allowed ones.
///
/// Errors: 405.
pub(crate) fn check_method(allowed: &'static str, method: &Method) -> Result<(), Reply> {
    let fits = allowed.split(", ").any(|allowed| allowed == method.as_str());
    if fits { Ok(()) } else { Err(reply::method_not_allowed(allowed)) }
}

fn unavailable(text: &str) -> Reply {
    reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
}

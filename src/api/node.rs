//! The local API of the node role: what the command line of the same machine asks.
//!
//! Source: node-runner 2 (`cmd_port`): the routes of cluster-agent-kubernetes 1.7 under `/agent`, on 127.0.0.1, local token only.

use std::sync::Arc;

use actix_http::{Method, Request, StatusCode};

use crate::api::admin::{AdminApi, AdminRequest, AdminRoute};
use crate::api::auth::{PathClass, Tokens};
use crate::api::body::{self, BodyLimits};
use crate::api::cluster::{after_body, authorize, check_method};
use crate::api::listener::{Answer, Application};
use crate::api::path::{Path, Segments};
use crate::api::reply::{self, Reply};

/// The server on 127.0.0.1:`cmd_port`.
pub struct NodeApi {
    /// Only the local token is looked at.
    pub tokens: Tokens,
    /// The routes.
    pub admin: AdminApi,
    /// Bounds of request bodies.
    pub body_limits: BodyLimits,
}

impl Application for NodeApi {
    fn answer(self: &Arc<Self>, mut request: Request) -> Answer {
        let payload = request.take_payload();
        let route = match self.route(&request) {
            Ok(route) => route,
            Err(reply) => return after_body(reply, payload, self.body_limits),
        };
        let api = Arc::clone(self);
        let post = request.method() == Method::POST;
        let query = request.uri().query().map(str::to_owned);
        Answer::Later(Box::pin(async move {
            match body::read(payload, api.body_limits).await {
                Ok(body) => api.admin.answer(route, AdminRequest { post, query, body }).await,
                Err(error) => error.reply(),
            }
        }))
    }
}

impl NodeApi {
    /// Errors: the refusal.
    fn route(&self, request: &Request) -> Result<AdminRoute, Reply> {
        authorize(PathClass::Local, request, &self.tokens)?;
        let path = Path::parse(request.path()).map_err(|error| reply::text(StatusCode::BAD_REQUEST, &error.to_string()))?;
        let segments = path.segments();
        let route = Segments::as_slice(&segments).strip_prefix(&["agent"]).and_then(AdminRoute::find).ok_or_else(reply::not_found)?;
        check_method(route.methods(), request.method())?;
        Ok(route)
    }
}

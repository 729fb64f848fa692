//! The local API of the node role: what the command line of the same machine asks.
//!
//! Source: node-runner 2 (`cmd_port`): the routes of cluster-agent-kubernetes 1.7 under `/agent`, on 127.0.0.1, local token only.

use std::sync::Arc;

use actix_http::Request;

use crate::api::admin::{AdminApi, AdminRequest, AdminRoute};
use crate::api::auth::{PathClass, Tokens};
use crate::api::body::BodyLimits;
use crate::api::gate;
use crate::api::listener::{Answer, Application};
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
        let payload = gate::take_body(&mut request);
        let route = match self.route(&request) {
            Ok(route) => route,
            Err(reply) => return gate::after_body(reply, payload, self.body_limits),
        };
        let api = Arc::clone(self);
        let request = AdminRequest::read(&request, payload, self.body_limits);
        Answer::Later(Box::pin(async move {
            match request.await {
                Ok(request) => api.admin.answer(route, request).await,
                Err(error) => error.reply(),
            }
        }))
    }
}

impl NodeApi {
    /// Errors: the refusal.
    fn route(&self, request: &Request) -> Result<AdminRoute, Reply> {
        let path = gate::admit(request, &self.tokens, |_| PathClass::Local)?;
        let segments = path.segments();
        let route = segments.as_slice().strip_prefix(&["agent"]).and_then(AdminRoute::find).ok_or_else(reply::not_found)?;
        gate::check_method(route.methods(), request.method())?;
        Ok(route)
    }
}

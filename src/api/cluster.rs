//! The command port of the cluster role: token, route, answer, telemetry, in one pass.

use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderName;
use actix_http::{HttpMessage as _, Payload, Request, StatusCode};
use bytes::Bytes;
use muster_actors::domain::ids::NodeName;
use muster_actors::kernel::clock::Clock;

use crate::api::admin::{self, AdminApi, AdminRequest, AdminRoute};
use crate::api::auth::{self, Tokens};
use crate::api::balance::{BalanceRoute, BalanceRoutes, COMMAND_DEADLINE, ISOLATE_PREFIX};
use crate::api::body::{self, BodyLimits};
use crate::api::cluster_checks::ClusterChecks;
use crate::api::gate;
use crate::api::leader::Lead;
use crate::api::listener::{Answer, Application};
use crate::api::metadata::MetadataRoutes;
use crate::api::named_checks;
use crate::api::observer::RequestObserver;
use crate::api::path::query_value;
use crate::api::relay::{self, Relay, Relayed};
use crate::api::replica::ReplicaRoutes;
use crate::api::reply::{self, Reply};
use crate::api::routes::Route;
use crate::api::world::WorldRoutes;

/// Header in which agents send the address of their runner API.
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a follower waits for the answer to a command longer than the leader may take for it.
const RELAYED_MORE: Duration = Duration::from_secs(1);

/// The server of port 5005 in the cluster role.
pub struct ClusterApi {
    /// Accepted tokens.
    pub tokens: Tokens,
    /// Routes about checks; `None` when `cluster_checks.enabled` is false.
    pub checks: Option<Arc<CheckRoutes>>,
    /// The way to the leader; `None` where no other replica can lead.
    pub relay: Option<Relay>,
    /// Routes for other replicas; `None` where there are none.
    pub replicas: Option<ReplicaRoutes>,
    /// Routes about nodes, pods and namespaces; `None` in stand-alone mode.
    pub kubernetes: Option<MetadataRoutes>,
    /// Routes about the process.
    pub admin: AdminApi,
    /// Request telemetry.
    pub observer: Arc<dyn RequestObserver>,
    /// For request durations.
    pub clock: Arc<dyn Clock>,
    /// Bounds of request bodies.
    pub body_limits: BodyLimits,
}

/// What there is where checks are dispatched.
pub struct CheckRoutes {
    /// Polls and sets.
    pub checks: ClusterChecks,
    /// Balancing.
    pub balance: BalanceRoutes,
    /// What is recorded for simulations.
    pub world: WorldRoutes,
}

impl Application for ClusterApi {
    fn answer(self: &Arc<Self>, mut request: Request) -> Answer {
        let started = self.clock.monotonic();
        let payload = gate::take_body(&mut request);
        match self.dispatch(&request) {
            Ok(Next::Reply(route, reply)) => {
                self.observe(route, &reply, started);
                gate::after_body(reply, payload, self.body_limits)
            }
            Ok(Next::Status { routes, node, real_ip }) => self.status(routes, node, real_ip, payload, started),
            Ok(Next::Document(document)) => self.document(document, &request, payload),
            Ok(Next::Balance { routes, route }) => self.balance(routes, route, &request, payload, started),
            Ok(Next::Relay { handler, head, leader }) => self.pass_on(handler, leader, self.relayed(&request, head), payload, started),
            Ok(Next::Replica(table)) => self.replicate(table, &request, payload),
            Err(reply) => gate::after_body(reply, payload, self.body_limits),
        }
    }
}

/// What is left to do once the route is known.
enum Next {
    /// The answer, and the handler it counts for.
    Reply(Option<&'static str>, Reply),
    /// Read the body of a status, then answer.
    Status { routes: Arc<CheckRoutes>, node: NodeName, real_ip: Option<Bytes> },
    /// Ask another room for a document.
    Document(DocumentRoute),
    /// Ask whoever balances.
    Balance { routes: Arc<CheckRoutes>, route: BalanceRoute },
    /// Ask the leader at this address, and wait so long instead of the usual time; the answer counts for this handler.
    Relay { handler: Option<&'static str>, head: Option<Duration>, leader: String },
    /// A replica asks for changes, or offers a whole table.
    Replica(ReplicaRoute),
}

/// What replicas ask of each other.
enum ReplicaRoute {
    Deltas,
    Table,
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
        let path = gate::admit(request, &self.tokens, auth::cluster_class)?;
        let segments = path.segments();
        let route = match path.below(ISOLATE_PREFIX) {
            Some(check) => Some(Route::Balance(BalanceRoute::Isolate(check.to_owned()))),
            None => Route::find(segments.as_slice()),
        };
        let route = route.filter(|route| self.checks.is_some() || !route.needs_cluster_checks());
        let route = route.ok_or_else(reply::not_found)?;
        gate::check_method(route.methods(), request.method())?;
        self.begin(route, request)
    }

    fn begin(&self, route: Route<'_>, request: &Request) -> Result<Next, Reply> {
        let scrub = |config: &_| self.admin.admin.scrub(config);
        let handler = route.handler();
        if route.is_leader_only()
            && let Some(routes) = &self.checks
        {
            match routes.checks.leader.lead() {
                Lead::Here => {}
                Lead::Unknown => return Ok(Next::Reply(handler, reply::startup_in_progress())),
                Lead::Elsewhere(leader) => return Ok(self.elsewhere(request, &route, leader)),
            }
        }
        let reply = match (route, &self.checks) {
            (Route::PostStatus(node), Some(routes)) => {
                let real_ip = request.headers().get(&REAL_IP).map(|value| Bytes::copy_from_slice(value.as_bytes()));
                return Ok(Next::Status { routes: Arc::clone(routes), node: NodeName::from(node), real_ip });
            }
            (Route::Balance(route), Some(routes)) => return Ok(Next::Balance { routes: Arc::clone(routes), route }),
            (Route::Admin(route), _) => return Ok(Next::Document(DocumentRoute::Admin(route))),
            (Route::Journal, _) => return Ok(Next::Document(DocumentRoute::Journal)),
            (Route::Diagnostics, _) => return Ok(Next::Document(DocumentRoute::Diagnostics)),
            (Route::ReplicaDeltas, _) => return Ok(Next::Replica(ReplicaRoute::Deltas)),
            (Route::ReplicaTable, _) => return Ok(Next::Replica(ReplicaRoute::Table)),
            (Route::Configs(node), Some(routes)) => routes.checks.get_configs(node),
            (Route::EndpointConfigs(node), Some(routes)) => routes.checks.get_endpoint_configs(node),
            (Route::AllEndpointConfigs, Some(routes)) => routes.checks.get_all_endpoint_configs(),
            (Route::State, Some(routes)) => routes.checks.get_state(&scrub),
            (Route::Assignments, Some(routes)) => routes.checks.get_assignments(&scrub),
            (Route::NamedChecks(name), Some(routes)) => named_checks::answer(&routes.checks.served.peek(), name, &scrub),
            (Route::World, Some(routes)) => routes.world.get(query_value(request.uri().query(), "anonymous").as_deref() == Some("true")),
            (Route::Kubernetes(route), _) => match &self.kubernetes {
                Some(metadata) => metadata.answer(route, request.uri().query()),
                None => unavailable("no Kubernetes in stand-alone mode"),
            },
            (Route::EksIdentity, _) => unavailable("EKS cluster identity is not available"),
            (Route::LanguageDetection, _) => unavailable("Language detection feature is disabled on the cluster agent"),
            (Route::LocalSeries, _) => unavailable("Autoscaling workload failover store is disabled on the cluster agent"),
            (Route::AutoscalerList, _) => reply::empty(StatusCode::NO_CONTENT),
            (_, None) => return Err(reply::not_found()),
        };
        Ok(Next::Reply(handler, reply))
    }

    /// Another replica leads: passes the request on, unless it would go in circles.
    fn elsewhere(&self, request: &Request, route: &Route<'_>, leader: Option<String>) -> Next {
        let handler = route.handler();
        let refusal = match (&self.relay, leader) {
            _ if request.headers().contains_key(&relay::FOLLOWER_FORWARDED) => relay::already_forwarded(request),
            (None, _) => relay::no_relay(),
            (Some(relay), Some(leader)) if !relay.is_own(&leader) => {
                let head = matches!(route, Route::Balance(_)).then_some(COMMAND_DEADLINE + RELAYED_MORE);
                return Next::Relay { handler, head, leader };
            }
            (Some(_), _) => relay::leader_not_located(),
        };
        Next::Reply(handler, refusal)
    }

    /// A request that was admitted here, in a form in which the leader admits it.
    fn relayed(&self, request: &Request, head: Option<Duration>) -> Relayed {
        let mut relayed = Relayed::of(request);
        if let Some(token) = &self.tokens.cluster {
            relayed = relayed.with_token(token);
        }
        match head {
            Some(head) => relayed.within(head),
            None => relayed,
        }
    }

    fn pass_on(
        self: &Arc<Self>,
        handler: Option<&'static str>,
        leader: String,
        request: Relayed,
        payload: Payload,
        started: Duration,
    ) -> Answer {
        let api = Arc::clone(self);
        Answer::Later(Box::pin(async move {
            let reply = match (body::read(payload, api.body_limits).await, &api.relay) {
                (Ok(body), Some(relay)) => relay.pass_on(&leader, request, body).await,
                (Ok(_), None) => relay::no_relay(),
                (Err(error), _) => error.reply(),
            };
            if let Some(handler) = handler {
                api.observer.observed(handler, reply.status(), true, api.clock.monotonic().saturating_sub(started));
            }
            reply
        }))
    }

    fn balance(
        self: &Arc<Self>,
        routes: Arc<CheckRoutes>,
        route: BalanceRoute,
        request: &Request,
        payload: Payload,
        started: Duration,
    ) -> Answer {
        let (api, query) = (Arc::clone(self), request.uri().query().map(str::to_owned));
        let handler = route.handler();
        Answer::Later(Box::pin(async move {
            let reply = match body::read(payload, api.body_limits).await {
                Ok(body) => routes.balance.answer(route, query.as_deref(), &body).await,
                Err(error) => error.reply(),
            };
            api.observe(handler, &reply, started);
            reply
        }))
    }

    fn replicate(self: &Arc<Self>, route: ReplicaRoute, request: &Request, payload: Payload) -> Answer {
        let (api, query) = (Arc::clone(self), request.uri().query().map(str::to_owned));
        Answer::Later(Box::pin(async move {
            let Some(replicas) = &api.replicas else { return reply::not_found() };
            match route {
                ReplicaRoute::Deltas => {
                    body::discard(payload, api.body_limits).await;
                    replicas.deltas(query.as_deref()).await
                }
                ReplicaRoute::Table => replicas.table(query.as_deref(), payload).await,
            }
        }))
    }

    fn status(
        self: &Arc<Self>,
        routes: Arc<CheckRoutes>,
        node: NodeName,
        real_ip: Option<Bytes>,
        payload: Payload,
        started: Duration,
    ) -> Answer {
        let api = Arc::clone(self);
        Answer::Later(Box::pin(async move {
            let reply = match body::read(payload, api.body_limits).await {
                Ok(body) => routes.checks.post_status(node, real_ip.as_deref(), &body).await,
                Err(error) => error.reply(),
            };
            api.observe(Route::PostStatus("").handler(), &reply, started);
            reply
        }))
    }

    fn document(self: &Arc<Self>, route: DocumentRoute, request: &Request, payload: Payload) -> Answer {
        let api = Arc::clone(self);
        let request = AdminRequest::read(request, payload, self.body_limits);
        Answer::Later(Box::pin(async move {
            match (request.await, route) {
                (Ok(request), DocumentRoute::Admin(route)) => api.admin.answer(route, request).await,
                (Ok(_), DocumentRoute::Journal) => admin::document(api.admin.admin.journal().await),
                (Ok(_), DocumentRoute::Diagnostics) => admin::document(api.admin.admin.diagnostics().await),
                (Err(error), _) => error.reply(),
            }
        }))
    }

    fn observe(&self, handler: Option<&'static str>, reply: &Reply, started: Duration) {
        if let Some(handler) = handler {
            let elapsed = self.clock.monotonic().saturating_sub(started);
            self.observer.observed(handler, reply.status(), false, elapsed);
        }
    }
}

fn unavailable(text: &str) -> Reply {
    reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
}

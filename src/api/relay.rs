//! Passes requests that only the leader answers on to it. Source: cluster-checks 3.1, 3.2, 16.6.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_http::{HttpMessage as _, Method, Request, StatusCode};
use bytes::Bytes;
use reqwest::header as outgoing;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::reply::{self, Reply};
use crate::client::{ReplicaClientError, Trust, http_client, read_body};
use crate::config::Secret;
use crate::errors;

/// Marks a request that a follower passed on.
pub const FOLLOWER_FORWARDED: HeaderName = HeaderName::from_static("x-dca-follower-forwarded");

/// Marks an answer that came through a follower.
const FORWARDED: HeaderName = HeaderName::from_static("x-dca-forwarded");

/// Addresses a request came from, the first one first.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers that belong to one connection and not to the request. Source: RFC 9110 7.6.1; the last three are set anew.
const NOT_PASSED_ON: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
];

/// Largest answer that is passed on.
///
/// Units: bytes. Why: as in the client of the cluster agent, 64 MiB hold the configs of tens of thousands of checks.
const BODY_LIMIT: usize = 64 << 20;

/// Time that a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(120);

/// Bounds of passing on.
#[derive(Debug, Clone, Copy)]
pub struct RelayLimits {
    /// Most requests under way; further ones wait.
    pub connections: usize,
    /// Longest time to connect.
    pub connect: Duration,
    /// Longest time until the head of the answer, waiting for a free connection included.
    pub head: Duration,
    /// Longest time until the end of the answer.
    pub total: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { connections: 100, connect: Duration::from_secs(1), head: Duration::from_secs(5), total: Duration::from_secs(30) }
    }
}

/// A request on its way to the leader.
#[derive(Debug)]
pub struct Relayed {
    method: Method,
    target: String,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    head: Option<Duration>,
}

impl Relayed {
    /// Everything of a request but its body.
    pub fn of(request: &Request) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        Self {
            method: request.method().clone(),
            target: target.to_owned(),
            headers: request.headers().clone(),
            peer: request.peer_addr(),
            head: None,
        }
    }

    /// The same with the token that all replicas share. The leader does not know the local token of this one, and who sent the request
    /// was allowed to. Source: cluster-checks 4.6.
    pub fn with_token(mut self, token: &Secret<String>) -> Self {
        if let Ok(value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
            self.headers.insert(actix_http::header::AUTHORIZATION, value);
        }
        self
    }

    /// The same with another time until the head of the answer than [`RelayLimits::head`].
    pub fn within(self, head: Duration) -> Self {
        Self { head: Some(head), ..self }
    }

    fn headers(&self) -> outgoing::HeaderMap {
        let listed: Vec<String> = self
            .headers
            .get_all(actix_http::header::CONNECTION)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let mut headers = outgoing::HeaderMap::new();
        for (name, value) in &self.headers {
            let passed_on = !NOT_PASSED_ON.contains(&name.as_str()) && !listed.iter().any(|listed| listed == name.as_str());
            if passed_on
                && name != FORWARDED_FOR
                && let Ok(key) = outgoing::HeaderName::from_bytes(name.as_str().as_bytes())
                && let Ok(mut copy) = outgoing::HeaderValue::from_bytes(value.as_bytes())
            {
                copy.set_sensitive(key == outgoing::AUTHORIZATION);
                headers.append(key, copy);
            }
        }
        let earlier = self.headers.get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok()).map(str::to_owned);
        let came_from: Vec<String> = earlier.chain(self.peer.map(|peer| peer.ip().to_canonical().to_string())).collect();
        if let Ok(came_from) = outgoing::HeaderValue::from_str(&came_from.join(", ")) {
            headers.insert("x-forwarded-for", came_from);
        }
        headers.insert("x-dca-follower-forwarded", outgoing::HeaderValue::from_static("true"));
        headers
    }
}

/// The way to the leader. One for all threads.
#[derive(Debug)]
pub struct Relay {
    client: reqwest::Client,
    own_address: Option<String>,
    permits: Semaphore,
    limits: RelayLimits,
    failures: AtomicU64,
}

impl Relay {
    /// A relay that never calls `own_address`, the `host:port` under which the others know this replica.
    ///
    /// Errors: [`ReplicaClientError`] for certificates that cannot be read.
    pub fn try_new(own_address: Option<String>, trust: &Trust, limits: RelayLimits) -> Result<Self, ReplicaClientError> {
        let builder =
            http_client(trust)?.connect_timeout(limits.connect).pool_idle_timeout(IDLE).pool_max_idle_per_host(limits.connections);
        let client = builder.build().map_err(ReplicaClientError::Tls)?;
        Ok(Self { client, own_address, permits: Semaphore::new(limits.connections), limits, failures: AtomicU64::new(0) })
    }

    /// Whether this address is our own: a request to it would come back.
    pub fn is_own(&self, address: &str) -> bool {
        self.own_address.as_deref() == Some(address)
    }

    /// The leader's answer, or 502.
    pub async fn pass_on(&self, address: &str, request: Relayed, body: Bytes) -> Reply {
        match timeout(self.limits.total, self.exchange(address, request, body)).await {
            Ok(Ok(reply)) => marked(reply),
            Ok(Err(error)) => self.failed(address, &error),
            Err(_) => self.failed(address, &format!("no complete answer within {:?}", self.limits.total)),
        }
    }

    async fn exchange(&self, address: &str, request: Relayed, body: Bytes) -> Result<Reply, String> {
        let head = request.head.unwrap_or(self.limits.head);
        let url = format!("https://{address}{}", request.target);
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes()).map_err(|error| error.to_string())?;
        let call = self.client.request(method, url).headers(request.headers());
        let call = if body.is_empty() && request.method == Method::GET { call } else { call.body(body) };
        let sent = timeout(head, async {
            // Never closed.
            let permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
            let answer = call.send().await.map_err(|error| errors::chain(&error.without_url()))?;
            Ok::<_, String>((answer, permit))
        });
        let (answer, _permit) = sent.await.map_err(|_| format!("no answer within {head:?}"))??;
        let status = StatusCode::from_u16(answer.status().as_u16()).map_err(|error| error.to_string())?;
        let headers = answer.headers().clone();
        let body = read_body(answer, BODY_LIMIT).await.map_err(|error| error.to_string())?;
        let mut reply = reply::empty(status).set_body(Bytes::from(body));
        for (name, value) in &headers {
            if NOT_PASSED_ON.contains(&name.as_str()) {
                continue;
            }
            if let Ok(name) = HeaderName::try_from(name.as_str())
                && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
            {
                reply.headers_mut().append(name, value);
            }
        }
        Ok(reply)
    }

    /// Warns about the first failure and every hundredth: while a leader is being replaced, every agent meets one.
    fn failed(&self, leader: &str, error: &str) -> Reply {
        let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if count == 1 || count.is_multiple_of(100) {
            tracing::warn!(leader, error, count, "request not passed on to the leader");
        }
        marked(reply::empty(StatusCode::BAD_GATEWAY))
    }
}

/// Marks an answer as one that a follower gave or passed on.
fn marked(reply: Reply) -> Reply {
    reply::with_header(reply, FORWARDED, HeaderValue::from_static("true"))
}

/// 508: the request went from follower to follower. It is not passed on again, whatever the other one believes.
pub fn already_forwarded(request: &Request) -> Reply {
    let from = request.peer_addr().map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string()).unwrap_or_default();
    marked(reply::text(StatusCode::LOOP_DETECTED, &format!("Query was already forwarded from: {from}")))
}

/// 503: there is no relay, because this replica does not take part in an election.
pub fn no_relay() -> Reply {
    reply::text(StatusCode::SERVICE_UNAVAILABLE, "Follower unable to forward as leaderForwarder is not available yet")
}

/// 503: another replica leads, and nobody knows where it is.
pub fn leader_not_located() -> Reply {
    marked(reply::text(StatusCode::SERVICE_UNAVAILABLE, ""))
}

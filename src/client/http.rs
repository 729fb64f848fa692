//! HTTPS calls to the cluster agent with the limits of a stock agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::scrub::scrub;
use muster_actors::domain::world::NodeKind;
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{ClusterAgentClient, ClusterAgentError, FetchedConfigs, StatusReply};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use tokio::sync::Semaphore;
use tracing::info;
use url::Url;

use crate::client::backoff::Contact;
use crate::client::bearer::bearer;
use crate::client::trust::Trust;
use crate::client::wire::{ConfigReply, NodeStatus, StatusBody, Version, decode};
use crate::config::Secret;
use crate::errors;

/// Most of a refusing server's own words that is repeated.
///
/// Units: characters.
const REASON_LIMIT: usize = 120;
/// Largest answer that is read.
///
/// Units: bytes. Why: whoever answers in place of the cluster agent must not take the memory of the node; 64 MiB hold the
/// configs of tens of thousands of checks.
const BODY_LIMIT: usize = 64 << 20;
/// Limit of connecting: 1 s to dial and 5 s for the TLS handshake. Source: cluster-agent-kubernetes 1.4.
const CONNECT_LIMIT: Duration = Duration::from_secs(6);
/// Limit of waiting for the response header on an open connection.
const HEADER_LIMIT: Duration = Duration::from_secs(3);
/// Limit of a whole call.
const TOTAL_LIMIT: Duration = Duration::from_secs(10);
/// Time after which an unused connection is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// TCP keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where a runner serves its statistics. Source: cluster-checks 2.
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where the cluster agent is.
    pub endpoint: Url,
    /// Cluster token.
    pub token: Secret<String>,
    /// Name under which this node polls.
    pub identity: String,
    /// Kind of this node, sent with every status.
    pub kind: NodeKind,
    /// Address at which this node serves the runner API (`clc_runner_host`), may be empty.
    pub runner_host: String,
    /// Version of muster, for `User-Agent`.
    pub version: String,
    /// Which certificates are accepted.
    pub trust: Trust,
    /// Time after which connections are made anew to spread over replicas; zero = never
    /// (`cluster_agent.client_reconnect_period_seconds`).
    pub reconnect_period: Duration,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token or the runner host holds characters that no header may hold.
    #[error("put {0} into a header")]
    Header(&'static str, #[source] InvalidHeaderValue),
    /// The endpoint cannot have a path below it.
    #[error("call {0}, which is no base of other addresses")]
    Endpoint(Url),
    /// The certificates are not readable, or the TLS library refuses to work.
    #[error("set up TLS")]
    Tls(#[source] reqwest::Error),
}

/// A client of the cluster agent. Cheap to clone; one connection at a time.
#[derive(Clone)]
pub struct ClusterAgentHttp {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ClientSettings,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    /// One call at a time, as stock agents have one connection per host.
    turn: Semaphore,
    state: Mutex<State>,
}

struct State {
    contact: Contact,
    client: Client,
    built_at: Duration,
    /// When a call last succeeded on this client: its connection is probably still open.
    answered_at: Option<Duration>,
}

impl ClusterAgentHttp {
    /// Makes a client; nothing is called yet. Proxies of the environment are not used.
    ///
    /// Errors: [`ClientError`].
    pub fn try_new(settings: ClientSettings, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        if settings.endpoint.cannot_be_a_base() {
            return Err(ClientError::Endpoint(settings.endpoint));
        }
        let token = bearer(&settings.token).map_err(|error| ClientError::Header("the token", error))?;
        let runner_host = HeaderValue::try_from(&settings.runner_host).map_err(|error| ClientError::Header("clc_runner_host", error))?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, token), (REAL_IP, runner_host)]);
        let client = build(&settings, &headers).map_err(ClientError::Tls)?;
        let state = State { contact: Contact::new(), client, built_at: clock.monotonic(), answered_at: None };
        Ok(Self { inner: Arc::new(Inner { settings, headers, clock, turn: Semaphore::new(1), state: Mutex::new(state) }) })
    }
}

impl ClusterAgentClient for ClusterAgentHttp {
    fn post_status(&self, last_change: i64, deadline: Duration) -> BoxFuture<'static, Result<StatusReply, ClusterAgentError>> {
        let inner = Arc::clone(&self.inner);
        async move {
            let status = NodeStatus { last_change, node_type: inner.settings.kind.to_wire(), muster_grants: true };
            let body = serde_json::to_string(&status).map_err(|error| ClusterAgentError::Remote(error.to_string()))?;
            let path = ["api", "v1", "clusterchecks", "status", &inner.settings.identity];
            let answer = inner.call(Method::POST, &path, Some(body), deadline).await?;
            decode::<StatusBody>(&answer).map(StatusReply::from)
        }
        .boxed()
    }

    fn fetch_configs(&self) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.fetch("clusterchecks", &inner.settings.identity).await }.boxed()
    }

    fn fetch_endpoint_configs(&self, kubernetes_node: &str) -> BoxFuture<'static, Result<FetchedConfigs, ClusterAgentError>> {
        let (inner, kubernetes_node) = (Arc::clone(&self.inner), kubernetes_node.to_owned());
        async move { inner.fetch("endpointschecks", &kubernetes_node).await }.boxed()
    }
}

impl Inner {
    async fn fetch(&self, kind: &str, name: &str) -> Result<FetchedConfigs, ClusterAgentError> {
        let answer = self.call(Method::GET, &["api", "v1", kind, "configs", name], None, TOTAL_LIMIT).await?;
        decode::<ConfigReply>(&answer).map(FetchedConfigs::from)
    }

    /// One call within `deadline`, which includes the wait for its turn.
    async fn call(&self, method: Method, path: &[&str], body: Option<String>, deadline: Duration) -> Result<Vec<u8>, ClusterAgentError> {
        let attempt = async {
            let _turn = self.turn.acquire().await.map_err(|error| ClusterAgentError::Remote(error.to_string()))?;
            self.make_contact().await?;
            self.exchange(method, path, body).await
        };
        let late = || ClusterAgentError::Remote(format!("no answer within {deadline:?}"));
        tokio::time::timeout(deadline.min(TOTAL_LIMIT), attempt).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asks for the version until it was answered once; between failed attempts calls fail at once.
    async fn make_contact(&self) -> Result<(), ClusterAgentError> {
        let now = self.clock.monotonic();
        match &self.lock().contact {
            Contact::Made => return Ok(()),
            Contact::Missing { not_before, error, .. } if now < *not_before => {
                let wait = not_before.saturating_sub(now).as_secs_f64().ceil();
                return Err(ClusterAgentError::Remote(format!("not reached yet, next attempt in {wait} s: {error}")));
            }
            Contact::Missing { .. } => {}
        }
        let answer = self.exchange(Method::GET, &["version"], None).await;
        let version = answer.and_then(|body| {
            serde_json::from_slice::<Version>(&body).map_err(|error| ClusterAgentError::Remote(format!("read its version: {error}")))
        });
        match version {
            Ok(Version { major, minor }) => {
                info!(endpoint = %self.settings.endpoint, version = format!("{major}.{minor}"), "cluster agent reached");
                self.lock().contact = Contact::Made;
                Ok(())
            }
            Err(error) => {
                self.lock().contact.fail(now, error.to_string());
                Err(error)
            }
        }
    }

    async fn exchange(&self, method: Method, path: &[&str], body: Option<String>) -> Result<Vec<u8>, ClusterAgentError> {
        let (client, header_limit) = self.connection()?;
        let mut url = self.settings.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = client.request(method, url);
        let answer = send(body.into_iter().fold(request, RequestBuilder::body), header_limit).await;
        if answer.is_ok() {
            self.lock().answered_at = Some(self.clock.monotonic());
        }
        answer
    }

    /// The client and how long it may take until the response header: longer when it has to connect first.
    fn connection(&self) -> Result<(Client, Duration), ClusterAgentError> {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let period = self.settings.reconnect_period;
        if !period.is_zero() && now.saturating_sub(state.built_at) >= period {
            state.client = build(&self.settings, &self.headers).map_err(|error| ClusterAgentError::Remote(chain(&error)))?;
            (state.built_at, state.answered_at) = (now, None);
        }
        let connected = state.answered_at.is_some_and(|at| now.saturating_sub(at) < IDLE_LIMIT);
        Ok((state.client.clone(), if connected { HEADER_LIMIT } else { CONNECT_LIMIT + HEADER_LIMIT }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends and reads the whole body; everything but a complete 200 is [`ClusterAgentError::Remote`].
async fn send(request: RequestBuilder, header_limit: Duration) -> Result<Vec<u8>, ClusterAgentError> {
    let remote = |error: reqwest::Error| ClusterAgentError::Remote(chain(&error));
    let sent = tokio::time::timeout(header_limit, request.send()).await;
    let response = sent.map_err(|_| ClusterAgentError::Remote(format!("no response header within {header_limit:?}")))?.map_err(remote)?;
    let status = response.status();
    let body = read_body(response, BODY_LIMIT).await?;
    if status == StatusCode::OK { Ok(body) } else { Err(ClusterAgentError::Remote(refusal(status, &body))) }
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than this many bytes.
    #[error("answer larger than {0} bytes")]
    TooLarge(usize),
    /// The connection ended, or time was up.
    #[error("{0}")]
    Broken(String),
}

impl From<BodyError> for ClusterAgentError {
    fn from(error: BodyError) -> Self {
        Self::Remote(error.to_string())
    }
}

/// The whole body, unless it is larger than `limit` bytes.
pub(crate) async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge(limit));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| BodyError::Broken(chain(&error)))? {
        if body.len() + part.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The status, and what the server says about it.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> String {
    let first = reason(body);
    if first.is_empty() { format!("status {status}") } else { format!("status {status}: {first}") }
}

/// The beginning of what a server says about its refusal.
pub(super) fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().lines().next().unwrap_or_default().chars().take(REASON_LIMIT).collect()
}

fn build(settings: &ClientSettings, headers: &HeaderMap) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(format!("muster/{}", settings.version))
        .default_headers(headers.clone())
        .no_proxy()
        // Only very old followers redirect, and a redirect would carry the token elsewhere.
        .redirect(redirect::Policy::none())
        .http1_only()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(TOTAL_LIMIT)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE_LIMIT)
        .tcp_keepalive(KEEP_ALIVE);
    settings.trust.apply(builder)?.build()
}

/// The error with its causes, without credentials.
pub(super) fn chain(error: &reqwest::Error) -> String {
    scrub(&errors::chain(error))
}

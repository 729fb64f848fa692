//! HTTPS calls from replica to replica.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::replication::{Content, Shipment, ShipmentError, WIRE_VERSION, decode, encode};
use muster_actors::messages::replica::{FetchDeltas, HOLD, LARGEST_TABLE, OfferTable};
use muster_actors::ports::{ReplicaClient, ReplicaError};
use reqwest::header::{AUTHORIZATION, HeaderMap, InvalidHeaderValue};
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, redirect};
use url::Url;

use super::bearer::bearer;
use super::http::{chain, read_body, refusal};
use super::trust::Trust;
use crate::config::Secret;

/// Longest time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Longest time of a question: as long as it may be held, and time for a whole table.
const FETCH_LIMIT: Duration = HOLD.saturating_add(Duration::from_secs(5));
/// Longest time of an offer.
const OFFER_LIMIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
///
/// Units: bytes.
const BODY_LIMIT: usize = LARGEST_TABLE;
/// TCP keep-alive: a leader whose machine is gone is noticed before its question would be answered.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaClientError {
    /// The token holds characters that no header may hold.
    #[error("put the token into a header")]
    Token(#[source] InvalidHeaderValue),
    /// The certificates are not readable, or the TLS library refuses to work.
    #[error("set up TLS to the other replicas")]
    Tls(#[source] reqwest::Error),
}

/// What every client of another replica has in common: no proxy, no redirect, bodies as they are.
///
/// Errors: [`ReplicaClientError::Tls`].
pub(crate) fn http_client(trust: &Trust) -> Result<ClientBuilder, ReplicaClientError> {
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).http1_only().no_gzip().no_deflate();
    trust.apply(builder).map_err(ReplicaClientError::Tls)
}

/// The other replicas, reached with the cluster token. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReplicaHttp {
    client: Client,
}

impl ReplicaHttp {
    /// Makes a client; nothing is called yet. `version` is that of muster, for `User-Agent`.
    ///
    /// Errors: [`ReplicaClientError`].
    pub fn try_new(token: &Secret<String>, trust: &Trust, version: &str) -> Result<Self, ReplicaClientError> {
        let bearer = bearer(token).map_err(ReplicaClientError::Token)?;
        let builder = http_client(trust)?
            .user_agent(format!("muster/{version}"))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .connect_timeout(CONNECT_LIMIT)
            .tcp_keepalive(KEEP_ALIVE);
        Ok(Self { client: builder.build().map_err(ReplicaClientError::Tls)? })
    }
}

fn unreachable(error: impl ToString) -> ReplicaError {
    ReplicaError::Unreachable(error.to_string())
}

/// The address of a route, with the question as its query.
fn url(address: &str, route: &str, replica: &str) -> Result<Url, ReplicaError> {
    let mut url = Url::parse(&format!("https://{address}/api/v1/muster/replica/{route}")).map_err(unreachable)?;
    url.query_pairs_mut().append_pair("version", &WIRE_VERSION.to_string()).append_pair("replica", replica);
    Ok(url)
}

/// Status and body. A refusal that trying again does not mend is [`ReplicaError::Refused`].
async fn call(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), ReplicaError> {
    let answer = request.send().await.map_err(|error| unreachable(chain(&error)))?;
    let status = answer.status();
    let body = read_body(answer, BODY_LIMIT).await.map_err(unreachable)?;
    match status {
        StatusCode::OK | StatusCode::CONFLICT => Ok((status, body)),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            Err(ReplicaError::Refused(refusal(status, &body)))
        }
        _ => Err(ReplicaError::Unreachable(refusal(status, &body))),
    }
}

impl ReplicaClient for ReplicaHttp {
    fn fetch(&self, address: &str, question: FetchDeltas) -> BoxFuture<'static, Result<Shipment, ReplicaError>> {
        let (client, url) = (self.client.clone(), url(address, "deltas", &question.replica));
        async move {
            let mut url = url?;
            if let Some(position) = question.position {
                let (epoch, seq) = (position.epoch.to_string(), position.seq.to_string());
                url.query_pairs_mut().append_pair("epoch", &epoch).append_pair("seq", &seq);
            }
            let (_, body) = call(client.get(url).timeout(FETCH_LIMIT)).await?;
            let decoded = tokio::task::spawn_blocking(move || decode(&body)).await.map_err(unreachable)?;
            decoded.map_err(|error| match error {
                ShipmentError::Version { .. } => ReplicaError::Refused(error.to_string()),
                ShipmentError::NotOurs | ShipmentError::Damaged => unreachable(error),
            })
        }
        .boxed()
    }

    fn offer(&self, address: &str, offer: OfferTable) -> BoxFuture<'static, Result<bool, ReplicaError>> {
        let (client, url) = (self.client.clone(), url(address, "table", &offer.replica));
        async move {
            let encoded = tokio::task::spawn_blocking(move || {
                let mirror = offer.mirror;
                let content = Content::Table(Arc::new(mirror.table.to_delta()));
                encode(&Shipment { epoch: mirror.confirmed, discovery_synced: mirror.discovery_synced, content })
            });
            let body = encoded.await.map_err(unreachable)?.map_err(unreachable)?;
            let (status, _) = call(client.post(url?).body(body).timeout(OFFER_LIMIT)).await?;
            Ok(status == StatusCode::OK)
        }
        .boxed()
    }
}

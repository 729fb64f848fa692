//! HTTPS calls to the statistics API of runners. Source: cluster-checks 10, node-runner 8.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::figures::CheckFigures;
use muster_actors::domain::ids::CheckId;
use muster_actors::domain::scrub::scrub;
use muster_actors::ports::{RunnerError, RunnerStats};
use reqwest::header::{AUTHORIZATION, HeaderMap, InvalidHeaderValue};
use reqwest::{Client, StatusCode, redirect};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use url::{Host, Url};

use super::bearer::bearer;
use super::http::{BodyError, chain, read_body, reason};
use super::runner_wire::{checks, workers};
use super::trust::Trust;
use crate::carried::carried;
use crate::config::Secret;

/// Longest time of a call, from connecting to the last byte. Source: cluster-checks 10.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Time after which an unused connection is closed: longer than it takes until the next collection.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// Largest answer that is read.
///
/// Units: bytes. Why: a broken runner must not take the memory of the cluster role; 16 MiB hold the statistics of 40 000 checks.
const BODY_LIMIT: usize = 16 << 20;
/// Most of a refusal that is read.
///
/// Units: bytes.
const REFUSAL_LIMIT: usize = 64 << 10;
/// Bodies above this size are decoded on the blocking pool, so that other calls keep their time.
///
/// Units: bytes.
const LONG_BODY: usize = 256 << 10;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum RunnerClientError {
    /// The token holds characters that no header may hold.
    #[error("put the token into a header")]
    Token(#[source] InvalidHeaderValue),
    /// The TLS library refuses to work.
    #[error("set up TLS to runners")]
    Tls(#[source] reqwest::Error),
}

/// All runners, reached with the cluster token at one port. Cheap to clone.
///
/// Their certificates are not verified: stock runners sign their own.
#[derive(Debug, Clone)]
pub struct RunnerHttp {
    client: Client,
    port: u16,
    carrier: Handle,
}

impl RunnerHttp {
    /// Makes a client; nothing is called yet. `port` is `cluster_checks.clc_runners_port`, `version` that of muster, for `User-Agent`:
    /// our own runners tell a caller of this name about checks that have not run yet. Everything is sent and received on `carrier`,
    /// away from the thread of whoever calls.
    ///
    /// Errors: [`RunnerClientError`].
    pub fn try_new(token: &Secret<String>, port: u16, version: &str, carrier: Handle) -> Result<Self, RunnerClientError> {
        let bearer = bearer(token).map_err(RunnerClientError::Token)?;
        let builder = Client::builder()
            .user_agent(format!("muster/{version}"))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .no_proxy()
            // A redirect would carry the token elsewhere.
            .redirect(redirect::Policy::none())
            .http1_only()
            .timeout(CALL_LIMIT)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_LIMIT);
        let client = Trust::Any.apply(builder).and_then(reqwest::ClientBuilder::build).map_err(RunnerClientError::Tls)?;
        Ok(Self { client, port, carrier })
    }

    /// Gets a route of one runner and decodes its body. Dropping the future ends the call.
    fn get<T: Send + 'static>(
        &self,
        address: &str,
        route: &'static str,
        decode: fn(&[u8]) -> Result<T, RunnerError>,
    ) -> BoxFuture<'static, Result<T, RunnerError>> {
        let (client, url) = (self.client.clone(), url(address, self.port, route));
        let call = async move {
            let body = body(&client, url?).await?;
            if body.len() < LONG_BODY {
                return decode(&body);
            }
            spawn_blocking(move || decode(&body)).await.map_err(|error| RunnerError::Garbled(error.to_string()))?
        };
        let call = carried(&self.carrier, call);
        call.map(|ended| ended.map_err(|error| RunnerError::Unreachable(error.to_string()))?).boxed()
    }
}

impl RunnerStats for RunnerHttp {
    fn stats(&self, address: &str) -> BoxFuture<'static, Result<BTreeMap<CheckId, CheckFigures>, RunnerError>> {
        self.get(address, "stats", checks)
    }

    fn workers(&self, address: &str) -> BoxFuture<'static, Result<u32, RunnerError>> {
        self.get(address, "workers", workers)
    }
}

/// The address of a route; IPv6 addresses come as they are written, and as they are written in URLs.
fn url(address: &str, port: u16, route: &str) -> Result<Url, RunnerError> {
    let host = address.parse::<Ipv6Addr>().map(Host::Ipv6).or_else(|_| Host::parse(address));
    let url = host.map(|host| Url::parse(&format!("https://{host}:{port}/api/v1/clcrunner/{route}")));
    let no_address = |error: url::ParseError| RunnerError::Unreachable(format!("{address:?} is no address: {error}"));
    url.map_err(no_address)?.map_err(no_address)
}

async fn body(client: &Client, url: Url) -> Result<Vec<u8>, RunnerError> {
    let response = client.get(url).send().await.map_err(|error| RunnerError::Unreachable(chain(&error)))?;
    let status = response.status();
    if status != StatusCode::OK {
        // What a refusal says is worth less than that it is one.
        let body = read_body(response, REFUSAL_LIMIT).await.unwrap_or_default();
        return Err(RunnerError::Refused { status: status.as_u16(), body: scrub(&reason(&body)) });
    }
    read_body(response, BODY_LIMIT).await.map_err(|error| match error {
        BodyError::TooLarge(_) => RunnerError::Garbled(error.to_string()),
        BodyError::Broken(text) => RunnerError::Unreachable(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_urls_want_them() {
        let written = |address| url(address, 5005, "stats").map(|url| url.to_string());
        for (address, host) in [
            ("10.0.0.1", "10.0.0.1"),
            ("fd00::7", "[fd00::7]"),
            ("[fd00::7]", "[fd00::7]"),
            ("::ffff:10.0.0.1", "[::ffff:a00:1]"),
            ("runner-0.runners", "runner-0.runners"),
        ] {
            assert_eq!(written(address), Ok(format!("https://{host}:5005/api/v1/clcrunner/stats")), "{address}");
        }
        for address in ["", "10.0.0.1/x", "a b", "evil@10.0.0.1", "10.0.0.1:80", "fe80::1%eth0", "a?b", "a#b"] {
            assert!(matches!(written(address), Err(RunnerError::Unreachable(_))), "{address}");
        }
    }
}

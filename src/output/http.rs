//! The HTTP client of an intake, and how its errors are told.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_actors::domain::delivery::{SendErrorKind, SendResult};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Response, tls};
use tower::util::MapResultLayer;
use url::Url;

use crate::config::settings::{IntakeSettings, ProxySettings};
use crate::config::{ApiKey, Secret};
use crate::errors;
use crate::output::error::OutputError;

/// Bytes of an answer that are read; intakes answer with a few words.
///
/// Why at all: a connection whose answer was not read to its end cannot be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Builds the client for an intake, which counts the connections that it makes in `made`; `shown` is its URL without secrets.
///
/// Errors: [`OutputError::Proxy`], [`OutputError::Client`].
pub fn client(settings: &IntakeSettings, base: &Url, shown: &str, made: &Arc<AtomicU64>) -> Result<Client, OutputError> {
    let proxy = Arc::new(checked(&settings.proxy)?);
    let needs_trust = base.scheme() == "https" || proxy.choose(base).is_some_and(|proxy| proxy.starts_with("https://"));
    let mut builder = Client::builder()
        .timeout(settings.timeout)
        // An answer of 3xx counts as success; following it would carry the key to another host.
        .redirect(Policy::none())
        // A flush opens as many as it needs; between two of them one is enough.
        .pool_max_idle_per_host(1)
        .connector_layer(MapResultLayer::new(counting(Arc::clone(made))))
        .user_agent(format!("datadog-agent/{}", settings.version))
        .tls_version_min(if settings.tls13_only { tls::Version::TLS_1_3 } else { tls::Version::TLS_1_2 })
        // Proxies come from the settings only, never from the environment behind our back.
        .no_proxy()
        .proxy(Proxy::custom(move |url| proxy.choose(url).map(str::to_owned)));
    if settings.skip_ssl_validation {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if !needs_trust {
        // Without TLS nobody has to be trusted: this saves the memory, and works where no certificates are installed.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|source| OutputError::Client { url: shown.to_owned(), source })
}

/// Lets results pass, and counts the good ones.
fn counting<T, E>(made: Arc<AtomicU64>) -> impl Fn(Result<T, E>) -> Result<T, E> + Clone + Send + Sync + 'static {
    move |result| {
        if result.is_ok() {
            made.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

/// Proxy settings whose URLs can be used.
///
/// Why: the client would go direct, without a word, if it could not read one.
fn checked(settings: &ProxySettings) -> Result<ProxySettings, OutputError> {
    let check =
        |scheme: &'static str, proxy: &Option<Secret<String>>| match proxy.as_ref().map(Secret::expose).filter(|proxy| !proxy.is_empty()) {
            None => Ok(None),
            Some(proxy) => {
                let text = if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") };
                let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host();
                // Stock lets the proxy resolve names whichever of the two is written; our client makes a difference.
                let text = text.strip_prefix("socks5://").map_or(text.clone(), |rest| format!("socks5h://{rest}"));
                Url::parse(&text).ok().filter(known).map(|_| Some(Secret::new(text))).ok_or(OutputError::Proxy { scheme })
            }
        };
    Ok(ProxySettings { http: check("http", &settings.http)?, https: check("https", &settings.https)?, ..settings.clone() })
}

/// Reads an answer to its end, so that the connection can be used again; what it says does not matter.
pub async fn finish(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER_BYTES {
            return;
        }
    }
}

/// Tells an error as a result, without URL and key.
#[must_use]
pub fn failure(error: reqwest::Error, key: &ApiKey) -> SendResult {
    let kind = classify(&error);
    SendResult::Failed { kind, text: key.scrub(&errors::chain(&error.without_url())) }
}

fn classify(error: &reqwest::Error) -> SendErrorKind {
    if error.is_builder() {
        SendErrorKind::InvalidRequest
    } else if error.is_timeout() {
        SendErrorKind::CantSend
    } else if error.is_dns() {
        SendErrorKind::DnsLookupFailure
    } else if is_tls(error) {
        SendErrorKind::TlsHandshakeFailure
    } else if error.is_connect() {
        SendErrorKind::ConnectionFailure
    } else if error.is_body() {
        SendErrorKind::WritingFailure
    } else {
        SendErrorKind::CantSend
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    sources(error).any(<dyn Error>::is::<rustls::Error>)
}

/// The error and everything it wraps.
fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // An I/O error hides what it wraps from `source`.
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    })
}

//! Sends the requests of checks: one client per instance, bounded bodies, failures by kind.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, NoProxy, Proxy, Response, Url, redirect};

use super::http_options::{HttpOptions, TokenHeader};
use crate::errors;

/// Redirects followed before a request counts as failed. Source: the default of upstream's HTTP library.
const MAX_REDIRECTS: usize = 30;

/// Kind of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Nothing came in time.
    Timeout,
    /// The connection could not be made, or broke before an answer.
    Connection,
    /// The TLS handshake failed.
    Tls,
    /// Anything else, for example too many redirects or a broken body.
    Other,
}

/// A failed request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct HttpFailure {
    /// Kind.
    pub(crate) kind: FailureKind,
    /// What happened, causes included, the URL left out.
    pub(crate) text: String,
}

impl HttpFailure {
    /// A failure of kind [`FailureKind::Other`].
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, text: text.into() }
    }
}

impl From<reqwest::Error> for HttpFailure {
    fn from(error: reqwest::Error) -> Self {
        let kind = if caused_by_tls(&error) {
            FailureKind::Tls
        } else if error.is_timeout() {
            FailureKind::Timeout
        } else if error.is_redirect() || error.is_builder() || error.is_body() || error.is_decode() {
            FailureKind::Other
        } else {
            FailureKind::Connection
        };
        Self { kind, text: errors::chain(&error.without_url()) }
    }
}

/// The TLS error behind an error, if there is one.
pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = wrapped.and_then(|inner| tls_error(inner)) {
            return Some(tls);
        }
        cause = error.source();
    }
    None
}

fn caused_by_tls(error: &reqwest::Error) -> bool {
    tls_error(error).is_some()
}

/// One request of a check.
pub(crate) struct HttpRequest {
    /// Method.
    pub(crate) method: Method,
    /// Headers on top of the instance's; they win.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Option<Vec<u8>>,
}

/// Where to send requests: a URL, or a Unix socket and the URL behind it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: Url,
    #[cfg(unix)]
    socket: Option<std::path::PathBuf>,
}

impl Target {
    /// Understands `http://`, `https://` and `unix://<quoted socket path>/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        #[cfg(unix)]
        if let Some(rest) = text.strip_prefix("unix://") {
            let (quoted, path) = rest.split_once('/').unwrap_or((rest, ""));
            let socket = percent_decode(quoted);
            if socket.is_empty() {
                return Err("unix:// needs the quoted path of a socket, for example unix://%2Frun%2Fapp.sock/metrics".to_owned());
            }
            let url = Url::parse(&format!("http://localhost/{path}")).map_err(|problem| problem.to_string())?;
            return Ok(Self { url, socket: Some(socket.into()) });
        }
        let url = Url::parse(text).map_err(|problem| problem.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err("the scheme must be http, https or unix, followed by a host".to_owned());
        }
        Ok(Self {
            url,
            #[cfg(unix)]
            socket: None,
        })
    }

    /// The URL of the requests.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The URL as sent: with the host that TLS is to ask for and compare, if that is another one.
    fn request_url(&self, tls_host: Option<&str>) -> Result<Url, HttpFailure> {
        let mut url = self.url.clone();
        if let Some(host) = tls_host {
            url.set_host(Some(host)).map_err(|problem| HttpFailure::other(format!("Host header {host:?}: {problem}")))?;
        }
        Ok(url)
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let code = text.get(index + 1..index + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                out.push(code);
                index += 3;
            }
            _ => {
                out.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The client of one instance.
pub(crate) struct HttpClient {
    options: Arc<HttpOptions>,
    target: Target,
    /// Kept between runs unless files must be read again.
    client: Option<Client>,
}

impl HttpClient {
    /// Prepares a client; nothing is read or opened yet.
    pub(crate) fn new(options: HttpOptions, target: Target) -> Self {
        Self { options: Arc::new(options), target, client: None }
    }

    /// Sends a request and waits for the headers of the answer.
    pub(crate) async fn send(&mut self, request: HttpRequest) -> Result<Response, HttpFailure> {
        let sent = self.try_send(request).await;
        if sent.is_err() {
            // A client made of certificates that have been replaced since would fail for ever.
            self.client = None;
        }
        sent
    }

    async fn try_send(&mut self, request: HttpRequest) -> Result<Response, HttpFailure> {
        let client = self.client().await?;
        let mut headers = self.options.headers.clone();
        if let Some(token) = &self.options.token {
            headers.insert(&token.name, read_token(token).await?);
        }
        for (name, value) in &request.headers {
            headers.insert(name, value.clone());
        }
        let url = self.target.request_url(self.options.tls_host.as_deref())?;
        if self.options.log_requests {
            tracing::debug!(method = %request.method, host = url.host_str().unwrap_or_default(), path = url.path(), "sending request");
        }
        let mut builder = client.request(request.method, url).headers(headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        Ok(builder.send().await?)
    }

    async fn client(&mut self) -> Result<Client, HttpFailure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let (options, target) = (Arc::clone(&self.options), self.target.clone());
        let built = tokio::task::spawn_blocking(move || build(&options, &target)).await;
        let client = built.map_err(|problem| HttpFailure::other(problem.to_string()))??;
        if self.options.persist_connections || !self.options.tls.reads_files() {
            self.client = Some(client.clone());
        }
        Ok(client)
    }
}

fn build(options: &HttpOptions, target: &Target) -> Result<Client, HttpFailure> {
    let tls = options.tls.client_config().map_err(|problem| HttpFailure { kind: FailureKind::Tls, text: problem.to_string() })?;
    let redirects = if options.allow_redirects { redirect::Policy::limited(MAX_REDIRECTS) } else { redirect::Policy::none() };
    // `no_proxy` first: it keeps the environment out, the proxies of the config come after it.
    let mut builder = Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .tls_info(true)
        .redirect(redirects)
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .pool_max_idle_per_host(usize::from(options.persist_connections));
    let no_proxy = NoProxy::from_string(&options.proxy.no_proxy.join(","));
    if let Some(url) = &options.proxy.http {
        builder = builder.proxy(Proxy::http(url)?.no_proxy(no_proxy.clone()));
    }
    if let Some(url) = &options.proxy.https {
        builder = builder.proxy(Proxy::https(url)?.no_proxy(no_proxy));
    }
    if let Some(name) = &options.tls_host {
        let host = target.url.host_str().unwrap_or_default().to_owned();
        builder = builder.dns_resolver(Arc::new(Alias { name: name.clone(), host }));
    }
    #[cfg(unix)]
    if let Some(socket) = &target.socket {
        builder = builder.unix_socket(socket.clone());
    }
    Ok(builder.build()?)
}

/// Resolves one name to the addresses of another host (`tls_use_host_header`).
struct Alias {
    name: String,
    host: String,
}

impl Resolve for Alias {
    fn resolve(&self, name: Name) -> Resolving {
        let host = if name.as_str() == self.name { self.host.clone() } else { name.as_str().to_owned() };
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.trim_matches(['[', ']']), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

async fn read_token(token: &TokenHeader) -> Result<HeaderValue, HttpFailure> {
    let text = tokio::fs::read_to_string(&token.path)
        .await
        .map_err(|problem| HttpFailure::other(format!("read token file {}: {problem}", token.path.display())))?;
    let secret = match &token.pattern {
        None => text.trim().to_owned(),
        Some(pattern) => {
            let captures = pattern.captures(&text).ok().flatten();
            let group = captures.as_ref().and_then(|captures| captures.get(1).or_else(|| captures.get(0)));
            group.map(|group| group.as_str().to_owned()).ok_or_else(|| {
                HttpFailure::other(format!(
                    "the pattern {:?} does not match anything in token file {}",
                    pattern.as_str(),
                    token.path.display()
                ))
            })?
        }
    };
    let mut value = HeaderValue::try_from(token.value.replace(&token.placeholder, &secret))
        .map_err(|_| HttpFailure::other(format!("the token in {} cannot be sent in a header", token.path.display())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A received body.
pub(crate) struct Body {
    /// The bytes, decompressed.
    pub(crate) bytes: Vec<u8>,
    /// Whether more would have come.
    pub(crate) truncated: bool,
}

/// Reads a body up to a limit in bytes and then stops listening, so that no target can eat the memory of the agent.
pub(crate) async fn read_body(response: &mut Response, limit: usize) -> Result<Body, HttpFailure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Body { bytes, truncated: true });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes, truncated: false })
}

/// The text of a body in the charset of its `Content-Type`, UTF-8 when it names none; broken sequences are replaced.
pub(crate) fn decode(headers: &HeaderMap, bytes: Vec<u8>) -> String {
    let charset = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| {
        value.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    });
    match charset.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes())) {
        Some(encoding) if encoding != encoding_rs::UTF_8 => encoding.decode(&bytes).0.into_owned(),
        _ => String::from_utf8(bytes).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_urls_or_sockets() {
        assert_eq!(Target::parse("http://a:8080/x").unwrap().url().as_str(), "http://a:8080/x");
        let unix = Target::parse("unix://%2Frun%2Fmy%20app.sock/metrics?x=1").unwrap();
        assert_eq!(unix.url().as_str(), "http://localhost/metrics?x=1");
        assert_eq!(unix.socket.unwrap().to_str().unwrap(), "/run/my app.sock");
        for text in ["", "ftp://a/", "unix://", "http://", "a.b/c"] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bodies_are_read_in_their_charset() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=\"iso-8859-1\""));
        assert_eq!(decode(&headers, b"gr\xfcn".to_vec()), "grün");
        assert_eq!(decode(&HeaderMap::new(), "grün".as_bytes().to_vec()), "grün");
        assert_eq!(decode(&HeaderMap::new(), b"gr\xfcn".to_vec()), "gr\u{fffd}n");
    }
}

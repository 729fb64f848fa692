//! A client that sends exactly the bytes it is given.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for anything; only catches hangs.
const HANG: Duration = Duration::from_secs(20);

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A request to be written down.
#[derive(Debug, Clone)]
pub struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).body(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The headers a Go client sends and no others.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\n", self.method, self.path);
        if let Some(body) = &self.body {
            write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend(self.body.as_deref().unwrap_or_default());
        bytes
    }

    fn expects_body(&self) -> bool {
        self.method != "HEAD"
    }
}

trait Bytes: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Bytes for T {}

/// One connection.
pub struct Connection {
    stream: Box<dyn Bytes>,
    received: Vec<u8>,
    /// ALPN the server chose.
    pub alpn: Option<Vec<u8>>,
    /// TLS version, `None` on a plain connection.
    pub version: Option<rustls::ProtocolVersion>,
    /// How the TLS session began.
    pub handshake: Option<rustls::HandshakeKind>,
}

/// TLS settings of a client that accepts any certificate.
pub fn tls_client(versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAll))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

impl Connection {
    pub async fn plain(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        Self { stream: Box::new(stream), received: Vec::new(), alpn: None, version: None, handshake: None }
    }

    /// TLS as current agents speak it.
    pub async fn secure(address: SocketAddr) -> Self {
        Self::with_tls(address, tls_client(rustls::ALL_VERSIONS, &[])).await.unwrap()
    }

    pub async fn with_tls(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = within(TcpStream::connect(address)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = within(TlsConnector::from(config).connect(name, stream)).await?;
        let (_, session) = stream.get_ref();
        let (alpn, version, handshake) =
            (session.alpn_protocol().map(<[u8]>::to_vec), session.protocol_version(), session.handshake_kind());
        Ok(Self { stream: Box::new(stream), received: Vec::new(), alpn, version, handshake })
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have hung up already; what it said before is still read.
        let _ = within(self.stream.write_all(bytes)).await;
        let _ = within(self.stream.flush()).await;
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub async fn end(&mut self) {
        within(self.stream.shutdown()).await.unwrap();
    }

    pub async fn call(&mut self, call: &Call) -> Reply {
        self.send(&call.bytes()).await;
        self.reply(call.expects_body()).await.unwrap_or_else(|| panic!("no answer to {call:?}"))
    }

    /// The next answer; `None` if the server closes without one.
    pub async fn reply(&mut self, with_body: bool) -> Option<Reply> {
        let head_end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            if self.fill().await == 0 {
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..head_end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> =
            lines.map(|line| line.split_once(':').unwrap()).map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        if status == 100 {
            return Some(reply);
        }
        if with_body && let Some(length) = reply.header("content-length").map(|text| text.parse::<usize>().unwrap()) {
            while self.received.len() < length && self.fill().await > 0 {}
            reply.body = self.received.drain(..length.min(self.received.len())).collect();
        }
        Some(reply)
    }

    /// Whether the server closes without saying more.
    pub async fn closed(&mut self) -> bool {
        self.received.is_empty() && self.fill().await == 0
    }

    async fn fill(&mut self) -> usize {
        let mut buffer = vec![0; 16 * 1024];
        let count = within(self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.received.extend_from_slice(&buffer[..count]);
        count
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANG, future).await.expect("hangs")
}

#[derive(Debug)]
struct AcceptAll;

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

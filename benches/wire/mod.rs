//! What measurements of the cluster role share: a connection as a stock agent has it, and what the kernel says about a process.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The cluster token of every measured server.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A connection over TLS.
pub type Connection = TlsStream<TcpStream>;

#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A new connection with a handshake of its own, whatever certificate the server has.
pub async fn connect(address: SocketAddr) -> Connection {
    let mut config =
        rustls::ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

/// One status poll as a stock agent sends it; returns the body.
pub async fn post_status(connection: &mut Connection, node: &str, address: &str, last_change: i64) -> String {
    let body = format!(r#"{{"last_change":{last_change},"node_type":1}}"#);
    let request = format!(
        "POST /api/v1/clusterchecks/status/{node} HTTP/1.1\r\nHost: 127.0.0.1:5005\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n\
         Authorization: Bearer {TOKEN}\r\nX-Real-Ip: {address}\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    read_answer(connection).await
}

/// The body at a path.
pub async fn get(connection: &mut Connection, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    read_answer(connection).await
}

async fn read_answer(connection: &mut Connection) -> String {
    let mut answer = Vec::with_capacity(1024);
    loop {
        let read = connection.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
        if answer.len() >= end + 4 + length {
            return String::from_utf8_lossy(&answer[end + 4..]).into_owned();
        }
    }
}

/// Processor and number of cores.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name").map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned()));
    format!("{} x {}", std::thread::available_parallelism().map_or(1, usize::from), model.unwrap_or_else(|| "unknown CPU".to_owned()))
}

/// User plus system time of a process. The kernel counts in ticks of 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// A figure of `/proc/{pid}/status`. Units: kB.
pub fn memory_kb(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.split(':').next() == Some(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

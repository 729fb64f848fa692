//! Fetches the certificate of a TLS target on a connection of its own and reads when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::http_client::tls_error;
use crate::errors;

/// Why no certificate was obtained.
#[derive(Debug)]
pub(crate) enum FetchFailure {
    /// The handshake failed because the certificate has expired.
    Expired(String),
    /// Anything else.
    Other(String),
}

/// Connects to `host:port`, shakes hands for `server_name` and returns the peer's certificate (DER), `None` if it showed none.
///
/// `timeout` limits connecting and the handshake each.
pub(crate) async fn fetch(
    host: &str,
    port: u16,
    server_name: &str,
    config: ClientConfig,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, FetchFailure> {
    let other = |problem: &(dyn std::error::Error + 'static)| FetchFailure::Other(errors::chain(problem));
    let timed_out = |_| FetchFailure::Other("timed out".to_owned());
    let name = ServerName::try_from(server_name.to_owned()).map_err(|problem| other(&problem))?;
    let stream = tokio::time::timeout(timeout, connect(host, port)).await.map_err(timed_out)?.map_err(|problem| other(&problem))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(timeout, handshake).await.map_err(timed_out)?.map_err(|problem| {
        let text = errors::chain(&problem);
        match tls_error(&problem) {
            Some(rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                FetchFailure::Expired(text)
            }
            _ => FetchFailure::Other(text),
        }
    })?;
    let (_, session) = stream.get_ref();
    Ok(session.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.as_ref().to_vec()))
}

async fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    TcpStream::connect(addresses.as_slice()).await
}

/// End of the validity of a certificate (DER). Units: seconds since the Unix epoch.
pub(crate) fn not_after(der: &[u8]) -> Result<i64, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|problem| problem.to_string())?;
    Ok(certificate.validity().not_after.timestamp())
}

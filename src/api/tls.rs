//! TLS settings of our servers.
//!
//! Source: cluster-agent-kubernetes 1.1: TLS 1.2 and 1.3, no client certificates, ALPN `http/1.1` only. Why not `h2`: a runner whose
//! `h2` is refused backs off, one whose stream is accepted and fails calls 1,500 times a second (1.9).

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};

use crate::api::certificate::ServerCertificate;
use crate::config::settings::TlsVersion;

/// Why a server cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and the key do not fit, or the key is of a kind that is not supported.
    #[error("use server certificate")]
    Certificate(#[source] rustls::Error),
    /// The cryptography has none of the versions.
    #[error("choose TLS versions")]
    Versions(#[source] rustls::Error),
    /// No key for session tickets.
    #[error("make session ticket key")]
    Tickets(#[source] rustls::Error),
}

/// TLS settings for a server with this certificate.
///
/// Errors: [`TlsError`].
pub fn server_config(certificate: ServerCertificate, minimum: TlsVersion) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match minimum {
        TlsVersion::V1_2 => &[&TLS12, &TLS13],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(TlsError::Versions)?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions are resumed from tickets that the client keeps, so that thousands of agents cost no memory here.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Tickets)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

//! Which certificate a command accepts from the process of its own machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, Error};

use crate::accepted_certificate::AcceptedCertificate;

/// The TLS side of a connection to this machine: accepts the certificate that both sides can read from a file; any, when there is no
/// such file.
///
/// Why any: the connection never leaves the machine, and a process that cannot write the file uses a certificate of its own
/// (cluster-agent-kubernetes 1.3). Why not the usual verification: the certificate is its own authority, which it refuses.
///
/// Errors: those of the TLS library; none are known to happen.
pub(super) fn client_config(certificate_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let pem = certificate_file.and_then(|path| fs::read(path).ok());
    let only = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
    let verifier = AcceptedCertificate { only, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

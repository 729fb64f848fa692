//! Which certificate a command accepts from the process of its own machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Accepts the certificate that both sides can read from a file; any, when there is no such file.
///
/// Why any: the connection never leaves the machine, and a process that cannot write the file uses a certificate of its own
/// (cluster-agent-kubernetes 1.3). Why not the usual verification: the certificate is its own authority, which it refuses.
#[derive(Debug)]
struct OfThisMachine {
    expected: Option<CertificateDer<'static>>,
    provider: CryptoProvider,
}

/// The TLS side of a connection to this machine.
///
/// Errors: those of the TLS library; none are known to happen.
pub(super) fn client_config(certificate_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = ring::default_provider();
    let pem = certificate_file.and_then(|path| fs::read(path).ok());
    let expected = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
    let verifier = OfThisMachine { expected, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

impl ServerCertVerifier for OfThisMachine {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.expected {
            Some(expected) if expected.as_ref() != end_entity.as_ref() => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

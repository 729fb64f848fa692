//! TLS of a target as the instance asks for it: whom to trust, which name, which certificate to show.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use muster_actors::ports::LoadError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::common::Trust;
use super::options::Options;
use crate::accepted_certificate::AcceptedCertificate;

/// OpenSSL and IANA names of the cipher suites that can be offered.
const CIPHERS: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Certificates the machine trusts, read once per process.
static MACHINE_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Why a TLS configuration cannot be made; reported as the error of the run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("read {path:?}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no usable PEM.
    #[error("find {what} in {path:?}: {detail}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Parser text.
        detail: String,
    },
    /// The parts do not fit together.
    #[error("set up TLS: {0}")]
    Rejected(#[from] rustls::Error),
    /// Nothing to trust.
    #[error("set up TLS: no trusted certificate authority: {0}")]
    NoRoots(String),
}

/// TLS keys of an instance. Source: node-runner 10.
#[derive(Clone, Debug)]
pub(crate) struct TlsOptions {
    /// Whether the peer's certificate must be valid.
    pub(crate) verify: bool,
    /// Whether it must be valid for the host asked for.
    pub(crate) validate_hostname: bool,
    /// File or directory of PEM certificates trusted instead of the machine's.
    pub(crate) authority: Option<PathBuf>,
    /// PEM certificates trusted in addition.
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    /// Own certificate (PEM), shown when asked.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key; `None` = in the same file.
    pub(crate) private_key: Option<PathBuf>,
    /// Allowed versions.
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Allowed cipher suites; empty = all.
    ciphers: Vec<CipherSuite>,
}

impl TlsOptions {
    /// Reads the `tls_*` keys; `verify` is what the check makes of its own keys.
    pub(crate) fn read(options: Options<'_>, trust: Trust) -> Result<Self, LoadError> {
        for key in ["tls_ca_cert", "tls_cert", "tls_private_key"] {
            trust.allow_file(options, key)?;
        }
        if options.has("tls_private_key_password") {
            return Err(options.error("tls_private_key_password", "nothing in this build; store the private key without a password"));
        }
        let authority = options.path("tls_ca_cert")?;
        Ok(Self {
            verify: authority.is_some() || options.flag_or("tls_verify", true)?,
            validate_hostname: options.flag_or("tls_validate_hostname", true)?,
            authority,
            intermediates: intermediates(options)?,
            certificate: options.path("tls_cert")?,
            private_key: options.path("tls_private_key")?,
            versions: versions(options)?,
            ciphers: ciphers(options)?,
        })
    }

    /// Whether files are read for it, so that it must be made anew to see them change.
    pub(crate) fn reads_files(&self) -> bool {
        self.authority.is_some() || self.certificate.is_some()
    }

    /// Makes the client side. Reads files, so it belongs on a thread that may block.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !self.ciphers.is_empty() {
            provider.cipher_suites.retain(|suite| self.ciphers.contains(&suite.suite()));
        }
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&self.versions)?;
        let verifier: Arc<dyn ServerCertVerifier> = if self.verify {
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
                .build()
                .map_err(|problem| TlsError::NoRoots(problem.to_string()))?;
            if self.validate_hostname { chain } else { Arc::new(AnyName(chain)) }
        } else {
            // As the operator asked (`tls_verify: false`).
            Arc::new(AcceptedCertificate { only: None, provider })
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let key = self.private_key.as_ref().unwrap_or(path);
                builder.with_client_auth_cert(read_certificates(path)?, read_key(key)?)?
            }
        };
        // Every run is to see the certificate that the target has now.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = match &self.authority {
            None => MACHINE_ROOTS.clone(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(read_authority(path)?);
                roots
            }
        };
        roots.add_parsable_certificates(self.intermediates.iter().cloned());
        Ok(roots)
    }
}

fn intermediates(options: Options<'_>) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let key = "tls_intermediate_ca_certs";
    let mut certificates = Vec::new();
    for text in options.texts(key)? {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match parsed {
            Ok(parsed) if !parsed.is_empty() => certificates.extend(parsed),
            _ => return Err(options.error(key, "a list of certificates as PEM text")),
        }
    }
    Ok(certificates)
}

fn versions(options: Options<'_>) -> Result<Vec<&'static SupportedProtocolVersion>, LoadError> {
    let key = "tls_protocols_allowed";
    let names = options.texts(key)?;
    if names.is_empty() {
        return Ok(vec![&rustls::version::TLS12, &rustls::version::TLS13]);
    }
    let mut versions = Vec::new();
    for name in &names {
        match name.as_str() {
            "TLSv1.2" => versions.push(&rustls::version::TLS12),
            "TLSv1.3" => versions.push(&rustls::version::TLS13),
            // Part of upstream's default list, never spoken by current releases.
            "SSLv3" | "TLSv1" | "TLSv1.1" => {}
            _ => return Err(options.error(key, format!("a list of SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3, not {name:?}"))),
        }
    }
    if versions.is_empty() {
        return Err(options.error(key, "at least one of TLSv1.2, TLSv1.3; older versions are not spoken"));
    }
    Ok(versions)
}

fn ciphers(options: Options<'_>) -> Result<Vec<CipherSuite>, LoadError> {
    let key = "tls_ciphers";
    let names: Vec<String> = match options.get(key) {
        Some(serde_json::Value::String(text)) => text.split([':', ',']).map(|name| name.trim().to_owned()).collect(),
        _ => options.texts(key)?,
    };
    if names.iter().any(|name| name == "ALL") {
        return Ok(Vec::new());
    }
    let known = |name: &String| CIPHERS.iter().find(|(known, _)| known == name).map(|(_, suite)| *suite);
    let ciphers: Vec<CipherSuite> = names.iter().filter_map(known).collect();
    if ciphers.len() < names.len() {
        let allowed = CIPHERS.map(|(name, _)| name).join(", ");
        return Err(options.error(key, format!("ALL, or a list of {allowed}")));
    }
    Ok(ciphers)
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read_file(path)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let detail = match parsed {
        Ok(certificates) if !certificates.is_empty() => return Ok(certificates),
        Ok(_) => "no certificate".to_owned(),
        Err(problem) => problem.to_string(),
    };
    Err(TlsError::Pem { what: "certificate", path: path.to_owned(), detail })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read_file(path)?).map_err(|problem| TlsError::Pem {
        what: "private key",
        path: path.to_owned(),
        detail: problem.to_string(),
    })
}

/// Certificates of a file, or of all files of a directory that hold some.
fn read_authority(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    if !path.is_dir() {
        return read_certificates(path);
    }
    let entries = std::fs::read_dir(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let mut certificates = Vec::new();
    for entry in entries.flatten() {
        // Such directories also hold links, indexes and README files.
        if entry.path().is_file() {
            certificates.extend(read_certificates(&entry.path()).unwrap_or_default());
        }
    }
    if certificates.is_empty() {
        return Err(TlsError::Pem { what: "certificate", path: path.to_owned(), detail: "no file with certificates".to_owned() });
    }
    Ok(certificates)
}

/// Accepts a valid chain whatever name it is for (`tls_validate_hostname: false`).
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The name is compared last, so everything else was in order.
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

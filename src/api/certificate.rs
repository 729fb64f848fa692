//! The certificate a server shows: signed by the cluster's CA, kept in a file, or made for this process only.
//!
//! Source: cluster-agent-kubernetes 1.3, generations 2 and 3.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use muster_actors::kernel::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivateSec1KeyDer};

use crate::api::{sec1, secret_file};
use crate::config::settings::TrustChain;

/// How long a certificate of ours is valid.
///
/// Units: years.
const VALID_YEARS: i16 = 50;

/// What decides which certificate is used.
#[derive(Debug, Clone)]
pub struct CertificateSettings {
    /// `ipc_cert_file_path`, by default `ipc_cert.pem` beside the local token.
    pub file: PathBuf,
    /// The cluster's CA, when one is configured: then the file is not looked at.
    pub authority: Option<TrustChain>,
    /// Name under which other machines reach this server, added to a certificate that the CA signs.
    pub extra_host: Option<String>,
}

/// Where a certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Signed by the cluster's CA for this process.
    TrustChain,
    /// Read from the file.
    File,
    /// Made now and kept in the file.
    Created,
    /// Made now for this process only, because the file cannot be written.
    Ephemeral,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Where it came from.
    pub origin: Origin,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("read {what} {path:?}")]
    Read {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("use {what} {path:?}: expected PEM with {expected}")]
    Content {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// Why it is not, if a library says so.
        #[source]
        source: Option<rcgen::Error>,
    },
    /// A certificate cannot be made.
    #[error("make certificate")]
    Make(#[source] rcgen::Error),
    /// The new key has a form nobody expects.
    #[error("encode private key")]
    Encode,
}

/// Finds or makes the certificate of a server.
///
/// Errors: [`CertificateError`].
pub fn server_certificate(settings: &CertificateSettings, clock: &dyn Clock) -> Result<ServerCertificate, CertificateError> {
    match &settings.authority {
        Some(authority) => signed_by_ca(authority, settings.extra_host.as_deref(), clock),
        None => from_file(&settings.file, clock),
    }
}

fn from_file(file: &Path, clock: &dyn Clock) -> Result<ServerCertificate, CertificateError> {
    match fs::read(file) {
        Ok(pem) => parse(&pem, file, Origin::File),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pem = self_signed(clock)?;
            match secret_file::create(file, pem.as_bytes()) {
                Ok(content) => parse(&content, file, Origin::Created),
                Err(error) => {
                    tracing::warn!(path = %file.display(), error = %error, "certificate cannot be kept, using one for this process only");
                    parse(pem.as_bytes(), file, Origin::Ephemeral)
                }
            }
        }
        Err(source) => Err(CertificateError::Read { what: "server certificate", path: file.to_owned(), source }),
    }
}

fn parse(pem: &[u8], path: &Path, origin: Origin) -> Result<ServerCertificate, CertificateError> {
    let error = || CertificateError::Content {
        what: "server certificate",
        path: path.to_owned(),
        expected: "a CERTIFICATE and an EC PRIVATE KEY block",
        source: None,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| error())?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| error())?;
    if chain.is_empty() { Err(error()) } else { Ok(ServerCertificate { chain, key, origin }) }
}

/// A new pair as the text of `ipc_cert.pem`.
fn self_signed(clock: &dyn Clock) -> Result<String, CertificateError> {
    let key = new_key()?;
    let params = params(vec![], IsCa::Ca(BasicConstraints::Unconstrained), clock)?;
    let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
    let key_der = sec1::from_pkcs8(key.serialized_der(), key.public_key_raw()).ok_or(CertificateError::Encode)?;
    Ok(sec1::pem("CERTIFICATE", certificate.der()) + &sec1::pem("EC PRIVATE KEY", &key_der))
}

fn signed_by_ca(authority: &TrustChain, extra_host: Option<&str>, clock: &dyn Clock) -> Result<ServerCertificate, CertificateError> {
    let TrustChain { certificate: ca_certificate, key: ca_key } = authority;
    let ca_pem = read_text("CA certificate", ca_certificate)?;
    let key_pem = read_text("CA key", ca_key)?;
    let ca_key = KeyPair::from_pem(&key_pem).map_err(|source| CertificateError::Content {
        what: "CA key",
        path: ca_key.clone(),
        expected: "an unencrypted PRIVATE KEY block (PKCS #8)",
        source: Some(source),
    })?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(|source| CertificateError::Content {
        what: "CA certificate",
        path: ca_certificate.clone(),
        expected: "a CERTIFICATE block",
        source: Some(source),
    })?;
    let key = new_key()?;
    let names = extra_host.map(host_name).transpose()?.into_iter().collect();
    let certificate = params(names, IsCa::ExplicitNoCa, clock)?.signed_by(&key, &issuer).map_err(CertificateError::Make)?;
    let key_der = sec1::from_pkcs8(key.serialized_der(), key.public_key_raw()).ok_or(CertificateError::Encode)?;
    Ok(ServerCertificate {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(key_der)),
        origin: Origin::TrustChain,
    })
}

fn read_text(what: &'static str, path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|source| CertificateError::Read { what, path: path.to_owned(), source })
}

fn new_key() -> Result<KeyPair, CertificateError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)
}

/// A host as subject alternative name: an address if it reads as one.
fn host_name(host: &str) -> Result<SanType, CertificateError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => host.try_into().map(SanType::DnsName).map_err(CertificateError::Make),
    }
}

/// Subject, names, usages and validity that all our certificates share.
fn params(extra_names: Vec<SanType>, is_ca: IsCa, clock: &dyn Clock) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, DnValue::Utf8String("Datadog, Inc.".to_owned()));
    params.distinguished_name = subject;
    params.subject_alt_names = vec![host_name("localhost")?, host_name("127.0.0.1")?, host_name("::1")?];
    params.subject_alt_names.extend(extra_names);
    params.key_usages = match is_ca {
        IsCa::Ca(_) => vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature],
        _ => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.is_ca = is_ca;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let today = jiff::Timestamp::from_second(clock.unix_seconds()).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    // A day of slack for clocks that are behind; the 29th of February does not exist in every year, the 28th does.
    let start = today.yesterday().unwrap_or(today);
    let day = start.day().min(28) as u8;
    params.not_before = date_time_ymd(i32::from(start.year()), start.month() as u8, day);
    params.not_after = date_time_ymd(i32::from(start.year() + VALID_YEARS), start.month() as u8, day);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use muster_actors::kernel::clock::SystemClock;

    use super::*;

    fn settings(folder: &Path) -> CertificateSettings {
        CertificateSettings { file: folder.join("ipc_cert.pem"), authority: None, extra_host: None }
    }

    fn make(settings: &CertificateSettings) -> Result<ServerCertificate, CertificateError> {
        server_certificate(settings, &SystemClock::new())
    }

    #[test]
    fn the_pair_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let first = make(&settings).unwrap();
        let second = make(&settings).unwrap();
        assert_eq!((first.origin, second.origin), (Origin::Created, Origin::File));
        assert_eq!(first.chain, second.chain);
        let text = fs::read_to_string(&settings.file).unwrap();
        let certificate = text.find("-----BEGIN CERTIFICATE-----").unwrap();
        let key = text.find("-----BEGIN EC PRIVATE KEY-----").unwrap();
        assert!(certificate < key);
        assert_eq!(fs::metadata(&settings.file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_folder_that_does_not_exist_gives_an_ephemeral_pair() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder.path().join("none"));
        assert_eq!(make(&settings).unwrap().origin, Origin::Ephemeral);
        assert!(!settings.file.exists());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        fs::write(&settings.file, "not a certificate").unwrap();
        let error = make(&settings).unwrap_err().to_string();
        assert!(error.contains("expected PEM with a CERTIFICATE and an EC PRIVATE KEY block"), "{error}");
        assert_eq!(fs::read_to_string(&settings.file).unwrap(), "not a certificate");
    }

    fn with_ca(folder: &Path, extra_host: Option<&str>) -> (CertificateSettings, CertificateDer<'static>) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "test root");
        let certificate = ca.self_signed(&key).unwrap();
        fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("ca.key"), key.serialize_pem()).unwrap();
        let authority = Some(TrustChain { certificate: folder.join("ca.pem"), key: folder.join("ca.key") });
        let extra_host = extra_host.map(str::to_owned);
        (CertificateSettings { authority, extra_host, ..settings(folder) }, certificate.der().clone())
    }

    #[test]
    fn a_certificate_of_the_ca_is_trusted_under_its_extra_name() {
        let folder = tempfile::tempdir().unwrap();
        for (extra, name) in
            [(Some("dca.ns.svc"), "dca.ns.svc"), (Some("10.0.0.7"), "10.0.0.7"), (Some("fd00::7"), "fd00::7"), (None, "localhost")]
        {
            let (settings, root) = with_ca(folder.path(), extra);
            let made = make(&settings).unwrap();
            assert_eq!(made.origin, Origin::TrustChain);
            assert!(!settings.file.exists(), "a signed certificate is not kept");
            verify(&root, &made, name);
        }
    }

    fn verify(root: &CertificateDer<'static>, made: &ServerCertificate, name: &str) {
        use rustls::client::danger::ServerCertVerifier as _;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(std::sync::Arc::new(roots), provider).build().unwrap();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&made.chain[0], &[], &name, &[], rustls::pki_types::UnixTime::now()).unwrap();
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, _) = with_ca(folder.path(), None);
        fs::remove_file(folder.path().join("ca.key")).unwrap();
        let error = make(&settings).unwrap_err().to_string();
        assert!(error.starts_with("read CA key \"") && error.ends_with("ca.key\""), "{error}");
    }
}

//! Which certificates of the cluster role are accepted, by nodes and by other replicas.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder};

use crate::config::settings::TlsSettings;

/// Which certificates of the cluster agent are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Every one: stock cluster agents have self-signed ones and the token proves who calls.
    Any,
    /// Only those that these certificates (PEM) vouch for (`cluster_trust_chain`).
    Roots(Vec<u8>),
}

/// The certificates that are to vouch for others cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read {}", path.display())]
pub struct TrustError {
    /// The file, `cluster_trust_chain.ca_cert_file_path`.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Trust {
    /// What the settings ask for. Reads the file of the authority.
    ///
    /// Errors: [`TrustError`].
    pub fn from_settings(settings: &TlsSettings) -> Result<Self, TrustError> {
        let Some(chain) = settings.trust_chain.as_ref().filter(|_| settings.verify) else { return Ok(Self::Any) };
        let path = &chain.certificate;
        std::fs::read(path).map(Self::Roots).map_err(|source| TrustError { path: path.clone(), source })
    }

    /// Sets a client up for it.
    ///
    /// Errors: the certificates are no PEM.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
        Ok(match self {
            Self::Any => builder.tls_danger_accept_invalid_certs(true),
            Self::Roots(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{TlsVersion, TrustChain};

    #[test]
    fn an_authority_counts_only_if_certificates_are_verified_and_its_file_is_named_if_it_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("ca.pem");
        let chain = TrustChain { certificate: certificate.clone(), key: folder.path().join("ca.key") };
        let settings = |verify| TlsSettings { min_version: TlsVersion::V1_2, trust_chain: Some(chain.clone()), verify };
        assert_eq!(Trust::from_settings(&settings(false)).unwrap(), Trust::Any);
        let error = Trust::from_settings(&settings(true)).unwrap_err();
        assert_eq!(error.to_string(), format!("read {}", certificate.display()));
        std::fs::write(&certificate, "pem").unwrap();
        assert_eq!(Trust::from_settings(&settings(true)).unwrap(), Trust::Roots(b"pem".to_vec()));
        assert_eq!(Trust::from_settings(&TlsSettings { trust_chain: None, ..settings(true) }).unwrap(), Trust::Any);
    }
}

//! HTTP clients of the rig.

use std::sync::Once;
use std::time::Duration;

use reqwest::{Certificate, Client};

use crate::error::RigError;

const CONNECT: Duration = Duration::from_secs(10);

/// A client that trusts `authority` only, or nobody.
pub(crate) fn http_client(authority: Option<&str>) -> Result<Client, RigError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the test has chosen one before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let trusted = authority.map(|pem| Certificate::from_pem(pem.as_bytes())).transpose().map_err(RigError::Client)?;
    Client::builder().no_proxy().connect_timeout(CONNECT).tls_certs_only(trusted).build().map_err(RigError::Client)
}

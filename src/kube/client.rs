//! Getting to the API server. Source: cluster-agent-kubernetes 4.5, 5.4, 2.2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Uri};
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::kernel::rng::Random;
use serde::Deserialize;
use tracing::{info, warn};

use super::error::{Class, class, describe};
use super::limits::with_time_limits;
use super::pause::pause;
use crate::config::settings::ApiServerSettings;
use crate::telemetry::build::VERSION;

/// One line in the log per so many attempts, after the first one.
const LOG_EVERY: u32 = 10;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or used.
    #[error("use kubeconfig {}, see kubernetes_kubeconfig_path", path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// This is no pod with a service account.
    #[error("find the API server from inside a pod, run in one with a service account or set kubernetes_kubeconfig_path")]
    InCluster(#[source] Box<InClusterError>),
    /// The certificate authority cannot be read.
    #[error("read certificate authority {}, see kubernetes_apiserver_ca_path", path.display())]
    ReadCa {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate authority is something else.
    #[error("find a PEM certificate in {}, see kubernetes_apiserver_ca_path", path.display())]
    NoCa {
        /// Which.
        path: PathBuf,
    },
    /// Certificates, keys or credentials cannot be used.
    #[error("make a client of the API server")]
    Build(#[source] Box<kube::Error>),
}

/// A way to the API server.
#[derive(Clone)]
pub struct Connection {
    /// The client; each request has its time limit.
    pub client: Client,
    /// Namespace of this pod.
    pub namespace: String,
    /// Where the API server is.
    pub url: Uri,
}

/// Makes a client; nothing is asked yet. Must run inside a runtime.
///
/// Errors: [`ConnectError`].
pub async fn connect(settings: &ApiServerSettings) -> Result<Connection, ConnectError> {
    let (mut config, namespace) = if let Some(path) = &settings.kubeconfig {
        from_kubeconfig(path).await?
    } else {
        let config = Config::incluster().map_err(|source| ConnectError::InCluster(Box::new(source)))?;
        let namespace = config.default_namespace.trim().to_owned();
        (config, Some(namespace).filter(|namespace| !namespace.is_empty()))
    };
    if let Some(path) = &settings.ca_path {
        let text = fs::read_to_string(path).map_err(|source| ConnectError::ReadCa { path: path.clone(), source })?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(ConnectError::NoCa { path: path.clone() });
        }
        // Read again by the client now and then, so it may be rotated.
        config.root_cert_file = Some(path.clone());
    }
    config.accept_invalid_certs |= !settings.tls_verify;
    // Who asks decides whether to ask again, and when; hidden attempts would only hide the cause.
    config.default_retry = false;
    config.headers.push((USER_AGENT, user_agent()));
    let namespace = namespace.unwrap_or_else(|| {
        warn!("own namespace is not known, using \"default\"");
        "default".to_owned()
    });
    let url = config.cluster_url.clone();
    let client = Client::try_from(config).map_err(|source| ConnectError::Build(Box::new(source)))?;
    Ok(Connection { client: with_time_limits(client, settings.timeout), namespace, url })
}

async fn from_kubeconfig(path: &Path) -> Result<(Config, Option<String>), ConnectError> {
    let failed = |source| ConnectError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let current = kubeconfig.contexts.iter().find(|context| Some(&context.name) == kubeconfig.current_context.as_ref());
    let namespace = current.and_then(|named| named.context.as_ref()?.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)?;
    Ok((config, namespace))
}

fn user_agent() -> HeaderValue {
    HeaderValue::from_str(&format!("muster/{VERSION}")).unwrap_or(HeaderValue::from_static("muster"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionAnswer {
    git_version: String,
}

/// Asks for the version.
///
/// Errors: what the client says.
pub async fn server_version(client: &Client) -> Result<Option<ServerVersion>, kube::Error> {
    let request = Request::get("/version").body(Vec::new()).map_err(kube::Error::HttpError)?;
    let answer: VersionAnswer = client.request(request).await?;
    Ok(ServerVersion::parse(&answer.git_version))
}

/// The version, if the API server tells it to everybody; `None` if it answers and does not.
///
/// Errors: it does not answer, or not with what it is asked for.
pub async fn version_if_told(client: &Client) -> Result<Option<ServerVersion>, kube::Error> {
    match server_version(client).await {
        // It answers, and that is what counts.
        Err(error) if matches!(class(&error), Class::Forbidden | Class::NotFound) => Ok(None),
        told => told,
    }
}

/// Waits until the API server answers, for ever. Returns its version; `None` if it does not tell.
pub async fn wait_for_api_server(client: &Client, random: &Arc<dyn Random>) -> Option<ServerVersion> {
    let mut failures = 0;
    let version = loop {
        match version_if_told(client).await {
            Ok(version) => break version,
            Err(error) => {
                failures += 1;
                if failures % LOG_EVERY == 1 {
                    let error = describe(&error);
                    warn!(failures, error, "API server does not answer, start waits for it; check its address, the network and the token");
                }
                tokio::time::sleep(pause(failures, random.unit())).await;
            }
        }
    };
    match &version {
        Some(version) if version.is_too_old() => warn!(%version, "API server is older than 1.14, not all of muster will work"),
        Some(version) => info!(%version, "API server answers"),
        None => warn!("API server answers, but does not tell its version; allow `get` on the non-resource URL /version"),
    }
    version
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_actors::kernel::rng::SeededRandom;
    use serde_json::json;

    use super::*;
    use crate::errors::chain;
    use crate::kube::testing::{Reply, Script};

    const KUBECONFIG: &str = "apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {token: t}}]
contexts:
- {name: with, context: {cluster: c, user: u, namespace: monitoring}}
- {name: without, context: {cluster: c, user: u}}
current-context: CONTEXT
";

    fn random() -> Arc<dyn Random> {
        Arc::new(SeededRandom::new(1))
    }

    async fn connected(context: &str, change: impl FnOnce(&Path, &mut ApiServerSettings)) -> Result<Connection, String> {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        fs::write(&path, KUBECONFIG.replace("CONTEXT", context)).unwrap();
        let timeout = Duration::from_secs(10);
        let mut settings = ApiServerSettings { kubeconfig: Some(path), ca_path: None, tls_verify: true, timeout };
        change(folder.path(), &mut settings);
        connect(&settings).await.map_err(|error| chain(&error))
    }

    #[tokio::test]
    async fn the_namespace_is_that_of_the_context_or_default() {
        assert_eq!(connected("with", |_, _| ()).await.unwrap().namespace, "monitoring");
        assert_eq!(connected("without", |_, settings| settings.tls_verify = false).await.unwrap().namespace, "default");
    }

    #[tokio::test]
    async fn errors_name_the_step_and_the_mend() {
        let error = connected("nowhere", |_, _| ()).await.err().unwrap();
        assert!(error.starts_with("use kubeconfig ") && error.contains("kubernetes_kubeconfig_path"), "{error}");
        let error = connected("with", |folder, settings| settings.ca_path = Some(folder.join("none"))).await.err().unwrap();
        assert!(error.starts_with("read certificate authority ") && error.contains("kubernetes_apiserver_ca_path"), "{error}");
        let no_pem = |folder: &Path, settings: &mut ApiServerSettings| settings.ca_path = Some(folder.join("kubeconfig"));
        let error = connected("with", no_pem).await.err().unwrap();
        assert!(error.starts_with("find a PEM certificate in "), "{error}");
        let outside = InClusterError::ReadDefaultNamespace(io::Error::other("no such file"));
        let error = chain(&ConnectError::InCluster(Box::new(outside)));
        assert!(error.contains("run in one with a service account or set kubernetes_kubeconfig_path"), "{error}");
    }

    #[tokio::test]
    async fn an_own_certificate_authority_is_used() {
        let authority = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap().cert.pem();
        let with_ca = |folder: &Path, settings: &mut ApiServerSettings| {
            let path = folder.join("ca.crt");
            fs::write(&path, &authority).unwrap();
            settings.ca_path = Some(path);
        };
        connected("with", with_ca).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn start_waits_until_the_server_answers() {
        let script = Script::new()
            .on("GET", "/version", Reply::Broken("connection refused"))
            .on("GET", "/version", Reply::status(500, "InternalError", "starting"))
            .on("GET", "/version", Reply::json(200, &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.1"})));
        let version = wait_for_api_server(&script.client(), &random()).await.unwrap();
        assert_eq!(version.to_string(), "v1.33.1");
        script.finish();
    }

    #[tokio::test]
    async fn a_server_that_does_not_tell_its_version_is_there_all_the_same() {
        let script = Script::new().on("GET", "/version", Reply::status(403, "Forbidden", "no"));
        assert_eq!(wait_for_api_server(&script.client(), &random()).await, None);
        script.finish();
    }
}

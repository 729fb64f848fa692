//! Somebody whom the API server knows, and the files with which programs become this somebody.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::client::http_client;
use crate::error::RigError;
use crate::folder::{make, write};
use crate::link::Link;
use crate::programs::Programs;

/// A user or service account with its token, at one address of one control plane. Has the HTTP helpers for tests
/// ([`Identity::get`] and so on) and kubectl ([`Identity::apply_yaml`]).
///
/// Its connections belong to the runtime that first used it; clones share them.
#[derive(Clone)]
pub struct Identity {
    name: String,
    token: String,
    port: u16,
    authority: Arc<str>,
    folder: Arc<Path>,
    programs: Programs,
    client: Arc<OnceCell<Client>>,
}

/// What a pod of a service account finds: three files, and the address in its environment.
#[derive(Debug, Clone)]
pub struct InCluster {
    /// Holds `token`, `ca.crt` and `namespace`, as `/var/run/secrets/kubernetes.io/serviceaccount` of a pod does.
    pub folder: PathBuf,
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` with their values.
    pub variables: [(&'static str, String); 2],
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("name", &self.name).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn new(name: String, token: String, port: u16, authority: Arc<str>, folder: Arc<Path>, programs: Programs) -> Self {
        Self { name, token, port, authority, folder, programs, client: Arc::default() }
    }

    /// The name the API server sees.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// `https://127.0.0.1:port` of the API server, or of the link in front of it.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Address of the API server, or of the link in front of it.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The certificate that signed the API server's, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// With connections of its own, for use in another runtime.
    pub(crate) fn renewed(&self) -> Self {
        Self { client: Arc::default(), ..self.clone() }
    }

    /// The same somebody, reaching the API server only through `link`.
    pub fn through(&self, link: &Link) -> Self {
        Self { port: link.port(), ..self.renewed() }
    }

    /// The identity of an existing service account, by TokenRequest made with the rights of this one; valid for an hour.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Self, RigError> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let wish = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let answer = self.create(&path, &wish).await?;
        let token = answer["status"]["token"].as_str().unwrap_or_default();
        Ok(Self { name: format!("system:serviceaccount:{namespace}:{name}"), token: token.to_owned(), ..self.renewed() })
    }

    /// The text of a kubeconfig file with one cluster, one user and one context.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(self.port, &self.authority, &self.token)
    }

    /// Writes [`Self::kubeconfig`].
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), RigError> {
        write(path, &self.kubeconfig())
    }

    /// Fills `folder`, which is made if missing, with what a pod in `namespace` finds.
    pub fn in_cluster(&self, folder: &Path, namespace: &str) -> Result<InCluster, RigError> {
        make(folder)?;
        write(&folder.join("token"), &self.token)?;
        write(&folder.join("ca.crt"), &self.authority)?;
        write(&folder.join("namespace"), namespace)?;
        let variables = [("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()), ("KUBERNETES_SERVICE_PORT", self.port.to_string())];
        Ok(InCluster { folder: folder.to_owned(), variables })
    }

    /// Where files of the control plane are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(crate) async fn client(&self) -> Result<&Client, RigError> {
        self.client.get_or_try_init(async || http_client(Some(&self.authority))).await
    }
}

/// JSON, which is YAML as well.
pub(crate) fn kubeconfig(port: u16, authority: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": STANDARD.encode(authority)}}],
        "users": [{"name": "rig", "user": {"token": token}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig"}}],
        "current-context": "rig",
    });
    format!("{config:#}\n")
}

//! kubectl, for what the API server alone cannot do: files of several objects, kustomize folders.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use uuid::Uuid;

use crate::error::RigError;
use crate::folder::write;
use crate::identity::Identity;

/// Server-side apply that refuses unknown and double fields.
const APPLY: [&str; 4] = ["apply", "--server-side", "--force-conflicts", "--validate=strict"];

impl Identity {
    /// Runs kubectl as this somebody; returns its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, RigError> {
        self.run_kubectl(arguments, "").await
    }

    /// Applies the objects in `text` (YAML or JSON) on the server's side with strict validation.
    pub async fn apply_yaml(&self, text: &str) -> Result<String, RigError> {
        self.run_kubectl(&[&APPLY[..], &["-f", "-"]].concat(), text).await
    }

    /// Applies a file, a folder of files, or a folder with a `kustomization.yaml`, like [`Self::apply_yaml`].
    pub async fn apply_path(&self, path: &Path) -> Result<String, RigError> {
        let kind = if path.join("kustomization.yaml").is_file() { "-k" } else { "-f" };
        self.run_kubectl(&[&APPLY[..], &[kind, &path.to_string_lossy()]].concat(), "").await
    }

    async fn run_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, RigError> {
        let failed = |source| RigError::Spawn { process: "kubectl", source };
        // One file per call: calls run side by side, and each may reach the server by another way.
        let config = self.folder().join(format!("kubectl-{}.kubeconfig", Uuid::new_v4()));
        write(&config, &self.kubeconfig())?;
        let mut command = Command::from(self.programs().command("kubectl")?);
        command.arg("--kubeconfig").arg(&config).args(arguments);
        // Nothing is read from or written to the home of the user.
        command.env("KUBECACHEDIR", self.folder().join("kubectl-cache")).env_remove("KUBECONFIG").env("KUBECTL_KUBERC", "false");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // kubectl that does not read its input says why by itself.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        let _ = tokio::fs::remove_file(&config).await;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(RigError::Kubectl { arguments: arguments.join(" "), output });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

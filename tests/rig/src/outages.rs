//! What happens to a real control plane, on purpose.

use serde_json::{Value, json};

use crate::client::http_client;
use crate::control_plane::ControlPlane;
use crate::error::RigError;
use crate::identity::Identity;
use crate::process::Process;

/// Written to make the newest version newer than any watch.
const MARK: &str = "/api/v1/namespaces/default/configmaps";

impl ControlPlane {
    /// Stops the API server without its noticing (SIGSTOP): connections are accepted, nothing answers.
    pub fn freeze_api_server(&mut self) -> Result<(), RigError> {
        self.api_server.freeze()
    }

    /// Lets a frozen API server go on; watches continue where they were.
    pub fn thaw_api_server(&mut self) -> Result<(), RigError> {
        self.api_server.thaw()
    }

    /// Kills the API server as `kill -9` does and returns when it is gone: connections are refused.
    pub fn kill_api_server(&mut self) -> Result<(), RigError> {
        self.api_server.kill()
    }

    /// Starts a killed API server with the same data on the same port, or restarts a running one; returns when it is
    /// ready. Watches from before the last write get 410 then.
    pub async fn restart_api_server(&mut self) -> Result<(), RigError> {
        restart(&mut self.api_server)?;
        self.until_ready().await
    }

    /// Kills etcd as `kill -9` does and returns when it is gone.
    pub fn kill_etcd(&mut self) -> Result<(), RigError> {
        self.etcd.kill()
    }

    /// Starts a killed etcd with the same data on the same port, or restarts a running one; returns when the API server
    /// is ready again, up to 10 s later because it waits between its tries.
    pub async fn restart_etcd(&mut self) -> Result<(), RigError> {
        restart(&mut self.etcd)?;
        self.until_ready().await
    }

    /// Makes etcd forget all versions but the current ones. The API server answers from its memory all the same, unless
    /// it was started with `--watch-cache-sizes=<resource>#0`; see [`Self::expire_watches`].
    pub async fn compact(&self) -> Result<(), RigError> {
        let status = self.ask_etcd("/v3/maintenance/status", &json!({})).await?;
        let revision = &status["header"]["revision"];
        self.ask_etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await?;
        Ok(())
    }

    /// Makes every resource version seen so far too old for a watch (410 Expired): a write, then a restart of the API
    /// server, which breaks all connections.
    pub async fn expire_watches(&mut self) -> Result<(), RigError> {
        mark(&self.admin()).await?;
        self.restart_api_server().await
    }

    async fn ask_etcd(&self, path: &str, question: &Value) -> Result<Value, RigError> {
        let url = format!("http://127.0.0.1:{}{path}", self.etcd_port);
        let failed = |source| RigError::Request { verb: "POST", path: url.clone(), source };
        let request = http_client(None)?.post(&url).body(question.to_string());
        let response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        response.json().await.map_err(failed)
    }
}

fn restart(process: &mut Process) -> Result<(), RigError> {
    match process.kill() {
        Ok(()) | Err(RigError::NotRunning { .. }) => process.start(),
        Err(error) => Err(error),
    }
}

async fn mark(admin: &Identity) -> Result<(), RigError> {
    admin.create(MARK, &json!({"metadata": {"generateName": "rig-mark-"}})).await?;
    Ok(())
}

//! What happens to a real control plane, on purpose.

use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::error::RigError;

/// Written to make the newest version newer than any watch.
const MARK: &str = "/api/v1/namespaces/default/configmaps";

impl ControlPlane {
    /// Kills the API server as `kill -9` does and returns when it is gone: connections are refused.
    pub fn kill_api_server(&mut self) -> Result<(), RigError> {
        self.api_server.kill()
    }

    /// Starts a killed API server with the same data on the same port, or restarts a running one; returns when it is
    /// ready. Watches from before the last write get 410 then.
    pub async fn restart_api_server(&mut self) -> Result<(), RigError> {
        match self.api_server.kill() {
            Ok(()) | Err(RigError::NotRunning { .. }) => self.api_server.start()?,
            Err(error) => return Err(error),
        }
        self.until_ready().await
    }

    /// Makes every resource version seen so far too old for a watch (410 Expired): a write, then a restart of the API
    /// server, which breaks all connections.
    pub async fn expire_watches(&mut self) -> Result<(), RigError> {
        self.admin().create(MARK, &json!({"metadata": {"generateName": "rig-mark-"}})).await?;
        self.restart_api_server().await
    }
}

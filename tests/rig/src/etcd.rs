//! etcd without the API server in front of it, by its JSON gateway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::http_client;
use crate::control_plane::ControlPlane;
use crate::error::RigError;
use crate::http::answer;

const STATUS: &str = "/v3/maintenance/status";
const COMPACTION: &str = "/v3/kv/compaction";
const RANGE: &str = "/v3/kv/range";

/// What etcd says when it is asked for a revision that it has forgotten.
const COMPACTED: &str = "required revision has been compacted";

impl ControlPlane {
    /// Makes etcd forget every revision before its newest one, and returns that one; when it returns, the old ones are gone from its disk.
    ///
    /// Resource versions are these revisions. For what the API server does not keep in a watch cache, events for one, a watch and a
    /// `continue` from an older version get 410 at once; for everything else the cache answers until [`Self::restart_api_server`].
    pub async fn compact_etcd(&self) -> Result<u64, RigError> {
        let status = self.ask_etcd(STATUS, &json!({})).await?;
        let revision = status["header"]["revision"].as_str().and_then(|text| text.parse().ok());
        let revision: u64 = revision.ok_or_else(|| RigError::Answer { verb: "POST", path: STATUS.to_owned(), text: status.to_string() })?;
        self.ask_etcd(COMPACTION, &json!({"revision": revision.to_string(), "physical": true})).await?;
        Ok(revision)
    }

    /// Whether etcd can still say how things were at `revision`.
    pub async fn etcd_remembers(&self, revision: u64) -> Result<bool, RigError> {
        let key = STANDARD.encode("/registry/");
        match self.ask_etcd(RANGE, &json!({"key": key, "revision": revision.to_string()})).await {
            Ok(_) => Ok(true),
            Err(RigError::Refused { message, .. }) if message.contains(COMPACTED) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ask_etcd(&self, path: &str, question: &Value) -> Result<Value, RigError> {
        let request = http_client(None)?.post(format!("{}{path}", self.etcd_url)).body(question.to_string());
        let response = request.send().await.map_err(|source| RigError::Request { verb: "POST", path: path.to_owned(), source })?;
        answer("POST", path, response).await
    }
}

//! Bodies of the calls. Source: cluster-checks 4.1 to 4.3.

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::CheckConfig;
use muster_actors::ports::{ClusterAgentError, FetchedConfigs, StatusReply};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Body of a status post.
#[derive(Debug, Serialize)]
pub(super) struct NodeStatus {
    /// Version of the set, -1 for an extra heartbeat.
    pub(super) last_change: i64,
    /// 1 = runner, 2 = node agent; left out when unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) node_type: u8,
    /// Ours: asks for the time of a grant. Stock cluster agents skip it.
    pub(super) muster_grants: bool,
}

/// Answer to a status post; absent keys have Go's zero values.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StatusBody {
    #[serde(default)]
    pub(super) isuptodate: Option<bool>,
    /// Ours: how long a current set is granted. Absent from stock cluster agents.
    #[serde(default)]
    pub(super) grant_seconds: Option<u64>,
}

impl From<StatusBody> for StatusReply {
    fn from(body: StatusBody) -> Self {
        Self { up_to_date: body.isuptodate.unwrap_or_default(), grant: body.grant_seconds.map(Duration::from_secs) }
    }
}

/// Answer to a request for configs; absent keys have Go's zero values, and no list is an empty list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConfigReply {
    #[serde(default)]
    last_change: Option<i64>,
    #[serde(default)]
    configs: Option<Vec<CheckConfig>>,
}

impl From<ConfigReply> for FetchedConfigs {
    fn from(reply: ConfigReply) -> Self {
        let configs = reply.configs.unwrap_or_default().into_iter().map(Arc::new).collect();
        Self { last_change: reply.last_change.unwrap_or_default(), configs }
    }
}

/// Version of the cluster agent; both keys are required, which proves that it is one.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    #[serde(rename = "Major")]
    pub(super) major: i64,
    #[serde(rename = "Minor")]
    pub(super) minor: i64,
}

/// Reads a body; `null` is the zero value, unknown keys are ignored.
///
/// Errors: [`ClusterAgentError::Unexpected`].
pub(super) fn decode<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ClusterAgentError> {
    // Go refuses a list where it expects an object; serde would read it as the keys in order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ClusterAgentError::Unexpected("a list instead of an object".to_owned()));
    }
    let decoded: Option<T> = serde_json::from_slice(body).map_err(|error| ClusterAgentError::Unexpected(error.to_string()))?;
    Ok(decoded.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

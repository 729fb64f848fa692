//! `stop`. Source: cluster-agent-kubernetes 1.7.

use serde_json::json;

use super::arguments::JsonOption;
use super::connection::QueryError;
use super::context::Context;
use super::failure::CommandResult;
use crate::config::Role;

pub(super) async fn run(context: &Context, role: Option<Role>, options: JsonOption) -> CommandResult {
    let (config, api) = context.api(role)?;
    api.post("/stop", &[]).await.map_err(QueryError::into_failure)?;
    let role = config.role().name();
    Ok(if options.json { format!("{}\n", json!({"stopping": role})) } else { format!("The {role} role is stopping.\n") })
}

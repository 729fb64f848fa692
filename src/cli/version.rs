//! `version`. Source: cluster-agent-kubernetes 8.1.

use serde_json::json;

use super::arguments::JsonOption;
use super::context::Context;
use crate::config::{Role, Value};
use crate::telemetry::build;

pub(super) fn run(context: &Context, role: Option<Role>, options: JsonOption) -> String {
    // A program must be able to say its version with any configuration.
    let config = context.config_of(role).ok();
    let configured = config.as_ref().and_then(|config| config.get("muster.compat_version"));
    let compat = match configured.map(|sourced| sourced.value) {
        Some(Value::Text(version)) => version,
        _ => "unknown".to_owned(),
    };
    if options.json {
        let role = config.map(|config| config.role().name());
        return format!("{}\n", json!({"version": compat, "muster": build::VERSION, "commit": build::COMMIT, "role": role}));
    }
    let name = match (role, config.map(|config| config.role())) {
        (Some(Role::Cluster), _) | (None, Some(Role::Cluster)) => "Cluster Agent",
        _ => "Agent",
    };
    let (commit, muster) = (build::COMMIT, build::VERSION);
    format!("{name} {compat} - Commit: {commit} - Serialization version: n/a - Go version: n/a - muster {muster}\n")
}

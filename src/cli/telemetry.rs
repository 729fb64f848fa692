//! `telemetry`: the metrics of the process. Source: cluster-agent-kubernetes 6.7.

use super::arguments::JsonOption;
use super::connection::{QueryError, get_plain, port};
use super::context::Context;
use super::failure::{CommandResult, Failure};
use super::metric_text;
use crate::config::Role;

pub(super) async fn run(context: &Context, role: Option<Role>, options: JsonOption) -> CommandResult {
    let config = context.config_of(role)?;
    let port = port(&config, "metrics_port");
    if port == 0 {
        return Err(Failure::new("metrics_port is 0, so the metrics are not served; set it to a port (5000) and restart"));
    }
    let text = get_plain(&config, &format!("http://localhost:{port}/metrics")).await.map_err(QueryError::into_failure)?;
    Ok(if options.json { format!("{}\n", metric_text::to_json(&text)) } else { text })
}

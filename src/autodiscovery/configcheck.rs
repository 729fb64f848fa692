//! tmp
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::discovery::DiscoveryReport;
use serde_json::{Value as Json, json};
/// tmp
pub fn json(report: &DiscoveryReport, _raw: bool) -> Json {
    let configs: Vec<Json> = report.configs.iter().map(|config| json!({"instance_ids": muster_actors::domain::digest::check_ids(config), "config": &**config})).collect();
    json!({"configs": configs, "resolve_warnings": report.resolve_warnings, "config_errors": report.config_errors, "unresolved": report.unresolved})
}
/// tmp
pub fn scrubbed(config: &CheckConfig) -> CheckConfig { config.clone() }

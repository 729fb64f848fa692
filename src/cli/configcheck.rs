//! `configcheck`. Source: cluster-agent-kubernetes 8.5, autodiscovery 11.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_actors::domain::config::CheckConfig;
use serde::Deserialize;
use serde_json::Value as Json;

use super::arguments::ConfigCheckOptions;
use super::config_text::{self, ShownConfig};
use super::connection::QueryError;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use super::render::paint_lines;
use crate::config::Role;

/// Answer of `/config-check`; every part may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    configs: Option<Vec<ShownConfig>>,
    resolve_warnings: Option<BTreeMap<String, Option<Vec<String>>>>,
    config_errors: Option<BTreeMap<String, String>>,
    unresolved: Option<BTreeMap<String, Unresolved>>,
}

/// One config per digest, or, from older agents, several per list of identifiers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Unresolved {
    Many(Vec<CheckConfig>),
    One(Box<CheckConfig>),
}

pub(super) async fn run(context: &Context, role: Option<Role>, options: ConfigCheckOptions) -> CommandResult {
    let (_, api) = context.api(role)?;
    let body = api.get("/config-check").await.map_err(QueryError::into_check_failure)?;
    if options.json {
        let value: Json = serde_json::from_str(&body).map_err(unreadable)?;
        return Ok(format!("{value}\n"));
    }
    let report: Report = serde_json::from_str(&body).map_err(unreadable)?;
    Ok(paint_lines(context.paint, &render(report, options.verbose)))
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::new(format!("read the answer of the agent: {error}"))
}

fn render(report: Report, verbose: bool) -> String {
    let mut text = String::new();
    let errors = report.config_errors.unwrap_or_default();
    if !errors.is_empty() {
        text.push_str("=== Configuration errors ===\n");
        for (check, error) in errors {
            let _ = write!(text, "\n{check}: {error}\n");
        }
    }
    for shown in report.configs.unwrap_or_default() {
        config_text::write(&mut text, &shown);
    }
    if !verbose {
        return text;
    }
    let warnings = report.resolve_warnings.unwrap_or_default();
    if !warnings.is_empty() {
        text.push_str("\n=== Resolve warnings ===\n");
        for (check, texts) in warnings {
            let _ = write!(text, "\n{check}\n");
            for warning in texts.unwrap_or_default() {
                let _ = writeln!(text, "* {warning}");
            }
        }
    }
    let unresolved = report.unresolved.unwrap_or_default();
    if !unresolved.is_empty() {
        text.push_str("\n=== Unresolved Configs ===\n");
        for (name, configs) in unresolved {
            let _ = write!(text, "\nAuto-discovery IDs: {name}\n");
            let configs = match configs {
                Unresolved::Many(configs) => configs,
                Unresolved::One(config) => vec![*config],
            };
            for config in configs {
                config_text::write(&mut text, &ShownConfig::plain(config));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first_and_details_only_when_asked_for() {
        let body = r#"{"configs":[{"instance_ids":["load:1"],"config":{"check_name":"load","instances":["e30="],"provider":"file"}}],
            "resolve_warnings":{"redisdb":["no host"]},"config_errors":{"broken":"line 3, column 1: no"},
            "unresolved":{"abc":{"check_name":"redisdb","ad_identifiers":["redis"]}}}"#;
        let text = render(serde_json::from_str(body).unwrap(), false);
        assert!(text.starts_with("=== Configuration errors ===\n\nbroken: line 3, column 1: no\n\n=== load check ===\n"), "{text}");
        assert!(!text.contains("Resolve warnings"), "{text}");
        let text = render(serde_json::from_str(body).unwrap(), true);
        assert!(text.contains("\n=== Resolve warnings ===\n\nredisdb\n* no host\n"), "{text}");
        assert!(text.contains("\n=== Unresolved Configs ===\n\nAuto-discovery IDs: abc\n\n=== redisdb check ===\n"), "{text}");
    }

    #[test]
    fn the_forms_of_older_agents_are_read() {
        let body = r#"{"configs":[{"check_name":"load","instances":["e30="]}],"resolve_warnings":null,"config_errors":{},
            "unresolved":{"redis":[{"check_name":"redisdb"},{"check_name":"memory"}]}}"#;
        let text = render(serde_json::from_str(body).unwrap(), true);
        assert!(
            text.contains("=== load check ===") && text.contains("=== redisdb check ===") && text.contains("=== memory check ==="),
            "{text}"
        );
        assert_eq!(render(serde_json::from_str("{}").unwrap(), true), "");
    }
}

//! `clusterchecks`: which check runs where. Source: cluster-agent-kubernetes 8.6.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::arguments::ClusterChecksOptions;
use super::balance;
use super::config_text::{self, ShownConfig};
use super::connection::LocalApi;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use super::render::{columns, paint_lines};
use crate::config::{Config, Role, Value};

/// Answer of `/api/v1/clusterchecks`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    not_running: String,
    warmup: bool,
    nodes: Option<Vec<Node>>,
    dangling: Option<Vec<ShownConfig>>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    configs: Option<Vec<ShownConfig>>,
}

/// Answer of `/api/v1/endpointschecks/configs`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoints {
    configs: Option<Vec<ShownConfig>>,
}

pub(super) async fn run(context: &Context, options: &ClusterChecksOptions) -> CommandResult {
    if let Some(command) = &options.command {
        return balance::run(context, command, options.json).await;
    }
    let (config, api) = context.api(Some(Role::Cluster))?;
    if config.get("cluster_checks.enabled").is_some_and(|sourced| sourced.value == Value::Bool(false)) {
        let text = "Cluster-checks are not enabled";
        return Ok(if options.json { format!("{}\n", json!({"enabled": false, "message": text})) } else { format!("{text}\n") });
    }
    let state = query(&api, "/api/v1/clusterchecks").await?;
    let endpoints = if finds_endpoints(&config) { Some(query(&api, "/api/v1/endpointschecks/configs").await?) } else { None };
    if options.json {
        return Ok(format!("{}\n", as_json(&state, endpoints.as_deref(), options.check.as_deref())?));
    }
    let mut text = render_state(parse(&state)?, options.check.as_deref());
    if let Some(endpoints) = endpoints {
        text.push_str(&render_endpoints(parse(&endpoints)?, options.check.as_deref()));
    }
    Ok(paint_lines(context.paint, &text))
}

async fn query(api: &LocalApi, path: &str) -> Result<String, Failure> {
    api.get(path).await.map_err(|error| {
        let failure = error.into_check_failure();
        // This command begins its texts with a capital.
        let mut letters = failure.message.chars();
        let message = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
        Failure { message, ..failure }
    })
}

fn finds_endpoints(config: &Config) -> bool {
    let names = config.get("extra_config_providers").map(|sourced| sourced.value);
    matches!(names, Some(Value::List(names)) if names.iter().any(|name| name == "kube_endpoints"))
}

fn parse<T: for<'de> Deserialize<'de>>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::new(format!("read the answer of the agent: {error}")))
}

/// The answers as they came, without the other checks.
fn as_json(state: &str, endpoints: Option<&str>, check: Option<&str>) -> Result<Json, Failure> {
    let mut state: Json = parse(state)?;
    let mut endpoints: Json = endpoints.map(parse).transpose()?.unwrap_or(Json::Null);
    if let Some(check) = check {
        let is_wanted = |config: &Json| config.get("config").unwrap_or(config)["check_name"] == *check;
        let keep = |list: &mut Json| {
            if let Some(list) = list.as_array_mut() {
                list.retain(is_wanted);
            }
        };
        for node in state["nodes"].as_array_mut().into_iter().flatten() {
            keep(&mut node["configs"]);
        }
        for list in [state.get_mut("dangling"), endpoints.get_mut("configs")].into_iter().flatten() {
            keep(list);
        }
    }
    Ok(json!({"state": state, "endpoints": endpoints}))
}

fn render_state(state: State, check: Option<&str>) -> String {
    if !state.not_running.is_empty() {
        return format!("Cluster-check dispatching logic not running: {}\n", state.not_running);
    }
    let mut text = String::new();
    if state.warmup {
        text.push_str("=== Warmup in progress ===\nNo configuration has been processed yet\n\n");
    }
    let dangling = wanted(state.dangling, check);
    if !dangling.is_empty() {
        text.push_str("=== Unassigned configurations ===\n");
        write_all(&mut text, &dangling);
        text.push('\n');
    }
    let mut nodes = state.nodes.unwrap_or_default();
    if nodes.is_empty() {
        text.push_str("=== Zero agent reporting ===\nNo check will be dispatched until agents report to the cluster-agent\n");
        return text;
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let _ = write!(text, "=== {} agents reporting ===\n\n", nodes.len());
    let mut rows = vec![vec!["Name".to_owned(), "Running checks".to_owned()]];
    rows.extend(nodes.iter().map(|node| vec![node.name.clone(), node.configs.as_ref().map_or(0, Vec::len).to_string()]));
    text.push_str(&columns(&rows, 3));
    for node in nodes {
        let configs = wanted(node.configs, check);
        if !configs.is_empty() {
            let _ = write!(text, "\n===== Checks on {} =====\n", node.name);
            write_all(&mut text, &configs);
        }
    }
    text
}

fn render_endpoints(endpoints: Endpoints, check: Option<&str>) -> String {
    let configs = wanted(endpoints.configs, check);
    let mut text = format!("\n===== {} Pod-backed Endpoints-Checks scheduled =====\n", configs.len());
    write_all(&mut text, &configs);
    text
}

fn wanted(configs: Option<Vec<ShownConfig>>, check: Option<&str>) -> Vec<ShownConfig> {
    configs.unwrap_or_default().into_iter().filter(|shown| check.is_none_or(|name| shown.config.name == name)).collect()
}

fn write_all(text: &mut String, configs: &[ShownConfig]) {
    for config in configs {
        config_text::write(text, config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connection::QueryError;

    const CONFIG: &str =
        r#"{"instance_ids":["load:1"],"config":{"check_name":"load","instances":["e30="],"provider":"file","source":"file:x"}}"#;
    const PLAIN: &str = r#"{"check_name":"memory","instances":["e30="]}"#;

    fn shown(json: &str, check: Option<&str>) -> String {
        render_state(serde_json::from_str(json).unwrap(), check)
    }

    #[test]
    fn a_replica_that_does_not_dispatch_says_why() {
        let text = shown(r#"{"not_running":"currently follower","warmup":false,"nodes":null,"dangling":null}"#, None);
        assert_eq!(text, "Cluster-check dispatching logic not running: currently follower\n");
    }

    #[test]
    fn warming_up_without_nodes() {
        let text = shown(r#"{"not_running":"","warmup":true,"nodes":null,"dangling":[]}"#, None);
        let expected = "=== Warmup in progress ===\nNo configuration has been processed yet\n\n=== Zero agent reporting ===\nNo check will be dispatched until agents report to the cluster-agent\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn dangling_configs_come_before_the_nodes() {
        let text = shown(&format!(r#"{{"nodes":[],"dangling":[{PLAIN}]}}"#), None);
        assert!(text.starts_with("=== Unassigned configurations ===\n\n=== memory check ===\n"), "{text}");
        assert!(
            text.ends_with("\n===\n\n=== Zero agent reporting ===\nNo check will be dispatched until agents report to the cluster-agent\n"),
            "{text}"
        );
    }

    #[test]
    fn nodes_are_a_table_and_then_their_checks() {
        let text =
            shown(&format!(r#"{{"nodes":[{{"name":"runner-b","configs":[{CONFIG},{PLAIN}]}},{{"name":"a","configs":null}}]}}"#), None);
        let head = "=== 2 agents reporting ===\n\nName       Running checks\na          0\nrunner-b   2\n\n===== Checks on runner-b =====\n\n=== load check ===\n";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("Config for instance ID: load:1\n{}\n~\n===\n"), "{text}");
        assert!(!text.contains("Checks on a "), "{text}");
    }

    #[test]
    fn one_check_can_be_asked_for() {
        let json = format!(r#"{{"nodes":[{{"name":"b","configs":[{CONFIG},{PLAIN}]}}],"dangling":[{PLAIN}]}}"#);
        let text = shown(&json, Some("load"));
        assert!(text.contains("=== load check ===") && !text.contains("memory"), "{text}");
        let filtered = as_json(&json, Some(&format!(r#"{{"configs":[{PLAIN}]}}"#)), Some("memory")).unwrap();
        assert_eq!(filtered["state"]["nodes"][0]["configs"].as_array().map(Vec::len), Some(1));
        assert_eq!(filtered["state"]["dangling"].as_array().map(Vec::len), Some(1));
        assert_eq!(filtered["endpoints"]["configs"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn endpoint_checks_are_counted() {
        let text = render_endpoints(serde_json::from_str(&format!(r#"{{"configs":[{PLAIN}]}}"#)).unwrap(), None);
        assert!(text.starts_with("\n===== 1 Pod-backed Endpoints-Checks scheduled =====\n\n=== memory check ===\n"), "{text}");
    }

    #[test]
    fn failures_have_the_texts_of_the_command() {
        let refused = QueryError::Refused { status: 503, body: "Startup in progress\n".to_owned() }.into_check_failure();
        assert_eq!(refused.message, "the agent ran into an error while checking config: Startup in progress");
    }
}

//! `config`, `config list-runtime`, `config get`, `config set`. Source: cluster-agent-kubernetes 8.1.

use std::fmt::Write as _;

use muster_actors::domain::yaml;
use serde_json::{Value as Json, json};

use super::arguments::{ConfigCommand, ConfigOptions};
use super::connection::{LocalApi, QueryError};
use super::context::Context;
use super::failure::{CommandResult, Failure};
use crate::config::Role;

pub(super) async fn run(context: &Context, role: Option<Role>, options: ConfigOptions) -> CommandResult {
    let (_, api) = context.api(role)?;
    match options.command {
        None => effective(&api, options.json).await,
        Some(ConfigCommand::ListRuntime) => list_runtime(&api, options.json).await,
        Some(ConfigCommand::Get { setting, sources }) => get(&api, &setting, sources, options.json).await,
        Some(ConfigCommand::Set { setting, value }) => {
            let answer = api.post(&format!("/config/{}", segment(&setting)), &[("value", &value)]).await;
            answer.map_err(setting_failure)?;
            let text = format!("Configuration setting {setting} is now set to: {value}\n");
            Ok(if options.json { format!("{}\n", json!({"setting": setting, "value": value})) } else { text })
        }
    }
}

async fn effective(api: &LocalApi, as_json: bool) -> CommandResult {
    let text = api.get("/config").await.map_err(QueryError::into_failure)?;
    if !as_json {
        return Ok(text);
    }
    let value = yaml::parse(&text).map_err(|error| Failure::new(format!("read the configuration: {error}")))?;
    Ok(format!("{}\n", value.to_json()))
}

async fn list_runtime(api: &LocalApi, as_json: bool) -> CommandResult {
    let body = api.get("/config/list-runtime").await.map_err(QueryError::into_failure)?;
    if as_json {
        return Ok(format!("{}\n", body.trim_end()));
    }
    Ok(listed(&read(&body)?))
}

fn listed(settings: &Json) -> String {
    let mut text = "=== Settings that can be changed at runtime ===\n".to_owned();
    let mut rows: Vec<(&String, &Json)> = settings.as_object().into_iter().flatten().collect();
    rows.sort_by_key(|(name, _)| *name);
    for (name, about) in rows {
        if about["Hidden"] != json!(true) {
            let _ = writeln!(text, "{name:<30} {}", about["Description"].as_str().unwrap_or_default());
        }
    }
    text
}

async fn get(api: &LocalApi, setting: &str, sources: bool, as_json: bool) -> CommandResult {
    let query = if sources { "?sources=true" } else { "" };
    let body = api.get(&format!("/config/{}{query}", segment(setting))).await.map_err(setting_failure)?;
    if as_json {
        return Ok(format!("{}\n", body.trim_end()));
    }
    Ok(got(setting, &read(&body)?))
}

fn got(setting: &str, answer: &Json) -> String {
    let mut text = format!("{setting} is set to: {}\n", plain(&answer["value"]));
    let sources: Vec<&Json> =
        answer["sources_value"].as_array().into_iter().flatten().filter(|source| !source["Value"].is_null()).collect();
    if !sources.is_empty() {
        text.push_str("sources and their value:\n");
    }
    for source in sources {
        let _ = writeln!(text, "  {}: {}", plain(&source["Source"]), plain(&source["Value"]));
    }
    text
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read(body: &str) -> Result<Json, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::new(format!("read the answer of the agent: {error}")))
}

/// A setting as one segment of a path.
fn segment(setting: &str) -> String {
    url::form_urlencoded::byte_serialize(setting.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The text of `{"error":"..."}`.
fn setting_failure(error: QueryError) -> Failure {
    let QueryError::Refused { body, .. } = &error else { return error.into_failure() };
    let said = serde_json::from_str::<Json>(body).ok().and_then(|answer| Some(answer["error"].as_str()?.to_owned()));
    match said {
        Some(text) => Failure::new(format!("{text}; `config list-runtime` lists what can be changed")),
        None => error.into_failure(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_settings_are_listed_in_two_columns() {
        let text =
            listed(&json!({"log_level": {"Description": "How much", "Hidden": false}, "internal": {"Description": "x", "Hidden": true}}));
        assert_eq!(text, "=== Settings that can be changed at runtime ===\nlog_level                      How much\n");
    }

    #[test]
    fn a_value_is_shown_with_its_sources() {
        assert_eq!(got("log_level", &json!({"value": "info"})), "log_level is set to: info\n");
        let answer = json!({"value": 5, "sources_value": [{"Source": "default", "Value": 1}, {"Source": "file", "Value": null}]});
        assert_eq!(got("x", &answer), "x is set to: 5\nsources and their value:\n  default: 1\n");
    }

    #[test]
    fn the_agent_says_what_is_wrong_with_a_setting() {
        let failure = setting_failure(QueryError::Refused { status: 400, body: "{\"error\":\"setting nope not found\"}\n".to_owned() });
        assert_eq!(failure.message, "setting nope not found; `config list-runtime` lists what can be changed");
    }
}

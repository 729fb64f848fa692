//! `health`. Source: cluster-agent-kubernetes 8.4.

use serde::Deserialize;

use super::arguments::JsonOption;
use super::connection::QueryError;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use super::render::Paint;
use crate::config::Role;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    #[serde(default)]
    healthy: Option<Vec<String>>,
    #[serde(default)]
    unhealthy: Option<Vec<String>>,
}

pub(super) async fn run(context: &Context, role: Option<Role>, options: JsonOption) -> CommandResult {
    let (_, api) = context.api(role)?;
    let body = api.get("/status/health").await.map_err(QueryError::into_failure)?;
    let report: Report = serde_json::from_str(&body).map_err(|error| Failure::new(format!("read the health of the agent: {error}")))?;
    let json = options.json.then(|| format!("{}\n", body.trim_end()));
    render(context.paint, report, json)
}

fn render(paint: Paint, report: Report, json: Option<String>) -> CommandResult {
    let list = |names: Option<Vec<String>>| {
        let mut names = names.unwrap_or_default();
        names.sort();
        names
    };
    let (healthy, unhealthy) = (list(report.healthy), list(report.unhealthy));
    let part = |word: &str, names: &[String]| {
        if names.is_empty() { String::new() } else { format!("=== {} {word} components ===\n{}\n", names.len(), names.join(", ")) }
    };
    if unhealthy.is_empty() {
        return Ok(json.unwrap_or_else(|| format!("Agent health: {}\n{}", paint.green("PASS"), part("healthy", &healthy))));
    }
    let text = format!("Agent health: {}\n{}{}", paint.red("FAIL"), part("healthy", &healthy), part("unhealthy", &unhealthy));
    Err(Failure::new(format!("found {} unhealthy components", unhealthy.len())).with_output(json.unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Report {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn all_well_is_a_pass() {
        let report = report(r#"{"Healthy":["healthcheck","aggregator"],"Unhealthy":null}"#);
        let text = render(Paint::new(false), report, None).unwrap();
        assert_eq!(text, "Agent health: PASS\n=== 2 healthy components ===\naggregator, healthcheck\n");
    }

    #[test]
    fn one_bad_part_is_a_failure_with_exit_code_1() {
        let failure = render(Paint::new(false), report(r#"{"Healthy":["a"],"Unhealthy":["Dispatcher"]}"#), None).unwrap_err();
        assert_eq!(failure.output, "Agent health: FAIL\n=== 1 healthy components ===\na\n=== 1 unhealthy components ===\nDispatcher\n");
        assert_eq!((failure.message.as_str(), failure.code), ("found 1 unhealthy components", 1));
    }
}

//! `status`. Source: cluster-agent-kubernetes 8.3.

use serde_json::Value as Json;

use super::arguments::StatusOptions;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use super::render::paint_lines;
use crate::config::Role;

/// First line of the text form.
const FIRST_LINE: &str = "Getting the status from the agent.\n";

pub(super) async fn run(context: &Context, role: Option<Role>, options: &StatusOptions) -> CommandResult {
    let (_, api) = context.api(role)?;
    let json = options.json || options.pretty_json;
    let format = if json { "json" } else { "text" };
    let path = format!("/status?format={format}&verbose={}", options.verbose);
    let document = api.get(&path).await.map_err(super::connection::QueryError::into_failure)?;
    let text = match (&options.section, json) {
        (_, true) => json_text(&document, options)?,
        (Some(wanted), false) => section(&document, wanted)?,
        (None, false) => document,
    };
    let Some(file) = &options.file else {
        let first = if json { "" } else { FIRST_LINE };
        return Ok(format!("{first}{}", if json { text } else { paint_lines(context.paint, &text) }));
    };
    std::fs::write(file, &text).map_err(|error| Failure::new(format!("write {}: {error}", file.display())))?;
    Ok(String::new())
}

fn json_text(document: &str, options: &StatusOptions) -> CommandResult {
    let value: Json = serde_json::from_str(document).map_err(|error| Failure::new(format!("read the status: {error}")))?;
    let value = match &options.section {
        None => value,
        Some(wanted) => {
            let known = || value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
            value.get(wanted).cloned().ok_or_else(|| Failure::new(format!("no key {wanted:?} in the status; known: {}", known())))?
        }
    };
    let text = if options.pretty_json { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
    text.map(|text| text + "\n").map_err(|error| Failure::new(format!("write the status: {error}")))
}

/// The part of a text below one boxed title.
fn section(text: &str, wanted: &str) -> CommandResult {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| !line.is_empty() && line.chars().all(|c| c == '=');
    let is_title =
        |at: usize| at > 0 && at + 1 < lines.len() && is_rule(lines[at - 1]) && lines[at - 1] == lines[at + 1] && !is_rule(lines[at]);
    let titles: Vec<usize> = (0..lines.len()).filter(|at| is_title(*at)).collect();
    let wanted_lower = wanted.to_lowercase();
    let matches = |at: &usize| lines[*at].to_lowercase().starts_with(&wanted_lower);
    let Some(position) = titles.iter().position(matches) else {
        let known: Vec<&str> = titles.iter().map(|at| lines[*at]).collect();
        return Err(Failure::new(format!("no section {wanted:?} in the status; known: {}", known.join(", "))));
    };
    let begin = titles[position] - 1;
    let end = titles.get(position + 1).map_or(lines.len(), |next| next - 1);
    Ok(lines[begin..end].join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "=====\nAgent\n=====\n  Pid: 1\n\n========\nHostname\n========\n\n  hostname: a\n\n=========\nCollector\n=========\n  Paths\n  =====\n    x\n";

    #[test]
    fn a_section_is_found_by_the_beginning_of_its_title() {
        assert_eq!(section(TEXT, "host").unwrap(), "========\nHostname\n========\n\n  hostname: a\n\n");
        assert_eq!(section(TEXT, "Collector").unwrap(), "=========\nCollector\n=========\n  Paths\n  =====\n    x\n");
    }

    #[test]
    fn an_unknown_section_names_the_known_ones() {
        assert_eq!(section(TEXT, "logs").unwrap_err().message, "no section \"logs\" in the status; known: Agent, Hostname, Collector");
    }
}

//! `explain CHECK`: where it is, why there and not elsewhere, what a move costs, what would move it next.

use std::fmt::Write as _;

use muster_actors::balance::explanation::{Candidate, CheckExplanation, NodeExplanation};
use muster_actors::domain::constraints::Quarantine;
use muster_actors::domain::ids::NodeName;
use muster_actors::domain::journal::Cause;
use url::form_urlencoded::byte_serialize;

use super::call::{Call, failure};
use super::explain_node;
use super::history;
use super::options::Subject;
use crate::cli::connection::QueryError;
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::render::columns;
use crate::telemetry::in_words::bars::percent;
use crate::telemetry::in_words::reasons;
use crate::telemetry::in_words::when::{ago, ahead, date, now};

pub(super) async fn run(call: &Call, subject: &Subject) -> CommandResult {
    match subject {
        Subject { check: Some(check), .. } => check_answer(call, ask(call, "check", check).await.map_err(failure)?),
        Subject { node: Some(node), .. } => node_answer(call, ask(call, "node", node).await.map_err(failure)?),
        Subject { name, .. } => either(call, name.as_deref().unwrap_or_default()).await,
    }
}

/// A check of that name, else a node.
async fn either(call: &Call, name: &str) -> CommandResult {
    match ask(call, "check", name).await {
        Ok(body) => check_answer(call, body),
        Err(QueryError::Refused { status: 404, body }) if body.starts_with("no check") => match ask(call, "node", name).await {
            Ok(body) => node_answer(call, body),
            Err(QueryError::Refused { status: 404, body }) if body.starts_with("no node") => Err(unknown(name)),
            Err(error) => Err(failure(error)),
        },
        Err(error) => Err(failure(error)),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(format!(
        "neither a check nor a node is called {name:?}; both are listed by: muster cluster clusterchecks (a check goes by its check id, its digest, or its name if it has one config)"
    ))
}

async fn ask(call: &Call, what: &str, name: &str) -> Result<String, QueryError> {
    let name: String = byte_serialize(name.as_bytes()).collect();
    call.api.get(&format!("/api/v1/muster/explain?{what}={name}")).await
}

fn check_answer(call: &Call, body: String) -> CommandResult {
    call.show(body, |explanation: &CheckExplanation| render(explanation, now()))
}

fn node_answer(call: &Call, body: String) -> CommandResult {
    call.show(body, |explanation: &NodeExplanation| explain_node::render(explanation, now()))
}

fn render(check: &CheckExplanation, now: i64) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "=== {} ===", check.check_ids.first().map_or(check.check_name.as_str(), |id| id.as_str()));
    text.push_str(&columns(&facts(check, now), 2));
    if !check.candidates.is_empty() {
        let _ = writeln!(text, "\n=== Where it could run ===");
        text.push_str(&candidates(&check.candidates));
        text.push_str("Utilization: share of its workers that is busy. Gain: how much evener the load would get.\n");
    }
    let _ = writeln!(text, "\n=== Last moves ===");
    text.push_str(&history::table(&check.history, now));
    let _ = writeln!(text, "\n=== What would move it next ===");
    if check.next.is_empty() {
        text.push_str("Nothing that is known now, but the loss of its node.\n");
    }
    for (position, reason) in check.next.iter().enumerate() {
        let _ = writeln!(text, "{}. {reason}", position + 1);
    }
    text
}

/// Everything that is one line.
fn facts(check: &CheckExplanation, now: i64) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    for id in check.check_ids.iter().skip(1) {
        row("Also:", id.to_string());
    }
    row("Digest:", check.digest.to_string());
    row("Found in:", check.source.clone());
    let since = |at: i64| format!(" since {} ({})", date(at), ago(at, now));
    match (&check.node, check.dangling) {
        (Some(node), _) => row("Runs on:", format!("{node}{}", check.since_unix_nanos.map(since).unwrap_or_default())),
        (None, reason) => row("Runs on:", format!("no node: {}", reason.map_or("it is on its way", reasons::dangling))),
    }
    if check.node.is_some() {
        row("Why there:", why_there(check));
    }
    if let Some(transfer) = &check.transfer {
        row("On its way:", reasons::transfer(transfer));
    }
    row("Load:", load(check));
    row("A move costs:", format!("{:.1} (1 = a usual move)", check.move_cost));
    row("When it moves:", reasons::handover(check.handover).to_owned());
    if let Some(node) = &check.pinned_to {
        row("Pinned to:", node.to_string());
    }
    if let Some(quarantine) = &check.quarantine {
        row("Quarantine:", quarantined(quarantine, now));
    }
    if let Some(held) = check.held {
        row("Stays because:", reasons::held(held).to_owned());
    }
    rows
}

fn quarantined(quarantine: &Quarantine, now: i64) -> String {
    let killed: Vec<&str> = quarantine.killed.iter().map(NodeName::as_str).collect();
    let until = quarantine.until_unix_nanos;
    format!("it ran on {} when they died; ends {} ({})", killed.join(", "), date(until), ahead(until, now))
}

fn load(check: &CheckExplanation) -> String {
    let workers = |need: f64| format!("{need:.3} workers, which is {} of one", percent(need));
    match check.need {
        Some(need) => workers(need),
        None => format!("not known yet; counted with {}", workers(check.counted)),
    }
}

/// The decision that brought it to its node.
fn why_there(check: &CheckExplanation) -> String {
    let came = check.history.iter().find(|decision| decision.to == check.node && decision.cause != Cause::Updated);
    came.map_or_else(|| "it came before the journal begins, and nothing called for a move since".to_owned(), reasons::why_there)
}

fn candidates(candidates: &[Candidate]) -> String {
    let head = ["Node", "Workers", "Configs", "Utilization", "With it", "Gain", "Why not there"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in candidates {
        rows.push(vec![
            one.node.to_string(),
            format!("{}", one.workers),
            one.configs.to_string(),
            percent(one.utilization),
            percent(one.with_it),
            one.gain.map_or_else(|| "-".to_owned(), |gain| format!("{gain:.3}")),
            one.ruled_out.as_ref().map_or_else(|| "it is there".to_owned(), reasons::ruled_out),
        ]);
    }
    columns(&rows, 3)
}

#[cfg(test)]
mod tests;

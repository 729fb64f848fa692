//! `clusterchecks isolate`, `pin`, `unpin`, `release`. Source: cluster-agent-kubernetes 8.6 (texts of `isolate`).

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::{Call, failure, parse, segment, stock_failure};
use super::options::IsolateOptions;
use crate::cli::failure::{CommandResult, Failure};

/// Source: cluster-checks 4.7. The first release said `result`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Isolated {
    check_node: String,
    #[serde(rename = "is_isolated", alias = "result")]
    succeeded: bool,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Demanded {
    check: String,
    moved: usize,
}

pub(super) async fn isolate(call: &Call, options: &IsolateOptions) -> CommandResult {
    if let Some(check) = &options.end {
        let body = demand(call, "isolate/end", json!({"check": check})).await?;
        return call.show(body, |done: &Demanded| format!("Check {} shares its node with others again.\n", done.check));
    }
    let check = options.check_id.as_deref().unwrap_or_default();
    let path = format!("/api/v1/clusterchecks/isolate/check/{}", segment(check));
    let body = call.api.post_json(&path, &json!({})).await.map_err(stock_failure)?;
    let isolated: Isolated = parse(&body)?;
    let output = if call.json { body + "\n" } else { render_isolated(check, &isolated) };
    if isolated.succeeded { Ok(output) } else { Err(not_isolated(check, &isolated.reason, output)) }
}

fn render_isolated(check: &str, isolated: &Isolated) -> String {
    if isolated.succeeded {
        return format!("Check {check} isolated successfully on node {}\n", isolated.check_node);
    }
    format!("Check {check} could not be isolated: {}\n", isolated.reason)
}

fn not_isolated(check: &str, reason: &str, output: String) -> Failure {
    let next = match reason {
        "Unable to find check" => "give a check id as in: muster cluster clusterchecks",
        "No other runners available" => "start another runner first",
        _ => "see: muster cluster clusterchecks constraints",
    };
    Failure::new(format!("{check} is not isolated; {next}")).with_output(output)
}

pub(super) async fn pin(call: &Call, check: &str, node: &str) -> CommandResult {
    let body = demand(call, "pin", json!({"check": check, "node": node})).await?;
    call.show(body, |done: &Demanded| render_pinned(done, node))
}

fn render_pinned(done: &Demanded, node: &str) -> String {
    let moved = if done.moved > 0 { " and moves there now" } else { "" };
    format!("Check {} is pinned to {node}{moved}. End that with: muster cluster clusterchecks unpin\n", done.check)
}

pub(super) async fn unpin(call: &Call, check: &str) -> CommandResult {
    let body = demand(call, "unpin", json!({"check": check})).await?;
    call.show(body, |done: &Demanded| format!("Check {} may go anywhere again; it stays until balancing moves it.\n", done.check))
}

pub(super) async fn release(call: &Call, check: &str) -> CommandResult {
    let body = demand(call, "release", json!({"check": check})).await?;
    call.show(body, |done: &Demanded| format!("Check {} is out of quarantine and dispatched again.\n", done.check))
}

async fn demand(call: &Call, route: &str, body: Json) -> Result<String, Failure> {
    call.api.post_json(&format!("/api/v1/muster/{route}"), &body).await.map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolated(json: &str) -> Isolated {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn isolations_have_the_stock_texts() {
        let good = isolated(r#"{"check_id":"a:1","check_node":"r1","is_isolated":true,"reason":""}"#);
        assert_eq!(render_isolated("a:1", &good), "Check a:1 isolated successfully on node r1\n");
        let bad = isolated(r#"{"check_id":"a:1","check_node":"","is_isolated":false,"reason":"Unable to find check"}"#);
        assert_eq!(render_isolated("a:1", &bad), "Check a:1 could not be isolated: Unable to find check\n");
        assert!(isolated(r#"{"check_node":"r1","result":true}"#).succeeded);
    }

    #[test]
    fn a_failed_isolation_says_the_next_step() {
        assert_eq!(
            not_isolated("a:1", "No other runners available", String::new()).message,
            "a:1 is not isolated; start another runner first"
        );
    }

    #[test]
    fn a_pin_says_whether_something_moves_and_how_it_ends() {
        let done = |moved: usize| Demanded { check: "oracle (oracle:ns1:13)".to_owned(), moved };
        let text = render_pinned(&done(1), "r9");
        assert_eq!(
            text,
            "Check oracle (oracle:ns1:13) is pinned to r9 and moves there now. End that with: muster cluster clusterchecks unpin\n"
        );
        assert!(!render_pinned(&done(0), "r9").contains("moves"));
    }
}

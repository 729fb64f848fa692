//! `clusterchecks rebalance`. Source: cluster-agent-kubernetes 8.6 (texts).

use std::fmt::Write as _;

use muster_actors::messages::rebalancer::Outcome;
use serde_json::{Value as Json, json};

use super::call::{Call, parse, stock_failure};
use super::options::RebalanceOptions;
use super::plan::{Evaluated, StockMove, details};
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::render::paint_lines;
use crate::telemetry::in_words::reasons;

const PATH: &str = "/api/v1/clusterchecks/rebalance";

const REQUESTING: &str = "Requesting a cluster check rebalance...\n";

pub(super) async fn run(call: &Call, options: RebalanceOptions) -> CommandResult {
    let request = json!({"force": options.force, "dry_run": options.dry_run, "details": true});
    let body = call.api.post_json(PATH, &request).await.map_err(|error| {
        let failure = stock_failure(error);
        if call.json { failure } else { Failure { output: format!("{REQUESTING}{}", failure.output), ..failure } }
    })?;
    if call.json {
        return Ok(body + "\n");
    }
    Ok(paint_lines(call.paint, &render(parse(&body)?, options.dry_run)?))
}

/// A leader that is another program answers the array of its moves, and knows no dry run.
fn render(answer: Json, dry_run: bool) -> CommandResult {
    let unreadable = |error: serde_json::Error| Failure::new(format!("read the answer of the agent: {error}"));
    let mut text = REQUESTING.to_owned();
    if answer.is_array() {
        let moves: Vec<StockMove> = serde_json::from_value(answer).map_err(unreadable)?;
        if dry_run {
            text.push_str("The leader is no muster and knows no dry run: what follows is done.\n");
        }
        write_moves(&mut text, &moves);
        return Ok(text);
    }
    let Evaluated { outcome, plan, moves } = serde_json::from_value(answer).map_err(unreadable)?;
    match outcome {
        Outcome::DryRun => {
            let _ = writeln!(text, "Dry run: {} cluster checks would be rebalanced", moves.len());
        }
        Outcome::AwaitsApproval(number) => {
            let _ = writeln!(
                text,
                "{} cluster checks would be rebalanced by plan {number}, which waits for approval: muster cluster clusterchecks plan --approve {number}",
                moves.len()
            );
        }
        Outcome::Applied | Outcome::Nothing => write_moves(&mut text, &moves),
    }
    if moves.is_empty() {
        let _ = writeln!(text, "Nothing moves: {}.", reasons::stopped(&plan));
    }
    let details = details(&plan, &moves);
    if !details.is_empty() {
        let _ = write!(text, "\n{details}");
    }
    Ok(text)
}

fn write_moves(text: &mut String, moves: &[StockMove]) {
    let _ = writeln!(text, "{} cluster checks rebalanced successfully", moves.len());
    for one in moves {
        let _ = writeln!(
            text,
            "Check {} with weight {} moved from node {} to {}. source diff: {}, dest diff: {}",
            one.id(),
            one.check_weight,
            one.source_node_name,
            one.dest_node_name,
            one.source_diff,
            one.dest_diff
        );
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::balance::plan::{Plan, Stopped};

    use super::super::plan::tests::{plan, stock_moves};
    use super::*;

    #[test]
    fn the_stock_texts_come_first_and_then_ours() {
        let text = render(json!({"outcome": "applied", "plan": plan(), "moves": stock_moves()}), false).unwrap();
        let head = "Requesting a cluster check rebalance...\n1 cluster checks rebalanced successfully\n\
                    Check postgres:1b29 with weight 1000 moved from node r2 to r1. source diff: 1000, dest diff: 62\n\n\
                    Check           Need   From  ";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("r2      ####################  100.0 %  ##########..........  50.0 %  2 -> 1\n"), "{text}");
    }

    #[test]
    fn a_dry_run_says_that_nothing_happened() {
        let text = render(json!({"outcome": "dry_run", "plan": plan(), "moves": stock_moves()}), true).unwrap();
        assert!(text.contains("\nDry run: 1 cluster checks would be rebalanced\n") && !text.contains("successfully"), "{text}");
    }

    #[test]
    fn no_move_has_a_reason() {
        let plan = Plan { moves: Vec::new(), forecast: Vec::new(), stopped: Stopped::Off, ..plan() };
        let text = render(json!({"outcome": "nothing", "plan": plan, "moves": []}), false).unwrap();
        let expected = "Requesting a cluster check rebalance...\n0 cluster checks rebalanced successfully\n\
                        Nothing moves: balancing is off (muster.rebalance_strategy).\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_stock_leader_is_understood() {
        let text = render(
            json!([{"check_id":"a:1","check_weight":20,"source_node_name":"n1","source_diff":450,"dest_node_name":"n2","dest_diff":-450}]),
            true,
        );
        let expected = "Requesting a cluster check rebalance...\nThe leader is no muster and knows no dry run: what follows is done.\n\
                        1 cluster checks rebalanced successfully\n\
                        Check a:1 with weight 20 moved from node n1 to n2. source diff: 450, dest diff: -450\n";
        assert_eq!(text.unwrap(), expected);
    }
}

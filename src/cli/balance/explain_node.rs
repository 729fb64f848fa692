//! `explain NODE`: what it has, how busy that keeps it, and what balancing does about it.

use std::fmt::Write as _;

use muster_actors::balance::explanation::{NodeConfig, NodeExplanation};
use muster_actors::balance::plan::Stopped;

use super::history;
use crate::cli::render::columns;
use crate::telemetry::in_words::bars::{bar, percent, scale};
use crate::telemetry::in_words::when::{ago, date, span};
use crate::telemetry::in_words::{counted, reasons};

/// A node, its configs and its moves.
pub(super) fn render(node: &NodeExplanation, now: i64) -> String {
    let mut text = format!("=== {} ===\n", node.node);
    text.push_str(&columns(&facts(node), 2));
    let _ = writeln!(text, "\n=== Its {} ===", counted(node.configs.len(), "config"));
    if !node.configs.is_empty() {
        text.push_str(&configs(&node.configs, now));
    }
    let _ = writeln!(text, "\n=== Next plan ===");
    for (check, from, to) in &node.planned {
        let _ = writeln!(text, "{check} goes from {from} to {to}.");
    }
    let _ = writeln!(text, "{}.", stopped(node));
    let _ = writeln!(text, "\n=== Last moves ===");
    text.push_str(&history::table(&node.history, now));
    text
}

fn facts(node: &NodeExplanation) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    let known = if node.workers_known { "" } else { " (assumed: it did not tell)" };
    row("Workers:", format!("{}{known}", node.workers));
    let full = scale(node.utilization.max(node.mean + node.tolerance));
    row("Utilization:", format!("{} {}", bar(node.utilization, full), percent(node.utilization)));
    row("Mean:", format!("{} {} of all runners", bar(node.mean, full), percent(node.mean)));
    row("Judgement:", judgement(node));
    row("Figures:", node.figures_age_seconds.map_or_else(|| "it never told any".to_owned(), |age| format!("{} old", span(age as i64))));
    for remark in &node.remarks {
        row("Note:", remark.clone());
    }
    rows
}

fn judgement(node: &NodeExplanation) -> String {
    let gap = node.utilization - node.mean;
    // Only one strategy tolerates something.
    let tolerated = if node.tolerance > 0.0 { format!(", tolerated {}", percent(node.tolerance)) } else { String::new() };
    if gap.abs() <= node.tolerance {
        format!("as busy as the others: {} from the mean{tolerated}", percent(gap.abs()))
    } else if gap > 0.0 {
        format!("busier than the others: {} above the mean{tolerated}", percent(gap))
    } else {
        format!("has room: {} below the mean{tolerated}", percent(-gap))
    }
}

fn stopped(node: &NodeExplanation) -> String {
    let why = match node.stopped {
        Stopped::InsideBand => "every runner is close enough to the mean",
        Stopped::BudgetUsedUp => "the budget of moves is used up; the rest follows later",
        Stopped::NothingImproves => "no single move would make the load more even",
        Stopped::NotWorthIt => "the gain is too small to be worth the moves",
        Stopped::Off => "balancing is off (muster.rebalance_strategy)",
        Stopped::TooFewRunners => "there are fewer than two runners to balance between",
    };
    if node.planned.is_empty() { format!("Nothing of it would move: {why}") } else { format!("No more moves: {why}") }
}

fn configs(configs: &[NodeConfig], now: i64) -> String {
    let mut rows = vec![["Check", "Need", "Here since", "Stays, because"].map(str::to_owned).to_vec()];
    for config in configs {
        rows.push(vec![
            config.check_id.as_ref().map_or_else(|| config.check_name.clone(), ToString::to_string),
            config.need.map_or_else(|| "not known".to_owned(), |need| format!("{need:.3}")),
            config.since_unix_nanos.map_or_else(|| "before the journal".to_owned(), |at| format!("{} ({})", date(at), ago(at, now))),
            config.held.map_or_else(String::new, |held| reasons::held(held).to_owned()),
        ]);
    }
    format!("{}Need: workers that it occupies.\n", columns(&rows, 3))
}

#[cfg(test)]
mod tests {
    use muster_actors::balance::world::Held;
    use muster_actors::domain::ids::{ConfigKey, Digest};

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn node() -> NodeExplanation {
        let config = |id: &str, need: Option<f64>, held: Option<Held>| NodeConfig {
            key: ConfigKey(1),
            digest: Digest(1),
            check_name: "http_check".to_owned(),
            check_id: Some(id.into()),
            need,
            held,
            since_unix_nanos: need.map(|_| 0),
        };
        NodeExplanation {
            node: "r1".into(),
            workers: 4.0,
            workers_known: false,
            utilization: 0.4,
            mean: 0.25,
            tolerance: 0.02,
            remarks: vec!["it is on its way out".to_owned()],
            figures_age_seconds: Some(75.0),
            configs: vec![config("http_check:a:1", Some(0.8), None), config("http_check:b:2", None, Some(Held::NeedUnknown))],
            history: Vec::new(),
            planned: vec![("http_check".to_owned(), "r1".into(), "r2".into())],
            stopped: Stopped::BudgetUsedUp,
        }
    }

    #[test]
    fn a_node_is_explained_with_its_configs_and_the_next_plan() {
        let expected = "\
=== r1 ===
Workers:      4 (assumed: it did not tell)
Utilization:  ################.... 40.0 %
Mean:         ##########.......... 25.0 % of all runners
Judgement:    busier than the others: 15.0 % above the mean, tolerated 2.0 %
Figures:      1 min old
Note:         it is on its way out

=== Its 2 configs ===
Check            Need        Here since                            Stays, because
http_check:a:1   0.800       1970-01-01 00:00:00 UTC (1 min ago)
http_check:b:2   not known   before the journal                    nothing is known about its load yet; it has to run a few times first
Need: workers that it occupies.

=== Next plan ===
http_check goes from r1 to r2.
No more moves: the budget of moves is used up; the rest follows later.

=== Last moves ===
None, as far as the journal of this leader reaches back.
";
        assert_eq!(render(&node(), 60 * SECOND), expected);
    }

    #[test]
    fn an_empty_node_has_room() {
        let empty = NodeExplanation { utilization: 0.0, configs: Vec::new(), planned: Vec::new(), figures_age_seconds: None, ..node() };
        let text = render(&empty, 0);
        assert!(text.contains("has room: 25.0 % below the mean") && text.contains("=== Its 0 configs ===\n\n"), "{text}");
        assert!(text.contains("Nothing of it would move: the budget") && text.contains("it never told any"), "{text}");
    }
}

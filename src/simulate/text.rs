//! The comparison in a terminal.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_actors::sim::fleet::{FleetReport, Point, Span};

use crate::simulate::comparison::Comparison;
use crate::simulate::spark::{Gather, columns, line};

/// A row of the table: its title, and what to print of each report.
type Row = (String, Box<dyn Fn(&FleetReport) -> String>);

/// The whole text: what happened, a table, and lines over time.
#[must_use]
pub fn render(comparison: &Comparison) -> String {
    let Some(first) = comparison.reports.first() else { return String::new() };
    let scenario = &comparison.scenario;
    let length = Span::from_seconds(scenario.length_seconds).unwrap_or_default();
    let mut text = format!("{} virtual of {} agents and {} checks, seed {}\n", length, scenario.nodes, scenario.checks, comparison.seed);
    let (shown, more) = first.events.split_at(first.events.len().min(12));
    for event in shown {
        let at = Span::from_seconds(event.at_seconds.round()).unwrap_or_default().to_string();
        let _ = writeln!(text, "  {at:>8}  {}", event.what);
    }
    if !more.is_empty() {
        let _ = writeln!(text, "  and {} more events", more.len());
    }
    text.push('\n');
    text.push_str(&table(&comparison.reports));
    text.push('\n');
    text.push_str(&lines(comparison));
    for report in &comparison.reports {
        for violation in &report.violations {
            let _ = writeln!(text, "violation with {}: {violation}", report.contender);
        }
    }
    text
}

fn row(title: &str, value: impl Fn(&FleetReport) -> String + 'static) -> Row {
    (title.to_owned(), Box::new(value))
}

fn rows(reports: &[FleetReport]) -> Vec<Row> {
    let mut rows = vec![row("moves", |report| report.moves.total.to_string())];
    let causes: BTreeSet<_> = reports.iter().flat_map(|report| report.moves.by_cause.keys().copied()).collect();
    for cause in causes {
        rows.push(row(&format!("  {}", cause.as_str()), move |report| {
            report.moves.by_cause.get(&cause).copied().unwrap_or_default().to_string()
        }));
    }
    rows.extend([
        row("  at least", |report| report.moves.lower_bound.to_string()),
        row("  of a check, mean and most", |report| format!("{:.2}, {}", report.moves.per_check, report.moves.most_of_a_check)),
        row("checks that ran nowhere for a while", |report| report.gaps.checks.to_string()),
        row("  together, and longest", |report| format!("{}, {}", seconds(report.gaps.seconds), seconds(report.gaps.longest_seconds))),
        row("checks that ran twice for a while", |report| report.double_runs.checks.to_string()),
        row("  together, and most", |report| {
            format!("{}, {}", seconds(report.double_runs.seconds), seconds(report.double_runs.longest_seconds))
        }),
        row("without an owner, together", |report| seconds(report.dangling_seconds)),
        row("busiest/mean at the start", |report| format!("{:.3}", report.balance.at_start)),
        row("  over time, and worst", |report| format!("{:.3}, {:.3}", report.balance.mean, report.balance.worst)),
        row("  at the end", |report| format!("{:.3}", report.balance.at_end)),
        row("  possible at best", |report| format!("{:.3}", report.balance.best_possible)),
        row("agents outside the band at the end", |report| format!("{} of {}", report.balance.outside_band_at_end, report.nodes_at_end)),
        row("workers occupied at the end", |report| format!("{:.0} %", report.balance.utilization_at_end * 100.0)),
    ]);
    rows
}

fn seconds(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

fn table(reports: &[FleetReport]) -> String {
    let mut cells = vec![std::iter::once(String::new()).chain(reports.iter().map(|report| report.contender.clone())).collect::<Vec<_>>()];
    for (title, value) in rows(reports) {
        cells.push(std::iter::once(title).chain(reports.iter().map(value)).collect());
    }
    let widths: Vec<usize> =
        (0..=reports.len()).map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in cells {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "   {cell:>width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One line over time for each contender, all of the same scale.
fn lines(comparison: &Comparison) -> String {
    let length = comparison.scenario.length_seconds.max(1e-9);
    let share = |point: &Point| point.at_seconds / length;
    let ratios = |report: &FleetReport| columns(report.series.iter().map(|point| (share(point), point.busiest_over_mean)), Gather::Most);
    let moves = |report: &FleetReport| {
        let mut before = 0;
        let made = report.series.iter().map(|point| {
            let made = point.moves.saturating_sub(std::mem::replace(&mut before, point.moves));
            (share(point), made as f64)
        });
        columns(made.collect::<Vec<_>>().into_iter(), Gather::Sum)
    };
    let mut text = String::new();
    for (title, least, values) in [
        ("busiest/mean", 1.0, comparison.reports.iter().map(ratios).collect::<Vec<_>>()),
        ("moves", 0.0, comparison.reports.iter().map(moves).collect()),
    ] {
        let most = values.iter().flatten().flatten().copied().fold(least, f64::max);
        let scale = if least > 0.0 { format!("{least:.0} to {most:.2}") } else { format!("up to {most:.0}") };
        let _ = writeln!(text, "{title}, {scale}");
        let width = comparison.reports.iter().map(|report| report.contender.chars().count()).max().unwrap_or(0);
        for (report, values) in comparison.reports.iter().zip(&values) {
            let _ = writeln!(text, "  {:<width$} {}", report.contender, line(values, least, most));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use muster_actors::balance::policy::Strategy;
    use muster_actors::sim::fleet::{Contender, Scenario};

    use super::*;
    use crate::simulate::running::run_all;

    const WORLD: &str = r#"{"version": 1, "length": "20m", "nodes": [{"name": "a"}, {"name": "b"}],
        "checks": [{"name": "x", "need": 0.5, "node": "a"}, {"name": "y", "need": 0.25, "node": "b"}],
        "events": [{"at": "5m", "remove_runners": ["b"]}]}"#;

    #[test]
    fn a_comparison_names_events_moves_and_bounds() {
        let scenario = Scenario::parse(WORLD).unwrap();
        let contenders = [Contender::of(Strategy::Off), Contender::of(Strategy::Bounded)];
        let reports = run_all(&scenario, &contenders, 1, |_| {}).unwrap();
        let comparison = Comparison::new(&scenario, 1, reports);
        let text = render(&comparison);
        assert!(text.starts_with("20m virtual of 2 agents and 2 checks, seed 1\n        5m  b removed\n\n"), "{text}");
        let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        for line in [
            vec!["off", "bounded"],
            vec!["moves", "1", "1"],
            vec!["at", "least", "1", "1"],
            vec!["possible", "at", "best", "1.000", "1.000"],
        ] {
            assert!(cells.contains(&line), "{line:?} in\n{text}");
        }
        let again = Comparison::new(&scenario, 1, run_all(&scenario, &contenders, 1, |_| {}).unwrap());
        assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&comparison).unwrap());
    }
}

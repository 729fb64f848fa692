//! Runs one drawn world and prints how long that takes: ten thousand agents for a day, unless it is told otherwise.

use std::process::ExitCode;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use muster_actors::sim::fleet::{Contender, Drawing, Progress, Span, generate, run_contender};

const USAGE: &str = "usage: simulate_fleet [--nodes <count>] [--checks <count>] [--hours <count>] [--seed <seed>] [--load <kind>] \
                     [--faults <kind>] [--strategy <name>]";

fn order(mut arguments: impl Iterator<Item = String>) -> Result<(Drawing, Contender), String> {
    let mut drawing = Drawing { nodes: 10_000, checks: 20_000, length: Span::from_hours(24), ..Drawing::default() };
    let mut strategy = "bounded".to_owned();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let wrong = |_| format!("{argument} {value}\n{USAGE}");
        match argument.as_str() {
            "--nodes" => drawing.nodes = value.parse().map_err(wrong)?,
            "--checks" => drawing.checks = value.parse().map_err(wrong)?,
            "--hours" => drawing.length = Span::from_hours(value.parse().map_err(wrong)?),
            "--seed" => drawing.seed = value.parse().map_err(wrong)?,
            "--load" => drawing.load = value.parse().map_err(|error| format!("{error}"))?,
            "--faults" => drawing.faults = value.parse().map_err(|error| format!("{error}"))?,
            "--strategy" => strategy = value,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((drawing, strategy.parse().map_err(|error| format!("{error}"))?))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let (drawing, contender) = match order(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let clock = SystemClock::new();
    let scenario = generate(&drawing);
    let drawn = clock.monotonic();
    let report = run_contender(&scenario, &contender, drawing.seed, &Progress::default());
    let took = clock.monotonic().saturating_sub(drawn);
    println!(
        "{} agents, {} checks, {} virtual, {}: {:.1} s ({:.1} s to draw), {} polls, {:.0} ns for each with everything",
        drawing.nodes,
        drawing.checks,
        drawing.length,
        contender.name,
        took.as_secs_f64(),
        drawn.as_secs_f64(),
        report.polls,
        took.as_secs_f64() * 1e9 / (report.polls as f64).max(1.0)
    );
    println!("moves {:?}", report.moves);
    println!("balance {:?}", report.balance);
    println!("gaps {:?}, double runs {:?}", report.gaps, report.double_runs);
    for violation in &report.violations {
        println!("violation: {violation}");
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

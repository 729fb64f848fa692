//! Runs one seed of the simulation and prints what happened.

use std::process::ExitCode;

use muster_actors::sim::simulate;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let Some(seed) = std::env::args().nth(1).and_then(|text| text.parse().ok()) else {
        eprintln!("usage: simulate_seed <seed>");
        return ExitCode::FAILURE;
    };
    let report = simulate(seed);
    for line in &report.trace {
        println!("{line}");
    }
    println!("seed {seed}: trace {:08x}, {} violations, {} kills", report.trace_hash, report.violations.len(), report.server_kills);
    for violation in &report.violations {
        println!("violation: {violation}");
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

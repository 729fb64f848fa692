//! Runs one seed of the simulation and prints what happened.

use std::process::ExitCode;

use muster_actors::sim::{Mutant, Report, WorldKind, fleet, simulate, simulate_fleet_mutant, simulate_mutant};

const USAGE: &str = "usage: simulate_seed <seed> [--world replicas|single|fleet] [--mutant <name>]";

fn run(mut arguments: impl Iterator<Item = String>) -> Result<Report, String> {
    let (mut seed, mut world, mut mutant) = (None, WorldKind::Replicas, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--world" => world = value()?.parse().map_err(|error| format!("{error}"))?,
            "--mutant" => mutant = Some(value()?),
            number => seed = Some(number.parse::<u64>().map_err(|_| USAGE)?),
        }
    }
    let seed = seed.ok_or(USAGE)?;
    Ok(match (mutant, world) {
        (None, world) => simulate(world, seed),
        (Some(name), WorldKind::Fleet) => simulate_fleet_mutant(name.parse::<fleet::Mutant>().map_err(|error| error.to_string())?, seed),
        (Some(name), _) => simulate_mutant(name.parse::<Mutant>().map_err(|error| error.to_string())?, seed),
    })
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let report = match run(std::env::args().skip(1)) {
        Ok(report) => report,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    for line in &report.trace {
        println!("{line}");
    }
    println!(
        "{} seed {}: trace {:08x}, {} violations, {} kills, {} leader changes",
        report.world,
        report.seed,
        report.trace_hash,
        report.violations.len(),
        report.server_kills,
        report.leader_changes
    );
    for violation in &report.violations {
        println!("violation: {violation}");
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Runs many seeds of the simulation, for longer than a test may take, and prints what failed and what was played.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use muster_actors::sim::{Mutant, Report, WorldKind, simulate, simulate_mutant};

const USAGE: &str = "usage: simulate_many <seeds> [--from <seed>] [--world replicas|single|fleet] [--threads <count>] [--mutant <name>]";

/// Seeds between two lines of progress.
const PROGRESS: u64 = 100;

struct Order {
    count: u64,
    from: u64,
    /// `None` = all, one after the other.
    world: Option<WorldKind>,
    threads: usize,
    mutant: Option<Mutant>,
}

impl Order {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut order = Self { count: 0, from: 0, world: None, threads, mutant: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--from" => order.from = value()?.parse().map_err(|_| USAGE)?,
                "--world" => order.world = Some(value()?.parse().map_err(|error| format!("{error}"))?),
                "--threads" => order.threads = value()?.parse().map_err(|_| USAGE)?,
                "--mutant" => order.mutant = Some(value()?.parse().map_err(|error| format!("{error}"))?),
                number => order.count = number.parse().map_err(|_| USAGE)?,
            }
        }
        if order.count == 0 { Err(USAGE.to_owned()) } else { Ok(order) }
    }

    fn world_of(&self, seed: u64) -> WorldKind {
        self.world.unwrap_or(match seed % 3 {
            0 => WorldKind::Replicas,
            1 => WorldKind::Single,
            _ => WorldKind::Fleet,
        })
    }

    fn run(&self, seed: u64) -> Report {
        match self.mutant {
            Some(mutant) => simulate_mutant(mutant, seed),
            None => simulate(self.world_of(seed), seed),
        }
    }
}

#[derive(Default)]
struct Summary {
    done: u64,
    failed: Vec<(u64, String)>,
    faults: BTreeMap<String, u64>,
    kills: u64,
    leader_changes: u64,
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.done += 1;
        self.kills += report.server_kills;
        self.leader_changes += report.leader_changes;
        for (fault, times) in report.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        if let Some(first) = report.violations.into_iter().next() {
            self.fail(report.world, report.seed, &first);
        }
    }

    #[expect(clippy::print_stdout, reason = "a failure is to be seen before the end, which may be an hour away")]
    fn fail(&mut self, world: WorldKind, seed: u64, what: &str) {
        let line = format!("seed {seed} --world {world}: {what}");
        println!("{line}");
        self.failed.push((seed, line));
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let order = match Order::parse(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let (next, summary) = (AtomicU64::new(order.from), Mutex::new(Summary::default()));
    let end = order.from + order.count;
    std::thread::scope(|scope| {
        for _ in 0..order.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let ended = catch_unwind(|| order.run(seed));
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Ok(report) = ended {
                        summary.add(report);
                    } else {
                        summary.done += 1;
                        summary.fail(order.world_of(seed), seed, "panicked, see above");
                    }
                    if summary.done.is_multiple_of(PROGRESS) {
                        println!("{} of {} seeds, {} failed", summary.done, order.count, summary.failed.len());
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failed.sort_unstable();
    for (_, line) in &summary.failed {
        println!("failed: {line}");
    }
    println!("faults played: {:?}", summary.faults);
    println!(
        "{} seeds, {} failed, {} processes killed, {} leader changes",
        summary.done,
        summary.failed.len(),
        summary.kills,
        summary.leader_changes
    );
    if summary.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

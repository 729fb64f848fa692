//! `simulate`: what would happen, before it happens.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use muster_actors::sim::fleet::{Action, Contender, Drawing, Event, Faults, Load, Scenario, Span, Which, generate};

use super::failure::{CommandResult, Failure};
use crate::errors;
use crate::simulate::{Comparison, draw, render, run_all};

/// Texts of `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  muster simulate                                          20 agents and 400 checks drawn from seed 0, bounded beside off
  muster simulate --nodes 50 --checks 2000 --load heavy --strategy bounded,utilization,busyness,off
  muster simulate --nodes 12 --remove-runners 3            what if three runners go
  muster cluster clusterchecks record > world.json                 the world as it is ...
  muster simulate --world world.json --remove-runners 3    ... and what if three of its runners go
  muster simulate --world world.json --svg moves.svg
  muster simulate --seed 7 --faults many --json | jq '.reports[] | [.contender, .moves.total, .balance.at_end]'";

/// When what `--remove-runners` and others ask for happens.
const WHAT_IF_AT: Span = Span::from_minutes(20);

/// Options of `simulate`.
#[derive(Args, Clone, Debug)]
pub(super) struct SimulateOptions {
    /// Simulate this scenario, recorded with `clusterchecks record` or written by hand (docs/SIMULATE.md); - = standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "checks", "load", "faults", "noise"])]
    world: Option<PathBuf>,
    /// Draw a world with so many agents [default: 20]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Draw a world with so many checks [default: 20 for each agent]
    #[arg(long, value_name = "N")]
    checks: Option<usize>,
    /// How much the drawn checks differ: uniform, zipf, heavy [default: uniform]
    #[arg(long, value_name = "KIND")]
    load: Option<Load>,
    /// What goes wrong in the drawn world: none, some, many [default: none]
    #[arg(long, value_name = "HOW-MUCH")]
    faults: Option<Faults>,
    /// How far the costs of drawn checks stray from minute to minute; 0.1 = up to 10 % [default: 0.1]
    #[arg(long, value_name = "SHARE", value_parser = noise)]
    noise: Option<f64>,
    /// From which everything random is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Virtual hours [default: 2, or as the scenario says]
    #[arg(long, value_name = "N", value_parser = hours)]
    hours: Option<Span>,
    /// What if so many runners go, after 20 minutes
    #[arg(long, value_name = "N")]
    remove_runners: Option<u32>,
    /// What if so many runners come, after 20 minutes
    #[arg(long, value_name = "N")]
    add_runners: Option<u32>,
    /// What if every runner is replaced, one after the other, from 20 minutes on
    #[arg(long)]
    roll: bool,
    /// Compare these: bounded, utilization, utilization-plain, busyness, off [default: bounded, the recorded one, off]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    strategy: Vec<String>,
    /// Write the drawing of busiest/mean and moves over time to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the scenario to this file, to change it or to keep it
    #[arg(long, value_name = "FILE")]
    write_world: Option<PathBuf>,
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(super) json: bool,
}

fn hours(text: &str) -> Result<Span, String> {
    let hours: f64 = text.parse().map_err(|_| "expected a number of hours, for example 24 or 0.5".to_owned())?;
    Span::from_seconds(hours * 3600.0)
        .filter(|span| !span.0.is_zero())
        .ok_or_else(|| "expected more than 0 hours and at most a year".to_owned())
}

fn noise(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "expected 0 up to, but not including, 1".to_owned())
}

/// Runs the command. The result is the text for standard output; progress goes to standard error.
pub(super) fn run(options: &SimulateOptions) -> CommandResult {
    let scenario = scenario(options)?;
    if let Some(path) = &options.write_world {
        write(path, &scenario.to_json())?;
    }
    let contenders = contenders(options, &scenario)?;
    let shown = AtomicU32::new(0);
    let reports = run_all(&scenario, &contenders, options.seed, |share| tell(share, &shown));
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    let comparison = Comparison::new(&scenario, options.seed, reports.map_err(|failed| Failure::new(format!("failed to {failed}")))?);
    if let Some(path) = &options.svg {
        write(path, &draw(&comparison))?;
    }
    let output = if options.json {
        let json = serde_json::to_string(&comparison).map_err(|error| Failure::new(format!("failed to write JSON: {error}")))?;
        format!("{json}\n")
    } else {
        render(&comparison)
    };
    let broken = comparison.reports.iter().map(|report| report.violations.len()).sum::<usize>();
    if broken > 0 {
        return Err(Failure::new(format!("{broken} things happened that must not; they are in the output")).with_output(output));
    }
    Ok(output)
}

fn scenario(options: &SimulateOptions) -> Result<Scenario, Failure> {
    let mut scenario = match &options.world {
        Some(path) => {
            let text = read(path)?;
            Scenario::parse(&text).map_err(|error| Failure::unusable(format!("{}: {error}", path.display())))?
        }
        None => drawn(options),
    };
    if let Some(length) = options.hours {
        scenario.length = length;
    }
    let what_if = [
        options.remove_runners.map(|count| Action::RemoveRunners(Which::Count(count))),
        options.add_runners.map(|count| Action::AddRunners { count, workers: 4 }),
        options.roll.then_some(Action::RollAll { each: Span::from_secs(60) }),
    ];
    let at = WHAT_IF_AT.min(scenario.length);
    scenario.events.extend(what_if.into_iter().flatten().map(|action| Event { at, action }));
    scenario.validate().map_err(|error| Failure::unusable(error.to_string()))?;
    Ok(scenario)
}

fn drawn(options: &SimulateOptions) -> Scenario {
    let usual = Drawing::default();
    let nodes = options.nodes.unwrap_or(usual.nodes);
    generate(&Drawing {
        nodes,
        checks: options.checks.unwrap_or(20 * nodes),
        load: options.load.unwrap_or_default(),
        faults: options.faults.unwrap_or_default(),
        length: options.hours.unwrap_or(usual.length),
        noise: options.noise.unwrap_or(usual.noise),
        seed: options.seed,
    })
}

fn contenders(options: &SimulateOptions, scenario: &Scenario) -> Result<Vec<Contender>, Failure> {
    let mut names: Vec<&str> = options.strategy.iter().map(String::as_str).collect();
    if names.is_empty() {
        names = vec!["bounded"];
        names.extend(scenario.strategy.map(muster_actors::balance::policy::Strategy::as_str));
        names.push("off");
    }
    let mut contenders: Vec<Contender> = Vec::new();
    for name in names {
        let contender: Contender = name.trim().parse().map_err(|error| Failure::unusable(format!("--strategy: {error}")))?;
        if !contenders.iter().any(|known| known.name == contender.name) {
            contenders.push(contender);
        }
    }
    Ok(contenders)
}

/// In a terminal a line that changes, else a line for each quarter.
fn tell(share: f64, shown: &AtomicU32) {
    let percent = (share * 100.0) as u32;
    let before = shown.swap(percent, Ordering::Relaxed);
    if percent == before {
        return;
    }
    let mut out = io::stderr();
    // Nobody is hurt if progress is not seen.
    let _ = if out.is_terminal() {
        write!(out, "\rsimulating {percent} %\u{1b}[K").and_then(|()| out.flush())
    } else if percent / 25 > before / 25 {
        writeln!(out, "simulating {percent} %")
    } else {
        Ok(())
    };
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| Failure::unusable(format!("failed to read {}: {}", path.display(), errors::chain(&error))))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(format!("failed to write {}: {}", path.display(), errors::chain(&error))))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SimulateOptions,
    }

    fn options(line: &str) -> SimulateOptions {
        Line::parse_from(std::iter::once("simulate").chain(line.split_whitespace())).options
    }

    #[test]
    fn a_world_is_drawn_as_asked_for_and_what_if_is_added() {
        let scenario = scenario(&options("--nodes 12 --load heavy --hours 1 --remove-runners 3 --roll")).unwrap();
        assert_eq!((scenario.nodes.len(), scenario.checks.len(), scenario.length), (12, 240, Span::from_hours(1)));
        let events: Vec<_> = scenario.events.iter().map(|event| event.action.clone()).collect();
        assert_eq!(events, [Action::RemoveRunners(Which::Count(3)), Action::RollAll { each: Span::from_secs(60) }]);
    }

    #[test]
    fn a_world_is_read_from_a_file_and_compared_with_what_it_was_recorded_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("world.json");
        let mut world = generate(&Drawing { nodes: 3, checks: 6, length: Span::from_minutes(5), ..Drawing::default() });
        world.strategy = Some(muster_actors::balance::policy::Strategy::Busyness);
        std::fs::write(&path, world.to_json()).unwrap();
        let asked = options(&format!("--world {} --json", path.display()));
        let json: serde_json::Value = serde_json::from_str(&run(&asked).unwrap()).unwrap();
        let names: Vec<_> = json["reports"].as_array().unwrap().iter().map(|report| report["contender"].clone()).collect();
        assert_eq!(names, ["bounded", "busyness", "off"]);
        assert_eq!(json["scenario"]["nodes"], 3);
    }

    #[test]
    fn mistakes_end_with_code_2_and_say_what_is_allowed() {
        let failure = run(&options("--nodes 2 --strategy best")).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("bounded, utilization"), "{failure:?}");
        let failure = run(&options("--world /nowhere/at/all.json")).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("/nowhere/at/all.json"), "{failure:?}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        std::fs::write(&path, "{\"version\": 1, \"nodes\": [], \"checks\": []}").unwrap();
        let failure = run(&options(&format!("--world {}", path.display()))).unwrap_err();
        assert!(failure.message.contains("nodes: no node"), "{failure:?}");
        assert!(Line::try_parse_from(["simulate", "--world", "a", "--nodes", "3"]).is_err());
        assert!(Line::try_parse_from(["simulate", "--load", "much"]).is_err_and(|error| error.to_string().contains("uniform, zipf")));
    }

    #[test]
    fn a_drawing_and_the_world_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let (svg, world) = (folder.path().join("a.svg"), folder.path().join("a.json"));
        let line = format!("--nodes 2 --checks 4 --hours 0.1 --svg {} --write-world {}", svg.display(), world.display());
        run(&options(&line)).unwrap();
        assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
        assert!(Scenario::parse(&std::fs::read_to_string(&world).unwrap()).is_ok());
    }
}

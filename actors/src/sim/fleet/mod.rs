//! Worlds of many agents: the production actors of the cluster role in virtual time, with agents as entries of an array.
//!
//! What is a model here: agents poll every 10 s at times drawn from the seed, to the second where there are more than 200 of them, and
//! then every other heartbeat that says nothing new is kept back from `Membership`; so who dies is noticed up to 10 s earlier than in
//! truth. Of more than 1000 agents statistics are collected every five minutes, not every one. A check runs from the moment its agent has it in its set. Runners tell what their checks really cost in that minute.

mod audit;
mod auditor;
mod bounds;
mod contender;
mod crew;
mod deed;
mod generate;
mod meter;
mod model;
mod mutant;
mod overrides;
mod play;
mod pods;
mod record;
mod report;
mod runner_stats;
mod scenario;
mod server;
mod violations;
mod watch;
mod words;
mod world;

use crate::balance::policy::Strategy;

pub use audit::{audit, small_world};
pub use contender::{Contender, UnknownContender};
pub use generate::{Drawing, Faults, Load, UnknownWord, generate};
pub use mutant::{Mutant, UnknownMutant};
pub use overrides::PolicyOverrides;
pub use record::{Recording, recorded};
pub use report::{Balance, FleetReport, Mark, Moves, Point, Times};
pub use scenario::{Action, AgentVersion, Check, Event, Lie, NoSpan, Node, Place, SCENARIO_VERSION, Scenario, ScenarioError, Span, Which};
pub use world::Progress;

/// Runs a scenario with a strategy. The same arguments give the same report.
///
/// Panics: if an actor panics that was not told to; the seed is printed.
#[must_use]
pub fn run(scenario: &Scenario, strategy: Strategy, seed: u64) -> FleetReport {
    world::run(scenario, &Contender::of(strategy), seed, &Progress::default())
}

/// As [`run`], for a strategy with options of its own, and with a value that tells other threads how far it is.
#[must_use]
pub fn run_contender(scenario: &Scenario, contender: &Contender, seed: u64, progress: &Progress) -> FleetReport {
    world::run(scenario, contender, seed, progress)
}

//! What is shown of several runs of one scenario.

use muster_actors::sim::fleet::{FleetReport, Scenario};
use serde::Serialize;

/// What is known of the scenario before anything runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// For people.
    pub name: String,
    /// Virtual time. Units: seconds.
    pub length_seconds: f64,
    /// Agents at the start.
    pub nodes: usize,
    /// Configs.
    pub checks: usize,
    /// How far costs stray, relative.
    pub noise: f64,
    /// Whether agents are pods.
    pub pods: bool,
}

impl Summary {
    /// Of this scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        Self {
            name: scenario.name.clone(),
            length_seconds: scenario.length.0.as_secs_f64(),
            nodes: scenario.nodes.len(),
            checks: scenario.checks.len(),
            noise: scenario.noise,
            pods: scenario.pods,
        }
    }
}

/// Runs of one scenario beside each other. As JSON it is the same for the same scenario, seed and contenders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this form.
    pub version: u32,
    /// What was simulated.
    pub scenario: Summary,
    /// The seed.
    pub seed: u64,
    /// One for each contender, in the order in which they were named.
    pub reports: Vec<FleetReport>,
}

impl Comparison {
    /// The version of the form that this program writes.
    pub const VERSION: u32 = 1;

    /// Of these runs.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64, reports: Vec<FleetReport>) -> Self {
        Self { version: Self::VERSION, scenario: Summary::of(scenario), seed, reports }
    }
}

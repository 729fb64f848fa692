//! What a run of a fleet showed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::journal::Cause;

/// What a run of a fleet showed. For the same scenario, contender and seed it is the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FleetReport {
    /// Name of the contender.
    pub contender: String,
    /// The seed.
    pub seed: u64,
    /// Virtual time. Units: seconds.
    pub seconds: f64,
    /// Agents at the start.
    pub nodes_at_start: usize,
    /// Agents at the end.
    pub nodes_at_end: usize,
    /// Configs.
    pub checks: usize,
    /// Configs that went from one agent to another one.
    pub moves: Moves,
    /// Configs that ran nowhere, beyond what was so at the start.
    pub gaps: Times,
    /// Configs that ran on two agents at one time.
    pub double_runs: Times,
    /// Configs without an owner, times how long. Units: seconds.
    pub dangling_seconds: f64,
    /// How even the load was.
    pub balance: Balance,
    /// How it went.
    pub series: Vec<Point>,
    /// What happened.
    pub events: Vec<Mark>,
    /// Polls of all agents.
    pub polls: u64,
    /// Panics of actors that the scenario asked for.
    pub crashes: u64,
    /// What must not happen and did.
    pub violations: Vec<String>,
}

/// Configs that went from one agent to another one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Moves {
    /// All.
    pub total: u64,
    /// Why.
    pub by_cause: BTreeMap<Cause, u64>,
    /// In an hour of virtual time.
    pub per_hour: f64,
    /// Of a config, on average.
    pub per_check: f64,
    /// Of the config that moved most often.
    pub most_of_a_check: u32,
    /// Fewer are not possible: what agents held that left, and the fewest that bring new agents into the band.
    pub lower_bound: u64,
    /// The part of the lower bound that is what agents held that left.
    pub orphans: u64,
}

/// How long something was the case, over all configs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// Configs of which it was ever the case.
    pub checks: usize,
    /// Sum over all configs. Units: seconds.
    pub seconds: f64,
    /// The longest that it was the case of one config without interruption; of double runs, altogether. Units: seconds.
    pub longest_seconds: f64,
}

/// How even the load was, by what checks really need. Ratios are utilization of the busiest agent by the mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Balance {
    /// At the start.
    pub at_start: f64,
    /// At the end.
    pub at_end: f64,
    /// The largest.
    pub worst: f64,
    /// Over time.
    pub mean: f64,
    /// No assignment is better at the end: some agent has to hold the largest config.
    pub best_possible: f64,
    /// Agents outside the band at the end.
    pub outside_band_at_end: usize,
    /// The same, over time.
    pub outside_band_mean: f64,
    /// Workers that are occupied at the end, of all that there are.
    pub utilization_at_end: f64,
}

/// How it is at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// When. Units: seconds since the start.
    pub at_seconds: f64,
    /// Utilization of the busiest agent by the mean.
    pub busiest_over_mean: f64,
    /// Mean utilization.
    pub utilization: f64,
    /// Moves so far.
    pub moves: u64,
    /// Agents outside the band.
    pub outside_band: usize,
    /// Configs that run nowhere.
    pub not_running: usize,
    /// Configs that run on several agents.
    pub doubled: usize,
    /// Agents that live.
    pub nodes: usize,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When. Units: seconds since the start.
    pub at_seconds: f64,
    /// What kind of event, as in a scenario.
    pub kind: &'static str,
    /// What, for people.
    pub what: String,
}

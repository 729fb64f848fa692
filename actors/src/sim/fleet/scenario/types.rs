//! Agents, checks, and what else a world has.

use serde::{Deserialize, Serialize};

use crate::balance::policy::Strategy;
use crate::domain::handover::Handover;
use crate::domain::world::NodeKind;
use crate::sim::fleet::overrides::PolicyOverrides;
use crate::sim::fleet::scenario::event::Event;
use crate::sim::fleet::scenario::span::Span;

/// The version of the format that this program writes, and the only one that it reads.
pub const SCENARIO_VERSION: u32 = 1;

/// A world and what happens in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`SCENARIO_VERSION`].
    pub version: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Virtual time that is simulated.
    #[serde(default = "default_length")]
    pub length: Span,
    /// Whether agents are pods, of which the cluster role sees that they are deleted before they are gone.
    #[serde(default = "yes")]
    pub pods: bool,
    /// How far the cost of a check strays from its need from minute to minute, relative; 0.1 = up to 10 % up or down.
    #[serde(default)]
    pub noise: f64,
    /// The strategy in force where it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The agents that poll at the start.
    pub nodes: Vec<Node>,
    /// The configs that are dispatched.
    pub checks: Vec<Check>,
    /// What happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Options of balancing that differ from the defaults.
    #[serde(default, skip_serializing_if = "PolicyOverrides::is_empty")]
    pub policy: PolicyOverrides,
}

fn default_length() -> Span {
    Span::from_hours(2)
}

fn yes() -> bool {
    true
}

fn four() -> u32 {
    4
}

fn fifteen() -> u32 {
    15
}

fn http_check() -> String {
    "http_check".to_owned()
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The name under which it polls; no other one has it.
    pub name: String,
    /// What kind of agent it is.
    #[serde(default = "runner")]
    pub kind: NodeKind,
    /// Its workers; 0 = it says that it has none, and is not used.
    #[serde(default = "four")]
    pub workers: u32,
    /// The address at which its statistics are found; made up when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it tells about itself.
    #[serde(default, skip_serializing_if = "is_ours")]
    pub agent: AgentVersion,
}

fn runner() -> NodeKind {
    NodeKind::Runner
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ours(agent: &AgentVersion) -> bool {
    *agent == AgentVersion::Muster
}

/// Which program an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentVersion {
    /// Ours: says which checks have not run yet, and stops `at_most_once` checks by itself.
    #[default]
    Muster,
    /// A stock agent of today.
    Stock,
    /// A stock agent that does not tell its workers.
    Old,
}

/// A config that is dispatched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// No other one has it.
    pub name: String,
    /// Which integration.
    #[serde(default = "http_check")]
    pub check_name: String,
    /// The service it was resolved for; configs of one service are kept apart where that costs nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Workers it occupies. Either this or [`Self::average_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<f64>,
    /// Mean duration of a run. Units: milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_ms: Option<f64>,
    /// Time between two runs. Units: seconds, > 0.
    #[serde(default = "fifteen")]
    pub interval_seconds: u32,
    /// In which order it changes its owner.
    #[serde(default, skip_serializing_if = "is_any")]
    pub handover: Handover,
    /// The agent that runs it at the start; none = it has to be placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_any(handover: &Handover) -> bool {
    *handover == Handover::Any
}

impl Check {
    /// Workers it occupies.
    #[must_use]
    pub fn workers_needed(&self) -> f64 {
        let of_runs = self.average_ms.map(|average| average / (f64::from(self.interval_seconds.max(1)) * 1000.0));
        self.need.or(of_runs).unwrap_or(0.0)
    }
}

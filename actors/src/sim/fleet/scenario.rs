//! A world and what happens in it, as people write it, a live server records it, or a generator draws it.
//!
//! The format is JSON and has a version; docs/SIMULATE.md describes it.

mod errors;
mod span;
mod validate;
mod wire;

use serde::{Deserialize, Serialize};

use crate::balance::policy::Strategy;
use crate::domain::handover::Handover;
use crate::domain::world::NodeKind;
use crate::sim::fleet::overrides::PolicyOverrides;

pub use errors::ScenarioError;
pub use span::Span;
pub(super) use validate::ACTORS;

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

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "wire::Event", into = "wire::Event")]
pub struct Event {
    /// When, counted from the start.
    pub at: Span,
    /// What.
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Agents are taken away in good order, as when a deployment is scaled down.
    RemoveRunners(Which),
    /// Agents come.
    AddRunners {
        /// How many.
        count: u32,
        /// Workers of each.
        workers: u32,
    },
    /// Every agent is replaced by a new one, one after the other, the new one first.
    RollAll {
        /// Time between two replacements.
        each: Span,
    },
    /// Agents die without a word.
    Kill {
        /// Which.
        runners: Which,
        /// When they come back, with nothing; none = never.
        lasts: Option<Span>,
    },
    /// Agents and the cluster role cannot reach each other; the agents run on.
    Partition {
        /// Which.
        runners: Which,
        /// How long.
        lasts: Span,
    },
    /// Agents stand still, as a machine that is suspended.
    Pause {
        /// Which.
        runners: Which,
        /// How long.
        lasts: Span,
    },
    /// Agents die and come back again and again.
    Flap {
        /// Which.
        runners: Which,
        /// How often.
        times: u32,
        /// Time between two deaths; half of it they are away.
        every: Span,
    },
    /// Nobody leads.
    LeaderAway(Span),
    /// Checks cost more or less than before.
    CostChange {
        /// Name of a check.
        check: Option<String>,
        /// Name of an integration: all its checks.
        check_name: Option<String>,
        /// Times the cost at the start.
        factor: f64,
        /// How long; none = from now on.
        lasts: Option<Span>,
    },
    /// Agents tell false statistics.
    Lie {
        /// Which.
        runners: Which,
        /// What they tell.
        says: Lie,
        /// How long.
        lasts: Span,
    },
    /// Agents tell another number of workers.
    Workers {
        /// Which.
        runners: Which,
        /// How many; 0 = they are not used.
        workers: u32,
        /// How long; none = from now on.
        lasts: Option<Span>,
    },
    /// The wall clock of the leader is set. Units: seconds, negative = back.
    ClockJump(i64),
    /// An actor of the leader panics.
    CrashActor(String),
}

/// Which agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These.
    Named(Vec<String>),
    /// So many of those that are there at that time, drawn from the seed.
    Count(u32),
}

/// False statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Everything is 0.
    Zero,
    /// Everything is as large as it can be.
    Huge,
    /// Everything is negative.
    Negative,
    /// An answer that is no JSON, because a duration is no number.
    Nan,
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// Errors: [`ScenarioError`], with the place, what was found, what is allowed, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario = errors::read(text)?;
        validate::validate(&scenario)?;
        Ok(scenario)
    }

    /// Checks a scenario that was not read from text.
    ///
    /// Errors: as [`Self::parse`].
    pub fn validate(&self) -> Result<(), ScenarioError> {
        validate::validate(self)
    }

    /// The text that [`Self::parse`] reads, with one node, check or event in a line.
    #[must_use]
    pub fn to_json(&self) -> String {
        wire::to_json(self)
    }
}

#[cfg(test)]
mod tests;

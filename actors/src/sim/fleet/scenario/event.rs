//! What happens in a world, and how it is written.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::sim::fleet::scenario::span::Span;

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
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

/// An event as it is written: a time and exactly one action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    at: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove_runners: Option<Which>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    add_runners: Option<Added>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roll_all: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill: Option<MaybeFor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<For>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<For>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flap: Option<Flap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader_away: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_change: Option<CostChange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lie: Option<Lies>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workers: Option<Workers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_jump: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crash_actor: Option<String>,
}

/// The names of the actions, for people.
const ACTIONS: &str = "remove_runners, add_runners, roll_all, kill, partition, pause, flap, leader_away, cost_change, lie, workers, \
                       clock_jump or crash_actor";

fn four() -> u32 {
    4
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    count: u32,
    #[serde(default = "four")]
    workers: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaybeFor {
    runners: Which,
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    lasts: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct For {
    runners: Which,
    #[serde(rename = "for")]
    lasts: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flap {
    runners: Which,
    times: u32,
    every: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CostChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check_name: Option<String>,
    factor: f64,
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    lasts: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lies {
    runners: Which,
    says: Lie,
    #[serde(rename = "for")]
    lasts: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Workers {
    runners: Which,
    #[serde(rename = "workers")]
    count: u32,
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    lasts: Option<Span>,
}

impl TryFrom<Wire> for Event {
    type Error = String;

    fn try_from(event: Wire) -> Result<Self, String> {
        let actions = [
            event.remove_runners.map(Action::RemoveRunners),
            event.add_runners.map(|added| Action::AddRunners { count: added.count, workers: added.workers }),
            event.roll_all.map(|each| Action::RollAll { each }),
            event.kill.map(|kill| Action::Kill { runners: kill.runners, lasts: kill.lasts }),
            event.partition.map(|cut| Action::Partition { runners: cut.runners, lasts: cut.lasts }),
            event.pause.map(|pause| Action::Pause { runners: pause.runners, lasts: pause.lasts }),
            event.flap.map(|flap| Action::Flap { runners: flap.runners, times: flap.times, every: flap.every }),
            event.leader_away.map(Action::LeaderAway),
            event.cost_change.map(|change| Action::CostChange {
                check: change.check,
                check_name: change.check_name,
                factor: change.factor,
                lasts: change.lasts,
            }),
            event.lie.map(|lie| Action::Lie { runners: lie.runners, says: lie.says, lasts: lie.lasts }),
            event.workers.map(|told| Action::Workers { runners: told.runners, workers: told.count, lasts: told.lasts }),
            event.clock_jump.map(Action::ClockJump),
            event.crash_actor.map(Action::CrashActor),
        ];
        let mut found = actions.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(action), None) => Ok(Self { at: event.at, action }),
            (None, _) => Err(format!("an event without an action; besides \"at\", give one of {ACTIONS}")),
            (Some(_), Some(_)) => Err("an event with several actions; make an event of its own of each".to_owned()),
        }
    }
}

impl From<Event> for Wire {
    fn from(event: Event) -> Self {
        let mut wire = Self { at: event.at, ..Self::default() };
        match event.action {
            Action::RemoveRunners(which) => wire.remove_runners = Some(which),
            Action::AddRunners { count, workers } => wire.add_runners = Some(Added { count, workers }),
            Action::RollAll { each } => wire.roll_all = Some(each),
            Action::Kill { runners, lasts } => wire.kill = Some(MaybeFor { runners, lasts }),
            Action::Partition { runners, lasts } => wire.partition = Some(For { runners, lasts }),
            Action::Pause { runners, lasts } => wire.pause = Some(For { runners, lasts }),
            Action::Flap { runners, times, every } => wire.flap = Some(Flap { runners, times, every }),
            Action::LeaderAway(span) => wire.leader_away = Some(span),
            Action::CostChange { check, check_name, factor, lasts } => {
                wire.cost_change = Some(CostChange { check, check_name, factor, lasts });
            }
            Action::Lie { runners, says, lasts } => wire.lie = Some(Lies { runners, says, lasts }),
            Action::Workers { runners, workers, lasts } => wire.workers = Some(Workers { runners, count: workers, lasts }),
            Action::ClockJump(seconds) => wire.clock_jump = Some(seconds),
            Action::CrashActor(name) => wire.crash_actor = Some(name),
        }
        wire
    }
}

impl Serialize for Which {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(names) => names.serialize(serializer),
            Self::Count(count) => {
                let mut object = serializer.serialize_struct("Which", 1)?;
                object.serialize_field("count", count)?;
                object.end()
            }
        }
    }
}

struct WhichVisitor;

impl<'de> Visitor<'de> for WhichVisitor {
    type Value = Which;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of names such as [\"runner-1\"], or a number of agents such as {\"count\": 3}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Which, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Which::Named(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Which, A::Error> {
        let mut count = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "count" {
                return Err(de::Error::unknown_field(&key, &["count"]));
            }
            count = Some(map.next_value()?);
        }
        count.map(Which::Count).ok_or_else(|| de::Error::missing_field("count"))
    }
}

impl<'de> Deserialize<'de> for Which {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WhichVisitor)
    }
}

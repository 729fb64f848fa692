//! What the types of a scenario do not rule out.

use std::collections::BTreeSet;

use crate::sim::fleet::scenario::errors::ScenarioError;
use crate::sim::fleet::scenario::event::{Action, Event, Which};
use crate::sim::fleet::scenario::types::{SCENARIO_VERSION, Scenario};

/// Largest need of one config. Why: an agent with more workers than this does not exist.
const LARGEST_NEED: f64 = 1000.0;

/// Actors that may be told to panic.
pub(in crate::sim::fleet) const ACTORS: [&str; 6] = ["Dispatcher", "Membership", "Persistence", "Journal", "Rebalancer", "StatsCollector"];

fn wrong(path: String, found: impl Into<String>, mend: impl Into<String>) -> Result<(), ScenarioError> {
    Err(ScenarioError::at(path, found, mend))
}

pub(super) fn validate(scenario: &Scenario) -> Result<(), ScenarioError> {
    if scenario.version != SCENARIO_VERSION {
        return wrong("version".to_owned(), format!("found {}", scenario.version), format!("allowed is {SCENARIO_VERSION}"));
    }
    if !(0.0..1.0).contains(&scenario.noise) {
        return wrong("noise".to_owned(), format!("found {}", scenario.noise), "allowed is 0 up to, but not including, 1");
    }
    if scenario.nodes.is_empty() && !scenario.events.iter().any(|event| matches!(event.action, Action::AddRunners { .. })) {
        return wrong("nodes".to_owned(), "no node, and no event that adds one", "give at least one node");
    }
    let mut nodes = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for (index, node) in scenario.nodes.iter().enumerate() {
        if node.name.is_empty() {
            return wrong(format!("nodes[{index}].name"), "found an empty name", "give it a name");
        }
        if !nodes.insert(node.name.as_str()) {
            return wrong(format!("nodes[{index}].name"), format!("{:?} is there twice", node.name), "every node has a name of its own");
        }
        if let Some(address) = &node.address
            && !addresses.insert(address.as_str())
        {
            let path = format!("nodes[{index}].address");
            return wrong(path, format!("{address:?} is there twice"), "every node has an address of its own, or none");
        }
    }
    let mut names = BTreeSet::new();
    for (index, check) in scenario.checks.iter().enumerate() {
        let at = |field: &str| format!("checks[{index}].{field}");
        if check.name.is_empty() || !names.insert(check.name.as_str()) {
            return wrong(at("name"), format!("{:?} is empty or there twice", check.name), "every check has a name of its own");
        }
        if check.need.is_some() == check.average_ms.is_some() {
            let found = if check.need.is_some() { "both need and average_ms" } else { "neither need nor average_ms" };
            return wrong(at("need"), found, "give one of them: workers it occupies, or the milliseconds of a run");
        }
        if check.interval_seconds == 0 {
            return wrong(at("interval_seconds"), "found 0", "allowed is 1 and more");
        }
        let need = check.workers_needed();
        if !(0.0..=LARGEST_NEED).contains(&need) {
            return wrong(at("need"), format!("found {need} workers"), format!("allowed is 0 to {LARGEST_NEED}"));
        }
        if let Some(node) = &check.node
            && !nodes.contains(node.as_str())
        {
            return wrong(at("node"), format!("no node is called {node:?}"), "name one of nodes, or leave it out to have it placed");
        }
    }
    for (index, event) in scenario.events.iter().enumerate() {
        validate_event(scenario, index, event, &nodes)?;
    }
    scenario.policy.validate().map_err(|(key, found, mend)| ScenarioError::at(format!("policy.{key}"), found, mend))
}

fn validate_event(scenario: &Scenario, index: usize, event: &Event, nodes: &BTreeSet<&str>) -> Result<(), ScenarioError> {
    let at = |field: &str| format!("events[{index}].{field}");
    if event.at > scenario.length {
        let found = format!("{} is after the end, which is at {}", event.at, scenario.length);
        return wrong(at("at"), found, "make length longer or the event earlier");
    }
    let (field, which) = match &event.action {
        Action::RemoveRunners(which) => ("remove_runners", Some(which)),
        Action::Kill { runners, .. } => ("kill.runners", Some(runners)),
        Action::Partition { runners, .. } => ("partition.runners", Some(runners)),
        Action::Pause { runners, .. } => ("pause.runners", Some(runners)),
        Action::Flap { runners, .. } => ("flap.runners", Some(runners)),
        Action::Lie { runners, .. } => ("lie.runners", Some(runners)),
        Action::Workers { runners, .. } => ("workers.runners", Some(runners)),
        _ => ("", None),
    };
    if let Some(Which::Named(names)) = which {
        for name in names {
            if !nodes.contains(name.as_str()) && !is_added(name) {
                return wrong(
                    at(field),
                    format!("no node is called {name:?}"),
                    "name one of nodes, or added-1, added-2 ... of add_runners",
                );
            }
        }
    }
    match &event.action {
        Action::CostChange { check, check_name, factor, .. } => {
            if !(0.0..=1e6).contains(factor) {
                return wrong(at("cost_change.factor"), format!("found {factor}"), "allowed is 0 to 1000000");
            }
            let known = match (check, check_name) {
                (Some(name), None) => scenario.checks.iter().any(|check| check.name == *name),
                (None, Some(name)) => scenario.checks.iter().any(|check| check.check_name == *name),
                _ => return wrong(at("cost_change"), "both or neither of check and check_name", "give one of them"),
            };
            if !known {
                return wrong(at("cost_change"), "no check is called so", "name one of checks");
            }
        }
        Action::Flap { times, every, .. } if *times == 0 || every.0.is_zero() => {
            return wrong(at("flap"), "found 0", "allowed is times of 1 and more, and every above 0s");
        }
        Action::AddRunners { count: 0, .. } => return wrong(at("add_runners.count"), "found 0", "allowed is 1 and more"),
        Action::CrashActor(name) if !ACTORS.contains(&name.as_str()) => {
            return wrong(at("crash_actor"), format!("found {name:?}"), format!("allowed is one of {}", ACTORS.join(", ")));
        }
        _ => {}
    }
    Ok(())
}

fn is_added(name: &str) -> bool {
    name.strip_prefix("added-").is_some_and(|number| number.parse::<u32>().is_ok())
}

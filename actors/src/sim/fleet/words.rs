//! Events in words.

use crate::sim::fleet::scenario::{Action, Lie, Which};

fn agents(which: &Which) -> String {
    match which {
        Which::Named(names) if names.len() <= 3 => names.join(", "),
        Which::Named(names) => count(names.len()),
        Which::Count(number) => count(*number as usize),
    }
}

fn count(number: usize) -> String {
    if number == 1 { "1 agent".to_owned() } else { format!("{number} agents") }
}

/// An event for people.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::RemoveRunners(which) => format!("{} removed", agents(which)),
        Action::AddRunners { count: number, .. } => format!("{} added", count(*number as usize)),
        Action::RollAll { .. } => "all agents are replaced".to_owned(),
        Action::Kill { runners, lasts: Some(lasts) } => format!("{} dead for {lasts}", agents(runners)),
        Action::Kill { runners, lasts: None } => format!("{} killed", agents(runners)),
        Action::Partition { runners, lasts } => format!("{} cut off for {lasts}", agents(runners)),
        Action::Pause { runners, lasts } => format!("{} paused for {lasts}", agents(runners)),
        Action::Flap { runners, times, .. } => format!("{} flap {times} times", agents(runners)),
        Action::LeaderAway(lasts) => format!("no leader for {lasts}"),
        Action::CostChange { check, check_name, factor, .. } => {
            format!("{} costs {factor} times as much", check.as_deref().or(check_name.as_deref()).unwrap_or_default())
        }
        Action::Lie { runners, says, lasts } => {
            let says = match says {
                Lie::Zero => "0",
                Lie::Huge => "huge",
                Lie::Negative => "negative",
                Lie::Nan => "unreadable",
            };
            format!("statistics of {} are {says} for {lasts}", agents(runners))
        }
        Action::Workers { runners, workers, .. } => format!("{} say they have {workers} workers", agents(runners)),
        Action::ClockJump(seconds) => format!("clock jumps {seconds} s"),
        Action::CrashActor(name) => format!("{name} panics"),
    }
}

/// The key of an event in a scenario.
pub(super) fn kind(action: &Action) -> &'static str {
    match action {
        Action::RemoveRunners(_) => "remove_runners",
        Action::AddRunners { .. } => "add_runners",
        Action::RollAll { .. } => "roll_all",
        Action::Kill { .. } => "kill",
        Action::Partition { .. } => "partition",
        Action::Pause { .. } => "pause",
        Action::Flap { .. } => "flap",
        Action::LeaderAway(_) => "leader_away",
        Action::CostChange { .. } => "cost_change",
        Action::Lie { .. } => "lie",
        Action::Workers { .. } => "workers",
        Action::ClockJump(_) => "clock_jump",
        Action::CrashActor(_) => "crash_actor",
    }
}

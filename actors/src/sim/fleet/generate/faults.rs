//! What goes wrong in a drawn world.

use std::time::Duration;

use crate::kernel::rng::Random;
use crate::sim::fleet::generate::drawing::{Drawing, Faults};
use crate::sim::fleet::scenario::{ACTORS, Action, Event, Lie, Span, Which};

/// Time before the first fault.
const CALM_BEFORE: Duration = Duration::from_secs(90);

/// The part of a run in which something goes wrong; the rest shows what comes of it.
const TROUBLED: f64 = 0.6;

fn seconds(random: &dyn Random, least: u64, most: u64) -> Span {
    Span::from_secs(least + random.below(most - least + 1))
}

/// Events in the order of time.
pub(super) fn draw(drawing: &Drawing, random: &dyn Random) -> Vec<Event> {
    let every = match drawing.faults {
        Faults::None => return Vec::new(),
        Faults::Some => 1200,
        Faults::Many => 240,
    };
    let end = drawing.length.0.mul_f64(TROUBLED);
    let mut events = Vec::new();
    let mut at = CALM_BEFORE.min(end / 2);
    let mut crashes_left = 4;
    while at < end {
        let rest = drawing.length.0.saturating_sub(at).as_secs();
        let action = action(drawing, random, rest, &mut crashes_left);
        events.push(Event { at: Span::from_secs(at.as_secs()), action });
        at += Duration::from_secs(every / 2 + random.below(every));
    }
    events
}

fn action(drawing: &Drawing, random: &dyn Random, rest: u64, crashes_left: &mut u32) -> Action {
    let few = Which::Count(1 + random.below((drawing.nodes as u64 / 10).max(1)) as u32);
    // What lasts ends before the run does.
    let lasts = |least, most: u64| seconds(random, least, most.min((rest / 2).max(least)));
    match random.below(16) {
        0 | 1 => Action::Kill { runners: few, lasts: Some(lasts(5, 300)) },
        2 => Action::RemoveRunners(few),
        3 | 4 => Action::AddRunners { count: 1 + random.below((drawing.nodes as u64 / 10).max(1)) as u32, workers: 4 },
        5 | 6 => Action::Partition { runners: few, lasts: lasts(5, 240) },
        7 => Action::Pause { runners: few, lasts: lasts(5, 180) },
        8 => Action::Flap { runners: few, times: 2 + random.below(4) as u32, every: lasts(20, 100) },
        9 | 10 => {
            let says = [Lie::Zero, Lie::Huge, Lie::Negative, Lie::Nan][random.below(4) as usize];
            Action::Lie { runners: few, says, lasts: lasts(60, 900) }
        }
        11 => Action::Workers { runners: few, workers: [0, 1, 16][random.below(3) as usize], lasts: Some(lasts(60, 900)) },
        12 if drawing.checks > 0 => {
            let check = format!("check-{}", 1 + random.below(drawing.checks as u64));
            Action::CostChange { check: Some(check), check_name: None, factor: 100.0, lasts: None }
        }
        13 => Action::LeaderAway(lasts(5, if random.below(4) == 0 { 3600 } else { 90 })),
        14 if *crashes_left > 0 => {
            *crashes_left -= 1;
            Action::CrashActor(ACTORS[random.below(ACTORS.len() as u64) as usize].to_owned())
        }
        _ => Action::ClockJump(random.below(7200) as i64 - 3600),
    }
}

//! What operators should know about their runners: too few, too many, a check that none of them can hold.
//!
//! Says nothing where figures are unknown: an advice that rests on estimates costs money or sleep.

mod words;

use std::collections::BTreeMap;

pub use self::words::{Advice, Subject, Unrunnable};
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::world::{Held, Load, Runner, RunnerIndex, World};
use crate::domain::world::NodeKind;

/// Mean utilization above which there are too few runners. Why: the loss of one of five brings the others to 1.
const TOO_FULL: f64 = 0.8;
/// Mean utilization that a pool should have.
const AIM: f64 = 0.6;
/// Mean utilization below which there are too many.
const TOO_EMPTY: f64 = 0.2;
/// Runners that a pool keeps in any case, so that one may be lost.
const FEWEST: usize = 2;
/// Part of the configs of which the need has to be known before anything is said about the size of the pool.
const KNOWN: f64 = 0.9;
/// A runner this many times the tolerance away from the mean is worth a word.
const FAR: f64 = 2.0;

/// What there is to say about a world, the most important first.
#[must_use]
pub fn advise(world: &World, policy: &BalancePolicy) -> Vec<Advice> {
    let pool = Pool::of(world, policy);
    let mut advice = unrunnable(world);
    advice.extend(too_large(world));
    advice.extend(pool.size());
    advice.extend(pool.stuck(policy));
    advice.extend(without_figures(world));
    advice.extend(always_late(world));
    advice
}

fn usable(runner: &Runner) -> bool {
    runner.presence.is_staying() && runner.workers > 0.0
}

fn may_have(runner: &Runner, load: &Load) -> bool {
    runner.facts.may_run(&load.check_name) && runner.isolated_for.is_none_or(|only| only == load.key)
}

/// The runners that configs are balanced over.
struct Pool<'a> {
    world: &'a World,
    usable: Vec<RunnerIndex>,
    used: Vec<f64>,
    workers: f64,
    mean: f64,
    tolerance: f64,
    /// Whether enough is known to judge it.
    known: bool,
}

impl<'a> Pool<'a> {
    fn of(world: &'a World, policy: &BalancePolicy) -> Self {
        let usable: Vec<_> = (0..world.runners.len()).filter(|runner| usable(&world.runners[*runner])).collect();
        let mut used = vec![0.0; world.runners.len()];
        let (mut owned, mut with_need) = (0_usize, 0_usize);
        for load in &world.loads {
            let Some(owner) = load.owner else { continue };
            used[owner] += load.counted;
            owned += 1;
            with_need += usize::from(load.need.is_some());
        }
        let workers: f64 = usable.iter().map(|runner| world.runners[*runner].workers).sum();
        let total: f64 = usable.iter().map(|runner| used[*runner]).sum();
        let mean = if workers > 0.0 { total / workers } else { 0.0 };
        let workers_known = usable.iter().all(|runner| world.runners[*runner].workers_known);
        let known = owned > 0 && workers_known && with_need as f64 >= KNOWN * owned as f64;
        Self { world, usable, used, workers, mean, tolerance: (policy.band * mean).max(policy.min_gap), known }
    }

    fn utilization(&self, runner: RunnerIndex) -> f64 {
        self.used[runner] / self.world.runners[runner].workers
    }

    /// Workers of the usual runner: the median.
    fn usual_size(&self) -> Option<f64> {
        let mut sizes: Vec<_> = self.usable.iter().map(|runner| self.world.runners[*runner].workers).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.get(sizes.len() / 2).copied()
    }

    fn size(&self) -> Option<Advice> {
        let (runners, mean) = (self.usable.len(), self.mean);
        let usual = self.usual_size().filter(|_| self.known)?;
        let total = mean * self.workers;
        if mean > TOO_FULL {
            let more = ((total / AIM - self.workers) / usual).ceil() as usize;
            return Some(Advice::TooFewRunners { runners, mean, more, aim: AIM });
        }
        if mean < TOO_EMPTY && runners > FEWEST {
            let enough = ((total / AIM / usual).ceil() as usize).max(FEWEST);
            let then = total / (enough as f64 * usual);
            return (enough < runners).then_some(Advice::TooManyRunners { runners, mean, enough, then });
        }
        None
    }

    /// Runners far above the mean on which something that does not go elsewhere is too much for the band, by itself.
    fn stuck(&self, policy: &BalancePolicy) -> Vec<Advice> {
        if !self.known || self.usable.len() < 2 || policy.strategy != Strategy::Bounded {
            return Vec::new();
        }
        let stays = |load: &Load| matches!(load.held, Some(Held::Pinned | Held::NeverMoved));
        // The heaviest config of each runner, and the heaviest of those that stay, with the sum of them.
        let mut heaviest: Vec<Option<&Load>> = vec![None; self.world.runners.len()];
        let mut heaviest_staying = heaviest.clone();
        let mut staying = vec![0.0; self.world.runners.len()];
        for load in self.world.loads.iter().filter(|load| load.need.is_some()) {
            let Some(owner) = load.owner else { continue };
            let heavier = |than: Option<&Load>| than.is_none_or(|than| than.counted < load.counted);
            if heavier(heaviest[owner]) {
                heaviest[owner] = Some(load);
            }
            if stays(load) {
                staying[owner] += load.counted;
                if heavier(heaviest_staying[owner]) {
                    heaviest_staying[owner] = Some(load);
                }
            }
        }
        let above_the_band = |used: f64, runner: RunnerIndex| used / self.world.runners[runner].workers > self.mean + self.tolerance;
        let far = self.usable.iter().copied().filter(|runner| self.utilization(*runner) - self.mean > FAR * self.tolerance);
        let stuck = far.filter_map(|runner| {
            let because = if above_the_band(staying[runner], runner) {
                heaviest_staying[runner]
            } else {
                heaviest[runner]
                    .filter(|load| load.held.is_none() && above_the_band(load.counted, runner) && !self.better_off_elsewhere(runner, load))
            };
            let load = because?;
            Some(Advice::StuckRunner {
                runner: self.world.runners[runner].name.clone(),
                utilization: self.utilization(runner),
                mean: self.mean,
                check: Subject::of(load),
                need: load.counted,
                held: load.held,
            })
        });
        stuck.collect()
    }

    /// Whether moving a config evens the load out when nothing else is left on its runner.
    fn better_off_elsewhere(&self, from: RunnerIndex, load: &Load) -> bool {
        let workers = |runner: RunnerIndex| self.world.runners[runner].workers;
        self.usable.iter().filter(|to| **to != from && may_have(&self.world.runners[**to], load)).any(|to| {
            let (here, there) = (load.counted / workers(from), self.utilization(*to));
            2.0 * (here - there) - load.counted * (1.0 / workers(from) + 1.0 / workers(*to)) > 0.0
        })
    }
}

/// Configs that need more workers than any runner has that may run them.
fn too_large(world: &World) -> impl Iterator<Item = Advice> {
    let runners: Vec<_> = world.runners.iter().filter(|runner| usable(runner)).collect();
    let least = runners.iter().map(|runner| runner.workers).fold(f64::INFINITY, f64::min);
    // Nearly every config fits on the smallest runner: only for the others it matters which ones may run them.
    let large = world.loads.iter().filter_map(move |load| Some((load, load.need.filter(|need| *need > least)?)));
    large.filter_map(move |(load, need)| {
        let eligible = runners.iter().filter(|runner| runner.workers_known && may_have(runner, load));
        let largest = eligible.map(|runner| runner.workers).max_by(f64::total_cmp)?;
        (need > largest).then(|| Advice::TooLargeForAnyRunner { check: Subject::of(load), need, largest })
    })
}

/// Configs that occupy one worker per instance, by check name.
fn always_late(world: &World) -> impl Iterator<Item = Advice> {
    let mut late: BTreeMap<&str, (&Load, f64, usize)> = BTreeMap::new();
    for load in &world.loads {
        // A rounded sum of ones is that sum; anything below is not late.
        let Some(need) = load.measured.filter(|need| load.instances > 0 && *need >= load.instances as f64) else { continue };
        let (worst, most, configs) = late.entry(&load.check_name).or_insert((load, need, 0));
        *configs += 1;
        if need > *most {
            (*worst, *most) = (load, need);
        }
    }
    late.into_values().map(|(worst, need, configs)| Advice::AlwaysLate { check: Subject::of(worst), need, configs })
}

/// Runners that tell nothing although others do, and those without workers.
fn without_figures(world: &World) -> Vec<Advice> {
    let mut configs = vec![(0_usize, 0_usize); world.runners.len()];
    for load in &world.loads {
        let Some(owner) = load.owner else { continue };
        let (all, complete) = &mut configs[owner];
        *all += 1;
        *complete += usize::from(load.need.is_some() && !load.incomplete);
    }
    let silent = |runner: usize| !world.runners[runner].workers_known && configs[runner].1 == 0;
    // If nobody tells anything, that is not the fault of runners: nothing was collected yet, or collecting is off.
    let others_tell = (0..world.runners.len()).any(|runner| !silent(runner));
    let mut advice = Vec::new();
    for (index, runner) in world.runners.iter().enumerate().filter(|(_, runner)| runner.presence.is_staying()) {
        let (configs, _) = configs[index];
        if runner.workers <= 0.0 {
            advice.push(Advice::NoWorkers { runner: runner.name.clone() });
        } else if silent(index) && others_tell && configs > 0 && runner.facts.kind != NodeKind::NodeAgent {
            advice.push(Advice::NoFigures { runner: runner.name.clone(), configs });
        }
    }
    advice
}

/// Configs without an owner that no runner may run, by check name.
fn unrunnable(world: &World) -> Vec<Advice> {
    let mut dangling: BTreeMap<&str, Vec<&Load>> = BTreeMap::new();
    if !world.runners.is_empty() {
        for load in world.loads.iter().filter(|load| load.owner.is_none() && load.held != Some(Held::Quarantined)) {
            dangling.entry(&load.check_name).or_default().push(load);
        }
    }
    let advice = dangling.into_iter().filter_map(|(check_name, loads)| {
        let declared = world.runners.iter().any(|runner| runner.facts.may_run(check_name));
        let stuck = loads.iter().filter(|load| !world.runners.iter().any(|runner| usable(runner) && may_have(runner, load))).count();
        let because = if declared { Unrunnable::NotFree } else { Unrunnable::NotDeclared };
        (stuck > 0).then(|| Advice::Unrunnable { check_name: check_name.to_owned(), configs: stuck, because })
    });
    advice.collect()
}

#[cfg(test)]
mod tests;

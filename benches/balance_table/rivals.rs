//! Rules that muster does not have, for comparison.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

use crate::fleet::Fleet;
use crate::loads::WORKERS;

/// Who has what, by number of the check.
#[derive(Clone, Default)]
struct Held {
    runners: Vec<String>,
    needs: Vec<f64>,
    owners: Vec<String>,
}

impl Held {
    fn used(&self) -> Vec<(f64, f64)> {
        let used = |name: &String| self.owners.iter().zip(&self.needs).filter(|(owner, _)| *owner == name).map(|(_, need)| need).sum();
        self.runners.iter().map(|name| (used(name), WORKERS)).collect()
    }

    fn needs_of(&self, runner: &str) -> Vec<f64> {
        self.owners.iter().zip(&self.needs).filter(|(owner, _)| *owner == runner).map(|(_, need)| *need).collect()
    }
}

/// Whatever has no owner goes to the runner with the fewest checks; nothing else ever moves. The stock rule without balancing.
#[derive(Clone, Default)]
pub struct LeastCount(Held);

impl LeastCount {
    fn place(&mut self, orphan: impl Fn(&str) -> bool) -> usize {
        let orphans: Vec<usize> = (0..self.0.owners.len()).filter(|check| orphan(&self.0.owners[*check])).collect();
        let stays = |check: &usize| orphans.binary_search(check).is_err();
        let count = |runner: &str| (0..self.0.owners.len()).filter(|check| self.0.owners[*check] == runner).filter(stays).count();
        let mut counts: Vec<(usize, String)> = self.0.runners.iter().map(|runner| (count(runner), runner.clone())).collect();
        for check in &orphans {
            if let Some(fewest) = counts.iter_mut().min() {
                fewest.0 += 1;
                self.0.owners[*check].clone_from(&fewest.1);
            }
        }
        orphans.len()
    }
}

impl Fleet for LeastCount {
    fn start(&mut self, runners: &[String], needs: &[f64]) -> usize {
        self.0 = Held { runners: runners.to_vec(), needs: needs.to_vec(), owners: vec![String::new(); needs.len()] };
        self.place(|_| true);
        0
    }

    fn lose(&mut self, runner: &str) -> usize {
        self.0.runners.retain(|name| name != runner);
        self.place(|owner| owner == runner)
    }

    fn join(&mut self, runner: &str) -> usize {
        self.0.runners.push(runner.to_owned());
        0
    }

    fn measure(&mut self, needs: &[f64]) -> usize {
        self.0.needs = needs.to_vec();
        0
    }

    fn replace(&mut self, old: &str, new: &str, _: bool) -> usize {
        self.join(new) + self.lose(old)
    }

    fn copy(&self) -> Box<dyn Fleet> {
        Box::new(self.clone())
    }

    fn shares(&self) -> Vec<(f64, f64)> {
        self.0.used()
    }

    fn needs_of(&self, runner: &str) -> Vec<f64> {
        self.0.needs_of(runner)
    }
}

/// Points of one runner on the ring.
const POINTS: u32 = 100;

/// A runner takes at most so much of the mean. Source: Mirrokni, Thorup, Zadimoghaddam 2018, with their usual constant.
const BOUND: f64 = 1.25;

/// Consistent hashing with bounded loads: each check goes to the next runner on the ring that has room.
#[derive(Clone)]
pub struct Ring {
    held: Held,
    /// Whether room is counted in workers, and not in checks.
    by_need: bool,
}

impl Ring {
    pub fn new(by_need: bool) -> Self {
        Self { held: Held::default(), by_need }
    }

    /// Places everything anew, as the rule demands; returns what changed its owner.
    fn place(&mut self) -> usize {
        let Held { runners, needs, owners } = &mut self.held;
        let weight = |check: usize| if self.by_need { needs[check] } else { 1.0 };
        let total: f64 = (0..needs.len()).map(weight).sum();
        let mean = total / runners.len() as f64;
        let room = if self.by_need { BOUND * mean } else { (BOUND * mean).ceil() };
        let mut points: Vec<(u64, usize)> =
            runners.iter().enumerate().flat_map(|(index, name)| (0..POINTS).map(move |point| (hash(&(name, point)), index))).collect();
        points.sort_unstable();
        let mut checks: Vec<(u64, usize)> = (0..needs.len()).map(|check| (hash(&("check", check)), check)).collect();
        checks.sort_unstable();
        let mut used = vec![0.0; runners.len()];
        let mut moves = 0;
        for (place, check) in checks {
            let first = points.partition_point(|(point, _)| *point < place);
            let around = points[first..].iter().chain(&points[..first]).map(|(_, runner)| *runner);
            // One that is larger than any room that is left goes where its point is.
            let mut around = around.peekable();
            let at_home = around.peek().copied().unwrap_or_default();
            let runner = around.find(|runner| used[*runner] + weight(check) <= room + 1e-9).unwrap_or(at_home);
            used[runner] += weight(check);
            if owners[check] != runners[runner] {
                moves += 1;
                owners[check].clone_from(&runners[runner]);
            }
        }
        moves
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Fleet for Ring {
    fn start(&mut self, runners: &[String], needs: &[f64]) -> usize {
        self.held = Held { runners: runners.to_vec(), needs: needs.to_vec(), owners: vec![String::new(); needs.len()] };
        self.place();
        0
    }

    fn lose(&mut self, runner: &str) -> usize {
        self.held.runners.retain(|name| name != runner);
        self.place()
    }

    fn join(&mut self, runner: &str) -> usize {
        self.held.runners.push(runner.to_owned());
        self.place()
    }

    fn measure(&mut self, needs: &[f64]) -> usize {
        self.held.needs = needs.to_vec();
        self.place()
    }

    fn replace(&mut self, old: &str, new: &str, _: bool) -> usize {
        self.join(new) + self.lose(old)
    }

    fn copy(&self) -> Box<dyn Fleet> {
        Box::new(self.clone())
    }

    fn shares(&self) -> Vec<(f64, f64)> {
        self.held.used()
    }

    fn needs_of(&self, runner: &str) -> Vec<f64> {
        self.held.needs_of(runner)
    }
}

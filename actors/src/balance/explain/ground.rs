//! The figures that explanations are made of: what every runner has, and what a move would change.

use std::collections::HashMap;

use crate::balance::plan::{Move, Plan};
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::units::{Milli, Nano, Slope, milli, nano, utilization};
use crate::balance::world::{Load, RunnerIndex, World};
use crate::domain::ids::ConfigKey;

/// A world with its sums.
pub(super) struct Ground<'a> {
    pub(super) world: &'a World,
    used: Vec<Nano>,
    workers: Vec<Milli>,
    configs: Vec<usize>,
    /// Mean utilization of the usable runners.
    pub(super) mean: f64,
    /// Tolerated deviation from it.
    pub(super) tolerance: f64,
}

impl<'a> Ground<'a> {
    /// What is where now.
    pub(super) fn of(world: &'a World, policy: &BalancePolicy) -> Self {
        Self::with_moves(world, policy, &[])
    }

    /// What is where after the moves that come before any balancing for even load: to where pins and isolations demand, and off runners
    /// without workers. They are those without a gain.
    pub(super) fn after_repairs(world: &'a World, policy: &BalancePolicy, plan: &Plan) -> Self {
        let balancing = plan.moves.iter().position(|planned| planned.gain != 0.0).unwrap_or(plan.moves.len());
        let repairs = if policy.strategy == Strategy::Bounded { &plan.moves[..balancing] } else { &[] };
        Self::with_moves(world, policy, repairs)
    }

    fn with_moves(world: &'a World, policy: &BalancePolicy, moves: &[Move]) -> Self {
        let destinations: HashMap<ConfigKey, Option<RunnerIndex>> = moves.iter().map(|made| (made.key, world.runner(&made.to))).collect();
        let mut used = vec![0; world.runners.len()];
        let mut configs = vec![0; world.runners.len()];
        for load in &world.loads {
            if let Some(owner) = destinations.get(&load.key).copied().unwrap_or(load.owner) {
                used[owner] += nano(load.counted);
                configs[owner] += 1;
            }
        }
        let workers: Vec<_> = world.runners.iter().map(|runner| milli(runner.workers)).collect();
        let mut ground = Self { world, used, workers, configs, mean: 0.0, tolerance: 0.0 };
        let usable = (0..world.runners.len()).filter(|runner| ground.is_usable(*runner));
        let sums = usable.fold((0, 0), |(used, workers), runner| (used + ground.used[runner], workers + ground.workers[runner]));
        ground.mean = utilization(sums.0, sums.1);
        ground.tolerance = (policy.band * ground.mean).max(policy.min_gap);
        ground
    }

    /// Whether a runner takes part in balancing.
    pub(super) fn is_usable(&self, runner: RunnerIndex) -> bool {
        self.workers[runner] > 0 && self.world.runners[runner].presence.is_staying()
    }

    pub(super) fn utilization(&self, runner: RunnerIndex) -> f64 {
        utilization(self.used[runner], self.workers[runner])
    }

    pub(super) fn configs(&self, runner: RunnerIndex) -> usize {
        self.configs[runner]
    }

    /// The utilization of a runner if it had this config.
    pub(super) fn with(&self, runner: RunnerIndex, load: &Load) -> f64 {
        let more = if load.owner == Some(runner) { 0 } else { nano(load.counted) };
        utilization(self.used[runner] + more, self.workers[runner])
    }

    /// What a move improves. Source: cluster-checks 11.5.
    pub(super) fn gain(&self, load: &Load, to: RunnerIndex) -> Option<f64> {
        let from = load.owner.filter(|from| *from != to && self.workers[*from] > 0 && self.workers[to] > 0)?;
        let slope = Slope::new((self.used[from], self.workers[from]), (self.used[to], self.workers[to]));
        Some(slope.gain(nano(load.counted)))
    }

    pub(super) fn is_above_the_mean(&self, runner: RunnerIndex) -> bool {
        self.utilization(runner) > self.mean
    }

    pub(super) fn is_below_the_mean(&self, runner: RunnerIndex) -> bool {
        self.utilization(runner) < self.mean
    }

    /// Whether every usable runner is close enough to the mean.
    pub(super) fn is_inside_the_band(&self) -> bool {
        let mut usable = (0..self.world.runners.len()).filter(|runner| self.is_usable(*runner));
        usable.all(|runner| (self.utilization(runner) - self.mean).abs() <= self.tolerance)
    }
}

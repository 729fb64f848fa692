//! The world while a plan is made: what is where after the moves so far.

use std::cmp::Reverse;

use crate::balance::alike::Residents;
use crate::balance::placer::{Item, Place, Placer};
use crate::balance::plan::{Forecast, Move, Plan, Stopped, Trigger};
use crate::balance::policy::Strategy;
use crate::balance::units::{Milli, Nano, cost_thousandths, milli, nano, thousandths, utilization};
use crate::balance::world::{Held, Load, RunnerIndex, World};
use crate::domain::ids::ConfigKey;

/// Why a plan is made, and by which rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) strategy: Strategy,
    pub(crate) trigger: Trigger,
    pub(crate) force: bool,
}

/// How a plan ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) stopped: Stopped,
    /// Tolerated deviation from the mean.
    pub(crate) tolerance: f64,
    /// Moves allowed in this window; `None` = any number.
    pub(crate) budget: Option<usize>,
}

/// What is where. Runners and configs are named by their index in the world.
#[derive(Debug)]
pub(crate) struct Board<'w> {
    pub(crate) world: &'w World,
    pub(crate) order: Order,
    pub(crate) needs: Vec<Nano>,
    pub(crate) owners: Vec<Option<RunnerIndex>>,
    pub(crate) workers: Vec<Milli>,
    pub(crate) used: Vec<Nano>,
    pub(crate) configs: Vec<usize>,
    before: (Vec<Nano>, Vec<usize>),
    moves: Vec<Move>,
}

impl<'w> Board<'w> {
    /// The world before the first move. `need` says what to count a config with. Units: workers.
    pub(crate) fn new(world: &'w World, order: Order, need: impl Fn(&Load) -> f64) -> Self {
        let needs: Vec<Nano> = world.loads.iter().map(|load| nano(need(load))).collect();
        let (mut used, mut configs) = (vec![0; world.runners.len()], vec![0; world.runners.len()]);
        for (load, need) in world.loads.iter().zip(&needs) {
            if let Some(owner) = load.owner {
                used[owner] += need;
                configs[owner] += 1;
            }
        }
        Self {
            world,
            order,
            needs,
            owners: world.loads.iter().map(|load| load.owner).collect(),
            workers: world.runners.iter().map(|runner| milli(runner.workers)).collect(),
            before: (used.clone(), configs.clone()),
            used,
            configs,
            moves: Vec::new(),
        }
    }

    /// Whether a runner stays.
    pub(crate) fn stays(&self, runner: RunnerIndex) -> bool {
        self.world.runners[runner].presence.is_staying()
    }

    /// Whether a runner stays and has workers.
    pub(crate) fn usable(&self, runner: RunnerIndex) -> bool {
        self.stays(runner) && self.workers[runner] > 0
    }

    /// The only config a runner may have. A forced plan ends all isolations.
    pub(crate) fn isolated_for(&self, runner: RunnerIndex) -> Option<ConfigKey> {
        self.world.runners[runner].isolated_for.filter(|_| !self.order.force)
    }

    /// Why a config has to stay where it is in this plan. A forced plan minds neither cooldown nor isolation.
    pub(crate) fn held(&self, load: usize) -> Option<Held> {
        let ignored = |held: &Held| self.order.force && matches!(held, Held::CoolingDown | Held::Isolated);
        self.world.loads[load].held.filter(|held| !ignored(held))
    }

    /// Whether the config was moved in this plan.
    pub(crate) fn moved(&self, load: usize) -> bool {
        self.owners[load] != self.world.loads[load].owner
    }

    pub(crate) fn utilization(&self, runner: RunnerIndex) -> f64 {
        utilization(self.used[runner], self.workers[runner])
    }

    /// Moves a config that has an owner, with the three figures of the stock answer. Source: cluster-checks 4.6.
    pub(crate) fn move_to(&mut self, load: usize, to: RunnerIndex, gain: f64, stock: [i64; 3]) {
        let Some(from) = self.owners[load].filter(|from| *from != to) else { return };
        let config = &self.world.loads[load];
        let need = self.needs[load];
        self.moves.push(Move {
            key: config.key,
            digest: config.digest,
            check_name: config.check_name.to_string(),
            from: self.world.runners[from].name.clone(),
            to: self.world.runners[to].name.clone(),
            need: need as f64 / 1e9,
            gain,
            cost: cost_thousandths(config.cost) as f64 / 1e3,
            from_utilization: self.utilization(from),
            to_utilization: self.utilization(to),
            check_weight: stock[0],
            source_diff: stock[1],
            dest_diff: stock[2],
        });
        self.owners[load] = Some(to);
        self.used[from] -= need;
        self.configs[from] -= 1;
        self.used[to] += need;
        self.configs[to] += 1;
    }

    /// The three figures of the stock answer for rules that go by need. Source: cluster-checks 4.6.
    pub(crate) fn in_thousandths(&self, load: usize, to: RunnerIndex) -> [i64; 3] {
        let from = self.owners[load].map_or(0.0, |from| self.utilization(from));
        [thousandths(self.needs[load] as f64 / 1e9), thousandths(from), thousandths(self.utilization(to))]
    }

    /// Places for these configs by the rule for orphans: the largest need first, each on the runner with the lowest predicted
    /// utilization. Runners that are `closed` get nothing. Source: cluster-checks 11.5 phase 2.
    pub(crate) fn find_places(&self, loads: &[usize], closed: impl Fn(RunnerIndex) -> bool) -> Vec<(usize, RunnerIndex)> {
        let mut loads = loads.to_vec();
        loads.sort_unstable_by_key(|load| (Reverse(self.needs[*load]), *load));
        if loads.is_empty() {
            return Vec::new();
        }
        let places = self.world.runners.iter().enumerate().map(|(index, runner)| Place {
            name: &runner.name,
            facts: &runner.facts,
            staying: self.stays(index) && !closed(index),
            workers: self.workers[index],
            isolated_for: self.isolated_for(index),
            used: self.used[index],
            configs: self.configs[index],
        });
        let residents: &Residents<'_> = &|tell| {
            for (load, owner) in self.world.loads.iter().zip(&self.owners) {
                if let Some(owner) = owner {
                    tell(*owner, &load.check_name, &load.service);
                }
            }
        };
        let wanted = loads.iter().map(|load| &self.world.loads[*load]).map(|load| (&*load.check_name, &*load.service));
        let mut placer = Placer::new(places.collect(), residents, Some(wanted.collect()));
        let mut found = Vec::new();
        for index in loads {
            let load = &self.world.loads[index];
            let item = Item {
                key: load.key,
                check_name: &load.check_name,
                service: &load.service,
                handover: load.handover,
                need: self.needs[index],
                pinned_to: load.pinned_to.as_ref(),
            };
            found.extend(placer.place(&item).map(|place| (index, place)));
        }
        found
    }

    /// Sums over the usable runners: what is used, and their workers.
    pub(crate) fn totals(&self) -> (Nano, Milli) {
        let usable = (0..self.workers.len()).filter(|runner| self.usable(*runner));
        usable.fold((0, 0), |(used, workers), runner| (used + self.used[runner], workers + self.workers[runner]))
    }

    /// Number of usable runners.
    pub(crate) fn usable_runners(&self) -> usize {
        (0..self.workers.len()).filter(|runner| self.usable(*runner)).count()
    }

    /// Number of configs that have an owner.
    pub(crate) fn dispatched(&self) -> usize {
        self.configs.iter().sum()
    }

    /// The plan, when nothing more is moved.
    pub(crate) fn into_plan(self, ending: Ending) -> Plan {
        let (used, workers) = self.totals();
        let staying = (0..self.workers.len()).filter(|runner| self.stays(*runner));
        let forecast = staying.map(|runner| Forecast {
            runner: self.world.runners[runner].name.clone(),
            workers: self.workers[runner] as f64 / 1e3,
            before: utilization(self.before.0[runner], self.workers[runner]),
            after: self.utilization(runner),
            configs_before: self.before.1[runner],
            configs_after: self.configs[runner],
        });
        Plan {
            epoch: self.world.epoch,
            generation: self.world.generation,
            strategy: self.order.strategy,
            trigger: self.order.trigger,
            force: self.order.force,
            forecast: forecast.collect(),
            mean: utilization(used, workers),
            tolerance: ending.tolerance,
            budget: ending.budget,
            spent: self.world.spent,
            stopped: ending.stopped,
            moves: self.moves,
        }
    }
}

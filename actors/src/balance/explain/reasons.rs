//! Why a config does not go to a runner: the conditions of the rules, in the order in which they are asked.

use std::cell::OnceCell;

use crate::balance::board::Order;
use crate::balance::eligibility::{is_singleton, rank};
use crate::balance::explain::ground::Ground;
use crate::balance::explanation::RuledOut;
use crate::balance::plan::{Plan, Stopped};
use crate::balance::policy::{BalancePolicy, Stickiness, Strategy};
use crate::balance::repairs::repair;
use crate::balance::world::{Held, Load, RunnerIndex, World};
use crate::balance::{planner, utilization};
use crate::domain::ids::NodeName;

/// Everything that is asked for one config.
pub(super) struct Reasons<'a> {
    world: &'a World,
    /// What is where when balancing for even load begins: after what is misplaced has moved.
    ground: Ground<'a>,
    policy: &'a BalancePolicy,
    plan: &'a Plan,
    load: &'a Load,
    /// Where it is, unless that runner is on its way out.
    owner: Option<RunnerIndex>,
    /// Where the plan moves it.
    planned: Option<&'a NodeName>,
    /// Whether all runners were inside the band before the first move for even load.
    inside_band: bool,
    /// The best rank among the runners that may get new configs.
    best_rank: Option<u8>,
    /// Where it would go if the budget had no end (`bounded`).
    without_budget: OnceCell<Option<NodeName>>,
    /// Where the new distribution has it (`utilization`).
    distributed: OnceCell<Option<RunnerIndex>>,
    /// The same without a preference for its present runner.
    distributed_plainly: OnceCell<Option<RunnerIndex>>,
}

/// Where a plan moves a config.
fn destination<'p>(plan: &'p Plan, load: &Load) -> Option<&'p NodeName> {
    plan.moves.iter().find(|planned| planned.key == load.key).map(|planned| &planned.to)
}

impl<'a> Reasons<'a> {
    pub(super) fn new(world: &'a World, policy: &'a BalancePolicy, plan: &'a Plan, load: &'a Load) -> Self {
        let ground = Ground::after_repairs(world, policy, plan);
        let mut reasons = Self {
            world,
            inside_band: ground.is_inside_the_band(),
            ground,
            policy,
            plan,
            load,
            owner: load.owner.filter(|owner| world.runners[*owner].presence.is_staying()),
            planned: destination(plan, load),
            best_rank: None,
            without_budget: OnceCell::new(),
            distributed: OnceCell::new(),
            distributed_plainly: OnceCell::new(),
        };
        let open = (0..world.runners.len()).filter(|runner| reasons.is_open(*runner));
        reasons.best_rank = open.filter_map(|runner| rank(&world.runners[runner].facts, &load.check_name, load.handover)).min();
        reasons
    }

    /// What a move there would improve, when balancing begins.
    pub(super) fn gain(&self, to: RunnerIndex) -> Option<f64> {
        self.ground.gain(self.load, to)
    }

    /// Why the config is not on this runner, which is not its owner.
    pub(super) fn against(&self, to: RunnerIndex) -> RuledOut {
        let name = &self.world.runners[to].name;
        if self.planned == Some(name) {
            return RuledOut::Planned;
        }
        if let Some(reason) = self.unsuitable(to) {
            return reason;
        }
        if let Some(held) = self.held() {
            return RuledOut::Held { held };
        }
        if let Some(node) = self.planned {
            return RuledOut::GoesElsewhere { node: node.clone() };
        }
        // What has no owner, or one that leaves, is placed whenever something changes, whatever the strategy of balancing; and the runner
        // on which it is isolated is its own.
        let Some(owner) = self.owner.filter(|_| self.world.runners[to].isolated_for.is_none()) else { return RuledOut::NotYet };
        match self.policy.strategy {
            Strategy::Off => RuledOut::Off,
            Strategy::Bounded => self.not_moved_for_balance(owner, to),
            Strategy::Utilization => self.not_distributed_there(to),
            Strategy::Busyness => RuledOut::NotChosen,
        }
    }

    /// The stock rules give configs to runners without workers too.
    fn workers_matter(&self) -> bool {
        self.owner.is_none() || !matches!(self.policy.strategy, Strategy::Utilization | Strategy::Busyness)
    }

    /// Whether a runner may get new configs.
    fn is_open(&self, runner: RunnerIndex) -> bool {
        let Some(of) = self.world.runners.get(runner).filter(|of| of.presence.is_staying() && of.isolated_for.is_none()) else {
            return false;
        };
        of.workers > 0.0 || !self.workers_matter()
    }

    /// Why the runner cannot, or should not, get this config at all.
    fn unsuitable(&self, to: RunnerIndex) -> Option<RuledOut> {
        let runner = &self.world.runners[to];
        if !runner.presence.is_staying() {
            return Some(RuledOut::Leaving);
        }
        let Some(rank) = rank(&runner.facts, &self.load.check_name, self.load.handover) else { return Some(RuledOut::NotDeclared) };
        if let Some(only) = runner.isolated_for.filter(|only| *only != self.load.key) {
            let isolated = self.world.loads.iter().find(|load| load.key == only);
            return Some(RuledOut::IsolatedFor {
                check_name: isolated.map_or_else(|| only.to_string(), |load| load.check_name.to_string()),
            });
        }
        if runner.workers <= 0.0 && self.workers_matter() {
            return Some(RuledOut::NoWorkers);
        }
        if self.best_rank.is_some_and(|best| best < rank) {
            let declared = |other: RunnerIndex| {
                let facts = &self.world.runners[other].facts;
                self.is_open(other) && facts.compatibility.is_declared() && facts.may_run(&self.load.check_name)
            };
            let others_declared = !runner.facts.compatibility.is_declared() && (0..self.world.runners.len()).any(declared);
            return Some(if others_declared { RuledOut::OthersDeclared } else { RuledOut::NoGrants });
        }
        // Only what moves for even load has to stay where it is then: the stock rules do not ask, and an orphan has no choice.
        let for_balance = self.policy.strategy == Strategy::Bounded && self.owner.is_some_and(|owner| self.ground.is_usable(owner));
        let one_only = for_balance && is_singleton(&self.load.check_name);
        let has_one = || self.world.loads.iter().any(|load| load.owner == Some(to) && load.check_name == self.load.check_name);
        (one_only && has_one()).then_some(RuledOut::HasOne)
    }

    /// Why the config stays where it is, as far as the strategy minds.
    fn held(&self) -> Option<Held> {
        let Some(owner) = self.owner else {
            return self.load.held.filter(|held| matches!(held, Held::Quarantined | Held::Moving));
        };
        let by_need = matches!(self.load.held, Some(Held::CoolingDown | Held::NeedUnknown));
        match self.policy.strategy {
            // Off a runner without workers everything goes.
            Strategy::Bounded if by_need && !self.ground.is_usable(owner) => None,
            Strategy::Utilization if by_need || self.load.held.is_none() => {
                (self.load.measured.is_none() || self.load.incomplete).then_some(Held::NeedUnknown)
            }
            Strategy::Busyness if by_need || self.load.held.is_none() => self.load.weight.is_none().then_some(Held::NeedUnknown),
            _ => self.load.held,
        }
    }

    /// `bounded`, phase 3.
    fn not_moved_for_balance(&self, owner: RunnerIndex, to: RunnerIndex) -> RuledOut {
        let balances = self.ground.is_usable(owner);
        if self.plan.stopped == Stopped::BudgetUsedUp && self.without_budget() == Some(&self.world.runners[to].name) {
            RuledOut::BudgetUsedUp
        } else if balances && self.inside_band {
            RuledOut::InsideBand
        } else if balances && self.gain(to).is_some_and(|gain| gain <= 0.0) {
            RuledOut::NoGain
        } else if balances && !self.ground.is_above_the_mean(owner) {
            RuledOut::OwnerNotAboveMean
        } else if balances && !self.ground.is_below_the_mean(to) {
            RuledOut::NotBelowMean
        } else {
            RuledOut::OthersFirst
        }
    }

    fn without_budget(&self) -> Option<&NodeName> {
        let unlimited = || {
            let policy = BalancePolicy { budget_min: usize::MAX, ..self.policy.clone() };
            let plan = planner::plan(self.world, &policy, self.plan.trigger, false);
            destination(&plan, self.load).cloned()
        };
        self.without_budget.get_or_init(unlimited).as_ref()
    }

    /// `utilization`: the new distribution has it elsewhere, or is not carried out.
    fn not_distributed_there(&self, to: RunnerIndex) -> RuledOut {
        let stickiness = self.policy.stickiness;
        if *self.distributed.get_or_init(|| self.distribute(stickiness)) == Some(to) {
            RuledOut::NotWorthIt
        } else if stickiness.is_some() && *self.distributed_plainly.get_or_init(|| self.distribute(None)) == Some(to) {
            RuledOut::Sticky
        } else {
            RuledOut::NotChosen
        }
    }

    /// Where the new distribution moves the config.
    fn distribute(&self, stickiness: Option<Stickiness>) -> Option<RunnerIndex> {
        let order = Order { strategy: self.policy.strategy, trigger: self.plan.trigger, force: false };
        let mut board = utilization::board(self.world, order);
        repair(&mut board);
        let moves = utilization::distribute(&board, stickiness, None).moves;
        moves.into_iter().find(|(load, _)| self.world.loads[*load].key == self.load.key).map(|(_, to)| to)
    }
}

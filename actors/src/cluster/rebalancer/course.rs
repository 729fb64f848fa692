//! The way of a plan: look at the published state, compute, hand it to the dispatcher, and again if that has changed meanwhile.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::sleep;
use tracing::{debug, warn};

use crate::balance::plan::{Plan, Trigger};
use crate::balance::planner;
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::rebalancing::LastPlan;
use crate::balance::world::World;
use crate::cluster::rebalancer::parts::RebalancerParts;
use crate::domain::constraints::ConstraintChange;
use crate::domain::ids::Seq;
use crate::domain::journal::Cause;
use crate::domain::world::{ServedTable, Standing};
use crate::kernel::heavy_work::heavy_work;
use crate::messages::dispatcher::{ApplyPlan, PlanReply, PlannedMove};
use crate::messages::rebalancer::Refusal;
use crate::messages::stats_collector::CollectNow;

/// Plans made anew before it is given up because the assignment changes faster.
pub(super) const ATTEMPTS: usize = 5;

/// Longest wait for figures of this moment. Source: cluster-checks 10 (a runner has 2 s).
const COLLECT_WITHIN: Duration = Duration::from_secs(3);

/// Longest wait for the dispatcher's answer. Source: style 9.5, control commands.
const APPLY_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait until agents are shown everything that is decided.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Time between two looks whether they are.
const SHOWN_LOOK: Duration = Duration::from_millis(20);

/// What one course counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) plans: Cell<u64>,
    pub(super) stale: Cell<u64>,
    pub(super) last: RefCell<Option<LastPlan>>,
}

/// Everything that planning reads, and the ways to those who act.
#[derive(Clone)]
pub(super) struct Course {
    pub(super) parts: Arc<RebalancerParts>,
    pub(super) tally: std::rc::Rc<Tally>,
}

impl Course {
    pub(super) fn new(parts: &Arc<RebalancerParts>) -> Self {
        Self { parts: Arc::clone(parts), tally: std::rc::Rc::default() }
    }

    /// Whether this replica dispatches now.
    ///
    /// Errors: [`Refusal::NotDispatching`].
    pub(super) fn dispatches(&self) -> Result<(), Refusal> {
        dispatches(&self.parts)
    }

    /// Whether this replica balances now.
    ///
    /// Errors: [`Refusal::NotDispatching`], [`Refusal::AdvancedDispatchingOff`].
    pub(super) fn balances(&self) -> Result<(), Refusal> {
        balances(&self.parts)
    }

    /// Asks for figures of this moment; goes on with those of before if that takes too long.
    pub(super) async fn collect(&self) {
        if let Some(collect) = &self.parts.collect
            && let Err(error) = collect.ask(CollectNow, COLLECT_WITHIN).await
        {
            debug!(%error, "planning with the figures of before");
        }
    }

    /// The published state, once agents are shown everything that is decided.
    ///
    /// Errors: [`Refusal::NotDispatching`]; [`Refusal::Stale`] if decisions come faster than they are saved.
    pub(super) async fn settled(&self) -> Result<Arc<ServedTable>, Refusal> {
        let latest = self.parts.clock.monotonic() + SHOWN_WITHIN;
        loop {
            self.dispatches()?;
            let served = self.parts.served.current();
            if served.shown == served.decided {
                return Ok(served);
            }
            if self.parts.clock.monotonic() >= latest {
                return Err(Refusal::Stale);
            }
            sleep(SHOWN_LOOK).await;
        }
    }

    /// Computes something about the world that is shown, beside the thread of the actors.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        served: &Arc<ServedTable>,
        work: impl FnOnce(&World, &RebalancerParts) -> T + Send + 'static,
    ) -> T {
        let (parts, served) = (Arc::clone(&self.parts), Arc::clone(served));
        // Taken here: the other thread would see what is published meanwhile or not, depending on how fast it is.
        let (figures, now) = (parts.figures.current(), parts.clock.unix_nanos());
        let computation = move || {
            let world = World::of(&served, &figures, &parts.policy, now);
            work(&world, &parts)
        };
        heavy_work(computation).await
    }

    /// A plan for the world that is shown, or why there is none.
    pub(super) async fn plan<E: Send + 'static>(
        &self,
        served: &Arc<ServedTable>,
        make: impl FnOnce(&World, &BalancePolicy) -> Result<Plan, E> + Send + 'static,
    ) -> Result<Arc<Plan>, E> {
        let began = self.parts.clock.monotonic();
        let plan = Arc::new(self.compute(served, move |world, parts| make(world, &parts.policy)).await?);
        let took = self.parts.clock.monotonic().saturating_sub(began);
        self.tally.plans.set(self.tally.plans.get() + 1);
        let last = LastPlan { plan: Arc::clone(&plan), at_unix_nanos: self.parts.clock.unix_nanos(), took };
        self.tally.last.replace(Some(last));
        Ok(plan)
    }

    /// A plan of the chosen strategy for the world that is shown.
    pub(super) async fn balance(&self, trigger: Trigger, force: bool) -> Result<Arc<Plan>, Refusal> {
        let served = self.settled().await?;
        self.plan(&served, move |world, policy| Ok(planner::plan(world, policy, trigger, force))).await
    }

    /// Waits until agents are shown a change, which the followers or the disk have by then.
    ///
    /// Why: a leader that dies before takes the change with it, and whoever asked for it would believe that it was made.
    ///
    /// Errors: [`Refusal::NotDispatching`]; whether the next leader knows of the change, nobody can tell.
    async fn until_shown(&self, decided: Seq) -> Result<(), Refusal> {
        let latest = self.parts.clock.monotonic() + SHOWN_WITHIN;
        while self.parts.served.peek().shown < decided {
            self.dispatches()?;
            if self.parts.clock.monotonic() >= latest {
                warn!(seq = decided.0, waited_seconds = SHOWN_WITHIN.as_secs(), "a plan is applied, but not saved yet");
                break;
            }
            sleep(SHOWN_LOOK).await;
        }
        Ok(())
    }

    /// Hands an order to the dispatcher. Returns how many configs moved, once agents are shown it; `None` if the assignment has changed since.
    ///
    /// Errors: [`Refusal::NotDispatching`].
    pub(super) async fn give(&self, order: ApplyPlan) -> Result<Option<usize>, Refusal> {
        match self.parts.plans.ask(order, APPLY_WITHIN).await {
            Ok(PlanReply::Applied { moves, decided }) => self.until_shown(decided).await.map(|()| Some(moves)),
            Ok(PlanReply::Stale { have }) => {
                self.tally.stale.set(self.tally.stale.get() + 1);
                debug!(%have, "the assignment changed while a plan was made");
                Ok(None)
            }
            Ok(PlanReply::NotDispatching) => Err(Refusal::NotDispatching),
            Err(error) => {
                warn!(%error, "a plan was not answered");
                Err(Refusal::NotDispatching)
            }
        }
    }
}

pub(super) fn dispatches(parts: &RebalancerParts) -> Result<(), Refusal> {
    let leads = parts.leadership.peek().decides(parts.clock.monotonic());
    if leads && parts.served.peek().standing == Standing::Active { Ok(()) } else { Err(Refusal::NotDispatching) }
}

pub(super) fn balances(parts: &RebalancerParts) -> Result<(), Refusal> {
    dispatches(parts)?;
    if parts.served.peek().advanced_dispatching { Ok(()) } else { Err(Refusal::AdvancedDispatchingOff) }
}

/// The order that carries a plan out.
pub(super) fn order(plan: &Plan, constraints: Vec<ConstraintChange>, cause: Cause) -> ApplyPlan {
    let moves = plan.moves.iter().map(|planned| PlannedMove { key: planned.key, from: planned.from.clone(), to: planned.to.clone() });
    ApplyPlan {
        epoch: plan.epoch,
        generation: plan.generation,
        constraints,
        moves: moves.collect(),
        cause,
        // Budget and cooldown belong to that strategy alone.
        counts: cause == Cause::Rebalanced && plan.strategy == Strategy::Bounded,
    }
}

/// The order that carries out a plan of balancing. A forced one ends isolations. Source: cluster-checks 11.3.
pub(super) fn order_of_balancing(plan: &Plan) -> ApplyPlan {
    order(plan, if plan.force { vec![ConstraintChange::EndIsolations] } else { Vec::new() }, Cause::Rebalanced)
}

/// Whether two plans move the same configs to the same nodes.
pub(super) fn same_moves(one: &Plan, other: &Plan) -> bool {
    let ways = |plan: &Plan| plan.moves.iter().map(|way| (way.key, way.from.clone(), way.to.clone())).collect::<Vec<_>>();
    ways(one) == ways(other)
}

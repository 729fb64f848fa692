//! Balances the load of the runners, and carries out what operators demand of placement.

mod commands;
mod course;
mod explaining;
mod lookup;
mod office;
pub mod parts;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::balance::explanation::{CheckExplanation, NodeExplanation};
use crate::balance::plan::{Plan, Trigger};
use crate::balance::policy::Strategy;
use crate::balance::rebalancing::RebalancerView;
use crate::cluster::rebalancer::commands::{Verdict, approve, command, evaluate, isolate};
use crate::cluster::rebalancer::course::{Course, balances, same_moves};
use crate::cluster::rebalancer::explaining::{of_check, of_node};
use crate::cluster::rebalancer::office::Office;
use crate::cluster::rebalancer::parts::RebalancerParts;
use crate::domain::ids::{Epoch, Seq};
use crate::kernel::supervised::Observed;
use crate::messages::rebalancer::{
    Approve, Command, Demanded, Evaluate, Evaluated, ExplainCheck, ExplainNode, Isolate, Isolated, Outcome, PendingPlan, Refusal,
};
use crate::supervised;

/// Time between two looks at the published table.
const TICK: Duration = Duration::from_secs(1);

/// Owns the times at which somebody looks whether something should move, and the plan that waits for approval.
///
/// On every replica; acts on the one that dispatches. It decides nothing: the `Dispatcher` takes a plan only if its table is still
/// the one the plan was made for. Needs nothing after a restart but what is published.
pub struct Rebalancer {
    parts: Arc<RebalancerParts>,
    /// `None` while this replica does not balance.
    office: Option<Office>,
    /// The table that was looked at last: epoch and change.
    looked_at: Option<(Epoch, Seq)>,
    /// The term of office that the waiting plan belongs to.
    term: Epoch,
    view: RebalancerView,
    last_number: u64,
}

impl Rebalancer {
    /// A rebalancer that has not looked at anything yet.
    #[must_use]
    pub fn new(parts: RebalancerParts) -> Self {
        let view = RebalancerView { pending: None, ..RebalancerView::clone(&parts.published.reader().current()) };
        Self { parts: Arc::new(parts), office: None, looked_at: None, term: Epoch(0), view, last_number: 0 }
    }

    /// Follows the nodes, and begins a look when one is due.
    fn tick(&mut self, context: &mut Context<Self>) {
        let now = self.parts.clock.monotonic();
        if balances(&self.parts).is_err() || self.parts.policy.strategy == Strategy::Off {
            (self.office, self.looked_at) = (None, None);
            self.forget_waiting_plan_of_other_terms();
            return;
        }
        let served = self.parts.served.current();
        self.forget_waiting_plan_of_other_terms();
        if self.looked_at != Some((served.epoch, served.shown)) {
            self.looked_at = Some((served.epoch, served.shown));
            let staying = served.nodes.iter().filter(|(_, entry)| entry.presence.is_staying()).map(|(name, _)| name.clone()).collect();
            match &mut self.office {
                Some(office) => office.follow(staying, now),
                None => self.office = Some(Office::begin(staying, now, self.parts.policy.period, self.parts.policy.settle)),
            }
        }
        let due = self.office.as_mut().filter(|office| office.next_due() <= now).and_then(|office| office.next_look(now));
        if let Some(trigger) = due {
            self.look(trigger, context);
        }
    }

    fn look(&mut self, trigger: Trigger, context: &mut Context<Self>) {
        let course = Course::new(&self.parts);
        let asked = Evaluate { trigger, force: false, dry_run: false };
        let looked = evaluate(course.clone(), asked, self.parts.policy.approval).into_actor(self);
        context.spawn(looked.map(move |verdict, rebalancer, _| {
            let verdict = rebalancer.keep(&course, verdict);
            let in_vain = verdict == Err(Refusal::Stale);
            if let Err(refusal) = verdict {
                warn!(?trigger, %refusal, "balancing came to nothing");
            }
            let now = rebalancer.parts.clock.monotonic();
            if let Some(office) = &mut rebalancer.office {
                office.looked(in_vain, now);
            }
        }));
    }

    /// Keeps what a course has brought, and turns it into an answer.
    fn keep(&mut self, course: &Course, verdict: Result<Verdict, Refusal>) -> Result<Evaluated, Refusal> {
        let answer = verdict.map(|verdict| match verdict {
            Verdict::Nothing(plan) => {
                self.view.pending = None;
                Evaluated { plan, outcome: Outcome::Nothing }
            }
            Verdict::Shown(plan) => Evaluated { plan, outcome: Outcome::DryRun },
            Verdict::Waits(plan) => {
                let number = self.wait_for_approval(&plan);
                Evaluated { plan, outcome: Outcome::AwaitsApproval(number) }
            }
            Verdict::Applied(plan, moved) => {
                info!(trigger = ?plan.trigger, strategy = plan.strategy.as_str(), moved, force = plan.force, "rebalanced");
                self.view.pending = None;
                self.view.applied += 1;
                self.view.moves += moved as u64;
                Evaluated { plan, outcome: Outcome::Applied }
            }
        });
        let shown_only = matches!(&answer, Ok(Evaluated { outcome: Outcome::DryRun, .. }));
        self.count(course, !shown_only);
        answer
    }

    /// A plan that moves the same as the one that waits keeps its number: who saw it saw this one.
    fn wait_for_approval(&mut self, plan: &Arc<Plan>) -> u64 {
        let same = self.view.pending.as_ref().is_some_and(|(_, waiting)| same_moves(waiting, plan));
        if !same {
            self.last_number += 1;
            info!(number = self.last_number, moves = plan.moves.len(), trigger = ?plan.trigger, "a plan waits for approval");
        }
        self.term = plan.epoch;
        self.view.pending = Some((self.last_number, Arc::clone(plan)));
        self.last_number
    }

    fn forget_waiting_plan_of_other_terms(&mut self) {
        let leads = self.parts.leadership.peek().leads(self.parts.clock.monotonic());
        if self.view.pending.is_some() && (!leads || self.parts.served.peek().epoch != self.term) {
            self.view.pending = None;
            self.publish();
        }
    }

    fn count(&mut self, course: &Course, made_to_be_carried_out: bool) {
        self.view.plans += course.tally.plans.get();
        self.view.stale += course.tally.stale.get();
        if let Some(last) = course.tally.last.take().filter(|_| made_to_be_carried_out) {
            self.view.last = Some(last);
        }
        self.publish();
    }

    fn publish(&self) {
        self.parts.published.publish(self.view.clone());
    }
}

impl Actor for Rebalancer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.publish();
        context.run_interval(TICK, Self::tick);
    }
}

supervised!(Rebalancer);

impl Observed for Rebalancer {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "balances": self.office.is_some(),
            "next_look_seconds": self.office.as_ref().map(|office| office.next_due().as_secs()),
            "pending": self.view.pending.as_ref().map(|(number, plan)| (number, plan.moves.len())),
            "plans": self.view.plans,
            "applied": self.view.applied,
            "stale": self.view.stale,
            "moves": self.view.moves,
        })
    }
}

impl Handler<Evaluate> for Rebalancer {
    type Result = ResponseActFuture<Self, Result<Evaluated, Refusal>>;

    fn handle(&mut self, asked: Evaluate, _: &mut Context<Self>) -> Self::Result {
        let course = Course::new(&self.parts);
        let evaluated = evaluate(course.clone(), asked, self.parts.policy.approval).into_actor(self);
        Box::pin(evaluated.map(move |verdict, rebalancer, _| rebalancer.keep(&course, verdict)))
    }
}

impl Handler<Approve> for Rebalancer {
    type Result = ResponseActFuture<Self, Result<Evaluated, Refusal>>;

    fn handle(&mut self, approved: Approve, _: &mut Context<Self>) -> Self::Result {
        let waiting = self.view.pending.as_ref().filter(|(number, _)| *number == approved.number).map(|(_, plan)| Arc::clone(plan));
        let course = Course::new(&self.parts);
        let way = course.clone();
        let carried_out = async move { approve(way, waiting.ok_or(Refusal::NoSuchPlan(approved.number))?).await };
        Box::pin(carried_out.into_actor(self).map(move |verdict, rebalancer, _| rebalancer.keep(&course, verdict)))
    }
}

impl Handler<Isolate> for Rebalancer {
    type Result = ResponseActFuture<Self, Result<Isolated, Refusal>>;

    fn handle(&mut self, asked: Isolate, _: &mut Context<Self>) -> Self::Result {
        let course = Course::new(&self.parts);
        let isolated = isolate(course.clone(), asked).into_actor(self);
        Box::pin(isolated.map(move |isolated, rebalancer, _| {
            rebalancer.count(&course, true);
            isolated
        }))
    }
}

impl Handler<Command> for Rebalancer {
    type Result = ResponseActFuture<Self, Result<Demanded, Refusal>>;

    fn handle(&mut self, asked: Command, _: &mut Context<Self>) -> Self::Result {
        let course = Course::new(&self.parts);
        let demanded = command(course.clone(), asked).into_actor(self);
        Box::pin(demanded.map(move |demanded, rebalancer, _| {
            rebalancer.count(&course, true);
            demanded
        }))
    }
}

impl Handler<ExplainCheck> for Rebalancer {
    type Result = ResponseFuture<Result<Box<CheckExplanation>, Refusal>>;

    fn handle(&mut self, asked: ExplainCheck, _: &mut Context<Self>) -> Self::Result {
        Box::pin(of_check(Course::new(&self.parts), asked))
    }
}

impl Handler<ExplainNode> for Rebalancer {
    type Result = ResponseFuture<Result<Box<NodeExplanation>, Refusal>>;

    fn handle(&mut self, asked: ExplainNode, _: &mut Context<Self>) -> Self::Result {
        Box::pin(of_node(Course::new(&self.parts), asked))
    }
}

impl Handler<PendingPlan> for Rebalancer {
    type Result = MessageResult<PendingPlan>;

    fn handle(&mut self, _: PendingPlan, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.view.pending.clone())
    }
}

//! Carries out plans and demands.

use actix::prelude::*;
use tracing::{info, warn};

use crate::balance::demands::may_go;
use crate::cluster::dispatcher::Dispatcher;
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::constraints::Constraints;
use crate::domain::invariants::Permitted;
use crate::domain::world::Standing;
use crate::messages::dispatcher::{ApplyPlan, PlanReply, PlannedMove};

/// Whether a move can be made as it was planned.
fn fits(table: &AssignmentTable, demands: &Constraints, planned: &PlannedMove) -> bool {
    let at_home = table.rows().get(&planned.key).is_some_and(|row| row.placement == Placement::Owned(planned.from.clone()));
    at_home && may_go(table, demands, planned.key, &planned.to)
}

impl Handler<ApplyPlan> for Dispatcher {
    type Result = PlanReply;

    fn handle(&mut self, plan: ApplyPlan, _: &mut Context<Self>) -> PlanReply {
        if !self.may_decide() || self.standing() != Standing::Active {
            return PlanReply::NotDispatching;
        }
        let Some(table) = &self.table else { return PlanReply::NotDispatching };
        let have = table.seq();
        if (plan.epoch, plan.generation) != (self.epoch, have) {
            return PlanReply::Stale { have };
        }
        let mut demands = Constraints::clone(table.constraints());
        for change in &plan.constraints {
            demands.apply(change);
        }
        if !plan.moves.iter().all(|planned| fits(table, &demands, planned)) {
            warn!(epoch = self.epoch.0, seq = have.0, "a plan does not fit the table it was made from");
            return PlanReply::Stale { have };
        }
        let (now, kept) = (self.parts.clock.unix_nanos(), self.parts.cooldown);
        let moves = self.decide(plan.cause, |turn| {
            for change in &plan.constraints {
                turn.constrain(change);
            }
            for planned in &plan.moves {
                turn.place(planned.key, Placement::Owned(planned.to.clone()), plan.cause);
            }
            let moved = plan.moves.iter().map(|planned| planned.key).collect();
            if plan.counts && !plan.moves.is_empty() {
                turn.spend(plan.moves.iter().map(|planned| planned.key), now, kept);
            }
            Permitted { moved, ..Permitted::default() }
        });
        info!(cause = plan.cause.as_str(), moves, demands = plan.constraints.len(), epoch = self.epoch.0, "plan applied");
        let decided = self.table.as_ref().map_or(have, AssignmentTable::seq);
        PlanReply::Applied { moves, decided }
    }
}

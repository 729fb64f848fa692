//! Bounded churn: starts from the present assignment, pays for every move, stops as soon as the load is even enough.
//!
//! Source: cluster-checks 11.5. Phases 1 and 2 are [`crate::balance::placement`].

mod search;

use crate::balance::board::{Board, Ending, Order};
use crate::balance::plan::{Plan, Stopped};
use crate::balance::policy::BalancePolicy;
use crate::balance::repairs::repair;
use crate::balance::units::utilization;
use crate::balance::world::{Held, World};
use search::Search;

/// Plans by this rule.
pub(crate) fn plan(world: &World, policy: &BalancePolicy, order: Order) -> Plan {
    let mut board = Board::new(world, order, |load| load.counted);
    repair(&mut board);
    let budget = (!order.force).then(|| policy.budget(board.dispatched()));
    let mut left = budget.map_or(usize::MAX, |budget| budget.saturating_sub(world.spent));
    let everybody_left = evacuate(&mut board, &mut left);
    let (used, workers) = board.totals();
    let mean = utilization(used, workers);
    let tolerance = (policy.band * mean).max(policy.min_gap);
    let stopped = if !everybody_left {
        Stopped::BudgetUsedUp
    } else if board.usable_runners() < 2 {
        Stopped::TooFewRunners
    } else {
        balance(&mut board, mean, tolerance, left)
    };
    board.into_plan(Ending { stopped, tolerance, budget })
}

/// Moves configs off runners that told that they have no workers, by the rule for orphans. Returns whether the budget was enough.
///
/// Why within the budget: a runner that tells nonsense must not make everything move at once.
fn evacuate(board: &mut Board<'_>, left: &mut usize) -> bool {
    if board.usable_runners() == 0 {
        return true;
    }
    let stuck = |index: &usize| {
        let somewhere_bad = board.owners[*index].is_some_and(|owner| board.stays(owner) && !board.usable(owner));
        somewhere_bad && matches!(board.held(*index), None | Some(Held::NeedUnknown | Held::CoolingDown)) && !board.moved(*index)
    };
    let stuck: Vec<usize> = (0..board.owners.len()).filter(stuck).collect();
    let found = board.find_places(&stuck, |runner| !board.usable(runner));
    let enough = found.len() <= *left;
    for (load, runner) in found.into_iter().take(*left) {
        let stock = board.in_thousandths(load, runner);
        board.move_to(load, runner, 0.0, stock);
        *left -= 1;
    }
    enough
}

/// Phase 3.
fn balance(board: &mut Board<'_>, mean: f64, tolerance: f64, mut left: usize) -> Stopped {
    let mut search = Search::new(board, mean);
    while !search.inside(tolerance) {
        let Some(found) = search.next(board) else { return Stopped::NothingImproves };
        if left == 0 {
            return Stopped::BudgetUsedUp;
        }
        left -= 1;
        search.carry_out(board, found);
    }
    Stopped::InsideBand
}

#[cfg(test)]
mod tests;

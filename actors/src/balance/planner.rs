//! The one entry to the strategies of balancing.

use crate::balance::board::{Board, Ending, Order};
use crate::balance::plan::{Plan, Stopped, Trigger};
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::repairs::repair;
use crate::balance::world::World;
use crate::balance::{bounded, busyness, utilization};

/// What to move, by the strategy of the policy. `force` ignores budget, cooldown and the gate of `utilization`, and plans as if no config
/// were isolated: whoever carries a forced plan out ends the isolations.
///
/// First of all, under every strategy and outside the budget, pinned configs go to their nodes, and others off the runners of isolated
/// ones. A config is moved once at most.
#[must_use]
pub fn plan(world: &World, policy: &BalancePolicy, trigger: Trigger, force: bool) -> Plan {
    let order = Order { strategy: policy.strategy, trigger, force };
    match policy.strategy {
        Strategy::Bounded => bounded::plan(world, policy, order),
        Strategy::Utilization => utilization::plan(world, policy, order),
        Strategy::Busyness => busyness::plan(world, order),
        Strategy::Off => {
            let mut board = Board::new(world, order, |load| load.counted);
            repair(&mut board);
            board.into_plan(Ending { stopped: Stopped::Off, tolerance: 0.0, budget: None })
        }
    }
}

#[cfg(test)]
mod tests;

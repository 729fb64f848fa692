//! Makes a config the only one on its runner. Source: cluster-checks 11.3.

use crate::balance::board::{Board, Ending, Order};
use crate::balance::plan::{Plan, Stopped, Trigger};
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::utilization::{apply, board, distribute};
use crate::balance::world::{Held, World};
use crate::domain::ids::ConfigKey;

/// Why a config cannot be isolated, in the words of the stock answer. Source: cluster-checks 4.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotIsolate {
    /// There is nowhere to go for the others.
    #[error("No other runners available")]
    NoOtherRunner,
    /// It is nowhere.
    #[error("Unable to find check")]
    CheckNotFound,
}

/// Plans to move everything else off the runner of a config. What nobody else may run, what is pinned there and what is on its way there
/// stays.
///
/// The stock strategies plan everything anew on the other runners, as stock does; with all others only that runner is cleared.
pub fn isolate(world: &World, policy: &BalancePolicy, key: ConfigKey) -> Result<Plan, CannotIsolate> {
    if world.runners.iter().filter(|runner| runner.presence.is_staying()).count() < 2 {
        return Err(CannotIsolate::NoOtherRunner);
    }
    let isolated = world.loads.iter().position(|load| load.key == key).ok_or(CannotIsolate::CheckNotFound)?;
    let runner = world.loads[isolated].owner.ok_or(CannotIsolate::CheckNotFound)?;
    let order = Order { strategy: policy.strategy, trigger: Trigger::Isolation, force: false };
    let board = match policy.strategy {
        Strategy::Utilization | Strategy::Busyness => {
            let mut board = board(world, order);
            let proposed = distribute(&board, policy.stickiness, Some((runner, isolated)));
            apply(&mut board, &proposed);
            board
        }
        Strategy::Bounded | Strategy::Off => {
            let mut board = Board::new(world, order, |load| load.counted);
            let makes_room = |index: &usize| {
                let load = &world.loads[*index];
                *index != isolated && load.owner == Some(runner) && !matches!(load.held, Some(Held::Pinned | Held::Moving))
            };
            let others: Vec<usize> = (0..world.loads.len()).filter(makes_room).collect();
            for (load, to) in board.find_places(&others, |closed| closed == runner) {
                let stock = board.in_thousandths(load, to);
                board.move_to(load, to, 0.0, stock);
            }
            board
        }
    };
    Ok(board.into_plan(Ending { stopped: Stopped::NothingImproves, tolerance: 0.0, budget: None }))
}

#[cfg(test)]
mod tests;

//! The stock rule by utilization: everything is planned anew, and the plan is carried out if it is enough of an improvement.
//!
//! Source: cluster-checks 11.2.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::balance::board::{Board, Ending, Order};
use crate::balance::measure::deviation;
use crate::balance::plan::{Plan, Stopped};
use crate::balance::policy::{BalancePolicy, Stickiness};
use crate::balance::repairs::repair;
use crate::balance::suits::Suits;
use crate::balance::units::{Nano, order, utilization};
use crate::balance::world::{Held, Load, RunnerIndex, World};

/// Below this deviation only the number of busy and of empty runners counts.
const SMALL_DEVIATION: f64 = 0.1;

/// A runner above this is busy.
const BUSY: f64 = 0.8;

/// Plans by this rule.
pub(crate) fn plan(world: &World, policy: &BalancePolicy, order: Order) -> Plan {
    let mut board = board(world, order);
    repair(&mut board);
    let proposed = distribute(&board, policy.stickiness, None);
    let stopped = if order.force || worth_it(&board, &proposed, policy.min_improvement) {
        apply(&mut board, &proposed);
        Stopped::NothingImproves
    } else if proposed.moves.is_empty() {
        Stopped::NothingImproves
    } else {
        Stopped::NotWorthIt
    };
    board.into_plan(Ending { stopped, tolerance: 0.0, budget: None })
}

/// The world as this rule counts it. A config of which nothing is known counts with its estimate and stays where it is: it is there,
/// although its runner does not tell.
pub(crate) fn board(world: &World, order: Order) -> Board<'_> {
    Board::new(world, order, |load| load.measured.unwrap_or(load.counted))
}

/// Where everything would go.
#[derive(Debug)]
pub(crate) struct Proposed {
    /// Configs whose runner changes, in the order in which they were placed.
    pub(crate) moves: Vec<(usize, RunnerIndex)>,
    used: Vec<Nano>,
    configs: Vec<usize>,
}

/// Plans everything anew, but for what has to stay. The runner that is `closed` keeps what is isolated on it and gets nothing.
pub(crate) fn distribute(board: &Board<'_>, stickiness: Option<Stickiness>, closed: Option<(RunnerIndex, usize)>) -> Proposed {
    let runners = board.workers.len();
    let open: Vec<bool> = (0..runners)
        .map(|runner| board.stays(runner) && board.isolated_for(runner).is_none() && closed.is_none_or(|(closed, _)| closed != runner))
        .collect();
    let suits = Suits::new(board.world, &open);
    let mut proposed = Proposed { moves: Vec::new(), used: vec![0; runners], configs: vec![0; runners] };
    let mut free = Vec::new();
    for (load, owner) in board.owners.iter().enumerate() {
        let Some(owner) = owner.filter(|owner| board.stays(*owner)) else { continue };
        let has_to_go = closed.is_some_and(|(closed, isolated)| closed == owner && isolated != load);
        if closed.is_some_and(|(_, isolated)| isolated == load) || (pinned(board, load) && !(has_to_go && may_go(&board.world.loads[load])))
        {
            proposed.used[owner] += board.needs[load];
            proposed.configs[owner] += 1;
        } else {
            free.push((load, owner));
        }
    }
    // Loads are numbered by digest.
    free.sort_unstable_by_key(|(load, _)| (Reverse(board.needs[*load]), *load));

    let at = |proposed: &Proposed, runner: RunnerIndex| utilization(proposed.used[runner], board.workers[runner]);
    let mut by_use: Vec<BTreeSet<(u64, usize, RunnerIndex)>> = vec![BTreeSet::new(); suits.classes()];
    for runner in (0..runners).filter(|runner| open[*runner]) {
        if let Some(by_use) = by_use.get_mut(suits.class(runner)) {
            by_use.insert((order(at(&proposed, runner)), proposed.configs[runner], runner));
        }
    }
    for (load, owner) in free {
        let allowed = |class: usize| suits.allows(suits.row(load), class);
        let lowest = by_use.iter().enumerate().filter(|(class, _)| allowed(*class)).filter_map(|(_, by_use)| by_use.first()).min().copied();
        // Nobody else may run it.
        let Some((at_lowest, _, lowest)) = lowest else {
            proposed.used[owner] += board.needs[load];
            proposed.configs[owner] += 1;
            continue;
        };
        let bias = stickiness.map_or(0.0, |sticky| (board.needs[load] as f64 / 1e9 * sticky.factor).max(sticky.lower).min(sticky.upper));
        let stays = open[owner] && allowed(suits.class(owner)) && at(&proposed, owner) - bias <= f64::from_bits(at_lowest);
        let chosen = if stays { owner } else { lowest };
        let by_use = &mut by_use[suits.class(chosen)];
        by_use.remove(&(order(at(&proposed, chosen)), proposed.configs[chosen], chosen));
        proposed.used[chosen] += board.needs[load];
        proposed.configs[chosen] += 1;
        by_use.insert((order(at(&proposed, chosen)), proposed.configs[chosen], chosen));
        if chosen != owner {
            proposed.moves.push((load, chosen));
        }
    }
    proposed
}

/// Whether this rule leaves a config where it is: somebody demands it, or not all is known about its need.
fn pinned(board: &Board<'_>, load: usize) -> bool {
    let config = &board.world.loads[load];
    let held = board.held(load).is_some_and(|held| !matches!(held, Held::CoolingDown | Held::NeedUnknown));
    held || config.measured.is_none() || config.incomplete
}

/// Whether a config makes room for one that is to be alone: unless somebody demands that it is there, or it is on its way.
fn may_go(load: &Load) -> bool {
    !matches!(load.held, Some(Held::Pinned | Held::Moving | Held::Quarantined))
}

/// Makes the moves.
pub(crate) fn apply(board: &mut Board<'_>, proposed: &Proposed) {
    for (load, to) in &proposed.moves {
        board.move_to(*load, *to, 0.0, [0; 3]);
    }
}

fn worth_it(board: &Board<'_>, proposed: &Proposed, min_improvement: f64) -> bool {
    let runners: Vec<RunnerIndex> = (0..board.workers.len()).filter(|runner| board.stays(*runner)).collect();
    let utilizations = |used: &[Nano]| runners.iter().map(|runner| utilization(used[*runner], board.workers[*runner])).collect::<Vec<_>>();
    let (now, then) = (utilizations(&board.used), utilizations(&proposed.used));
    let (deviation_now, deviation_then) = (deviation(&now), deviation(&then));
    if deviation_now >= SMALL_DEVIATION {
        return deviation_then < deviation_now * (100.0 - min_improvement) / 100.0;
    }
    let busy = |utilizations: &[f64]| utilizations.iter().filter(|utilization| **utilization > BUSY).count();
    let empty = |configs: &[usize]| runners.iter().filter(|runner| configs[**runner] == 0).count();
    busy(&then) < busy(&now) || empty(&proposed.configs) < empty(&board.configs)
}

#[cfg(test)]
mod tests;

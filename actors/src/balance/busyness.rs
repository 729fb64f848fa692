//! The stock rule before 2026: by the number of samples that checks send. Source: cluster-checks 11.1.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::balance::board::{Board, Ending, Order};
use crate::balance::plan::{Plan, Stopped};
use crate::balance::repairs::repair;
use crate::balance::suits::Suits;
use crate::balance::world::{Held, RunnerIndex, World};

/// Part of the source's difference that a move has to stay below.
const TOLERANCE: f64 = 0.9;

/// Plans by this rule.
pub(crate) fn plan(world: &World, order: Order) -> Plan {
    let mut board = Board::new(world, order, |load| load.counted);
    repair(&mut board);
    let stopped = balance(&mut board);
    board.into_plan(Ending { stopped, tolerance: 0.0, budget: None })
}

fn balance(board: &mut Board<'_>) -> Stopped {
    let world = board.world;
    let mut nodes: Vec<RunnerIndex> = (0..world.runners.len()).filter(|runner| board.stays(*runner)).collect();
    if nodes.len() < 2 {
        return Stopped::TooFewRunners;
    }
    let total: i128 = nodes.iter().map(|node| i128::from(world.runners[*node].busyness)).sum();
    // It fits: it lies between the least and the largest.
    let average = i64::try_from(total / nodes.len() as i128).unwrap_or(i64::MAX);
    let mut diff: Vec<i64> = world.runners.iter().map(|runner| runner.busyness.saturating_sub(average)).collect();
    nodes.sort_by_key(|node| Reverse(diff[*node]));

    let open: Vec<bool> = (0..world.runners.len()).map(|runner| board.stays(runner) && board.isolated_for(runner).is_none()).collect();
    let suits = Suits::new(world, &open);
    let mut by_diff: Vec<BTreeSet<(i64, RunnerIndex)>> = vec![BTreeSet::new(); suits.classes()];
    for node in nodes.iter().copied().filter(|node| open[*node]) {
        if let Some(by_diff) = by_diff.get_mut(suits.class(node)) {
            by_diff.insert((diff[node], node));
        }
    }
    // By runner: the heaviest first, ties by digest.
    let mut heaviest: Vec<BTreeSet<(Reverse<i64>, usize)>> = vec![BTreeSet::new(); world.runners.len()];
    for (index, load) in world.loads.iter().enumerate() {
        let held = board.held(index).is_some_and(|held| !matches!(held, Held::CoolingDown | Held::NeedUnknown));
        if let (Some(owner), Some(weight), false) = (board.owners[index], load.weight, held) {
            heaviest[owner].insert((Reverse(weight), index));
        }
    }

    let mut moves = Moves::default();
    for node in nodes {
        while diff[node] > 0 {
            let to = |load: usize| {
                let allowed = |class: &usize| suits.allows(suits.row(load), *class);
                let others = (0..by_diff.len()).filter(allowed).filter_map(|class| by_diff[class].iter().find(|(_, other)| *other != node));
                others.min().copied()
            };
            // What nobody else may run is as if it were no cluster check.
            let movable = heaviest[node].iter().find_map(|(Reverse(weight), load)| Some((*weight, *load, to(*load)?.1)));
            let Some((weight, load, destination)) = movable else { break };
            let limit = (diff[node] as f64 * TOLERANCE) as i64;
            if diff[destination].saturating_add(weight) >= limit {
                break;
            }
            moves.add(load, destination, [weight, diff[node], diff[destination]]);
            for (runner, change) in [(node, -weight), (destination, weight)] {
                let by_diff = &mut by_diff[suits.class(runner)];
                let open = by_diff.remove(&(diff[runner], runner));
                diff[runner] = diff[runner].saturating_add(change);
                if open {
                    by_diff.insert((diff[runner], runner));
                }
            }
            heaviest[node].remove(&(Reverse(weight), load));
            heaviest[destination].insert((Reverse(weight), load));
        }
    }
    for (load, to, stock) in moves.made {
        board.move_to(load, to, 0.0, stock);
    }
    Stopped::NothingImproves
}

/// The moves, one for each config: what goes on from where it has just come makes one way.
#[derive(Debug, Default)]
struct Moves {
    made: Vec<(usize, RunnerIndex, [i64; 3])>,
    place: BTreeMap<usize, usize>,
}

impl Moves {
    /// The three figures are those before the first move of a config.
    fn add(&mut self, load: usize, to: RunnerIndex, stock: [i64; 3]) {
        let place = *self.place.entry(load).or_insert(self.made.len());
        match self.made.get_mut(place) {
            Some(made) => made.1 = to,
            None => self.made.push((load, to, stock)),
        }
    }
}

#[cfg(test)]
mod tests;

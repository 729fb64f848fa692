//! The configs of one runner that may leave it, ordered so that the one most worth moving is found fast.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::balance::board::Board;
use crate::balance::eligibility::is_singleton;
use crate::balance::suits::{Row, Suits};
use crate::balance::units::{Nano, Slope, compare_worth, cost_thousandths};

/// What configs of one group have in common: who may get them, the name if an agent runs only one of it, the cost.
type Alike = (Row, Option<Arc<str>>, i64);

/// By need, of equal needs the smallest digest last.
type ByNeed = BTreeSet<(Nano, Reverse<usize>)>;

/// The configs that may leave a runner.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    groups: BTreeMap<Alike, ByNeed>,
}

fn group_of(board: &Board<'_>, suits: &Suits, load: usize) -> Alike {
    let config = &board.world.loads[load];
    let singleton = is_singleton(&config.check_name).then(|| Arc::clone(&config.check_name));
    (suits.row(load), singleton, cost_thousandths(config.cost))
}

impl Candidates {
    /// Those of these configs that have a known need, are held by nothing and were not moved before in this plan.
    pub(super) fn new(board: &Board<'_>, suits: &Suits, loads: &[usize]) -> Self {
        let mut groups: BTreeMap<Alike, Vec<(Nano, Reverse<usize>)>> = BTreeMap::new();
        for load in loads.iter().copied() {
            let known = board.world.loads[load].need.is_some() && board.needs[load] > 0;
            if known && board.held(load).is_none() && !board.moved(load) {
                groups.entry(group_of(board, suits, load)).or_default().push((board.needs[load], Reverse(load)));
            }
        }
        Self { groups: groups.into_iter().map(|(group, by_need)| (group, by_need.into_iter().collect())).collect() }
    }

    /// Whether one of them is of a check that an agent runs only once.
    pub(super) fn has_singletons(&self) -> bool {
        self.groups.keys().any(|(_, singleton, _)| singleton.is_some())
    }

    /// Forgets a config that left.
    pub(super) fn remove(&mut self, board: &Board<'_>, suits: &Suits, load: usize) {
        let group = group_of(board, suits, load);
        if let Some(by_need) = self.groups.get_mut(&group) {
            by_need.remove(&(board.needs[load], Reverse(load)));
            if by_need.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// The config with the largest gain for its cost; ties larger need, then smallest digest. `None` = none has a gain.
    pub(super) fn best(&self, slope: Slope, allowed: impl Fn(Row) -> bool, free: impl Fn(&str) -> bool) -> Option<usize> {
        let best_need = slope.best_need()?;
        let mut best: Option<(i128, i64, Nano, usize)> = None;
        for ((row, singleton, cost), by_need) in &self.groups {
            if !allowed(*row) || singleton.as_ref().is_some_and(|name| !free(name)) {
                continue;
            }
            let below = by_need.range(..=(best_need, Reverse(0))).next_back();
            let above = by_need.range((best_need + 1, Reverse(usize::MAX))..).next();
            // Of equal needs, the smallest digest.
            let above = above.and_then(|(need, _)| by_need.range(..=(*need, Reverse(0))).next_back());
            for (need, Reverse(load)) in [below, above].into_iter().flatten().copied() {
                let gain = slope.scaled_gain(need);
                let better = gain > 0
                    && best.is_none_or(|(best_gain, best_cost, best_need, best_load)| {
                        compare_worth((gain, *cost), (best_gain, best_cost)).then(need.cmp(&best_need)).then(best_load.cmp(&load))
                            == Ordering::Greater
                    });
                if better {
                    best = Some((gain, *cost, need, load));
                }
            }
        }
        best.map(|(_, _, _, load)| load)
    }
}

//! Finds the next move of phase 3 without looking at every pair of runners and every config.
//!
//! Exactly the move of the plain rule (the tests compare them), by these facts:
//! * Among runners with the same workers that the same configs may go to, whoever has no gain with the least used one has none with any.
//! * The gain falls evenly on both sides of one need, so of configs that cost the same the best one is a neighbour of that need.
//! * A runner that cannot get rid of anything stays so until some runner is less used than those that were tried.

mod candidates;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use crate::balance::board::Board;
use crate::balance::eligibility::is_singleton;
use crate::balance::suits::Suits;
use crate::balance::units::{Slope, order};
use crate::balance::world::RunnerIndex;
use candidates::Candidates;

/// A move that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    load: usize,
    from: RunnerIndex,
    to: RunnerIndex,
}

/// Runners in the order in which the rule looks at them.
pub(super) struct Search {
    mean: f64,
    suits: Suits,
    /// Present utilization of each runner, as an ordered number.
    at: Vec<u64>,
    /// Usable runners.
    all: BTreeSet<(u64, RunnerIndex)>,
    /// Runners above the mean of which it is not known that nothing can leave them.
    sources: BTreeSet<(Reverse<u64>, RunnerIndex)>,
    /// Runners above the mean that nothing can leave.
    stuck: BTreeSet<RunnerIndex>,
    /// Runners below the mean that are open, by kind.
    destinations: Vec<BTreeSet<(u64, RunnerIndex)>>,
    /// Kind of each open runner.
    kinds: Vec<Option<usize>>,
    /// By kind: the least used runner with which something was found stuck, if it was used so much at that time. The highest counts.
    tried: Vec<u64>,
    loads_of: Vec<Vec<usize>>,
    /// Filled when a runner becomes a source.
    candidates: Vec<Option<Candidates>>,
    /// Names of singleton checks, with the number of configs on each runner.
    singletons: BTreeMap<String, Vec<u32>>,
}

impl Search {
    pub(super) fn new(board: &Board<'_>, mean: f64) -> Self {
        let world = board.world;
        let runners = world.runners.len();
        let open: Vec<bool> = (0..runners).map(|runner| board.usable(runner) && board.isolated_for(runner).is_none()).collect();
        let suits = Suits::new(world, &open);
        let mut numbers = BTreeMap::new();
        let kinds = (0..runners).map(|runner| {
            let next = numbers.len();
            open[runner].then(|| *numbers.entry((suits.class(runner), board.workers[runner])).or_insert(next))
        });
        let kinds: Vec<Option<usize>> = kinds.collect();
        let mut loads_of = vec![Vec::new(); runners];
        let mut singletons: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (load, owner) in board.owners.iter().enumerate() {
            let Some(owner) = *owner else { continue };
            loads_of[owner].push(load);
            let name = &world.loads[load].check_name;
            if is_singleton(name) {
                singletons.entry(name.to_string()).or_insert_with(|| vec![0; runners])[owner] += 1;
            }
        }
        let mut search = Self {
            mean,
            suits,
            at: vec![0; runners],
            all: BTreeSet::new(),
            sources: BTreeSet::new(),
            stuck: BTreeSet::new(),
            destinations: vec![BTreeSet::new(); numbers.len()],
            kinds,
            tried: vec![0; numbers.len()],
            loads_of,
            candidates: vec![None; runners],
            singletons,
        };
        for runner in (0..runners).filter(|runner| board.usable(*runner)) {
            search.enter(board, runner);
        }
        search
    }

    /// Whether every usable runner is close enough to the mean.
    pub(super) fn inside(&self, tolerance: f64) -> bool {
        let close = |entry: Option<&(u64, RunnerIndex)>| entry.is_none_or(|(at, _)| (f64::from_bits(*at) - self.mean).abs() <= tolerance);
        close(self.all.first()) && close(self.all.last())
    }

    /// The first source, then destination, between which a move has a gain, and of these moves the one most worth it.
    pub(super) fn next(&mut self, board: &Board<'_>) -> Option<Found> {
        while let Some((at, from)) = self.sources.first().copied() {
            if let Some((to, load)) = self.first_destination(board, from) {
                return Some(Found { load, from, to });
            }
            self.sources.remove(&(at, from));
            self.stuck.insert(from);
            for (tried, destinations) in self.tried.iter_mut().zip(&self.destinations) {
                *tried = (*tried).max(destinations.first().map_or(u64::MAX, |(at, _)| *at));
            }
        }
        None
    }

    /// Makes a move.
    pub(super) fn carry_out(&mut self, board: &mut Board<'_>, found: Found) {
        let Found { load, from, to } = found;
        for runner in [from, to] {
            self.leave(runner);
        }
        let slope = Slope::new((board.used[from], board.workers[from]), (board.used[to], board.workers[to]));
        let (gain, stock) = (slope.gain(board.needs[load]), board.in_thousandths(load, to));
        board.move_to(load, to, gain, stock);
        if let Some(candidates) = &mut self.candidates[from] {
            candidates.remove(board, &self.suits, load);
        }
        for runner in [from, to] {
            self.enter(board, runner);
        }
        if let Some(counts) = self.singletons.get_mut(&*board.world.loads[load].check_name) {
            counts[from] -= 1;
            counts[to] += 1;
            // Others of its kind may go where it was.
            let stuck = std::mem::take(&mut self.stuck);
            self.sources.extend(stuck.into_iter().map(|runner| (Reverse(self.at[runner]), runner)));
        }
        self.free_for(board, from);
    }

    fn first_destination(&mut self, board: &Board<'_>, from: RunnerIndex) -> Option<(RunnerIndex, usize)> {
        if self.candidates[from].is_none() {
            self.candidates[from] = Some(Candidates::new(board, &self.suits, &self.loads_of[from]));
        }
        let candidates = self.candidates[from].as_ref()?;
        // Of a singleton check the least used runner may have one already, and the next one not.
        let each = if candidates.has_singletons() { usize::MAX } else { 1 };
        let mut destinations: Vec<(u64, RunnerIndex)> = self.destinations.iter().flat_map(|kind| kind.iter().take(each)).copied().collect();
        destinations.sort_unstable();
        destinations.into_iter().find_map(|(_, to)| Some((to, self.best(board, from, to)?)))
    }

    /// The config most worth moving from one runner to another one.
    fn best(&self, board: &Board<'_>, from: RunnerIndex, to: RunnerIndex) -> Option<usize> {
        let slope = Slope::new((board.used[from], board.workers[from]), (board.used[to], board.workers[to]));
        let class = self.suits.class(to);
        let free = |name: &str| self.singletons.get(name).is_none_or(|counts| counts[to] == 0);
        self.candidates[from].as_ref()?.best(slope, |row| self.suits.allows(row, class), free)
    }

    /// Looks again at runners that nothing could leave, if a runner has become less used than those that were tried.
    fn free_for(&mut self, board: &Board<'_>, to: RunnerIndex) {
        let (at, Some(kind)) = (self.at[to], self.kinds[to]) else { return };
        if !self.destinations[kind].contains(&(at, to)) {
            return;
        }
        let least_used = self.destinations[kind].first() == Some(&(at, to)) && at.cmp(&self.tried[kind]) == Ordering::Less;
        if !least_used && self.singletons.is_empty() {
            return;
        }
        let free: Vec<RunnerIndex> = self.stuck.iter().copied().filter(|from| self.best(board, *from, to).is_some()).collect();
        for from in free {
            self.stuck.remove(&from);
            self.sources.insert((Reverse(self.at[from]), from));
        }
    }

    fn leave(&mut self, runner: RunnerIndex) {
        let at = self.at[runner];
        self.all.remove(&(at, runner));
        self.sources.remove(&(Reverse(at), runner));
        self.stuck.remove(&runner);
        if let Some(kind) = self.kinds[runner] {
            self.destinations[kind].remove(&(at, runner));
        }
    }

    fn enter(&mut self, board: &Board<'_>, runner: RunnerIndex) {
        let utilization = board.utilization(runner);
        let at = order(utilization);
        self.at[runner] = at;
        self.all.insert((at, runner));
        if utilization > self.mean {
            self.sources.insert((Reverse(at), runner));
        } else if utilization < self.mean
            && let Some(kind) = self.kinds[runner]
        {
            self.destinations[kind].insert((at, runner));
        }
    }
}

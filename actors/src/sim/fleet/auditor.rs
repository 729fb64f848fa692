//! Watches a small world from outside, as agents and operators would, and notes what must not happen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::balance::policy::{BalancePolicy, Strategy};
use crate::domain::handover::Handover;
use crate::domain::journal::Cause;
use crate::domain::ledger::BUDGET_WINDOW;
use crate::domain::world::{ServedTable, Standing};
use crate::sim::fleet::model::{AgentIndex, CheckIndex, Life, Model};
use crate::sim::fleet::violations::Violations;
use crate::sim::fleet::watch::TableWatch;

/// Polls that two agents may make before a check must have stopped on one of them.
///
/// Why four: one to learn what was taken away, one more to confirm it where the order of a handover asks for it, and the owner may
/// change once more in between.
const POLLS_TO_SETTLE: u64 = 4;

/// From a decision until it is shown, at most, while an actor that is part of it is started again.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// From a move for balance until the check runs where it is to run, and only there.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// A check that runs on two agents.
#[derive(Clone, Copy, Debug)]
struct Overlap {
    /// Polls of both agents when it began.
    polls: (u64, u64),
}

/// What is remembered from one look to the next.
pub(super) struct Auditor {
    violations: Violations,
    policy: BalancePolicy,
    overlaps: BTreeMap<(CheckIndex, AgentIndex, AgentIndex), Overlap>,
    /// Moves for balance: wall clock in nanoseconds, how many.
    spent: VecDeque<(i64, u64)>,
    rebalanced: u64,
    /// Since when each agent is in the table without interruption.
    present_since: Vec<Option<Duration>>,
}

impl Auditor {
    /// `policy` is what is expected of the server.
    pub(super) fn new(violations: Violations, policy: BalancePolicy) -> Self {
        Self { violations, policy, overlaps: BTreeMap::new(), spent: VecDeque::new(), rebalanced: 0, present_since: Vec::new() }
    }

    fn note(&self, now: Duration, what: &str) {
        self.violations.note(format!("{:.3} {what}", now.as_secs_f64()));
    }

    /// The server shows something new.
    pub(super) fn shown(&mut self, table: &ServedTable, watch: &TableWatch, model: &Model, unix_nanos: i64) {
        self.present_since.resize(model.agents.len(), None);
        for (since, shown) in self.present_since.iter_mut().zip(&watch.shown) {
            *since = shown.as_ref().map(|_| since.unwrap_or(model.now));
        }
        self.nothing_is_lost(table, model);
        self.the_budget_holds(watch, model, unix_nanos);
        self.loss_moves_its_own(watch, model);
    }

    /// Every config is with one agent, or on its way, or without an owner.
    fn nothing_is_lost(&self, table: &ServedTable, model: &Model) {
        if table.standing != Standing::Active {
            return;
        }
        let mut places = vec![0; model.checks.len()];
        let count = |key, most: &mut Vec<u32>| {
            if let Some(check) = model.by_key.get(&key) {
                most[*check] += 1;
            }
        };
        for entry in table.nodes.values() {
            entry.view.configs.iter().for_each(|config| count(config.key, &mut places));
        }
        table.dangling.iter().for_each(|dangling| count(dangling.config.key, &mut places));
        let moving: Vec<CheckIndex> = table.moving.iter().filter_map(|moving| model.by_key.get(&moving.config.key).copied()).collect();
        for (check, places) in places.iter().enumerate() {
            let is_moving = moving.contains(&check);
            if *places > 1 && !is_moving {
                self.note(model.now, &format!("check {check} is shown in {places} places"));
            } else if *places == 0 && !is_moving && table.shown == table.decided {
                self.note(model.now, &format!("check {check} is lost: it is nowhere"));
            }
        }
    }

    /// Balancing keeps to what it may move in ten minutes of the clock by which it counts.
    fn the_budget_holds(&mut self, watch: &TableWatch, model: &Model, unix_nanos: i64) {
        // A move counts from when it is decided; agents see it when it is saved.
        let window = BUDGET_WINDOW.saturating_sub(SHOWN_WITHIN).as_nanos() as i64;
        // What was old once stays forgotten when the clock is set back.
        self.spent.retain(|(at, _)| unix_nanos - at < window);
        let rebalanced = watch.moves.get(&Cause::Rebalanced).copied().unwrap_or(0);
        let made = rebalanced - self.rebalanced;
        self.rebalanced = rebalanced;
        if made == 0 || self.policy.strategy != Strategy::Bounded {
            return;
        }
        self.spent.push_back((unix_nanos, made));
        // What was moved before the clock was set back, by a time that is still to come, is left out: this asks for less than the rule.
        let spent: u64 = self.spent.iter().filter(|(at, _)| *at <= unix_nanos).map(|(_, made)| made).sum();
        let budget = self.policy.budget(model.checks.len()) as u64;
        if spent > budget {
            self.note(model.now, &format!("the budget of {budget} moves is exceeded: {spent} in ten minutes"));
        }
    }

    /// What leaves an agent that stays was moved for a reason of its own.
    fn loss_moves_its_own(&self, watch: &TableWatch, model: &Model) {
        let reasons = [Cause::Rebalanced, Cause::Isolated, Cause::Pinned, Cause::NotEligible, Cause::Quarantined, Cause::HandedOver];
        let moved: u64 = reasons.iter().filter_map(|cause| watch.moves.get(cause)).sum();
        if watch.left_living > moved {
            self.note(model.now, &format!("{} checks left agents that stay, only {moved} for a reason", watch.left_living));
        }
    }

    /// Who runs what, now.
    pub(super) fn running(&mut self, watch: &TableWatch, model: &Model) {
        let mut holders: BTreeMap<CheckIndex, Vec<AgentIndex>> = BTreeMap::new();
        for (index, agent) in model.agents.iter().enumerate() {
            for check in agent.running().iter().filter(|check| model.checks[**check].runs_on > 1) {
                holders.entry(*check).or_default().push(index);
            }
        }
        let mut current = BTreeMap::new();
        for (check, agents) in holders {
            for (position, first) in agents.iter().enumerate() {
                for second in &agents[position + 1..] {
                    let key = (check, *first, *second);
                    let polls = (model.agents[*first].contacts, model.agents[*second].contacts);
                    let known = self.overlaps.get(&key).copied();
                    if known.is_none() {
                        self.overlap_begins(check, *first, *second, watch, model);
                    }
                    let overlap = known.unwrap_or(Overlap { polls });
                    let both = (polls.0 - overlap.polls.0).min(polls.1 - overlap.polls.1);
                    if both == POLLS_TO_SETTLE {
                        self.note(model.now, &format!("check {check} runs on {first} and {second} although both polled {both} times"));
                    }
                    current.insert(key, overlap);
                }
            }
        }
        self.overlaps = current;
    }

    fn overlap_begins(&self, check: CheckIndex, first: AgentIndex, second: AgentIndex, watch: &TableWatch, model: &Model) {
        let honour = model.agents[first].honours_grants() && model.agents[second].honours_grants();
        match model.checks[check].handover {
            Handover::AtMostOnce if honour => {
                self.note(model.now, &format!("check {check} may run once only and runs on {first} and {second}"));
            }
            Handover::Gap => {
                // Whoever was never missing since the move has been asked to stop first.
                let moved_at = watch.moved_at.get(check).copied().unwrap_or_default();
                let stayed = |agent: AgentIndex| {
                    model.agents[agent].life == Life::Running
                        && self.present_since.get(agent).copied().flatten().is_some_and(|since| since < moved_at)
                };
                if stayed(first) && stayed(second) {
                    self.note(model.now, &format!("check {check} is to have a gap and runs on {first} and {second}"));
                }
            }
            Handover::Any | Handover::Overlap | Handover::AtMostOnce => {}
        }
    }

    /// All is quiet for long enough: everything runs exactly once.
    pub(super) fn settled(&self, watch: &TableWatch, model: &Model) {
        let somebody = model.agents.iter().any(|agent| agent.runs() && agent.reachable);
        for (index, check) in model.checks.iter().enumerate() {
            // Balancing goes on to the end: what has just changed is left out.
            let changed_at = watch.moved_at.get(index).map_or(check.changed_at, |moved_at| check.changed_at.max(*moved_at));
            let settles = model.now.saturating_sub(changed_at) < SETTLES_WITHIN;
            if !settles && check.runs_on != u32::from(somebody) {
                self.note(model.now, &format!("in the end check {index} runs {} times", check.runs_on));
            }
        }
    }

    /// Something that was found at the end.
    pub(super) fn found(&self, now: Duration, what: &str) {
        self.note(now, what);
    }
}

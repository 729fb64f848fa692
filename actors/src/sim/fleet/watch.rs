//! What the cluster role shows, compared with what it showed before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::journal::Cause;
use crate::domain::world::{NodeView, Presence, ServedTable, Standing};
use crate::sim::fleet::model::{AgentIndex, CheckIndex, Model};

/// What an agent is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) view: Arc<NodeView>,
    presence: Presence,
}

/// Follows the published table.
#[derive(Debug, Default)]
pub(super) struct TableWatch {
    /// The table looked at last; `None` = there was none yet, or the server is gone.
    pub(super) table: Option<Arc<ServedTable>>,
    /// What each agent is shown; `None` = it is not in the table.
    pub(super) shown: Vec<Option<Shown>>,
    /// Who was shown each check last.
    pub(super) owners: Vec<Option<AgentIndex>>,
    /// Checks whose owner left since they came to it; it may be back before they are with somebody else.
    orphaned: BTreeSet<CheckIndex>,
    /// When each check came to where it is.
    pub(super) moved_at: Vec<Duration>,
    /// Moves for balance are not counted. Never but to prove that it is noticed.
    forgets_reasons: bool,
    /// An actor panicked or the server was killed: decisions that were not shown yet were not counted either.
    pub(super) uncounted: bool,
    /// Moves by cause, over all lives of the dispatcher.
    pub(super) moves: BTreeMap<Cause, u64>,
    /// Counters of the table looked at last.
    counted: BTreeMap<Cause, u64>,
    /// Checks that left an agent that stays.
    pub(super) left_living: u64,
    /// Checks of agents that left.
    pub(super) orphans: u64,
    /// Configs without an owner, times how long.
    pub(super) dangling: Duration,
    dangling_since: Duration,
}

impl TableWatch {
    /// Has seen nothing yet.
    pub(super) fn new(forgets_reasons: bool) -> Self {
        Self { forgets_reasons, ..Self::default() }
    }

    /// Moves for all causes.
    pub(super) fn total_moves(&self) -> u64 {
        self.moves.values().sum()
    }

    /// The server is gone; what agents were shown is remembered.
    pub(super) fn server_gone(&mut self, now: Duration) {
        self.count_dangling(now);
        self.table = None;
        self.counted.clear();
        self.uncounted = true;
    }

    /// Configs without an owner in the table looked at last.
    pub(super) fn dangling_now(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.dangling.len())
    }

    pub(super) fn count_dangling(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.dangling_since);
        self.dangling += passed * self.dangling_now() as u32;
        self.dangling_since = now;
    }

    /// Looks at a table. Returns whether it is another one than before.
    pub(super) fn look(&mut self, table: Arc<ServedTable>, model: &mut Model) -> bool {
        self.shown.resize(model.agents.len(), None);
        self.owners.resize(model.checks.len(), None);
        self.moved_at.resize(model.checks.len(), Duration::ZERO);
        if self.table.as_ref().is_some_and(|before| Arc::ptr_eq(before, &table)) {
            return false;
        }
        self.count_dangling(model.now);
        for (cause, count) in &table.counters.moves {
            let before = self.counted.get(cause).copied().unwrap_or(0);
            // They begin anew with each incarnation of the dispatcher.
            *self.moves.entry(*cause).or_default() += if *count >= before { count - before } else { *count };
        }
        self.counted.clone_from(&table.counters.moves);
        if self.forgets_reasons {
            self.moves.remove(&Cause::Rebalanced);
        }
        if table.standing != Standing::Starting {
            let left_before = self.left_living;
            for check in table.constraints.quarantined.keys().filter_map(|key| model.by_key.get(key)) {
                // Wherever it goes afterwards, it comes from nowhere.
                self.owners[*check] = None;
            }
            for agent in 0..model.agents.len() {
                self.follow(agent, &table, model);
            }
            if std::mem::take(&mut self.uncounted) {
                self.left_living = left_before;
            }
        }
        self.table = Some(table);
        true
    }

    fn follow(&mut self, agent: AgentIndex, table: &ServedTable, model: &mut Model) {
        let before = self.shown[agent].take();
        let entry = table.nodes.get(&model.agents[agent].name);
        let stays = entry.is_some_and(|entry| entry.presence.is_staying());
        if let Some(before) = before.as_ref().filter(|before| before.presence.is_staying() && !stays) {
            self.orphans += before.view.configs.len() as u64;
            let checks = before.view.configs.iter().filter_map(|config| model.by_key.get(&config.key).copied());
            self.orphaned.extend(checks.filter(|check| self.owners[*check] == Some(agent)));
        }
        let Some(entry) = entry else { return };
        if !before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.view, &entry.view)) {
            // Both are in key order.
            let mut had = before.iter().flat_map(|before| before.view.configs.iter()).map(|config| config.key).peekable();
            for config in entry.view.configs.iter() {
                while had.next_if(|key| *key < config.key).is_some() {}
                if had.next_if_eq(&config.key).is_none()
                    && let Some(check) = model.by_key.get(&config.key)
                {
                    self.came(*check, agent, table, model);
                }
            }
        }
        self.shown[agent] = Some(Shown { view: Arc::clone(&entry.view), presence: entry.presence });
    }

    fn came(&mut self, check: CheckIndex, to: AgentIndex, table: &ServedTable, model: &mut Model) {
        self.moved_at[check] = model.now;
        let orphaned = self.orphaned.remove(&check);
        let Some(from) = self.owners[check].replace(to).filter(|from| *from != to) else { return };
        model.checks[check].moves += 1;
        if !orphaned && table.nodes.get(&model.agents[from].name).is_some_and(|entry| entry.presence.is_staying()) {
            self.left_living += 1;
        }
    }
}

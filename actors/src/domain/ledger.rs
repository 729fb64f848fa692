//! What balancing has spent lately. Part of the table, so that the budget and the cooldown hold across leaders.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::ConfigKey;

/// The time over which moves count against the budget. Source: cluster-checks 11.5.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(600);

/// A move that was made for balance, not because an owner was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceMove {
    /// Which config. It may be gone by now; the move counts all the same.
    pub key: ConfigKey,
    /// When. Units: nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
}

/// The moves of the last while, oldest first.
///
/// Times come from wall clocks of several machines: a move from the future counts as one of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    moves: Vec<BalanceMove>,
}

fn age(at_unix_nanos: i64, now_unix_nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(now_unix_nanos.saturating_sub(at_unix_nanos)).unwrap_or(0))
}

impl Ledger {
    /// Adds the moves of a plan, and forgets those that are older than `kept`.
    pub fn record(&mut self, keys: impl IntoIterator<Item = ConfigKey>, now_unix_nanos: i64, kept: Duration) {
        self.moves.retain(|made| age(made.at_unix_nanos, now_unix_nanos) < kept.max(BUDGET_WINDOW));
        self.moves.extend(keys.into_iter().map(|key| BalanceMove { key, at_unix_nanos: now_unix_nanos }));
    }

    /// Number of moves younger than `window`.
    #[must_use]
    pub fn spent(&self, now_unix_nanos: i64, window: Duration) -> usize {
        self.younger(now_unix_nanos, window).count()
    }

    /// The moves younger than `window`, oldest first.
    pub fn younger(&self, now_unix_nanos: i64, window: Duration) -> impl Iterator<Item = &BalanceMove> {
        self.moves.iter().filter(move |made| age(made.at_unix_nanos, now_unix_nanos) < window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn moves_count_until_the_window_is_over() {
        let mut ledger = Ledger::default();
        ledger.record([ConfigKey(1), ConfigKey(2)], 0, Duration::from_secs(1200));
        assert_eq!(ledger.spent(599 * SECOND, BUDGET_WINDOW), 2);
        assert_eq!(ledger.spent(600 * SECOND, BUDGET_WINDOW), 0);
        assert_eq!(ledger.younger(1199 * SECOND, Duration::from_secs(1200)).count(), 2);
        ledger.record([], 1200 * SECOND, Duration::from_secs(1200));
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_move_from_the_future_counts_as_one_of_now() {
        let mut ledger = Ledger::default();
        ledger.record([ConfigKey(1)], 100 * SECOND, Duration::ZERO);
        assert_eq!(ledger.spent(0, BUDGET_WINDOW), 1);
    }
}

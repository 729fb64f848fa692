//! The options of balancing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the load is balanced. Source: cluster-checks 11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Bounded churn: starts from the present assignment and pays for every move (11.5).
    #[default]
    Bounded,
    /// As stock: plans everything anew by utilization (11.2).
    Utilization,
    /// As stock before 2026: by counts of samples (11.1).
    Busyness,
    /// Nothing moves except orphans.
    Off,
}

impl Strategy {
    /// The name in options, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bounded => "bounded",
            Self::Utilization => "utilization",
            Self::Busyness => "busyness",
            Self::Off => "off",
        }
    }
}

/// Preference of the `utilization` rule for the present runner. Source: cluster-checks 11.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stickiness {
    /// `cluster_checks.stickiness_factor`: times the need.
    pub factor: f64,
    /// `cluster_checks.stickiness_lower_limit`, in utilization.
    pub lower: f64,
    /// `cluster_checks.stickiness_upper_limit`, in utilization.
    pub upper: f64,
}

impl Default for Stickiness {
    fn default() -> Self {
        Self { factor: 4.0, lower: 0.05, upper: 1.0 }
    }
}

/// The options of balancing; the default is the documented one. Source: cluster-checks 11, 13.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancePolicy {
    /// `muster.rebalance_strategy`.
    pub strategy: Strategy,
    /// `cluster_checks.rebalance_period`.
    pub period: Duration,
    /// Time between a change of membership and the look at what it calls for. Source: style 9.6.
    pub settle: Duration,
    /// `muster.rebalance_band`: tolerated deviation from the mean, relative.
    pub band: f64,
    /// `muster.rebalance_min_gap`: the same, least value in utilization.
    pub min_gap: f64,
    /// `muster.rebalance_budget_percent`: moves in 10 minutes, percent of all dispatched configs.
    pub budget_percent: f64,
    /// `muster.rebalance_budget_min`: the same, least number.
    pub budget_min: usize,
    /// `muster.rebalance_cooldown`.
    pub cooldown: Duration,
    /// `muster.rebalance_approval`: plans that nobody asked for wait until somebody approves them.
    pub approval: bool,
    /// `cluster_checks.exclude_checks_from_dispatching`: check names that balancing never moves.
    pub never_moved: BTreeSet<String>,
    /// `cluster_checks.stickiness_*`; `None` = off. Of `utilization` only.
    pub stickiness: Option<Stickiness>,
    /// `cluster_checks.rebalance_min_percentage_improvement`. Of `utilization` only. Units: percent.
    pub min_improvement: f64,
}

impl Default for BalancePolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Bounded,
            period: Duration::from_secs(600),
            settle: Duration::from_secs(30),
            band: 0.05,
            min_gap: 0.02,
            budget_percent: 5.0,
            budget_min: 5,
            cooldown: Duration::from_secs(1200),
            approval: false,
            never_moved: BTreeSet::new(),
            stickiness: Some(Stickiness::default()),
            min_improvement: 10.0,
        }
    }
}

impl BalancePolicy {
    /// Moves that phase 3 may make in any 10 minutes when so many configs are dispatched. Source: cluster-checks 11.5.
    #[must_use]
    pub fn budget(&self, dispatched: usize) -> usize {
        let share = (dispatched as f64 * self.budget_percent / 100.0).ceil();
        self.budget_min.max(share as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_5_percent_and_at_least_5_moves() {
        let policy = BalancePolicy::default();
        assert_eq!((policy.budget(0), policy.budget(31), policy.budget(101), policy.budget(1000)), (5, 5, 6, 50));
    }
}

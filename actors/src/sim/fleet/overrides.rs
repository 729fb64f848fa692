//! Options of balancing in a scenario.

use serde::{Deserialize, Serialize};

use crate::balance::policy::BalancePolicy;
use crate::sim::fleet::scenario::Span;

/// Options of balancing that differ from the defaults; what is left out is as documented.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyOverrides {
    /// `muster.rebalance_band`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<f64>,
    /// `muster.rebalance_min_gap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_gap: Option<f64>,
    /// `muster.rebalance_budget_percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_percent: Option<f64>,
    /// `muster.rebalance_budget_min`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_min: Option<usize>,
    /// `muster.rebalance_cooldown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// `cluster_checks.rebalance_period`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// `cluster_checks.stickiness_enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<bool>,
    /// `cluster_checks.rebalance_min_percentage_improvement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_improvement: Option<f64>,
    /// `cluster_checks.exclude_checks_from_dispatching`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_moved: Vec<String>,
}

impl PolicyOverrides {
    /// Whether everything is as documented.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes them over a policy.
    pub fn apply(&self, policy: &mut BalancePolicy) {
        policy.band = self.band.unwrap_or(policy.band);
        policy.min_gap = self.min_gap.unwrap_or(policy.min_gap);
        policy.budget_percent = self.budget_percent.unwrap_or(policy.budget_percent);
        policy.budget_min = self.budget_min.unwrap_or(policy.budget_min);
        policy.cooldown = self.cooldown.map_or(policy.cooldown, |span| span.0);
        policy.period = self.period.map_or(policy.period, |span| span.0);
        policy.min_improvement = self.min_improvement.unwrap_or(policy.min_improvement);
        policy.never_moved.extend(self.never_moved.iter().cloned());
        match self.stickiness {
            Some(true) => policy.stickiness = Some(policy.stickiness.unwrap_or_default()),
            Some(false) => policy.stickiness = None,
            None => {}
        }
    }

    /// What of them differs from the documented defaults, from a policy in force.
    #[must_use]
    pub fn of(policy: &BalancePolicy) -> Self {
        let usual = BalancePolicy::default();
        let differing = |value: f64, usual: f64| (value != usual).then_some(value);
        Self {
            band: differing(policy.band, usual.band),
            min_gap: differing(policy.min_gap, usual.min_gap),
            budget_percent: differing(policy.budget_percent, usual.budget_percent),
            budget_min: (policy.budget_min != usual.budget_min).then_some(policy.budget_min),
            cooldown: (policy.cooldown != usual.cooldown).then_some(Span(policy.cooldown)),
            period: (policy.period != usual.period).then_some(Span(policy.period)),
            stickiness: (policy.stickiness.is_some() != usual.stickiness.is_some()).then_some(policy.stickiness.is_some()),
            min_improvement: differing(policy.min_improvement, usual.min_improvement),
            never_moved: policy.never_moved.iter().cloned().collect(),
        }
    }

    /// Key, what was found, what is allowed.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String, String)> {
        let within = |key: &'static str, value: Option<f64>, most: f64| match value {
            Some(value) if !(0.0..=most).contains(&value) => Err((key, format!("found {value}"), format!("allowed is 0 to {most}"))),
            _ => Ok(()),
        };
        within("band", self.band, 10.0)?;
        within("min_gap", self.min_gap, 10.0)?;
        within("budget_percent", self.budget_percent, 100.0)?;
        within("min_improvement", self.min_improvement, 100.0)?;
        match self.period {
            Some(Span(period)) if period.as_secs() < 1 => {
                Err(("period", format!("found {}", Span(period)), "allowed is 1s and more".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_what_is_written_over() {
        let mut policy = BalancePolicy::default();
        assert!(PolicyOverrides::of(&policy).is_empty());
        let overrides = PolicyOverrides {
            band: Some(0.2),
            cooldown: Some(Span::from_minutes(5)),
            stickiness: Some(false),
            never_moved: vec!["redisdb".to_owned()],
            ..PolicyOverrides::default()
        };
        overrides.apply(&mut policy);
        assert_eq!((policy.band, policy.cooldown.as_secs(), policy.stickiness), (0.2, 300, None));
        assert_eq!(PolicyOverrides::of(&policy), overrides);
    }
}

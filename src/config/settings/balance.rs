//! Settings of balancing. Source: cluster-checks 11, 13.

use muster_actors::balance::policy::{BalancePolicy, Stickiness, Strategy};
use muster_actors::balance::quarantine::QuarantinePolicy;

use super::read::read;
use crate::config::effective::Config;

/// What balancing is told.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceSettings {
    /// Its rules.
    pub policy: BalancePolicy,
    /// Port of the statistics API of all runners.
    pub runners_port: u16,
    /// What happens to checks that kill their runners.
    pub quarantine: QuarantinePolicy,
}

impl BalanceSettings {
    pub(super) fn from_config(config: &Config) -> Self {
        let limits = ("cluster_checks.stickiness_lower_limit", "cluster_checks.stickiness_upper_limit");
        let (lower, upper): (f64, f64) = (read(config, limits.0), read(config, limits.1));
        let stickiness = read::<bool>(config, "cluster_checks.stickiness_enabled").then(|| Stickiness {
            factor: read(config, "cluster_checks.stickiness_factor"),
            // Of two limits that contradict each other, the upper one counts.
            lower: lower.min(upper),
            upper,
        });
        Self {
            policy: BalancePolicy {
                strategy: strategy(config),
                period: read(config, "cluster_checks.rebalance_period"),
                band: read(config, "muster.rebalance_band"),
                min_gap: read(config, "muster.rebalance_min_gap"),
                budget_percent: read(config, "muster.rebalance_budget_percent"),
                budget_min: read(config, "muster.rebalance_budget_min"),
                cooldown: read(config, "muster.rebalance_cooldown"),
                approval: read(config, "muster.rebalance_approval"),
                never_moved: read::<Vec<String>>(config, "cluster_checks.exclude_checks_from_dispatching").into_iter().collect(),
                stickiness,
                min_improvement: f64::from(read::<u32>(config, "cluster_checks.rebalance_min_percentage_improvement")),
                ..BalancePolicy::default()
            },
            runners_port: read(config, "cluster_checks.clc_runners_port"),
            quarantine: QuarantinePolicy {
                enabled: read(config, "muster.quarantine"),
                window: read(config, "muster.quarantine_window"),
                max_suspects: read(config, "muster.quarantine_max_suspects"),
                duration: read(config, "muster.quarantine_duration"),
                mass_window: read(config, "cluster_checks.node_expiration_timeout"),
            },
        }
    }
}

/// What `auto` means follows from a stock key: its default is true, so false was set by somebody.
fn strategy(config: &Config) -> Strategy {
    match read::<String>(config, "muster.rebalance_strategy").as_str() {
        "utilization" => Strategy::Utilization,
        "busyness" => Strategy::Busyness,
        "off" => Strategy::Off,
        "auto" if !read::<bool>(config, "cluster_checks.rebalance_with_utilization") => Strategy::Busyness,
        _ => Strategy::Bounded,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::effective::Role;

    /// The settings after these changes of the defaults.
    fn settings(values: &[(&'static str, &str)]) -> BalanceSettings {
        let changed = values.iter().fold(Config::defaults(Role::Cluster), |config, (key, text)| {
            let spec = crate::config::keys::find(key).unwrap();
            config.with_runtime_value(spec, text).unwrap_or_else(|| panic!("{key}: {text}"))
        });
        BalanceSettings::from_config(&changed)
    }

    #[test]
    fn the_defaults_are_those_of_the_rules() {
        let settings = settings(&[]);
        assert_eq!(settings.policy, BalancePolicy::default());
        assert_eq!(settings.runners_port, 5005);
        assert_eq!(settings.quarantine, QuarantinePolicy::default());
    }

    #[test]
    fn auto_is_busyness_only_where_utilization_was_switched_off() {
        let with_utilization = "cluster_checks.rebalance_with_utilization";
        let strategy = |values: &[(&'static str, &str)]| settings(values).policy.strategy;
        assert_eq!(strategy(&[]), Strategy::Bounded);
        assert_eq!(strategy(&[(with_utilization, "true")]), Strategy::Bounded);
        assert_eq!(strategy(&[(with_utilization, "false")]), Strategy::Busyness);
        for (word, chosen) in [
            ("bounded", Strategy::Bounded),
            ("Utilization", Strategy::Utilization),
            ("busyness", Strategy::Busyness),
            ("off", Strategy::Off),
        ] {
            for told in ["true", "false"] {
                assert_eq!(strategy(&[("muster.rebalance_strategy", word), (with_utilization, told)]), chosen, "{word}");
            }
        }
    }

    #[test]
    fn every_rule_can_be_told() {
        let told = settings(&[
            ("cluster_checks.rebalance_period", "5m"),
            ("cluster_checks.clc_runners_port", "6005"),
            ("cluster_checks.exclude_checks_from_dispatching", "orchestrator ksm"),
            ("cluster_checks.rebalance_min_percentage_improvement", "25"),
            ("cluster_checks.stickiness_factor", "2"),
            ("cluster_checks.stickiness_lower_limit", "0.9"),
            ("cluster_checks.stickiness_upper_limit", "0.5"),
            ("muster.rebalance_band", "0.1"),
            ("muster.rebalance_min_gap", "0"),
            ("muster.rebalance_budget_percent", "2.5"),
            ("muster.rebalance_budget_min", "0"),
            ("muster.rebalance_cooldown", "0"),
            ("muster.rebalance_approval", "true"),
            ("muster.quarantine", "false"),
            ("muster.quarantine_window", "2m"),
            ("muster.quarantine_duration", "1h"),
            ("muster.quarantine_max_suspects", "1"),
            ("cluster_checks.node_expiration_timeout", "45"),
        ]);
        let expected = BalancePolicy {
            period: Duration::from_secs(300),
            band: 0.1,
            min_gap: 0.0,
            budget_percent: 2.5,
            budget_min: 0,
            cooldown: Duration::ZERO,
            approval: true,
            never_moved: ["orchestrator".to_owned(), "ksm".to_owned()].into(),
            stickiness: Some(Stickiness { factor: 2.0, lower: 0.5, upper: 0.5 }),
            min_improvement: 25.0,
            ..BalancePolicy::default()
        };
        assert_eq!(told.policy, expected);
        assert_eq!(told.runners_port, 6005);
        let quarantine = QuarantinePolicy {
            enabled: false,
            window: Duration::from_secs(120),
            max_suspects: 1,
            duration: Duration::from_secs(3600),
            mass_window: Duration::from_secs(45),
        };
        assert_eq!(told.quarantine, quarantine);
        assert_eq!(settings(&[("cluster_checks.stickiness_enabled", "false")]).policy.stickiness, None);
    }

    #[test]
    fn values_out_of_range_are_refused_and_the_refusal_says_what_is_allowed() {
        for (key, wrong, allowed) in [
            ("muster.rebalance_strategy", "random", "one of auto, bounded, utilization, busyness, off"),
            ("muster.rebalance_band", "1.5", "a number from 0 to 1"),
            ("muster.rebalance_band", "NaN", "a number from 0 to 1"),
            ("muster.rebalance_min_gap", "-0.1", "a number from 0 to 1"),
            ("muster.rebalance_budget_percent", "101", "a number from 0 to 100"),
            ("muster.rebalance_budget_min", "-1", "a whole number from 0 to 1000000"),
            ("muster.rebalance_cooldown", "soon", "a number of seconds or a duration such as 10m or 1h30m"),
            ("muster.quarantine_duration", "0", "a number of seconds or a duration such as 10m or 1h30m, at least 1s"),
            ("muster.quarantine_max_suspects", "0", "a whole number from 1 to 1000"),
        ] {
            let spec = crate::config::keys::find(key).unwrap();
            assert!(Config::defaults(Role::Cluster).with_runtime_value(spec, wrong).is_none(), "{key}: {wrong}");
            assert_eq!(spec.kind.allowed(), allowed);
        }
    }
}

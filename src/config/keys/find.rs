//! Looking keys up, exactly and nearly.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{accepted, balance, cluster, core, events, intake, kubernetes, node};
use crate::config::option::{KeySpec, Kind};

/// Every key, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static KeySpec> {
    groups().into_iter().flat_map(|(_, keys)| keys)
}

/// Title and keys of each part of the table.
#[must_use]
pub fn groups() -> [(&'static str, &'static [KeySpec]); 8] {
    [
        ("Core", core::KEYS),
        ("Cluster role", cluster::KEYS),
        ("Balancing of the cluster role", balance::KEYS),
        ("Kubernetes", kubernetes::KEYS),
        ("Events of the cluster", events::KEYS),
        ("Node role", node::KEYS),
        ("Intake, forwarder and proxies", intake::KEYS),
        ("Recognised, not used yet", accepted::KEYS),
    ]
}

/// The key of exactly this name.
#[must_use]
pub fn find(key: &str) -> Option<&'static KeySpec> {
    static BY_NAME: OnceLock<BTreeMap<&'static str, &'static KeySpec>> = OnceLock::new();
    BY_NAME.get_or_init(|| all().map(|spec| (spec.key, spec)).collect()).get(key).copied()
}

/// The recognised part of the configuration that a key lies in, `admission_controller` for `admission_controller.port`.
#[must_use]
pub fn enclosing_tree(key: &str) -> Option<&'static KeySpec> {
    let mut end = key.len();
    loop {
        if let Some(spec) = find(&key[..end]).filter(|spec| spec.kind == Kind::Tree) {
            return Some(spec);
        }
        end = key[..end].rfind('.')?;
    }
}

/// Whether a recognised part has keys of its own inside.
#[must_use]
pub fn has_keys_inside(tree: &KeySpec) -> bool {
    all().any(|spec| spec.key.strip_prefix(tree.key).is_some_and(|rest| rest.starts_with('.')))
}

/// The known name nearest to one that is not known, if any is near enough to be meant.
///
/// Near = at most a third of the name has to be edited.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(&'a str, usize)> {
    known
        .map(|candidate| (candidate, edit_distance(name, candidate)))
        .min_by_key(|(_, distance)| *distance)
        .filter(|(_, distance)| distance * 3 <= name.chars().count())
}

/// Number of characters to insert, delete, replace or swap with their neighbour to get from one text to the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let replace = last[column] + usize::from(a != b);
            let mut best = replace.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::option::Support;
    use crate::config::value::parse_text;

    #[test]
    fn every_default_fits_its_own_key() {
        for spec in all() {
            if spec.kind != Kind::Tree {
                assert!(parse_text(spec.kind, spec.default).is_some(), "{}: {:?}", spec.key, spec.default);
            }
        }
    }

    #[test]
    fn keys_and_environment_names_are_unique() {
        let mut keys = BTreeSet::new();
        let mut names = BTreeSet::new();
        for spec in all() {
            assert!(keys.insert(spec.key), "{} is listed twice", spec.key);
            for name in spec.environment_names() {
                assert!(names.insert(name.clone()), "{name} is bound twice");
            }
        }
    }

    #[test]
    fn no_key_lies_inside_another_one_but_a_recognised_part() {
        for spec in all() {
            for (position, _) in spec.key.match_indices('.') {
                let outer = find(&spec.key[..position]);
                assert!(outer.is_none_or(|outer| outer.kind == Kind::Tree), "{} is inside {}", spec.key, &spec.key[..position]);
            }
        }
    }

    #[test]
    fn every_key_says_what_it_means() {
        for spec in all() {
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}: {:?}", spec.key, spec.help);
            let listed_last = accepted::KEYS.iter().any(|other| other.key == spec.key);
            assert_eq!(spec.support == Support::Accepted, listed_last, "{} is in the wrong part of the table", spec.key);
        }
    }

    #[test]
    fn defaults_are_those_of_the_protocol() {
        for (key, default) in [
            ("cluster_checks.enabled", "false"),
            ("cluster_checks.node_expiration_timeout", "30"),
            ("cluster_checks.warmup_duration", "30"),
            ("cluster_checks.unscheduled_check_threshold", "60"),
            ("cluster_checks.cluster_tag_name", "cluster_name"),
            ("cluster_checks.advanced_dispatching_enabled", "true"),
            ("cluster_checks.clc_runners_port", "5005"),
            ("cluster_checks.rebalance_period", "10m"),
            ("cluster_checks.rebalance_with_utilization", "true"),
            ("cluster_checks.rebalance_min_percentage_improvement", "10"),
            ("cluster_checks.stickiness_enabled", "true"),
            ("cluster_checks.stickiness_factor", "4"),
            ("cluster_checks.stickiness_upper_limit", "1"),
            ("cluster_checks.stickiness_lower_limit", "0.05"),
            ("muster.rebalance_strategy", "auto"),
            ("muster.rebalance_band", "0.05"),
            ("muster.rebalance_min_gap", "0.02"),
            ("muster.rebalance_budget_percent", "5"),
            ("muster.rebalance_budget_min", "5"),
            ("muster.rebalance_cooldown", "20m"),
            ("cluster_agent.cmd_port", "5005"),
            ("cluster_agent.kubernetes_service_name", "datadog-cluster-agent"),
            ("cluster_agent.server.idle_timeout_seconds", "60"),
            ("clc_runner_port", "5005"),
            ("cmd_port", "5001"),
            ("metrics_port", "5000"),
            ("health_port", "0"),
            ("check_runners", "4"),
            ("ad_config_poll_interval", "10"),
            ("site", "datadoghq.com"),
            ("log_level", "info"),
            ("forwarder_retry_queue_payloads_max_size", "15728640"),
            ("serializer_compressor_kind", "zstd"),
        ] {
            assert_eq!(find(key).map(|spec| spec.default), Some(default), "{key}");
        }
    }

    #[test]
    fn environment_names_are_mechanical_and_ours_win() {
        let names = |key| find(key).map(KeySpec::environment_names).unwrap_or_default();
        assert_eq!(names("cluster_agent.url"), ["MUSTER_CLUSTER_AGENT_URL", "DD_CLUSTER_AGENT_URL"]);
        assert_eq!(names("dd_url"), ["MUSTER_DD_URL", "DD_DD_URL", "DD_URL"]);
        assert_eq!(names("muster.check_timeout"), ["MUSTER_CHECK_TIMEOUT"]);
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        let suggest = |name| nearest(name, all().map(|spec| spec.key)).map(|(key, _)| key);
        assert_eq!(suggest("cluster_checks.enable"), Some("cluster_checks.enabled"));
        assert_eq!(suggest("clusterchecks.enabled"), Some("cluster_checks.enabled"));
        assert_eq!(suggest("log_levle"), Some("log_level"));
        assert_eq!(suggest("muster.chek_timeout"), Some("muster.check_timeout"));
        assert_eq!(suggest("something_else_entirely"), None);
    }

    #[test]
    fn recognised_parts_hold_all_keys_below_them() {
        assert!(enclosing_tree("admission_controller.inject_tags.enabled").is_some());
        assert!(enclosing_tree("admission_controller").is_some());
        assert!(enclosing_tree("admission").is_none());
        assert!(enclosing_tree("cluster_checks.nope").is_none());
    }
}

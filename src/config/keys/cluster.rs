//! Keys of the cluster role. Source: cluster-checks 13, cluster-agent-kubernetes 6.9, 7.2.

use crate::config::option::{KeySpec, Unit, duration, flag, list, text};

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    flag("cluster_checks.enabled", "false", "Dispatch cluster checks; on by default in stand-alone mode").cluster(),
    duration(
        "cluster_checks.warmup_duration",
        Unit::Seconds,
        "30",
        "Time after a cold start in which nodes register and nothing is dispatched",
    )
    .cluster(),
    duration("cluster_checks.unscheduled_check_threshold", Unit::Seconds, "60", "Time without an owner after which a check is reported")
        .cluster(),
    text("cluster_checks.cluster_tag_name", "cluster_name", "Name of the tag that carries the cluster name").cluster(),
    list("cluster_checks.extra_tags", "", "Tags added to every cluster check").cluster(),
    list("orchestrator_explorer.extra_tags", "", "Further global tags of the cluster role").cluster(),
    flag("cluster_checks.advanced_dispatching_enabled", "true", "Prefer dedicated runners and use their statistics").cluster(),
    list("cluster_checks.exclude_checks", "", "Names of checks that are never dispatched").cluster(),
    text("cluster_name", "", "Name of the cluster; becomes the tag `kube_cluster_name`"),
    flag("disable_cluster_name_tag_key", "false", "Leave out the tag `cluster_name`").cluster(),
    flag("enabled_rfc1123_compliant_cluster_name_tag", "true", "Write `_` as `-` in the cluster name tag").cluster(),
    flag("muster.standalone", "false", "Run without Kubernetes even where it is found").cluster(),
];

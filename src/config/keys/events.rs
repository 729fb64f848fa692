//! Keys of the events of the cluster. Source: cluster-agent-kubernetes 3.1, 3.3, 7.3, 7.4.

use crate::config::option::{KeySpec, flag, text};

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    flag(
        "collect_kubernetes_events",
        "false",
        "Forward the events of the cluster; `collect_events` of a check `kubernetes_apiserver` comes first",
    ),
    text("cluster_agent.token_name", "datadogtoken", "ConfigMap that says how far events were forwarded, in the namespace of the lock"),
    flag("kubernetes_events_source_detection.enabled", "false", "Tell which integration an event is from, by its controller or component"),
    flag(
        "autoscaling.workload.enabled",
        "false",
        "Also forward the events of the workload autoscaler one by one, where events are unbundled",
    ),
    flag(
        "autoscaling.cluster.enabled",
        "false",
        "Also forward the events of the cluster autoscaler one by one, where events are unbundled",
    ),
];

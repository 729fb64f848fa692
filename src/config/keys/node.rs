//! Keys of the node role. Source: node-runner 2, 5 to 8; cluster-agent-kubernetes 7.3.

use crate::config::option::{KeySpec, Unit, choice, duration, flag, integer, list, number, port, text};

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    flag("cluster_agent.enabled", "false", "Ask a cluster agent").node(),
    text("cluster_agent.url", "", "Address of the cluster agent, https; empty = from the Service's environment variables").node(),
    duration(
        "cluster_agent.client_reconnect_period_seconds",
        Unit::Seconds,
        "1200",
        "Time after which the connection to the cluster agent is made anew; 0 = never",
    )
    .node(),
    flag("clc_runner_enabled", "false", "Serve the runner API; with `clusterchecks` as only source this makes a dedicated runner").node(),
    text("clc_runner_host", "", "Address the runner API listens on, the pod's IP; needed when `clc_runner_enabled`").node(),
    port("clc_runner_port", "5005", "Port of the runner API; must equal the cluster agent's `cluster_checks.clc_runners_port`").node(),
    text("clc_runner_id", "", "Name the runner reports; empty = the host name").node(),
    duration("clc_runner_server_write_timeout", Unit::Seconds, "15", "Longest time to write an answer of the runner API").node(),
    duration("clc_runner_server_readheader_timeout", Unit::Seconds, "10", "Longest time to read the head of a request to the runner API")
        .node(),
    port("cmd_port", "5001", "Port of the local API, on 127.0.0.1").node(),
    integer("check_runners", "4", 0, 10_000, "Number of check workers; 0 = from the number of checks").node(),
    number("check_runner_utilization_threshold", "0.95", 0.0, 1.0, "Utilization of the workers that is worth a warning").node(),
    duration("check_runner_utilization_warning_cooldown", Unit::GoStyle, "10m", "Time between two such warnings").node(),
    flag("integration_check_status_enabled", "false", "Send the service check `datadog.agent.check_status` for every run").node(),
    list("histogram_aggregates", "max median avg count", "Aggregates of histogram samples").node(),
    list("histogram_percentiles", "0.95", "Percentiles of histogram samples").node(),
    duration("muster.check_timeout", Unit::GoStyle, "0s", "Longest time one run may take; 0 = four intervals, at least 30 s").node(),
    integer("muster.check_max_series", "0", 0, i64::MAX, "Most series one run may submit; 0 = no limit").node(),
    flag("muster.first_run_immediately", "true", "Run a new cluster check within 2 s instead of after its interval").node(),
    number("muster.schedule_jitter", "0", 0.0, 1.0, "Part of the interval by which runs are spread").node(),
    integer("muster.native_concurrency", "256", 1, 100_000, "Native checks that may run at the same time").node(),
    choice(
        "muster.clc_stats_include_pending",
        "auto",
        &["auto", "true", "false"],
        "Report checks that have not run yet in the statistics; auto = to our cluster role only",
    )
    .node(),
];

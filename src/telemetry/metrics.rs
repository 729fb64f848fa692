//! Every metric this program serves: the only place with their names.
//!
//! To add one: a variant, its line in [`Metric::ALL`], its arm in [`Metric::spec`]; then record it where it happens
//! ([`super::Metrics::increment`], [`super::Metrics::observe`]) or fill it at scrape ([`super::Metrics::add_source`]).

/// What a metric measures and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Counts events since the start.
    Counter,
    /// A size, age or state of the moment.
    Gauge,
    /// Times in seconds, by upper bounds.
    Histogram {
        /// Upper bounds, ascending, without infinity.
        buckets: &'static [f64],
    },
}

/// Everything that is known about a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricSpec {
    /// Full name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Unit of the value.
    pub unit: &'static str,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Whether it is served by the cluster role, the node role or both.
    pub roles: &'static str,
    /// Whether upstream serves the same.
    pub upstream: bool,
    /// What it means.
    pub help: &'static str,
}

/// Bounds of request times. Source: cluster-agent-kubernetes 1.8.
const REQUEST_SECONDS: MetricKind = MetricKind::Histogram { buckets: &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0] };

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Requests answered.
    ApiRequests,
    /// Time to answer.
    ApiElapsed,
    /// Nodes that report.
    NodesReporting,
    /// Configs without an owner.
    ConfigsDangling,
    /// Configs of a node.
    ConfigsDispatched,
    /// One per dispatched instance.
    ConfigsInfo,
    /// Configs without an owner for too long.
    UnscheduledCheck,
    /// Endpoint checks of a Kubernetes node.
    EndpointConfigsDispatched,
    /// Whether this replica leads.
    IsLeader,
    /// Configs that discovery scheduled.
    ScheduledConfigs,
    /// What discovery could not use.
    DiscoveryErrors,
    /// Epoch of the decisions.
    Epoch,
    /// Memory in use.
    ResidentMemory,
    /// Processor time used.
    CpuSeconds,
    /// Open files.
    OpenFds,
    /// Start time.
    StartTime,
}

impl Metric {
    /// All of them, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::ApiRequests,
        Self::ApiElapsed,
        Self::NodesReporting,
        Self::ConfigsDangling,
        Self::ConfigsDispatched,
        Self::ConfigsInfo,
        Self::UnscheduledCheck,
        Self::EndpointConfigsDispatched,
        Self::IsLeader,
        Self::ScheduledConfigs,
        Self::DiscoveryErrors,
        Self::Epoch,
        Self::ResidentMemory,
        Self::CpuSeconds,
        Self::OpenFds,
        Self::StartTime,
    ];

    /// What is known about it. Source: cluster-checks 14.1, autodiscovery 11.4, cluster-agent-kubernetes 1.8, 2.3, 6.7.
    #[must_use]
    pub const fn spec(self) -> MetricSpec {
        match self {
            Self::ApiRequests => {
                let labels = &["handler", "status", "forwarded"];
                upstream("api_requests", MetricKind::Counter, "requests", labels, "cluster", "Requests answered, by route and status")
            }
            Self::ApiElapsed => {
                let labels = &["handler", "status", "forwarded"];
                upstream("api_elapsed", REQUEST_SECONDS, "seconds", labels, "cluster", "Time to answer a request")
            }
            Self::NodesReporting => {
                let labels = &["join_leader"];
                upstream("cluster_checks_nodes_reporting", MetricKind::Gauge, "nodes", labels, "cluster", "Registered nodes")
            }
            Self::ConfigsDangling => {
                let labels = &["join_leader"];
                upstream("cluster_checks_configs_dangling", MetricKind::Gauge, "configs", labels, "cluster", "Configs without an owner")
            }
            Self::ConfigsDispatched => {
                let labels = &["node", "join_leader"];
                upstream("cluster_checks_configs_dispatched", MetricKind::Gauge, "configs", labels, "cluster", "Configs of a node")
            }
            Self::ConfigsInfo => {
                let labels = &["node", "check_name", "check_id", "join_leader"];
                upstream("cluster_checks_configs_info", MetricKind::Gauge, "always 1", labels, "cluster", "Owner of a check instance")
            }
            Self::UnscheduledCheck => {
                let labels = &["config_name", "config_source", "join_leader"];
                let help = "Configs without an owner for longer than cluster_checks.unscheduled_check_threshold";
                upstream("cluster_checks_unscheduled_check", MetricKind::Gauge, "configs", labels, "cluster", help)
            }
            Self::EndpointConfigsDispatched => {
                let labels = &["node", "join_leader"];
                let help = "Endpoint checks of a Kubernetes node";
                upstream("endpoint_checks_configs_dispatched", MetricKind::Gauge, "configs", labels, "cluster", help)
            }
            Self::IsLeader => {
                let labels = &["join_leader", "is_leader"];
                upstream("leader_election_is_leader", MetricKind::Gauge, "0 or 1", labels, "cluster", "Whether this replica leads")
            }
            Self::ScheduledConfigs => {
                let labels = &["provider", "type"];
                upstream(
                    "autodiscovery_scheduled_configs",
                    MetricKind::Gauge,
                    "configs",
                    labels,
                    "both",
                    "Configs that discovery scheduled",
                )
            }
            Self::DiscoveryErrors => {
                let help = "Files, annotations and templates that discovery cannot use";
                upstream("autodiscovery_errors", MetricKind::Gauge, "errors", &["provider"], "both", help)
            }
            Self::Epoch => ours("muster_dispatcher_epoch", MetricKind::Gauge, "epochs", &[], "cluster", "Epoch of the decisions in force"),
            Self::ResidentMemory => upstream("process_resident_memory_bytes", MetricKind::Gauge, "bytes", &[], "both", "Memory in use"),
            Self::CpuSeconds => {
                upstream("process_cpu_seconds_total", MetricKind::Counter, "seconds", &[], "both", "Processor time used, user and system")
            }
            Self::OpenFds => upstream("process_open_fds", MetricKind::Gauge, "files", &[], "both", "Open file descriptors"),
            Self::StartTime => {
                let help = "Start of the process since the Unix epoch";
                upstream("process_start_time_seconds", MetricKind::Gauge, "seconds", &[], "both", help)
            }
        }
    }
}

const fn upstream(
    name: &'static str,
    kind: MetricKind,
    unit: &'static str,
    labels: &'static [&'static str],
    roles: &'static str,
    help: &'static str,
) -> MetricSpec {
    MetricSpec { name, kind, unit, labels, roles, upstream: true, help }
}

const fn ours(
    name: &'static str,
    kind: MetricKind,
    unit: &'static str,
    labels: &'static [&'static str],
    roles: &'static str,
    help: &'static str,
) -> MetricSpec {
    MetricSpec { name, kind, unit, labels, roles, upstream: false, help }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_of_all_is_complete_and_in_order() {
        assert!(Metric::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Metric::ALL.last().map(|last| *last as usize + 1), Some(Metric::ALL.len()));
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut names = BTreeSet::new();
        for spec in Metric::ALL.iter().map(|metric| metric.spec()) {
            assert!(names.insert(spec.name), "{} twice", spec.name);
            assert!(spec.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{}", spec.name);
            assert!(spec.upstream || spec.name.starts_with("muster_"), "{}", spec.name);
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
        }
    }

    #[test]
    fn request_times_have_the_stock_bounds() {
        let MetricKind::Histogram { buckets } = Metric::ApiElapsed.spec().kind else { panic!("a histogram") };
        assert_eq!(buckets.len(), 11);
        assert_eq!((buckets[0], buckets[10]), (0.005, 10.0));
    }
}

//! Every metric this program serves: the only place with their names.
//!
//! To add one: a variant, its line in [`Metric::ALL`], its arm in [`Metric::spec`]; then record it where it happens
//! ([`super::Metrics::increment`], [`super::Metrics::observe`]) or fill it at scrape ([`super::Metrics::add_source`]).

use muster_actors::domain::durations::DURATION_BOUNDS;

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

/// Bounds of times of requests and of looking for configs. Source: cluster-agent-kubernetes 1.8.
const REQUEST_SECONDS: MetricKind = MetricKind::Histogram { buckets: &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0] };

/// Bounds of the times of runs.
const RUN_SECONDS: MetricKind = MetricKind::Histogram { buckets: &DURATION_BOUNDS };

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
    /// Epoch of the lock.
    LeaderEpoch,
    /// Whether anyone leads.
    LeaderKnown,
    /// How long that is known for.
    LeaderValid,
    /// Configs that discovery scheduled.
    ScheduledConfigs,
    /// What discovery could not use.
    DiscoveryErrors,
    /// Time to look for configs.
    DiscoveryPollDuration,
    /// Epoch of the decisions.
    Epoch,
    /// Configs that got an owner.
    Placements,
    /// Configs that changed their owner.
    Moves,
    /// Nodes taken for dead.
    ExpiredNodes,
    /// Nodes whose pod or Kubernetes node is gone.
    DeletedNodes,
    /// Nodes on their way out.
    DrainingNodes,
    /// Configs that could not be patched.
    PatchFailures,
    /// Configs that cannot be dispatched.
    RejectedConfigs,
    /// Messages of an older epoch.
    StaleEpochs,
    /// Changes that are not on disk.
    PersistenceFailures,
    /// Broken invariants.
    InvariantViolations,
    /// Whether objects of a kind have been listed.
    InformerSynced,
    /// Objects known of a kind.
    InformerObjects,
    /// Listings of a kind.
    InformerListings,
    /// Failed listings and watches of a kind.
    InformerFailures,
    /// Restarts of an actor.
    ActorRestarts,
    /// Panics of an actor.
    ActorPanics,
    /// Messages an actor did not get.
    RefusedMessages,
    /// Whether the cluster agent answers.
    ProviderInContact,
    /// Whether all configs were dropped.
    ProviderDropped,
    /// Configs of a provider.
    ProviderConfigs,
    /// Polls of a provider.
    ProviderPolls,
    /// When the cluster agent answered last.
    ProviderLastSuccess,
    /// Finished runs of checks.
    CheckRuns,
    /// Turns that were skipped.
    CheckMissedRuns,
    /// How long runs take.
    CheckExecution,
    /// How long runs wait.
    CheckQueueWait,
    /// How busy the workers are.
    WorkerUtilization,
    /// Number of workers.
    Workers,
    /// Instances with a place in the schedule.
    RunningChecks,
    /// Instances that cannot run here.
    LoadFailures,
    /// Payloads an intake took.
    TransactionsSuccess,
    /// Bytes an intake took.
    TransactionsSuccessBytes,
    /// Payloads lost.
    TransactionsDropped,
    /// Failed attempts.
    TransactionsErrors,
    /// Answers of 400 or more.
    TransactionsHttpErrors,
    /// Items sent.
    OutputSentItems,
    /// Items lost.
    OutputDroppedItems,
    /// Attempts that will be repeated.
    OutputRetries,
    /// Bytes that wait.
    OutputQueuedBytes,
    /// Payloads that wait.
    OutputQueuedPayloads,
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
        Self::LeaderEpoch,
        Self::LeaderKnown,
        Self::LeaderValid,
        Self::ScheduledConfigs,
        Self::DiscoveryErrors,
        Self::DiscoveryPollDuration,
        Self::Epoch,
        Self::Placements,
        Self::Moves,
        Self::ExpiredNodes,
        Self::DeletedNodes,
        Self::DrainingNodes,
        Self::PatchFailures,
        Self::RejectedConfigs,
        Self::StaleEpochs,
        Self::PersistenceFailures,
        Self::InvariantViolations,
        Self::InformerSynced,
        Self::InformerObjects,
        Self::InformerListings,
        Self::InformerFailures,
        Self::ActorRestarts,
        Self::ActorPanics,
        Self::RefusedMessages,
        Self::ProviderInContact,
        Self::ProviderDropped,
        Self::ProviderConfigs,
        Self::ProviderPolls,
        Self::ProviderLastSuccess,
        Self::CheckRuns,
        Self::CheckMissedRuns,
        Self::CheckExecution,
        Self::CheckQueueWait,
        Self::WorkerUtilization,
        Self::Workers,
        Self::RunningChecks,
        Self::LoadFailures,
        Self::TransactionsSuccess,
        Self::TransactionsSuccessBytes,
        Self::TransactionsDropped,
        Self::TransactionsErrors,
        Self::TransactionsHttpErrors,
        Self::OutputSentItems,
        Self::OutputDroppedItems,
        Self::OutputRetries,
        Self::OutputQueuedBytes,
        Self::OutputQueuedPayloads,
        Self::ResidentMemory,
        Self::CpuSeconds,
        Self::OpenFds,
        Self::StartTime,
    ];

    /// What is known about it. Source: cluster-checks 14.1, autodiscovery 11.4, cluster-agent-kubernetes 1.8, 2.3, 6.7, node-runner 14.9.
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
            Self::LeaderEpoch => {
                let help = "Changes of the leader so far, as far as this replica saw them";
                ours("muster_leader_epoch", MetricKind::Gauge, "epochs", &[], "cluster", help)
            }
            Self::LeaderKnown => {
                let help = "Whether this replica knows who leads, itself or another one";
                ours("muster_leader_known", MetricKind::Gauge, "0 or 1", &[], "cluster", help)
            }
            Self::LeaderValid => {
                let help = "Time for which that is certain if the lock is out of reach from now on; none when it is for ever";
                ours("muster_leader_valid_seconds", MetricKind::Gauge, "seconds", &[], "cluster", help)
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
            Self::DiscoveryPollDuration => {
                let help = "Time to read all configs of a provider";
                upstream("autodiscovery_poll_duration", REQUEST_SECONDS, "seconds", &["provider"], "both", help)
            }
            Self::Epoch => ours("muster_dispatcher_epoch", MetricKind::Gauge, "epochs", &[], "cluster", "Epoch of the decisions in force"),
            Self::Placements => {
                let (labels, help) = (&[], "Configs without an owner that got one");
                ours("muster_dispatcher_placements_total", MetricKind::Counter, "configs", labels, "cluster", help)
            }
            Self::Moves => {
                let (labels, help) = (&["reason"], "Configs that went from one node to another one");
                ours("muster_dispatcher_moves_total", MetricKind::Counter, "configs", labels, "cluster", help)
            }
            Self::ExpiredNodes => {
                let (labels, help) = (&[], "Nodes that sent no heartbeat for too long");
                ours("muster_dispatcher_expired_nodes_total", MetricKind::Counter, "nodes", labels, "cluster", help)
            }
            Self::DeletedNodes => {
                let (labels, help) = (&[], "Nodes whose pod or Kubernetes node is gone");
                ours("muster_dispatcher_deleted_nodes_total", MetricKind::Counter, "nodes", labels, "cluster", help)
            }
            Self::DrainingNodes => {
                let (labels, help) = (&[], "Nodes on their way out, for example because their pod is terminating");
                ours("muster_dispatcher_draining_nodes", MetricKind::Gauge, "nodes", labels, "cluster", help)
            }
            Self::PatchFailures => {
                let (labels, help) = (&[], "Discovered configs that could not be made ready for dispatching");
                ours("muster_dispatcher_patch_failures_total", MetricKind::Counter, "configs", labels, "cluster", help)
            }
            Self::RejectedConfigs => {
                let (labels, help) = (&[], "Discovered configs that cannot be dispatched now");
                ours("muster_dispatcher_rejected_configs", MetricKind::Gauge, "configs", labels, "cluster", help)
            }
            Self::StaleEpochs => {
                let (labels, help) = (&[], "Messages of an older epoch that were dropped");
                ours("muster_dispatcher_stale_epochs_total", MetricKind::Counter, "messages", labels, "cluster", help)
            }
            Self::PersistenceFailures => {
                let (labels, help) = (&[], "Changes that were shown although the disk, or a follower, did not have them yet");
                ours("muster_dispatcher_persistence_failures_total", MetricKind::Counter, "changes", labels, "cluster", help)
            }
            Self::InvariantViolations => {
                let (labels, help) = (&["name"], "Invariants found broken; the safe path was taken");
                ours("muster_invariant_violations_total", MetricKind::Counter, "violations", labels, "cluster", help)
            }
            Self::InformerSynced => {
                let (labels, help) = (&["resource"], "Whether a listing of these Kubernetes objects has been completed");
                ours("muster_informer_synced", MetricKind::Gauge, "0 or 1", labels, "cluster", help)
            }
            Self::InformerObjects => {
                let (labels, help) = (&["resource"], "Kubernetes objects known");
                ours("muster_informer_objects", MetricKind::Gauge, "objects", labels, "cluster", help)
            }
            Self::InformerListings => {
                let (labels, help) = (&["resource"], "Listings of Kubernetes objects that were completed");
                ours("muster_informer_listings_total", MetricKind::Counter, "listings", labels, "cluster", help)
            }
            Self::InformerFailures => {
                let (labels, help) = (&["resource"], "Failures of listing and watching Kubernetes objects");
                ours("muster_informer_failures_total", MetricKind::Counter, "failures", labels, "cluster", help)
            }
            Self::ActorRestarts => {
                let (labels, help) = (&["actor"], "Incarnations of an actor after the first");
                ours("muster_kernel_restarts_total", MetricKind::Counter, "restarts", labels, "both", help)
            }
            Self::ActorPanics => {
                let (labels, help) = (&["actor"], "Incarnations of an actor that ended by a panic");
                ours("muster_kernel_panics_total", MetricKind::Counter, "panics", labels, "both", help)
            }
            Self::RefusedMessages => {
                let (labels, help) = (&["actor"], "Messages refused because the actor was down or its mailbox full");
                ours("muster_kernel_refused_messages_total", MetricKind::Counter, "messages", labels, "both", help)
            }
            Self::ProviderInContact => {
                let (labels, help) = (&["provider"], "Whether the cluster agent answered within the grace period");
                ours("muster_provider_in_contact", MetricKind::Gauge, "0 or 1", labels, "node", help)
            }
            Self::ProviderDropped => {
                let (labels, help) = (&["provider"], "Whether all configs were dropped for want of a usable answer");
                ours("muster_provider_dropped", MetricKind::Gauge, "0 or 1", labels, "node", help)
            }
            Self::ProviderConfigs => {
                let (labels, help) = (&["provider"], "Configs of the provider that are to run");
                ours("muster_provider_configs", MetricKind::Gauge, "configs", labels, "node", help)
            }
            Self::ProviderPolls => {
                let (labels, help) = (&["provider", "state"], "Polls that ended, by `ok` and `error`");
                ours("muster_provider_polls_total", MetricKind::Counter, "polls", labels, "node", help)
            }
            Self::ProviderLastSuccess => {
                let (labels, help) = (&["provider"], "Last usable answer of the cluster agent since the Unix epoch");
                ours("muster_provider_last_success_timestamp_seconds", MetricKind::Gauge, "seconds", labels, "node", help)
            }
            Self::CheckRuns => {
                let (labels, help) = (&["check", "state"], "Finished runs by check name and `ok`, `error`, `timeout`");
                ours("check_runs_total", MetricKind::Counter, "runs", labels, "node", help)
            }
            Self::CheckMissedRuns => {
                let (labels, help) = (&["check"], "Turns that found the check still queued or running");
                ours("muster_check_missed_runs_total", MetricKind::Counter, "turns", labels, "node", help)
            }
            Self::CheckExecution => {
                let (labels, help) = (&["check"], "Time that runs took");
                ours("check_execution_seconds", RUN_SECONDS, "seconds", labels, "node", help)
            }
            Self::CheckQueueWait => {
                let (labels, help) = (&["check"], "Time that runs waited for a permit");
                ours("check_queue_wait_seconds", RUN_SECONDS, "seconds", labels, "node", help)
            }
            Self::WorkerUtilization => {
                let (labels, help) = (&["worker"], "Busy fraction of a worker, smoothed over windows of 15 s");
                ours("worker_utilization", MetricKind::Gauge, "0 to 1", labels, "node", help)
            }
            Self::Workers => {
                let (labels, help) = (&[], "Workers that balancing plans with");
                ours("muster_check_workers", MetricKind::Gauge, "workers", labels, "node", help)
            }
            Self::RunningChecks => {
                let (labels, help) = (&["check"], "Instances that are scheduled");
                ours("muster_check_instances", MetricKind::Gauge, "instances", labels, "node", help)
            }
            Self::LoadFailures => {
                let (labels, help) = (&["check"], "Instances that cannot run here");
                ours("muster_check_load_failures", MetricKind::Gauge, "instances", labels, "node", help)
            }
            Self::TransactionsSuccess => {
                let (labels, help) = (&["domain", "endpoint", "proto_version"], "Payloads the intake accepted");
                upstream("transactions__success", MetricKind::Counter, "payloads", labels, "node", help)
            }
            Self::TransactionsSuccessBytes => {
                let (labels, help) = (&["domain", "endpoint"], "Bytes the intake accepted");
                upstream("transactions__success_bytes", MetricKind::Counter, "bytes", labels, "node", help)
            }
            Self::TransactionsDropped => {
                let (labels, help) = (&["domain", "endpoint"], "Payloads that will never be sent");
                upstream("transactions__dropped", MetricKind::Counter, "payloads", labels, "node", help)
            }
            Self::TransactionsErrors => {
                let (labels, help) = (&["domain", "endpoint", "error_type"], "Failed attempts by class");
                upstream("transactions__errors", MetricKind::Counter, "attempts", labels, "node", help)
            }
            Self::TransactionsHttpErrors => {
                let (labels, help) = (&["domain", "endpoint", "code"], "Answers of 400 or more");
                upstream("transactions__http_errors", MetricKind::Counter, "answers", labels, "node", help)
            }
            Self::OutputSentItems => {
                let (labels, help) = (&["output", "kind"], "Items sent: points, sketches, check_runs, events");
                ours("muster_output_sent_items_total", MetricKind::Counter, "items", labels, "node", help)
            }
            Self::OutputDroppedItems => {
                let (labels, help) = (&["output", "kind", "reason"], "Items lost");
                ours("muster_output_dropped_items_total", MetricKind::Counter, "items", labels, "node", help)
            }
            Self::OutputRetries => {
                let (labels, help) = (&["output"], "Attempts that will be repeated");
                ours("muster_output_retries_total", MetricKind::Counter, "attempts", labels, "node", help)
            }
            Self::OutputQueuedBytes => {
                let (labels, help) = (&["output"], "Bytes of payloads that wait");
                ours("muster_output_queued_bytes", MetricKind::Gauge, "bytes", labels, "node", help)
            }
            Self::OutputQueuedPayloads => {
                let (labels, help) = (&["output"], "Payloads that wait");
                ours("muster_output_queued_payloads", MetricKind::Gauge, "payloads", labels, "node", help)
            }
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

    /// Names of ours that node-runner 14.9 fixes.
    const FIXED: [&str; 4] = ["check_runs_total", "check_execution_seconds", "check_queue_wait_seconds", "worker_utilization"];

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
            let fixed = FIXED.contains(&spec.name);
            assert!(spec.upstream || fixed || spec.name.starts_with("muster_"), "{}", spec.name);
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
        }
    }

    #[test]
    fn counters_of_ours_end_in_total_and_nothing_else_does() {
        for spec in Metric::ALL.iter().map(|metric| metric.spec()).filter(|spec| !spec.upstream) {
            assert_eq!(spec.name.ends_with("_total"), spec.kind == MetricKind::Counter, "{}", spec.name);
        }
    }

    #[test]
    fn request_times_have_the_stock_bounds() {
        let MetricKind::Histogram { buckets } = Metric::ApiElapsed.spec().kind else { panic!("a histogram") };
        assert_eq!(buckets.len(), 11);
        assert_eq!((buckets[0], buckets[10]), (0.005, 10.0));
    }
}

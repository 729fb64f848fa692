//! Every metric this program serves: the only place with their names.
//!
//! To add one: a row of the table; then record it where it happens ([`super::Metrics::increment`], [`super::Metrics::observe`]) or
//! fill it at scrape ([`super::Metrics::add_source`]).

use muster_actors::domain::durations::DURATION_BOUNDS;

use self::MetricKind::{Counter, Gauge};

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

/// Served by upstream, too.
const UPSTREAM: bool = true;

/// Of our own.
const OURS: bool = false;

/// Makes of one row for each metric its name in the program, the list of all, and what is known about it: the fields of [`MetricSpec`].
macro_rules! metrics {
    ($($metric:ident: $whose:ident($name:literal, $kind:expr, $unit:literal, $labels:expr, $roles:literal, $help:literal);)*) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$metric,)*];

            /// What is known about it.
            #[must_use]
            pub const fn spec(self) -> MetricSpec {
                match self {
                    $(Self::$metric => MetricSpec {
                        name: $name,
                        kind: $kind,
                        unit: $unit,
                        labels: &$labels,
                        roles: $roles,
                        upstream: $whose,
                        help: $help,
                    },)*
                }
            }
        }
    };
}

// Source: cluster-checks 14.1, autodiscovery 11.4, cluster-agent-kubernetes 1.8, 2.3, 6.7, node-runner 14.9.
metrics! {
    ApiRequests: UPSTREAM("api_requests", Counter, "requests", ["handler", "status", "forwarded"],
        "cluster", "Requests answered, by route and status");
    ApiElapsed: UPSTREAM("api_elapsed", REQUEST_SECONDS, "seconds", ["handler", "status", "forwarded"],
        "cluster", "Time to answer a request");
    NodesReporting: UPSTREAM("cluster_checks_nodes_reporting", Gauge, "nodes", ["join_leader"],
        "cluster", "Registered nodes");
    ConfigsDangling: UPSTREAM("cluster_checks_configs_dangling", Gauge, "configs", ["join_leader"],
        "cluster", "Configs without an owner");
    ConfigsDispatched: UPSTREAM("cluster_checks_configs_dispatched", Gauge, "configs", ["node", "join_leader"],
        "cluster", "Configs of a node");
    ConfigsInfo: UPSTREAM("cluster_checks_configs_info", Gauge, "always 1", ["node", "check_name", "check_id", "join_leader"],
        "cluster", "Owner of a check instance");
    UnscheduledCheck: UPSTREAM("cluster_checks_unscheduled_check", Gauge, "configs", ["config_name", "config_source", "join_leader"],
        "cluster", "Configs without an owner for longer than cluster_checks.unscheduled_check_threshold");
    UpdatingStatsDuration: UPSTREAM("cluster_checks_updating_stats_duration_seconds", Gauge, "seconds", ["join_leader"],
        "cluster", "Time of the last collection of the statistics of all runners");
    FailedStatsCollection: UPSTREAM("cluster_checks_failed_stats_collection", Counter, "collections", ["node", "join_leader"],
        "cluster", "Collections of the statistics of a runner that failed, in this term of the leader");
    Busyness: UPSTREAM("cluster_checks_busyness", Gauge, "weight", ["node", "join_leader"],
        "cluster", "Weight of all checks of a runner");
    PredictedUtilization: UPSTREAM("cluster_checks_predicted_utilization", Gauge, "0 to 1", ["node", "join_leader"],
        "cluster", "Utilization of a runner after the last plan, as a part of its workers");
    RebalancingDecisions: UPSTREAM("cluster_checks_rebalancing_decisions", Counter, "moves", ["join_leader"],
        "cluster", "Moves for balance that the leader decided on; those of a plan are made together or not at all");
    SuccessfulRebalancingMoves: UPSTREAM("cluster_checks_successful_rebalancing_moves", Counter, "moves", ["join_leader"],
        "cluster", "Moves for balance that were made");
    RebalancingDuration: UPSTREAM("cluster_checks_rebalancing_duration_seconds", Gauge, "seconds", ["join_leader"],
        "cluster", "Time that the last plan took to make, without the collection of statistics");
    StatsAge: OURS("muster_runner_stats_age_seconds", Gauge, "seconds", ["node"],
        "cluster", "Time since the statistics of a runner were last collected");
    EndpointConfigsDispatched: UPSTREAM("endpoint_checks_configs_dispatched", Gauge, "configs", ["node", "join_leader"],
        "cluster", "Endpoint checks of a Kubernetes node");
    IsLeader: UPSTREAM("leader_election_is_leader", Gauge, "0 or 1", ["join_leader", "is_leader"],
        "cluster", "Whether this replica leads");
    LeaderEpoch: OURS("muster_leader_epoch", Gauge, "epochs", [],
        "cluster", "Changes of the leader so far, as far as this replica saw them");
    LeaderKnown: OURS("muster_leader_known", Gauge, "0 or 1", [],
        "cluster", "Whether this replica knows who leads, itself or another one");
    LeaderValid: OURS("muster_leader_valid_seconds", Gauge, "seconds", [],
        "cluster", "Time for which that is certain if the lock is out of reach from now on; none when it is for ever");
    ScheduledConfigs: UPSTREAM("autodiscovery_scheduled_configs", Gauge, "configs", ["provider", "type"],
        "both", "Configs that discovery scheduled");
    DiscoveryErrors: UPSTREAM("autodiscovery_errors", Gauge, "errors", ["provider"],
        "both", "Files, annotations and templates that discovery cannot use");
    DiscoveryPollDuration: UPSTREAM("autodiscovery_poll_duration", REQUEST_SECONDS, "seconds", ["provider"],
        "both", "Time to read all configs of a provider");
    Epoch: OURS("muster_dispatcher_epoch", Gauge, "epochs", [],
        "cluster", "Epoch of the decisions in force");
    Placements: OURS("muster_dispatcher_placements_total", Counter, "configs", [],
        "cluster", "Configs without an owner that got one");
    Moves: OURS("muster_dispatcher_moves_total", Counter, "configs", ["reason"],
        "cluster", "Configs that went from one node to another one");
    ExpiredNodes: OURS("muster_dispatcher_expired_nodes_total", Counter, "nodes", [],
        "cluster", "Nodes that sent no heartbeat for too long");
    DeletedNodes: OURS("muster_dispatcher_deleted_nodes_total", Counter, "nodes", [],
        "cluster", "Nodes whose pod or Kubernetes node is gone");
    DrainingNodes: OURS("muster_dispatcher_draining_nodes", Gauge, "nodes", [],
        "cluster", "Nodes on their way out, for example because their pod is terminating");
    PatchFailures: OURS("muster_dispatcher_patch_failures_total", Counter, "configs", [],
        "cluster", "Discovered configs that could not be made ready for dispatching");
    RejectedConfigs: OURS("muster_dispatcher_rejected_configs", Gauge, "configs", [],
        "cluster", "Discovered configs that cannot be dispatched now");
    StaleEpochs: OURS("muster_dispatcher_stale_epochs_total", Counter, "messages", [],
        "cluster", "Messages of an older epoch that were dropped");
    PersistenceFailures: OURS("muster_dispatcher_persistence_failures_total", Counter, "changes", [],
        "cluster", "Changes that were shown although the disk, or a follower, did not have them yet");
    InvariantViolations: OURS("muster_invariant_violations_total", Counter, "violations", ["name"],
        "cluster", "Invariants found broken; the safe path was taken");
    InformerSynced: OURS("muster_informer_synced", Gauge, "0 or 1", ["resource"],
        "cluster", "Whether a listing of these Kubernetes objects has been completed");
    InformerObjects: OURS("muster_informer_objects", Gauge, "objects", ["resource"],
        "cluster", "Kubernetes objects known");
    InformerListings: OURS("muster_informer_listings_total", Counter, "listings", ["resource"],
        "cluster", "Listings of Kubernetes objects that were completed");
    InformerFailures: OURS("muster_informer_failures_total", Counter, "failures", ["resource"],
        "cluster", "Failures of listing and watching Kubernetes objects");
    KubeEvents: UPSTREAM("kubernetes_apiserver_kube_events", Counter, "events", ["kind", "component", "type", "reason", "source"],
        "cluster", "Kubernetes events that every output has in safety");
    EmittedEvents: UPSTREAM("kubernetes_apiserver_emitted_events", Counter, "events", ["kind", "type", "source", "is_bundled"],
        "cluster", "Events that were made of them");
    KubeEventsDropped: OURS("muster_events_dropped_total", Counter, "events", [],
        "cluster", "Kubernetes events that found no room in the buffer of the watch mode");
    EventRoundsRepeated: OURS("muster_event_rounds_repeated_total", Counter, "rounds", [],
        "cluster", "Rounds of which an output lost something, so that their events are sent again");
    EventsLag: OURS("muster_events_lag_seconds", Gauge, "seconds", [],
        "cluster", "Age of the newest Kubernetes event when the outputs had it; none before the first one");
    ActorRestarts: OURS("muster_kernel_restarts_total", Counter, "restarts", ["actor"],
        "both", "Incarnations of an actor after the first");
    ActorPanics: OURS("muster_kernel_panics_total", Counter, "panics", ["actor"],
        "both", "Incarnations of an actor that ended by a panic");
    RefusedMessages: OURS("muster_kernel_refused_messages_total", Counter, "messages", ["actor"],
        "both", "Messages refused because the actor was down or its mailbox full");
    ProviderInContact: OURS("muster_provider_in_contact", Gauge, "0 or 1", ["provider"],
        "node", "Whether the cluster agent answered within the grace period");
    ProviderDropped: OURS("muster_provider_dropped", Gauge, "0 or 1", ["provider"],
        "node", "Whether all configs were dropped for want of a usable answer");
    ProviderConfigs: OURS("muster_provider_configs", Gauge, "configs", ["provider"],
        "node", "Configs of the provider that are to run");
    ProviderPolls: OURS("muster_provider_polls_total", Counter, "polls", ["provider", "state"],
        "node", "Polls that ended, by `ok` and `error`");
    ProviderLastSuccess: OURS("muster_provider_last_success_timestamp_seconds", Gauge, "seconds", ["provider"],
        "node", "Last usable answer of the cluster agent since the Unix epoch");
    CheckRuns: OURS("check_runs_total", Counter, "runs", ["check", "state"],
        "node", "Finished runs by check name and `ok`, `error`, `timeout`");
    CheckMissedRuns: OURS("muster_check_missed_runs_total", Counter, "turns", ["check"],
        "node", "Turns that found the check still queued or running");
    CheckExecution: OURS("check_execution_seconds", RUN_SECONDS, "seconds", ["check"],
        "node", "Time that runs took");
    CheckQueueWait: OURS("check_queue_wait_seconds", RUN_SECONDS, "seconds", ["check"],
        "node", "Time that runs waited for a permit");
    WorkerUtilization: OURS("worker_utilization", Gauge, "0 to 1", ["worker"],
        "node", "Busy fraction of a worker, smoothed over windows of 15 s");
    Workers: OURS("muster_check_workers", Gauge, "workers", [],
        "node", "Workers that balancing plans with");
    RunningChecks: OURS("muster_check_instances", Gauge, "instances", ["check"],
        "node", "Instances that are scheduled");
    LoadFailures: OURS("muster_check_load_failures", Gauge, "instances", ["check"],
        "node", "Instances that cannot run here");
    TransactionsSuccess: UPSTREAM("transactions__success", Counter, "payloads", ["domain", "endpoint", "proto_version"],
        "both", "Payloads the intake accepted");
    TransactionsSuccessBytes: UPSTREAM("transactions__success_bytes", Counter, "bytes", ["domain", "endpoint"],
        "both", "Bytes the intake accepted");
    TransactionsDropped: UPSTREAM("transactions__dropped", Counter, "payloads", ["domain", "endpoint"],
        "both", "Payloads that will never be sent");
    TransactionsErrors: UPSTREAM("transactions__errors", Counter, "attempts", ["domain", "endpoint", "error_type"],
        "both", "Failed attempts by class");
    TransactionsHttpErrors: UPSTREAM("transactions__http_errors", Counter, "answers", ["domain", "endpoint", "code"],
        "both", "Answers of 400 or more");
    TransactionsConnections: UPSTREAM("transactions__connection_events", Counter, "connections", ["connection_event_type"],
        "both", "Connections made, `connection_success`");
    FileStorageBytes: UPSTREAM("file_storage__current_size_in_bytes", Gauge, "bytes", ["domain"],
        "both", "Bytes of payloads that wait on the disk");
    FileStorageFiles: UPSTREAM("file_storage__files_count", Gauge, "files", ["domain"],
        "both", "Payloads that wait on the disk, one file each");
    FileStorageRemoved: UPSTREAM("file_storage__files_removed_count", Counter, "files", ["domain"],
        "both", "Payloads on the disk that were given up because it had no more room for them");
    EventsSent: UPSTREAM("metrics__events_sent", Counter, "events", [],
        "both", "Events the intake accepted");
    EventsDropped: UPSTREAM("metrics__events_dropped", Counter, "events", [],
        "both", "Events that will never be sent");
    EventsPayloads: UPSTREAM("metrics__events_payloads", Counter, "payloads", [],
        "both", "Payloads of events the intake accepted; none of them is empty");
    OutputSentItems: OURS("muster_output_sent_items_total", Counter, "items", ["output", "kind"],
        "both", "Items sent: points, sketches, check_runs, events");
    OutputDroppedItems: OURS("muster_output_dropped_items_total", Counter, "items", ["output", "kind", "reason"],
        "both", "Items lost");
    OutputRetries: OURS("muster_output_retries_total", Counter, "attempts", ["output"],
        "both", "Attempts that will be repeated");
    OutputQueuedBytes: OURS("muster_output_queued_bytes", Gauge, "bytes", ["output"],
        "both", "Bytes of payloads that wait");
    OutputQueuedPayloads: OURS("muster_output_queued_payloads", Gauge, "payloads", ["output"],
        "both", "Payloads that wait");
    OutputSpooledBytes: OURS("muster_output_spooled_bytes", Gauge, "bytes", ["output"],
        "both", "Bytes of payloads that wait on the disk, a part of those that wait");
    OutputSpooledPayloads: OURS("muster_output_spooled_payloads", Gauge, "payloads", ["output"],
        "both", "Payloads that wait on the disk, a part of those that wait");
    ResidentMemory: UPSTREAM("process_resident_memory_bytes", Gauge, "bytes", [],
        "both", "Memory in use");
    CpuSeconds: UPSTREAM("process_cpu_seconds_total", Counter, "seconds", [],
        "both", "Processor time used, user and system");
    OpenFds: UPSTREAM("process_open_fds", Gauge, "files", [],
        "both", "Open file descriptors");
    StartTime: UPSTREAM("process_start_time_seconds", Gauge, "seconds", [],
        "both", "Start of the process since the Unix epoch");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of ours that node-runner 14.9 fixes.
    const FIXED: [&str; 4] = ["check_runs_total", "check_execution_seconds", "check_queue_wait_seconds", "worker_utilization"];

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

//! Keys of the Kubernetes side of the cluster role: API server, election, discovery, metadata.
//!
//! Source: cluster-agent-kubernetes 7.4, 7.5, 7.9; autodiscovery 13.

use crate::config::option::{KeySpec, Kind, Unit, choice, duration, duration_from_one, flag, integer, list, text};

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    text("kubernetes_kubeconfig_path", "", "Configuration of the Kubernetes client; set = Kubernetes is there"),
    text("kubernetes_apiserver_ca_path", "", "File with the certificate authority of the API server, instead of the usual one"),
    flag("kubernetes_apiserver_tls_verify", "true", "Verify the certificate of the API server"),
    duration_from_one("kubernetes_apiserver_client_timeout", Unit::Seconds, "10", "Longest time of one request to the API server"),
    integer("muster.kubernetes_page_size", "500", 1, 100_000, "Objects in one page of a listing").cluster(),
    duration(
        "kube_cache_sync_timeout_seconds",
        Unit::Seconds,
        "10",
        "Longest time that readiness waits for the first listings; what is not listed then answers 503 until it is",
    )
    .cluster(),
    text("kube_resources_namespace", "", "Namespace of lock, snapshot and token of the events; empty = that of the pod"),
    text("pod_name", "", "Own pod name, the name in the lock; empty = the host name of the system (with `muster.lock_file` and the port)").cluster(),
    flag("leader_election", "false", "Elect one of several replicas; without it this replica leads").cluster(),
    duration("leader_lease_duration", Unit::Seconds, "60", "Time without renewal after which another replica takes over; 0 = 60").cluster(),
    text("leader_lease_name", "datadog-leader-election", "Name of the lock").cluster(),
    text(
        "leader_election_default_resource",
        "configmap",
        "Kind of the lock: `lease` or `leases`, `configmap` or `configmaps`; anything else = whichever the API server has",
    )
    .cluster(),
    flag("leader_election_release_on_shutdown", "true", "Give the lock up when stopping, so that another replica leads at once").cluster(),
    text("muster.lock_file", "", "Stand-alone mode: file that serves as the lock of several replicas; on several machines also set `muster.advertise_address`")
        .cluster(),
    text(
        "muster.advertise_address",
        "",
        "host:port under which other replicas reach this one; empty = own address towards the API server (with `muster.lock_file`: 127.0.0.1) and `cluster_agent.cmd_port`",
    )
    .cluster(),
    integer("cluster_agent.max_leader_connections", "100", 1, 100_000, "Connections from a follower to the leader").cluster(),
    flag("muster.snapshot", "true", "Keep the assignment in the ConfigMap `muster-state`, so that all replicas may go at once").cluster(),
    flag("kubernetes_collect_metadata_tags", "true", "Map pods to services for the tags of node agents")
        .also(&["DD_USE_METADATA_MAPPER"])
        .cluster(),
    flag("kubernetes_use_endpoint_slices", "false", "Watch EndpointSlices instead of Endpoints").cluster(),
    flag("kubernetes_kube_service_ignore_readiness", "false", "Map pods that are not ready to services, too").cluster(),
    flag("kubernetes_endpoint_slices_ignore_readiness", "false", "Run endpoint checks on addresses of slices that are not ready, too")
        .cluster(),
    list(
        "kubernetes_node_annotations_as_host_aliases",
        "cluster.k8s.io/machine",
        "Node annotations served when an agent names none; they become host aliases",
    )
    .cluster(),
    text("kubernetes_node_label_as_cluster_name", "", "Node label whose value is the cluster name where `cluster_name` is not set"),
    choice(
        "muster.watch_pods",
        "own",
        &["own", "all", "off"],
        "Pods that are watched: of the own namespace (runners that end are drained), of all (container ids are found, too), or none",
    )
    .cluster(),
    list("extra_listeners", "", "Sources of services for templates: `kube_services`, `kube_endpoints`").cluster(),
    KeySpec::new("listeners", Kind::Maps, "", "Sources of services with their options; each map has a `name`").cluster(),
    flag(
        "cluster_checks.support_hybrid_ignore_ad_tags",
        "false",
        "Honour the annotation `ignore_autodiscovery_tags` beside version 2 annotations",
    )
    .cluster(),
    flag("prometheus_scrape.enabled", "false", "Schedule an openmetrics check for Services with the annotation `prometheus.io/scrape`")
        .cluster(),
    flag("prometheus_scrape.service_endpoints", "false", "Scrape each endpoint of such a Service instead of the Service").cluster(),
    KeySpec::new("prometheus_scrape.checks", Kind::Maps, "", "What is scraped and how, instead of the default").cluster(),
    integer("prometheus_scrape.version", "1", 1, 2, "Form of the openmetrics instances").cluster(),
    list("container_include", "", "Workloads to look at in spite of an exclusion: `kube_namespace:REGEX`, `name:REGEX`, `image:REGEX`").cluster(),
    list("container_exclude", "", "Workloads to leave alone: `kube_namespace:REGEX`, `name:REGEX`, `image:REGEX`").cluster(),
    list("container_include_metrics", "", "Workloads to collect metrics from in spite of an exclusion").cluster(),
    list("container_exclude_metrics", "", "Workloads to collect no metrics from").cluster(),
    list("ac_include", "", "Old form of `container_include`").cluster(),
    list("ac_exclude", "", "Old form of `container_exclude`").cluster(),
];

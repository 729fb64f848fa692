//! Keys that stock knows and that nothing here uses yet. Source: cluster-agent-kubernetes 7.2 to 7.9, 9.3, 9.4.
//!
//! They are listed so that a configuration that works with stock does not fill the log with warnings.

use crate::config::option::{KeySpec, Unit, duration, flag, integer, list, map, port, port_or_off, text, tree};

const fn yes_no(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    flag(key, default, help).accepted()
}

const fn words(key: &'static str, help: &'static str) -> KeySpec {
    list(key, "", help).accepted()
}

const fn pairs(key: &'static str, help: &'static str) -> KeySpec {
    map(key, "", help).accepted()
}

const fn string(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    text(key, default, help).accepted()
}

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    // Splitting of cluster checks.
    yes_no("cluster_checks.ksm_sharding_enabled", "false", "Split kubernetes_state_core").cluster(),
    yes_no("cluster_checks.crd_collection", "false", "Collect custom resources").cluster(),
    yes_no("clc_runner_remote_tagger_enabled", "true", "Take tags from the cluster agent").node(),
    // Running checks.
    duration("check_cancel_timeout", Unit::GoStyle, "500ms", "How long cancelling a check may take").accepted().node(),
    duration("check_watchdog_warning_timeout", Unit::GoStyle, "0s", "Warn about runs that take longer; 0 = never").accepted().node(),
    duration("check_runner_utilization_monitor_interval", Unit::GoStyle, "60s", "Time between two looks at the utilization")
        .accepted()
        .node(),
    // Cluster agent.
    string("cluster_agent.service_account_name", "", "Own service account").cluster(),
    yes_no("cluster_agent.tagging_fallback", "false", "Ask the API server when the cluster agent is down").node(),
    duration("cluster_agent.server.read_timeout_seconds", Unit::Seconds, "2", "Read timeout").accepted().cluster(),
    duration("cluster_agent.server.write_timeout_seconds", Unit::Seconds, "2", "Write timeout").accepted().cluster(),
    yes_no("cluster_agent.collect_kubernetes_tags", "false", "Collect tags of pods").cluster(),
    tree("cluster_agent.kubernetes_resources_collection", "What is collected about pods and deployments").cluster(),
    tree("cluster_agent.kube_metadata_collection", "Metadata of further resources").cluster(),
    tree("cluster_agent.language_detection", "Language detection").cluster(),
    tree("cluster_agent.cluster_tagger", "Tag stream of the cluster role").cluster(),
    tree("cluster_agent.tracing", "Own traces").cluster(),
    port_or_off("expvar_port", "5000", "Second port of the telemetry endpoint").accepted().node(),
    // Kubernetes and leader election.
    yes_no("kubernetes_apiserver_use_protobuf", "false", "Talk protobuf to the API server"),
    duration("kubernetes_informers_resync_period", Unit::Seconds, "300", "Time between two listings").accepted(),
    duration("kubernetes_informers_restclient_timeout", Unit::Seconds, "60", "Timeout of listings").accepted(),
    duration("kubernetes_event_collection_timeout", Unit::Milliseconds, "100", "Timeout of event collection").accepted().cluster(),
    duration("kubernetes_metadata_tag_update_freq", Unit::Seconds, "60", "Time between two metadata polls").accepted().node(),
    yes_no("kubernetes_metadata_streaming", "false", "Stream metadata").node(),
    yes_no("kubernetes_map_services_on_ip", "false", "Match services by address"),
    pairs("kubernetes_node_labels_as_tags", "Node labels as tags"),
    pairs("kubernetes_node_annotations_as_tags", "Node annotations as tags"),
    pairs("kubernetes_pod_labels_as_tags", "Pod labels as tags"),
    pairs("kubernetes_pod_annotations_as_tags", "Pod annotations as tags"),
    pairs("kubernetes_namespace_labels_as_tags", "Namespace labels as tags"),
    pairs("kubernetes_namespace_annotations_as_tags", "Namespace annotations as tags"),
    pairs("kubernetes_resources_labels_as_tags", "Labels of resources as tags"),
    pairs("kubernetes_resources_annotations_as_tags", "Annotations of resources as tags"),
    yes_no("kubernetes_persistent_volume_claims_as_tags", "true", "Volume claims as tags"),
    words("kubernetes_ad_tags_disabled", "Tags that are left out"),
    string("kubernetes_kubelet_host", "", "Host of the kubelet").node(),
    port("kubernetes_http_kubelet_port", "10255", "Plain port of the kubelet").accepted().node(),
    port("kubernetes_https_kubelet_port", "10250", "TLS port of the kubelet").accepted().node(),
    yes_no("kubelet_tls_verify", "true", "Verify the kubelet").node(),
    string("kubelet_client_ca", "", "Certificate authority of the kubelet").node(),
    string("kubelet_client_crt", "", "Client certificate for the kubelet").node(),
    string("kubelet_client_key", "", "File of the client key for the kubelet").node(),
    yes_no("kubelet_use_api_server", "false", "Ask the API server instead of the kubelet").node(),
    // Autodiscovery.
    yes_no("autoconfig_from_environment", "true", "Find out what is there"),
    string("autoconf_template_dir", "/datadog/check_configs", "Directory of templates"),
    yes_no("autoconf_config_files_poll", "false", "Read files again; ours watches them"),
    duration("autoconf_config_files_poll_interval", Unit::Seconds, "60", "Time between two readings of files").accepted(),
    duration("ac_load_timeout", Unit::Milliseconds, "30000", "Longest time of the first collection").accepted(),
    words("container_include_logs", "Containers to collect logs from"),
    words("container_exclude_logs", "Containers to collect no logs from"),
    yes_no("exclude_pause_container", "true", "Leave pause containers alone"),
    string("cel_workload_exclude", "", "Rules for workloads to leave alone"),
    tree("remote_tagger", "Tag stream"),
    // Core, intake, telemetry, logging.
    string("app_key", "", "Application key").secret(),
    yes_no("hostname_fqdn", "false", "Use the full host name"),
    yes_no("hostname_force_config_as_canonical", "false", "Trust a configured host name"),
    yes_no("hostname_trust_uts_namespace", "false", "Trust the host name of a container"),
    yes_no("enable_metadata_collection", "true", "Send host metadata").node(),
    string("forwarder_http_protocol", "auto", "HTTP version for the intake; it is always HTTP/1.1, which every intake and proxy takes"),
    integer("forwarder_retry_queue_capacity_time_interval_sec", "900", 0, i64::MAX, "Time base of the retry queue").accepted(),
    integer("forwarder_high_prio_buffer_size", "100", 0, i64::MAX, "Queue of new payloads").accepted(),
    integer("forwarder_low_prio_buffer_size", "100", 0, i64::MAX, "Queue of retried payloads").accepted(),
    integer("forwarder_requeue_buffer_size", "100", 0, i64::MAX, "Queue of returned payloads").accepted(),
    yes_no("enable_payloads.json_to_v1_intake", "true", "Send other JSON"),
    tree("telemetry", "Own telemetry to the intake"),
    yes_no("log_to_syslog", "false", "Log to syslog"),
    string("syslog_uri", "", "Address of syslog"),
    yes_no("syslog_rfc", "false", "Form of syslog lines"),
    yes_no("log_payloads", "false", "Log payloads"),
    yes_no("log_all_goroutines_when_unhealthy", "false", "Log stacks when unhealthy"),
    string("additional_checksd", "", "Directory of custom Python checks").node(),
    duration("default_integration_http_timeout", Unit::Seconds, "9", "Timeout of old checks").accepted().node(),
    // Features of other programs that stock files and charts set.
    tree("admission_controller", "Admission controller"),
    tree("external_metrics_provider", "External metrics").cluster(),
    tree("orchestrator_explorer", "Orchestrator explorer"),
    tree("language_detection", "Language detection"),
    tree("remote_configuration", "Remote configuration"),
    tree("compliance_config", "Compliance"),
    tree("autoscaling.failover", "Autoscaling by nodes when the cluster agent is away"),
    tree("autoscaling.workload.limit", "Most workloads that are scaled"),
    tree("autoscaling.workload.external_recommender", "Where recommendations come from"),
    tree("autoscaling.workload.in_place_vertical_scaling", "Resizing of running pods"),
    tree("autoscaling.cluster.spot", "Spot nodes"),
    tree("csi", "CSI driver"),
    tree("apm_config", "Traces").also(&["DD_APM_ENABLED", "DD_APM_RECEIVER_SOCKET"]),
    tree("logs_config", "Logs"),
    tree("process_config", "Processes").also(&["DD_PROCESS_AGENT_ENABLED"]),
    yes_no("logs_enabled", "false", "Collect logs"),
    string("trace_agent_host_socket_path", "", "Directory of the trace socket"),
    string("dogstatsd_host_socket_path", "", "Directory of the DogStatsD socket"),
    yes_no("use_dogstatsd", "true", "Run DogStatsD").node(),
    port_or_off("dogstatsd_port", "8125", "Port of DogStatsD").accepted().node(),
    string("dogstatsd_socket", "", "Socket of DogStatsD").node(),
    yes_no("dogstatsd_non_local_traffic", "false", "Let DogStatsD listen on all addresses").node(),
    integer("dogstatsd_buffer_size", "8192", 1, i64::MAX, "Largest DogStatsD packet").accepted().node(),
    string("secret_backend_type", "", "Built-in resolver"),
    pairs("secret_backend_config", "Options of the built-in resolver"),
];

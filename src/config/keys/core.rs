//! Keys of both roles. Source: cluster-agent-kubernetes 7.2, 7.3, 7.5, 7.7.

use crate::config::option::{KeySpec, Kind, Unit, choice, duration_from_one, flag, integer, list, port, port_or_off, text};

/// Words for `log_level`.
pub(super) const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "warn", "warning", "error", "critical", "off"];

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    text("hostname", "", "Name of this host; empty = found out (`hostname_file`, then the operating system)"),
    text("hostname_file", "", "File that holds the host name"),
    list("tags", "", "Tags of this host, added to cluster checks by the cluster role"),
    list("extra_tags", "", "Further global tags"),
    text("env", "", "Adds the tag `env:<value>`"),
    text("confd_path", "", "Directory of check configurations; empty = `conf.d` in the configuration directory"),
    text("run_path", "/opt/datadog-agent/run", "Directory for state that survives a restart"),
    text("auth_token_file_path", "", "File of the local token; empty = `auth_token` in the configuration directory"),
    text("ipc_cert_file_path", "", "File of the certificate and key of the local API; empty = `ipc_cert.pem` beside the local token"),
    duration_from_one("server_timeout", Unit::Seconds, "30", "How long the command line waits for an answer"),
    port_or_off("metrics_port", "5000", "Port of the Prometheus endpoint; 0 = off"),
    port_or_off("health_port", "0", "Port of the health endpoint; 0 = off"),
    choice("log_level", "info", LOG_LEVELS, "What is logged; can be changed while running"),
    flag("log_to_console", "true", "Log to standard output"),
    text("log_file", "", "Log to this file as well; empty = no file"),
    flag("disable_file_logging", "false", "Do not log to `log_file`"),
    text("log_file_max_size", "10Mb", "Size at which the log file is rolled over, such as 10Mb or 500Kb"),
    integer("log_file_max_rolls", "1", 0, 100, "Number of old log files that are kept"),
    flag("log_format_json", "false", "One JSON object per log line"),
    flag("log_format_rfc3339", "false", "Log times in RFC 3339 form"),
    list("extra_config_providers", "", "Sources of check configurations besides files; node role: `clusterchecks`, `endpointschecks`"),
    KeySpec::new(
        "config_providers",
        Kind::Maps,
        "",
        "Sources of check configurations with their options: `name`, `poll_interval`, `grace_time_seconds`, `degraded_deadline_minutes`; `polling` is accepted and not used: every source is polled",
    ),
    duration_from_one("ad_config_poll_interval", Unit::Seconds, "10", "Time between two polls of a source of check configurations"),
    list("ignore_autoconf", "", "Integrations whose default files are skipped"),
    list("ad_allowed_env_vars", "", "Environment variables that `%%env_<name>%%` may read; empty = all"),
    flag("ad_disable_env_var_resolution", "false", "Leave `%%env_<name>%%` unresolved"),
    flag("muster.keep_ad_tag_options", "false", "Resolved templates keep `ignore_autodiscovery_tags` and `check_tag_cardinality`"),
    text("cluster_agent.auth_token", "", "Token shared by cluster role, nodes and runners; at least 32 characters").secret(),
    port("cluster_agent.cmd_port", "5005", "Port of the cluster role's API"),
    text(
        "cluster_agent.kubernetes_service_name",
        "datadog-cluster-agent",
        "Name of the Service of the cluster role; its environment variables lead nodes to it",
    ),
    duration_from_one("cluster_agent.server.idle_timeout_seconds", Unit::Seconds, "60", "Longest time one request may take"),
    flag("cluster_agent.allow_legacy_tls", "false", "Accepted and changes nothing: TLS 1.2 is on, see `muster.tls_min_version`"),
    flag("cluster_trust_chain.enable_tls_verification", "false", "Verify certificates between nodes and the cluster role"),
    text("cluster_trust_chain.ca_cert_file_path", "", "Certificate of the authority that signs server certificates"),
    text("cluster_trust_chain.ca_key_file_path", "", "Key of the authority that signs server certificates"),
    duration_from_one(
        "cluster_checks.node_expiration_timeout",
        Unit::Seconds,
        "30",
        "Time without a poll after which a node is dead; nodes send an extra heartbeat 5 s earlier",
    ),
    choice("muster.tls_min_version", "1.2", &["1.2", "1.3"], "Oldest TLS version that our servers accept"),
    text("muster.compat_version", "7.81.1", "Version that `/version` and the intake are told"),
    text(
        "secret_backend_command",
        "",
        "Program that resolves `ENC[handle]` in texts of this configuration, at the start, and in check configurations",
    ),
    list("secret_backend_arguments", "", "Its arguments"),
    duration_from_one("secret_backend_timeout", Unit::Seconds, "30", "Longest time of one call of it"),
    integer("secret_backend_output_max_size", "1048576", 1, i64::MAX, "Largest output of it, in bytes"),
    flag("secret_backend_command_allow_group_exec_perm", "false", "It may be executable by its group"),
    flag("secret_backend_skip_checks", "false", "Do not resolve secrets of check configurations"),
    flag("secret_backend_remove_trailing_line_break", "false", "Remove the last line break of a secret"),
];

//! Keys of sending to the intake. Source: cluster-agent-kubernetes 7.2 and 7.6, node-runner 14.1.

use crate::config::option::{KeySpec, Kind, Unit, choice, duration, duration_from_one, flag, integer, list, map, number, text};

/// Outputs that are built.
const OUTPUTS: &[&str] = &["datadog", "stdout"];

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    text("api_key", "", "Key of the intake").secret(),
    text("site", "datadoghq.com", "Site of the intake"),
    text("dd_url", "", "Full URL of the intake, instead of the one made from `site`").also(&["DD_URL"]),
    map("additional_endpoints", "", "Further intakes: URL -> list of API keys").secret(),
    text("proxy.http", "", "Proxy for http requests to the intake; empty = `HTTP_PROXY`"),
    text("proxy.https", "", "Proxy for https requests to the intake; empty = `HTTPS_PROXY`"),
    list("proxy.no_proxy", "", "Hosts that are reached without proxy; empty = `NO_PROXY`"),
    flag("use_proxy_for_cloud_metadata", "false", "Reach cloud metadata addresses through the proxy"),
    flag("no_proxy_nonexact_match", "false", "Let `proxy.no_proxy` match domains, networks and `*` too"),
    flag("allow_arbitrary_tags", "false", "Tell the intake to take tag values as they are (header Allow-Arbitrary-Tag-Value)"),
    flag("skip_ssl_validation", "false", "Do not verify the certificate of the intake"),
    choice(
        "min_tls_version",
        "tlsv1.2",
        &["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"],
        "Oldest TLS version for the intake; below 1.2 means 1.2",
    ),
    duration_from_one("forwarder_timeout", Unit::Seconds, "20", "Longest time one request to the intake may take"),
    duration("forwarder_stop_timeout", Unit::Seconds, "2", "Time for sending what is left when stopping"),
    duration(
        "forwarder_connection_reset_interval",
        Unit::Seconds,
        "0",
        "Time after which connections to the intake are made anew; 0 = never",
    ),
    number("forwarder_backoff_factor", "2", 2.0, f64::MAX, "Width of the random part of a retry delay"),
    number("forwarder_backoff_base", "2", 0.001, f64::MAX, "Base of the retry delay in seconds"),
    number("forwarder_backoff_max", "64", 0.001, f64::MAX, "Longest retry delay in seconds"),
    integer("forwarder_recovery_interval", "2", 1, 1000, "Errors forgotten with every success"),
    flag("forwarder_recovery_reset", "false", "Forget all errors with one success"),
    integer(
        "forwarder_retry_queue_payloads_max_size",
        "15728640",
        0,
        i64::MAX,
        "Size of the retry queue in bytes; the oldest payloads go first",
    ),
    duration("forwarder_apikey_validation_interval", Unit::Minutes, "60", "Time between two checks of the API key"),
    choice("serializer_compressor_kind", "zstd", &["zstd", "zlib", "gzip", "none"], "Compression of payloads"),
    integer("serializer_zstd_compressor_level", "1", 1, 22, "Level of zstd"),
    integer("serializer_max_payload_size", "2621440", 1, i64::MAX, "Largest payload in bytes, compressed"),
    integer("serializer_max_uncompressed_payload_size", "4194304", 1, i64::MAX, "Largest payload in bytes, uncompressed"),
    integer("serializer_max_series_payload_size", "512000", 1, i64::MAX, "Largest series payload in bytes, compressed"),
    integer("serializer_max_series_uncompressed_payload_size", "5242880", 1, i64::MAX, "Largest series payload in bytes, uncompressed"),
    integer("serializer_max_series_points_per_payload", "10000", 1, i64::MAX, "Most points in one series payload"),
    flag("use_v2_api.series", "true", "Send series in the second format"),
    flag("enable_payloads.series", "true", "Send series"),
    flag("enable_payloads.events", "true", "Send events"),
    flag("enable_payloads.service_checks", "true", "Send service checks"),
    flag("enable_payloads.sketches", "true", "Send sketches"),
    flag("enable_cluster_agent_metadata_collection", "false", "Tell the intake which version runs, and how it is configured").cluster(),
    flag("inventories_configuration_enabled", "true", "Tell the configuration, without secrets, with the metadata").cluster(),
    KeySpec::new(
        "muster.outputs",
        Kind::List { allowed: OUTPUTS },
        "",
        "Where samples and events go; empty = `datadog` when an API key is set, else `stdout` (node) or nowhere (cluster role)",
    ),
    duration("muster.flush_interval", Unit::Seconds, "15s", "Time between two flushes of what checks submitted to the outputs"),
];

//! Keys of sending to the intake. Source: cluster-agent-kubernetes 7.2 and 7.6, node-runner 14.1.

use crate::config::option::{KeySpec, Unit, choice, duration, duration_from_one, flag, integer, list, map, number, text};

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    text("api_key", "", "Key of the intake").secret(),
    text("site", "datadoghq.com", "Site of the intake").node(),
    text("dd_url", "", "Full URL of the intake, instead of the one made from `site`").also(&["DD_URL"]).node(),
    map("additional_endpoints", "", "Further intakes: URL -> list of API keys").secret().node(),
    text("proxy.http", "", "Proxy for http requests to the intake; empty = `HTTP_PROXY`").node(),
    text("proxy.https", "", "Proxy for https requests to the intake; empty = `HTTPS_PROXY`").node(),
    list("proxy.no_proxy", "", "Hosts that are reached without proxy; empty = `NO_PROXY`").node(),
    flag("use_proxy_for_cloud_metadata", "false", "Reach cloud metadata addresses through the proxy").node(),
    flag("no_proxy_nonexact_match", "false", "Let `proxy.no_proxy` match domains, networks and `*` too").node(),
    flag("skip_ssl_validation", "false", "Do not verify the certificate of the intake").node(),
    choice(
        "min_tls_version",
        "tlsv1.2",
        &["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"],
        "Oldest TLS version for the intake; below 1.2 means 1.2",
    )
    .node(),
    duration_from_one("forwarder_timeout", Unit::Seconds, "20", "Longest time one request to the intake may take").node(),
    duration("forwarder_stop_timeout", Unit::Seconds, "2", "Time for sending what is left when stopping").node(),
    number("forwarder_backoff_factor", "2", 2.0, f64::MAX, "Width of the random part of a retry delay").node(),
    number("forwarder_backoff_base", "2", 0.001, f64::MAX, "Base of the retry delay in seconds").node(),
    number("forwarder_backoff_max", "64", 0.001, f64::MAX, "Longest retry delay in seconds").node(),
    integer("forwarder_recovery_interval", "2", 1, 1000, "Errors forgotten with every success").node(),
    flag("forwarder_recovery_reset", "false", "Forget all errors with one success").node(),
    integer(
        "forwarder_retry_queue_payloads_max_size",
        "15728640",
        0,
        i64::MAX,
        "Size of the retry queue in bytes; the oldest payloads go first",
    )
    .node(),
    duration("forwarder_apikey_validation_interval", Unit::Minutes, "60", "Time between two checks of the API key").node(),
    choice("serializer_compressor_kind", "zstd", &["zstd", "zlib", "gzip", "none"], "Compression of payloads").node(),
    integer("serializer_zstd_compressor_level", "1", 1, 22, "Level of zstd").node(),
    integer("serializer_max_payload_size", "2621440", 1, i64::MAX, "Largest payload in bytes, compressed").node(),
    integer("serializer_max_uncompressed_payload_size", "4194304", 1, i64::MAX, "Largest payload in bytes, uncompressed").node(),
    integer("serializer_max_series_payload_size", "512000", 1, i64::MAX, "Largest series payload in bytes, compressed").node(),
    integer("serializer_max_series_uncompressed_payload_size", "5242880", 1, i64::MAX, "Largest series payload in bytes, uncompressed")
        .node(),
    integer("serializer_max_series_points_per_payload", "10000", 1, i64::MAX, "Most points in one series payload").node(),
    flag("use_v2_api.series", "true", "Send series in the second format").node(),
    flag("enable_payloads.series", "true", "Send series").node(),
    flag("enable_payloads.events", "true", "Send events").node(),
    flag("enable_payloads.service_checks", "true", "Send service checks").node(),
    flag("enable_payloads.sketches", "true", "Send sketches").node(),
];

//! Settings of sending to the intake. Source: cluster-agent-kubernetes 6.1 to 6.5 and 7.6, node-runner 14.1.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use muster_actors::domain::secret::Secret;
use muster_actors::domain::secrets::handle;
use serde_json::{Map as JsonMap, Value as Json};

use super::error::SettingsError;
use super::read::{read, text, written};
use crate::config::api_key::ApiKey;
use crate::config::effective::{Config, Role};
use crate::config::env::Environment;

/// Compression of bodies. Source: node-runner 14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// `zstd`, with `serializer_zstd_compressor_level`.
    Zstd {
        /// 1 (fast) to 22 (small).
        level: i32,
    },
    /// `zlib`: announced as `deflate`, which is zlib framing.
    Zlib,
    /// `gzip`; never chosen by default.
    Gzip,
    /// `none`.
    Identity,
}

/// Limits of one body, all inclusive. Source: node-runner 14.1, cluster-agent-kubernetes 6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes as sent.
    pub compressed: u64,
    /// Bytes before compression.
    pub uncompressed: u64,
    /// Points of series.
    pub points: u64,
}

/// Which kinds of payload are sent. Source: `enable_payloads.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnabledPayloads {
    /// Series.
    pub series: bool,
    /// Sketches.
    pub sketches: bool,
    /// Service checks.
    pub service_checks: bool,
    /// Events.
    pub events: bool,
}

/// Proxies by request scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For http requests.
    pub http: Option<Secret<String>>,
    /// For https requests.
    pub https: Option<Secret<String>>,
    /// Hosts reached directly.
    pub no_proxy: Vec<String>,
    /// Whether `no_proxy` entries match domains, networks and `*`, not only the exact host.
    pub nonexact_match: bool,
}

/// A destination of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// The intake.
    Datadog,
    /// Standard output, JSON lines.
    Stdout,
}

/// Retrying and queueing.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwarderSettings {
    /// Time for sending what is left when stopping.
    pub stop_timeout: Duration,
    /// Delay after n errors is random in [d / factor, d], d = base x 2^n seconds, at most max.
    pub backoff_factor: f64,
    /// Seconds.
    pub backoff_base: f64,
    /// Seconds.
    pub backoff_max: f64,
    /// Errors forgotten with every success.
    pub recovery_interval: u32,
    /// A success forgets all errors.
    pub recovery_reset: bool,
    /// Bytes of payloads that may wait in memory.
    pub queue_max_bytes: usize,
    /// Requests that may be under way to one intake.
    pub max_in_flight: usize,
    /// Time between two checks of the API key.
    pub api_key_validation_interval: Duration,
    /// Of how many accepted payloads one is logged.
    pub logging_frequency: u64,
}

/// Payloads on the disk. Source: cluster-agent-kubernetes 7.6 (`forwarder_storage_*`), and keys of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolSettings {
    /// Directory with a folder for each intake and key.
    pub folder: PathBuf,
    /// Bytes for each intake and key.
    pub max_bytes: u64,
    /// Part of the disk that may be full afterwards.
    pub max_disk_ratio: f64,
    /// Part of the queue that stays in memory.
    pub flush_ratio: f64,
    /// Age at which a payload is given up.
    pub max_age: Duration,
    /// Not only events.
    pub samples: bool,
}

impl SpoolSettings {
    fn from_config(config: &Config) -> Option<Self> {
        let max_bytes = match read::<u64>(config, "forwarder_storage_max_size_in_bytes") {
            0 => read(config, "muster.spool.max_bytes"),
            set => set,
        };
        let folder = || PathBuf::from(read::<String>(config, "run_path")).join("transactions_to_retry");
        (read::<bool>(config, "muster.spool.enabled") && max_bytes > 0).then(|| Self {
            folder: text(config, "forwarder_storage_path").map_or_else(folder, PathBuf::from),
            max_bytes,
            max_disk_ratio: read(config, "forwarder_storage_max_disk_ratio"),
            flush_ratio: read(config, "forwarder_flush_to_disk_mem_ratio"),
            max_age: Duration::from_secs(read::<u64>(config, "forwarder_outdated_file_in_days").saturating_mul(24 * 3600)),
            samples: read(config, "muster.spool.samples"),
        })
    }
}

/// Settings of the `datadog` output. Source: cluster-agent-kubernetes 6 and 7.6, node-runner 14.1.
#[derive(Clone, Debug, PartialEq)]
pub struct IntakeSettings {
    /// Key of the main intake.
    pub api_key: Option<ApiKey>,
    /// Site of the intake, `datadoghq.com`.
    pub site: String,
    /// `dd_url`: full URL, used unchanged unless it is a Datadog host.
    pub url: Option<String>,
    /// Further intakes: URL -> keys.
    pub additional_endpoints: BTreeMap<String, Vec<ApiKey>>,
    /// Version reported to the intake, for example `7.81.1`.
    pub version: String,
    /// Host name of this agent, for `internalHostname`.
    pub hostname: String,
    /// Proxies.
    pub proxy: ProxySettings,
    /// Tell the intake to take tag values as they are.
    pub allow_arbitrary_tags: bool,
    /// Do not verify certificates.
    pub skip_ssl_validation: bool,
    /// Accept TLS 1.3 only.
    pub tls13_only: bool,
    /// Longest time of one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Time after which connections are made anew; 0 = never.
    pub connection_reset_interval: Duration,
    /// Retrying and queueing.
    pub forwarder: ForwarderSettings,
    /// Compression.
    pub compressor: Compressor,
    /// Limits of series v2 bodies.
    pub series_limits: BodyLimits,
    /// Limits of all other bodies.
    pub other_limits: BodyLimits,
    /// Series in the second format.
    pub series_v2: bool,
    /// What is sent.
    pub enabled: EnabledPayloads,
    /// Payloads on the disk; `None` = never.
    pub spool: Option<SpoolSettings>,
}

/// As the table of keys says, for a host without name, and without a disk: the place of files is for a configuration to name.
impl Default for IntakeSettings {
    fn default() -> Self {
        Self { spool: None, ..Self::from_config(&Config::defaults(Role::Node), "") }
    }
}

impl IntakeSettings {
    pub(super) fn from_config(config: &Config, hostname: &str) -> Self {
        Self {
            api_key: written(config, "api_key").map(|key: String| api_key(config, &key)),
            site: read(config, "site"),
            url: text(config, "dd_url"),
            additional_endpoints: endpoints(config),
            version: read(config, "muster.compat_version"),
            hostname: hostname.to_owned(),
            proxy: proxies(config),
            allow_arbitrary_tags: read(config, "allow_arbitrary_tags"),
            skip_ssl_validation: read(config, "skip_ssl_validation"),
            tls13_only: read::<String>(config, "min_tls_version") == "tlsv1.3",
            timeout: read(config, "forwarder_timeout"),
            connection_reset_interval: read(config, "forwarder_connection_reset_interval"),
            forwarder: ForwarderSettings {
                stop_timeout: read(config, "forwarder_stop_timeout"),
                backoff_factor: read(config, "forwarder_backoff_factor"),
                backoff_base: read(config, "forwarder_backoff_base"),
                backoff_max: read(config, "forwarder_backoff_max"),
                recovery_interval: read(config, "forwarder_recovery_interval"),
                recovery_reset: read(config, "forwarder_recovery_reset"),
                queue_max_bytes: read(config, "forwarder_retry_queue_payloads_max_size"),
                max_in_flight: read::<usize>(config, "forwarder_num_workers")
                    .saturating_mul(read(config, "forwarder_max_concurrent_requests")),
                api_key_validation_interval: read(config, "forwarder_apikey_validation_interval"),
                logging_frequency: read(config, "logging_frequency"),
            },
            compressor: match read::<String>(config, "serializer_compressor_kind").as_str() {
                "zlib" => Compressor::Zlib,
                "gzip" => Compressor::Gzip,
                "none" => Compressor::Identity,
                _ => Compressor::Zstd { level: i32::try_from(read::<i64>(config, "serializer_zstd_compressor_level")).unwrap_or(1) },
            },
            series_limits: BodyLimits {
                compressed: read(config, "serializer_max_series_payload_size"),
                uncompressed: read(config, "serializer_max_series_uncompressed_payload_size"),
                points: read(config, "serializer_max_series_points_per_payload"),
            },
            other_limits: BodyLimits {
                compressed: read(config, "serializer_max_payload_size"),
                uncompressed: read(config, "serializer_max_uncompressed_payload_size"),
                points: u64::MAX,
            },
            series_v2: read(config, "use_v2_api.series"),
            enabled: EnabledPayloads {
                series: read(config, "enable_payloads.series"),
                sketches: read(config, "enable_payloads.sketches"),
                service_checks: read(config, "enable_payloads.service_checks"),
                events: read(config, "enable_payloads.events"),
            },
            spool: SpoolSettings::from_config(config),
        }
    }
}

/// The key of the intake that a text is, or stands for.
fn api_key(config: &Config, text: &str) -> ApiKey {
    let secret = handle(text).and_then(|handle| Some((handle, config.secrets().get(handle)?)));
    secret.map_or_else(|| ApiKey::new(text), |(handle, value)| ApiKey::of_secret(handle, value.expose()))
}

fn endpoints(config: &Config) -> BTreeMap<String, Vec<ApiKey>> {
    let keys = |value: &Json| match value {
        Json::String(key) => vec![api_key(config, key)],
        Json::Array(keys) => keys.iter().filter_map(Json::as_str).map(|key| api_key(config, key)).collect(),
        _ => Vec::new(),
    };
    let map: JsonMap<String, Json> = written(config, "additional_endpoints").unwrap_or_default();
    map.iter().map(|(url, value)| (url.clone(), keys(value))).collect()
}

/// `proxy.*`, else the usual variables; cloud metadata addresses are reached directly.
///
/// Source: cluster-agent-kubernetes 6.5.
fn proxies(config: &Config) -> ProxySettings {
    let environment = config.environment();
    let proxy = |key: &str, names: [&str; 2]| text(config, key).or_else(|| first(environment, names)).map(Secret::new);
    let mut no_proxy: Vec<String> = read(config, "proxy.no_proxy");
    if no_proxy.is_empty() {
        let usual = first(environment, ["NO_PROXY", "no_proxy"]).unwrap_or_default();
        no_proxy = usual.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect();
    }
    if !read::<bool>(config, "use_proxy_for_cloud_metadata") {
        no_proxy.extend(["169.254.169.254", "100.100.100.200"].map(str::to_owned));
    }
    ProxySettings {
        http: proxy("proxy.http", ["HTTP_PROXY", "http_proxy"]),
        https: proxy("proxy.https", ["HTTPS_PROXY", "https_proxy"]),
        no_proxy,
        nonexact_match: read(config, "no_proxy_nonexact_match"),
    }
}

fn first(environment: &Environment, names: [&str; 2]) -> Option<String> {
    names.iter().find_map(|name| environment.get(name)).map(str::to_owned)
}

/// Which outputs there are; `None` = none was named, and there is no key for the intake.
///
/// Errors: the intake was named and there is no key for it.
pub(super) fn outputs(config: &Config, has_key: bool) -> Result<Option<Vec<OutputKind>>, SettingsError> {
    let mut outputs = Vec::new();
    for word in read::<Vec<String>>(config, "muster.outputs") {
        let output = if word == "datadog" { OutputKind::Datadog } else { OutputKind::Stdout };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    match (outputs.is_empty(), has_key) {
        (true, true) => Ok(Some(vec![OutputKind::Datadog])),
        (true, false) => Ok(None),
        (false, false) if outputs.contains(&OutputKind::Datadog) => Err(SettingsError::OutputWithoutApiKey),
        (false, _) => Ok(Some(outputs)),
    }
}

/// Time between two flushes of what was gathered to the outputs, a second at least.
pub(super) fn flush_interval(config: &Config) -> Duration {
    read::<Duration>(config, "muster.flush_interval").max(Duration::from_secs(1))
}

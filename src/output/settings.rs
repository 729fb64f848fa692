//! What an output has to be told. Plain values: where they come from is the business of `config`.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_actors::shared::output::OutputPolicy;

use crate::output::compress::Compressor;
use crate::output::key::ApiKey;
use crate::output::proxy::ProxySettings;
use crate::output::split::BodyLimits;

/// Which outputs, and their options.
#[derive(Clone, Debug)]
pub struct OutputSettings {
    /// `muster.outputs`; empty = `datadog` when there is an API key, else `stdout`. Source: node-runner 2.
    pub outputs: Vec<String>,
    /// Options of `datadog`.
    pub intake: IntakeSettings,
    /// Queue, backoff, key check.
    pub policy: OutputPolicy,
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

impl Default for EnabledPayloads {
    fn default() -> Self {
        Self { series: true, sketches: true, service_checks: true, events: true }
    }
}

/// Options of the `datadog` output. Source: cluster-agent-kubernetes 6 and 7.6, node-runner 14.1.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// `api_key`.
    pub api_key: Option<ApiKey>,
    /// `site`.
    pub site: String,
    /// `dd_url`.
    pub url: Option<String>,
    /// `additional_endpoints`: URL -> keys.
    pub additional_endpoints: BTreeMap<String, Vec<ApiKey>>,
    /// Version reported to the intake, for example `7.81.1`.
    pub version: String,
    /// Host name of this agent, for `internalHostname`.
    pub hostname: String,
    /// `proxy.*`.
    pub proxy: ProxySettings,
    /// `skip_ssl_validation`.
    pub skip_ssl_validation: bool,
    /// `min_tls_version` is `tlsv1.3`.
    pub tls13_only: bool,
    /// `forwarder_timeout`: longest time of one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// `serializer_compressor_kind`.
    pub compressor: Compressor,
    /// Limits of series v2 bodies.
    pub series_limits: BodyLimits,
    /// Limits of all other bodies.
    pub other_limits: BodyLimits,
    /// `use_v2_api.series`.
    pub series_v2: bool,
    /// `enable_payloads.*`.
    pub enabled: EnabledPayloads,
    /// `allow_arbitrary_tags`.
    pub allow_arbitrary_tags: bool,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            api_key: None,
            site: "datadoghq.com".to_owned(),
            url: None,
            additional_endpoints: BTreeMap::new(),
            version: "7.81.1".to_owned(),
            hostname: String::new(),
            proxy: ProxySettings::default(),
            skip_ssl_validation: false,
            tls13_only: false,
            timeout: Duration::from_secs(20),
            compressor: Compressor::default(),
            series_limits: BodyLimits::SERIES_V2,
            other_limits: BodyLimits::OTHERS,
            series_v2: true,
            enabled: EnabledPayloads::default(),
            allow_arbitrary_tags: false,
        }
    }
}

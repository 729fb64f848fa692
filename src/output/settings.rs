//! What an output has to be told. Plain values: where they come from is the business of `config`.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_actors::domain::backoff::BackoffPolicy;
use muster_actors::shared::output::OutputPolicy;

use crate::config::Secret;
use crate::config::settings::{self as configured, NodeSettings, OutputKind};
use crate::output::compress::Compressor;
use crate::output::key::ApiKey;
use crate::output::proxy::ProxySettings;
use crate::output::split::BodyLimits;

/// Which outputs, and their options.
#[derive(Clone, Debug)]
pub struct OutputSettings {
    /// `muster.outputs`.
    pub outputs: Vec<OutputKind>,
    /// Options of `datadog`.
    pub intake: IntakeSettings,
    /// Queue, backoff, key check.
    pub policy: OutputPolicy,
}

impl OutputSettings {
    /// The settings of the node role.
    #[must_use]
    pub fn for_node(node: &NodeSettings) -> Self {
        let (intake, forwarder) = (&node.intake, &node.intake.forwarder);
        Self {
            outputs: node.outputs.clone(),
            intake: IntakeSettings::from_config(intake, &node.common.compat_version, &node.common.hostname),
            policy: OutputPolicy {
                max_queue_bytes: forwarder.queue_max_bytes as u64,
                backoff: BackoffPolicy {
                    base: Duration::try_from_secs_f64(forwarder.backoff_base).unwrap_or_default(),
                    factor: forwarder.backoff_factor,
                    max: Duration::try_from_secs_f64(forwarder.backoff_max).unwrap_or_default(),
                    recovery_interval: forwarder.recovery_interval,
                    recovery_reset: forwarder.recovery_reset,
                },
                key_check_interval: Some(forwarder.api_key_validation_interval).filter(|interval| !interval.is_zero()),
            },
        }
    }
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
}

impl IntakeSettings {
    fn from_config(intake: &configured::IntakeSettings, version: &str, hostname: &str) -> Self {
        let key = |secret: &Secret<String>| ApiKey::new(secret.expose());
        let limits = intake.limits;
        Self {
            api_key: intake.api_key.as_ref().map(key),
            site: intake.site.clone(),
            url: intake.url.clone(),
            additional_endpoints: intake
                .additional_endpoints
                .iter()
                .map(|(url, keys)| (url.clone(), keys.iter().map(key).collect()))
                .collect(),
            version: version.to_owned(),
            hostname: hostname.to_owned(),
            proxy: ProxySettings {
                http: intake.proxy.http.as_ref().map(|url| url.expose().clone()),
                https: intake.proxy.https.as_ref().map(|url| url.expose().clone()),
                no_proxy: intake.proxy.no_proxy.clone(),
                nonexact_match: intake.proxy.nonexact_match,
            },
            skip_ssl_validation: intake.skip_ssl_validation,
            tls13_only: intake.tls13_only,
            timeout: intake.forwarder.timeout,
            compressor: match intake.compression {
                configured::Compression::Zstd { level } => Compressor::Zstd { level },
                configured::Compression::Deflate => Compressor::Zlib,
                configured::Compression::Gzip => Compressor::Gzip,
                configured::Compression::None => Compressor::Identity,
            },
            series_limits: BodyLimits {
                compressed: limits.series_compressed as u64,
                uncompressed: limits.series_uncompressed as u64,
                points: limits.series_points as u64,
            },
            other_limits: BodyLimits { compressed: limits.compressed as u64, uncompressed: limits.uncompressed as u64, points: u64::MAX },
            series_v2: intake.series_v2,
            enabled: EnabledPayloads {
                series: intake.send_series,
                sketches: intake.send_sketches,
                service_checks: intake.send_service_checks,
                events: intake.send_events,
            },
        }
    }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Request, Role};

    fn settings(text: &str) -> OutputSettings {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog.yaml"), text).unwrap();
        let environment = Environment::from_pairs(std::iter::empty::<(&str, &str)>());
        let request = Request { role: Role::Node, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        OutputSettings::for_node(&NodeSettings::from_config(&Config::load(request).unwrap()).unwrap())
    }

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_intake() {
        let configured = settings("hostname: node-1\napi_key: 0123456789abcdef0123456789abcdef\n");
        assert_eq!(configured.outputs, [OutputKind::Datadog]);
        assert_eq!(configured.policy, OutputPolicy::default());
        let (intake, default) = (&configured.intake, IntakeSettings::default());
        assert_eq!((intake.series_limits, intake.other_limits), (default.series_limits, default.other_limits));
        assert_eq!((intake.compressor, intake.timeout), (default.compressor, default.timeout));
        assert_eq!((&intake.version, intake.hostname.as_str()), (&default.version, "node-1"));
        assert_eq!((intake.enabled, intake.series_v2), (default.enabled, true));
        assert!(!intake.skip_ssl_validation && !intake.tls13_only);
    }

    #[test]
    fn every_option_arrives() {
        let text = "
hostname: node-1
api_key: main-key
site: us5.datadoghq.com
dd_url: http://intake:8080
additional_endpoints: {'http://other': [other-key]}
skip_ssl_validation: true
min_tls_version: tlsv1.3
serializer_compressor_kind: zlib
use_v2_api: {series: false}
enable_payloads: {events: false}
proxy: {https: 'http://p:3128', no_proxy: [a]}
no_proxy_nonexact_match: true
forwarder_timeout: 5
forwarder_backoff_base: 3
forwarder_backoff_max: 30
forwarder_recovery_interval: 1
forwarder_recovery_reset: true
forwarder_retry_queue_payloads_max_size: 1000
muster: {outputs: [stdout, datadog]}
";
        let OutputSettings { outputs, intake, policy } = settings(text);
        assert_eq!(outputs, [OutputKind::Stdout, OutputKind::Datadog]);
        assert_eq!(intake.api_key, Some(ApiKey::new("main-key")));
        assert_eq!((intake.site.as_str(), intake.url.as_deref()), ("us5.datadoghq.com", Some("http://intake:8080")));
        assert_eq!(intake.additional_endpoints["http://other"], [ApiKey::new("other-key")]);
        assert!(intake.skip_ssl_validation && intake.tls13_only && !intake.series_v2 && !intake.enabled.events && intake.enabled.series);
        assert_eq!((intake.compressor, intake.timeout), (Compressor::Zlib, Duration::from_secs(5)));
        assert_eq!((intake.proxy.https.as_deref(), intake.proxy.nonexact_match), (Some("http://p:3128"), true));
        assert_eq!(intake.proxy.no_proxy[0], "a");
        let backoff = BackoffPolicy {
            base: Duration::from_secs(3),
            factor: 2.0,
            max: Duration::from_secs(30),
            recovery_interval: 1,
            recovery_reset: true,
        };
        assert_eq!((policy.backoff, policy.max_queue_bytes), (backoff, 1000));
    }
}

//! What the outputs of a role have to be told.

use std::time::Duration;

use muster_actors::domain::backoff::BackoffPolicy;
use muster_actors::domain::spool_policy::SpoolPolicy;
use muster_actors::shared::output::OutputPolicy;

use crate::config::settings::{ClusterSettings, IntakeSettings, NodeSettings, OutputKind};

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
        let interval = node.intake.forwarder.api_key_validation_interval;
        Self::new(&node.outputs, &node.intake, Some(interval).filter(|interval| !interval.is_zero()))
    }

    /// The settings of the cluster role, which never asks whether its key is accepted. Source: cluster-agent-kubernetes 6.4.
    #[must_use]
    pub fn for_cluster(cluster: &ClusterSettings) -> Self {
        Self::new(&cluster.outputs, &cluster.intake, None)
    }

    fn new(outputs: &[OutputKind], intake: &IntakeSettings, key_check_interval: Option<Duration>) -> Self {
        let forwarder = &intake.forwarder;
        Self {
            outputs: outputs.to_vec(),
            intake: intake.clone(),
            policy: OutputPolicy {
                max_queue_bytes: forwarder.queue_max_bytes as u64,
                max_in_flight: forwarder.max_in_flight,
                backoff: BackoffPolicy {
                    base: Duration::try_from_secs_f64(forwarder.backoff_base).unwrap_or_default(),
                    factor: forwarder.backoff_factor,
                    max: Duration::try_from_secs_f64(forwarder.backoff_max).unwrap_or_default(),
                    recovery_interval: forwarder.recovery_interval,
                    recovery_reset: forwarder.recovery_reset,
                },
                spool: intake.spool.as_ref().map_or_else(SpoolPolicy::default, |spool| SpoolPolicy {
                    max_bytes: spool.max_bytes,
                    max_disk_ratio: spool.max_disk_ratio,
                    flush_ratio: spool.flush_ratio,
                    max_age: spool.max_age,
                    samples: spool.samples,
                    ..SpoolPolicy::default()
                }),
                key_check_interval,
                log_every: forwarder.logging_frequency,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Compressor;
    use crate::config::{ApiKey, Config, Environment, Request, Role, Secret};

    fn settings(text: &str) -> OutputSettings {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog.yaml"), text).unwrap();
        let environment = Environment::from_pairs(std::iter::empty::<(&str, &str)>());
        let request = Request { role: Role::Node, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        OutputSettings::for_node(&NodeSettings::from_config(&Config::load(request).unwrap()).unwrap())
    }

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_actor() {
        let configured = settings("hostname: node-1\napi_key: 0123456789abcdef0123456789abcdef\n");
        assert_eq!(configured.outputs, [OutputKind::Datadog]);
        assert_eq!(configured.policy, OutputPolicy::default());
        assert_eq!(configured.intake.hostname, "node-1");
        let spool = configured.intake.spool.unwrap();
        assert_eq!(spool.folder.to_str(), Some("/opt/datadog-agent/run/transactions_to_retry"));
    }

    #[test]
    fn the_disk_is_used_unless_that_is_forbidden() {
        let spool = |text: &str| settings(&format!("hostname: node-1\napi_key: k\n{text}")).intake.spool;
        assert_eq!(spool("").unwrap().max_bytes, 256 * 1024 * 1024, "stock has 0 here, and so no disk");
        assert_eq!(spool("muster: {spool: {max_bytes: 5000}}").unwrap().max_bytes, 5000);
        assert_eq!(spool("run_path: /r").unwrap().folder.to_str(), Some("/r/transactions_to_retry"));
        assert_eq!(spool("muster: {spool: {enabled: false}}"), None);
        assert_eq!(spool("muster: {spool: {max_bytes: 0}}"), None);
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
logging_frequency: 20
forwarder_num_workers: 2
forwarder_max_concurrent_requests: 3
forwarder_storage_path: /spool
forwarder_storage_max_size_in_bytes: 1000000
forwarder_storage_max_disk_ratio: 0.5
forwarder_flush_to_disk_mem_ratio: 0.25
forwarder_outdated_file_in_days: 2
muster: {outputs: [stdout, datadog], spool: {samples: false, max_bytes: 7}}
";
        let OutputSettings { outputs, intake, policy } = settings(text);
        assert_eq!(outputs, [OutputKind::Stdout, OutputKind::Datadog]);
        assert_eq!(intake.api_key, Some(ApiKey::new("main-key")));
        assert_eq!((intake.site.as_str(), intake.url.as_deref()), ("us5.datadoghq.com", Some("http://intake:8080")));
        assert_eq!(intake.additional_endpoints["http://other"], [ApiKey::new("other-key")]);
        assert!(intake.skip_ssl_validation && intake.tls13_only && !intake.series_v2 && !intake.enabled.events && intake.enabled.series);
        assert_eq!((intake.compressor, intake.timeout), (Compressor::Zlib, Duration::from_secs(5)));
        assert_eq!((intake.proxy.https, intake.proxy.nonexact_match), (Some(Secret::new("http://p:3128".to_owned())), true));
        assert_eq!(intake.proxy.no_proxy[0], "a");
        let backoff = BackoffPolicy {
            base: Duration::from_secs(3),
            factor: 2.0,
            max: Duration::from_secs(30),
            recovery_interval: 1,
            recovery_reset: true,
        };
        assert_eq!((policy.backoff, policy.max_queue_bytes, policy.max_in_flight, policy.log_every), (backoff, 1000, 6, 20));
        assert_eq!(intake.spool.unwrap().folder.to_str(), Some("/spool"));
        let spool = SpoolPolicy {
            max_bytes: 1_000_000,
            max_disk_ratio: 0.5,
            flush_ratio: 0.25,
            max_age: Duration::from_secs(2 * 24 * 3600),
            samples: false,
            ..SpoolPolicy::default()
        };
        assert_eq!(policy.spool, spool);
    }
}

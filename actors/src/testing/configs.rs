//! Builders of configs.

use std::sync::Arc;

use crate::domain::check_traits::CheckTraits;
use crate::domain::config::{CheckConfig, Data, DispatchedConfig};
use crate::domain::handover::Handover;
use crate::domain::ids::{CheckId, ConfigKey, Digest};

/// A dispatched `http_check` with this key and digest.
#[must_use]
pub fn config(number: u64) -> Arc<DispatchedConfig> {
    named_config(number, "http_check")
}

/// A dispatched config of a check with this key and digest.
#[must_use]
pub fn named_config(number: u64, check_name: &str) -> Arc<DispatchedConfig> {
    Arc::new(DispatchedConfig {
        traits: CheckTraits::default(),
        key: ConfigKey(u128::from(number)),
        digest: Digest(number),
        config: CheckConfig {
            name: check_name.to_owned(),
            instances: vec![Data::from(format!("empty_default_hostname: true\nname: c{number}\n"))],
            ..CheckConfig::default()
        },
        check_ids: vec![CheckId::from(format!("{check_name}:c{number}:{number:x}"))],
    })
}

/// A dispatched `http_check` with this key and digest that changes its owner in this order.
#[must_use]
pub fn config_with(number: u64, handover: Handover) -> Arc<DispatchedConfig> {
    let traits = CheckTraits { handover, ..CheckTraits::default() };
    Arc::new(DispatchedConfig { traits, ..(*config(number)).clone() })
}

/// A discovered cluster check, not patched yet.
#[must_use]
pub fn discovered(check_name: &str, instance: &str) -> Arc<CheckConfig> {
    Arc::new(CheckConfig {
        name: check_name.to_owned(),
        instances: vec![Data::from(instance)],
        init_config: Some(Data::from("{}\n")),
        provider: "file".to_owned(),
        source: format!("file:{check_name}.yaml"),
        cluster_check: true,
        ..CheckConfig::default()
    })
}

/// A discovered cluster check that changes its owner in this order, not patched yet.
#[must_use]
pub fn discovered_with(check_name: &str, instance: &str, handover: &str) -> Arc<CheckConfig> {
    let mut config = (*discovered(check_name, instance)).clone();
    config.init_config = Some(Data::from(format!("{}: {handover}\n", Handover::KEY)));
    Arc::new(config)
}

/// A discovered endpoint check of a Kubernetes node, not patched yet.
#[must_use]
pub fn discovered_endpoint(check_name: &str, instance: &str, kubernetes_node: &str) -> Arc<CheckConfig> {
    let mut config = (*discovered(check_name, instance)).clone();
    kubernetes_node.clone_into(&mut config.node_name);
    Arc::new(config)
}

//! One configuration as `configcheck` and `clusterchecks` show it. Source: autodiscovery 11.4.

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::digest::check_ids;
use serde::Deserialize;

/// A config with the ids of its instances.
#[derive(Clone, Debug)]
pub(super) struct ShownConfig {
    /// Ids in instance order.
    pub(super) ids: Vec<String>,
    /// The config.
    pub(super) config: CheckConfig,
}

impl ShownConfig {
    /// A config that came without ids, as from older agents: they follow from its bytes.
    pub(super) fn plain(config: CheckConfig) -> Self {
        Self { ids: check_ids(&config).iter().map(ToString::to_string).collect(), config }
    }
}

/// Both forms of the wire: with ids, and the plain config. Source: cluster-checks 4.5.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    WithIds {
        #[serde(default)]
        instance_ids: Option<Vec<String>>,
        config: Box<CheckConfig>,
    },
    Plain(Box<CheckConfig>),
}

impl<'de> Deserialize<'de> for ShownConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Wire::deserialize(deserializer)? {
            Wire::WithIds { instance_ids: Some(ids), config } => Self { ids, config: *config },
            Wire::WithIds { instance_ids: None, config } | Wire::Plain(config) => Self::plain(*config),
        })
    }
}

/// Adds a config, after an empty line.
pub(super) fn write(out: &mut String, shown: &ShownConfig) {
    let config = &shown.config;
    let kind = if config.cluster_check { "cluster check" } else { "check" };
    line(out, &format!("\n=== {} {kind} ===", config.name));
    line(out, &format!("Configuration provider: {}", or(&config.provider, "Unknown provider")));
    line(out, &format!("Configuration source: {}", or(&config.source, "Unknown configuration source")));
    for (position, instance) in config.instances.iter().enumerate() {
        line(out, &format!("Config for instance ID: {}", shown.ids.get(position).map_or("unknown", String::as_str)));
        line(out, &instance.text());
        line(out, "~");
    }
    block(out, "Init Config:", config.init_config.as_ref());
    block(out, "Metric Config:", config.metric_config.as_ref());
    block(out, "Log Config:", config.logs.as_ref());
    if config.is_template() {
        line(out, "Auto-discovery IDs:");
        for id in &config.ad_identifiers {
            line(out, &format!("* {id}"));
        }
        for id in &config.advanced_ad_identifiers {
            for object in [&id.kube_service, &id.kube_endpoints].into_iter().filter(|object| !object.name.is_empty()) {
                line(out, &format!("* {}/{}", object.namespace, object.name));
            }
        }
    }
    if !config.node_name.is_empty() {
        line(out, &format!("State: dispatched to {}", config.node_name));
    }
    for (excluded, what) in [(config.metrics_excluded, "metrics"), (config.logs_excluded, "logs")] {
        if excluded {
            line(out, &format!("This configuration matched a {what} container-exclusion rule, so it will not be run by the Agent"));
        }
    }
    line(out, "===");
}

fn block(out: &mut String, title: &str, data: Option<&Data>) {
    if let Some(data) = data.filter(|data| !data.as_bytes().is_empty()) {
        line(out, title);
        line(out, &data.text());
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of what a stock server prints. Source: the recorded output of its `clusterchecks`.
    const RECORDED: &str = "
=== uptime check ===
Configuration provider: kubernetes-endpoints
Configuration source: kube_endpoints:kube_endpoint_uid://shop/redis/
Config for instance ID: uptime:9e6a5727c8aad22b
host: 10.1.0.7
password: s3cr3t

~
Init Config:
{}

Auto-discovery IDs:
* kube_endpoint_uid://shop/redis/10.1.0.7
* kubernetes_pod://d74b0d48-2775-4d16-91ac-9d0627555e78
State: dispatched to node-a
===
";

    #[test]
    fn a_config_looks_as_a_stock_server_shows_it() {
        let config = CheckConfig {
            name: "uptime".to_owned(),
            instances: vec![Data::from("host: 10.1.0.7\npassword: s3cr3t\n")],
            init_config: Some(Data::from("{}\n")),
            ad_identifiers: ["kube_endpoint_uid://shop/redis/10.1.0.7", "kubernetes_pod://d74b0d48-2775-4d16-91ac-9d0627555e78"]
                .map(str::to_owned)
                .to_vec(),
            provider: "kubernetes-endpoints".to_owned(),
            source: "kube_endpoints:kube_endpoint_uid://shop/redis/".to_owned(),
            node_name: "node-a".to_owned(),
            ..CheckConfig::default()
        };
        let mut text = String::new();
        write(&mut text, &ShownConfig { ids: vec!["uptime:9e6a5727c8aad22b".to_owned()], config });
        assert_eq!(text, RECORDED);
    }

    #[test]
    fn a_config_without_ids_gets_those_of_its_bytes() {
        let json = r#"{"check_name":"http_check","instances":["bmFtZTogTXkgc2VydmljZQo="],"cluster_check":true,"logs_excluded":true}"#;
        let shown: ShownConfig = serde_json::from_str(json).unwrap();
        let mut text = String::new();
        write(&mut text, &shown);
        assert!(shown.ids[0].starts_with("http_check:My service:"), "{:?}", shown.ids);
        assert!(text.starts_with("\n=== http_check cluster check ===\nConfiguration provider: Unknown provider\n"), "{text}");
        assert!(text.contains("This configuration matched a logs container-exclusion rule"), "{text}");
    }
}

//! What `/config-check` answers. Source: autodiscovery 11.4.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::config_scrub::scrubbed;
use muster_actors::domain::digest::check_ids;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::ids::CheckId;
use serde::Serialize;

/// The JSON document. Serialise it off the actor threads: all instances are parsed.
#[derive(Debug, Serialize)]
pub struct ConfigCheck<'a> {
    configs: Vec<ShownConfig<'a>>,
    resolve_warnings: &'a BTreeMap<String, Vec<String>>,
    config_errors: &'a BTreeMap<String, String>,
    unresolved: BTreeMap<&'a str, Shown<'a>>,
}

/// A config with the ids of its instances, computed before anything is scrubbed or patched.
#[derive(Debug, Serialize)]
struct ShownConfig<'a> {
    instance_ids: Vec<CheckId>,
    config: Shown<'a>,
}

/// A config as it is, or scrubbed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Raw(&'a CheckConfig),
    Scrubbed(Box<CheckConfig>),
}

impl<'a> ConfigCheck<'a> {
    /// Makes the document. `raw` leaves passwords in.
    #[must_use]
    pub fn new(report: &'a DiscoveryReport, raw: bool) -> Self {
        let show = |config: &'a Arc<CheckConfig>| if raw { Shown::Raw(config) } else { Shown::Scrubbed(Box::new(scrubbed(config))) };
        Self {
            configs: report.configs.iter().map(|config| ShownConfig { instance_ids: check_ids(config), config: show(config) }).collect(),
            resolve_warnings: &report.resolve_warnings,
            config_errors: &report.config_errors,
            unresolved: report.unresolved.iter().map(|(digest, config)| (digest.as_str(), show(config))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::config::Data;
    use serde_json::{Value as Json, json};

    use super::*;

    fn report() -> DiscoveryReport {
        let config = Arc::new(CheckConfig {
            name: "uptime".to_owned(),
            instances: vec![Data::from("name: file-up\npassword: filesecret\ntags:\n- k:v\n- a:b\n")],
            init_config: Some(Data::from("{}\n")),
            cluster_check: true,
            ..CheckConfig::default()
        });
        DiscoveryReport {
            synced: true,
            configs: vec![Arc::clone(&config)],
            resolve_warnings: BTreeMap::from([("redisdb".to_owned(), vec!["no host".to_owned()])]),
            config_errors: BTreeMap::from([("a".to_owned(), "not valid YAML".to_owned())]),
            unresolved: BTreeMap::from([("abc".to_owned(), config)]),
        }
    }

    fn document(raw: bool) -> Json {
        serde_json::to_value(ConfigCheck::new(&report(), raw)).unwrap()
    }

    #[test]
    fn secrets_are_scrubbed_and_ids_are_those_of_the_real_bytes() {
        let shown = document(false);
        let raw = document(true);
        assert_eq!(shown["configs"][0]["instance_ids"], raw["configs"][0]["instance_ids"]);
        let config: CheckConfig = serde_json::from_value(shown["configs"][0]["config"].clone()).unwrap();
        assert_eq!(config.instances[0].text(), "name: file-up\npassword: \"********\"\ntags:\n  - k:v\n  - a:b");
        assert_eq!(shown["configs"][0]["config"]["init_config"], json!("e30="));
        let config: CheckConfig = serde_json::from_value(raw["configs"][0]["config"].clone()).unwrap();
        assert_eq!(config, *report().configs[0]);
    }

    #[test]
    fn the_document_has_the_keys_of_stock() {
        let shown = document(false);
        assert_eq!(shown["resolve_warnings"], json!({"redisdb": ["no host"]}));
        assert_eq!(shown["config_errors"], json!({"a": "not valid YAML"}));
        assert_eq!(shown["unresolved"]["abc"]["check_name"], json!("uptime"));
        assert_eq!(serde_json::to_value(ConfigCheck::new(&DiscoveryReport::default(), false)).unwrap()["configs"], json!([]));
    }
}

//! What `/config-check` answers. Source: autodiscovery 11.4.

use std::borrow::Cow;

use muster_actors::domain::config::CheckConfig;
pub use muster_actors::domain::config_scrub::scrubbed;
use muster_actors::domain::digest::{check_ids, config_key};
use muster_actors::domain::discovery::DiscoveryReport;
use serde_json::{Map, Value as Json, json};

/// The JSON document: scheduled configs with the ids of their instances, mistakes, and all configs in unresolved form.
///
/// Ids are those of the real bytes, before anything is scrubbed or patched. `raw` leaves passwords in, but secrets of the secret backend
/// are shown by their handles in any case.
#[must_use]
pub fn json(report: &DiscoveryReport, raw: bool) -> Json {
    let show = |config: &CheckConfig| -> Json {
        let shown = if raw { Cow::Borrowed(config) } else { Cow::Owned(scrubbed(config)) };
        json!(shown)
    };
    let configs: Vec<Json> = report
        .configs
        .iter()
        .map(|config| {
            let without_secrets = if report.encrypted.is_empty() { None } else { report.encrypted.get(&config_key(config)) };
            json!({ "instance_ids": check_ids(config), "config": show(without_secrets.unwrap_or(config)) })
        })
        .collect();
    let unresolved: Map<String, Json> = report.unresolved.iter().map(|(digest, config)| (digest.clone(), show(config))).collect();
    json!({
        "configs": configs,
        "resolve_warnings": report.resolve_warnings,
        "config_errors": report.config_errors,
        "unresolved": unresolved,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use muster_actors::domain::config::Data;

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
            ..DiscoveryReport::default()
        }
    }

    fn document(raw: bool) -> Json {
        json(&report(), raw)
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
    fn secrets_of_the_backend_are_never_shown() {
        let with = |user: &str| CheckConfig { instances: vec![Data::from(format!("user: {user}\n"))], ..(*report().configs[0]).clone() };
        let (plain, encrypted) = (Arc::new(with("hunter2")), Arc::new(with("ENC[db_user]")));
        let key = config_key(&plain);
        let report = DiscoveryReport {
            configs: vec![Arc::clone(&plain)],
            encrypted: BTreeMap::from([(key, encrypted)]),
            ..DiscoveryReport::default()
        };
        for raw in [false, true] {
            let shown = json(&report, raw);
            let config: CheckConfig = serde_json::from_value(shown["configs"][0]["config"].clone()).unwrap();
            assert_eq!(config.instances[0].text().trim(), "user: ENC[db_user]");
            assert_eq!(shown["configs"][0]["instance_ids"], json!(check_ids(&plain)));
        }
    }

    #[test]
    fn the_document_has_the_keys_of_stock() {
        let shown = document(false);
        assert_eq!(shown["resolve_warnings"], json!({"redisdb": ["no host"]}));
        assert_eq!(shown["config_errors"], json!({"a": "not valid YAML"}));
        assert_eq!(shown["unresolved"]["abc"]["check_name"], json!("uptime"));
        assert_eq!(json(&DiscoveryReport::default(), false)["configs"], json!([]));
    }
}

//! What the routes about configuration answer.

use std::sync::Mutex;

use super::*;
use crate::config::{Environment, Request, Role};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn runtime(text: &str, environment: &[(&str, &str)]) -> (RuntimeConfig, Arc<Mutex<Vec<LogLevel>>>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("datadog-cluster.yaml"), text).unwrap();
    let environment = Environment::from_pairs(environment.iter().copied());
    let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
    let applied = Arc::new(Mutex::new(Vec::new()));
    let levels = Arc::clone(&applied);
    let apply: ApplyLogLevel = Arc::new(move |level| levels.lock().unwrap().push(level));
    (RuntimeConfig::new(Config::load(request).unwrap(), apply), applied)
}

#[test]
fn ca_h17_an_unknown_setting_is_not_found() {
    let (runtime, _) = runtime("", &[]);
    assert_eq!(runtime.setting("nope", false).unwrap_err().to_string(), "setting nope not found");
    assert_eq!(runtime.set("nope", "1").unwrap_err().to_string(), "setting nope not found");
    assert_eq!(runtime.set("health_port", "1").unwrap_err().to_string(), "setting health_port not found");
}

#[test]
fn ca_h18_the_log_level_is_shown() {
    let (runtime, _) = runtime("", &[]);
    assert_eq!(runtime.setting("log_level", false).unwrap().to_string(), r#"{"value":"info"}"#);
}

#[test]
fn the_log_level_changes_while_running() {
    let (runtime, applied) = runtime("", &[("DD_LOG_LEVEL", "WARN")]);
    runtime.set("log_level", "Debug").unwrap();
    assert_eq!(*applied.lock().unwrap(), [LogLevel::Debug]);
    let answer = runtime.setting("log_level", true).unwrap();
    assert_eq!(answer["value"], json!("debug"));
    let sources: Vec<String> =
        answer["sources_value"].as_array().unwrap().iter().map(|one| format!("{}={}", one["Source"], one["Value"])).collect();
    assert_eq!(
        sources,
        [
            r#""default"="info""#,
            r#""unknown"=null"#,
            r#""file"=null"#,
            r#""environment-variable"="warn""#,
            r#""fleet-policies"=null"#,
            r#""agent-runtime"="debug""#,
            r#""local-config-process"=null"#,
            r#""cli"=null"#,
        ]
    );
}

#[test]
fn bad_values_are_refused_with_the_stock_texts() {
    let (runtime, applied) = runtime("", &[]);
    assert_eq!(runtime.set("log_level", "nosuch").unwrap_err().to_string(), "unknown log level: nosuch");
    let error = runtime.set("internal_profiling_goroutines", "x").unwrap_err().to_string();
    assert_eq!(error, "GetBool: bad parameter value provided: x");
    assert!(runtime.set("runtime_block_profile_rate", "5").is_ok());
    assert!(applied.lock().unwrap().is_empty());
}

#[test]
fn the_effective_configuration_is_nested_yaml_without_secrets() {
    let environment = [("DD_API_KEY", KEY), ("DD_CLUSTER_AGENT_AUTH_TOKEN", KEY), ("DD_PROXY_HTTP", "http://u:pw@proxy:3128")];
    let (runtime, _) = runtime("cluster_checks:\n  extra_tags: [\"a:b\"]\n", &environment);
    let text = runtime.effective_yaml();
    assert!(!text.contains(KEY) && !text.contains("pw@"), "{text}");
    let document = yaml::parse(&text).unwrap().to_json();
    assert_eq!(document["api_key"], json!("***************************bcdef"));
    assert_eq!(document["cluster_agent"]["auth_token"], json!("********"));
    assert_eq!(document["cluster_checks"]["extra_tags"], json!(["a:b"]));
    assert_eq!(document["cluster_checks"]["node_expiration_timeout"], json!(30));
    assert_eq!(document["proxy"]["http"], json!("http://u:********@proxy:3128"));
}

#[test]
fn every_source_shows_its_own_values() {
    let (runtime, _) = runtime("log_level: warn\n", &[("DD_HEALTH_PORT", "5556"), ("DD_API_KEY", KEY)]);
    let sources = runtime.by_source();
    assert_eq!(sources["default"]["log_level"], json!("info"));
    assert_eq!(sources["file"], json!({"log_level": "warn"}));
    assert_eq!(sources["environment-variable"]["health_port"], json!(5556));
    assert_eq!(sources["environment-variable"]["api_key"], json!("***************************bcdef"));
    assert_eq!(sources["agent-runtime"], json!({}));
    assert!(!sources.to_string().contains(KEY));
}

#[test]
fn runtime_settings_are_listed_with_their_meaning() {
    let (runtime, _) = runtime("", &[]);
    let listed = runtime.list_runtime();
    assert_eq!(listed.as_object().unwrap().len(), 5);
    assert_eq!(listed["log_level"]["Hidden"], json!(false));
    assert!(listed["log_level"]["Description"].as_str().unwrap().starts_with("Set/get the log level"));
}

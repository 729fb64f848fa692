//! The status document and its text, against the layout of a stock server.

use std::collections::HashMap;
use std::sync::Arc;

use muster_actors::domain::config::{CheckConfig, DispatchedConfig};
use muster_actors::domain::ids::{CheckId, ConfigKey, Digest, NodeName};
use muster_actors::domain::world::{Dangling, DanglingReason, NodeEntry, NodeKind, NodeView};

use super::*;
use crate::config::{ClusterSettings, Environment, NodeSettings, Request};

const PROCESS: ProcessFacts =
    ProcessFacts { pid: 5260, started_unix_nanos: 1_795_261_883_168_000_000, now_unix_nanos: 1_795_262_023_665_000_000 };

fn config(role: Role, text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(role.file_name()), text).unwrap();
    let request = Request { role, path: Some(directory.path().to_owned()), environment: Environment::default(), overrides: Vec::new() };
    Config::load(request).unwrap()
}

fn cluster_document(text: &str) -> StatusDocument {
    let config = config(Role::Cluster, text);
    let settings = ClusterSettings::from_config(&config).unwrap();
    StatusDocument::new(&config, &settings.common, PROCESS)
}

fn dispatched(name: &str) -> Arc<DispatchedConfig> {
    let config = CheckConfig { name: name.to_owned(), ..CheckConfig::default() };
    Arc::new(DispatchedConfig { key: ConfigKey(1), digest: Digest(1), config, check_ids: vec![CheckId::from(format!("{name}:1"))] })
}

fn table(standing: Standing) -> ServedTable {
    let view = NodeView { configs: vec![dispatched("http_check"), dispatched("load")].into(), ..NodeView::default() };
    let entry = NodeEntry { kind: NodeKind::Runner, address: String::new(), view: Arc::new(view) };
    ServedTable {
        standing,
        nodes: HashMap::from([(NodeName::from("n1".to_owned()), entry)]),
        dangling: vec![Dangling { config: dispatched("redisdb"), reason: DanglingReason::NoEligibleNode, flagged: true }],
        ..ServedTable::default()
    }
}

#[test]
fn keys_that_scripts_use_are_there() {
    let mut document = cluster_document("hostname: node-a\n");
    document.cluster_checks = Some(ClusterChecksStatus::of(&table(Standing::Active)));
    let json = serde_json::to_value(&document).unwrap();
    for key in ["version", "pid", "config", "hostnameStats", "leaderelection", "clusterchecks", "custommetrics", "admissionWebhook"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(
        json["clusterchecks"].to_string(),
        r#"{"Follower":false,"LeaderIP":"","Leader":true,"Active":true,"NodeCount":1,"ActiveConfigs":2,"DanglingConfigs":1,"UnscheduledChecks":1,"TotalConfigs":3,"CheckNames":{"http_check":{},"load":{},"redisdb":{}}}"#
    );
    assert_eq!(json["hostnameStats"]["provider"], "configuration");
    assert_eq!(json["config"]["log_level"], "info");
}

#[test]
fn titles_and_lines_are_those_of_a_stock_server() {
    let mut document = cluster_document("hostname: node-a\n");
    document.cluster_checks = Some(ClusterChecksStatus::of(&table(Standing::Active)));
    let text = document.text(false);
    assert!(text.starts_with("=======================\nCluster Agent (v7.81.1)\n=======================\n"), "{text}");
    for line in [
        "  Status date: 2026-11-21 11:53:43.665 UTC (1795262023665)",
        "  Agent start: 2026-11-21 11:51:23.168 UTC (1795261883168)",
        "  Pid: 5260",
        "  Agent flavor: cluster_agent",
        "  Log Level: info",
        "  hostname: node-a",
        "  hostname provider: configuration",
        "  Disabled: The admission controller is not enabled on the Cluster Agent",
        "  Status: Leader, serving requests",
        "  Active agents: 1",
        "  Check Configurations: 3",
        "    - Dispatched: 2",
        "    - Unassigned: 1",
        "  Leader Election Status:  Disabled",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} in {text}");
    }
    let titles =
        ["Hostname", "Collector", "Admission Controller", "Cluster Checks Dispatching", "Custom Metrics Server", "Leader Election"];
    let places: Vec<usize> = titles.iter().map(|title| text.find(&format!("=\n{title}\n=")).unwrap_or_else(|| panic!("{title}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn dispatching_says_what_it_is_doing() {
    let shown = |status: Option<ClusterChecksStatus>| {
        let mut document = cluster_document("");
        document.cluster_checks = status;
        document.text(false)
    };
    assert!(shown(None).contains("\n  Not Enabled\n"));
    assert!(shown(Some(ClusterChecksStatus::of(&table(Standing::WarmingUp)))).contains("\n  Status: Leader, warming up\n"));
    assert!(shown(Some(ClusterChecksStatus::of(&table(Standing::Starting)))).contains("\n  Status: unknown\n"));
    let follower = ClusterChecksStatus { follower: true, ..ClusterChecksStatus::default() };
    assert!(shown(Some(follower.clone())).contains("\n  Status: Follower, no leader found\n"));
    let led = ClusterChecksStatus { leader_ip: "10.1.0.4".to_owned(), ..follower };
    assert!(shown(Some(led)).contains("\n  Status: Follower, redirecting to leader at 10.1.0.4\n"));
}

#[test]
fn running_checks_have_the_stock_lines() {
    let config = config(Role::Node, "");
    let mut document = StatusDocument::new(&config, &NodeSettings::from_config(&config).unwrap().common, PROCESS);
    let statistics = json!({
        "CheckConfigSource": "file:/conf.d/http_check.d/conf.yaml", "TotalRuns": 10, "MetricSamples": 3, "TotalMetricSamples": 30,
        "ServiceChecks": 1, "TotalServiceChecks": 10, "AverageExecutionTime": 2120, "LastExecutionDate": 1_795_262_021_500_i64,
        "LastSuccessDate": 1_795_262_021_i64,
    });
    let failing = json!({"LastError": "connection refused", "TotalErrors": 2, "TotalRuns": 2});
    document.runner_stats = Some(runner_stats([
        ("http_check".to_owned(), "http_check:a".to_owned(), statistics),
        ("tcp_check".to_owned(), "tcp_check:b".to_owned(), failing),
    ]));
    let text = document.text(false);
    let expected = "\
    http_check
    ----------
      Instance ID: http_check:a [OK]
      Configuration Source: file:/conf.d/http_check.d/conf.yaml
      Total Runs: 10
      Metric Samples: Last Run: 3, Total: 30
      Events: Last Run: 0, Total: 0
      Service Checks: Last Run: 1, Total: 10
      Average Execution Time : 2.12s
      Last Execution Date : 2026-11-21 11:53:41 UTC (1795262021000)
      Last Successful Execution Date : 2026-11-21 11:53:41 UTC (1795262021000)
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("Instance ID: tcp_check:b [ERROR]\n") && text.contains("      Error: connection refused\n"), "{text}");
    assert!(text.starts_with("===============\nAgent (v7.81.1)\n"), "{text}");
    assert!(!text.contains("Leader Election"), "{text}");
}

#[test]
fn problems_of_the_configuration_are_repeated() {
    let text = cluster_document("health_port: x\n").text(false);
    assert!(text.contains("\nConfiguration problems\n") && text.contains("  health_port: invalid value \"x\" ("), "{text}");
}

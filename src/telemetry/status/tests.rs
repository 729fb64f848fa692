//! The status document and its text, against the layout of a stock server.

use std::collections::HashMap;
use std::sync::Arc;

use muster_actors::domain::check_traits::CheckTraits;
use muster_actors::domain::config::{CheckConfig, DispatchedConfig};
use muster_actors::domain::delivery::{Contents, DropReason, KeyState, SendErrorKind};
use muster_actors::domain::ids::{CheckId, ConfigKey, Digest, NodeName};
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::world::{Dangling, DanglingReason, NodeEntry, NodeKind, NodeView, Presence, Rejected};
use muster_actors::messages::output::{OutputStats, RouteStats};

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
    Arc::new(DispatchedConfig {
        key: ConfigKey(1),
        digest: Digest(1),
        config,
        check_ids: vec![CheckId::from(format!("{name}:1"))],
        traits: CheckTraits::default(),
    })
}

fn table(standing: Standing) -> ServedTable {
    let view = NodeView { configs: vec![dispatched("http_check"), dispatched("load")].into(), ..NodeView::default() };
    let entry = NodeEntry {
        facts: NodeFacts { kind: NodeKind::Runner, ..NodeFacts::default() },
        presence: Presence::Staying,
        view: Arc::new(view),
    };
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
fn agents_on_their_way_out_are_named() {
    let mut table = table(Standing::Active);
    let mut leaving = table.nodes["n1"].clone();
    leaving.presence = Presence::Draining;
    table.nodes.extend([("n3".into(), leaving.clone()), ("n2".into(), leaving)]);
    let mut document = cluster_document("");
    document.cluster_checks = Some(ClusterChecksStatus::of(&table));
    let text = document.text(false);
    assert!(text.contains("  Active agents: 3\n    - Draining: n2, n3\n  Check Configurations: "), "{text}");
}

#[test]
fn running_checks_have_the_stock_lines() {
    let mut document = node_document();
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

fn node_document() -> StatusDocument {
    let config = config(Role::Node, "");
    StatusDocument::new(&config, &NodeSettings::from_config(&config).unwrap().common, PROCESS)
}

fn outputs() -> Vec<OutputStats> {
    let route = RouteStats {
        success: 4,
        dropped: 1,
        errors: BTreeMap::from([(SendErrorKind::Gt400, 2)]),
        http_errors: BTreeMap::from([(503, 2)]),
        backoff_errors: 2,
        ..RouteStats::default()
    };
    let intake = OutputStats {
        destination: "http://intake".to_owned(),
        key_ending: Some("bcdef".to_owned()),
        key_state: KeyState::Valid,
        sent: Contents { payloads: 4, bytes: 30, points: 7, ..Contents::default() },
        dropped: BTreeMap::from([(DropReason::TooLarge, Contents { payloads: 1, check_runs: 9, ..Contents::default() })]),
        queued: Contents { payloads: 3, bytes: 90, ..Contents::default() },
        retries: 2,
        routes: BTreeMap::from([("series_v2", route)]),
        last_error: Some("series_v2: answer 503".to_owned()),
        ..OutputStats::default()
    };
    vec![intake, OutputStats { destination: "stdout".to_owned(), ..OutputStats::default() }]
}

#[test]
fn the_forwarder_says_what_was_sent_where_and_what_was_lost() {
    let mut document = node_document();
    let forwarder = ForwarderStatus::of(outputs());
    document.endpoints = forwarder.endpoints();
    document.forwarder = Some(forwarder);
    let expected = "\
  Transactions
  ============
    Dropped: 1
    Dropped By Endpoint:
      series_v2: 1
    Retried: 2
    RetryQueueSize: 3

  Transaction Successes
  =====================
    Total number: 4
    Successes By Endpoint:
      series_v2: 4

  Transaction Errors
  ==================
    Total number: 2
    Errors By Type:
      gt_400: 2

  HTTP Errors
  ===========
    Total number: 2
    HTTP Errors By Code:
      503: 2

  API Keys status
  ===============
    API key ending with bcdef: API Key valid

  Outputs
  =======
    http://intake (API key ending with bcdef)
    -----------------------------------------
      Sent: 4 payloads, 30 bytes, 7 points
      Dropped (too_large): 1 payloads, 9 check runs
      Queue: 3 payloads, 90 bytes
      Retries: 2
      Failing now: series_v2, backing off (level 2)
      Last Error: series_v2: answer 503

    stdout
    ------
      Sent: nothing
      Dropped: nothing
      Queue: nothing
      Retries: 0
      Last Error: none
";
    let text = document.text(false);
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("  http://intake - API Key ending with:\n      - bcdef\n"), "{text}");
    let json = serde_json::to_value(&document).unwrap();
    let transactions = &json["forwarderStats"]["Transactions"];
    assert_eq!((&transactions["Success"], &transactions["SuccessByEndpoint"]["series_v2"]), (&json!(4), &json!(4)));
    assert_eq!(transactions["HTTPErrorsByCode"], json!({"503": 2}));
    assert_eq!(json["forwarderStats"]["Outputs"][0]["queued"]["bytes"], 90);
}

#[test]
fn keys_that_differ_are_told_apart_and_those_of_one_intake_stand_together() {
    let mut document = node_document();
    let with = |url: &str, ending: &str, key_state| OutputStats {
        destination: url.to_owned(),
        key_ending: Some(ending.to_owned()),
        key_state,
        spooled: Contents { events: 7, ..Contents::default() },
        ..OutputStats::default()
    };
    let forwarder = ForwarderStatus::of(vec![
        with("http://a", "bcdef", KeyState::Valid),
        with("http://a", "01234", KeyState::Valid),
        with("http://b", "bcdef", KeyState::Invalid),
    ]);
    document.endpoints = forwarder.endpoints();
    document.forwarder = Some(forwarder);
    let text = document.text(false);
    for expected in [
        "  http://a - API Key ending with:\n      - bcdef\n      - 01234\n  http://b - API Key ending with:\n      - bcdef\n",
        "    API key ending with bcdef: API Key valid\n    http://b (API key ending with bcdef): API Key invalid\n",
        "    http://a (API key ending with 01234)\n    ------",
        "      On Disk: 7 events\n",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn without_an_intake_there_are_no_transactions() {
    let mut document = node_document();
    document.forwarder = Some(ForwarderStatus::of(outputs().split_off(1)));
    let text = document.text(false);
    assert!(!text.contains("Transactions") && !text.contains("API Keys"), "{text}");
    assert!(text.contains("    stdout\n    ------\n      Sent: nothing\n"), "{text}");
}

#[test]
fn providers_say_whether_the_cluster_agent_answers() {
    let view = ProviderView {
        source: "cluster-checks",
        polled_once: true,
        in_contact: false,
        last_change: 7,
        configs: 2,
        polls: 10,
        failed_polls: 8,
        last_poll: Some(1_795_262_021),
        last_error: Some("cluster agent not available: 503".to_owned()),
        ..ProviderView::default()
    };
    let waiting = ProviderView { source: "endpoints-checks", ..ProviderView::default() };
    let mut document = node_document();
    document.config_providers = Some(vec![view.clone(), waiting]);
    let expected = "\
  cluster-checks
  --------------
    State: degraded, running the last known configs
    Configs: 2
    Last Change: 7
    Polls: 10, failed: 8
    Last Poll : 2026-11-21 11:53:41 UTC (1795262021000)
    Last Successful Poll : Never
    Last Error: cluster agent not available: 503

  endpoints-checks
  ----------------
    State: waiting for the first answer
";
    let text = document.text(false);
    assert!(text.contains(expected), "{text}");
    for (in_contact, dropped, failed, condition) in [
        (true, false, false, "in contact"),
        (true, false, true, "in contact, last call failed"),
        (false, true, true, "degraded, all configs dropped"),
    ] {
        let last_error = failed.then(String::new);
        assert_eq!(ProviderView { in_contact, dropped, last_error, ..view.clone() }.condition(), condition);
    }
    document.config_providers = Some(Vec::new());
    assert!(document.text(false).contains("\n  No cluster agent is polled\n"));
}

#[test]
fn what_cannot_be_loaded_is_named_with_its_place() {
    let failure = |instance, error: &str| LoadFailure {
        check_name: "redisdb".to_owned(),
        config_source: "file:/conf.d/redisdb.yaml".to_owned(),
        instance,
        error: error.to_owned(),
    };
    let mut document = node_document();
    document.check_scheduler = Some(CheckSchedulerStatus::of(&[failure(0, "no loader"), failure(2, "no url")]));
    let expected = "
  Loading Errors
  ==============
    redisdb
    -------
      file:/conf.d/redisdb.yaml[0]: no loader
      file:/conf.d/redisdb.yaml[2]: no url
";
    assert!(document.text(false).contains(expected), "{}", document.text(false));
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(json["checkSchedulerStats"]["LoaderErrors"]["redisdb"]["file:/conf.d/redisdb.yaml[2]"], "no url");
    document.check_scheduler = Some(CheckSchedulerStatus::of(&[]));
    assert!(!document.text(false).contains("Loading Errors"));
}

#[test]
fn configs_that_cannot_be_dispatched_are_listed() {
    let rejected = vec![Rejected { check_name: "a".to_owned(), source: "file:a.yaml".to_owned(), reason: "no mapping".to_owned() }];
    let mut document = cluster_document("");
    document.cluster_checks = Some(ClusterChecksStatus::of(&ServedTable { rejected, ..table(Standing::Active) }));
    let text = document.text(false);
    assert!(text.contains("    - Unassigned for too long: 1\n  Rejected Configurations: 1\n    - a (file:a.yaml): no mapping\n"), "{text}");
}

#[test]
fn repaired_assignment_files_are_listed_whatever_the_standing() {
    for standing in [Standing::Starting, Standing::WarmingUp, Standing::Active] {
        let mut document = cluster_document("");
        let mut status = ClusterChecksStatus::of(&table(standing));
        assert_eq!(serde_json::to_value(&status).unwrap().get("RepairedFiles"), None);
        status.repaired_files = vec!["/run/log: cut off 3 bytes".to_owned()];
        assert_eq!(serde_json::to_value(&status).unwrap()["RepairedFiles"][0], "/run/log: cut off 3 bytes");
        document.cluster_checks = Some(status);
        let text = document.text(false);
        assert!(text.contains("  Assignment Files Repaired At Start: 1\n    - /run/log: cut off 3 bytes\n"), "{text}");
    }
}

#[test]
fn problems_of_the_configuration_are_repeated() {
    let text = cluster_document("health_port: x\n").text(false);
    assert!(text.contains("\nConfiguration problems\n") && text.contains("  health_port: invalid value \"x\" ("), "{text}");
}

#[test]
fn a_follower_says_where_the_leader_is() {
    use muster_actors::domain::lease::Role;
    let of = |role, address: &str| {
        let leadership = Leadership { role, address: Some(address.to_owned()), ..Leadership::default() };
        let status = ClusterChecksStatus::default().beside(&leadership);
        (status.follower, status.leader_ip)
    };
    assert_eq!(of(Role::Follower, "10.1.1.1:5005"), (true, "10.1.1.1".to_owned()));
    assert_eq!(of(Role::Follower, "[fd00::7]:5005"), (true, "fd00::7".to_owned()));
    assert_eq!(of(Role::Leader, "10.1.1.1:5005"), (false, String::new()));
}

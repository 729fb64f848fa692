//! Metrics from snapshots, in the text form that Prometheus reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::plan::{Forecast, Plan, Stopped, Trigger};
use muster_actors::balance::policy::Strategy;
use muster_actors::balance::rebalancing::{LastPlan, RebalancerView};
use muster_actors::domain::check_traits::CheckTraits;
use muster_actors::domain::config::{Data, DispatchedConfig};
use muster_actors::domain::delivery::{DropReason, SendErrorKind};
use muster_actors::domain::figures::{Figures, RunnerFigures};
use muster_actors::domain::ids::{CheckId, ConfigKey, Digest, Epoch, KubernetesNodeName, NodeName, Seq, Stamp};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::kube::event_rules::Emitted;
use muster_actors::domain::kube::objects::Kind;
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::run_stats::{CheckIdentity, CheckStats, FinishedRun, LoadFailure, RunTotals, WorkersReport};
use muster_actors::domain::world::{Dangling, DanglingReason, DispatcherCounters, NodeEntry, NodeKind, NodeView, Presence, Rejected};
use muster_actors::messages::output::RouteStats;

use super::*;
use crate::telemetry::Metrics;

fn config(name: &str) -> Arc<DispatchedConfig> {
    let config = CheckConfig { name: name.to_owned(), source: format!("file:{name}.yaml"), cluster_check: true, ..CheckConfig::default() };
    let check_ids = vec![CheckId::from(format!("{name}:1"))];
    Arc::new(DispatchedConfig { key: ConfigKey(1), digest: Digest(1), config, check_ids, traits: CheckTraits::default() })
}

fn view(configs: Vec<Arc<DispatchedConfig>>) -> Arc<NodeView> {
    Arc::new(NodeView { stamp: Stamp(1), configs: configs.into(), ..NodeView::default() })
}

fn no_configs() -> Arc<NodeView> {
    view(Vec::new())
}

fn rendered(fill: impl Fn(&mut Scrape) + Send + Sync + 'static) -> String {
    let metrics = Metrics::new();
    metrics.add_source(fill);
    metrics.render()
}

#[test]
fn the_table_is_shown_under_the_upstream_names() {
    let view_of_one = view(vec![config("http_check")]);
    let entry =
        NodeEntry { facts: NodeFacts { kind: NodeKind::Runner, ..NodeFacts::default() }, presence: Presence::Draining, view: view_of_one };
    let flagged = |flagged| Dangling { config: config("redisdb"), reason: DanglingReason::NoNode, flagged };
    let table = ServedTable {
        standing: Standing::Active,
        epoch: Epoch(3),
        nodes: HashMap::from([(NodeName::from("n1".to_owned()), entry)]),
        endpoints: HashMap::from([(KubernetesNodeName::from("k1".to_owned()), view(vec![config("a"), config("b")]))]),
        dangling: vec![flagged(true), flagged(false)],
        ..ServedTable::default()
    };
    let text = rendered(move |scrape| cluster_checks(&table, scrape));
    for line in [
        "cluster_checks_nodes_reporting{join_leader=\"true\"} 1",
        "cluster_checks_configs_dangling{join_leader=\"true\"} 2",
        "cluster_checks_configs_dispatched{join_leader=\"true\",node=\"n1\"} 1",
        "cluster_checks_configs_info{check_id=\"http_check:1\",check_name=\"http_check\",join_leader=\"true\",node=\"n1\"} 1",
        "cluster_checks_unscheduled_check{config_name=\"redisdb\",config_source=\"file:redisdb.yaml\",join_leader=\"true\"} 1",
        "endpoint_checks_configs_dispatched{join_leader=\"true\",node=\"k1\"} 2",
        "muster_dispatcher_epoch 3",
        "muster_dispatcher_draining_nodes 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
}

#[test]
fn a_replica_that_does_not_know_its_role_does_not_claim_to_lead() {
    let text = rendered(|scrape| cluster_checks(&ServedTable::default(), scrape));
    assert!(!text.contains("cluster_checks_") && !text.contains("muster_dispatcher_"), "{text}");
}

#[test]
fn the_leader_metric_has_one_series_with_the_answer_as_a_label() {
    let leader = Leadership { role: Role::Leader, epoch: Epoch(4), valid_until: Some(Duration::from_secs(40)), ..Leadership::default() };
    let follower = Leadership { role: Role::Follower, ..leader.clone() };
    // At 50 s this replica slept through the end of its validity, and no actor had the time to say so.
    for (shown, now, answer, value, left) in [(&leader, 10, true, 1, 30), (&leader, 50, false, 0, 0), (&follower, 10, false, 0, 30)] {
        let shown = shown.clone();
        let text = rendered(move |scrape| leadership(&shown, Duration::from_secs(now), scrape));
        let series: Vec<_> = text.lines().filter(|line| line.starts_with("leader_election_is_leader")).collect();
        assert_eq!(series, [format!("leader_election_is_leader{{is_leader=\"{answer}\",join_leader=\"true\"}} {value}")]);
        assert!(text.contains("muster_leader_epoch 4\n") && text.contains("muster_leader_known 1\n"), "{text}");
        assert!(text.contains(&format!("muster_leader_valid_seconds {left}\n")), "{text}");
    }
    let text = rendered(|scrape| leadership(&Leadership::default(), Duration::ZERO, scrape));
    assert!(text.contains("leader_election_is_leader{is_leader=\"false\",join_leader=\"true\"} 0\n"), "{text}");
    assert!(text.contains("muster_leader_known 0\n") && !text.contains("muster_leader_valid_seconds "), "{text}");
}

#[test]
fn discovery_is_counted_by_provider_and_kind() {
    let one = |cluster_check: bool| {
        let instances = vec![Data::from("{}")];
        Arc::new(CheckConfig { provider: "file".to_owned(), cluster_check, instances, ..CheckConfig::default() })
    };
    let mut report = DiscoveryReport { configs: vec![one(true), one(true), one(false)], ..DiscoveryReport::default() };
    report.broken_sources = BTreeMap::from([("file".to_owned(), 1), ("kubernetes-services".to_owned(), 0)]);
    let text = rendered(move |scrape| discovery(&report, scrape));
    assert!(text.contains("autodiscovery_scheduled_configs{provider=\"file\",type=\"cluster_check\"} 2\n"), "{text}");
    assert!(text.contains("autodiscovery_scheduled_configs{provider=\"file\",type=\"check\"} 1\n"), "{text}");
    assert!(text.contains("autodiscovery_errors{provider=\"file\"} 1\n"), "{text}");
    assert!(text.contains("autodiscovery_errors{provider=\"kubernetes-services\"} 0\n"), "{text}");
}

/// All lines with a value other than 0, without those of the process.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("process_") && !line.ends_with(" 0")).collect()
}

#[test]
fn the_dispatcher_counts_under_our_names() {
    let counters = DispatcherCounters {
        placements: 7,
        moves: BTreeMap::from([(Cause::NodeExpired, 3), (Cause::NodeJoined, 1)]),
        expired_nodes: 2,
        deleted_nodes: 6,
        patch_failures: 1,
        stale_epoch_dropped: 4,
        persistence_failures: 5,
        invariant_violations: BTreeMap::from([("one_owner", 1)]),
    };
    let rejected = vec![Rejected { check_name: "a".to_owned(), source: "file:a".to_owned(), reason: "no".to_owned() }];
    let table = ServedTable { standing: Standing::Active, epoch: Epoch(2), counters, rejected, ..ServedTable::default() };
    let text = rendered(move |scrape| cluster_checks(&table, scrape));
    let ours: Vec<&str> = lines(&text).into_iter().filter(|line| line.starts_with("muster_")).collect();
    assert_eq!(
        ours,
        [
            "muster_dispatcher_deleted_nodes_total 6",
            "muster_dispatcher_epoch 2",
            "muster_dispatcher_expired_nodes_total 2",
            "muster_dispatcher_moves_total{reason=\"node_expired\"} 3",
            "muster_dispatcher_moves_total{reason=\"node_joined\"} 1",
            "muster_dispatcher_patch_failures_total 1",
            "muster_dispatcher_persistence_failures_total 5",
            "muster_dispatcher_placements_total 7",
            "muster_dispatcher_rejected_configs 1",
            "muster_dispatcher_stale_epochs_total 4",
            "muster_invariant_violations_total{name=\"one_owner\"} 1",
        ]
    );
    assert!(text.contains("# TYPE muster_dispatcher_moves_total counter\n"), "{text}");
}

#[test]
fn the_kernel_counts_restarts_panics_and_refusals_of_each_actor() {
    let actor = ActorStatus { name: "Dispatcher".to_owned(), alive: true, restarts: 3, panics: 2, refused: 9 };
    let text = rendered(move |scrape| kernel(std::slice::from_ref(&actor), scrape));
    assert_eq!(
        lines(&text),
        [
            "muster_kernel_panics_total{actor=\"Dispatcher\"} 2",
            "muster_kernel_refused_messages_total{actor=\"Dispatcher\"} 9",
            "muster_kernel_restarts_total{actor=\"Dispatcher\"} 3",
        ]
    );
}

#[test]
fn a_provider_shows_its_contact_and_its_polls() {
    let view =
        ProviderView { source: "cluster-checks", in_contact: true, configs: 4, polls: 10, failed_polls: 3, ..ProviderView::default() };
    let never = rendered({
        let view = view.clone();
        move |scrape| provider(&view, scrape)
    });
    assert!(!never.contains("last_success"), "{never}");
    let view = ProviderView { last_success: Some(1_700_000_000), ..view };
    let text = rendered(move |scrape| provider(&view, scrape));
    assert_eq!(
        lines(&text),
        [
            "muster_provider_configs{provider=\"cluster-checks\"} 4",
            "muster_provider_in_contact{provider=\"cluster-checks\"} 1",
            "muster_provider_last_success_timestamp_seconds{provider=\"cluster-checks\"} 1700000000",
            "muster_provider_polls_total{provider=\"cluster-checks\",state=\"error\"} 3",
            "muster_provider_polls_total{provider=\"cluster-checks\",state=\"ok\"} 7",
        ]
    );
    assert!(text.contains("muster_provider_dropped{provider=\"cluster-checks\"} 0\n"), "{text}");
}

#[test]
fn runs_are_counted_by_check_and_outcome() {
    let mut totals = RunTotals { missed: 6, ..RunTotals::default() };
    let run = FinishedRun { elapsed: Duration::from_millis(200), queue_wait: Duration::from_secs(2), ..FinishedRun::default() };
    totals.record(&run);
    totals.record(&FinishedRun { error: Some("refused".to_owned()), ..run.clone() });
    totals.record(&FinishedRun { error: Some("timeout".to_owned()), timed_out: true, ..run });
    let identity = CheckIdentity { check_name: "http_check".to_owned(), ..CheckIdentity::default() };
    let stats = |id: &str| (CheckId::from(id.to_owned()), Arc::new(CheckStats::new(identity.clone())));
    let failure = LoadFailure { check_name: "redisdb".to_owned(), config_source: String::new(), instance: 0, error: String::new() };
    let view = RunStatsView {
        checks: BTreeMap::from([stats("http_check:1"), stats("http_check:2")]),
        load_failures: vec![failure],
        workers: WorkersReport::uniform(2, 0.25),
        totals: BTreeMap::from([("http_check".to_owned(), totals)]),
    };
    let text = rendered(move |scrape| running_checks(&view, scrape));
    for line in [
        "check_runs_total{check=\"http_check\",state=\"ok\"} 1",
        "check_runs_total{check=\"http_check\",state=\"error\"} 1",
        "check_runs_total{check=\"http_check\",state=\"timeout\"} 1",
        "check_execution_seconds_bucket{check=\"http_check\",le=\"0.1\"} 0",
        "check_execution_seconds_bucket{check=\"http_check\",le=\"0.25\"} 3",
        "check_queue_wait_seconds_sum{check=\"http_check\"} 6",
        "check_queue_wait_seconds_count{check=\"http_check\"} 3",
        "worker_utilization{worker=\"worker_2\"} 0.25",
        "muster_check_workers 2",
        "muster_check_instances{check=\"http_check\"} 2",
        "muster_check_load_failures{check=\"redisdb\"} 1",
        "muster_check_missed_runs_total{check=\"http_check\"} 6",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
    assert!(text.contains("# TYPE check_runs_total counter\n"), "{text}");
}

fn intake() -> OutputStats {
    let route = RouteStats {
        success: 2,
        success_bytes: 30,
        dropped: 1,
        errors: BTreeMap::from([(SendErrorKind::Gt400, 3)]),
        http_errors: BTreeMap::from([(503, 2), (413, 1)]),
        backoff_errors: 0,
    };
    OutputStats {
        destination: "http://intake".to_owned(),
        key_ending: Some("bcdef".to_owned()),
        sent: Contents { payloads: 2, bytes: 30, points: 7, ..Contents::default() },
        dropped: BTreeMap::from([(DropReason::TooLarge, Contents { payloads: 1, points: 4, ..Contents::default() })]),
        queued: Contents { payloads: 5, bytes: 500, ..Contents::default() },
        spooled: Contents { payloads: 3, bytes: 300, ..Contents::default() },
        connections: 2,
        retries: 2,
        routes: BTreeMap::from([("series_v2", route)]),
        ..OutputStats::default()
    }
}

#[test]
fn names_and_labels_are_those_of_stock_and_ours() {
    let stdout = OutputStats { destination: "stdout".to_owned(), retries: 1, ..OutputStats::default() };
    let mut second = intake();
    second.key_ending = Some("01234".to_owned());
    second.routes.insert("intake", RouteStats { success: 3, ..RouteStats::default() });
    second.sent.events = 5;
    second.dropped.insert(DropReason::SpoolFull, Contents { payloads: 4, ..Contents::default() });
    second.dropped.insert(DropReason::QueueFull, Contents { events: 6, ..Contents::default() });
    let all = [intake(), second, stdout].map(Arc::new);
    let text = rendered(move |scrape| outputs(&all, scrape));
    // Upstream's names add the keys of an intake up, ours tell them apart.
    for line in [
        r#"muster_output_dropped_items_total{kind="points",output="http://intake (API key ending with bcdef)",reason="too_large"} 4"#,
        r#"muster_output_dropped_items_total{kind="events",output="http://intake (API key ending with 01234)",reason="queue_full"} 6"#,
        r#"muster_output_queued_bytes{output="http://intake (API key ending with bcdef)"} 500"#,
        r#"muster_output_queued_payloads{output="http://intake (API key ending with 01234)"} 5"#,
        r#"muster_output_retries_total{output="http://intake (API key ending with 01234)"} 2"#,
        r#"muster_output_retries_total{output="stdout"} 1"#,
        r#"muster_output_sent_items_total{kind="points",output="http://intake (API key ending with bcdef)"} 7"#,
        r#"muster_output_spooled_bytes{output="http://intake (API key ending with 01234)"} 300"#,
        r#"muster_output_spooled_payloads{output="http://intake (API key ending with bcdef)"} 3"#,
        r#"muster_output_spooled_payloads{output="stdout"} 0"#,
        r#"file_storage__current_size_in_bytes{domain="http://intake"} 600"#,
        r#"file_storage__files_count{domain="http://intake"} 6"#,
        r#"file_storage__files_removed_count{domain="http://intake"} 4"#,
        r#"transactions__connection_events{connection_event_type="connection_success"} 4"#,
        r"metrics__events_dropped 6",
        r"metrics__events_payloads 3",
        r"metrics__events_sent 5",
        r#"transactions__dropped{domain="http://intake",endpoint="series_v2"} 2"#,
        r#"transactions__errors{domain="http://intake",endpoint="series_v2",error_type="gt_400"} 6"#,
        r#"transactions__http_errors{code="413",domain="http://intake",endpoint="series_v2"} 2"#,
        r#"transactions__http_errors{code="503",domain="http://intake",endpoint="series_v2"} 4"#,
        r#"transactions__success{domain="http://intake",endpoint="series_v2",proto_version="HTTP/1.1"} 4"#,
        r#"transactions__success{domain="http://intake",endpoint="intake",proto_version="HTTP/1.1"} 3"#,
        r#"transactions__success_bytes{domain="http://intake",endpoint="series_v2"} 60"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains(r#"domain="stdout""#), "{text}");
}

#[test]
fn informers_are_shown_by_resource() {
    let mut status = InformerStatus::new(Kind::EndpointSlices);
    status.failed("list", true, "403");
    status.listing_done();
    (status.synced, status.objects) = (true, 12);
    let text = rendered(move |scrape| informer(&status, scrape));
    for line in [
        "muster_informer_synced{resource=\"endpointslices\"} 1",
        "muster_informer_objects{resource=\"endpointslices\"} 12",
        "muster_informer_listings_total{resource=\"endpointslices\"} 1",
        "muster_informer_failures_total{resource=\"endpointslices\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
}

#[test]
fn balancing_is_shown_of_runners_that_are_there_and_by_the_leader_alone() {
    let runner =
        |busyness| RunnerFigures { busyness, failures: 2, collected_at: Some(Duration::from_secs(60)), ..RunnerFigures::default() };
    let silent = RunnerFigures { failures: 7, ..RunnerFigures::default() };
    let figures = Figures {
        runners: [("n1", runner(1562)), ("n2", silent), ("gone", runner(1))].map(|(name, runner)| (NodeName::from(name), runner)).into(),
        collected_at: Some(Duration::from_secs(61)),
        took: Duration::from_millis(1500),
        ..Figures::default()
    };
    let forecast =
        |runner: &str, after| Forecast { runner: runner.into(), workers: 4.0, before: 0.0, after, configs_before: 0, configs_after: 1 };
    let plan = Plan {
        epoch: Epoch(3),
        generation: Seq(1),
        strategy: Strategy::Bounded,
        trigger: Trigger::Period,
        force: false,
        moves: Vec::new(),
        forecast: vec![forecast("n1", 0.25), forecast("gone", 0.5)],
        mean: 0.25,
        tolerance: 0.02,
        budget: None,
        spent: 0,
        stopped: Stopped::InsideBand,
    };
    let last = LastPlan { plan: Arc::new(plan), at_unix_nanos: 0, took: Duration::from_millis(250) };
    let view = RebalancerView { moves: 9, last: Some(last), ..RebalancerView::default() };
    let shown = |standing, epoch| {
        let entry = || NodeEntry { facts: NodeFacts::default(), presence: Presence::Staying, view: no_configs() };
        let nodes = ["n1", "n2"].map(|name| (NodeName::from(name), entry())).into();
        let table = ServedTable { standing, epoch, nodes, ..ServedTable::default() };
        let (figures, view) = (figures.clone(), view.clone());
        rendered(move |scrape| balance(&table, &figures, &view, Duration::from_secs(90), scrape))
    };
    let text = shown(Standing::Active, Epoch(3));
    for line in [
        "cluster_checks_updating_stats_duration_seconds{join_leader=\"true\"} 1.5",
        "cluster_checks_failed_stats_collection{join_leader=\"true\",node=\"n1\"} 2",
        "cluster_checks_failed_stats_collection{join_leader=\"true\",node=\"n2\"} 7",
        "cluster_checks_busyness{join_leader=\"true\",node=\"n1\"} 1562",
        "muster_runner_stats_age_seconds{node=\"n1\"} 30",
        "cluster_checks_rebalancing_decisions{join_leader=\"true\"} 9",
        "cluster_checks_successful_rebalancing_moves{join_leader=\"true\"} 9",
        "cluster_checks_rebalancing_duration_seconds{join_leader=\"true\"} 0.25",
        "cluster_checks_predicted_utilization{join_leader=\"true\",node=\"n1\"} 0.25",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
    assert!(!text.contains("gone"), "{text}");
    assert!(!text.contains("busyness{join_leader=\"true\",node=\"n2\"}"), "what was never told is not 0: {text}");
    assert!(!shown(Standing::Active, Epoch(4)).contains("predicted_utilization"), "the plan of another term says nothing");
    assert!(!shown(Standing::Starting, Epoch(3)).contains("cluster_checks_"));
}

#[test]
fn events_are_counted_under_the_upstream_names() {
    let word = str::to_owned;
    let received = Received {
        kind: word("Pod"),
        component: word("kubelet"),
        event_type: word("Warning"),
        reason: word("BackOff"),
        source: word("kubernetes"),
    };
    let emitted = Emitted { kind: word("Pod"), event_type: word("Warning"), source: word("kubernetes"), is_bundled: true };
    let stats = EventForwarderStats {
        received: BTreeMap::from([(received, 3)]),
        emitted: BTreeMap::from([(emitted, 1)]),
        repeated: 2,
        lag_seconds: Some(4),
        ..EventForwarderStats::default()
    };
    let text = rendered(move |scrape| forwarded_events(&stats, scrape));
    for line in [
        r#"kubernetes_apiserver_kube_events{component="kubelet",kind="Pod",reason="BackOff",source="kubernetes",type="Warning"} 3"#,
        r#"kubernetes_apiserver_emitted_events{is_bundled="true",kind="Pod",source="kubernetes",type="Warning"} 1"#,
        "muster_events_dropped_total 0",
        "muster_event_rounds_repeated_total 2",
        "muster_events_lag_seconds 4",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

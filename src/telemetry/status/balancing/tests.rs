use muster_actors::balance::plan::{Stopped, Trigger};
use muster_actors::balance::rebalancing::LastPlan;
use muster_actors::domain::check_traits::CheckTraits;
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::constraints::{Constraints, Quarantine};
use muster_actors::domain::figures::{ConfigFigures, RunnerFigures};
use muster_actors::domain::handover::{Confirmation, Transfer};
use muster_actors::domain::ids::{CheckId, Digest, Epoch, Seq, Stamp};
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::world::{Dangling, DanglingReason, Moving, NodeEntry, NodeView, Presence};

use super::*;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_795_262_021 * SECOND;

fn config(key: u128) -> Arc<DispatchedConfig> {
    Arc::new(DispatchedConfig {
        key: ConfigKey(key),
        digest: Digest(key as u64),
        config: CheckConfig { name: "load".to_owned(), ..CheckConfig::default() },
        check_ids: vec![CheckId::from(format!("load:{key}"))],
        traits: CheckTraits::default(),
    })
}

fn node(presence: Presence, keys: &[u128]) -> NodeEntry {
    let view = NodeView { configs: keys.iter().map(|key| config(*key)).collect(), ..NodeView::default() };
    NodeEntry { facts: NodeFacts::default(), presence, view: Arc::new(view) }
}

fn served() -> ServedTable {
    let transfer = Transfer { from: "r1".into(), to: Some("r2".into()), waits_for: Confirmation::Started, stamp: Stamp(1) };
    ServedTable {
        standing: Standing::Active,
        nodes: HashMap::from([
            (NodeName::from("r1"), node(Presence::Staying, &[1, 2])),
            (NodeName::from("runner-2"), node(Presence::Staying, &[3])),
            (NodeName::from("r3"), node(Presence::Draining, &[])),
        ]),
        dangling: vec![Dangling { config: config(4), reason: DanglingReason::Quarantined, flagged: false }],
        moving: vec![Moving { config: config(5), transfer }],
        constraints: Arc::new(Constraints {
            pinned: [(ConfigKey(1), "r1".into())].into(),
            isolated: [("runner-2".into(), ConfigKey(3))].into(),
            quarantined: [(
                ConfigKey(4),
                Quarantine { since_unix_nanos: NOW, until_unix_nanos: NOW + 7200 * SECOND, killed: vec!["r8".into(), "r9".into()] },
            )]
            .into(),
        }),
        ..ServedTable::default()
    }
}

fn figures() -> Figures {
    let runner =
        |workers: u32| RunnerFigures { workers: Some(workers), collected_at: Some(Duration::from_secs(40)), ..RunnerFigures::default() };
    let need = |smoothed: f64| ConfigFigures { measured: smoothed, smoothed, ..ConfigFigures::default() };
    Figures {
        runners: [("r1".into(), runner(4)), ("runner-2".into(), RunnerFigures { last_error: Some("timeout".to_owned()), ..runner(2) })]
            .into(),
        configs: [(ConfigKey(1), need(1.0)), (ConfigKey(2), need(0.6)), (ConfigKey(3), need(0.1))].into_iter().collect(),
        ..Figures::default()
    }
}

fn view() -> RebalancerView {
    let plan = Arc::new(Plan {
        epoch: Epoch(1),
        generation: Seq(1),
        strategy: Strategy::Bounded,
        trigger: Trigger::Membership,
        force: false,
        moves: Vec::new(),
        forecast: Vec::new(),
        mean: 0.25,
        tolerance: 0.02,
        budget: Some(5),
        spent: 0,
        stopped: Stopped::InsideBand,
    });
    let last = LastPlan { plan: Arc::clone(&plan), at_unix_nanos: NOW - 180 * SECOND, took: Duration::from_millis(3) };
    RebalancerView { plans: 7, applied: 2, moves: 9, last: Some(last), pending: Some((3, plan)), ..RebalancerView::default() }
}

fn status(served: &ServedTable) -> Option<BalancingStatus> {
    BalancingStatus::of(BalancingSources {
        served,
        figures: &figures(),
        view: &view(),
        policy: &BalancePolicy { approval: true, ..BalancePolicy::default() },
        now_unix_nanos: NOW,
        now: Duration::from_secs(160),
    })
}

#[test]
fn everything_about_balancing_is_on_one_page() {
    let status = BalancingStatus { advice: Vec::new(), ..status(&served()).unwrap() };
    let expected = "\
Strategy: bounded, plans wait for approval
Last Plan: 2026-11-21 11:50:41 UTC (3 min ago), because runners came or went a moment ago
  - 0 moves, found in 3 ms
  - No more, because the load is even: every runner is within 2.0 % of the mean of 25.0 %
Waiting For Approval: plan 3 with 0 moves, made because runners came or went a moment ago
  - See it with: muster cluster clusterchecks plan, approve it with --approve 3
Moves For Balance In The Last 10 Minutes: 0, allowed: 5
Since Start: 7 plans, 2 carried out, 9 moves
Runners: 3, mean utilization 28.3 %, a full bar is 50.0 %
  r1        ################....  40.0 %  2 configs, 4 workers
  runner-2  ##..................   5.0 %  1 config, 2 workers, figures 2 min old: timeout
  r3        ....................   0.0 %  0 configs, 4 workers assumed, on its way out, no figures yet
Pinned: 1
  - load:1 on r1
Isolated: 1
  - load:3 on runner-2
In Quarantine: 1
  - load:4, which ran on r8, r9 when they died; ends in 2 h
On Their Way: 1
  - load:5 from r1 to r2: waits until r2 confirms that it started it; both run it meanwhile
";
    assert_eq!(status.lines(false, NOW).join("\n") + "\n", expected);
}

#[test]
fn a_replica_that_does_not_dispatch_has_no_such_section() {
    assert_eq!(status(&ServedTable { standing: Standing::WarmingUp, ..served() }), None);
    assert_eq!(status(&ServedTable::default()), None);
}

#[test]
fn only_the_busiest_runners_are_drawn_unless_all_are_asked_for() {
    let runner = |number: usize| RunnerStatus {
        name: format!("r{number}"),
        workers: 4.0,
        utilization: number as f64 / 100.0,
        ..RunnerStatus::default()
    };
    let many = BalancingStatus { runners: (0..30).map(runner).collect(), ..BalancingStatus::default() };
    let lines = many.lines(false, NOW);
    assert!(lines.iter().any(|line| line.contains("r29 ")) && !lines.iter().any(|line| line.contains("r5 ")), "{lines:#?}");
    assert!(lines.contains(&"  and 10 less busy ones; -v shows all".to_owned()));
    assert!(many.lines(true, NOW).iter().any(|line| line.contains("r5 ")));
}

#[test]
fn advice_is_given_in_sentences() {
    let status = BalancingStatus { advice: vec![Advice::NoWorkers { runner: "r9".into() }], ..BalancingStatus::default() };
    let lines = status.lines(false, NOW);
    assert!(
        lines.ends_with(&[
            "Advice:".to_owned(),
            "  - r9 says that it has no workers, and gets nothing. Set check_runners there.".to_owned()
        ]),
        "{lines:#?}"
    );
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["advice"][0]["advice"], "no_workers");
}

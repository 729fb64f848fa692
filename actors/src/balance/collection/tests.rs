use std::sync::Arc;

use super::*;
use crate::domain::handover::Confirmation;
use crate::domain::ids::Stamp;
use crate::domain::node::NodeFacts;
use crate::domain::world::{Dangling, DanglingReason, Moving, Presence};
use crate::testing::configs::named_config;

fn took(milliseconds: i64) -> CheckFigures {
    CheckFigures { average_execution_time: milliseconds, metric_samples: 10, ..CheckFigures::default() }
}

fn pending() -> CheckFigures {
    CheckFigures { pending: true, total_runs: Some(0), ..CheckFigures::default() }
}

/// Config `number` is a check of this name; its check id.
fn id(number: u64, name: &str) -> CheckId {
    named_config(number, name).check_ids[0].clone()
}

fn view(configs: &[(u64, &str)]) -> Arc<NodeView> {
    let mut configs: Vec<_> = configs.iter().map(|(number, name)| named_config(*number, name)).collect();
    configs.sort_by_key(|config| config.key);
    Arc::new(NodeView { configs: configs.into(), ..NodeView::default() })
}

fn table(nodes: &[(&str, &[(u64, &str)])]) -> ServedTable {
    let entry = |(name, configs): &(&str, &[(u64, &str)])| {
        let facts = NodeFacts { kind: NodeKind::Runner, address: format!("ip of {name}"), ..NodeFacts::default() };
        (NodeName::from(*name), NodeEntry { facts, presence: Presence::default(), view: view(configs) })
    };
    ServedTable { nodes: nodes.iter().map(entry).collect(), ..ServedTable::default() }
}

fn told(checks: &[(CheckId, CheckFigures)]) -> Told {
    let checks = ToldChecks::new(checks.iter().cloned().collect(), &NodeView::default());
    Told { at: Duration::from_secs(9), checks: Ok(checks), workers: ToldWorkers::Number(4) }
}

fn round(before: &Figures, table: &ServedTable, answers: &[(&str, Told)]) -> Figures {
    let answers = answers.iter().map(|(name, told)| (NodeName::from(*name), told.clone())).collect();
    collected(before, table, answers, Duration::from_secs(10), Duration::from_secs(2))
}

fn failed() -> Told {
    Told { at: Duration::from_secs(69), checks: Err("runner answered 500: no".to_owned()), workers: ToldWorkers::NoAnswer }
}

fn smoothed(figures: &Figures, number: u128) -> Option<f64> {
    figures.configs.get(&ConfigKey(number)).map(|config| (config.smoothed * 1e6).round() / 1e6)
}

#[test]
fn cc_t49_the_entry_without_a_name_is_dropped_and_old_statistics_outlive_a_failure() {
    let table = table(&[("r1", &[(1, "redisdb")])]);
    let first = round(&Figures::default(), &table, &[("r1", told(&[(id(1, "redisdb"), took(1500)), ("".into(), took(9))]))]);
    let runner = &first.runners["r1"];
    assert_eq!(runner.checks.keys().collect::<Vec<_>>(), [&id(1, "redisdb")]);
    assert_eq!((runner.failures, runner.last_error.as_deref()), (0, None));
    let second = round(&first, &table, &[("r1", failed())]);
    let runner = &second.runners["r1"];
    assert_eq!((&runner.checks, runner.workers, runner.busyness), (&first.runners["r1"].checks, Some(4), first.runners["r1"].busyness));
    assert_eq!((runner.failures, runner.last_error.as_deref()), (1, Some("runner answered 500: no")));
    assert_eq!(runner.collected_at, Some(Duration::from_secs(9)), "the values show how old they are");
    assert_eq!(second.configs, first.configs, "the same measurement is not counted twice");
}

#[test]
fn workers_are_remembered_until_the_runner_says_that_it_does_not_tell() {
    let table = table(&[("r1", &[])]);
    let mut answer = told(&[]);
    answer.workers = ToldWorkers::Number(7);
    let first = round(&Figures::default(), &table, &[("r1", answer.clone())]);
    answer.workers = ToldWorkers::NoAnswer;
    let second = round(&first, &table, &[("r1", answer.clone())]);
    answer.workers = ToldWorkers::Untold;
    let third = round(&second, &table, &[("r1", answer.clone())]);
    assert_eq!([&first, &second, &third].map(|figures| figures.runners["r1"].workers), [Some(7), Some(7), None]);
    for (told, believed) in [(0, Some(0)), (10_000, Some(10_000)), (10_001, None), (u32::MAX, None)] {
        answer.workers = ToldWorkers::Number(told);
        assert_eq!(round(&first, &table, &[("r1", answer.clone())]).runners["r1"].workers, believed);
    }
}

#[test]
fn a_config_keeps_what_is_known_on_its_way_to_another_runner() {
    let before = table(&[("r1", &[(1, "a")]), ("r2", &[])]);
    let first = round(&Figures::default(), &before, &[("r1", told(&[(id(1, "a"), took(1500))])), ("r2", told(&[]))]);
    assert_eq!(smoothed(&first, 1), Some(0.1));

    let after = table(&[("r1", &[]), ("r2", &[(1, "a")])]);
    let double = [("r1", told(&[(id(1, "a"), took(15_000))])), ("r2", told(&[(id(1, "a"), pending())]))];
    let second = round(&first, &after, &double);
    assert_eq!(smoothed(&second, 1), Some(0.1), "the former owner is not believed any more");
    assert!(second.configs[&ConfigKey(1)].incomplete);
    let third = round(&second, &after, &[("r1", failed()), ("r2", told(&[(id(1, "a"), took(3000))]))]);
    assert_eq!(smoothed(&third, 1), Some(0.13));
    assert!(!third.configs[&ConfigKey(1)].incomplete);
}

#[test]
fn of_two_that_run_a_config_while_it_moves_the_former_one_is_believed() {
    let mut both = table(&[("r1", &[(1, "a")]), ("r2", &[(1, "a")])]);
    let transfer = Transfer { from: "r1".into(), to: Some("r2".into()), waits_for: Confirmation::Started, stamp: Stamp(1) };
    both.moving.push(Moving { config: named_config(1, "a"), transfer: transfer.clone() });
    let answers = [("r1", told(&[(id(1, "a"), took(3000))])), ("r2", told(&[(id(1, "a"), took(15))]))];
    let figures = round(&Figures::default(), &both, &answers);
    assert_eq!(smoothed(&figures, 1), Some(0.2));

    let mut nobody = table(&[("r1", &[]), ("r2", &[])]);
    nobody.moving.push(Moving { config: named_config(1, "a"), transfer: Transfer { waits_for: Confirmation::Stopped, ..transfer } });
    let kept = round(&figures, &nobody, &answers);
    assert_eq!(smoothed(&kept, 1), Some(0.2));
}

#[test]
fn what_is_gone_is_forgotten_and_what_dangles_is_not() {
    let before = table(&[("r1", &[(1, "a"), (2, "a")]), ("r2", &[(3, "a")])]);
    let all = [(1, took(150)), (2, took(1500))].map(|(number, figures)| (id(number, "a"), figures));
    let first = round(&Figures::default(), &before, &[("r1", told(&all)), ("r2", told(&[(id(3, "a"), took(3000))]))]);
    assert_eq!(first.configs.len(), 3);
    assert_eq!((first.medians["a"], first.median), (0.1, Some(0.1)));

    let mut after = table(&[("r2", &[])]);
    let reason = DanglingReason::NoEligibleNode;
    after.dangling.push(Dangling { config: named_config(2, "a"), reason, flagged: false });
    let second = round(&first, &after, &[("r1", told(&all)), ("r2", told(&[]))]);
    assert_eq!(second.runners.keys().collect::<Vec<_>>(), [&NodeName::from("r2")]);
    assert_eq!((second.configs.len(), smoothed(&second, 2)), (1, Some(0.1)));
}

#[test]
fn only_runners_with_an_address_are_asked() {
    let mut table = table(&[("runner", &[]), ("old", &[]), ("agent", &[]), ("silent", &[])]);
    table.nodes.get_mut("old").unwrap().facts.kind = NodeKind::Unknown;
    table.nodes.get_mut("agent").unwrap().facts.kind = NodeKind::NodeAgent;
    table.nodes.get_mut("silent").unwrap().facts.address = String::new();
    let mut asked: Vec<_> = askable(&table).map(|(name, _)| name.as_str()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["old", "runner"]);
}

#[test]
fn a_runner_that_has_not_answered_yet_keeps_what_is_known() {
    let table = table(&[("r1", &[(1, "a")])]);
    let first = round(&Figures::default(), &table, &[("r1", told(&[(id(1, "a"), took(1500))]))]);
    let second = round(&first, &table, &[]);
    assert_eq!((&second.runners, &second.configs), (&first.runners, &first.configs));
    assert_eq!((second.collected_at, second.took), (Some(Duration::from_secs(10)), Duration::from_secs(2)));
}

#[test]
fn a_runner_with_more_checks_than_can_be_true_loses_those_that_nobody_gave_it() {
    let mut checks: BTreeMap<CheckId, CheckFigures> =
        (0..100_000).map(|number| (CheckId::from(format!("a{number:06}")), took(i64::MAX))).collect();
    checks.insert(id(1, "zzz"), took(1500));
    let lies = ToldChecks::new(checks, &view(&[(1, "zzz")]));
    assert_eq!((lies.checks.len(), lies.busyness), (OTHERS_REMEMBERED + 1, 1_000_010));
    assert!(lies.checks.contains_key(&id(1, "zzz")));
}

#[test]
fn lies_of_one_runner_change_nothing_about_the_others() {
    let table = table(&[("honest", &[(1, "a")]), ("liar", &[(2, "b")])]);
    let lie = CheckFigures {
        average_execution_time: i64::MIN,
        metric_samples: i64::MAX,
        histogram_buckets: i64::MAX,
        events: i64::MIN,
        total_runs: Some(u64::MAX),
        ..CheckFigures::default()
    };
    let lies: Vec<_> =
        (0..1000).map(|number| (CheckId::from(format!("b{number}")), lie.clone())).chain([(id(2, "b"), lie.clone())]).collect();
    let figures = round(&Figures::default(), &table, &[("honest", told(&[(id(1, "a"), took(1500))])), ("liar", told(&lies))]);
    assert_eq!((smoothed(&figures, 1), figures.runners["honest"].busyness), (Some(0.1), 10));
    let all: i64 = figures.runners.values().map(|runner| runner.busyness).sum();
    assert!(all > 0 && figures.runners["liar"].busyness <= MOST_BUSYNESS);
    assert_eq!(figures.median, Some(0.1), "a need of 0 says nothing");
}

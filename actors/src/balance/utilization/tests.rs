use super::*;
use crate::balance::plan::Trigger;
use crate::balance::policy::Strategy;
use crate::testing::worlds::{after, world};

fn planned(world: &World, stickiness: Option<Stickiness>, force: bool) -> Plan {
    let policy = BalancePolicy { strategy: Strategy::Utilization, stickiness, ..BalancePolicy::default() };
    plan(world, &policy, Order { strategy: Strategy::Utilization, trigger: Trigger::Period, force })
}

fn plain(world: &World) -> Plan {
    planned(world, None, false)
}

fn sticky(world: &World) -> Plan {
    planned(world, Some(Stickiness::default()), false)
}

fn moves(plan: &Plan) -> Vec<String> {
    plan.moves.iter().map(|made| format!("{} {}->{}", made.check_name, made.from, made.to)).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

fn after_it(plan: &Plan) -> Vec<f64> {
    plan.forecast.iter().map(|runner| rounded(runner.after)).collect()
}

/// Standard deviations before and after, to four digits.
fn deviations(plan: &Plan) -> (f64, f64) {
    let four = |values: Vec<f64>| (deviation(&values) * 1e4).round() / 1e4;
    (four(plan.forecast.iter().map(|runner| runner.before).collect()), four(plan.forecast.iter().map(|runner| runner.after).collect()))
}

fn t40() -> World {
    world(&[("r1", 4.0, &[("a", 1.0), ("b", 0.8), ("c", 0.6)]), ("r2", 4.0, &[("d", 0.4), ("e", 0.2)]), ("r3", 4.0, &[("f", 0.2)])])
}

fn t42() -> World {
    world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 0.9)]), ("r2", 4.0, &[("e", 0.1)])])
}

fn t43() -> World {
    let names: Vec<String> = (0..30).map(|number| format!("c{number:02}")).collect();
    let mut held: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 0.05)).collect();
    held.push(("p", 0.013));
    let mut world = world(&[("r1", 4.0, &held), ("r2", 4.0, &[])]);
    world.loads[30].held = Some(Held::NeverMoved);
    world
}

#[test]
fn cc_t40_planning_anew_is_worth_it() {
    let plan = plain(&t40());
    assert_eq!(moves(&plan), ["b r1->r2", "c r1->r3", "d r2->r3"]);
    assert_eq!((after_it(&plan), deviations(&plan)), (vec![0.25, 0.25, 0.3], (0.2392, 0.0236)));
    let before: Vec<f64> = plan.forecast.iter().map(|runner| rounded(runner.before)).collect();
    assert_eq!(before, [0.6, 0.15, 0.05]);
    assert_eq!((plan.moves[0].check_weight, plan.moves[0].source_diff, plan.moves[0].dest_diff), (0, 0, 0));
}

#[test]
fn cc_t41_stickiness_keeps_everything_even_when_forced() {
    assert!(moves(&sticky(&t40())).is_empty());
    assert!(moves(&planned(&t40(), Some(Stickiness::default()), true)).is_empty());
}

#[test]
fn cc_t42_an_overloaded_runner_sheds_only_without_stickiness() {
    let plan = plain(&t42());
    assert_eq!(
        (moves(&plan), after_it(&plan), deviations(&plan)),
        (vec!["b r1->r2".to_owned(), "d r1->r2".to_owned()], vec![0.5, 0.5], (0.475, 0.0))
    );

    let mut pinned = t42();
    pinned.loads[0].held = Some(Held::NeverMoved);
    pinned.loads[1].held = Some(Held::NeverMoved);
    assert_eq!(moves(&plain(&pinned)), ["c r1->r2", "d r1->r2"]);
    assert!(moves(&sticky(&t42())).is_empty());
}

#[test]
fn cc_t43_stickiness_that_does_move() {
    let plan = sticky(&t43());
    let expected: Vec<String> = [16, 18, 20, 22, 24, 26, 28].iter().map(|number| format!("c{number} r1->r2")).collect();
    assert_eq!((moves(&plan), after_it(&plan)), (expected, vec![0.29075, 0.0875]));
    let five = |values: [f64; 2]| rounded(deviation(&values));
    assert_eq!(five([plan.forecast[0].before, plan.forecast[1].before]), 0.18913);
    assert_eq!(five([plan.forecast[0].after, plan.forecast[1].after]), 0.10163);
    let plan = plain(&t43());
    assert_eq!((plan.moves.len(), after_it(&plan)), (15, vec![0.19075, 0.1875]));
}

#[test]
fn cc_t44_workers_count() {
    let plan = plain(&world(&[("r1", 8.0, &[("c", 0.5)]), ("r2", 2.0, &[("a", 1.0), ("b", 1.0)])]));
    assert_eq!((moves(&plan), after_it(&plan)), (vec!["b r2->r1".to_owned()], vec![0.1875, 0.5]));
    assert!((deviation(&[0.0625, 1.0]) - 0.46875).abs() < 1e-9 && (deviation(&[0.1875, 0.5]) - 0.15625).abs() < 1e-9);
}

#[test]
fn cc_t45_a_small_imbalance_is_left_alone_unless_forced() {
    let uneven = world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 0.8)]), ("r2", 4.0, &[("e", 1.0), ("f", 1.0), ("g", 0.08)])]);
    let plan = plain(&uneven);
    assert_eq!((moves(&plan), plan.stopped, deviations(&plan).0), (vec![], Stopped::NotWorthIt, 0.09));
    let forced = planned(&uneven, None, true);
    assert_eq!((moves(&forced), after_it(&forced)), (vec!["b r1->r2".to_owned(), "f r2->r1".to_owned()], vec![0.7, 0.52]));
}

#[test]
fn cc_t46_an_empty_runner_gets_something_only_without_stickiness() {
    let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let held = |remainder: usize| names.iter().skip(remainder).step_by(2).map(|name| (name.as_str(), 0.02)).collect::<Vec<_>>();
    let idle = world(&[("r1", 4.0, &held(1)), ("r2", 4.0, &held(0)), ("r3", 4.0, &[])]);
    let plan = plain(&idle);
    assert_eq!(deviations(&plan).0, 0.0118);
    let moved: Vec<_> = plan.moves.iter().map(|made| (made.check_name.as_str(), made.to.as_str())).collect();
    assert_eq!(moved, [("c2", "r3"), ("c5", "r3"), ("c8", "r3")]);
    assert!(moves(&sticky(&idle)).is_empty());
}

#[test]
fn cc_t47_a_runner_without_workers_attracts_as_in_stock() {
    let plan = plain(&world(&[("r1", 0.0, &[]), ("r2", 4.0, &[("a", 0.5), ("b", 0.5)])]));
    assert_eq!(moves(&plan), ["b r2->r1"]);
}

#[test]
fn what_is_not_known_counts_with_its_estimate_and_stays() {
    let mut unknown = t42();
    (unknown.loads[0].measured, unknown.loads[0].need, unknown.loads[0].held) = (None, None, Some(Held::NeedUnknown));
    (unknown.loads[1].measured, unknown.loads[1].incomplete) = (Some(0.0), true);
    assert_eq!(moves(&plain(&unknown)), ["c r1->r2"], "a counts on r1, so d stays");
}

#[test]
fn an_applied_plan_is_stable_without_stickiness() {
    let world = after(&t40(), &plain(&t40()));
    assert!(moves(&plain(&world)).is_empty());
}

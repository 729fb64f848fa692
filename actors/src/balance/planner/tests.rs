use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_assert_ne, prop_assume, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;
use crate::balance::plan::Plan;
use crate::balance::world::Held;
use crate::domain::figures::{ConfigFigures, Figures, RunnerFigures};
use crate::domain::handover::Handover;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeFacts;
use crate::domain::world::{Dangling, DanglingReason, NodeEntry, NodeView, Presence, ServedTable};
use crate::testing::configs::named_config;
use crate::testing::worlds::{after, world};

fn policy(strategy: Strategy) -> BalancePolicy {
    BalancePolicy { strategy, ..BalancePolicy::default() }
}

fn moves(plan: &Plan) -> Vec<String> {
    plan.moves.iter().map(|made| format!("{} {}->{}", made.check_name, made.from, made.to)).collect()
}

#[test]
fn off_moves_nothing_but_what_is_demanded() {
    let mut uneven = world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 1.0)]), ("r2", 4.0, &[])]);
    let plan_of = |world: &World| plan(world, &policy(Strategy::Off), Trigger::Manual, false);
    assert_eq!((moves(&plan_of(&uneven)), plan_of(&uneven).stopped), (vec![], Stopped::Off));
    uneven.loads[1].pinned_to = Some("r2".into());
    uneven.loads[1].held = Some(Held::Pinned);
    assert_eq!(moves(&plan_of(&uneven)), ["b r1->r2"]);
}

#[test]
fn a_pin_that_cannot_be_followed_moves_nothing() {
    let mut pinned = world(&[("r1", 4.0, &[("a", 1.0)]), ("r2", 4.0, &[])]);
    let plan_of = |world: &World| moves(&plan(world, &policy(Strategy::Off), Trigger::Manual, false));
    pinned.loads[0].held = Some(Held::Pinned);
    pinned.loads[0].pinned_to = Some("gone".into());
    assert!(plan_of(&pinned).is_empty());
    pinned.loads[0].pinned_to = Some("r2".into());
    assert_eq!(plan_of(&pinned), ["a r1->r2"]);
    pinned.runners[1].facts.compatibility.exclude.insert("a".to_owned());
    assert!(plan_of(&pinned).is_empty());
    pinned.runners[1].facts.compatibility.exclude.clear();
    pinned.runners[1].presence = Presence::HandingOver;
    assert!(plan_of(&pinned).is_empty());
}

#[test]
fn what_is_beside_an_isolated_config_leaves_unless_the_plan_is_forced() {
    let mut shared = world(&[("r1", 4.0, &[("a", 1.0), ("b", 0.1)]), ("r2", 4.0, &[("c", 1.0)]), ("r3", 4.0, &[("d", 1.0)])]);
    shared.runners[0].isolated_for = Some(shared.loads[0].key);
    shared.loads[0].held = Some(Held::Isolated);
    for strategy in [Strategy::Bounded, Strategy::Utilization, Strategy::Busyness, Strategy::Off] {
        let plan = plan(&shared, &policy(strategy), Trigger::Period, false);
        assert_eq!(moves(&plan), ["b r1->r2"], "{strategy:?}");
        let forced = super::plan(&shared, &policy(strategy), Trigger::Manual, true);
        assert!(!moves(&forced).contains(&"b r1->r2".to_owned()), "{strategy:?}");
    }
}

/// A world of any shape: nodes that leave, that have no workers, that declare checks; needs that are lies.
fn any_world() -> impl Generator<Value = World> {
    let name = prop_oneof![4 => Just("http_check"), 2 => Just("postgres"), 1 => Just("redisdb"), 1 => Just("cpu")];
    let need = prop_oneof![
        6 => 0.0..1.5_f64,
        2 => (0..5_u8).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)],
    ];
    let held = prop_oneof![
        12 => Just(None),
        1 => Just(Some(Held::NeverMoved)),
        1 => Just(Some(Held::CoolingDown)),
        1 => Just(Some(Held::Moving)),
        1 => Just(Some(Held::NeedUnknown)),
    ];
    let cost = prop_oneof![4 => Just(1.0), 1 => Just(20.0), 1 => 1.0..9.0_f64, 1 => Just(f64::NAN)];
    let load = (name, need, held, cost, 0..12_usize, 0..10_000_i64, any::<bool>());
    let workers = prop_oneof![6 => Just(4.0), 1 => Just(8.0), 1 => Just(2.0), 1 => Just(0.0), 1 => Just(f64::NAN)];
    let runner = (workers, 0..10_u8, 0..20_000_i64);
    (prop::collection::vec(runner, 1..8), prop::collection::vec(load, 0..40)).prop_map(|(runners, loads)| {
        let mut made = World::default();
        for (index, (workers, kind, busyness)) in runners.into_iter().enumerate() {
            let mut runner = crate::testing::worlds::runner(&format!("r{index}"), workers);
            runner.busyness = busyness;
            match kind {
                0 => runner.presence = Presence::HandingOver,
                1 => drop(runner.facts.compatibility.include.insert("postgres".to_owned())),
                2 => drop(runner.facts.compatibility.exclude.insert("redisdb".to_owned())),
                3 => runner.facts.honours_grants = true,
                _ => {}
            }
            made.runners.push(runner);
        }
        for (number, (name, need, held, cost, owner, weight, once)) in (1..).zip(loads) {
            let mut load = crate::testing::worlds::load(number, name, need);
            load.held = held;
            load.need = load.need.filter(|_| held != Some(Held::NeedUnknown));
            load.cost = cost;
            load.weight = Some(weight);
            load.owner = (owner < made.runners.len()).then_some(owner);
            load.handover = if once { Handover::AtMostOnce } else { Handover::Any };
            made.loads.push(load);
        }
        made
    })
}

/// What is planned for configs (owner and need) on four runners, the fifth owner being nobody, if they are told in this order.
fn plan_of_published(configs: &[(usize, f64)], order: &[usize], strategy: Strategy) -> Plan {
    let mut sets = vec![Vec::new(); 5];
    let mut figures = Figures::default();
    for number in order {
        let (owner, need) = configs[*number];
        let config = named_config(*number as u64, "http_check");
        let known = ConfigFigures { measured: need, smoothed: need, weight: (need * 1e3) as i64, ..ConfigFigures::default() };
        figures.configs.insert(config.key, known);
        sets[owner].push(config);
    }
    let dangling = sets.pop().unwrap().into_iter();
    let mut served = ServedTable {
        dangling: dangling.map(|config| Dangling { config, reason: DanglingReason::NoNode, flagged: false }).collect(),
        ..ServedTable::default()
    };
    for (number, set) in sets.into_iter().enumerate() {
        let name = NodeName::from(format!("r{number}"));
        let busyness = set.iter().map(|config| figures.configs[&config.key].weight).sum();
        figures.runners.insert(name.clone(), RunnerFigures { busyness, ..RunnerFigures::default() });
        let view = Arc::new(NodeView { configs: set.into(), ..NodeView::default() });
        served.nodes.insert(name, NodeEntry { facts: NodeFacts::default(), presence: Presence::Staying, view });
    }
    plan(&World::of(&served, &figures, &policy(strategy), 0), &policy(strategy), Trigger::Period, false)
}

fn any_strategy() -> impl Generator<Value = Strategy> {
    prop_oneof![Just(Strategy::Bounded), Just(Strategy::Utilization), Just(Strategy::Busyness), Just(Strategy::Off)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_figure_of_a_plan_is_a_number(world in any_world(), strategy in any_strategy(), force in any::<bool>()) {
        let plan = plan(&world, &policy(strategy), Trigger::Period, force);
        let figures = plan.moves.iter().flat_map(|made| [made.need, made.gain, made.cost, made.from_utilization, made.to_utilization]);
        let forecast = plan.forecast.iter().flat_map(|runner| [runner.workers, runner.before, runner.after]);
        prop_assert!(figures.chain(forecast).chain([plan.mean, plan.tolerance]).all(f64::is_finite));
        prop_assert!(plan.forecast.iter().all(|runner| runner.after >= 0.0));
    }

    #[test]
    fn a_plan_moves_each_config_once_from_where_it_is_to_who_may_run_it(
        world in any_world(), strategy in any_strategy(), force in any::<bool>(),
    ) {
        let plan = plan(&world, &policy(strategy), Trigger::Period, force);
        let mut moved = BTreeSet::new();
        for made in &plan.moves {
            prop_assert!(moved.insert(made.key));
            let load = world.loads.iter().find(|load| load.key == made.key).unwrap();
            prop_assert_eq!(load.owner.map(|owner| &world.runners[owner].name), Some(&made.from));
            prop_assert_ne!(&made.from, &made.to);
            let to = &world.runners[world.runner(&made.to).unwrap()];
            prop_assert!(to.presence.is_staying() && to.facts.may_run(&load.check_name));
            let cooled = load.held == Some(Held::CoolingDown);
            let unknown = load.held == Some(Held::NeedUnknown);
            prop_assert!(load.held.is_none() || cooled || unknown, "{:?}", load.held);
        }
    }

    #[test]
    fn the_order_in_which_things_are_told_changes_nothing(
        configs in prop::collection::vec((0..5_usize, 0.0..1.0_f64), 0..40), strategy in any_strategy(), shift in 0..40_usize,
    ) {
        let mut numbers: Vec<usize> = (0..configs.len()).collect();
        let told = plan_of_published(&configs, &numbers, strategy);
        numbers.rotate_left(shift % configs.len().max(1));
        numbers.reverse();
        prop_assert_eq!(plan_of_published(&configs, &numbers, strategy), told);
    }

    #[test]
    fn a_complete_plan_leaves_nothing_to_plan(world in any_world(), percent in 5.0..100.0_f64) {
        let policy = BalancePolicy { budget_percent: percent, ..policy(Strategy::Bounded) };
        let first = plan(&world, &policy, Trigger::Period, false);
        prop_assume!(first.stopped != Stopped::BudgetUsedUp);
        let mut next = after(&world, &first);
        for load in next.loads.iter_mut().filter(|load| first.moves.iter().any(|made| made.key == load.key)) {
            load.held = load.held.or(Some(Held::CoolingDown));
        }
        let second = plan(&next, &policy, Trigger::Period, false);
        prop_assert_eq!(moves(&second), Vec::<String>::new());
    }

    #[test]
    fn the_budget_holds(world in any_world(), spent in 0..10_usize) {
        let policy = policy(Strategy::Bounded);
        let world = World { spent, ..world };
        let plan = plan(&world, &policy, Trigger::Period, false);
        prop_assert!(plan.moves.len() + spent <= plan.budget.unwrap().max(spent));
    }
}

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::balance::eligibility::{is_singleton, rank};
use crate::balance::measure::{Evenness, fewest_moves_into_band};
use crate::balance::plan::Trigger;
use crate::balance::policy::Strategy as Rule;
use crate::balance::units::{Slope, compare_worth, cost_thousandths};
use crate::balance::world::Load;
use crate::domain::handover::Handover;
use crate::kernel::rng::{Random as _, SeededRandom};
use crate::testing::worlds::{after, load, log_normal, placed, runner, world};

fn order(force: bool) -> Order {
    Order { strategy: Rule::Bounded, trigger: Trigger::Period, force }
}

fn planned(world: &World) -> Plan {
    plan(world, &BalancePolicy::default(), order(false))
}

fn forced(world: &World) -> Plan {
    plan(world, &BalancePolicy::default(), order(true))
}

fn moves(plan: &Plan) -> Vec<String> {
    plan.moves.iter().map(|made| format!("{} {}->{}", made.check_name, made.from, made.to)).collect()
}

fn utilizations(plan: &Plan) -> Vec<f64> {
    plan.forecast.iter().map(|runner| (runner.after * 1e5).round() / 1e5).collect()
}

fn t40() -> World {
    world(&[("r1", 4.0, &[("a", 1.0), ("b", 0.8), ("c", 0.6)]), ("r2", 4.0, &[("d", 0.4), ("e", 0.2)]), ("r3", 4.0, &[("f", 0.2)])])
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
fn cc_t52_three_moves_then_none() {
    let plan = planned(&t40());
    assert_eq!(moves(&plan), ["a r1->r3", "c r1->r2", "e r2->r1"]);
    assert_eq!(utilizations(&plan), [0.25, 0.25, 0.3]);
    assert!((plan.mean - 0.26667).abs() < 1e-5 && plan.tolerance == 0.02);
    assert_eq!(plan.stopped, Stopped::NothingImproves);
    assert_eq!((plan.moves[0].check_weight, plan.moves[0].source_diff, plan.moves[0].dest_diff), (1000, 600, 50));
    assert_eq!(moves(&planned(&after(&t40(), &plan))), Vec::<String>::new());
}

#[test]
fn cc_t53_the_inputs_of_t42_t44_and_t45() {
    let t42 = world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 0.9)]), ("r2", 4.0, &[("e", 0.1)])]);
    let plan = planned(&t42);
    assert_eq!(moves(&plan), ["a r1->r2", "d r1->r2"]);
    assert_eq!((utilizations(&plan), plan.stopped), (vec![0.5, 0.5], Stopped::InsideBand));

    let t44 = world(&[("r1", 8.0, &[("c", 0.5)]), ("r2", 2.0, &[("a", 1.0), ("b", 1.0)])]);
    assert_eq!(moves(&planned(&t44)), ["a r2->r1"]);

    let t45 = world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 0.8)]), ("r2", 4.0, &[("e", 1.0), ("f", 1.0), ("g", 0.08)])]);
    assert_eq!((moves(&planned(&t45)), planned(&t45).stopped), (vec![], Stopped::NothingImproves));
}

#[test]
fn cc_t54_an_empty_runner_gets_nothing_when_there_is_next_to_no_load() {
    let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let held = |remainder: usize| names.iter().skip(remainder).step_by(2).map(|name| (name.as_str(), 0.02)).collect::<Vec<_>>();
    let plan = planned(&world(&[("r1", 4.0, &held(1)), ("r2", 4.0, &held(0)), ("r3", 4.0, &[])]));
    assert!((plan.mean - 0.0167).abs() < 1e-4);
    assert_eq!((moves(&plan), plan.stopped), (vec![], Stopped::InsideBand));
}

#[test]
fn cc_t55_the_budget_allows_5_of_14_moves() {
    let (world, first) = (t43(), planned(&t43()));
    let five: Vec<String> = (0..5).map(|number| format!("c{number:02} r1->r2")).collect();
    assert_eq!((moves(&first), utilizations(&first)), (five, vec![0.31575, 0.0625]));
    assert_eq!((first.budget, first.stopped), (Some(5), Stopped::BudgetUsedUp));
    let spent = World { spent: 5, ..after(&world, &first) };
    assert_eq!(moves(&planned(&spent)), Vec::<String>::new());
    assert_eq!(moves(&planned(&World { spent: 2, ..spent })).len(), 3, "as soon as two of them are 10 minutes old");

    let at_once = forced(&world);
    let all: Vec<String> = (0..14).map(|number| format!("c{number:02} r1->r2")).collect();
    assert_eq!((moves(&at_once), utilizations(&at_once)), (all, vec![0.20325, 0.175]));
    assert_eq!(at_once.stopped, Stopped::InsideBand);
    assert_eq!(moves(&forced(&after(&world, &at_once))), Vec::<String>::new());
}

/// Needs of which one of a hundred makes a seventh of the load; mean utilization 0.5.
fn mixed(seed: u64, runners: usize, configs: usize) -> World {
    let random = SeededRandom::new(seed);
    let needs: Vec<f64> = (0..configs).map(|_| log_normal(&random, 1.0, 1.2)).collect();
    let scale = 2.0 * runners as f64 / needs.iter().sum::<f64>();
    let needs: Vec<f64> = needs.into_iter().map(|need| need * scale).collect();
    placed(runners, &needs)
}

fn unlimited() -> BalancePolicy {
    BalancePolicy { budget_percent: 100.0, ..BalancePolicy::default() }
}

#[test]
fn cc_t58_measured_with_mixed_needs() {
    for (seed, (runners, configs)) in (1..).zip([(10, 1_000), (50, 2_000), (10, 1_000), (50, 2_000)]) {
        let world = mixed(seed, runners, configs);
        assert_eq!(planned(&world).moves.len(), 0, "a balanced world");

        let random = SeededRandom::new(seed + 100);
        let mut noisy = world.clone();
        for load in &mut noisy.loads {
            let need = load.counted * (0.9 + 0.2 * random.unit());
            (load.need, load.counted) = (Some(need), need);
        }
        assert_eq!(planned(&noisy).moves.len(), 0, "noise of 10 %");

        let lost = without_last_runner(&world);
        let handful = plan(&lost, &unlimited(), order(false)).moves.len();
        assert!(handful <= 5, "{handful} moves more than the orphans of a lost runner");

        let mut joined = world.clone();
        joined.runners.push(runner("runner-99999", 4.0));
        let plan = plan(&joined, &unlimited(), order(false));
        assert_eq!(plan.stopped, Stopped::InsideBand);
        assert!(plan.forecast.iter().all(|runner| (runner.after - plan.mean).abs() <= plan.tolerance));
        let share = plan.moves.len() as f64 / configs as f64;
        assert!((0.01..=0.011).contains(&share), "{runners} runners: {} of {configs} configs move", plan.moves.len());
        assert!(plan.moves.len() >= fewest_moves_into_band(&needs_of(&joined), plan.tolerance));
    }
}

fn needs_of(world: &World) -> Vec<(f64, Vec<f64>)> {
    let of = |runner| world.loads.iter().filter(|load| load.owner == Some(runner)).map(|load| load.counted).collect();
    world.runners.iter().enumerate().map(|(index, runner)| (runner.workers, of(index))).collect()
}

/// The world after the orphans of its last runner were placed.
fn without_last_runner(world: &World) -> World {
    let mut lost = world.clone();
    lost.runners.pop();
    let orphans: Vec<usize> = (0..lost.loads.len()).filter(|load| lost.loads[*load].owner == Some(lost.runners.len())).collect();
    for orphan in &orphans {
        lost.loads[*orphan].owner = None;
    }
    let found = Board::new(&lost, order(false), |load| load.counted).find_places(&orphans, |_| false);
    assert_eq!(found.len(), orphans.len());
    for (load, runner) in found {
        lost.loads[load].owner = Some(runner);
    }
    lost
}

#[test]
fn configs_leave_a_runner_without_workers_within_the_budget() {
    let needs: Vec<(String, f64)> = (0..8).map(|number| (format!("c{number}"), 0.01 * f64::from(number))).collect();
    let held: Vec<(&str, f64)> = needs.iter().map(|(name, need)| (name.as_str(), *need)).collect();
    let mut world = world(&[("r1", 0.0, &held), ("r2", 4.0, &[]), ("r3", 4.0, &[])]);
    world.loads[7].held = Some(Held::NeverMoved);
    let plan = planned(&world);
    assert_eq!(moves(&plan), ["c6 r1->r2", "c5 r1->r3", "c4 r1->r3", "c3 r1->r2", "c2 r1->r2"]);
    assert_eq!(plan.stopped, Stopped::BudgetUsedUp);
    assert_eq!(forced(&world).moves.len(), 7);
    world.runners.truncate(1);
    assert_eq!(planned(&world).stopped, Stopped::TooFewRunners);
}

#[test]
fn what_is_dear_moves_only_for_a_greater_gain() {
    let mut world = world(&[("r1", 4.0, &[("a", 1.0), ("b", 0.5), ("c", 0.9)]), ("r2", 4.0, &[])]);
    assert_eq!(moves(&planned(&world))[0], "a r1->r2");
    world.loads[0].cost = 20.0;
    world.loads[2].cost = 20.0;
    assert_eq!(moves(&planned(&world))[0], "b r1->r2");
}

#[test]
fn a_check_that_must_not_run_twice_goes_only_to_who_honours_grants_if_there_is_one() {
    let mut world = world(&[("r1", 4.0, &[("a", 1.0), ("b", 1.0), ("c", 1.0)]), ("r2", 4.0, &[]), ("r3", 4.0, &[])]);
    world.loads.iter_mut().for_each(|load| load.handover = Handover::AtMostOnce);
    assert_eq!(moves(&planned(&world)), ["a r1->r2", "b r1->r3"]);
    world.runners[2].facts.honours_grants = true;
    assert_eq!(moves(&planned(&world)), ["a r1->r3"]);
}

/// The rule word by word.
fn plain(world: &World, policy: &BalancePolicy, force: bool) -> Vec<String> {
    let mut board = Board::new(world, order(force), |load| load.counted);
    let mut left = if force { usize::MAX } else { policy.budget(board.dispatched()).saturating_sub(world.spent) };
    if !evacuate(&mut board, &mut left) {
        return moves(&board.into_plan(Ending { stopped: Stopped::BudgetUsedUp, tolerance: 0.0, budget: None }));
    }
    let (used, workers) = board.totals();
    let mean = utilization(used, workers);
    let tolerance = (policy.band * mean).max(policy.min_gap);
    let usable: Vec<usize> = (0..world.runners.len()).filter(|runner| board.usable(*runner)).collect();
    while usable.len() > 1 && left > 0 && usable.iter().any(|runner| (board.utilization(*runner) - mean).abs() > tolerance) {
        let at = |runner: &usize| board.utilization(*runner);
        let mut sources: Vec<usize> = usable.iter().copied().filter(|runner| at(runner) > mean).collect();
        sources.sort_by(|left, right| at(right).total_cmp(&at(left)).then(left.cmp(right)));
        let mut destinations: Vec<usize> = usable.iter().copied().filter(|runner| at(runner) < mean).collect();
        destinations.sort_by(|left, right| at(left).total_cmp(&at(right)).then(left.cmp(right)));
        let pairs = sources.iter().flat_map(|source| destinations.iter().map(move |destination| (*source, *destination)));
        let Some((load, to)) = pairs.into_iter().find_map(|(from, to)| Some((most_worth(&board, &usable, from, to)?, to))) else { break };
        board.move_to(load, to, 0.0, [0; 3]);
        left -= 1;
    }
    moves(&board.into_plan(Ending { stopped: Stopped::NothingImproves, tolerance, budget: None }))
}

fn most_worth(board: &Board<'_>, usable: &[usize], from: usize, to: usize) -> Option<usize> {
    let world = board.world;
    let slope = Slope::new((board.used[from], board.workers[from]), (board.used[to], board.workers[to]));
    let eligible = |load: &Load| {
        let rank_of = |runner: usize| rank(&world.runners[runner].facts, &load.check_name, load.handover);
        let best = usable.iter().filter_map(|runner| rank_of(*runner)).min();
        let there = |other: usize| world.loads[other].check_name == load.check_name && board.owners[other] == Some(to);
        let taken = is_singleton(&load.check_name) && (0..world.loads.len()).any(there);
        rank_of(to).is_some() && rank_of(to) == best && !taken
    };
    let candidates = (0..world.loads.len()).filter(|load| {
        let config = &world.loads[*load];
        board.owners[*load] == Some(from)
            && config.need.is_some()
            && board.needs[*load] > 0
            && board.held(*load).is_none()
            && !board.moved(*load)
            && slope.scaled_gain(board.needs[*load]) > 0
            && eligible(config)
    });
    candidates.max_by(|left, right| {
        let worth = |load: usize| (slope.scaled_gain(board.needs[load]), cost_thousandths(world.loads[load].cost));
        let by_worth = compare_worth(worth(*left), worth(*right));
        let order: Ordering = by_worth.then(board.needs[*left].cmp(&board.needs[*right]));
        order.then(right.cmp(left))
    })
}

fn any_world() -> impl Strategy<Value = World> {
    let name = prop_oneof![6 => Just("http_check"), 2 => Just("postgres"), 1 => Just("cpu"), 1 => Just("load")];
    // Coarse needs, so that there are ties.
    let need = prop_oneof![2 => (0..20_u8).prop_map(|part| f64::from(part) / 20.0), 1 => 0.0..1.0_f64];
    let cost = prop_oneof![5 => Just(1.0), 1 => Just(20.0), 1 => Just(1.5)];
    let one = (name, need, cost, 0..10_usize, 0..16_u8);
    let workers = prop_oneof![5 => Just(4.0), 1 => Just(8.0), 1 => Just(2.0), 1 => Just(0.0)];
    (prop::collection::vec((workers, 0..8_u8), 2..10), prop::collection::vec(one, 0..70)).prop_map(|(runners, configs)| {
        let mut world = World::default();
        for (number, (workers, kind)) in runners.into_iter().enumerate() {
            let mut made = runner(&format!("r{number}"), workers);
            match kind {
                0 => drop(made.facts.compatibility.include.insert("postgres".to_owned())),
                1 => made.facts.honours_grants = true,
                _ => {}
            }
            world.runners.push(made);
        }
        for (number, (name, need, cost, owner, kind)) in (1..).zip(configs) {
            // Mostly on the first runners, so that there is something to do.
            let owner = (owner * owner / 10).min(world.runners.len() - 1);
            let held = match kind {
                0 => Some(Held::CoolingDown),
                1 => Some(Held::NeverMoved),
                _ => None,
            };
            let handover = if kind == 2 { Handover::AtMostOnce } else { Handover::Any };
            let mut made = load(number, name, need);
            (made.owner, made.cost, made.held, made.handover) = (Some(owner), cost, held, handover);
            world.loads.push(made);
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_fast_search_makes_the_moves_of_the_plain_rule(world in any_world(), force in any::<bool>(), percent in 5.0..100.0_f64) {
        let policy = BalancePolicy { budget_percent: percent, ..BalancePolicy::default() };
        prop_assert_eq!(moves(&plan(&world, &policy, order(force))), plain(&world, &policy, force));
    }

    #[test]
    fn every_move_for_balance_decreases_the_sum_of_squares_by_its_gain(mut world in any_world()) {
        // Configs that leave a runner without workers are a load that was nowhere before.
        world.runners.iter_mut().for_each(|runner| runner.workers = runner.workers.max(1.0));
        let plan = plan(&world, &unlimited(), order(false));
        let mut squares = Evenness::of_world(&world).sum_of_squares;
        for index in 1..=plan.moves.len() {
            let so_far = Plan { moves: plan.moves[..index].to_vec(), ..plan.clone() };
            let now = Evenness::of_world(&after(&world, &so_far)).sum_of_squares;
            prop_assert!(plan.moves[index - 1].gain > 0.0);
            prop_assert!((squares - now - plan.moves[index - 1].gain).abs() < 1e-7);
            squares = now;
        }
    }

    #[test]
    fn a_config_is_moved_once_in_a_plan(world in any_world()) {
        let mut times: BTreeMap<_, usize> = BTreeMap::new();
        forced(&world).moves.iter().for_each(|made| *times.entry(made.key).or_default() += 1);
        prop_assert!(times.values().all(|times| *times == 1));
    }
}

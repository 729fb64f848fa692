//! Measures planning: the world made from what is published, and plans by each strategy, from 1 000 to 1 000 000 checks. Prints a table with
//! the goal beside each figure. Run with `cargo bench --bench balance`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::measure::Evenness;
use muster_actors::balance::placement::place_batch;
use muster_actors::balance::plan::{Plan, Trigger};
use muster_actors::balance::planner::plan;
use muster_actors::balance::policy::{BalancePolicy, Stickiness, Strategy};
use muster_actors::balance::world::World;
use muster_actors::domain::assignment::AssignmentTable;
use muster_actors::domain::figures::{ConfigFigures, Figures};
use muster_actors::domain::ids::{Epoch, NodeName};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::turn::Turn;
use muster_actors::domain::world::{DanglingReason, NodeEntry, NodeView, Presence, ServedTable};
use muster_actors::kernel::clock::{Clock, SystemClock};
use muster_actors::kernel::rng::{Random, SeededRandom};
use muster_actors::testing::configs::named_config;
use muster_actors::testing::worlds::{after, log_normal, placed, runner};

const ROUNDS: usize = 7;

/// Checks, runners, and the goal for one plan in milliseconds.
const SIZES: [(usize, usize, Option<f64>); 8] = [
    (1_000, 10, None),
    (1_000, 500, None),
    (10_000, 100, None),
    (10_000, 500, Some(50.0)),
    (100_000, 1_000, Some(1_000.0)),
    (100_000, 10_000, None),
    (1_000_000, 1_000, None),
    (1_000_000, 10_000, None),
];

const NAMES: [&str; 5] = ["http_check", "postgres", "redisdb", "openmetrics", "snmp"];

/// What is planned for.
#[derive(Clone, Copy)]
enum Situation {
    /// Everything was placed by need: nothing is to be done.
    Even,
    /// One runner more than that.
    Joined,
    /// Everything is anywhere.
    Random,
}

fn main() {
    println!("Medians of {ROUNDS} rounds (3 from 1 000 000 checks on), milliseconds; in brackets the moves of the plan.");
    println!(
        "{:>9} {:>7} {:>12} {:>16} {:>16} {:>16} {:>18} {:>18} {:>18}",
        "checks", "runners", "world", "bounded, even", "bounded, joined", "bounded, random", "the same, forced", "utilization", "busyness"
    );
    for (checks, runners, goal) in SIZES {
        row(checks, runners, goal);
    }
    println!();
    for (checks, runners, goal) in [(1_000, 500, None), (10_000, 500, Some(50.0)), (100_000, 1_000, None)] {
        placement(checks, runners, goal);
    }
}

/// Needs with a mean utilization of one half; one in a hundred checks makes a seventh of it.
fn needs(random: &dyn Random, checks: usize, runners: usize) -> Vec<f64> {
    let needs: Vec<f64> = (0..checks).map(|_| log_normal(random, 1.0, 1.2)).collect();
    let scale = 2.0 * runners as f64 / needs.iter().sum::<f64>();
    needs.into_iter().map(|need| (need * scale).min(1.0)).collect()
}

fn world(checks: usize, runners: usize, situation: Situation) -> World {
    let random = SeededRandom::new(checks as u64 + runners as u64);
    let mut world = placed(runners, &needs(&random, checks, runners));
    for (number, load) in world.loads.iter_mut().enumerate() {
        load.check_name = Arc::from(NAMES[number % NAMES.len()]);
        load.weight = Some((load.counted * 10_000.0) as i64);
    }
    match situation {
        Situation::Even => {}
        Situation::Joined => world.runners.push(runner("runner-joined", 4.0)),
        Situation::Random => {
            world.loads.iter_mut().for_each(|load| load.owner = Some(random.below(runners as u64) as usize));
        }
    }
    for load in &world.loads {
        world.runners[load.owner.unwrap()].busyness += load.weight.unwrap();
    }
    world
}

fn row(checks: usize, runners: usize, goal: Option<f64>) {
    let rounds = if checks < 1_000_000 { ROUNDS } else { 3 };
    let bounded = BalancePolicy::default();
    let by = |strategy| BalancePolicy { strategy, stickiness: Some(Stickiness::default()), ..BalancePolicy::default() };
    let [even, joined, random] = [Situation::Even, Situation::Joined, Situation::Random].map(|situation| world(checks, runners, situation));
    let mut shown = vec![
        if checks < 1_000_000 { format!("{:.1}", making(checks, runners, rounds)) } else { "-".to_owned() },
        planning(&even, &bounded, false, rounds),
        planning(&joined, &bounded, false, rounds),
    ];
    let uneven = planning(&random, &bounded, false, rounds);
    shown.push(uneven);
    shown.push(planning(&random, &bounded, true, rounds));
    shown.push(planning(&random, &by(Strategy::Utilization), false, rounds));
    shown.push(planning(&random, &by(Strategy::Busyness), false, rounds));
    println!(
        "{checks:>9} {runners:>7} {:>12} {:>16} {:>16} {:>16} {:>18} {:>18} {:>18}   {}",
        shown[0],
        shown[1],
        shown[2],
        shown[3],
        shown[4],
        shown[5],
        shown[6],
        goal.map_or(String::new(), |goal| format!("(goal <= {goal} ms)"))
    );
    let forced = plan(&random, &bounded, Trigger::Manual, true);
    let (before, then) = (Evenness::of_world(&random), Evenness::of_world(&after(&random, &forced)));
    println!(
        "{:>18} busiest/mean of the random one {:.3}, after the forced plan {:.3}",
        "", before.busiest_over_mean, then.busiest_over_mean
    );
}

/// Time of one plan and its number of moves.
fn planning(world: &World, policy: &BalancePolicy, force: bool, rounds: usize) -> String {
    let mut made: Option<Plan> = None;
    let took = median(rounds, || made = Some(plan(world, policy, Trigger::Period, force)));
    format!("{:.1} ({})", milliseconds(took), made.unwrap().moves.len())
}

/// Time in which a published table becomes a world. Units: milliseconds.
fn making(checks: usize, runners: usize, rounds: usize) -> f64 {
    let mut configs: HashMap<_, _> = HashMap::new();
    let mut sets = vec![Vec::new(); runners];
    for number in 0..checks {
        let config = named_config(number as u64, NAMES[number % NAMES.len()]);
        configs.insert(config.key, ConfigFigures { smoothed: 0.1, measured: 0.1, ..ConfigFigures::default() });
        sets[number % runners].push(config);
    }
    let nodes = sets.into_iter().enumerate().map(|(number, set)| {
        let view = Arc::new(NodeView { configs: set.into(), ..NodeView::default() });
        (NodeName::from(format!("runner-{number:05}")), NodeEntry { facts: NodeFacts::default(), presence: Presence::Staying, view })
    });
    let served = ServedTable { nodes: nodes.collect(), ..ServedTable::default() };
    let figures = Figures { configs, ..Figures::default() };
    milliseconds(median(rounds, || drop(World::of(&served, &figures, &BalancePolicy::default(), 0))))
}

/// Phase 2: choosing owners by need for everything at once, and for one more config.
fn placement(checks: usize, runners: usize, goal: Option<f64>) {
    let clock = SystemClock::new();
    let mut table = AssignmentTable::default();
    let mut turn = Turn::begin(&mut table);
    for number in 0..runners {
        turn.put_node(&NodeName::from(format!("runner-{number:04}")), NodeFacts::default());
    }
    for number in 0..checks {
        turn.put_config(named_config(number as u64, NAMES[number % NAMES.len()]), DanglingReason::NoNode);
    }
    turn.finish(Epoch(1), clock.unix_nanos()).unwrap();
    let needs = needs(&SeededRandom::new(1), checks, runners);
    let known = |need: f64| ConfigFigures { measured: need, smoothed: need, ..ConfigFigures::default() };
    let figures = Figures { configs: table.rows().keys().copied().zip(needs.into_iter().map(known)).collect(), ..Figures::default() };
    let dangling = || table.dangling().iter().copied();
    let by_need = median(ROUNDS, || drop(place_batch(&table, &figures, dangling())));
    let unknown = median(ROUNDS, || drop(place_batch(&table, &Figures::default(), dangling())));

    let placements = place_batch(&table, &figures, dangling());
    let mut full = table.clone();
    let mut turn = Turn::begin(&mut full);
    for (key, placement) in placements {
        turn.place(key, placement, Cause::Discovered);
    }
    let one_more = named_config(checks as u64, "http_check");
    turn.put_config(Arc::clone(&one_more), DanglingReason::NoNode);
    turn.finish(Epoch(1), clock.unix_nanos()).unwrap();
    let single = median(ROUNDS, || drop(place_batch(&full, &figures, [one_more.key])));
    println!(
        "Placement of {checks:>7} checks on {runners:>5} runners from nothing: by need {:>7.1} ms, with nothing known {:>7.1} ms {}; of one more {:.2} ms",
        milliseconds(by_need),
        milliseconds(unknown),
        goal.map_or(String::new(), |goal| format!("(goal <= {goal} ms)")),
        milliseconds(single)
    );
}

fn median(rounds: usize, mut act: impl FnMut()) -> Duration {
    let clock = SystemClock::new();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = clock.monotonic();
            act();
            clock.monotonic().saturating_sub(began)
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn milliseconds(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

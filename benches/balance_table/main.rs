//! Moves and evenness of the strategies of muster, and of two rules that it does not have, over loads of several shapes; each beside the
//! least that any rule could do. Prints the tables of docs/BENCHMARKS.md. Run with `cargo bench --bench balance_table`.
//!
//! Time is virtual. The strategies of muster run on its own table, collection of figures, placement, planners and block rule.
#![expect(clippy::print_stdout, clippy::panic, clippy::indexing_slicing, reason = "a measurement that fails stops and says where")]

mod fleet;
mod loads;
mod ours;
mod rivals;

use muster_actors::balance::measure::{Evenness, fewest_moves_into_band, least_busiest_over_mean};
use muster_actors::balance::policy::{BalancePolicy, Stickiness, Strategy};
use muster_actors::kernel::rng::SeededRandom;

use crate::fleet::Fleet;
use crate::loads::{MEAN, Shape, WORKERS, with_noise};
use crate::ours::Ours;
use crate::rivals::{LeastCount, Ring};

const SEEDS: u64 = 5;

/// Rounds of needs that vary by a tenth.
const NOISE_ROUNDS: usize = 6;

/// Runners that a rolling update replaces.
const ROLLED: usize = 10;

/// Checks and runners.
const SIZES: [(usize, usize); 2] = [(1_000, 10), (2_000, 50)];

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Bounded,
    Sticky,
    Plain,
    Busyness,
    LeastCount,
    RingByNumber,
    RingByNeed,
}

impl Rule {
    const ALL: [Self; 7] =
        [Self::Bounded, Self::Sticky, Self::Plain, Self::Busyness, Self::LeastCount, Self::RingByNumber, Self::RingByNeed];

    fn name(self) -> &'static str {
        match self {
            Self::Bounded => "`bounded`",
            Self::Sticky => "`utilization`, sticky",
            Self::Plain => "`utilization`, not sticky",
            Self::Busyness => "`busyness`",
            Self::LeastCount => "least count",
            Self::RingByNumber => "hash ring, bounded number",
            Self::RingByNeed => "hash ring, bounded load",
        }
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::Bounded | Self::Sticky | Self::Plain | Self::Busyness)
    }

    fn fleet(self) -> Box<dyn Fleet> {
        let ours = |strategy, stickiness| {
            let policy = BalancePolicy { strategy, stickiness, ..BalancePolicy::default() };
            Box::new(Ours::new(policy)) as Box<dyn Fleet>
        };
        match self {
            Self::Bounded => ours(Strategy::Bounded, None),
            Self::Sticky => ours(Strategy::Utilization, Some(Stickiness::default())),
            Self::Plain => ours(Strategy::Utilization, None),
            Self::Busyness => ours(Strategy::Busyness, None),
            Self::LeastCount => Box::new(LeastCount::default()),
            Self::RingByNumber => Box::new(Ring::new(false)),
            Self::RingByNeed => Box::new(Ring::new(true)),
        }
    }
}

/// What one rule did with one seed.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    to_rest: f64,
    evenness: f64,
    evenness_bound: f64,
    loss: f64,
    orphans: f64,
    join: f64,
    join_bound: f64,
    evenness_after_join: f64,
    noise: f64,
    roll: f64,
    roll_without_block: f64,
}

fn main() {
    println!("busiest/mean: utilization of the busiest runner by the mean. Median of {SEEDS} seeds, in brackets the worst.");
    for (checks, runners) in SIZES {
        let all: Vec<(Shape, Rule, Vec<Outcome>)> = Shape::ALL
            .into_iter()
            .flat_map(|shape| Rule::ALL.into_iter().map(move |rule| (shape, rule)))
            .map(|(shape, rule)| (shape, rule, (0..SEEDS).map(|seed| play(rule, shape, checks, runners, seed)).collect()))
            .collect();
        moves(checks, runners, &all);
        evenness(checks, runners, &all);
    }
}

fn play(rule: Rule, shape: Shape, checks: usize, runners: usize, seed: u64) -> Outcome {
    let names: Vec<String> = (0..runners).map(|number| format!("runner-{number:03}")).collect();
    let random = SeededRandom::new(seed);
    let needs = shape.needs(checks, runners, &random);
    let mut rested = rule.fleet();
    let to_rest = rested.start(&names, &needs);
    let mut outcome = Outcome {
        to_rest: to_rest as f64,
        evenness: Evenness::of(&rested.shares()).busiest_over_mean,
        evenness_bound: least_busiest_over_mean(&needs, &vec![WORKERS; runners]),
        ..Outcome::default()
    };

    let mut fleet = rested.copy();
    for _ in 0..NOISE_ROUNDS {
        outcome.noise += fleet.measure(&with_noise(&needs, &random)) as f64;
    }

    let mut fleet = rested.copy();
    let lost = &names[runners / 2];
    outcome.orphans = fleet.needs_of(lost).len() as f64;
    outcome.loss = fleet.lose(lost) as f64;

    let mut fleet = rested.copy();
    let mut sets: Vec<(f64, Vec<f64>)> = names.iter().map(|name| (WORKERS, fleet.needs_of(name))).collect();
    sets.push((WORKERS, Vec::new()));
    let policy = BalancePolicy::default();
    let mean = MEAN * runners as f64 / (runners as f64 + 1.0);
    outcome.join_bound = fewest_moves_into_band(&sets, (policy.band * mean).max(policy.min_gap)) as f64;
    outcome.join = fleet.join("runner-new") as f64;
    outcome.evenness_after_join = Evenness::of(&fleet.shares()).busiest_over_mean;

    let roll = |as_block| {
        let mut fleet = rested.copy();
        let rolled = &names[..ROLLED];
        let sets: usize = rolled.iter().map(|name| fleet.needs_of(name).len()).sum();
        let moves: usize = rolled.iter().map(|name| fleet.replace(name, &format!("{name}-new"), as_block)).sum();
        (moves + fleet.rest()) as f64 / sets as f64
    };
    outcome.roll = roll(rule.is_ours());
    outcome.roll_without_block = if rule.is_ours() { roll(false) } else { outcome.roll };
    outcome
}

type Results = [(Shape, Rule, Vec<Outcome>)];

/// Churn, for one shape: the tail that checks really have.
fn moves(checks: usize, runners: usize, all: &Results) {
    println!("\n### {checks} checks on {runners} runners: moves, log-normal load\n");
    println!(
        "| rule | loss of a runner, moves by orphan | join, moves | busiest/mean after it | noise of 10 %, moves in {NOISE_ROUNDS} rounds | \
         roll of {ROLLED} runners, moves by check | the same without block rule | from a start by number, moves |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let of_shape = all.iter().filter(|(shape, _, _)| *shape == Shape::LogNormal);
    for (_, rule, outcomes) in of_shape.clone() {
        let cell = |figure: fn(&Outcome) -> f64, decimals| median_and_worst(outcomes, figure, decimals);
        println!(
            "| {} | {} | {} (least {}) | {} | {} | {} | {} | {} |",
            rule.name(),
            cell(|one| one.loss / one.orphans, 3),
            cell(|one| one.join, 0),
            cell(|one| one.join_bound, 0),
            cell(|one| one.evenness_after_join, 3),
            cell(|one| one.noise, 0),
            cell(|one| one.roll, 3),
            if rule.is_ours() { cell(|one| one.roll_without_block, 3) } else { "-".to_owned() },
            cell(|one| one.to_rest, 0),
        );
    }
    println!("| least possible; goal | 1; 1.05 | as said | - | 0; 0 | 1; 1.05 | 1 | - |");
}

fn evenness(checks: usize, runners: usize, all: &Results) {
    println!("\n### {checks} checks on {runners} runners: busiest/mean at rest\n");
    println!("| rule | {} |", Shape::ALL.map(Shape::name).join(" | "));
    println!("|---|{}", "---|".repeat(Shape::ALL.len()));
    let row = |name: &str, rule: Rule, figure: fn(&Outcome) -> f64| {
        let cells = Shape::ALL.map(|shape| {
            let outcomes = all.iter().find(|(of, by, _)| *of == shape && *by == rule).map(|(_, _, outcomes)| outcomes.as_slice());
            median_and_worst(outcomes.unwrap_or_default(), figure, 3)
        });
        println!("| {name} | {} |", cells.join(" | "));
    };
    for rule in Rule::ALL {
        row(rule.name(), rule, |one| one.evenness);
    }
    row("least possible", Rule::Bounded, |one| one.evenness_bound);
}

fn median_and_worst(outcomes: &[Outcome], figure: fn(&Outcome) -> f64, decimals: usize) -> String {
    let mut values: Vec<f64> = outcomes.iter().map(figure).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (median, worst) = (values[values.len() / 2], values[values.len() - 1]);
    let (median, worst) = (format!("{median:.decimals$}"), format!("{worst:.decimals$}"));
    if median == worst { median } else { format!("{median} ({worst})") }
}

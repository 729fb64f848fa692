//! Small fleets whose load is balanced while a lot goes wrong, each with its own seed, and what people ask of a simulation.
//!
//! A failing seed is printed; `cargo run -p muster-actors --example simulate_seed -- <seed> --world fleet` shows what happened in it.
//! `cargo run -p muster-actors --example simulate_many -- 10000 --world fleet` runs more of them.

use std::ops::Range;

use muster_actors::balance::policy::Strategy;
use muster_actors::domain::journal::Cause;
use muster_actors::sim::fleet::{Action, Drawing, Event, Load, Mutant, Scenario, Span, Which, audit, generate, run};

fn seeds(range: Range<u64>) {
    for seed in range {
        let report = audit(seed, None);
        assert!(report.violations.is_empty(), "seed {seed} --world fleet: {:#?}\nevents: {:#?}", report.violations, report.events);
        assert!(report.polls > 500 && !report.events.is_empty(), "seed {seed}: agents did something, and something happened to them");
    }
}

#[test]
fn seeds_0_to_39() {
    seeds(0..40);
}

#[test]
fn seeds_40_to_79() {
    seeds(40..80);
}

#[test]
fn seeds_80_to_119() {
    seeds(80..120);
}

#[test]
fn seeds_120_to_159() {
    seeds(120..160);
}

#[test]
fn a_seed_replays_identically() {
    for seed in [3, 8, 19] {
        assert_eq!(audit(seed, None), audit(seed, None));
    }
}

/// Each broken rule with what has to be noticed.
const MUTANTS: [(Mutant, &str); 8] = [
    (Mutant::BudgetIgnored, "the budget of"),
    (Mutant::GrantsIgnored, "may run once only"),
    (Mutant::SetsKept, "although both polled"),
    (Mutant::CheckLeftOut, "runs 0 times"),
    (Mutant::HandoverUnknown, "is to have a gap"),
    (Mutant::BalancingOff, "balancing comes to no end"),
    (Mutant::ListingCutShort, "is lost"),
    (Mutant::ReasonsForgotten, "left agents that stay"),
];

#[test]
fn every_broken_rule_is_noticed() {
    assert_eq!(MUTANTS.map(|(mutant, _)| mutant), Mutant::ALL);
    for (mutant, noticed) in MUTANTS {
        let found = (0..24).any(|seed| audit(seed, Some(mutant)).violations.iter().any(|violation| violation.contains(noticed)));
        assert!(found, "{mutant} goes unnoticed");
    }
}

/// A quiet world of six agents.
fn quiet() -> Scenario {
    generate(&Drawing { nodes: 6, checks: 60, load: Load::Uniform, noise: 0.0, length: Span::from_hours(3), ..Drawing::default() })
}

fn at(minutes: u64, action: Action) -> Event {
    Event { at: Span::from_minutes(minutes), action }
}

#[test]
fn a_quiet_world_without_balancing_stays_as_it_is() {
    let report = run(&quiet(), Strategy::Off, 1);
    assert_eq!((report.moves.total, report.gaps.checks, report.double_runs.checks), (0, 0, 0), "{:?}", report.moves);
    assert_eq!((report.moves.lower_bound, report.dangling_seconds), (0, 0.0));
    assert_eq!(report, run(&quiet(), Strategy::Off, 1));
}

#[test]
fn bounded_brings_an_uneven_world_into_the_band_and_noise_moves_nothing_more() {
    let mut scenario = generate(&Drawing { nodes: 6, checks: 60, load: Load::Zipf, noise: 0.0, ..Drawing::default() });
    let quiet = run(&scenario, Strategy::Bounded, 1);
    assert!(quiet.moves.total > 0 && quiet.balance.at_end < quiet.balance.at_start, "{:?}", quiet.balance);
    scenario.noise = 0.1;
    let noisy = run(&scenario, Strategy::Bounded, 1);
    assert!(noisy.moves.total <= quiet.moves.total + 5, "{:?} with noise, {:?} without", noisy.moves, quiet.moves);
}

#[test]
fn what_if_two_runners_go_is_answered_with_what_moves_and_what_cannot_be_less() {
    let mut scenario = quiet();
    scenario.events = vec![at(30, Action::RemoveRunners(Which::Named(vec!["runner-1".to_owned(), "runner-2".to_owned()])))];
    let off = run(&scenario, Strategy::Off, 1);
    assert_eq!((off.moves.orphans, off.moves.total, off.nodes_at_end), (20, 20, 4), "{:?}", off.moves);
    assert!(off.gaps.longest_seconds <= 30.0, "{:?}", off.gaps);
    let bounded = run(&scenario, Strategy::Bounded, 1);
    assert_eq!(bounded.moves.orphans, 20 + bounded.moves.orphans - off.moves.orphans);
    assert!(
        bounded.moves.total >= bounded.moves.lower_bound && bounded.balance.at_end <= off.balance.at_end + 0.05,
        "{:?}",
        bounded.balance
    );
}

#[test]
fn a_roll_moves_every_set_once_as_a_block() {
    let mut scenario = quiet();
    scenario.events = vec![at(30, Action::RollAll { each: Span::from_secs(60) })];
    let report = run(&scenario, Strategy::Off, 1);
    assert_eq!(report.moves.by_cause.get(&Cause::Succeeded), Some(&60), "{:?}", report.moves);
    assert_eq!((report.moves.total, report.moves.most_of_a_check, report.nodes_at_end), (60, 1, 6));
}

#[test]
fn an_hour_without_a_leader_moves_nothing_and_stops_nothing_that_may_run_on() {
    let mut scenario = quiet();
    scenario.events = vec![at(30, Action::LeaderAway(Span::from_hours(1)))];
    let report = run(&scenario, Strategy::Off, 1);
    assert_eq!((report.moves.total, report.gaps.checks, report.double_runs.checks), (0, 0, 0), "{report:?}");
}

#[test]
fn an_agent_that_is_cut_off_runs_its_checks_twice_and_is_counted_so() {
    let mut scenario = quiet();
    let runners = Which::Named(vec!["runner-3".to_owned()]);
    scenario.events = vec![at(30, Action::Partition { runners, lasts: Span::from_minutes(5) })];
    let report = run(&scenario, Strategy::Off, 1);
    assert_eq!((report.moves.total, report.double_runs.checks, report.gaps.checks), (10, 10, 0), "{:?}", report.moves);
    assert!((200.0..300.0).contains(&report.double_runs.longest_seconds), "{:?}", report.double_runs);
}

#[test]
fn a_check_that_costs_a_hundred_times_as_much_is_seen_in_the_load() {
    let mut scenario = quiet();
    let check = Some("check-1".to_owned());
    scenario.events = vec![at(30, Action::CostChange { check, check_name: None, factor: 100.0, lasts: None })];
    let report = run(&scenario, Strategy::Off, 1);
    let (need, before) = (scenario.checks[0].workers_needed(), report.series[0].utilization);
    let expected = before + (1.0 - need) / 24.0;
    assert!((report.balance.utilization_at_end - expected).abs() < 1e-6, "{:?}, expected {expected}", report.balance);
}

//! Two hundred runs of the whole cluster with faults, each with its own seed.
//!
//! A failing seed is printed; `cargo run -p muster-actors --example simulate_seed -- <seed> --world <world>` shows that run line by
//! line. `cargo run -p muster-actors --example simulate_many -- 10000` runs more of them.

use std::ops::Range;

use muster_actors::sim::{Mutant, WorldKind, simulate, simulate_mutant};

fn seeds(world: WorldKind, range: Range<u64>) {
    for seed in range {
        let report = simulate(world, seed);
        assert!(
            report.violations.is_empty(),
            "seed {seed} --world {world}: {:#?}\nlast events:\n{}",
            report.violations,
            report.trace.iter().rev().take(60).rev().cloned().collect::<Vec<_>>().join("\n")
        );
        assert!(report.trace.len() > 100, "seed {seed} --world {world}: agents did something");
    }
}

#[test]
fn single_seeds_0_to_39() {
    seeds(WorldKind::Single, 0..40);
}

#[test]
fn single_seeds_40_to_79() {
    seeds(WorldKind::Single, 40..80);
}

#[test]
fn replicas_seeds_0_to_39() {
    seeds(WorldKind::Replicas, 0..40);
}

#[test]
fn replicas_seeds_40_to_79() {
    seeds(WorldKind::Replicas, 40..80);
}

#[test]
fn replicas_seeds_80_to_119() {
    seeds(WorldKind::Replicas, 80..120);
}

#[test]
fn a_seed_replays_identically() {
    for (world, seed) in [(WorldKind::Single, 3), (WorldKind::Single, 17), (WorldKind::Replicas, 4), (WorldKind::Replicas, 14)] {
        assert_eq!(simulate(world, seed), simulate(world, seed));
    }
}

#[test]
fn seeds_differ_and_kill_servers() {
    for world in [WorldKind::Single, WorldKind::Replicas] {
        let reports: Vec<_> = (1_000..1_005).map(|seed| simulate(world, seed)).collect();
        let hashes: std::collections::BTreeSet<_> = reports.iter().map(|report| report.trace_hash).collect();
        assert_eq!(hashes.len(), reports.len());
        assert!(reports.iter().any(|report| report.server_kills > 1));
        assert!(world == WorldKind::Single || reports.iter().any(|report| report.leader_changes > 2));
    }
}

/// Each broken rule with what has to be noticed, and the seeds in which to look.
const MUTANTS: [(Mutant, &str, Range<u64>); 12] = [
    (Mutant::ValidityIgnored, "answers 200 and does not lead", 1..9),
    (Mutant::LeaseCutShort, "at one time", 1..9),
    (Mutant::LockWithoutVersions, "at one time", 0..8),
    (Mutant::AcknowledgedBeforeApplied, "which its follower", 0..8),
    (Mutant::StampsLost, "went back from", 2..10),
    (Mutant::NoWarmUp, "begins with nothing and does not warm up", 0..8),
    (Mutant::FollowersAnswer, "answers 200 and does not lead", 0..8),
    (Mutant::ListingCutShort, "checks that nobody else is shown", 2..10),
    (Mutant::SnapshotsForgotten, "although nothing happened to agents", 16..24),
    (Mutant::CopiesEmpty, "although nothing happened to agents", 16..24),
    (Mutant::GrantsTooLong, "runs at most once and runs on", 26..30),
    (Mutant::ConfirmedUnheard, "runs at most once and runs on", 3..11),
];

#[test]
fn every_broken_rule_is_noticed() {
    assert_eq!(MUTANTS.map(|(mutant, ..)| mutant), Mutant::ALL);
    for (mutant, noticed, mut seeds) in MUTANTS {
        let found = seeds.any(|seed| simulate_mutant(mutant, seed).violations.iter().any(|violation| violation.contains(noticed)));
        assert!(found, "{mutant} goes unnoticed");
    }
}

//! A hundred runs of the whole cluster with faults, each with its own seed.
//!
//! A failing seed is printed; `cargo run -p muster-actors --example simulate_seed -- <seed>` shows that run line by line.

use muster_actors::sim::{WorldKind, simulate};

fn seeds(range: std::ops::Range<u64>) {
    for seed in range {
        let report = simulate(WorldKind::Single, seed);
        assert!(
            report.violations.is_empty(),
            "seed {seed}: {:#?}\nlast events:\n{}",
            report.violations,
            report.trace.iter().rev().take(60).rev().cloned().collect::<Vec<_>>().join("\n")
        );
        assert!(report.trace.len() > 100, "seed {seed}: agents did something");
    }
}

#[test]
fn seeds_0_to_24() {
    seeds(0..25);
}

#[test]
fn seeds_25_to_49() {
    seeds(25..50);
}

#[test]
fn seeds_50_to_74() {
    seeds(50..75);
}

#[test]
fn seeds_75_to_99() {
    seeds(75..100);
}

#[test]
fn a_seed_replays_identically() {
    for seed in [3, 17, 42] {
        assert_eq!(simulate(WorldKind::Single, seed), simulate(WorldKind::Single, seed));
    }
}

#[test]
fn seeds_differ_and_kill_servers() {
    let reports: Vec<_> = (100..110).map(|seed| simulate(WorldKind::Single, seed)).collect();
    let hashes: std::collections::BTreeSet<_> = reports.iter().map(|report| report.trace_hash).collect();
    assert_eq!(hashes.len(), reports.len());
    assert!(reports.iter().any(|report| report.server_kills > 1));
}

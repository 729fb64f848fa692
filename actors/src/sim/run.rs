//! Runs a seed of any world.

use std::collections::BTreeMap;

use crate::sim::fleet::{self, FleetReport};
use crate::sim::replicas;
use crate::sim::replicas::mutants::Mutant;
use crate::sim::report::{Report, WorldKind};
use crate::sim::single;

/// Runs one seed of a world to its end.
///
/// Panics: if an actor panics that was not told to, among them a dispatcher that finds an invariant broken; the seed is printed.
#[must_use]
pub fn simulate(kind: WorldKind, seed: u64) -> Report {
    match kind {
        WorldKind::Single => single::world::simulate(seed),
        WorldKind::Replicas => replicas::world::simulate(seed, None),
        WorldKind::Fleet => of_fleet(fleet::audit(seed, None)),
    }
}

/// Runs one seed of the world of replicas with a rule broken on purpose, to prove that it is noticed.
///
/// Panics: as [`simulate`].
#[must_use]
pub fn simulate_mutant(mutant: Mutant, seed: u64) -> Report {
    replicas::world::simulate(seed, Some(mutant))
}

/// Runs one seed of the world of fleets with a rule broken on purpose.
///
/// Panics: as [`simulate`].
#[must_use]
pub fn simulate_fleet_mutant(mutant: fleet::Mutant, seed: u64) -> Report {
    of_fleet(fleet::audit(seed, Some(mutant)))
}

/// What a run of a fleet showed, as far as it is of the same kind as what others show.
fn of_fleet(report: FleetReport) -> Report {
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    let mut trace: Vec<String> = Vec::new();
    for event in &report.events {
        *faults.entry(event.kind.to_owned()).or_default() += 1;
        trace.push(format!("{:>10.3} {}", event.at_seconds, event.what));
    }
    for point in &report.series {
        trace.push(format!("{:>10.3} {point:?}", point.at_seconds));
    }
    let mut hash = crc32fast::Hasher::new();
    for line in &trace {
        hash.update(line.as_bytes());
    }
    let kills = report.events.iter().filter(|event| event.kind == "leader_away").count() as u64;
    Report {
        world: WorldKind::Fleet,
        seed: report.seed,
        trace_hash: hash.finalize(),
        trace,
        violations: report.violations,
        faults,
        server_kills: kills,
        leader_changes: kills,
        most_double_runs: report.series.iter().map(|point| point.doubled as u64).max().unwrap_or(0),
    }
}

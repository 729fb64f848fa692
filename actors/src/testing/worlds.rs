//! Builders of worlds for planners.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::balance::plan::Plan;
use crate::balance::world::{Load, Runner, World};
use crate::domain::handover::Handover;
use crate::domain::ids::{ConfigKey, Digest, NodeName};
use crate::domain::node::NodeFacts;
use crate::domain::world::Presence;
use crate::kernel::rng::Random;

/// A runner that stays, declares nothing, and told its workers.
#[must_use]
pub fn runner(name: &str, workers: f64) -> Runner {
    Runner {
        name: NodeName::from(name),
        workers,
        workers_known: true,
        presence: Presence::Staying,
        facts: NodeFacts::default(),
        isolated_for: None,
        busyness: 0,
    }
}

/// A config with a known need that costs 1 to move and belongs nowhere yet; key and digest are the number.
#[must_use]
pub fn load(number: u64, check_name: &str, need: f64) -> Load {
    Load {
        key: ConfigKey(u128::from(number)),
        digest: Digest(number),
        check_name: Arc::from(check_name),
        service: Arc::from(""),
        owner: None,
        need: Some(need),
        counted: need,
        measured: Some(need),
        weight: Some(0),
        instances: 1,
        incomplete: false,
        cost: 1.0,
        handover: Handover::Any,
        pinned_to: None,
        held: None,
    }
}

/// Name, workers, and the configs that it has with their needs.
pub type Occupied<'a> = (&'a str, f64, &'a [(&'a str, f64)]);

/// Runners in order of their names; digests follow the order of the check names.
#[must_use]
pub fn world(runners: &[Occupied<'_>]) -> World {
    let mut configs: Vec<(&str, f64, usize)> = Vec::new();
    for (index, (_, _, held)) in runners.iter().enumerate() {
        configs.extend(held.iter().map(|(name, need)| (*name, *need, index)));
    }
    configs.sort_by_key(|(name, _, _)| *name);
    let loads = configs.iter().zip(1..).map(|((name, need, owner), number)| Load { owner: Some(*owner), ..load(number, name, *need) });
    World { runners: runners.iter().map(|(name, workers, _)| runner(name, *workers)).collect(), loads: loads.collect(), ..World::default() }
}

/// Runners r0, r1, ... of 4 workers with configs 0, 1, ... of 5 instances and these needs.
#[must_use]
pub fn by_needs(needs: &[&[f64]]) -> World {
    let mut runners: Vec<_> = (0..needs.len()).map(|number| runner(&format!("r{number}"), 4.0)).collect();
    let mut loads = Vec::new();
    for (owner, needs) in needs.iter().enumerate() {
        for need in *needs {
            let weight = (need * 1000.0) as i64;
            let plain = load(loads.len() as u64, "http_check", *need);
            loads.push(Load { owner: Some(owner), weight: Some(weight), instances: 5, ..plain });
            runners[owner].busyness += weight;
        }
    }
    World { runners, loads, ..World::default() }
}

/// The world after the moves of a plan; nothing else is different, not even what was spent.
#[must_use]
pub fn after(world: &World, plan: &Plan) -> World {
    let mut world = world.clone();
    let targets: BTreeMap<ConfigKey, Option<usize>> = plan.moves.iter().map(|made| (made.key, world.runner(&made.to))).collect();
    for load in &mut world.loads {
        if let Some(target) = targets.get(&load.key) {
            load.owner = *target;
        }
    }
    world
}

/// Needs as they are in practice: most are small, a few are large. Logarithms are normally distributed with deviation `sigma`.
/// Units: workers.
#[must_use]
pub fn log_normal(random: &dyn Random, median: f64, sigma: f64) -> f64 {
    let (radius, angle) = (1.0 - random.unit(), random.unit());
    let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
    median * (sigma * normal).exp()
}

/// Runners of 4 workers with configs of these needs, placed as orphans are: the largest first, each on the least used runner.
#[must_use]
pub fn placed(runners: usize, needs: &[f64]) -> World {
    let mut loads: Vec<Load> = (1..).zip(needs).map(|(number, need)| load(number, "http_check", *need)).collect();
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|left, right| needs[*right].total_cmp(&needs[*left]));
    let mut used: std::collections::BTreeSet<(u64, usize)> = (0..runners).map(|runner| (0, runner)).collect();
    for index in order {
        if let Some((at, runner)) = used.pop_first() {
            loads[index].owner = Some(runner);
            used.insert(((f64::from_bits(at) + needs[index]).to_bits(), runner));
        }
    }
    World { runners: (0..runners).map(|number| runner(&format!("runner-{number:05}"), 4.0)).collect(), loads, ..World::default() }
}

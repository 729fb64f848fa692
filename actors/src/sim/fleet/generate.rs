//! Worlds drawn from a seed.

mod drawing;
mod faults;

pub use drawing::{Drawing, Faults, Load, UnknownWord};

use crate::domain::handover::Handover;
use crate::domain::world::NodeKind;
use crate::kernel::rng::{Random, SeededRandom};
use crate::sim::fleet::overrides::PolicyOverrides;
use crate::sim::fleet::scenario::{AgentVersion, Check, Node, SCENARIO_VERSION, Scenario};

/// Share of all workers that is occupied in a drawn world, if the checks are not too few for it.
const UTILIZATION: f64 = 0.5;

/// Largest mean need of a check in a drawn world.
const MOST_ON_AVERAGE: f64 = 0.2;

/// Largest need of one check in a drawn world.
const LARGEST: f64 = 1.0;

/// Workers of a drawn agent.
const WORKERS: u32 = 4;

/// More agents than this are drawn as agents that are no pods. Why: `Membership` asks for the pod of each agent every second, which is
/// little in truth and most of the time of a run of a day.
const MOST_PODS: usize = 1000;

/// Draws a world. Its checks are placed one after the other, as a server does that knows nothing about them: what follows shows how
/// they are balanced.
#[must_use]
pub fn generate(drawing: &Drawing) -> Scenario {
    let random = SeededRandom::new(drawing.seed);
    let mixed = drawing.faults == Faults::Many;
    let nodes: Vec<_> = (1..=drawing.nodes)
        .map(|number| Node {
            name: format!("runner-{number}"),
            kind: NodeKind::Runner,
            workers: WORKERS,
            address: None,
            agent: match random.below(4) {
                0 if mixed => AgentVersion::Stock,
                1 if mixed => AgentVersion::Old,
                _ => AgentVersion::Muster,
            },
        })
        .collect();
    let needs = needs(drawing, &random);
    let checks = needs.into_iter().enumerate().map(|(index, need)| check(index, need, drawing, &random)).collect();
    let mut scenario = Scenario {
        version: SCENARIO_VERSION,
        name: format!("{} agents, {} {} checks, seed {}", drawing.nodes, drawing.checks, drawing.load, drawing.seed),
        length: drawing.length,
        pods: drawing.nodes <= MOST_PODS,
        noise: drawing.noise,
        strategy: None,
        nodes,
        checks,
        events: Vec::new(),
        policy: PolicyOverrides::default(),
    };
    scenario.events = faults::draw(drawing, &random);
    scenario
}

fn check(index: usize, need: f64, drawing: &Drawing, random: &dyn Random) -> Check {
    const NAMES: [&str; 5] = ["http_check", "redisdb", "postgres", "openmetrics", "tcp_check"];
    let handover = match random.below(10) {
        0 if drawing.faults != Faults::None => Handover::Gap,
        1 if drawing.faults != Faults::None => Handover::Overlap,
        2 if drawing.faults != Faults::None => Handover::AtMostOnce,
        _ => Handover::Any,
    };
    Check {
        name: format!("check-{}", index + 1),
        check_name: NAMES[index % NAMES.len()].to_owned(),
        service: format!("service-{}", index / 3 + 1),
        // Four digits are enough, and easier on the eye.
        need: Some((need * 10_000.0).round().max(1.0) / 10_000.0),
        average_ms: None,
        interval_seconds: [15, 15, 30, 60][random.below(4) as usize],
        handover,
        node: (drawing.nodes > 0).then(|| format!("runner-{}", index % drawing.nodes + 1)),
    }
}

fn needs(drawing: &Drawing, random: &dyn Random) -> Vec<f64> {
    let count = drawing.checks;
    let raw: Vec<f64> = match drawing.load {
        Load::Uniform => (0..count).map(|_| 0.5 + random.unit()).collect(),
        Load::Zipf => {
            let mut ranked: Vec<f64> = (1..=count).map(|rank| 1.0 / rank as f64).collect();
            for last in (1..ranked.len()).rev() {
                ranked.swap(last, random.below(last as u64 + 1) as usize);
            }
            ranked
        }
        Load::Heavy => (0..count).map(|_| (1.0 - random.unit()).powf(-1.0 / 1.2)).collect(),
    };
    let workers = (drawing.nodes as f64) * f64::from(WORKERS);
    let total = (workers * UTILIZATION).min(count as f64 * MOST_ON_AVERAGE);
    let scale = total / raw.iter().sum::<f64>().max(1e-9);
    raw.into_iter().map(|need| (need * scale).min(LARGEST)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_world_and_every_world_is_valid() {
        for load in [Load::Uniform, Load::Zipf, Load::Heavy] {
            for faults in [Faults::None, Faults::Some, Faults::Many] {
                for seed in 0..20 {
                    let drawing = Drawing { load, faults, seed, ..Drawing::default() };
                    let scenario = generate(&drawing);
                    assert_eq!(scenario, generate(&drawing));
                    assert_eq!(scenario.validate(), Ok(()));
                    assert_eq!(Scenario::parse(&scenario.to_json()), Ok(scenario.clone()));
                    assert_eq!(scenario.events.is_empty(), faults == Faults::None);
                }
            }
        }
        assert_ne!(generate(&Drawing::default()), generate(&Drawing { seed: 1, ..Drawing::default() }));
    }

    #[test]
    fn loads_differ_as_their_names_say() {
        let spread = |load| {
            let scenario = generate(&Drawing { load, checks: 1000, ..Drawing::default() });
            let mut needs: Vec<f64> = scenario.checks.iter().map(Check::workers_needed).collect();
            needs.sort_unstable_by(f64::total_cmp);
            (needs[999] / needs[500], needs.iter().sum::<f64>())
        };
        assert!(spread(Load::Uniform).0 < 1.6 && spread(Load::Heavy).0 > 10.0 && spread(Load::Zipf).0 > 50.0);
        assert!((spread(Load::Uniform).1 - 40.0).abs() < 1.0, "half of 80 workers");
    }
}

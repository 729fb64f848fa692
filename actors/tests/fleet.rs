//! Runs of whole fleets.

use muster_actors::balance::policy::Strategy;
use muster_actors::sim::fleet::{Drawing, Load, audit, generate, run};

#[test]
fn a_quiet_world_stays_as_it_is() {
    let scenario = generate(&Drawing { nodes: 6, checks: 30, load: Load::Uniform, ..Drawing::default() });
    let report = run(&scenario, Strategy::Off, 1);
    assert_eq!((report.moves.total, report.gaps.checks, report.double_runs.checks), (0, 0, 0), "{report:#?}");
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(report, run(&scenario, Strategy::Off, 1));
}

#[test]
fn seeds() {
    for seed in 0..20 {
        let report = audit(seed, None);
        println!("{seed} {:?} {:?} {:?}", report.moves.by_cause, report.violations, report.seconds);
    }
}

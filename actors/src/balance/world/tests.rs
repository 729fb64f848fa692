use std::time::Duration;

use super::*;
use crate::domain::config::Data;
use crate::domain::constraints::{ConstraintChange, Constraints, Quarantine};
use crate::domain::figures::{ConfigFigures, RunnerFigures};
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::Stamp;
use crate::domain::ledger::Ledger;
use crate::domain::world::{Dangling, DanglingReason, Moving, NodeEntry, NodeView};
use crate::testing::configs::named_config;

const MINUTE: i64 = 60_000_000_000;

fn http(number: u64) -> Arc<DispatchedConfig> {
    named_config(number, "http_check")
}

fn served(nodes: &[(&str, &[u64])]) -> ServedTable {
    let entry = |keys: &[u64]| NodeEntry {
        facts: NodeFacts::default(),
        presence: Presence::Staying,
        view: Arc::new(NodeView { configs: keys.iter().map(|key| http(*key)).collect(), ..NodeView::default() }),
    };
    ServedTable {
        epoch: Epoch(3),
        decided: Seq(9),
        shown: Seq(9),
        nodes: nodes.iter().map(|(name, keys)| (NodeName::from(*name), entry(keys))).collect(),
        ..ServedTable::default()
    }
}

fn moving(number: u64, to: Option<&str>, waits_for: Confirmation) -> Moving {
    let transfer = Transfer { from: "r1".into(), to: to.map(NodeName::from), waits_for, stamp: Stamp(1) };
    Moving { config: http(number), transfer }
}

fn known(smoothed: f64) -> ConfigFigures {
    ConfigFigures { measured: smoothed / 2.0, smoothed, weight: 7, ..ConfigFigures::default() }
}

fn world(served: &ServedTable, figures: &Figures) -> World {
    World::of(served, figures, &BalancePolicy::default(), 30 * MINUTE)
}

/// Owner and reason of each config, by number.
fn held(world: &World) -> Vec<(u128, Option<&str>, Option<Held>)> {
    let owner = |load: &Load| load.owner.map(|owner| world.runners[owner].name.as_str());
    world.loads.iter().map(|load| (load.key.0, owner(load), load.held)).collect()
}

#[test]
fn runners_are_by_name_and_configs_by_digest() {
    let mut figures = Figures::default();
    figures.runners.insert("r2".into(), RunnerFigures { workers: Some(0), busyness: -3, ..RunnerFigures::default() });
    figures.runners.insert("r1".into(), RunnerFigures { workers: Some(8), busyness: 12, ..RunnerFigures::default() });
    figures.configs.insert(ConfigKey(2), known(0.4));
    figures.medians.insert("http_check".to_owned(), 0.3);
    let mut table = served(&[("r3", &[5]), ("r1", &[2, 4]), ("r2", &[])]);
    table.dangling.push(Dangling { config: http(1), reason: DanglingReason::NoNode, flagged: false });
    let world = world(&table, &figures);
    assert_eq!((world.epoch, world.generation, world.spent), (Epoch(3), Seq(9), 0));
    let runners: Vec<_> = world.runners.iter().map(|r| (r.name.as_str(), r.workers, r.workers_known, r.busyness)).collect();
    assert_eq!(runners, [("r1", 8.0, true, 12), ("r2", 0.0, true, 0), ("r3", 4.0, false, 0)]);
    let unknown = Some(Held::NeedUnknown);
    assert_eq!(held(&world), [(1, None, unknown), (2, Some("r1"), None), (4, Some("r1"), unknown), (5, Some("r3"), unknown)]);
    let needs: Vec<_> = world.loads.iter().map(|load| (load.need, load.counted, load.measured, load.weight)).collect();
    assert_eq!(needs[1], (Some(0.4), 0.4, Some(0.2), Some(7)));
    assert_eq!(needs[0], (None, 0.3, None, None));
    assert!(!world.loads[1].incomplete && world.loads[0].incomplete);
}

#[test]
fn a_config_on_its_way_counts_once_where_it_goes() {
    let mut table = served(&[("r1", &[1]), ("r2", &[1])]);
    table.moving = vec![
        moving(1, Some("r2"), Confirmation::Started),
        moving(2, Some("r2"), Confirmation::Stopped),
        moving(3, None, Confirmation::Stopped),
        moving(4, Some("gone"), Confirmation::Stopped),
    ];
    let on_its_way = Some(Held::Moving);
    let expected = [(1, Some("r2"), on_its_way), (2, Some("r2"), on_its_way), (3, None, on_its_way), (4, None, on_its_way)];
    assert_eq!(held(&world(&table, &Figures::default())), expected);
}

#[test]
fn demands_and_cooldown_hold_a_config() {
    let mut table = served(&[("r1", &[1, 2, 3, 4, 5, 6])]);
    let mut constraints = Constraints::default();
    let quarantine = Quarantine { since_unix_nanos: 0, until_unix_nanos: 1, killed: Vec::new() };
    constraints.apply(&ConstraintChange::Pin { key: ConfigKey(1), node: "r2".into() });
    constraints.apply(&ConstraintChange::Isolate { node: "r1".into(), key: ConfigKey(2) });
    constraints.apply(&ConstraintChange::Quarantine { key: ConfigKey(3), quarantine });
    table.constraints = Arc::new(constraints);
    let mut ledger = Ledger::default();
    ledger.record([ConfigKey(6)], 9 * MINUTE, Duration::from_secs(3600));
    ledger.record([ConfigKey(4)], 11 * MINUTE, Duration::from_secs(3600));
    ledger.record([ConfigKey(99)], 25 * MINUTE, Duration::from_secs(3600));
    table.ledger = Arc::new(ledger);
    let figures = Figures { configs: (1..=6).map(|key| (ConfigKey(key), known(0.1))).collect(), ..Figures::default() };
    let world = world(&table, &figures);
    let reasons: Vec<_> = world.loads.iter().map(|load| load.held).collect();
    let expected = [Some(Held::Pinned), Some(Held::Isolated), Some(Held::Quarantined), Some(Held::CoolingDown), None, None];
    assert_eq!((reasons.as_slice(), world.spent), (expected.as_slice(), 1));
    assert_eq!((world.loads[0].pinned_to.as_ref(), world.runners[0].isolated_for), (Some(&"r2".into()), Some(ConfigKey(2))));
    let policy = BalancePolicy { never_moved: ["http_check".to_owned()].into(), ..BalancePolicy::default() };
    let never = World::of(&table, &figures, &policy, 0);
    assert_eq!(never.loads[1..].iter().filter(|load| load.held == Some(Held::NeverMoved)).count(), 4);
}

#[test]
fn lies_are_cut_to_what_can_be_true() {
    let lies = [f64::NAN, f64::INFINITY, -1.0, 9.0];
    let configs = (1..).map(ConfigKey).zip(lies.map(known)).collect();
    let figures = Figures { configs, median: Some(f64::NAN), ..Figures::default() };
    let world = world(&served(&[("r1", &[1, 2, 3, 4])]), &figures);
    assert_eq!(world.loads.iter().map(|load| load.need).collect::<Vec<_>>(), [None, None, None, Some(9.0)]);
    assert!(world.loads.iter().all(|load| (0.0..=9.0).contains(&load.counted)));
}

#[test]
fn slow_starters_are_dear_to_move() {
    let mut figures = Figures::default();
    let cost = |figures: &Figures, name: &str, instance: &str| {
        let mut config = (*named_config(1, name)).clone();
        config.config.instances = vec![Data::from(instance)];
        move_cost(figures.configs.get(&config.key), &config)
    };
    assert_eq!(cost(&figures, "http_check", "dbm: true\n"), 1.0);
    assert_eq!(cost(&figures, "kubernetes_state_core", "{}"), 20.0);
    assert_eq!((cost(&figures, "postgres", "dbm: true\nhost: a\n"), cost(&figures, "postgres", "dbm: false\nhost: a\n")), (20.0, 1.0));
    figures.configs.insert(ConfigKey(1), ConfigFigures { first_run: Some(Duration::from_secs(30)), ..known(0.1) });
    assert_eq!(cost(&figures, "kubernetes_state_core", "{}"), 3.0);
}

#[test]
fn equal_texts_are_kept_once() {
    let world = world(&served(&[("r1", &[1, 2])]), &Figures::default());
    assert!(Arc::ptr_eq(&world.loads[0].check_name, &world.loads[1].check_name));
}

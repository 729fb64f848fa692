use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::balance::least_count;
use crate::domain::constraints::{ConstraintChange, Quarantine};
use crate::domain::figures::{ConfigFigures, RunnerFigures};
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::{Epoch, Stamp};
use crate::domain::journal::Cause;
use crate::domain::node::NodeFacts;
use crate::domain::turn::Turn;
use crate::domain::world::Presence;
use crate::testing::configs::named_config;

/// A table, and what is known about the needs of its configs.
#[derive(Default)]
struct Site {
    table: AssignmentTable,
    figures: Figures,
}

impl Site {
    fn with_nodes(names: &[&str]) -> Self {
        let mut site = Self::default();
        for name in names {
            site.node(name, NodeFacts::default());
        }
        site
    }

    fn turn(&mut self, act: impl FnOnce(&mut Turn<'_>)) {
        let mut turn = Turn::begin(&mut self.table);
        act(&mut turn);
        let _ = turn.finish(Epoch(1), 1);
    }

    fn node(&mut self, name: &str, facts: NodeFacts) {
        self.turn(|turn| {
            turn.put_node(&name.into(), facts);
        });
    }

    /// A config that dangles; its need, if it is known.
    fn config(&mut self, config: DispatchedConfig, need: Option<f64>) {
        if let Some(need) = need {
            let figures = ConfigFigures { measured: need, smoothed: need, ..ConfigFigures::default() };
            self.figures.configs.insert(config.key, figures);
        }
        self.turn(|turn| {
            turn.put_config(Arc::new(config), DanglingReason::NoNode);
        });
    }

    fn put(&mut self, number: u64, need: f64, node: &str) {
        self.config((*named_config(number, "http_check")).clone(), Some(need));
        self.turn(|turn| turn.place(key(number), Placement::Owned(node.into()), Cause::Discovered));
    }

    fn dangling(&self) -> Vec<ConfigKey> {
        self.table.dangling().iter().copied().collect()
    }

    /// Places what dangles, and tells where everything is then.
    fn place(&mut self) -> BTreeMap<u64, String> {
        let placed = place_batch(&self.table, &self.figures, self.dangling());
        self.apply(placed);
        assert_eq!(place_batch(&self.table, &self.figures, self.dangling()), vec![], "planning again yields nothing");
        let owned = self.table.rows().iter().filter_map(|(key, row)| Some((key.0 as u64, row.placement.owner()?.to_string())));
        owned.collect()
    }

    fn apply(&mut self, placed: Vec<(ConfigKey, Placement)>) {
        self.turn(|turn| placed.into_iter().for_each(|(key, placement)| turn.place(key, placement, Cause::Discovered)));
    }

    fn workers(&mut self, node: &str, workers: u32) {
        self.figures.runners.insert(node.into(), RunnerFigures { workers: Some(workers), ..RunnerFigures::default() });
    }
}

fn key(number: u64) -> ConfigKey {
    ConfigKey(u128::from(number))
}

fn places(expected: &[(u64, &str)]) -> BTreeMap<u64, String> {
    expected.iter().map(|(number, node)| (*number, (*node).to_owned())).collect()
}

#[test]
fn cc_t56_orphans_go_to_the_least_used_runner_and_nothing_else_moves() {
    let mut site = Site::with_nodes(&["r1", "r2", "r3"]);
    for (number, need, node) in [(1, 0.9, "r1"), (2, 0.3, "r1"), (3, 0.6, "r2"), (4, 0.1, "r3")] {
        site.put(number, need, node);
    }
    site.turn(|turn| drop(turn.remove_node(&"r1".into(), Cause::NodeExpired)));
    assert_eq!(site.place(), places(&[(1, "r3"), (2, "r2"), (3, "r2"), (4, "r3")]));
    let loads = Scale::Figures(&site.figures);
    let indexes = site.table.nodes().keys().enumerate().map(|(index, name)| (name, index)).collect();
    let used: Vec<f64> = loads.places(&site.table, &indexes).iter().map(|place| place.used as f64 / 4e9).collect();
    assert_eq!(used, [0.225, 0.25]);
}

#[test]
fn the_largest_need_comes_first_and_workers_count() {
    let mut site = Site::with_nodes(&["r1", "r2"]);
    site.workers("r1", 8);
    for (number, need) in [(1, 0.1), (2, 0.9), (3, 0.4)] {
        site.config((*named_config(number, "http_check")).clone(), Some(need));
    }
    // r1: 0.9 / 8; then 0.4: 0.1625 against 0.1; then 0.1: both 0.125, r1 has 1 config of this name, r2 too: by name.
    assert_eq!(site.place(), places(&[(1, "r1"), (2, "r1"), (3, "r2")]));
}

#[test]
fn an_unknown_need_counts_with_the_median() {
    let mut site = Site::with_nodes(&["r1", "r2"]);
    site.figures.median = Some(0.5);
    site.figures.medians.insert("http_check".to_owned(), 0.5);
    site.put(1, 0.4, "r1");
    site.config((*named_config(2, "http_check")).clone(), None);
    site.config((*named_config(3, "http_check")).clone(), None);
    assert_eq!(site.place(), places(&[(1, "r1"), (2, "r2"), (3, "r1")]));
}

#[test]
fn equally_good_runners_are_told_apart_by_service_then_check_name_then_count_then_name() {
    let on_service = |number, name: &str, service: &str| {
        let mut config = (*named_config(number, name)).clone();
        config.config.service_id = service.to_owned();
        config
    };
    let mut site = Site::with_nodes(&["r1", "r2", "r3"]);
    for (number, name, service, node) in [(1, "redisdb", "", "r1"), (2, "http_check", "web", "r2"), (3, "postgres", "", "r3")] {
        site.config(on_service(number, name, service), Some(0.2));
        site.turn(|turn| turn.place(key(number), Placement::Owned(node.into()), Cause::Discovered));
    }
    let alone = |name: &str, service: &str| {
        let mut site = Site { table: site.table.clone(), figures: site.figures.clone() };
        site.config(on_service(9, name, service), Some(0.1));
        site.place().remove(&9).unwrap()
    };
    assert_eq!(alone("mysql", ""), "r1");
    assert_eq!(alone("redisdb", ""), "r2", "r1 has one of this name");
    assert_eq!(alone("redisdb", "web"), "r3", "r2 has one of this service");
    site.config(on_service(4, "mysql", ""), Some(0.0));
    site.turn(|turn| turn.place(key(4), Placement::Owned("r1".into()), Cause::Discovered));
    let mut site = Site { table: site.table.clone(), figures: site.figures.clone() };
    site.config(on_service(9, "http_check", ""), Some(0.1));
    assert_eq!(site.place()[&9], "r3", "r2 has one of this name, r1 has two configs");
}

#[test]
fn a_runner_without_workers_gets_something_only_if_there_is_no_other() {
    let mut site = Site::with_nodes(&["r1", "r2"]);
    site.workers("r1", 0);
    site.put(1, 3.0, "r2");
    site.config((*named_config(2, "http_check")).clone(), Some(0.5));
    assert_eq!(site.place()[&2], "r2");
    site.turn(|turn| drop(turn.remove_node(&"r2".into(), Cause::NodeExpired)));
    assert_eq!(site.place(), places(&[(1, "r1"), (2, "r1")]));
}

/// Both rules must honour what is demanded.
fn placed_by_both(site: &Site) -> [Vec<(ConfigKey, Placement)>; 2] {
    [place_batch(&site.table, &site.figures, site.dangling()), least_count::place_batch(&site.table, site.dangling())]
}

fn owned(node: &str) -> Placement {
    Placement::Owned(node.into())
}

#[test]
fn pins_are_followed_as_far_as_possible() {
    let mut site = Site::with_nodes(&["r1", "r2"]);
    site.config((*named_config(1, "http_check")).clone(), None);
    site.turn(|turn| turn.constrain(&ConstraintChange::Pin { key: key(1), node: "r2".into() }));
    assert_eq!(placed_by_both(&site), [vec![(key(1), owned("r2"))], vec![(key(1), owned("r2"))]]);
    site.turn(|turn| turn.set_presence(&"r2".into(), Presence::Draining));
    assert_eq!(placed_by_both(&site), [vec![(key(1), owned("r1"))], vec![(key(1), owned("r1"))]]);
    site.turn(|turn| turn.constrain(&ConstraintChange::Pin { key: key(1), node: "gone".into() }));
    assert_eq!(placed_by_both(&site), [vec![(key(1), owned("r1"))], vec![(key(1), owned("r1"))]]);
}

#[test]
fn an_isolated_runner_takes_its_config_and_no_other() {
    let mut site = Site::with_nodes(&["r1", "r2"]);
    site.config((*named_config(1, "http_check")).clone(), None);
    site.config((*named_config(2, "http_check")).clone(), None);
    site.turn(|turn| turn.constrain(&ConstraintChange::Isolate { node: "r1".into(), key: key(2) }));
    site.turn(|turn| turn.constrain(&ConstraintChange::Pin { key: key(1), node: "r1".into() }));
    let expected = vec![(key(1), owned("r2")), (key(2), owned("r1"))];
    assert_eq!(placed_by_both(&site), [expected.clone(), expected]);
    site.turn(|turn| drop(turn.remove_node(&"r2".into(), Cause::NodeExpired)));
    let expected = vec![(key(1), Placement::Dangling(DanglingReason::NoEligibleNode)), (key(2), owned("r1"))];
    assert_eq!(placed_by_both(&site), [expected.clone(), expected]);
}

#[test]
fn a_quarantined_config_goes_nowhere() {
    let mut site = Site::with_nodes(&["r1"]);
    site.config((*named_config(1, "http_check")).clone(), None);
    let quarantine = Quarantine { since_unix_nanos: 0, until_unix_nanos: 1, killed: Vec::new() };
    site.turn(|turn| turn.constrain(&ConstraintChange::Quarantine { key: key(1), quarantine }));
    let expected = vec![(key(1), Placement::Dangling(DanglingReason::Quarantined))];
    assert_eq!(placed_by_both(&site), [expected.clone(), expected]);
    assert_eq!(site.place(), places(&[]));
}

#[test]
fn a_check_that_must_not_run_twice_prefers_who_honours_grants() {
    let mut site = Site::with_nodes(&["r1"]);
    site.node("r2", NodeFacts { honours_grants: true, ..NodeFacts::default() });
    site.put(7, 3.0, "r2");
    let mut config = (*named_config(1, "http_check")).clone();
    config.traits.handover = Handover::AtMostOnce;
    site.config(config, None);
    assert_eq!(placed_by_both(&site), [vec![(key(1), owned("r2"))], vec![(key(1), owned("r2"))]]);
    site.turn(|turn| turn.set_presence(&"r2".into(), Presence::HandingOver));
    assert_eq!(placed_by_both(&site), [vec![(key(1), owned("r1"))], vec![(key(1), owned("r1"))]]);
}

#[test]
fn a_config_on_its_way_counts_where_it_goes() {
    for waits_for in [Confirmation::Started, Confirmation::Stopped] {
        let mut site = Site::with_nodes(&["r1", "r2"]);
        site.put(1, 0.5, "r1");
        site.put(2, 0.1, "r2");
        let transfer = Transfer { from: "r1".into(), to: Some("r2".into()), waits_for, stamp: Stamp(1) };
        site.turn(|turn| turn.place(key(1), Placement::Moving(transfer), Cause::Discovered));
        site.config((*named_config(3, "http_check")).clone(), Some(0.1));
        assert_eq!(placed_by_both(&site), [vec![(key(3), owned("r1"))], vec![(key(3), owned("r1"))]]);
        site.figures = Figures::default();
        assert_eq!(placed_by_both(&site)[0], [(key(3), owned("r1"))], "without figures either");
    }
}

/// The rule by count, word by word: the node with the fewest configs, ties by name; who declared the check before who did not; a
/// singleton check first where there is none of it.
fn plain_least_count(table: &AssignmentTable) -> Vec<(ConfigKey, Placement)> {
    let mut held: BTreeMap<&NodeName, Vec<&str>> = table.nodes().keys().map(|name| (name, Vec::new())).collect();
    for row in table.rows().values() {
        if let Some(owner) = row.placement.owner() {
            held.get_mut(owner).unwrap().push(&row.config.config.name);
        }
    }
    let mut dangling: Vec<_> = table.dangling().iter().map(|key| &table.rows()[key].config).collect();
    dangling.sort_by_key(|config| (config.digest, config.key));
    let mut placed = Vec::new();
    for config in dangling {
        let name = config.config.name.as_str();
        let staying = table.nodes().iter().filter(|(_, node)| node.presence.is_staying() && node.facts.may_run(name));
        let best = staying.min_by_key(|(node, row)| {
            let taken = crate::balance::eligibility::is_singleton(name) && held[node].contains(&name);
            let rank = crate::balance::eligibility::rank(&row.facts, name, config.traits.handover);
            (taken, rank, held[node].len(), *node)
        });
        if let Some((node, _)) = best {
            held.get_mut(node).unwrap().push(name);
            placed.push((config.key, Placement::Owned(node.clone())));
        }
    }
    placed
}

/// The rule by need, word by word.
fn plain_by_need(table: &AssignmentTable, figures: &Figures) -> Vec<(ConfigKey, Placement)> {
    let scale = Scale::Figures(figures);
    let mut held: BTreeMap<&NodeName, Vec<&DispatchedConfig>> = table.nodes().keys().map(|name| (name, Vec::new())).collect();
    for row in table.rows().values() {
        if let Some(owner) = row.placement.owner() {
            held.get_mut(owner).unwrap().push(&row.config);
        }
    }
    let mut dangling: Vec<_> = table.dangling().iter().map(|key| &table.rows()[key].config).collect();
    dangling.sort_by_key(|config| (Reverse(scale.need(config)), config.digest, config.key));
    let mut placed = Vec::new();
    for config in dangling {
        let name = config.config.name.as_str();
        let staying = table.nodes().iter().filter(|(_, node)| node.presence.is_staying() && node.facts.may_run(name));
        let best = staying.min_by_key(|(node, row)| {
            let alike = |same: &dyn Fn(&DispatchedConfig) -> bool| held[node].iter().filter(|other| same(other)).count();
            let of_name = alike(&|other| other.config.name == name);
            let of_service =
                if config.config.service_id.is_empty() { 0 } else { alike(&|other| other.config.service_id == config.config.service_id) };
            let workers = milli(figures.workers(node).unwrap_or(0.0));
            let used: Nano = held[node].iter().map(|other| scale.need(other)).sum::<Nano>() + scale.need(config);
            let predicted = if workers == 0 { used as f64 } else { crate::balance::units::utilization(used, workers) };
            let rank = crate::balance::eligibility::rank(&row.facts, name, config.traits.handover);
            let taken = crate::balance::eligibility::is_singleton(name) && of_name > 0;
            (taken, workers == 0, rank, predicted.to_bits(), of_service, of_name, held[node].len(), *node)
        });
        if let Some((node, _)) = best {
            held.get_mut(node).unwrap().push(config);
            placed.push((config.key, Placement::Owned(node.clone())));
        }
    }
    placed
}

fn any_site() -> impl Strategy<Value = Site> {
    let names = prop_oneof![4 => Just("http_check"), 2 => Just("postgres"), 1 => Just("cpu")];
    let services = prop_oneof![2 => Just(""), 1 => Just("web"), 1 => Just("db")];
    let needs = prop_oneof![2 => Just(None), 2 => Just(Some(0.1)), 1 => (0..4_u8).prop_map(|tenths| Some(f64::from(tenths) / 10.0))];
    let configs = prop::collection::vec((names, services, needs, any::<bool>(), 0..12_usize), 0..40);
    (prop::collection::vec((0..6_u8, 0..8_u32), 1..7), configs).prop_map(|(nodes, configs)| {
        let mut site = Site::default();
        for (index, (kind, workers)) in nodes.iter().enumerate() {
            let name = format!("n{index}");
            let mut facts = NodeFacts { honours_grants: *kind == 2, ..NodeFacts::default() };
            if *kind == 0 {
                facts.compatibility.include.insert("postgres".to_owned());
            }
            site.node(&name, facts);
            if *kind == 1 {
                site.turn(|turn| turn.set_presence(&name.as_str().into(), Presence::HandingOver));
            }
            if *workers < 3 {
                site.workers(&name, [0, 2, 8][*workers as usize]);
            }
        }
        for (number, (name, service, need, once, owner)) in (1..).zip(configs) {
            let mut config = (*named_config(number, name)).clone();
            service.clone_into(&mut config.config.service_id);
            config.traits.handover = if once { Handover::AtMostOnce } else { Handover::Any };
            site.config(config, need);
            if owner < nodes.len() && nodes[owner].0 != 0 {
                let owner = format!("n{owner}");
                site.turn(|turn| turn.place(key(number), Placement::Owned(owner.into()), Cause::Discovered));
            }
        }
        site
    })
}

impl std::fmt::Debug for Site {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (&self.table, &self.figures).fmt(out)
    }
}

/// Those that found a place.
fn that_are_owned(placed: Vec<(ConfigKey, Placement)>) -> Vec<(ConfigKey, Placement)> {
    placed.into_iter().filter(|(_, placement)| placement.owner().is_some()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn placement_follows_the_plain_rules(site in any_site()) {
        let (by_count, by_need) = (least_count::place_batch(&site.table, site.dangling()), place_batch(&site.table, &site.figures, site.dangling()));
        prop_assert_eq!(that_are_owned(by_count), plain_least_count(&site.table));
        prop_assert_eq!(that_are_owned(by_need), plain_by_need(&site.table, &site.figures));
    }

    #[test]
    fn without_figures_checks_of_one_name_go_where_the_fewest_are(mut site in any_site()) {
        site.figures = Figures::default();
        for key in site.table.keys().collect::<Vec<_>>() {
            let mut config = DispatchedConfig::clone(site.table.config(key).unwrap());
            (config.config.name, config.config.service_id) = ("http_check".to_owned(), String::new());
            site.turn(|turn| {
                turn.put_config(Arc::new(config), DanglingReason::NoNode);
            });
        }
        let (by_count, by_need) = (least_count::place_batch(&site.table, site.dangling()), place_batch(&site.table, &site.figures, site.dangling()));
        prop_assert_eq!(by_need, by_count);
    }

    #[test]
    fn the_order_of_the_keys_changes_nothing(site in any_site(), shift in 0..40_usize) {
        let mut keys = site.dangling();
        let placed = place_batch(&site.table, &site.figures, keys.clone());
        let by = shift % keys.len().max(1);
        keys.rotate_left(by);
        prop_assert_eq!(place_batch(&site.table, &site.figures, keys), placed);
    }
}

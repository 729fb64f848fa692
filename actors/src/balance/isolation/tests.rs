use super::*;
use crate::testing::worlds::world;

fn t48() -> World {
    let mut world = world(&[("r1", 4.0, &[("a", 0.4), ("c", 0.2), ("hvy", 1.0)]), ("r2", 4.0, &[("b", 0.3)]), ("r3", 4.0, &[("d", 0.1)])]);
    world.runners.iter_mut().for_each(|runner| runner.workers_known = true);
    world
}

fn key(world: &World, check_name: &str) -> ConfigKey {
    world.loads.iter().find(|load| &*load.check_name == check_name).unwrap().key
}

fn moves(plan: &Plan) -> Vec<String> {
    plan.moves.iter().map(|made| format!("{} {}->{}", made.check_name, made.from, made.to)).collect()
}

#[test]
fn cc_t48_everything_is_planned_anew_around_an_isolated_check() {
    let policy = BalancePolicy { strategy: Strategy::Utilization, stickiness: None, ..BalancePolicy::default() };
    let plan = isolate(&t48(), &policy, key(&t48(), "hvy")).unwrap();
    assert_eq!(moves(&plan), ["a r1->r2", "b r2->r3", "c r1->r3", "d r3->r2"]);
    assert_eq!(plan.forecast[0].configs_after, 1);
}

#[test]
fn with_bounded_churn_only_what_is_beside_it_moves() {
    let plan = isolate(&t48(), &BalancePolicy::default(), key(&t48(), "hvy")).unwrap();
    assert_eq!(moves(&plan), ["a r1->r3", "c r1->r2"]);
}

#[test]
fn what_nobody_else_may_run_or_is_pinned_there_stays() {
    let mut world = t48();
    world.runners[1].facts.compatibility.exclude.insert("a".to_owned());
    world.runners[2].facts.compatibility.exclude.insert("a".to_owned());
    world.loads[2].held = Some(Held::Pinned);
    for strategy in [Strategy::Bounded, Strategy::Utilization] {
        let policy = BalancePolicy { strategy, ..BalancePolicy::default() };
        let plan = isolate(&world, &policy, key(&world, "hvy")).unwrap();
        assert!(plan.moves.iter().all(|made| made.from.as_str() != "r1"), "{:?}", moves(&plan));
    }
}

#[test]
fn the_reasons_are_those_of_stock() {
    let policy = BalancePolicy::default();
    let alone = world(&[("r1", 4.0, &[("a", 1.0)])]);
    assert_eq!(isolate(&alone, &policy, ConfigKey(1)).unwrap_err().to_string(), "No other runners available");
    assert_eq!(isolate(&t48(), &policy, ConfigKey(99)).unwrap_err().to_string(), "Unable to find check");
    let mut dangling = t48();
    dangling.loads[0].owner = None;
    assert_eq!(isolate(&dangling, &policy, dangling.loads[0].key), Err(CannotIsolate::CheckNotFound));
}

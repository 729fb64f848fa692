use super::*;
use crate::balance::plan::Trigger;
use crate::balance::policy::Strategy;
use crate::testing::worlds::world;

/// Name, weight of checks that are no cluster checks, and configs with their weights.
type Busy<'a> = (&'a str, i64, &'a [(&'a str, i64)]);

fn weighing(runners: &[Busy<'_>]) -> World {
    let held: Vec<Vec<(&str, f64)>> =
        runners.iter().map(|(_, _, held)| held.iter().map(|(name, weight)| (*name, *weight as f64)).collect()).collect();
    let shape: Vec<_> = runners.iter().zip(&held).map(|((name, _, _), held)| (*name, 4.0, held.as_slice())).collect();
    let mut world = world(&shape);
    for (runner, (_, others, held)) in world.runners.iter_mut().zip(runners) {
        runner.busyness = others + held.iter().map(|(_, weight)| weight).sum::<i64>();
    }
    for load in &mut world.loads {
        load.weight = Some(load.counted as i64);
    }
    world
}

fn planned(world: &World) -> Plan {
    plan(world, Order { strategy: Strategy::Busyness, trigger: Trigger::Period, force: false })
}

fn moves(plan: &Plan) -> Vec<(String, [i64; 3])> {
    let described = |made: &crate::balance::plan::Move| format!("{} {}->{}", made.check_name, made.from, made.to);
    plan.moves.iter().map(|made| (described(made), [made.check_weight, made.source_diff, made.dest_diff])).collect()
}

#[test]
fn cc_t35_the_heaviest_goes_to_the_least_busy() {
    let plan = planned(&weighing(&[("r1", 0, &[("a", 500), ("b", 300), ("c", 200)]), ("r2", 0, &[("d", 100)])]));
    assert_eq!(moves(&plan), [("a r1->r2".to_owned(), [500, 450, -450])]);
}

#[test]
fn cc_t36_configs_move_as_a_whole_and_other_checks_only_count() {
    let plan = planned(&weighing(&[("r1", 200, &[("X", 800), ("Y", 700)]), ("r2", 0, &[("Z", 100)]), ("r3", 0, &[("V", 0), ("W", 50)])]));
    assert_eq!(moves(&plan), [("X r1->r3".to_owned(), [800, 1084, -566]), ("Y r1->r2".to_owned(), [700, 284, -516])]);
}

#[test]
fn cc_t37_a_move_has_to_stay_below_nine_tenths() {
    assert!(moves(&planned(&weighing(&[("r1", 0, &[("a", 190), ("b", 10)]), ("r2", 0, &[])]))).is_empty());
    let plan = planned(&weighing(&[("r1", 0, &[("a", 189), ("b", 11)]), ("r2", 0, &[])]));
    assert_eq!(moves(&plan)[0].0, "a r1->r2");
}

#[test]
fn cc_t38_averages_are_cut_to_whole_numbers() {
    assert!(moves(&planned(&weighing(&[("n1", 0, &[("a", 1)]), ("n2", 0, &[("b", 2)]), ("n3", 0, &[("c", 4)])]))).is_empty());
}

#[test]
fn what_goes_on_from_where_it_came_is_one_move() {
    let mut moves = Moves::default();
    moves.add(1, 2, [3, 4, 5]);
    moves.add(7, 2, [1, 1, 1]);
    moves.add(1, 3, [6, 7, 8]);
    assert_eq!(moves.made, [(1, 3, [3, 4, 5]), (7, 2, [1, 1, 1])]);
}

#[test]
fn lies_of_any_size_are_only_numbers() {
    let mut world = weighing(&[("r1", 0, &[("a", 5), ("b", 6)]), ("r2", 0, &[("c", 1)])]);
    world.runners[0].busyness = i64::MAX;
    world.loads[0].weight = Some(i64::MAX);
    assert!(planned(&world).moves.len() <= 3);
}

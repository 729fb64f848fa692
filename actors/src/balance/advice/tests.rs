use super::*;
use crate::domain::ids::Digest;
use crate::domain::node::CheckCompatibility;
use crate::domain::world::Presence;
use crate::testing::worlds::{by_needs as world, load, runner};

fn advice(world: &World) -> Vec<Advice> {
    advise(world, &BalancePolicy::default())
}

#[test]
fn runners_that_are_busy_nine_tenths_need_more_of_them() {
    let world = world(&[&[1.8, 1.8], &[1.8, 1.8], &[1.8, 1.8], &[1.8, 1.8]]);
    // 14.4 workers are occupied of 16; 24 would make that 60 %.
    let [Advice::TooFewRunners { runners: 4, more: 2, .. }] = advice(&world)[..] else { panic!("{:?}", advice(&world)) };
    assert_eq!(
        advice(&world)[0].sentence(),
        "Too few runners: 4 of them are busy 90 % of the time on average. 2 more of the usual size would bring that to 60 %."
    );
}

#[test]
fn runners_with_next_to_nothing_to_do_are_too_many_but_two_stay() {
    let [Advice::TooManyRunners { runners: 6, enough: 2, .. }] = advice(&world(&[&[0.2][..]; 6]))[..] else { panic!() };
    let [Advice::TooManyRunners { runners: 40, enough: 7, .. }] = advice(&world(&[&[0.4][..]; 40]))[..] else { panic!() };
    assert_eq!(advice(&world(&[&[0.2], &[0.2]])), []);
}

#[test]
fn an_even_and_fitting_pool_calls_for_nothing() {
    assert_eq!(advice(&world(&[&[1.0, 1.0], &[1.0, 1.0]])), []);
    assert_eq!(advice(&World::default()), []);
}

#[test]
fn nothing_is_said_about_the_pool_while_figures_are_unknown() {
    let no_workers = |world: &mut World| world.runners[0].workers_known = false;
    let few_needs = |world: &mut World| world.loads.iter_mut().step_by(5).for_each(|load| load.need = None);
    for hide in [no_workers as fn(&mut World), few_needs] {
        for needs in [&[1.9, 1.9][..], &[0.01, 0.01]] {
            let mut world = world(&[needs; 5]);
            assert_eq!(advice(&world).len(), 1);
            hide(&mut world);
            assert_eq!(advice(&world), []);
        }
    }
}

#[test]
fn a_config_that_needs_more_workers_than_a_runner_has_fits_nowhere() {
    let mut world = world(&[&[4.5], &[2.0, 1.0]]);
    let found = advice(&world);
    assert!(found.iter().any(|advice| matches!(advice, Advice::TooLargeForAnyRunner { need: 4.5, largest: 4.0, .. })), "{found:?}");
    world.runners.push(runner("large", 8.0));
    assert!(!advice(&world).iter().any(|advice| matches!(advice, Advice::TooLargeForAnyRunner { .. })));
    world.runners[2].facts.compatibility.exclude.insert("http_check".to_owned());
    assert!(advice(&world).iter().any(|advice| matches!(advice, Advice::TooLargeForAnyRunner { largest: 4.0, .. })));
}

#[test]
fn what_runs_as_long_as_its_interval_is_always_late() {
    let mut world = world(&[&[1.0, 0.5, 0.5], &[1.0, 0.5, 0.5]]);
    assert_eq!(advice(&world), [], "two instances that share a worker are in time");
    world.loads[0].instances = 1;
    world.loads[3].instances = 1;
    let found = advice(&world);
    assert!(matches!(&found[..], [Advice::AlwaysLate { configs: 2, need: 1.0, .. }]), "{found:?}");
    assert!(found[0].sentence().starts_with("http_check (0) is always late, as 1 other configs of this check: "));
}

#[test]
fn a_runner_is_stuck_when_one_config_alone_is_too_much_wherever_it_is() {
    let mut world = world(&[&[3.0], &[0.6, 0.6], &[0.6, 0.6]]);
    let [Advice::StuckRunner { runner, check, held: None, .. }] = &advice(&world)[..] else { panic!("{:?}", advice(&world)) };
    assert_eq!((runner.as_str(), check.digest), ("r0", Digest(0)));
    // On a larger runner it would be better off.
    world.runners[2].workers = 40.0;
    assert!(!advice(&world).iter().any(|advice| matches!(advice, Advice::StuckRunner { .. })));
}

#[test]
fn a_runner_that_moves_can_mend_is_not_stuck() {
    assert_eq!(advice(&world(&[&[1.0, 1.0, 1.0], &[0.4], &[0.4]])), []);
}

#[test]
fn what_is_pinned_can_be_the_reason_too() {
    let mut world = world(&[&[1.0, 1.0, 1.0], &[0.4], &[0.4]]);
    world.loads[..2].iter_mut().for_each(|load| load.held = Some(Held::Pinned));
    let found = advice(&world);
    assert!(matches!(&found[..], [Advice::StuckRunner { held: Some(Held::Pinned), .. }]), "{found:?}");
    assert!(found[0].sentence().ends_with("and is pinned there. Unpin it with: muster clusterchecks unpin."));
}

#[test]
fn a_runner_that_tells_nothing_is_named_if_others_do() {
    let mut world = world(&[&[1.0, 1.0], &[1.0, 1.0], &[1.0, 1.0]]);
    let silence = |world: &mut World, runner: usize| {
        world.runners[runner].workers_known = false;
        world.loads.iter_mut().filter(|load| load.owner == Some(runner)).for_each(|load| load.need = None);
    };
    silence(&mut world, 1);
    assert_eq!(advice(&world), [Advice::NoFigures { runner: "r1".into(), configs: 2 }]);
    silence(&mut world, 0);
    silence(&mut world, 2);
    assert_eq!(advice(&world), [], "nothing was collected yet");
}

#[test]
fn a_runner_without_workers_is_named() {
    let mut world = world(&[&[1.0, 1.0], &[1.0, 1.0], &[]]);
    world.runners[2].workers = 0.0;
    assert_eq!(advice(&world), [Advice::NoWorkers { runner: "r2".into() }]);
}

#[test]
fn configs_that_nobody_may_run_are_counted_with_the_reason() {
    let mut world = world(&[&[1.0, 1.0], &[1.0, 1.0]]);
    world.loads.extend([load(8, "http_check", 0.1), load(9, "http_check", 0.1)]);
    assert_eq!(advice(&world), [], "they find a place in a moment");
    for runner in &mut world.runners {
        runner.facts.compatibility = CheckCompatibility { exclude: ["http_check".to_owned()].into(), ..CheckCompatibility::default() };
    }
    let because = |because| Advice::Unrunnable { check_name: "http_check".to_owned(), configs: 2, because };
    assert_eq!(advice(&world), [because(Unrunnable::NotDeclared)]);
    world.runners[0].facts.compatibility = CheckCompatibility::default();
    world.runners[0].presence = Presence::Draining;
    assert_eq!(advice(&world), [because(Unrunnable::NotFree)]);
    world.loads.iter_mut().for_each(|load| load.held = Some(Held::Quarantined));
    assert_eq!(advice(&world), []);
}

#[test]
fn advice_goes_over_the_wire() {
    let mut world = world(&[&[3.0], &[0.6, 0.6], &[0.6, 0.6]]);
    world.runners.push(runner("empty", 0.0));
    for advice in advice(&world) {
        let text = serde_json::to_string(&advice).unwrap();
        assert_eq!(serde_json::from_str::<Advice>(&text).unwrap(), advice);
        assert!(advice.sentence().ends_with('.'));
    }
}

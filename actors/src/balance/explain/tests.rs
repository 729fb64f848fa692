use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{Index, select};
use proptest::strategy::Strategy as _;

use super::*;
use crate::balance::explanation::RuledOut;
use crate::balance::plan::{Stopped, Trigger};
use crate::balance::planner;
use crate::balance::policy::Stickiness;
use crate::balance::world::Held;
use crate::domain::constraints::{Constraints, Quarantine};
use crate::domain::figures::RunnerFigures;
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::{Digest, Epoch, Seq};
use crate::domain::journal::Cause;
use crate::domain::node::{CheckCompatibility, NodeFacts};
use crate::domain::world::{Dangling, DanglingReason, Moving, NodeEntry, NodeView, Presence};
use crate::testing::configs::named_config;
use crate::testing::worlds::{by_needs as world, load, runner};

fn bounded() -> BalancePolicy {
    BalancePolicy::default()
}

fn plan(world: &World, policy: &BalancePolicy) -> Plan {
    planner::plan(world, policy, Trigger::Manual, false)
}

/// The reason against each runner but the owner.
fn reasons(world: &World, policy: &BalancePolicy, number: usize) -> Vec<(NodeName, RuledOut)> {
    let plan = plan(world, policy);
    let load = &world.loads[number];
    let reasons = Reasons::new(world, policy, &plan, load);
    let others = (0..world.runners.len()).filter(|runner| load.owner != Some(*runner));
    others.map(|runner| (world.runners[runner].name.clone(), reasons.against(runner))).collect()
}

fn reason(world: &World, policy: &BalancePolicy, number: usize, node: &str) -> RuledOut {
    reasons(world, policy, number).into_iter().find(|(name, _)| name.as_str() == node).unwrap().1
}

/// A table that shows a world.
fn served(world: &World) -> ServedTable {
    let mut served = ServedTable::default();
    for (index, runner) in world.runners.iter().enumerate() {
        let of = world.loads.iter().filter(|load| load.owner == Some(index) && load.held != Some(Held::Moving));
        let configs = of.map(|load| named_config(load.digest.0, &load.check_name)).collect();
        let view = Arc::new(NodeView { configs, ..NodeView::default() });
        served.nodes.insert(runner.name.clone(), NodeEntry { facts: runner.facts.clone(), presence: runner.presence, view });
    }
    for load in world.loads.iter().filter(|load| load.owner.is_none()) {
        let quarantined = load.held == Some(Held::Quarantined);
        let reason = if quarantined { DanglingReason::Quarantined } else { DanglingReason::NoEligibleNode };
        served.dangling.push(Dangling { config: named_config(load.digest.0, &load.check_name), reason, flagged: false });
    }
    served
}

fn explain(world: &World, policy: &BalancePolicy, number: usize) -> CheckExplanation {
    let (plan, served) = (plan(world, policy), served(world));
    explain_check(Evidence { world, policy, plan: &plan, served: &served }, world.loads[number].key, Vec::new()).unwrap()
}

fn decision(seq: u64, key: u128, from: Option<&str>, to: Option<&str>) -> Decision {
    Decision {
        at_unix_nanos: seq as i64 * 1_000,
        epoch: Epoch(1),
        seq: Seq(seq),
        key: ConfigKey(key),
        digest: Digest(key as u64),
        check_name: "http_check".to_owned(),
        from: from.map(NodeName::from),
        to: to.map(NodeName::from),
        cause: Cause::Rebalanced,
    }
}

#[test]
fn every_node_is_a_candidate_with_its_figures_and_a_reason() {
    // T53: a and d go to r2.
    let world = world(&[&[1.0, 1.0, 1.0, 0.9], &[0.1]]);
    let explained = explain(&world, &bounded(), 0);
    let [here, there] = &explained.candidates[..] else { panic!() };
    assert_eq!((here.node.as_str(), here.configs, &here.ruled_out, here.gain), ("r0", 4, &None, None));
    assert!((here.with_it - 0.975).abs() < 1e-9 && (here.utilization - 0.975).abs() < 1e-9);
    assert_eq!((there.node.as_str(), there.configs, &there.ruled_out), ("r1", 1, &Some(RuledOut::Planned)));
    assert!((there.with_it - 0.275).abs() < 1e-9 && (there.utilization - 0.025).abs() < 1e-9);
    assert!((there.gain.unwrap() - (2.0 * 0.95 - 0.5)).abs() < 1e-9);
    assert_eq!(explained.next[0], "with the next plan, to r1, or at once with: muster clusterchecks rebalance");
    assert_eq!(explained.next[1], "when r0 leaves: its pod terminates, or it is silent until it expires");
}

#[test]
fn a_node_that_cannot_have_it_says_why() {
    let mut world = world(&[&[1.0, 1.0], &[], &[], &[], &[], &[]]);
    world.runners[1].presence = Presence::Draining;
    world.runners[2].workers = 0.0;
    world.runners[3].facts.compatibility.exclude.insert("http_check".to_owned());
    world.runners[4].isolated_for = Some(ConfigKey(1));
    assert_eq!(
        reasons(&world, &bounded(), 0).into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(),
        [
            RuledOut::Leaving,
            RuledOut::NoWorkers,
            RuledOut::NotDeclared,
            RuledOut::IsolatedFor { check_name: "http_check".to_owned() },
            RuledOut::Planned,
        ]
    );
    world.runners[0].facts.compatibility.include.insert("http_check".to_owned());
    assert_eq!(reason(&world, &bounded(), 0, "r5"), RuledOut::OthersDeclared);
}

#[test]
fn what_must_not_run_twice_goes_to_nodes_that_honour_grants_first() {
    let mut world = world(&[&[1.0, 1.0], &[], &[]]);
    world.loads[0].handover = Handover::AtMostOnce;
    world.runners[1].facts.honours_grants = true;
    assert_eq!(reason(&world, &bounded(), 0, "r2"), RuledOut::NoGrants);
    assert_ne!(reason(&world, &bounded(), 1, "r2"), RuledOut::NoGrants);
}

#[test]
fn a_check_of_which_an_agent_runs_only_one_does_not_go_where_one_is() {
    let mut world = world(&[&[1.0, 1.0], &[0.1], &[]]);
    for number in [0, 2] {
        world.loads[number].check_name = "cpu".into();
    }
    assert_eq!(reason(&world, &bounded(), 0, "r1"), RuledOut::HasOne);
}

#[test]
fn what_is_held_says_by_what() {
    for (held, next) in [
        (Held::Pinned, "nothing for balance: it is pinned there (muster clusterchecks unpin 0)"),
        (Held::NeverMoved, "nothing for balance: it is in cluster_checks.exclude_checks_from_dispatching"),
        (Held::CoolingDown, "not for balance until 20 min after its last move"),
        (Held::NeedUnknown, "nothing for balance before its runner has told how long it takes"),
        (Held::Isolated, "nothing for balance: it is isolated there, until somebody ends that or forces a rebalance"),
    ] {
        let mut world = world(&[&[1.0, 1.0], &[]]);
        world.loads[0].held = Some(held);
        if held == Held::NeedUnknown {
            world.loads[0].need = None;
        }
        world.loads[0].pinned_to = (held == Held::Pinned).then(|| "r0".into());
        assert_eq!(reason(&world, &bounded(), 0, "r1"), RuledOut::Held { held });
        assert_eq!(explain(&world, &bounded(), 0).next[0], next);
    }
}

#[test]
fn inside_the_band_nothing_moves() {
    let world = world(&[&[0.6, 0.6], &[0.58, 0.58]]);
    assert_eq!(reason(&world, &bounded(), 0, "r1"), RuledOut::InsideBand);
    assert_eq!(
        explain(&world, &bounded(), 0).next[0],
        "when the load is less even: some runner more than 0.02 away from the mean of 0.29, and r0 above it (now 0.30)"
    );
}

#[test]
fn without_a_gain_nothing_moves() {
    // T53, the second of its inputs that is outside the band and cannot be improved.
    let world = world(&[&[1.0, 1.0, 0.8], &[1.0, 1.0, 0.08]]);
    assert_eq!(plan(&world, &bounded()).stopped, Stopped::NothingImproves);
    for number in 0..3 {
        assert_eq!(reason(&world, &bounded(), number, "r1"), RuledOut::NoGain);
    }
    assert_eq!(
        explain(&world, &bounded(), 0).next[0],
        "when a move improves something: of the other nodes r1 is the best one, with 0.77 where r0 has 0.70"
    );
}

#[test]
fn what_sits_below_the_mean_stays() {
    let world = world(&[&[0.2, 1.1], &[0.1, 0.2], &[3.0]]);
    assert_eq!(reason(&world, &bounded(), 0, "r1"), RuledOut::OwnerNotAboveMean);
}

#[test]
fn a_node_above_the_mean_gets_nothing() {
    let mut world = world(&[&[0.1, 3.4], &[2.4], &[1.0]]);
    world.loads[0].check_name = "tls".into();
    world.runners[2].facts.compatibility.exclude.insert("tls".to_owned());
    world.runners[1].facts.compatibility.exclude.insert("redisdb".to_owned());
    world.runners[0].facts.compatibility.exclude.insert("redisdb".to_owned());
    assert_eq!(reason(&world, &bounded(), 0, "r1"), RuledOut::NotBelowMean);
}

#[test]
fn the_budget_is_named_where_it_is_the_reason() {
    // T55: 14 moves would be needed, 5 are allowed.
    let mut needs = vec![0.05; 30];
    needs.push(0.013);
    let mut world = world(&[&needs, &[]]);
    world.loads[30].held = Some(Held::Pinned);
    let said: Vec<_> = (0..31).map(|number| reason(&world, &bounded(), number, "r1")).collect();
    let count = |reason: &RuledOut| said.iter().filter(|said| *said == reason).count();
    assert_eq!((count(&RuledOut::Planned), count(&RuledOut::BudgetUsedUp)), (5, 9));
    assert_eq!(said[14], RuledOut::OthersFirst);
    assert_eq!(explain(&world, &bounded(), 5).next[0], "when the budget allows, to r1: 5 of 5 moves in 10 min are made");
}

#[test]
fn a_config_that_goes_to_another_node_says_to_which() {
    let world = world(&[&[1.0, 1.0], &[], &[0.5]]);
    assert_eq!(reason(&world, &bounded(), 0, "r2"), RuledOut::GoesElsewhere { node: "r1".into() });
}

#[test]
fn off_means_off() {
    let policy = BalancePolicy { strategy: Strategy::Off, ..bounded() };
    let world = world(&[&[1.0, 1.0], &[]]);
    assert_eq!(reason(&world, &policy, 0, "r1"), RuledOut::Off);
    assert_eq!(explain(&world, &policy, 0).next[0], "nothing for balance: that is off (muster.rebalance_strategy)");
}

#[test]
fn cc_t42_stickiness_is_named_where_it_is_the_reason() {
    let world = world(&[&[1.0, 1.0, 1.0, 0.9], &[0.1]]);
    let sticky = BalancePolicy { strategy: Strategy::Utilization, ..bounded() };
    assert_eq!(reason(&world, &sticky, 1, "r1"), RuledOut::Sticky);
    assert_eq!(reason(&world, &sticky, 0, "r1"), RuledOut::NotChosen);
    let plain = BalancePolicy { stickiness: None, ..sticky };
    assert_eq!(reason(&world, &plain, 1, "r1"), RuledOut::Planned);
}

#[test]
fn cc_t45_a_distribution_that_is_not_worth_it_is_named() {
    let world = world(&[&[1.0, 1.0, 0.8], &[1.0, 1.0, 0.08]]);
    let policy = BalancePolicy { strategy: Strategy::Utilization, stickiness: None, ..bounded() };
    assert_eq!(reason(&world, &policy, 1, "r1"), RuledOut::NotWorthIt);
    assert!(explain(&world, &policy, 1).next[0].starts_with("when the new distribution, in which it is on r1, is worth it"));
}

#[test]
fn what_has_no_owner_says_what_it_waits_for() {
    let mut world = world(&[&[1.0], &[1.0]]);
    world.loads.push(load(7, "http_check", 0.1));
    for runner in &mut world.runners {
        runner.facts.compatibility.exclude.insert("http_check".to_owned());
    }
    let explained = explain(&world, &bounded(), 2);
    assert_eq!((explained.node, explained.dangling), (None, Some(DanglingReason::NoEligibleNode)));
    assert!(explained.candidates.iter().all(|candidate| candidate.ruled_out == Some(RuledOut::NotDeclared)));
    assert_eq!(explained.next, ["when a node registers, or becomes free, that may run it"]);
}

#[test]
fn what_is_quarantined_says_for_whom() {
    let mut world = world(&[&[1.0], &[1.0]]);
    world.loads.push(load(0xab, "http_check", 0.1));
    world.loads[2].held = Some(Held::Quarantined);
    let mut served = served(&world);
    let quarantine = Quarantine { since_unix_nanos: 1, until_unix_nanos: 2, killed: vec!["r8".into(), "r9".into()] };
    let quarantined = [(ConfigKey(0xab), quarantine.clone())].into();
    served.constraints = Arc::new(Constraints { quarantined, ..Constraints::default() });
    let (policy, plan) = (bounded(), plan(&world, &bounded()));
    let evidence = Evidence { world: &world, policy: &policy, plan: &plan, served: &served };
    let explained = explain_check(evidence, ConfigKey(0xab), Vec::new()).unwrap();
    assert_eq!(explained.quarantine, Some(quarantine));
    assert!(explained.candidates.iter().all(|candidate| candidate.ruled_out == Some(RuledOut::Held { held: Held::Quarantined })));
    assert_eq!(explained.next, ["when its quarantine ends, by itself or with: muster clusterchecks release ab (it was on r8, r9)"]);
}

#[test]
fn what_is_on_its_way_says_who_is_waited_for() {
    let mut world = world(&[&[1.0], &[1.0]]);
    world.loads[0].held = Some(Held::Moving);
    world.loads[0].owner = Some(1);
    let mut served = served(&world);
    let transfer =
        Transfer { from: "r0".into(), to: Some("r1".into()), waits_for: Confirmation::Stopped, stamp: crate::domain::ids::Stamp(5) };
    served.moving.push(Moving { config: named_config(0, "http_check"), transfer: transfer.clone() });
    let (policy, plan) = (bounded(), plan(&world, &bounded()));
    let evidence = Evidence { world: &world, policy: &policy, plan: &plan, served: &served };
    let explained = explain_check(evidence, ConfigKey(0), Vec::new()).unwrap();
    assert_eq!((explained.node, explained.transfer), (Some("r1".into()), Some(transfer)));
    assert_eq!(explained.next[0], "when r0 has confirmed that it stopped, or is lost: then r1 gets it");
}

#[test]
fn it_came_with_the_last_decision_that_brought_it() {
    let world = world(&[&[1.0], &[1.0]]);
    let (policy, plan, served) = (bounded(), plan(&world, &bounded()), served(&world));
    let evidence = Evidence { world: &world, policy: &policy, plan: &plan, served: &served };
    let history = vec![decision(9, 0, Some("r0"), Some("r0")), decision(7, 0, Some("r1"), Some("r0")), decision(3, 0, None, Some("r0"))];
    let explained = explain_check(evidence, ConfigKey(0), history.clone()).unwrap();
    assert_eq!(explained.since_unix_nanos, Some(7_000));
    assert_eq!(explained.history, history[1..], "an update is no change of place");
    assert!(explain_check(evidence, ConfigKey(99), Vec::new()).is_none());

    let figures = Figures {
        runners: [("r0".into(), RunnerFigures { collected_at: Some(Duration::from_secs(40)), ..RunnerFigures::default() })].into(),
        ..Figures::default()
    };
    let explained = explain_node(evidence, &figures, Duration::from_secs(100), &"r0".into(), history).unwrap();
    assert_eq!(explained.configs[0].since_unix_nanos, Some(7_000));
    assert_eq!((explained.figures_age_seconds, explained.history.len()), (Some(60.0), 2));
    assert!(explain_node(evidence, &figures, Duration::ZERO, &"r9".into(), Vec::new()).is_none());
}

#[test]
fn a_node_shows_its_configs_by_need_and_what_concerns_it() {
    let mut world = world(&[&[0.2, 1.0, 1.0], &[0.1]]);
    world.runners[0].workers_known = false;
    let mut leaving = world.clone();
    let (policy, plan, served) = (bounded(), plan(&world, &bounded()), served(&world));
    let evidence = Evidence { world: &world, policy: &policy, plan: &plan, served: &served };
    let explained = explain_node(evidence, &Figures::default(), Duration::ZERO, &"r0".into(), Vec::new()).unwrap();
    assert_eq!(explained.configs.iter().map(|config| config.digest.0).collect::<Vec<_>>(), [1, 2, 0]);
    assert!(explained.configs[0].check_id.is_some());
    assert_eq!(explained.planned, [("http_check".to_owned(), "r0".into(), "r1".into())]);
    assert_eq!(
        explained.remarks,
        [
            "did not tell its workers: counts with 4".to_owned(),
            "0.26 above the mean of 0.29, which is more than the band of 0.02".to_owned()
        ]
    );
    leaving.runners[1].presence = Presence::Draining;
    leaving.runners[1].isolated_for = Some(ConfigKey(3));
    let evidence = Evidence { world: &leaving, ..evidence };
    let explained = explain_node(evidence, &Figures::default(), Duration::ZERO, &"r1".into(), Vec::new()).unwrap();
    assert_eq!(explained.remarks.len(), 2, "{:?}", explained.remarks);
}

#[derive(Clone, Debug)]
struct Drawn {
    runners: Vec<(u8, u8, u8, u8)>,
    loads: Vec<(u16, u8, u8, Index)>,
    isolated: Option<(Index, Index)>,
    budget: usize,
    spent: usize,
    strategy: Strategy,
}

fn drawn() -> impl proptest::strategy::Strategy<Value = Drawn> {
    (
        vec((0_u8..8, 0_u8..12, 0_u8..8, 0_u8..4), 1..6),
        vec((0_u16..60, 0_u8..16, 0_u8..8, any::<Index>()), 0..24),
        proptest::option::weighted(0.2, (any::<Index>(), any::<Index>())),
        0_usize..6,
        0_usize..3,
        select(vec![Strategy::Bounded, Strategy::Bounded, Strategy::Utilization, Strategy::Busyness, Strategy::Off]),
    )
        .prop_map(|(runners, loads, isolated, budget, spent, strategy)| Drawn { runners, loads, isolated, budget, spent, strategy })
}

fn world_of(drawn: &Drawn) -> World {
    let mut runners = Vec::new();
    for (number, (workers, presence, declared, grants)) in drawn.runners.iter().enumerate() {
        let mut one = runner(&format!("r{number}"), [4.0, 4.0, 4.0, 4.0, 4.0, 8.0, 2.0, 0.0][usize::from(*workers)]);
        one.presence = if *presence == 0 { Presence::Draining } else { Presence::Staying };
        let names = |name: &str| [name.to_owned()].into();
        one.facts = NodeFacts {
            compatibility: match declared {
                0 => CheckCompatibility { include: names("http_check"), ..CheckCompatibility::default() },
                1 => CheckCompatibility { exclude: names("cpu"), ..CheckCompatibility::default() },
                _ => CheckCompatibility::default(),
            },
            honours_grants: *grants > 0,
            ..NodeFacts::default()
        };
        runners.push(one);
    }
    let mut loads = Vec::new();
    for (number, (need, held, kind, owner)) in drawn.loads.iter().enumerate() {
        let owner = (*held != 15).then(|| owner.index(runners.len()));
        let plain = load(number as u64, "http_check", f64::from(*need) / 20.0);
        let mut one = Load { owner, weight: Some(i64::from(*need) * 50), ..plain };
        one.check_name = ["http_check", "http_check", "http_check", "tls", "tls", "cpu", "http_check", "tls"][usize::from(*kind)].into();
        if *kind >= 6 {
            one.handover = Handover::AtMostOnce;
        }
        one.held = match held {
            0 => Some(Held::NeverMoved),
            1 => Some(Held::CoolingDown),
            2 => Some(Held::NeedUnknown),
            3 => Some(Held::Pinned),
            4 if owner.is_some() => Some(Held::Moving),
            _ => None,
        };
        match (one.held, one.owner) {
            (Some(Held::NeedUnknown), _) => (one.need, one.measured, one.weight, one.incomplete) = (None, None, None, true),
            (Some(Held::Pinned), Some(owner)) => one.pinned_to = Some(runners[owner].name.clone()),
            _ => {}
        }
        if let Some(owner) = owner {
            runners[owner].busyness += one.weight.unwrap_or(0);
        }
        loads.push(one);
    }
    if let Some((isolated, config)) = &drawn.isolated
        && !loads.is_empty()
    {
        let config: &mut Load = &mut loads[config.index(drawn.loads.len())];
        let runner = isolated.index(runners.len());
        if config.owner == Some(runner) {
            config.held = Some(Held::Isolated);
            runners[runner].isolated_for = Some(config.key);
        }
    }
    World { runners, loads, spent: drawn.spent, ..World::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_reason_is_the_one_that_the_planner_has(drawn in drawn(), sticky in any::<bool>()) {
        let world = world_of(&drawn);
        let stickiness = sticky.then(Stickiness::default);
        let policy = BalancePolicy {
            strategy: drawn.strategy, budget_min: drawn.budget, budget_percent: 0.0, stickiness, ..BalancePolicy::default()
        };
        let made = plan(&world, &policy);
        let unlimited = plan(&world, &BalancePolicy { budget_min: usize::MAX, ..policy.clone() });
        let destination = |plan: &Plan, load: &Load| plan.moves.iter().find(|planned| planned.key == load.key).map(|planned| planned.to.clone());
        let for_balance = made.moves.iter().filter(|planned| planned.gain > 0.0).count();
        // What the reasons would be if the plan had not been asked.
        let mut unasked = made.clone();
        unasked.moves.retain(|planned| planned.gain == 0.0 && drawn.strategy == Strategy::Bounded);
        let first = made.moves.iter().find(|planned| planned.gain > 0.0 || drawn.strategy == Strategy::Utilization);

        for load in &world.loads {
            let reasons = Reasons::new(&world, &policy, &made, load);
            let before_asking = Reasons::new(&world, &policy, &unasked, load);
            for (index, runner) in world.runners.iter().enumerate().filter(|(index, _)| load.owner != Some(*index)) {
                let reason = reasons.against(index);
                let planned = destination(&made, load).as_ref() == Some(&runner.name);
                prop_assert_eq!(reason == RuledOut::Planned, planned);
                match &reason {
                    RuledOut::NoGain => prop_assert!(reasons.gain(index).unwrap() <= 0.0),
                    // The budget may be used up by what leaves runners without workers.
                    RuledOut::InsideBand => {
                        prop_assert!(for_balance == 0 && matches!(made.stopped, Stopped::InsideBand | Stopped::BudgetUsedUp));
                    }
                    RuledOut::BudgetUsedUp => prop_assert_eq!(made.stopped, Stopped::BudgetUsedUp),
                    RuledOut::OwnerNotAboveMean | RuledOut::NotBelowMean => prop_assert!(reasons.gain(index).unwrap() > 0.0),
                    RuledOut::OthersFirst => prop_assert!(!unlimited.moves.is_empty(), "{:?}", made),
                    RuledOut::GoesElsewhere { node } => prop_assert_eq!(Some(node.clone()), destination(&made, load)),
                    RuledOut::NotWorthIt => prop_assert_eq!(made.stopped, Stopped::NotWorthIt),
                    RuledOut::Off => prop_assert_eq!(made.stopped, Stopped::Off),
                    RuledOut::NotYet => prop_assert!(
                        load.owner.is_none_or(|owner| !world.runners[owner].presence.is_staying()) || runner.isolated_for == Some(load.key)
                    ),
                    _ => {}
                }
                let next = destination(&unlimited, load).as_ref() == Some(&runner.name) && !planned;
                if next && drawn.strategy == Strategy::Bounded && destination(&made, load).is_none() {
                    // Another config of a check that an agent runs only once may have to leave first.
                    prop_assert!(matches!(reason, RuledOut::BudgetUsedUp | RuledOut::HasOne), "{:?}", reason);
                }
                // Where the planner found its first move, no condition fails.
                if planned && first.is_some_and(|first| first.key == load.key) {
                    let expected: &[RuledOut] = match drawn.strategy {
                        Strategy::Bounded => &[RuledOut::OthersFirst, RuledOut::BudgetUsedUp],
                        _ => &[RuledOut::NotWorthIt],
                    };
                    let pinned = load.held == Some(Held::Pinned) || load.owner.is_some_and(|owner| world.runners[owner].isolated_for.is_some());
                    prop_assert!(pinned || expected.contains(&before_asking.against(index)), "{:?}", before_asking.against(index));
                }
                if planned && drawn.strategy == Strategy::Busyness && load.owner.is_some_and(|owner| world.runners[owner].isolated_for.is_none()) {
                    prop_assert_eq!(before_asking.against(index), RuledOut::NotChosen);
                }
            }
        }
    }
}

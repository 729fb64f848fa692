//! Balancing by the production actors, in virtual time: when somebody looks, what is carried out, and what lasts.

#![expect(clippy::expect_used, reason = "tests panic")]

#[expect(dead_code, reason = "the tests of the dispatcher need more of it")]
mod cluster;
#[path = "rebalancer/lone.rs"]
mod lone;
#[path = "rebalancer/pool.rs"]
mod pool;

use std::collections::BTreeSet;
use std::time::Duration;

use muster_actors::balance::plan::Stopped;
use muster_actors::balance::policy::{BalancePolicy, Strategy};
use muster_actors::domain::ids::NodeName;
use muster_actors::domain::journal::Cause;
use muster_actors::domain::ledger::BUDGET_WINDOW;
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::world::{DanglingReason, NodeKind};
use muster_actors::kernel::universe;
use muster_actors::messages::rebalancer::{Approve, Demand, ExplainCheck, ExplainNode, Isolate, Outcome, PendingPlan, Refusal};

use cluster::{Cluster, instance};
use pool::Pool;

fn policy() -> BalancePolicy {
    BalancePolicy::default()
}

fn numbers(range: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    range.into_iter().collect()
}

/// Four checks of one worker each on `r1`, and nothing on `r2`.
async fn uneven(universe: &universe::Universe, balance: BalancePolicy) -> Pool {
    let pool = Pool::start(universe, &["r1", "r2"], balance).await;
    pool.find(&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]).await;
    pool.put("r1", &[1, 2, 3, 4]).await;
    pool.pass(70).await;
    assert_eq!((pool.set("r1").len(), pool.set("r2").len()), (4, 0));
    pool
}

#[test]
fn thirty_seconds_after_a_runner_joined_it_gets_its_share() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1"], policy()).await;
        pool.find(&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]).await;
        pool.pass(70).await;
        pool.join("r2").await;
        pool.pass(28).await;
        assert_eq!(pool.set("r2").len(), 0);
        pool.pass(5).await;
        assert_eq!((pool.set("r1").len(), pool.set("r2").len()), (2, 2));
        assert_eq!(pool.cluster.served().counters.moves.get(&Cause::Rebalanced), Some(&2));
        pool.pass(700).await;
        assert_eq!(pool.cluster.served().counters.moves.get(&Cause::Rebalanced), Some(&2), "and nothing moves after that");
    });
}

#[test]
fn every_ten_minutes_somebody_looks() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        pool.pass(450).await;
        assert_eq!(pool.set("r2").len(), 0, "570 s after the beginning");
        pool.pass(60).await;
        assert_eq!(pool.set("r2").len(), 2);
    });
}

#[test]
fn a_manual_rebalance_acts_at_once_and_a_second_one_has_nothing_to_do() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        let done = pool.rebalance().await.expect("it leads");
        assert_eq!((done.outcome, done.plan.moves.len()), (Outcome::Applied, 2));
        assert_eq!((pool.set("r1").len(), pool.set("r2").len()), (2, 2));
        let again = pool.rebalance().await.expect("it leads");
        assert_eq!((again.outcome, again.plan.stopped), (Outcome::Nothing, Stopped::InsideBand));
    });
}

#[test]
fn a_dry_run_changes_nothing() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        let stamps = pool.stamps();
        let shown = pool.evaluate(false, true).await.expect("it leads");
        assert_eq!((shown.outcome, shown.plan.moves.len()), (Outcome::DryRun, 2));
        pool.pass(10).await;
        assert_eq!(pool.stamps(), stamps);
        assert_eq!(pool.cluster.rebalancer(PendingPlan).await, None);
    });
}

#[test]
fn a_runner_that_hangs_keeps_a_rebalance_from_its_answer_for_two_seconds_at_most() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        pool.pass(61).await;
        pool.cluster.runners.slow("ip-r1", Duration::from_secs(3600));
        let before = universe.clock().monotonic();
        let done = pool.rebalance().await.expect("it leads");
        assert_eq!(done.outcome, Outcome::Applied, "with the figures of before");
        assert!(universe.clock().monotonic() <= before + Duration::from_millis(3100));
    });
}

#[test]
fn cc_t32_a_node_agent_switches_balancing_off() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        pool.beat("agent", NodeKind::NodeAgent, CheckCompatibility::default()).await;
        universe.settle().await;
        let refusal = pool.rebalance().await.expect_err("it is off");
        assert_eq!(refusal, Refusal::AdvancedDispatchingOff);
        assert_eq!(refusal.to_string(), "no checks to rebalance: advanced dispatching is not enabled");
        pool.pass(95).await;
        assert!(pool.rebalance().await.is_ok(), "on again 60 s after the agent is gone");
    });
}

#[test]
fn who_does_not_lead_or_warms_up_refuses() {
    universe::run(1, |universe| async move {
        for cluster in [Cluster::without_leader(&universe).await, Cluster::start(&universe).await] {
            let refused = cluster.rebalancer(Isolate { check: "x".to_owned() }).await;
            assert_eq!(refused, Err(Refusal::NotDispatching));
            let demand = Demand::Unpin { check: "x".to_owned() };
            let refused = cluster.rebalancer(muster_actors::messages::rebalancer::Command { demand }).await;
            assert_eq!(refused, Err(Refusal::NotDispatching));
        }
    });
}

#[test]
fn with_strategy_off_nobody_looks_and_a_manual_rebalance_says_so() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, BalancePolicy { strategy: Strategy::Off, ..policy() }).await;
        pool.pass(1300).await;
        assert_eq!(pool.set("r2").len(), 0);
        let done = pool.rebalance().await.expect("it leads");
        assert_eq!((done.outcome, done.plan.stopped), (Outcome::Nothing, Stopped::Off));
    });
}

#[test]
fn a_plan_that_nobody_asked_for_waits_for_approval_under_its_number() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, BalancePolicy { approval: true, ..policy() }).await;
        pool.pass(510).await;
        assert_eq!(pool.set("r2").len(), 0);
        let (number, plan) = pool.cluster.rebalancer(PendingPlan).await.expect("one waits");
        assert_eq!((number, plan.moves.len()), (1, 2));
        assert_eq!(pool.cluster.rebalancer(Approve { number: 7 }).await, Err(Refusal::NoSuchPlan(7)));
        pool.pass(620).await;
        let same = pool.cluster.rebalancer(PendingPlan).await.expect("one waits");
        assert_eq!(same.0, 1, "the same moves under the same number");
        let done = pool.cluster.rebalancer(Approve { number: 1 }).await.expect("it waits");
        assert_eq!(done.outcome, Outcome::Applied);
        universe.settle().await;
        assert_eq!(pool.set("r2").len(), 2);
        assert_eq!(pool.cluster.rebalancer(Approve { number: 1 }).await, Err(Refusal::NoSuchPlan(1)));
    });
}

#[test]
fn a_plan_that_would_be_another_one_by_now_is_shown_again_instead_of_carried_out() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, BalancePolicy { approval: true, ..policy() }).await;
        pool.pass(510).await;
        // A change that leads to the same moves.
        pool.find(&[(9, 0.0)]).await;
        pool.put("r1", &[9]).await;
        pool.put("r2", &[1]).await;
        let waits = pool.cluster.rebalancer(Approve { number: 1 }).await.expect("it leads");
        assert_eq!((waits.outcome, waits.plan.moves.len()), (Outcome::AwaitsApproval(2), 1));
        universe.settle().await;
        assert_eq!(pool.set("r2"), numbers([1]));
        let done = pool.cluster.rebalancer(Approve { number: 2 }).await.expect("it waits");
        assert_eq!(done.outcome, Outcome::Applied);
    });
}

#[test]
fn a_rebalance_that_somebody_asks_for_needs_no_approval() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, BalancePolicy { approval: true, ..policy() }).await;
        pool.pass(510).await;
        assert_eq!(pool.rebalance().await.expect("it leads").outcome, Outcome::Applied);
        assert_eq!(pool.cluster.rebalancer(PendingPlan).await, None, "what waited is out of date");
    });
}

#[test]
fn cc_t55_the_budget_holds_over_ten_minutes_also_after_a_restart_and_force_ignores_it() {
    universe::run(1, |universe| async move {
        let mut pool = Pool::start(&universe, &["r1", "r2"], policy()).await;
        let needs: Vec<(u32, f64)> = (0..31).map(|number| (number, 0.05)).collect();
        pool.find(&needs).await;
        pool.put("r1", &(0..31).collect::<Vec<_>>()).await;
        pool.pass(70).await;
        let done = pool.rebalance().await.expect("it leads");
        assert_eq!((done.plan.moves.len(), done.plan.budget, done.plan.stopped), (5, Some(5), Stopped::BudgetUsedUp));
        let again = pool.rebalance().await.expect("it leads");
        assert_eq!((again.outcome, again.plan.spent), (Outcome::Nothing, 5));
        pool.pass(5).await;
        pool = pool.restarted(&universe).await;
        let after = pool.rebalance().await.expect("it leads");
        assert_eq!((after.outcome, after.plan.spent), (Outcome::Nothing, 5), "the ledger is saved");
        assert_eq!(pool.set("r2").len(), 5);
        let forced = pool.evaluate(true, false).await.expect("it leads");
        assert!(forced.plan.moves.len() > 5, "{}", forced.plan.moves.len());
        pool.pass(BUDGET_WINDOW.as_secs()).await;
        assert_eq!(pool.evaluate(false, true).await.expect("it leads").plan.spent, 0);
    });
}

#[test]
fn cc_t56_orphans_go_where_there_is_room_by_figures_and_nothing_else_moves() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1", "r2", "r3"], policy()).await;
        pool.find(&[(1, 0.9), (2, 0.3), (3, 0.6), (4, 0.1)]).await;
        pool.put("r1", &[1, 2]).await;
        pool.put("r2", &[3]).await;
        pool.put("r3", &[4]).await;
        pool.pass(65).await;
        pool.dies("r1");
        pool.pass(35).await;
        assert_eq!((pool.set("r2"), pool.set("r3")), (numbers([2, 3]), numbers([1, 4])));
        let stamps = pool.stamps();
        pool.pass(60).await;
        assert_eq!(pool.stamps(), stamps);
    });
}

#[test]
fn an_isolation_holds_against_new_configs_and_rebalances_until_a_forced_one() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1", "r2", "r3"], policy()).await;
        pool.find(&[(1, 1.0), (2, 0.4), (3, 0.2), (4, 0.3), (5, 0.1)]).await;
        pool.put("r1", &[1, 2, 3]).await;
        pool.put("r2", &[4]).await;
        pool.put("r3", &[5]).await;
        pool.pass(65).await;
        let done = pool.cluster.rebalancer(Isolate { check: pool.id(1) }).await.expect("it leads");
        assert_eq!((done.node.as_ref().map(NodeName::as_str), done.reason.as_str(), done.moved), (Some("r1"), "", 2));
        universe.settle().await;
        assert_eq!(pool.set("r1"), numbers([1]));
        pool.find(&(10..30).map(|number| (number, 0.3)).collect::<Vec<_>>()).await;
        pool.pass(1300).await;
        assert!(pool.rebalance().await.is_ok());
        assert_eq!(pool.set("r1"), numbers([1]), "25 checks on the two others");
        let would = pool.evaluate(true, true).await.expect("it leads");
        assert!(!would.plan.moves.is_empty());
        assert_eq!(pool.cluster.served().constraints.isolated.len(), 1, "a dry run ends nothing");
        assert!(pool.evaluate(true, false).await.is_ok());
        assert!(pool.cluster.served().constraints.isolated.is_empty());
        assert!(pool.set("r1").len() > 1);
    });
}

#[test]
fn an_isolation_ends_with_its_runner_and_by_command() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1", "r2", "r3"], policy()).await;
        pool.find(&[(1, 1.0), (2, 0.4)]).await;
        pool.put("r1", &[1, 2]).await;
        pool.pass(65).await;
        assert!(pool.cluster.rebalancer(Isolate { check: pool.id(1) }).await.expect("it leads").node.is_some());
        universe.settle().await;
        pool.command(Demand::EndIsolation { check: "r1".to_owned() }).await.expect("it is isolated");
        universe.settle().await;
        assert!(pool.cluster.served().constraints.is_empty());
        assert!(pool.cluster.rebalancer(Isolate { check: pool.id(1) }).await.expect("it leads").node.is_some());
        pool.dies("r1");
        pool.pass(35).await;
        assert!(pool.cluster.served().constraints.is_empty());
        assert_eq!(pool.set("r2").len() + pool.set("r3").len(), 2);
    });
}

#[test]
fn the_only_runner_cannot_be_cleared_and_a_check_that_is_nowhere_not_isolated() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1"], policy()).await;
        pool.find(&[(1, 1.0), (2, 0.4)]).await;
        let alone = pool.cluster.rebalancer(Isolate { check: pool.id(1) }).await.expect("it leads");
        assert_eq!((alone.node, alone.reason.as_str()), (None, "No other runners available"));
        pool.join("r2").await;
        let unknown = pool.cluster.rebalancer(Isolate { check: "http_check:nothing".to_owned() }).await.expect("it leads");
        assert_eq!((unknown.node, unknown.reason.as_str()), (None, "Unable to find check"));
    });
}

#[test]
fn a_pinned_check_goes_to_its_node_stays_there_and_comes_back_with_it() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        let pinned = pool.pin(1, "r2").await.expect("it can be pinned");
        assert_eq!(pinned.moved, 1);
        assert!(pinned.check.starts_with("http_check (http_check:c1:"), "{}", pinned.check);
        universe.settle().await;
        assert_eq!(pool.set("r2"), numbers([1]));
        for _ in 0..3 {
            pool.evaluate(true, false).await.expect("it leads");
            assert!(pool.set("r2").contains(&1));
        }
        pool.dies("r2");
        pool.pass(35).await;
        assert!(pool.set("r1").contains(&1), "better there than nowhere");
        pool.join("r2").await;
        assert!(pool.set("r2").contains(&1), "in the same turn");
        pool.command(Demand::Unpin { check: pool.id(1) }).await.expect("it is pinned");
        universe.settle().await;
        assert!(pool.cluster.served().constraints.is_empty());
        assert!(pool.set("r2").contains(&1), "nothing moves because of that");
    });
}

#[test]
fn a_pin_ends_with_its_config() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        pool.pin(1, "r2").await.expect("it can be pinned");
        pool.cluster.lose(&[&instance(1)]).await;
        assert!(pool.cluster.served().constraints.is_empty());
    });
}

#[test]
fn what_contradicts_what_is_known_is_refused_with_the_reason() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        let picky = CheckCompatibility { exclude: ["http_check".to_owned()].into(), ..CheckCompatibility::default() };
        pool.beat("picky", NodeKind::Runner, picky).await;
        universe.settle().await;
        let demand = |check: &str, node: &str| Demand::Pin { check: check.to_owned(), node: node.to_owned() };
        let id = pool.id(1);
        let refused = |demand: Demand| {
            let pool = &pool;
            async move { pool.command(demand).await.expect_err("it is refused") }
        };
        assert_eq!(refused(demand("nothing", "r1")).await, Refusal::UnknownCheck("nothing".to_owned()));
        assert_eq!(refused(demand(&id, "r9")).await, Refusal::UnknownNode("r9".to_owned()));
        let ambiguous = refused(demand("http_check", "r1")).await;
        assert!(
            matches!(&ambiguous, Refusal::Ambiguous { name, of } if name == "http_check" && of.matches(", ").count() == 3),
            "{ambiguous}"
        );
        let impossible = refused(demand(&id, "picky")).await.to_string();
        assert!(impossible.ends_with("cannot be pinned to picky: it declares that it does not run http_check"), "{impossible}");
        let not_pinned = refused(Demand::Unpin { check: id.clone() }).await.to_string();
        assert!(not_pinned.starts_with("nothing to take back: http_check (") && not_pinned.ends_with(") is not pinned"), "{not_pinned}");
        let not_isolated = refused(Demand::EndIsolation { check: "r1".to_owned() }).await;
        assert_eq!(not_isolated, Refusal::NotInForce("no check is isolated on r1".to_owned()));
        let not_held = refused(Demand::Release { check: id }).await.to_string();
        assert!(not_held.ends_with("is not in quarantine"), "{not_held}");
    });
}

#[test]
fn a_check_is_found_by_digest_and_by_a_name_that_only_one_has() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1", "r2"], policy()).await;
        pool.find(&[(1, 1.0)]).await;
        let served = pool.cluster.served();
        let digest = served.nodes["r1"].view.configs[0].digest;
        for check in [digest.to_string(), format!("{:016x}", digest.0), "http_check".to_owned()] {
            let pinned = pool.command(Demand::Pin { check, node: "r2".to_owned() }).await.expect("it is known");
            universe.settle().await;
            pool.command(Demand::Unpin { check: "http_check".to_owned() }).await.expect("it is pinned");
            universe.settle().await;
            assert!(pinned.check.starts_with("http_check ("));
        }
    });
}

#[test]
fn a_check_and_a_node_are_explained_with_their_history_and_the_next_plan() {
    universe::run(1, |universe| async move {
        let pool = uneven(&universe, policy()).await;
        let explained = pool.cluster.rebalancer(ExplainCheck { check: pool.id(1) }).await.expect("it is known");
        assert_eq!((explained.node.as_ref().map(NodeName::as_str), explained.need), (Some("r1"), Some(1.0)));
        assert_eq!(explained.candidates.len(), 2);
        assert!(explained.since_unix_nanos.is_some() && !explained.history.is_empty());
        let node = pool.cluster.rebalancer(ExplainNode { node: "r1".to_owned() }).await.expect("it is known");
        assert_eq!((node.utilization, node.configs.len(), node.planned.len()), (1.0, 4, 2));
        assert!(!node.history.is_empty());
        let unknown = pool.cluster.rebalancer(ExplainNode { node: "r9".to_owned() }).await;
        assert_eq!(unknown.map(|_| ()), Err(Refusal::UnknownNode("r9".to_owned())));
    });
}

#[test]
fn nothing_is_placed_on_the_runner_of_an_isolated_check_even_if_it_has_to_wait() {
    universe::run(1, |universe| async move {
        let pool = Pool::start(&universe, &["r1", "r2"], policy()).await;
        pool.find(&[(1, 1.0), (2, 0.4)]).await;
        pool.put("r1", &[1]).await;
        pool.put("r2", &[2]).await;
        assert!(pool.cluster.rebalancer(Isolate { check: pool.id(1) }).await.expect("it leads").node.is_some());
        pool.dies("r2");
        pool.pass(35).await;
        let served = pool.cluster.served();
        assert_eq!(served.dangling.iter().map(|dangling| dangling.reason).collect::<Vec<_>>(), [DanglingReason::NoEligibleNode]);
        pool.command(Demand::EndIsolation { check: pool.id(1) }).await.expect("it is isolated");
        universe.settle().await;
        assert_eq!(pool.set("r1"), numbers([1, 2]), "in the same turn");
    });
}

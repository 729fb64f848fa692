//! Demands on placement, and what balancing has spent, when leaders die.

use std::time::Duration;

use muster_actors::domain::constraints::ConstraintChange;
use muster_actors::domain::ids::{ConfigKey, Seq};
use muster_actors::domain::ledger::BUDGET_WINDOW;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::{PlanReply, PlannedMove};

use crate::replicas::Replicas;

/// The first config of a node, as the leader shows it.
fn first_of(replicas: &Replicas, node: &str) -> ConfigKey {
    replicas.shown("r1")[node].1[0]
}

fn spent(replicas: &Replicas, name: &str, universe: &Universe) -> usize {
    replicas.served(name).ledger.spent(universe.clock().unix_nanos(), BUDGET_WINDOW)
}

#[test]
fn isolation_pin_and_spent_moves_survive_leaders() {
    universe::run(31, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let (isolated, pinned) = (first_of(&replicas, "n1"), first_of(&replicas, "n2"));
        let others = replicas.shown("r1")["n1"].1.clone().into_iter().filter(|key| *key != isolated);
        let moves: Vec<_> = others.map(|key| PlannedMove { key, from: "n1".into(), to: "n3".into() }).collect();
        let made = moves.len();
        let isolate = ConstraintChange::Isolate { node: "n1".into(), key: isolated };
        let pin = ConstraintChange::Pin { key: pinned, node: "n3".into() };
        let reply = replicas.apply("r1", vec![isolate, pin], moves).await;
        assert!(
            matches!(reply, PlanReply::Applied { moves, .. } if moves == made + 1),
            "and the pinned one goes in the same change: {reply:?}"
        );
        let (before, demands) = (replicas.shown("r1"), replicas.served("r1").constraints.clone());
        assert_eq!((before["n1"].1.as_slice(), before["n3"].1.contains(&pinned)), (&[isolated][..], true));
        assert_eq!(spent(&replicas, "r1", &universe), made, "what is demanded costs no budget");

        replicas.kill("r1").await;
        replicas.lead("r2", 2).await;
        assert_eq!((replicas.shown("r2"), &replicas.served("r2").constraints), (before.clone(), &demands));
        assert_eq!(spent(&replicas, "r2", &universe), made, "the new leader has no budget of its own");

        // A leader later, a node that dies takes nothing to the isolated runner.
        replicas.kill("r2").await;
        replicas.start("r1");
        replicas.lead("r3", 3).await;
        replicas.keep_polling("r3", &["n1", "n3"], 40).await;
        let after = replicas.shown("r3");
        assert_eq!((after["n1"].1.as_slice(), after["n3"].1.len()), (&[isolated][..], 9));
        assert_eq!(replicas.served("r3").constraints, demands);
        universe.advance(BUDGET_WINDOW).await;
        assert_eq!(spent(&replicas, "r3", &universe), 0);
    });
}

#[test]
fn a_plan_of_the_leader_before_is_stale() {
    universe::run(32, |universe| async move {
        let mut replicas = Replicas::at_work(&universe).await;
        let key = first_of(&replicas, "n1");
        let generation = replicas.served("r1").shown;
        replicas.kill("r1").await;
        replicas.lead("r2", 2).await;
        let pin = || vec![ConstraintChange::Pin { key, node: "n2".into() }];
        assert!(matches!(replicas.apply_for("r2", 1, generation, pin()).await, PlanReply::Stale { .. }), "another epoch");
        assert!(matches!(replicas.apply_for("r2", 2, Seq(generation.0 - 1), pin()).await, PlanReply::Stale { .. }), "another change");
        assert!(replicas.served("r2").constraints.is_empty());
        assert_eq!(replicas.apply_for("r3", 2, generation, pin()).await, PlanReply::NotDispatching, "a follower");
        assert!(matches!(replicas.apply("r2", pin(), Vec::new()).await, PlanReply::Applied { moves: 1, .. }));
    });
}

#[test]
fn a_move_that_does_not_fit_the_table_makes_the_whole_plan_stale() {
    universe::run(33, |universe| async move {
        let replicas = Replicas::at_work(&universe).await;
        let before = replicas.shown("r1");
        let (one, other) = (first_of(&replicas, "n1"), first_of(&replicas, "n2"));
        let fits = PlannedMove { key: one, from: "n1".into(), to: "n2".into() };
        let isolate = || vec![ConstraintChange::Isolate { node: "n3".into(), key: first_of(&replicas, "n3") }];
        for (constraints, does_not) in [
            (Vec::new(), PlannedMove { key: other, from: "n1".into(), to: "n3".into() }),
            (Vec::new(), PlannedMove { key: other, from: "n2".into(), to: "n9".into() }),
            (isolate(), PlannedMove { key: other, from: "n2".into(), to: "n3".into() }),
        ] {
            let reply = replicas.apply("r1", constraints, vec![fits.clone(), does_not]).await;
            assert!(matches!(reply, PlanReply::Stale { .. }));
        }
        universe.advance(Duration::from_secs(1)).await;
        assert_eq!((replicas.shown("r1"), replicas.served("r1").constraints.is_empty()), (before, true));
    });
}

//! Changes of owner in the order that a config demands.

use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::succession::Succession;
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::handover::Transfer;
use muster_actors::domain::ids::NodeName;
use muster_actors::domain::journal::Cause;
use muster_actors::domain::world::DanglingReason;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::{Departure, LostNode, NodesChanged};
use muster_actors::testing::configs::discovered_with;

use crate::cluster::Cluster;
use crate::seconds;

fn demanding(handover: &str) -> Arc<CheckConfig> {
    discovered_with("http_check", "name: c1\nurl: http://127.0.0.1\n", handover)
}

/// Past the time in which grants of before may be in force, with the config on n1 and nothing on n2.
async fn placed(universe: &Universe, handover: &str) -> Cluster {
    let cluster = Cluster::active(universe, &["n1", "n2"]).await;
    cluster.keep_polling(&["n1", "n2"], seconds(35)).await;
    cluster.discover_all(&[demanding(handover)]).await;
    assert_eq!((cluster.set("n1").len(), cluster.set("n2").len()), (1, 0));
    cluster
}

impl Cluster {
    async fn departs(&self, node: &str) {
        let departing = vec![Departure { node: node.into(), succession: Succession::Nobody }];
        self.tell(NodesChanged { departing, ..NodesChanged::default() }).await;
    }

    fn transfer(&self) -> Option<Transfer> {
        self.served().moving.first().map(|moving| moving.transfer.clone())
    }

    /// An agent polls with the version that it was given.
    async fn confirm(&self, node: &str) {
        assert!(self.poll(node, self.stamp(node).0).await.up_to_date);
        self.keep_polling(&[], seconds(1)).await;
    }
}

#[test]
fn the_next_owner_waits_until_the_former_one_has_confirmed() {
    for handover in ["gap", "at_most_once"] {
        universe::run(1, |universe| async move {
            let cluster = placed(&universe, handover).await;
            let before = cluster.stamp("n1");
            cluster.departs("n1").await;
            assert_eq!((cluster.set("n1").len(), cluster.set("n2").len()), (0, 0));
            let transfer = cluster.transfer().expect("it is on its way");
            assert_eq!((transfer.from.as_str(), transfer.to.clone()), ("n1", Some("n2".into())));
            assert!(cluster.served().dangling.is_empty(), "it is not without a node");
            cluster.poll("n2", cluster.stamp("n2").0).await;
            assert!(!cluster.poll("n1", before.0).await.up_to_date);
            cluster.poll("n1", -1).await;
            cluster.poll("n1", 0).await;
            cluster.keep_polling(&["n1", "n2"], seconds(40)).await;
            assert!(cluster.set("n2").is_empty(), "{handover}");
            cluster.confirm("n1").await;
            assert_eq!((cluster.set("n2").len(), cluster.transfer()), (1, None));
            let journal = cluster.journal().await;
            assert_eq!(journal[0].cause, Cause::HandedOver);
            assert_eq!(journal.iter().filter(|decision| decision.is_move()).count(), 1, "it moved once");
        });
    }
}

#[test]
fn the_former_owner_keeps_it_until_the_next_one_has_confirmed() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "overlap").await;
        let before = cluster.stamp("n1");
        cluster.departs("n1").await;
        assert_eq!((cluster.set("n1").len(), cluster.set("n2").len()), (1, 1));
        assert!(cluster.poll("n1", before.0).await.up_to_date);
        cluster.keep_polling(&["n1", "n2"], seconds(20)).await;
        assert_eq!(cluster.set("n1").len(), 1);
        cluster.confirm("n2").await;
        assert_eq!((cluster.set("n1").len(), cluster.set("n2").len()), (0, 1));
        assert!(!cluster.poll("n1", before.0).await.up_to_date);
    });
}

#[test]
fn a_lost_owner_ends_a_gap_at_once_and_at_most_once_when_its_grant_is_over() {
    for (handover, at_once) in [("any", true), ("gap", true), ("overlap", true), ("at_most_once", false)] {
        universe::run(1, |universe| async move {
            let cluster = placed(&universe, handover).await;
            cluster.poll("n1", cluster.stamp("n1").0).await;
            universe.advance(Duration::from_secs(1)).await;
            let lost = LostNode { node: "n1".into(), silent_for: seconds(1), why: Cause::NodeDeleted, successor: None };
            cluster.tell(NodesChanged { lost: vec![lost], ..NodesChanged::default() }).await;
            assert_eq!(cluster.set("n2").len(), usize::from(at_once), "{handover}");
            cluster.keep_polling(&["n2"], seconds(29)).await;
            assert_eq!(cluster.set("n2").len(), usize::from(at_once), "{handover}");
            cluster.keep_polling(&["n2"], seconds(6)).await;
            assert_eq!(cluster.set("n2").len(), 1, "{handover}");
        });
    }
}

#[test]
fn an_owner_that_is_cut_off_and_comes_back_has_to_confirm() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "at_most_once").await;
        let before = cluster.stamp("n1");
        cluster.keep_polling(&["n2"], seconds(31)).await;
        assert!(cluster.transfer().is_some() && !cluster.served().nodes.contains_key(&NodeName::from("n1")));
        assert!(!cluster.poll("n1", before.0).await.up_to_date);
        assert!(!cluster.poll("n1", 0).await.up_to_date, "it gets a version that it can confirm");
        cluster.keep_polling(&["n1", "n2"], seconds(60)).await;
        assert!(cluster.set("n2").is_empty());
        cluster.confirm("n1").await;
        assert_eq!(cluster.set("n2").len(), 1);
    });
}

#[test]
fn a_transfer_outlives_its_leader_and_confirmations_are_learned_again() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "at_most_once").await;
        cluster.departs("n1").await;
        let cluster = cluster.kill_and_restart().await;
        let transfer = cluster.transfer().expect("it is on its way still");
        cluster.discover_all(&[demanding("at_most_once")]).await;
        assert_eq!(cluster.transfer(), Some(transfer));
        cluster.confirm("n1").await;
        assert!(cluster.set("n2").is_empty(), "grants of the term before may be in force");
        cluster.keep_polling(&["n1", "n2"], seconds(34)).await;
        assert_eq!(cluster.set("n2").len(), 1);
    });
}

#[test]
fn an_owner_that_was_lost_in_the_term_before_is_waited_for_from_the_begin_of_this_one() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "at_most_once").await;
        let lost = LostNode { node: "n1".into(), silent_for: seconds(20), why: Cause::NodeDeleted, successor: None };
        cluster.tell(NodesChanged { lost: vec![lost], ..NodesChanged::default() }).await;
        let cluster = cluster.kill_and_restart().await;
        cluster.discover_all(&[demanding("at_most_once")]).await;
        cluster.keep_polling(&["n2"], seconds(30)).await;
        assert!(cluster.set("n2").is_empty() && cluster.transfer().is_some());
        cluster.keep_polling(&["n2"], seconds(5)).await;
        assert_eq!(cluster.set("n2").len(), 1);
    });
}

#[test]
fn what_is_new_and_runs_at_most_once_waits_for_grants_of_before() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover_all(&[demanding("at_most_once")]).await;
        assert_eq!(cluster.served().dangling[0].reason, DanglingReason::GrantsUnknown);
        assert!(cluster.served().grants_withheld && !cluster.served().grants(), "it began with nothing");
        cluster.keep_polling(&["n1"], seconds(34)).await;
        assert_eq!(cluster.set("n1").len(), 1);
        assert!(cluster.served().grants());
    });
}

#[test]
fn what_vanishes_and_comes_back_goes_to_another_node_only_when_its_owner_has_stopped() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "at_most_once").await;
        let config = demanding("at_most_once");
        cluster.lose(&[&config]).await;
        cluster.departs("n1").await;
        cluster.discover(&[Arc::clone(&config)]).await;
        assert!(cluster.set("n2").is_empty() && cluster.transfer().is_some());
        cluster.confirm("n1").await;
        assert_eq!(cluster.set("n2").len(), 1);
    });
}

#[test]
fn an_unknown_order_rejects_its_config_and_no_other() {
    universe::run(1, |universe| async move {
        let cluster = placed(&universe, "gap").await;
        cluster.discover(&[discovered_with("http_check", "name: c2\n", "never")]).await;
        let served = cluster.served();
        assert_eq!(served.rejected.len(), 1);
        let reason = &served.rejected[0].reason;
        for part in ["init_config.muster_handover", "found never", "any, gap, overlap or at_most_once", "leave the key out"] {
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

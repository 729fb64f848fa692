//! Who forwards: the leader, as long as it leads.

use std::time::Duration;

use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::kernel::universe;
use muster_actors::messages::event_forwarder::Duty;
use muster_actors::messages::output::Fate;

use crate::rig::{Rig, START, one_by_one, watching};

#[test]
fn ca_c6_a_replica_that_does_not_lead_asks_for_nothing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make([1]);
        rig.advance(60).await;
        rig.replica.follow(1);
        rig.advance(60).await;
        // A validity that is over.
        let expired =
            Leadership { role: Role::Leader, epoch: Epoch(2), valid_until: Some(Duration::from_secs(1)), ..Leadership::default() };
        rig.replica.leadership.publish(expired);
        rig.advance(60).await;
        assert_eq!((rig.source.take_calls().len(), rig.tokens.loads(), rig.tokens.stored()), (0, 0, None));
        assert_eq!((rig.stats().duty, rig.stats().rounds), (Duty::Standby, 0));
        assert!(rig.stats().complaints.is_empty());
    });
}

#[test]
fn a_round_that_loses_leadership_while_outputs_work_saves_nothing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.let_be(None);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.replica.follow(2);
        rig.advance(2).await;
        rig.settle(Fate::Safe);
        rig.advance(10).await;
        assert_eq!((rig.tokens.saved().len(), rig.stats().duty, rig.stats().in_flight), (0, Duty::Standby, false));
        rig.let_be(Some(Fate::Safe));
        rig.replica.lead(3);
        rig.advance(4).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["2".to_owned(); 2], "2"));
    });
}

#[test]
fn what_is_safe_before_the_loss_is_noticed_is_not_stored_but_remembered() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.let_be(None);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.replica.follow(2);
        rig.settle(Fate::Safe);
        rig.advance(10).await;
        assert_eq!((rig.tokens.saved().len(), rig.stored().unwrap().0.as_str()), (0, "1"));
        rig.replica.lead(3);
        rig.advance(4).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["2".to_owned()], "2"));
    });
}

#[test]
fn a_round_that_loses_leadership_while_it_saves_saves_nothing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        rig.advance(1).await;
        // The token is read by now, and will be saved slowly.
        rig.tokens.slow(Duration::from_millis(500));
        rig.universe.advance(Duration::from_millis(1_300)).await;
        assert_eq!(rig.texts().len(), 1);
        rig.replica.follow(2);
        rig.advance(10).await;
        assert_eq!((rig.tokens.saved().len(), rig.stored().unwrap().0.as_str()), (0, "1"));
    });
}

#[test]
fn a_round_that_loses_leadership_while_it_reads_sends_nothing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START - 301);
        rig.make([2]);
        rig.source.slow(Duration::from_millis(300));
        rig.replica.lead(1);
        rig.universe.advance(Duration::from_millis(100)).await;
        rig.replica.follow(2);
        rig.advance(30).await;
        assert_eq!((rig.source.take_calls(), rig.texts().len()), (vec!["list".to_owned()], 0));
    });
}

#[test]
fn a_stock_replica_takes_over_between_two_rounds_and_gives_back() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.replica.follow(2);
        rig.advance(4).await;
        rig.make([150, 210]);
        rig.tokens.put("200", START);
        rig.replica.lead(3);
        rig.advance(4).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["2".to_owned(), "210".to_owned()], "210"));
    });
}

#[test]
fn what_somebody_else_stored_counts_more_than_what_could_not_be_saved() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.tokens.fail_saves(true);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.tokens.put("5", START);
        rig.make([4, 6]);
        rig.tokens.fail_saves(false);
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["2".to_owned(), "6".to_owned()], "6"));
    });
}

#[test]
fn another_term_begins_with_a_round_at_once() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.replica.lead(1);
        rig.advance(5).await;
        rig.replica.lead(2);
        rig.advance(2).await;
        assert_eq!(rig.stats().rounds, 2);
        rig.advance(60).await;
        assert_eq!(rig.stats().rounds, 6, "one in 15 seconds");
    });
}

#[test]
fn the_watch_ends_with_the_leadership() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!((rig.source.open_watches(), rig.stats().watching), (1, true));
        rig.replica.follow(2);
        rig.advance(2).await;
        assert_eq!((rig.source.open_watches(), rig.stats().watching), (0, false));
    });
}

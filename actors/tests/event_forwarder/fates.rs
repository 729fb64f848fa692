//! The token passes nothing that an output may still lose.

use muster_actors::kernel::universe;
use muster_actors::messages::output::Fate;

use crate::rig::{LOST, REFUSED, Rig, START, one_by_one};

fn begun(universe: &universe::Universe) -> Rig {
    let rig = Rig::new(universe, one_by_one());
    rig.tokens.put("1", START);
    rig.make([2, 3]);
    rig.replica.lead(1);
    rig
}

#[test]
fn the_token_waits_for_every_receipt_and_so_does_the_next_round() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.let_be(None);
        rig.advance(600).await;
        rig.make([4]);
        assert_eq!(rig.texts(), ["2", "3"]);
        assert_eq!((rig.stats().rounds, rig.stats().in_flight, rig.stored().unwrap().0.as_str()), (1, true, "1"));
        rig.replica.outputs[0].settle(Fate::Safe);
        rig.advance(60).await;
        assert_eq!(rig.stored().unwrap().0, "1", "the second output has not told yet");
        rig.replica.outputs[1].settle(Fate::Safe);
        rig.let_be(Some(Fate::Safe));
        rig.advance(0).await;
        assert_eq!((rig.stored().unwrap().0.as_str(), rig.stats().forwarded), ("3", 2));
        rig.advance(20).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["4".to_owned()], "4"));
    });
}

#[test]
fn what_one_output_lost_is_sent_to_all_again() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.replica.outputs[1].let_be(Some(LOST));
        rig.advance(20).await;
        assert_eq!(rig.texts(), ["2", "3", "2", "3"], "two rounds");
        assert_eq!((rig.stats().repeated, rig.stored().unwrap().0.as_str()), (2, "1"));
        assert_eq!(rig.stats().received.len(), 0, "nothing is counted that is repeated");
        rig.let_be(Some(Fate::Safe));
        rig.advance(15).await;
        assert_eq!((rig.stored().unwrap().0.as_str(), rig.stats().forwarded), ("3", 2));
        assert_eq!(rig.stats().received.values().sum::<u64>(), 2);
        assert_eq!(rig.stats().emitted.values().sum::<u64>(), 2);
        assert!(rig.stats().complaints.is_empty());
    });
}

#[test]
fn what_an_output_refuses_is_done_with() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.replica.outputs[0].let_be(Some(REFUSED));
        rig.advance(20).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (2, "3"));
    });
}

#[test]
fn an_output_that_forgets_everything_has_lost_it() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.replica.outputs[1].let_be(None);
        rig.advance(4).await;
        rig.replica.outputs[1].crash();
        rig.advance(1).await;
        assert_eq!((rig.stats().repeated, rig.stored().unwrap().0.as_str()), (1, "1"));
        rig.let_be(Some(Fate::Safe));
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (["2", "3", "2", "3"].map(str::to_owned).to_vec(), "3"));
    });
}

#[test]
fn a_token_that_is_not_saved_is_remembered_and_saved_later() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.tokens.fail_saves(true);
        rig.advance(4).await;
        assert_eq!((rig.texts().len(), rig.stats().saved, rig.stored().unwrap().0.as_str()), (2, false, "1"));
        assert_eq!(rig.stats().complaints["store the token of the events"], "update the ConfigMap: forbidden");
        let _ = rig.source.take_calls();
        rig.make([4]);
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.source.take_calls()[0].as_str()), (vec!["4".to_owned()], "watch 3"));
        rig.tokens.fail_saves(false);
        rig.advance(15).await;
        assert_eq!((rig.texts().len(), rig.stats().saved, rig.stored().unwrap().0.as_str()), (0, true, "4"));
        assert!(rig.stats().complaints.is_empty());
    });
}

#[test]
fn a_forwarder_that_crashes_repeats_its_round_and_old_receipts_do_not_count() {
    universe::run(1, |universe| async move {
        let rig = begun(&universe);
        rig.let_be(None);
        rig.advance(4).await;
        universe.expect_panics(1);
        assert!(universe.kernel().crash("EventForwarder"));
        rig.advance(1).await;
        rig.replica.forwarder.tell(muster_actors::messages::dispatcher::DiscoverySynced::default()).unwrap();
        rig.settle(Fate::Safe);
        rig.advance(2).await;
        assert_eq!(rig.stored().unwrap().0, "1", "that was another round");
        rig.advance(4).await;
        assert_eq!(rig.texts(), ["2", "3", "2", "3"]);
        rig.settle(Fate::Safe);
        rig.advance(1).await;
        assert_eq!((rig.stored().unwrap().0.as_str(), rig.stats().rounds), ("3", 2));
    });
}

#[test]
fn an_empty_round_stores_nothing_and_a_round_of_filtered_events_does() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.replica.lead(1);
        rig.advance(60).await;
        assert_eq!((rig.stats().rounds, rig.tokens.saved().len()), (5, 0));
        let event = muster_actors::testing::event_source::event("x", "9");
        let involved = muster_actors::domain::kube::event::InvolvedObject { kind: "Node".to_owned(), ..event.involved };
        rig.source.make(9, muster_actors::domain::kube::event::KubeEvent { involved, ..event });
        rig.advance(15).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (0, "9"));
    });
}

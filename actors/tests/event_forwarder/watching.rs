//! A watch that stays open between the rounds. Source: cluster-agent-kubernetes 3.4b.

use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::kernel::universe;
use muster_actors::messages::output::Fate;
use muster_actors::ports::ClusterReadError;

use crate::rig::{LOST, Rig, START, watching};

/// The values of the gauge of dropped events since the last call.
fn dropped(rig: &Rig) -> Vec<f64> {
    let series = rig.replica.gauges.take().into_iter().flat_map(|commit| commit.batch.series);
    let value = |series: muster_actors::domain::samples::Series| {
        assert_eq!(series.name, "datadog.cluster_agent.kubernetes_apiserver.events_dropped");
        assert_eq!(series.host, "agent-host");
        series.points[0].1
    };
    series.map(value).collect()
}

#[test]
fn ca_e20_without_a_checkpoint_the_whole_first_list_is_skipped() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("0", START);
        rig.make(1..=500);
        rig.replica.lead(1);
        rig.advance(60).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (0, "0"));
        rig.make([501]);
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["501".to_owned()], "501"));
    });
}

#[test]
fn ca_e21_what_finds_no_room_in_the_buffer_is_dropped_and_counted() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, ApiserverCheckOptions { buffer_size: 2, ..watching() });
        rig.tokens.put("1", START);
        rig.replica.lead(1);
        rig.advance(2).await;
        rig.make([2, 3, 4]);
        let _ = dropped(&rig);
        rig.advance(14).await;
        assert_eq!((rig.texts(), dropped(&rig)), (vec!["2".to_owned(), "3".to_owned()], vec![1.0]));
        rig.advance(15).await;
        assert_eq!((rig.texts().len(), dropped(&rig), rig.stats().dropped), (0, vec![0.0], 1));
    });
}

#[test]
fn a_checkpoint_is_where_it_goes_on_and_rounds_store_how_far_they_came() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("3", START - 50);
        rig.make(1..=5);
        rig.replica.lead(1);
        rig.advance(20).await;
        assert_eq!((rig.texts(), rig.stored()), (vec!["4".to_owned(), "5".to_owned()], Some(("5".to_owned(), START + 15))));
        rig.make([7, 6]);
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["7".to_owned(), "6".to_owned()], "7"));
        assert_eq!(rig.source.take_calls(), ["list", "watch 5", "node n1"]);
    });
}

#[test]
fn the_checkpoint_is_asked_for_five_times() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("3", START);
        rig.make(1..=5);
        rig.tokens.fail_loads(4);
        rig.replica.lead(1);
        rig.advance(14).await;
        assert_eq!((rig.tokens.loads(), rig.source.take_calls().len()), (4, 0));
        rig.advance(17).await;
        assert_eq!((rig.tokens.loads(), rig.texts().len()), (5, 2));
    });
}

#[test]
fn a_checkpoint_that_can_not_be_read_is_none() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("3", START);
        rig.make(1..=5);
        rig.tokens.fail_loads(5);
        rig.replica.lead(1);
        rig.advance(40).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (0, "3"));
        assert!(rig.stats().complaints.contains_key("read the token of the events"));
        rig.make([6]);
        rig.advance(15).await;
        assert_eq!(rig.texts(), ["6"]);
    });
}

#[test]
fn an_expired_watch_lists_what_is_newer_than_what_was_seen() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        rig.advance(20).await;
        rig.source.fail_watches(Some(ClusterReadError::Unavailable("restarting".to_owned())));
        rig.make([3]);
        rig.advance(2).await;
        rig.make([4, 5]);
        rig.source.compact(5);
        rig.source.fail_watches(None);
        rig.advance(60).await;
        assert_eq!(rig.texts(), ["2", "3", "4", "5"]);
        assert_eq!((rig.stored().unwrap().0.as_str(), rig.stats().complaints.len()), ("5", 0));
    });
}

#[test]
fn a_list_that_stands_for_a_watch_does_not_overflow_the_buffer() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.make(2..=30_001);
        rig.source.compact(30_001);
        rig.replica.lead(1);
        rig.advance(120).await;
        assert_eq!((rig.texts().len(), rig.stats().dropped), (30_000, 0));
        assert_eq!(rig.stored().unwrap().0, "30001");
    });
}

#[test]
fn an_api_server_that_began_anew_is_listed_when_the_watch_ends() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("5000000", START);
        rig.source.go_to(5_000_000);
        rig.replica.lead(1);
        rig.advance(20).await;
        rig.source.begin_anew();
        rig.make(900..=1000);
        rig.advance(330).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (101, "1000"));
        rig.make([1001]);
        rig.advance(30).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["1001".to_owned()], "1001"));
    });
}

#[test]
fn a_watch_that_fails_is_tried_again_with_growing_pauses() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.source.fail_watches(Some(ClusterReadError::Forbidden("events watch".to_owned())));
        rig.replica.lead(1);
        rig.advance(600).await;
        let tries = rig.source.take_calls().len();
        assert!((15..=30).contains(&tries), "{tries}");
        assert_eq!(rig.stats().complaints["watch events"], "not allowed: events watch");
    });
}

#[test]
fn what_an_output_lost_goes_out_again_before_anything_else() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.make([2, 3]);
        rig.replica.lead(1);
        rig.let_be(Some(LOST));
        rig.advance(16).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["2".to_owned(), "3".to_owned()], "1"));
        rig.make([4]);
        rig.advance(15).await;
        assert_eq!(rig.texts(), ["2", "3"]);
        rig.let_be(Some(Fate::Safe));
        rig.advance(30).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (["2", "3", "4"].map(str::to_owned).to_vec(), "4"));
    });
}

#[test]
fn a_crash_before_the_first_token_loses_nothing_either() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.make(1..=5);
        rig.replica.lead(1);
        rig.advance(20).await;
        rig.make([6]);
        rig.advance(2).await;
        universe.expect_panics(1);
        assert!(universe.kernel().crash("EventForwarder"));
        rig.advance(60).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["6".to_owned()], "6"));
    });
}

//! An output without a disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::delivery::{Contents, DropReason, KeyState, SendErrorKind};
use muster_actors::domain::samples::{Batch, Event};
use muster_actors::kernel::universe;
use muster_actors::messages::output::{DrainReport, Enqueue};

use crate::stage::{Act, DEADLINE, Stage, one_event};

#[test]
fn what_is_accepted_is_counted_and_leaves_the_queue() {
    universe::run(1, |universe| async move {
        let stage = Stage::new(universe, 1000, &[]);
        stage.enqueue("series_v2", &["a", "bb"]).await;
        assert_eq!(stage.attempts(), ["a", "bb"]);
        let stats = stage.stats();
        assert_eq!(stats.sent, Contents { payloads: 2, bytes: 3, events: 2, ..Contents::default() });
        assert_eq!((stats.routes["series_v2"].success, stats.routes["series_v2"].success_bytes), (2, 3));
        assert!(stats.queued.is_empty() && stats.dropped.is_empty());
    });
}

#[test]
fn one_request_is_in_flight_at_a_time() {
    universe::run(2, |universe| async move {
        let stage = Stage::new(universe, 1000, &[("series_v2", &[Act::Late(Duration::from_secs(3))])]);
        stage.enqueue("series_v2", &["a", "b"]).await;
        stage.enqueue("intake", &["c"]).await;
        assert_eq!(stage.attempts(), ["a"], "the first has no answer yet");
        stage.universe.advance(Duration::from_secs(3)).await;
        assert_eq!(stage.attempts(), ["a", "b", "c"]);
    });
}

#[test]
fn ca_f5_retries_follow_the_backoff_in_time_and_deliver_once() {
    universe::run(3, |universe| async move {
        let stage = Stage::new(
            universe,
            1000,
            &[("intake", &[Act::Fail, Act::Answer(503), Act::Answer(404), Act::Answer(429), Act::Fail, Act::Answer(500), Act::Fail])],
        );
        stage.enqueue("intake", &["a"]).await;
        stage.universe.advance(Duration::from_secs(300)).await;
        let times = stage.attempt_times();
        assert_eq!(times.len(), 8, "seven failures, one success");
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64()).collect();
        for (gap, (low, high)) in
            gaps.iter().zip([(2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, 64.0), (64.0, 64.0)])
        {
            // Timers have a resolution of one millisecond.
            assert!((low..=high + 0.002).contains(gap), "{gap} not in [{low}, {high}]");
        }
        let stats = stage.stats();
        assert_eq!((stats.sent, stats.retries), (one_event(1), 7));
        let route = &stats.routes["intake"];
        assert_eq!(route.errors, BTreeMap::from([(SendErrorKind::Gt400, 4), (SendErrorKind::ConnectionFailure, 3)]));
        assert_eq!(route.http_errors, BTreeMap::from([(404, 1), (429, 1), (500, 1), (503, 1)]));
        assert_eq!(route.backoff_errors, 4, "ca_f6: six errors, one success");
    });
}

#[test]
fn a_broken_route_does_not_hold_up_the_others() {
    universe::run(4, |universe| async move {
        let stage = Stage::new(universe, 1000, &[("series_v2", &[Act::Answer(404), Act::Answer(404)])]);
        stage.enqueue("series_v2", &["a"]).await;
        stage.enqueue("intake", &["b"]).await;
        assert_eq!(stage.attempts(), ["a", "b"]);
        assert_eq!(stage.stats().queued, one_event(1));
    });
}

#[test]
fn a_full_queue_drops_the_oldest_and_never_refuses() {
    universe::run(5, |universe| async move {
        let stage = Stage::new(universe, 1024, &[("intake", &[Act::Fail])]);
        let bodies: Vec<String> = (0..5).map(|mark| mark.to_string().repeat(300)).collect();
        for body in &bodies {
            stage.enqueue("intake", &[body]).await;
        }
        assert_eq!(stage.dropped(DropReason::QueueFull), Contents { payloads: 2, bytes: 600, events: 2, ..Contents::default() });
        assert_eq!(stage.stats().queued, Contents { payloads: 3, bytes: 900, events: 3, ..Contents::default() });
        stage.universe.advance(Duration::from_secs(10)).await;
        assert_eq!(stage.attempts(), [0, 2, 3, 4].map(|index: usize| bodies[index].as_str()), "the first was tried once, then gone");
        assert!(stage.stats().queued.is_empty());
        assert_eq!(stage.output.refused(), 0);
    });
}

#[test]
fn batches_wait_within_the_bound_while_the_queue_is_not_needed() {
    universe::run(6, |universe| async move {
        let stage = Stage::new(universe, 1000, &[]);
        let batch =
            |events| Arc::new(Batch { events: vec![Event { title: "intake".to_owned(), ..Event::default() }; events], ..Batch::default() });
        // Without a pause in between: the first is being encoded, the second is next, the fourth takes the place of the third.
        for events in [1, 2, 3, 4] {
            stage.output.tell(Enqueue::new(batch(events))).unwrap();
        }
        stage.universe.settle().await;
        assert_eq!(stage.dropped(DropReason::QueueFull), Contents { events: 3, ..Contents::default() });
        assert_eq!(stage.stats().sent.events, 7);
    });
}

#[test]
fn refusals_are_dropped_and_counted_by_reason() {
    universe::run(7, |universe| async move {
        let acts: &[Act] = &[Act::Answer(400), Act::Answer(413), Act::Answer(403), Act::Answer(403), Act::Close];
        let stage = Stage::new(universe, 1000, &[("intake", acts)]);
        stage.enqueue("intake", &["a", "bb", "ccc", "dddd", "eeeee", "f"]).await;
        assert_eq!(stage.attempts().len(), 6, "none is tried twice");
        assert_eq!(stage.dropped(DropReason::BadRequest), one_event(1));
        assert_eq!(stage.dropped(DropReason::TooLarge), one_event(2));
        assert_eq!(stage.dropped(DropReason::InvalidKey), Contents { payloads: 2, bytes: 7, events: 2, ..Contents::default() });
        assert_eq!(stage.dropped(DropReason::Closed), one_event(5));
        assert_eq!(stage.stats().sent, one_event(1));
        assert_eq!(stage.stats().routes["intake"].dropped, 5);
        assert_eq!(stage.stats().key_state, KeyState::Valid, "the last payload was accepted again");
    });
}

#[test]
fn items_that_cannot_be_sent_are_counted_and_a_bug_costs_one_batch() {
    universe::run(8, |universe| async move {
        let stage = Stage::new(universe, 1000, &[]);
        stage.enqueue("intake", &["oversize", "a"]).await;
        stage.enqueue("intake", &["x", "poison"]).await;
        stage.enqueue("intake", &["b"]).await;
        assert_eq!(stage.attempts(), ["a", "b"]);
        assert_eq!(stage.dropped(DropReason::Oversize).events, 1);
        assert_eq!(stage.dropped(DropReason::Encoding).events, 2);
    });
}

#[test]
fn the_key_is_asked_for_at_start_and_every_hour() {
    universe::run(9, |universe| async move {
        let keys = [KeyState::Valid, KeyState::Invalid, KeyState::Unknown];
        let stage = Stage::with_keys(universe, 1000, &[], &keys);
        stage.universe.settle().await;
        assert_eq!(stage.stats().key_state, KeyState::Valid);
        for expected in [KeyState::Invalid, KeyState::Unknown, KeyState::Unknown] {
            stage.universe.advance(Duration::from_secs(3600)).await;
            assert_eq!(stage.stats().key_state, expected);
        }
    });
}

#[test]
fn a_drain_sends_what_it_can_and_counts_the_rest() {
    universe::run(10, |universe| async move {
        let acts: &[(&str, &[Act])] = &[("series_v2", &[Act::Fail, Act::Fail]), ("intake", &[Act::Fail])];
        let stage = Stage::new(universe, 1000, acts);
        stage.enqueue("series_v2", &["a", "bb"]).await;
        stage.enqueue("intake", &["ccc"]).await;
        assert_eq!(stage.stats().queued.payloads, 3, "both routes are blocked");
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!(report.sent, one_event(3), "events got their further attempt");
        assert_eq!(report.lost, Contents { payloads: 2, bytes: 3, events: 2, ..Contents::default() }, "series failed again");
        assert_eq!(stage.dropped(DropReason::Shutdown), report.lost);

        stage.enqueue("intake", &["late"]).await;
        assert_eq!(stage.dropped(DropReason::Shutdown).events, 3, "nothing is accepted after a drain");
        assert_eq!(stage.drain(Duration::from_secs(2)).await, report, "a second drain tells the same");
    });
}

#[test]
fn a_drain_ends_at_its_deadline() {
    universe::run(11, |universe| async move {
        let stage = Stage::new(universe, 1000, &[("intake", &[Act::Late(Duration::from_secs(1)), Act::Hang])]);
        stage.enqueue("intake", &["a", "bb", "ccc"]).await;
        let began = stage.universe.clock().monotonic();
        let report = stage.drain(Duration::from_secs(2)).await;
        let took = stage.universe.clock().monotonic().saturating_sub(began);
        assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2100), "{took:?}");
        assert_eq!(report.sent, one_event(1));
        assert_eq!(report.lost, Contents { payloads: 2, bytes: 5, events: 2, ..Contents::default() }, "in flight and waiting");
        assert!(stage.stats().queued.is_empty());
    });
}

#[test]
fn a_drain_includes_what_was_enqueued_just_before() {
    universe::run(12, |universe| async move {
        let stage = Stage::new(universe, 1000, &[]);
        let event = Event { title: "intake".to_owned(), text: "a".to_owned(), ..Event::default() };
        stage.output.tell(Enqueue::new(Arc::new(Batch { events: vec![event], ..Batch::default() }))).unwrap();
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!(report, DrainReport { sent: one_event(1), ..DrainReport::default() });
    });
}

#[test]
fn a_restart_keeps_the_counts_and_owns_up_to_the_lost_queue() {
    universe::run(13, |universe| async move {
        let stage = Stage::new(universe, 1000, &[("intake", &[Act::Answer(202), Act::Hang])]);
        stage.enqueue("intake", &["a", "bb", "ccc"]).await;
        stage.universe.expect_panics(1);
        assert!(stage.universe.kernel().crash("output_test"));
        stage.universe.settle().await;
        assert_eq!(stage.stats().sent, one_event(1));
        assert_eq!(stage.dropped(DropReason::Restart), Contents { payloads: 2, bytes: 5, events: 2, ..Contents::default() });
        stage.enqueue("intake", &["d"]).await;
        assert_eq!(stage.stats().sent.events, 2);
    });
}

#[test]
fn an_orderly_stop_without_a_drain_counts_what_is_left() {
    universe::run(14, |universe| async move {
        let stage = Stage::new(universe, 1000, &[("intake", &[Act::Hang])]);
        stage.enqueue("intake", &["a", "bb"]).await;
        assert!(stage.universe.kernel().shutdown(DEADLINE).await.is_empty());
        assert_eq!(stage.dropped(DropReason::Shutdown).events, 2);
        assert!(stage.stats().queued.is_empty());
    });
}

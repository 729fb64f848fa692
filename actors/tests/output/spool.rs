//! An output with a disk: what is stored when, who is told what, and what happens when the disk does not work.

use std::time::Duration;

use muster_actors::domain::delivery::{Contents, DropReason, Fate, KeyState, Payload, Route};
use muster_actors::domain::spool_policy::{DiskSpace, SpoolPolicy};
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::ports::Spool as _;
use muster_actors::shared::output::OutputPolicy;
use muster_actors::testing::spool::FakeSpool;

use crate::log;
use crate::stage::{Act, Setup, Stage, one_event};

const MINUTE: Duration = Duration::from_secs(60);

fn with(spool: &FakeSpool) -> Setup<'static> {
    Setup { spool: Some(spool.clone()), ..Setup::default() }
}

fn with_policy(spool: &FakeSpool, policy: SpoolPolicy) -> Setup<'static> {
    let setup = with(spool);
    Setup { policy: OutputPolicy { spool: policy, ..setup.policy }, ..setup }
}

/// With a destination that is down.
async fn in_outage(universe: Universe, setup: Setup<'_>) -> Stage {
    let stage = Stage::build(universe, setup);
    stage.does(Act::Answer(503));
    stage.universe.settle().await;
    stage
}

#[test]
fn events_are_on_the_disk_before_anything_else_happens_with_them() {
    universe::run(1, |universe| async move {
        let spool = FakeSpool::with_delay(Duration::from_secs(5));
        let stage = Stage::build(universe, with(&spool));
        stage.enqueue_with_receipt(7, &["a", "b"]).await;
        stage.universe.advance(Duration::from_secs(4)).await;
        assert!(stage.told().is_empty() && stage.attempts().is_empty() && spool.bodies().is_empty());
        stage.universe.advance(Duration::from_secs(1)).await;
        assert_eq!(stage.told(), [(7, Fate::Safe)]);
        assert_eq!(stage.attempts(), ["a", "b"]);
        stage.universe.settle().await;
        assert!(spool.bodies().is_empty(), "sent, and so removed");
        let stats = stage.stats();
        assert!(stats.queued.is_empty() && stats.spooled.is_empty() && stats.dropped.is_empty());
        assert!(stage.told().is_empty(), "told once");
    });
}

#[test]
fn what_the_intake_does_not_take_stays_on_the_disk_and_its_source_is_told_that_it_is_safe() {
    universe::run(2, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue_with_receipt(1, &["a", "bb"]).await;
        stage.enqueue_runs(&["ccc"]).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        assert_eq!(spool.bodies(), ["a", "bb"], "service checks stay in memory while there is room");
        let stats = stage.stats();
        assert_eq!((stats.queued.payloads, stats.spooled), (3, Contents { payloads: 2, bytes: 3, events: 2, ..Contents::default() }));
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 5).await;
        assert_eq!(stage.stats().sent.payloads, 3);
        assert!(spool.bodies().is_empty() && stage.stats().queued.is_empty());
    });
}

#[test]
fn what_cannot_be_expressed_is_refused_when_the_rest_is_safe() {
    universe::run(3, |universe| async move {
        let stage = Stage::build(universe, with(&FakeSpool::default()));
        stage.enqueue_with_receipt(1, &["a", "oversize"]).await;
        stage.enqueue_with_receipt(2, &["poison"]).await;
        stage.enqueue_with_receipt(3, &[]).await;
        assert_eq!(stage.told(), [(1, Fate::Refused(DropReason::Oversize)), (2, Fate::Refused(DropReason::Encoding)), (3, Fate::Safe)]);
        stage.enqueue_with_receipt(4, &["no memory", "oversize", "b"]).await;
        assert_eq!(stage.told(), [(4, Fate::Lost(DropReason::Compression))], "of what could not be compressed nothing is wrong");
        assert_eq!(stage.dropped(DropReason::Compression).events, 1);
    });
}

#[test]
fn memory_that_gets_full_goes_to_the_disk_oldest_first() {
    universe::run(4, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        let bodies: Vec<String> = (0..20).map(|mark| format!("{mark:0100}")).collect();
        for body in &bodies {
            stage.enqueue_runs(&[body]).await;
        }
        assert!(stage.stats().dropped.is_empty(), "2000 bytes, memory for 1000");
        assert_eq!(stage.stats().queued.bytes, 2000);
        let spooled = spool.bodies();
        assert!(spooled.len() >= 15, "at most half of the memory is used: {}", spooled.len());
        // The one that is retried may be stored later than its age says.
        assert!(spooled.iter().filter(|body| **body != bodies[0]).is_sorted());
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 5).await;
        let mut accepted = stage.accepted();
        accepted.sort();
        assert_eq!(accepted, bodies, "each once");
        assert!(spool.bodies().is_empty());
    });
}

/// As many service checks of 100 bytes.
fn runs(count: usize) -> Vec<String> {
    (0..count).map(|mark| format!("{mark:0100}")).collect()
}

fn texts(bodies: &[String]) -> Vec<&str> {
    bodies.iter().map(String::as_str).collect()
}

#[test]
fn a_flush_larger_than_memory_goes_to_the_disk() {
    universe::run(19, |universe| async move {
        let spool = FakeSpool::with_delay(Duration::from_secs(1));
        let stage = Stage::build(universe, with(&spool));
        let bodies = runs(30);
        stage.enqueue_runs(&texts(&bodies)).await;
        stage.enqueue_runs(&["next"]).await;
        assert_eq!(stage.accepted().len(), 5, "what memory holds anyway");
        assert_eq!((stage.stats().queued.bytes, stage.stats().queued.check_runs), (2500, 26), "the next one is not encoded yet");
        stage.universe.advance(MINUTE).await;
        let mut accepted = stage.accepted();
        accepted.sort();
        assert_eq!((accepted.len(), &accepted[..30]), (31, bodies.as_slice()));
        assert!(stage.stats().dropped.is_empty() && spool.bodies().is_empty());
    });
}

#[test]
fn a_flush_larger_than_memory_and_disk_costs_its_oldest() {
    universe::run(20, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with_policy(&spool, SpoolPolicy { max_bytes: 4095, ..SpoolPolicy::default() })).await;
        stage.enqueue_runs(&texts(&runs(30))).await;
        assert_eq!((stage.dropped(DropReason::QueueFull).check_runs, stage.stats().queued.bytes), (20, 1000), "no room for any");

        let spool = FakeSpool::with_delay(Duration::from_secs(1));
        let stage = Stage::named("further", stage.universe.clone(), with(&spool));
        stage.does(Act::Answer(503));
        stage.enqueue_runs(&texts(&runs(30))).await;
        assert!(stage.stats().dropped.is_empty());
        spool.fail(true);
        stage.universe.advance(MINUTE).await;
        assert_eq!((stage.dropped(DropReason::QueueFull).check_runs, stage.stats().queued.bytes), (20, 1000), "it does not work");
    });
}

#[test]
fn samples_stay_in_memory_if_that_is_wanted() {
    universe::run(5, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with_policy(&spool, SpoolPolicy { samples: false, ..SpoolPolicy::default() })).await;
        for mark in 0..20 {
            stage.enqueue_runs(&[&format!("{mark:0100}")]).await;
        }
        stage.enqueue("intake", &["event"]).await;
        assert_eq!(spool.bodies(), ["event"]);
        assert_eq!(stage.dropped(DropReason::QueueFull).check_runs, 10, "1000 bytes, and the event takes none of them for long");
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!((report.kept, report.lost.check_runs), (one_event(5), 10));
    });
}

#[test]
fn an_end_keeps_on_the_disk_what_it_cannot_send_and_the_next_life_sends_it() {
    universe::run(6, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue("intake", &["a"]).await;
        stage.enqueue_runs(&["bb", "ccc"]).await;
        let attempts_before = stage.attempts().len();
        let report = stage.drain(Duration::from_secs(2)).await;
        let kept = Contents { payloads: 3, bytes: 6, events: 1, check_runs: 2, ..Contents::default() };
        assert_eq!((report.kept, report.lost, report.sent), (kept, Contents::default(), Contents::default()));
        assert!(stage.attempts().len() > attempts_before, "each route was tried once more");
        assert_eq!(stage.stats().spooled, kept);
        stage.enqueue_with_receipt(9, &["late"]).await;
        assert_eq!(stage.told(), [(9, Fate::Lost(DropReason::Shutdown))]);

        let next = Stage::named("next_life", stage.universe.clone(), with(&spool));
        next.universe.advance(MINUTE).await;
        assert_eq!(next.accepted(), ["a", "bb", "ccc"]);
        assert!(spool.bodies().is_empty() && next.stats().dropped.is_empty());
    });
}

#[test]
fn a_disk_that_failed_during_the_end_still_holds_everything_when_it_works_again() {
    universe::run(18, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue("intake", &["a"]).await;
        spool.fail(true);
        stage.enqueue("intake", &["bb"]).await;
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!((report.kept, report.lost), (one_event(1), one_event(2)));
        spool.fail(false);
        stage.universe.advance(MINUTE * 3).await;
        assert_eq!(spool.bodies(), ["a"]);
    });
}

#[test]
fn an_end_does_not_wait_for_a_backlog() {
    universe::run(7, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        for mark in 0..20 {
            stage.enqueue_runs(&[&format!("{mark:0100}")]).await;
        }
        let on_disk = spool.bodies().len();
        stage.does(Act::Answer(202));
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!(report.sent.check_runs + report.kept.check_runs, 20);
        assert!(report.kept.check_runs as usize >= on_disk - 1 && report.sent.check_runs > 0, "{report:?}");
    });
}

#[test]
fn at_its_deadline_what_is_under_way_and_stored_counts_as_kept() {
    universe::run(8, |universe| async move {
        let spool = FakeSpool::default();
        let setup = Setup { acts: &[("intake", &[Act::Hang])], ..with(&spool) };
        let stage = Stage::build(universe, setup);
        stage.enqueue("intake", &["a", "bb"]).await;
        stage.enqueue_runs(&["ccc"]).await;
        let report = stage.drain(Duration::from_secs(2)).await;
        assert_eq!((report.kept.payloads, report.lost.payloads, report.sent.payloads), (3, 0, 0));
        assert_eq!(spool.bodies(), ["a", "bb", "ccc"]);
    });
}

#[test]
fn a_full_spool_gives_up_its_oldest_and_counts_it() {
    universe::run(9, |universe| async move {
        log::listen();
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with_policy(&spool, SpoolPolicy { max_bytes: 3 * 4096, ..SpoolPolicy::default() })).await;
        for body in ["a", "b", "c", "d", "e"] {
            stage.enqueue("intake", &[body]).await;
        }
        assert_eq!(spool.bodies(), ["c", "d", "e"]);
        assert_eq!(stage.dropped(DropReason::SpoolFull), Contents { payloads: 2, bytes: 2, events: 2, ..Contents::default() });
        for _ in 0..50 {
            stage.enqueue("intake", &["c", "d", "e"]).await;
        }
        assert_eq!(stage.dropped(DropReason::SpoolFull).events, 152);
        assert_eq!(log::logged("given up"), 2, "the first, and among three at once the hundredth");
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 5).await;
        assert_eq!(stage.stats().sent.events, 3);
    });
}

#[test]
fn a_backlog_that_is_sent_leaves_memory_to_what_is_new() {
    universe::run(24, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue("intake", &texts(&runs(20))).await;
        stage.drain(Duration::from_secs(1)).await;

        let setup = with(&spool);
        let policy = OutputPolicy { max_in_flight: 10, ..setup.policy };
        let next = Stage::named("next_life", stage.universe.clone(), Setup { policy, ..setup });
        next.does(Act::Late(Duration::from_secs(1)));
        next.universe.settle().await;
        assert_eq!(next.attempts().len(), 2, "of 100 bytes each, a quarter of memory");
        let new = "x".repeat(200);
        next.enqueue_runs(&[&new]).await;
        assert_eq!(next.attempts()[2], new);
        assert!(next.stats().dropped.is_empty() && spool.bodies().len() == 20, "it neither goes nor goes to the disk");
        next.universe.advance(MINUTE).await;
        assert!(next.accepted().is_empty() && next.stats().sent.payloads == 21 && spool.bodies().is_empty());
    });
}

#[test]
fn the_replay_of_a_backlog_does_not_hold_up_what_is_to_be_stored() {
    universe::run(21, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        let backlog: Vec<String> = (0..100).map(|number| format!("old-{number}")).collect();
        stage.enqueue("intake", &texts(&backlog)).await;
        // Whenever a removal ends, the next payload was delivered already.
        spool.remove_slowly(Duration::from_millis(150));
        stage.does(Act::Late(Duration::from_millis(100)));
        while stage.attempts().len() < 10 {
            stage.universe.advance(Duration::from_millis(10)).await;
        }
        stage.enqueue_with_receipt(1, &["new"]).await;
        stage.universe.advance(Duration::from_secs(1)).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        assert!(spool.bodies().len() > 50, "long before the end of the backlog");
        stage.universe.advance(MINUTE).await;
        assert!(spool.bodies().is_empty() && stage.stats().dropped.is_empty());
    });
}

#[test]
fn what_is_older_than_it_may_be_is_given_up() {
    universe::run(10, |universe| async move {
        let spool = FakeSpool::default();
        let policy = SpoolPolicy { max_age: MINUTE * 10, ..SpoolPolicy::default() };
        let stage = in_outage(universe, with_policy(&spool, policy)).await;
        stage.enqueue("intake", &["old"]).await;
        stage.universe.advance(MINUTE * 5).await;
        stage.enqueue("intake", &["new"]).await;
        stage.universe.advance(MINUTE * 6).await;
        assert_eq!(spool.bodies(), ["new"]);
        assert_eq!(stage.dropped(DropReason::TooOld), one_event(3));
    });
}

#[test]
fn what_a_newer_program_stored_waits_for_it() {
    universe::run(22, |universe| async move {
        let spool = FakeSpool::default();
        let route = Route { name: "of a newer program", path: "", content_type: "" };
        spool.store(vec![Payload::new(route, b"newer".to_vec(), one_event(0))], 0).await.unwrap();
        let stage = Stage::build(universe, with(&spool));
        stage.enqueue("intake", &["a"]).await;
        // It is opened again.
        spool.fail(true);
        stage.enqueue("intake", &["b"]).await;
        spool.fail(false);
        stage.universe.advance(MINUTE * 3).await;
        assert_eq!(stage.accepted(), ["a", "b"]);
        assert_eq!((spool.opened(), spool.bodies(), stage.stats().dropped.len()), (2, vec!["newer".to_owned()], 0));
    });
}

#[test]
fn damage_is_counted_whenever_it_is_found() {
    universe::run(11, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue("intake", &["a", "b", "c"]).await;
        stage.drain(Duration::from_secs(1)).await;
        spool.tear(&["a"]);
        let next = Stage::named("next_life", stage.universe.clone(), with(&spool));
        next.does(Act::Answer(503));
        next.universe.settle().await;
        assert_eq!((next.dropped(DropReason::Damaged).payloads, next.stats().spooled.payloads), (1, 2), "found at the start");
        spool.tear(&["b", "c"]);
        next.does(Act::Answer(202));
        next.universe.advance(MINUTE * 5).await;
        assert_eq!(next.dropped(DropReason::Damaged).payloads, 3, "found when it was to be sent");
        assert!(next.accepted().is_empty() && next.stats().queued.is_empty() && spool.bodies().is_empty());
    });
}

#[test]
fn a_disk_that_fails_is_done_without_and_used_again_when_it_works() {
    universe::run(12, |universe| async move {
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue_with_receipt(1, &["a"]).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        spool.fail(true);
        stage.enqueue_with_receipt(2, &["b"]).await;
        stage.enqueue_with_receipt(3, &["c"]).await;
        assert!(stage.told().is_empty(), "in memory only, so not safe");
        assert_eq!((stage.stats().queued.events, stage.stats().spooled.events), (3, 1));
        stage.universe.advance(MINUTE * 3).await;
        assert!(stage.told().is_empty());
        let reads = spool.opened();
        assert!((3..=5).contains(&reads), "looked at once a minute: {reads}");
        spool.fail(false);
        stage.universe.advance(MINUTE).await;
        assert_eq!(stage.told(), [(2, Fate::Safe), (3, Fate::Safe)], "the disk works again");
        assert_eq!(spool.bodies(), ["a", "b", "c"]);
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 5).await;
        assert_eq!(stage.stats().sent.events, 3);
        assert!(spool.bodies().is_empty());
    });
}

#[test]
fn a_disk_that_can_be_opened_and_takes_nothing_is_one_warning() {
    universe::run(23, |universe| async move {
        log::listen();
        let spool = FakeSpool::default();
        let stage = in_outage(universe, with(&spool)).await;
        spool.refuse(true);
        stage.enqueue_with_receipt(1, &["a"]).await;
        stage.universe.advance(MINUTE * 10).await;
        assert!(spool.opened() > 5);
        assert_eq!((log::logged("spool cannot be used"), log::logged("spool can be used again")), (1, 0));
        spool.refuse(false);
        stage.universe.advance(MINUTE * 2).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        assert_eq!((log::logged("spool cannot be used"), log::logged("spool can be used again")), (1, 1));
    });
}

#[test]
fn without_a_disk_that_works_receipts_wait_for_the_intake() {
    universe::run(13, |universe| async move {
        let spool = FakeSpool::default();
        spool.fail(true);
        let stage = in_outage(universe, with(&spool)).await;
        stage.enqueue_with_receipt(1, &["a", "b"]).await;
        assert!(stage.told().is_empty());
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        stage.does(Act::Answer(400));
        stage.enqueue_with_receipt(2, &["c"]).await;
        stage.does(Act::Answer(403));
        stage.enqueue_with_receipt(3, &["d"]).await;
        assert_eq!(stage.told(), [(2, Fate::Refused(DropReason::BadRequest)), (3, Fate::Lost(DropReason::InvalidKey))]);
        stage.does(Act::Answer(503));
        stage.enqueue_with_receipt(4, &["e"]).await;
        stage.crash().await;
        assert_eq!(stage.told(), [(4, Fate::Lost(DropReason::Restart))]);
        stage.enqueue_with_receipt(5, &["f"]).await;
        stage.drain(Duration::from_secs(1)).await;
        assert_eq!(stage.told(), [(5, Fate::Lost(DropReason::Shutdown))]);
    });
}

#[test]
fn a_further_intake_without_a_disk_stops_no_source() {
    universe::run(14, |universe| async move {
        let stage = in_outage(universe, Setup { primary: false, ..Setup::default() }).await;
        stage.enqueue_with_receipt(1, &["a"]).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
        assert_eq!(stage.stats().queued.events, 1);

        let spool = FakeSpool::with_delay(Duration::from_secs(1));
        let stored = Stage::named("further", stage.universe.clone(), Setup { primary: false, ..with(&spool) });
        stored.enqueue_with_receipt(2, &["b"]).await;
        assert!(stored.told().is_empty(), "where there is a disk it waits for it");
        spool.fail(true);
        stored.universe.advance(Duration::from_secs(2)).await;
        assert_eq!(stored.told(), [(2, Fate::Safe)], "and no longer when it fails");

        // Also when the batch is not encoded yet, because the disk has to take another one first.
        let spool = FakeSpool::with_delay(Duration::from_secs(1));
        let behind = Stage::named("behind", stage.universe.clone(), Setup { primary: false, ..with(&spool) });
        behind.does(Act::Answer(503));
        behind.enqueue_runs(&texts(&runs(30))).await;
        behind.enqueue_with_receipt(3, &["c"]).await;
        spool.fail(true);
        behind.universe.advance(Duration::from_secs(2)).await;
        assert_eq!(behind.told(), [(3, Fate::Safe)]);
    });
}

#[test]
fn a_disk_that_others_filled_is_left_alone() {
    universe::run(15, |universe| async move {
        let spool = FakeSpool::default();
        spool.set_space(DiskSpace { total: 100 * 4096, available: 22 * 4096 });
        let stage = in_outage(universe, with_policy(&spool, SpoolPolicy { least_bytes: 0, ..SpoolPolicy::default() })).await;
        for body in ["a", "b", "c", "d"] {
            stage.enqueue("intake", &[body]).await;
        }
        assert_eq!(spool.bodies(), ["c", "d"], "a fifth of the disk stays free");
        assert_eq!(stage.dropped(DropReason::SpoolFull).events, 2);
        spool.set_space(DiskSpace { total: 100 * 4096, available: 0 });
        // The next store tells how full it is now.
        stage.enqueue("intake", &["e"]).await;
        stage.enqueue_with_receipt(1, &["f"]).await;
        assert!(stage.told().is_empty(), "no room at all");
        spool.set_space(DiskSpace { total: 100 * 4096, available: 100 * 4096 });
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 3).await;
        assert_eq!(stage.told(), [(1, Fate::Safe)]);
    });
}

#[test]
fn stored_events_wait_for_the_right_key_and_nothing_else_does() {
    universe::run(16, |universe| async move {
        let spool = FakeSpool::default();
        let stage = Stage::build(universe, with(&spool));
        stage.does(Act::Answer(403));
        stage.enqueue_with_receipt(1, &["event"]).await;
        stage.enqueue_runs(&["run"]).await;
        assert_eq!((stage.told(), stage.stats().key_state), (vec![(1, Fate::Safe)], KeyState::Invalid));
        assert_eq!(stage.dropped(DropReason::InvalidKey).check_runs, 1);
        assert_eq!((spool.bodies(), stage.dropped(DropReason::InvalidKey).events), (vec!["event".to_owned()], 0));
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE).await;
        assert_eq!((stage.stats().sent.events, stage.stats().key_state), (1, KeyState::Valid));
    });
}

#[test]
fn with_another_key_what_waits_is_tried_at_once() {
    universe::run(18, |universe| async move {
        let spool = FakeSpool::default();
        let stage = Stage::build(universe, with(&spool));
        stage.does(Act::Answer(403));
        stage.enqueue_with_receipt(1, &["event"]).await;
        assert_eq!((stage.attempts().len(), stage.stats().key_state), (1, KeyState::Invalid));
        stage.does(Act::Answer(202));
        stage.change_key("later").await;
        assert_eq!((stage.accepted(), stage.stats().sent.events), (vec!["event".to_owned()], 1));
        assert_eq!((stage.stats().key_ending.as_deref(), stage.stats().key_state), (Some("later"), KeyState::NotChecked));
        stage.crash().await;
        assert_eq!(stage.stats().key_ending.as_deref(), Some("later"));
    });
}

#[test]
fn what_the_old_key_was_refused_for_is_sent_with_the_new_one() {
    universe::run(19, |universe| async move {
        let setup = Setup::default();
        let policy = OutputPolicy { max_in_flight: 2, ..setup.policy };
        let stage = Stage::build(universe, Setup { policy, ..setup });
        stage.does(Act::LateRefusal(Duration::from_secs(1)));
        stage.enqueue_runs(&["a", "b"]).await;
        stage.does(Act::Answer(202));
        stage.change_key("later").await;
        stage.universe.advance(Duration::from_secs(1)).await;
        assert_eq!(
            (stage.attempts(), stage.accepted()),
            (["a", "b", "a", "b"].map(str::to_owned).to_vec(), ["a", "b"].map(str::to_owned).to_vec())
        );
        assert!(stage.stats().dropped.is_empty());
        assert_eq!(stage.stats().key_state, KeyState::NotChecked, "nobody refused the new one");
    });
}

#[test]
fn several_requests_are_in_flight_and_fail_as_one() {
    universe::run(17, |universe| async move {
        let late = Act::Late(Duration::from_secs(1));
        let setup = Setup::default();
        let policy = OutputPolicy { max_in_flight: 3, ..setup.policy };
        let stage = Stage::build(universe, Setup { policy, ..setup });
        stage.does(late);
        stage.enqueue("intake", &["a", "b", "c", "d", "e"]).await;
        assert_eq!(stage.attempts(), ["a", "b", "c"], "in order");
        stage.universe.advance(Duration::from_secs(1)).await;
        assert_eq!(stage.attempts(), ["a", "b", "c", "d", "e"]);
        stage.universe.advance(Duration::from_secs(1)).await;
        assert_eq!(stage.stats().sent.events, 5);

        stage.does(Act::Fail);
        stage.enqueue("intake", &["f", "g", "h"]).await;
        assert_eq!((stage.attempts().len(), stage.stats().routes["intake"].backoff_errors), (8, 1), "three failures, one error");
        stage.does(Act::Late(Duration::from_secs(1)));
        stage.universe.advance(Duration::from_millis(4100)).await;
        assert_eq!(stage.attempts().len(), 9, "one at a time while it has errors");
        stage.universe.advance(Duration::from_secs(2)).await;
        assert_eq!(stage.attempts().len(), 11);
    });
}

//! Long outages and many lives: whatever a source was told to be safe arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_actors::domain::delivery::{Contents, DropReason, Fate};
use muster_actors::kernel::universe;
use muster_actors::shared::output::OutputPolicy;
use muster_actors::testing::spool::FakeSpool;

use crate::stage::{Act, Setup, Stage};

const MINUTE: Duration = Duration::from_secs(60);

fn setup(spool: &FakeSpool, max_in_flight: usize) -> Setup<'static> {
    let setup = Setup::default();
    Setup { policy: OutputPolicy { max_in_flight, ..setup.policy }, spool: Some(spool.clone()), ..setup }
}

#[test]
fn an_hour_of_outage_with_crashes_loses_nothing_that_was_told_to_be_safe() {
    universe::run(1, |universe| async move {
        let spool = FakeSpool::with_delay(Duration::from_millis(3));
        let stage = Stage::build(universe, setup(&spool, 10));
        stage.does(Act::Answer(503));
        let mut events = Vec::new();
        let mut runs = Vec::new();
        for second in (0..3600).step_by(5) {
            events.push(format!("event-{second}"));
            stage.enqueue_with_receipt(second, &[&events[events.len() - 1]]).await;
            if second % 15 == 0 {
                runs.push(format!("run-{second:0100}"));
                stage.enqueue_runs(&[&runs[runs.len() - 1]]).await;
            }
            if second % 900 == 600 {
                stage.crash().await;
            }
            stage.universe.advance(Duration::from_secs(5)).await;
        }
        let told = stage.told();
        assert_eq!(told.len(), events.len());
        // A source whose event was not on the disk yet when the output crashed gives it again.
        let again: Vec<u64> = told.into_iter().filter(|(_, fate)| *fate != Fate::Safe).map(|(number, _)| number).collect();
        for number in &again {
            stage.enqueue_with_receipt(*number, &[&format!("event-{number}")]).await;
            stage.universe.advance(Duration::from_secs(1)).await;
        }
        assert!(stage.told().iter().all(|(_, fate)| *fate == Fate::Safe));
        let lost = stage.dropped(DropReason::Restart);
        assert_eq!(lost.events, again.len() as u64);
        assert!(again.len() <= 4 && lost.check_runs <= 4 * 5, "only what was in memory: {lost:?}");
        assert_eq!(stage.stats().total_dropped(), lost);
        assert!(stage.accepted().is_empty());

        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 5).await;
        let accepted: BTreeSet<String> = stage.accepted().into_iter().collect();
        assert!(events.iter().all(|event| accepted.contains(event)));
        let arrived = runs.iter().filter(|run| accepted.contains(*run)).count() as u64;
        assert_eq!(arrived + lost.check_runs, runs.len() as u64);
        let stats = stage.stats();
        assert!(stats.queued.is_empty() && stats.spooled.is_empty() && spool.bodies().is_empty());
        assert_eq!(stats.sent.events, events.len() as u64, "each once: no request was cut off");
    });
}

#[test]
fn a_backlog_goes_oldest_first_and_takes_turns_with_what_is_new() {
    universe::run(2, |universe| async move {
        let spool = FakeSpool::default();
        let first = Stage::build(universe, setup(&spool, 1));
        first.does(Act::Answer(503));
        first.enqueue("intake", &["old-1", "old-2", "old-3"]).await;
        first.drain(Duration::from_secs(1)).await;

        let next = Stage::named("next_life", first.universe.clone(), setup(&spool, 1));
        next.does(Act::Late(Duration::from_secs(1)));
        next.universe.settle().await;
        next.enqueue("intake", &["new-1", "new-2", "new-3"]).await;
        next.universe.advance(MINUTE).await;
        assert_eq!(next.attempts()[0], "old-1");
        let of = |kind: &str| next.attempts().into_iter().filter(|body| body.starts_with(kind)).collect::<Vec<_>>();
        assert_eq!(
            (of("old"), of("new")),
            (["old-1", "old-2", "old-3"].map(str::to_owned).to_vec(), ["new-1", "new-2", "new-3"].map(str::to_owned).to_vec())
        );
        let attempts = next.attempts();
        let longest = attempts.chunk_by(|one, other| one[..3] == other[..3]).map(<[String]>::len).max();
        assert!(longest <= Some(2), "{attempts:?}");
    });
}

#[test]
fn a_panic_counts_nothing_that_is_on_the_disk() {
    universe::run(3, |universe| async move {
        let spool = FakeSpool::default();
        let stage = Stage::build(universe, setup(&spool, 1));
        stage.does(Act::Answer(503));
        stage.enqueue("intake", &["a", "bb"]).await;
        stage.enqueue_runs(&["ccc"]).await;
        stage.crash().await;
        assert_eq!(stage.dropped(DropReason::Restart), Contents { payloads: 1, bytes: 3, check_runs: 1, ..Contents::default() });
        assert_eq!(stage.stats().spooled.events, 2);
        // Also if the disk does not work when it is started again.
        spool.fail(true);
        stage.crash().await;
        stage.crash().await;
        assert_eq!((stage.stats().spooled.events, stage.stats().queued.events), (2, 2));
        spool.fail(false);
        stage.does(Act::Answer(202));
        stage.universe.advance(MINUTE * 3).await;
        assert_eq!(stage.accepted(), ["a", "bb"]);
        assert_eq!(stage.stats().total_dropped().payloads, 1);
    });
}

/// What happens in a world of chance.
#[test]
fn in_any_order_of_mishaps_what_was_told_to_be_safe_arrives() {
    for seed in 0..60 {
        universe::run(seed, |universe| async move {
            let random = universe.random();
            let chance = |of: f64| (random.unit() * of) as u64;
            let spool = FakeSpool::with_delay(Duration::from_millis(chance(3.0)));
            let stage = Stage::build(universe, setup(&spool, 1 + chance(4.0) as usize));
            let mut sources = BTreeMap::new();
            let mut crashes = 0;
            for number in 0..80 {
                match chance(12.0) {
                    0 => stage.does(Act::Answer(503)),
                    1 => stage.does(Act::Fail),
                    2 => stage.does(Act::Answer(403)),
                    3 => stage.does(Act::Answer(202)),
                    4 => spool.fail(true),
                    5 => spool.fail(false),
                    6 if crashes < 4 => {
                        crashes += 1;
                        stage.crash().await;
                    }
                    7 => stage.enqueue_runs(&[&format!("run-{number:0200}")]).await,
                    _ => {
                        let body = format!("event-{number}");
                        stage.enqueue_with_receipt(number, &[&body]).await;
                        sources.insert(number, body);
                    }
                }
                stage.universe.advance(Duration::from_secs(chance(90.0))).await;
            }
            spool.fail(false);
            stage.does(Act::Answer(202));
            stage.universe.advance(MINUTE * 10).await;
            let accepted: BTreeSet<String> = stage.accepted().into_iter().collect();
            let told: BTreeMap<u64, Fate> = stage.told().into_iter().collect();
            assert_eq!(told.len(), sources.len(), "every source is told");
            for (number, body) in &sources {
                assert!(told[number] != Fate::Safe || accepted.contains(body), "{body}");
            }
            let stats = stage.stats();
            assert!(stats.queued.is_empty() && spool.bodies().is_empty(), "{stats:?}");
            let lost = stats.total_dropped().events;
            let missing: Vec<_> =
                sources.iter().filter(|(_, body)| !accepted.contains(*body)).map(|(number, _)| (number, told[number])).collect();
            assert!(lost >= missing.len() as u64, "{missing:?} {stats:?}");
        });
    }
}

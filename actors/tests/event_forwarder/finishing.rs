//! The process ends: what the outputs have is waited for, the rest is left to whoever leads next.

use std::time::Duration;

use futures_util::FutureExt as _;
use muster_actors::kernel::universe;
use muster_actors::messages::event_forwarder::FinishRound;
use muster_actors::messages::output::Fate;

use crate::rig::{Rig, START, one_by_one, watching};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn what_the_outputs_have_is_waited_for_and_its_token_is_stored() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2, 3]);
        rig.replica.lead(1);
        rig.let_be(None);
        rig.advance(10).await;
        let mut finished = Box::pin(rig.replica.forwarder.ask(FinishRound, LONG));
        assert!((&mut finished).now_or_never().is_none());
        rig.advance(5).await;
        assert!((&mut finished).now_or_never().is_none(), "no output has told yet");
        rig.replica.outputs.iter().for_each(|output| output.settle(Fate::Safe));
        rig.advance(0).await;
        assert_eq!(finished.now_or_never().map(|answer| answer.is_ok()), Some(true));
        assert_eq!(rig.stored().unwrap().0, "3");
        rig.make([4]);
        rig.let_be(Some(Fate::Safe));
        rig.advance(60).await;
        assert_eq!((rig.texts(), rig.stats().rounds), (["2", "3"].map(str::to_owned).to_vec(), 1), "nothing is read any more");
    });
}

#[test]
fn a_round_that_reads_is_given_up_at_once() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        rig.advance(1).await;
        assert!(rig.stats().in_flight, "its watch lasts two seconds");
        let mut finished = Box::pin(rig.replica.forwarder.ask(FinishRound, LONG));
        assert!((&mut finished).now_or_never().is_none());
        rig.advance(0).await;
        assert_eq!(finished.now_or_never().map(|answer| answer.is_ok()), Some(true));
        rig.advance(60).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (Vec::new(), "1"));
    });
}

#[test]
fn a_watch_is_closed_and_stays_so() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, watching());
        rig.tokens.put("1", START);
        rig.replica.lead(1);
        rig.advance(3).await;
        assert!(rig.stats().watching);
        let mut finished = Box::pin(rig.replica.forwarder.ask(FinishRound, LONG));
        assert!((&mut finished).now_or_never().is_none());
        rig.advance(30).await;
        assert_eq!(finished.now_or_never().map(|answer| answer.is_ok()), Some(true));
        assert!(!rig.stats().watching);
    });
}

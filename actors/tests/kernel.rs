//! Supervision, liveness and the test universe, seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use muster_actors::kernel::ask::AskError;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::health::{HealthKind, HealthReport};
use muster_actors::kernel::intensity::RestartIntensity;
use muster_actors::kernel::mailbox::{Handle, TellError};
use muster_actors::kernel::rng::Random;
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::universe::{self, Universe, UniverseError};
use muster_actors::supervised;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counter {
    count: u64,
    starts: Option<Rc<RefCell<Vec<&'static str>>>>,
    name: &'static str,
    refuses_to_stop: bool,
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

/// Makes the actor wait for ever without looking at its mailbox.
#[derive(Message)]
#[rtype(result = "()")]
struct Hang(Duration);

#[derive(Message)]
#[rtype(result = "()")]
struct StopYourself;

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        if let Some(starts) = &self.starts {
            starts.borrow_mut().push(self.name);
        }
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        if self.refuses_to_stop { Running::Continue } else { Running::Stop }
    }
}

impl Observed for Counter {
    fn observe(&self) -> serde_json::Value {
        json!({ "count": self.count })
    }
}

supervised!(Counter);

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.count += add.0;
        self.count
    }
}

impl Handler<Panic> for Counter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("asked to");
    }
}

impl Handler<Hang> for Counter {
    type Result = ();

    fn handle(&mut self, hang: Hang, context: &mut Context<Self>) {
        context.wait(tokio::time::sleep(hang.0).into_actor(self));
    }
}

impl Handler<StopYourself> for Counter {
    type Result = ();

    fn handle(&mut self, _: StopYourself, context: &mut Context<Self>) {
        context.stop();
    }
}

async fn panic_and_settle(universe: &Universe, handle: &Handle<Counter>) {
    universe.expect_panics(1);
    handle.tell(Panic).unwrap();
    universe.settle().await;
}

fn restarts(universe: &Universe, name: &str) -> u64 {
    universe.kernel().registry().status(name).unwrap().restarts
}

#[test]
fn after_a_panic_the_same_handle_leads_to_a_fresh_actor() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        assert_eq!(counter.ask(Add(5), DEADLINE).await, Ok(5));
        panic_and_settle(&universe, &counter).await;
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Ok(1));
        let status = universe.kernel().registry().status("counter").unwrap();
        assert_eq!((status.restarts, status.panics, status.alive), (1, 1, true));
    });
}

#[test]
fn a_question_held_by_a_dying_actor_is_answered_with_down() {
    universe::run(1, |universe| async move {
        universe.expect_panics(1);
        let counter = universe.start("counter", Counter::default);
        assert_eq!(counter.ask(Panic, DEADLINE).await, Err(AskError::Down("counter")));
    });
}

#[test]
fn a_question_queued_behind_a_panic_is_answered_with_down() {
    universe::run(1, |universe| async move {
        universe.expect_panics(1);
        let counter = universe.start("counter", Counter::default);
        counter.tell(Panic).unwrap();
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Err(AskError::Down("counter")));
    });
}

#[test]
fn an_unbound_handle_is_down_and_counts_what_it_refused() {
    universe::run(1, |_universe| async move {
        let counter = Handle::<Counter>::new("counter");
        assert_eq!(counter.tell(Panic), Err(TellError::Down("counter")));
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Err(AskError::Down("counter")));
        assert_eq!(counter.refused(), 1);
    });
}

#[test]
fn an_actor_that_stops_itself_is_started_again() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        counter.tell(StopYourself).unwrap();
        universe.settle().await;
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Ok(1));
        assert_eq!(restarts(&universe, "counter"), 1);
    });
}

/// Three actors `a`, `b`, `c` that note their starts.
struct Trio {
    handles: [Handle<Counter>; 3],
    starts: Rc<RefCell<Vec<&'static str>>>,
}

impl Trio {
    fn new() -> Self {
        Self { handles: [Handle::new("a"), Handle::new("b"), Handle::new("c")], starts: Rc::default() }
    }

    fn factory(&self, index: usize) -> impl Fn() -> Counter + 'static {
        let (name, starts) = (self.handles[index].name(), Rc::clone(&self.starts));
        move || Counter { name, starts: Some(Rc::clone(&starts)), ..Counter::default() }
    }

    fn take_starts(&self) -> Vec<&'static str> {
        self.starts.take()
    }
}

#[test]
fn members_of_a_group_restart_together_in_the_order_of_their_first_start() {
    universe::run(1, |universe| async move {
        let trio = Trio::new();
        let group = universe.kernel().group("state", None);
        for index in 0..3 {
            group.child(&trio.handles[index], 16, trio.factory(index));
        }
        universe.settle().await;
        assert_eq!(trio.take_starts(), ["a", "b", "c"]);
        assert_eq!(trio.handles[0].ask(Add(7), DEADLINE).await, Ok(7));
        panic_and_settle(&universe, &trio.handles[1]).await;
        assert_eq!(trio.take_starts(), ["a", "b", "c"]);
        assert_eq!(trio.handles[0].ask(Add(1), DEADLINE).await, Ok(1), "a member that did not panic also starts afresh");
    });
}

#[test]
fn in_a_one_for_one_group_only_the_dead_restarts() {
    universe::run(1, |universe| async move {
        let trio = Trio::new();
        let group = universe.kernel().one_for_one("outputs", None);
        for index in 0..3 {
            group.child(&trio.handles[index], 16, trio.factory(index));
        }
        universe.settle().await;
        trio.take_starts();
        panic_and_settle(&universe, &trio.handles[1]).await;
        assert_eq!(trio.take_starts(), ["b"]);
    });
}

#[test]
fn two_members_that_panic_at_once_cost_one_restart_of_the_group() {
    universe::run(1, |universe| async move {
        let trio = Trio::new();
        let group = universe.kernel().group("state", None).with_intensity(RestartIntensity::new(1, Duration::from_secs(60)));
        for index in 0..3 {
            group.child(&trio.handles[index], 16, trio.factory(index));
        }
        universe.settle().await;
        trio.take_starts();
        universe.expect_panics(2);
        trio.handles[0].tell(Panic).unwrap();
        trio.handles[2].tell(Panic).unwrap();
        universe.settle().await;
        assert_eq!(trio.take_starts(), ["a", "b", "c"]);
    });
}

#[test]
fn a_group_that_fails_too_often_makes_its_parent_restart_everything_below_it() {
    universe::run(1, |universe| async move {
        let trio = Trio::new();
        let once = RestartIntensity::new(1, Duration::from_secs(60));
        let parent = universe.kernel().group("parent", None);
        let first = universe.kernel().group("first", Some(&parent)).with_intensity(once.clone());
        let second = universe.kernel().group("second", Some(&parent));
        parent.child(&trio.handles[0], 16, trio.factory(0));
        first.child(&trio.handles[1], 16, trio.factory(1));
        second.child(&trio.handles[2], 16, trio.factory(2));
        universe.settle().await;
        trio.take_starts();
        panic_and_settle(&universe, &trio.handles[1]).await;
        assert_eq!(trio.take_starts(), ["b"]);
        panic_and_settle(&universe, &trio.handles[1]).await;
        assert_eq!(trio.take_starts(), ["a", "b", "c"]);
        panic_and_settle(&universe, &trio.handles[1]).await;
        assert_eq!(trio.take_starts(), ["b"], "the parent's restart gave the group a new chance");
    });
}

#[test]
fn when_the_outermost_group_fails_the_root_stops_everything_and_gives_up_once() {
    universe::run(1, |universe| async move {
        let reasons = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&reasons);
        let kernel = universe.another_kernel(move |reason| seen.borrow_mut().push(reason.to_string()));
        let trio = Trio::new();
        let parent = kernel.group("parent", None).with_intensity(RestartIntensity::new(0, Duration::from_secs(60)));
        let group = kernel.group("state", Some(&parent));
        group.child(&trio.handles[0], 16, trio.factory(0));
        kernel.group("other", None).child(&trio.handles[1], 16, trio.factory(1));
        for _ in 0..6 {
            assert!(reasons.borrow().is_empty());
            panic_and_settle(&universe, &trio.handles[0]).await;
        }
        assert_eq!(*reasons.borrow(), ["keep actors of group parent running: a failed too often"]);
        assert_eq!(trio.handles[0].tell(Panic), Err(TellError::Down("a")));
        assert_eq!(trio.handles[1].tell(Panic), Err(TellError::Down("b")));
    });
}

#[test]
fn an_actor_that_panics_when_it_starts_cannot_spin() {
    universe::run(1, |universe| async move {
        let exhausted = Rc::new(Cell::new(false));
        let seen = Rc::clone(&exhausted);
        let kernel = universe.another_kernel(move |_| seen.set(true));
        universe.expect_panics(6);
        let handle = Handle::<Counter>::new("broken");
        kernel.group("state", None).child(&handle, 16, || panic!("broken factory"));
        universe.settle().await;
        assert!(exhausted.get());
    });
}

#[test]
fn failures_spread_over_time_never_escalate() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        for _ in 0..20 {
            panic_and_settle(&universe, &counter).await;
            universe.advance(Duration::from_secs(12)).await;
        }
        assert_eq!(restarts(&universe, "counter"), 20);
    });
}

#[test]
fn a_full_mailbox_is_reported_and_counted() {
    universe::run(1, |universe| async move {
        let handle = Handle::<Counter>::new("counter");
        universe.kernel().group("state", None).child(&handle, 4, Counter::default);
        universe.settle().await;
        handle.tell(Hang(Duration::from_secs(2))).unwrap();
        universe.settle().await;
        let mut accepted = 0;
        let refusal = loop {
            match handle.tell(Add(1)) {
                Ok(()) => accepted += 1,
                Err(refusal) => break refusal,
            }
            assert!(accepted < 100, "the mailbox has no limit");
        };
        assert_eq!(refusal, TellError::Full("counter"));
        assert!(accepted >= 4);
        assert_eq!(universe.kernel().registry().status("counter").unwrap().refused, 1);
        universe.advance(Duration::from_secs(2)).await;
        assert_eq!(handle.ask(Add(0), DEADLINE).await, Ok(accepted));
    });
}

#[test]
fn a_question_without_an_answer_ends_at_its_deadline() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        counter.tell(Hang(Duration::from_secs(10))).unwrap();
        let asked_at = universe.clock().monotonic();
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Err(AskError::Timeout { actor: "counter", deadline: DEADLINE }));
        let waited = universe.clock().monotonic().saturating_sub(asked_at);
        assert!(waited >= DEADLINE && waited < 2 * DEADLINE, "virtual time: {waited:?}");
        universe.advance(Duration::from_secs(10)).await;
    });
}

fn report(healthy: &[&str], unhealthy: &[&str]) -> HealthReport {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    HealthReport { healthy: names(healthy), unhealthy: names(unhealthy) }
}

#[test]
fn an_actor_is_unhealthy_until_its_first_answer() {
    universe::run(1, |universe| async move {
        let health = universe.kernel().health();
        universe.start("counter", Counter::default);
        assert_eq!(health.report(HealthKind::Liveness), report(&[], &["counter", "healthcheck"]));
        universe.settle().await;
        assert_eq!(health.report(HealthKind::Liveness), report(&["counter", "healthcheck"], &[]));
    });
}

#[test]
fn an_actor_that_hangs_for_thirty_seconds_is_unhealthy_by_name_until_it_answers() {
    universe::run(1, |universe| async move {
        let health = universe.kernel().health();
        let counter = universe.start("counter", Counter::default);
        universe.start("other", Counter::default);
        universe.settle().await;
        counter.tell(Hang(Duration::from_secs(50))).unwrap();
        universe.advance(Duration::from_secs(29)).await;
        assert!(health.report(HealthKind::Liveness).passes());
        universe.advance(Duration::from_secs(2)).await;
        assert_eq!(health.report(HealthKind::Liveness), report(&["healthcheck", "other"], &["counter"]));
        universe.advance(Duration::from_secs(25)).await;
        assert!(health.report(HealthKind::Liveness).passes());
    });
}

#[test]
fn a_stuck_kernel_shows_in_the_report() {
    universe::run(1, |universe| async move {
        let kernel = universe.another_kernel(|_| ());
        universe.settle().await;
        kernel.shutdown(DEADLINE).await;
        universe.advance(Duration::from_secs(31)).await;
        assert_eq!(kernel.health().report(HealthKind::Liveness), report(&[], &["healthcheck"]));
    });
}

#[test]
fn readiness_contains_liveness_and_flags_but_startup_only_its_own() {
    universe::run(1, |universe| async move {
        let health = universe.kernel().health();
        let connected = health.flag(HealthKind::Readiness, "apiserver");
        let started = health.flag(HealthKind::Startup, "components");
        universe.settle().await;
        assert_eq!(health.report(HealthKind::Readiness), report(&["healthcheck"], &["apiserver"]));
        connected.set(true);
        assert_eq!(health.report(HealthKind::Readiness), report(&["apiserver", "healthcheck"], &[]));
        assert_eq!(health.report(HealthKind::Liveness), report(&["healthcheck"], &[]));
        assert_eq!(health.report(HealthKind::Startup), report(&[], &["components"]));
        started.set(true);
        assert_eq!(health.report(HealthKind::Startup), report(&["components"], &[]));
    });
}

#[test]
fn all_actors_are_observed_and_one_that_does_not_answer_is_named() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        let stuck = universe.start("stuck", Counter::default);
        counter.tell(Add(3)).unwrap();
        stuck.tell(Hang(Duration::from_secs(5))).unwrap();
        let states = universe.kernel().registry().observe_all(DEADLINE).await;
        assert_eq!(states["counter"], json!({ "count": 3 }));
        assert_eq!(states["stuck"], json!({ "error": "ask stuck: no answer within 1s" }));
        universe.advance(Duration::from_secs(5)).await;
    });
}

#[test]
fn the_registry_finds_handles_by_type_and_name_and_numbers_namesakes() {
    universe::run(1, |universe| async move {
        universe.start("counter", Counter::default);
        universe.start("counter", Counter::default);
        let registry = universe.kernel().registry();
        assert_eq!(registry.names(), ["counter", "counter#2"]);
        let found = registry.get::<Counter>("counter#2").unwrap();
        assert_eq!(found.ask(Add(2), DEADLINE).await, Ok(2));
        assert!(registry.get::<Counter>("nobody").is_none());
        assert!(registry.get::<Other>("counter").is_none());
    });
}

struct Other;

impl Actor for Other {
    type Context = Context<Self>;
}

impl Observed for Other {
    fn observe(&self) -> serde_json::Value {
        json!({})
    }
}

supervised!(Other);

#[test]
fn a_crash_on_request_takes_the_way_of_a_panic() {
    universe::run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        counter.tell(Add(1)).unwrap();
        universe.expect_panics(1);
        assert!(universe.kernel().crash("counter"));
        assert!(!universe.kernel().crash("nobody"));
        universe.settle().await;
        assert_eq!(counter.ask(Add(1), DEADLINE).await, Ok(1));
    });
}

/// Notes its name when it stops.
struct Mourner(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Actor for Mourner {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.1.borrow_mut().push(self.0);
    }
}

impl Observed for Mourner {
    fn observe(&self) -> serde_json::Value {
        json!({})
    }
}

supervised!(Mourner);

#[test]
fn shutdown_stops_groups_and_members_in_reverse_order_and_starts_nothing_again() {
    universe::run(1, |universe| async move {
        let kernel = universe.another_kernel(|_| ());
        let stops = Rc::new(RefCell::new(Vec::new()));
        let first = kernel.group("first", None);
        let second = kernel.group("second", None);
        let mut handles = Vec::new();
        for (group, name) in [(&first, "a"), (&second, "b"), (&first, "c"), (&second, "d")] {
            let handle = Handle::new(name);
            let stops = Rc::clone(&stops);
            group.child(&handle, 16, move || Mourner(name, Rc::clone(&stops)));
            handles.push(handle);
        }
        universe.settle().await;
        assert!(kernel.shutdown(DEADLINE).await.is_empty());
        assert_eq!(*stops.borrow(), ["d", "b", "c", "a"]);
        universe.settle().await;
        assert!(kernel.registry().statuses().iter().all(|status| !status.alive && status.restarts == 0));
        let late = Handle::new("late");
        first.child(&late, 16, Counter::default);
        assert_eq!(late.tell(Panic), Err(TellError::Down("late")));
    });
}

#[test]
fn shutdown_waits_no_longer_than_its_grace_and_names_who_is_left() {
    universe::run(1, |universe| async move {
        let kernel = universe.another_kernel(|_| ());
        let stuck = Handle::new("stuck");
        kernel.group("first", None).child(&stuck, 16, Counter::default);
        stuck.tell(Hang(Duration::from_secs(20))).unwrap();
        universe.settle().await;
        let began_at = universe.clock().monotonic();
        assert_eq!(kernel.shutdown(Duration::from_secs(10)).await, ["stuck"]);
        assert_eq!(universe.clock().monotonic().saturating_sub(began_at), Duration::from_secs(10));
        universe.advance(Duration::from_secs(20)).await;
        assert_eq!(stuck.tell(Panic), Err(TellError::Down("stuck")), "the order to stop was kept for it");
    });
}

#[test]
fn a_universe_fails_when_an_actor_is_left_running() {
    let ended = universe::try_run(1, |universe| async move {
        universe.start("clinging", || Counter { refuses_to_stop: true, ..Counter::default() });
    });
    assert_eq!(ended, Err(UniverseError::Leaked(vec!["clinging".to_owned()])));
}

#[test]
fn a_universe_fails_on_a_panic_that_was_not_announced() {
    let ended = universe::try_run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        counter.tell(Panic).unwrap();
        universe.settle().await;
    });
    assert_eq!(ended, Err(UniverseError::Panics { seen: 1, expected: 0, actors: vec!["counter".to_owned()] }));
}

#[test]
fn a_universe_fails_when_an_announced_panic_does_not_happen() {
    let ended = universe::try_run(1, |universe| async move { universe.expect_panics(1) });
    assert_eq!(ended, Err(UniverseError::Panics { seen: 0, expected: 1, actors: Vec::new() }));
}

#[test]
fn a_universe_fails_when_a_stub_panics() {
    let ended = universe::try_run(1, |universe| async move {
        let outlet = universe.stub("stub", |_: Add| panic!("unexpected message"));
        outlet.tell(Add(1)).unwrap();
        universe.settle().await;
    });
    assert_eq!(ended, Err(UniverseError::Panics { seen: 1, expected: 0, actors: vec!["stub".to_owned()] }));
}

#[test]
fn a_universe_fails_when_its_kernel_gives_up() {
    let ended = universe::try_run(1, |universe| async move {
        let counter = universe.start("counter", Counter::default);
        for _ in 0..6 {
            panic_and_settle(&universe, &counter).await;
        }
    });
    assert!(matches!(ended, Err(UniverseError::Exhausted(reason)) if reason.actor == "counter"));
}

#[test]
fn a_panic_of_the_test_body_goes_through() {
    let ended = std::panic::catch_unwind(|| {
        universe::run(1, |universe| async move {
            universe.start("counter", Counter::default);
            panic!("the assertion of the test");
        });
    });
    assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"the assertion of the test"));
}

#[test]
fn stubs_answer_and_recorders_record() {
    universe::run(1, |universe| async move {
        let doubling = universe.stub("doubling", |add: Add| add.0 * 2);
        assert_eq!(doubling.ask(Add(4), DEADLINE).await, Ok(8));
        let (outlet, recorded) = universe.recorder::<Hang>("recorder");
        outlet.tell(Hang(DEADLINE)).unwrap();
        universe.settle().await;
        assert_eq!(recorded.take().iter().map(|hang| hang.0).collect::<Vec<_>>(), [DEADLINE]);
        assert!(recorded.take().is_empty());
    });
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
    let numbers = |seed| universe::run(seed, |universe| async move { (0..8).map(|_| universe.random().next_u64()).collect::<Vec<_>>() });
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
}

#[test]
fn an_hour_of_virtual_time_passes_with_every_timer_on_its_way() {
    universe::run(1, |universe| async move {
        let ticks = Rc::new(RefCell::new(Vec::new()));
        let (seen, clock) = (Rc::clone(&ticks), universe.clock());
        universe.start("ticker", move || Ticker(Rc::clone(&seen), Arc::clone(&clock)));
        universe.advance(Duration::from_secs(3_600)).await;
        let minutes: Vec<_> = ticks.borrow().iter().map(|at: &Duration| at.as_secs() / 60).collect();
        assert_eq!(minutes, (1..=minutes.len() as u64).collect::<Vec<_>>());
        assert!(minutes.len() >= 59);
        assert_eq!(universe.clock().unix_seconds(), 1_700_000_000 + 3_600);
    });
}

struct Ticker(Rc<RefCell<Vec<Duration>>>, Arc<dyn Clock>);

impl Actor for Ticker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(Duration::from_secs(60), |ticker, _| ticker.0.borrow_mut().push(ticker.1.monotonic()));
    }
}

impl Observed for Ticker {
    fn observe(&self) -> serde_json::Value {
        json!({})
    }
}

supervised!(Ticker);

/// A token that wanders between walkers, by chance over chosen ways and delays.
#[derive(Message)]
#[rtype(result = "()")]
struct Token(u32);

struct Walker {
    name: usize,
    others: Vec<Handle<Walker>>,
    random: Arc<dyn Random>,
    trace: Rc<RefCell<Vec<(usize, u32)>>>,
}

impl Actor for Walker {
    type Context = Context<Self>;

    /// Lets a new token loose every second, because every panic loses some.
    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(Duration::from_secs(1), |walker, context| context.notify(Token(walker.random.below(1_000) as u32)));
    }
}

impl Observed for Walker {
    fn observe(&self) -> serde_json::Value {
        json!({})
    }
}

supervised!(Walker);

impl Handler<Token> for Walker {
    type Result = ();

    fn handle(&mut self, token: Token, context: &mut Context<Self>) {
        self.trace.borrow_mut().push((self.name, token.0));
        assert!(self.random.below(50) != 0, "a bug by chance");
        context.run_later(Duration::from_millis(self.random.below(200)), move |walker, _| {
            let next = &walker.others[walker.random.below(walker.others.len() as u64) as usize];
            // A walker that is down loses the token, as a real message would be lost.
            let _ = next.tell(token);
        });
    }
}

/// Five walkers for a minute; who saw which token, and how many died of it.
fn walk(seed: u64) -> (Vec<(usize, u32)>, u64) {
    universe::run(seed, |universe| async move {
        let trace = Rc::new(RefCell::new(Vec::new()));
        let walkers: Vec<Handle<Walker>> = ["v", "w", "x", "y", "z"].map(Handle::new).into();
        let kernel = universe.kernel();
        let group = kernel.one_for_one("walkers", None).with_intensity(RestartIntensity::new(100, Duration::from_secs(1)));
        for (name, handle) in walkers.iter().enumerate() {
            let (others, random, trace) = (walkers.clone(), universe.random(), Rc::clone(&trace));
            group.child(handle, 16, move || Walker { name, others: others.clone(), random: Arc::clone(&random), trace: Rc::clone(&trace) });
        }
        universe.advance(Duration::from_secs(60)).await;
        let panics = kernel.registry().statuses().iter().map(|status| status.panics).sum();
        universe.expect_panics(panics);
        (trace.take(), panics)
    })
}

#[test]
fn the_same_seed_replays_messages_timers_and_panics_identically() {
    let first = walk(11);
    assert!(first.0.len() > 500 && first.1 > 5, "too little happens to prove anything: {} messages, {} panics", first.0.len(), first.1);
    assert_eq!(first, walk(11));
    assert_ne!(first, walk(12));
}

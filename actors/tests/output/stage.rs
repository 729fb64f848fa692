//! An output, what it sends to, and where it stores.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use muster_actors::domain::delivery::{Contents, DropReason, Encoded, KeyState, Payload, Route, SendErrorKind, SendResult};
use muster_actors::domain::samples::{Batch, CheckRun, Event, ServiceStatus};
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::{Handle, Outlet};
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::universe::{Recorded, Universe};
use muster_actors::messages::output::{Drain, DrainReport, Enqueue, Fate, KeyChanged, OutputStats, Receipt, Settled};
use muster_actors::ports::{OutputTransport, Spool};
use muster_actors::shared::output::{Output, OutputParts, OutputPolicy};
use muster_actors::testing::spool::FakeSpool;

pub const DEADLINE: Duration = Duration::from_secs(10);

/// What the destination does with an attempt.
#[derive(Clone)]
pub enum Act {
    Answer(u16),
    Fail,
    Close,
    Hang,
    /// Answer 202 after this time.
    Late(Duration),
    /// Answer 403 after this time.
    LateRefusal(Duration),
}

/// Payloads have one item each. The title of an event names its route, its text is the body; so is the message of a service check.
pub struct Scripted {
    clock: Arc<dyn Clock>,
    acts: Mutex<BTreeMap<&'static str, VecDeque<Act>>>,
    /// What it does when the script is over.
    then: Mutex<Act>,
    attempts: Mutex<Vec<(Duration, String)>>,
    accepted: Mutex<Vec<String>>,
    keys: Mutex<VecDeque<KeyState>>,
}

const CHECK_RUN: Route = Route { name: "check_run_v1", path: "/check_run", content_type: "" };

const ROUTES: [Route; 3] = [
    Route { name: "series_v2", path: "/series", content_type: "" },
    Route { name: "intake", path: "/intake/", content_type: "" },
    CHECK_RUN,
];

impl OutputTransport for Scripted {
    fn encode(&self, batch: &Batch) -> Encoded {
        let mut encoded = Encoded::default();
        for event in &batch.events {
            assert_ne!(event.text, "poison", "a bug in encoding");
            let contents = Contents { events: 1, ..Contents::default() };
            match event.text.as_str() {
                "oversize" => {
                    encoded.oversize += contents;
                    continue;
                }
                "no memory" => {
                    encoded.uncompressed += contents;
                    continue;
                }
                _ => {}
            }
            let route = self.route(&event.title).unwrap();
            encoded.payloads.push(Payload::new(route, event.text.clone().into_bytes(), contents));
        }
        for run in &batch.check_runs {
            let contents = Contents { check_runs: 1, ..Contents::default() };
            encoded.payloads.push(Payload::new(CHECK_RUN, run.message.clone().into_bytes(), contents));
        }
        encoded
    }

    fn send(&self, payload: &Payload) -> BoxFuture<'static, SendResult> {
        let body = String::from_utf8(payload.body.clone()).unwrap();
        assert_eq!(payload.contents.bytes, body.len() as u64);
        self.attempts.lock().unwrap().push((self.clock.monotonic(), body.clone()));
        let scripted = self.acts.lock().unwrap().get_mut(payload.route.name).and_then(VecDeque::pop_front);
        let act = scripted.unwrap_or_else(|| self.then.lock().unwrap().clone());
        if matches!(act, Act::Answer(202)) {
            self.accepted.lock().unwrap().push(body);
        }
        Box::pin(async move {
            match act {
                Act::Answer(status) => SendResult::Answered(status),
                Act::Fail => SendResult::Failed { kind: SendErrorKind::ConnectionFailure, text: "refused".to_owned() },
                Act::Close => SendResult::Closed { text: "broken pipe".to_owned() },
                Act::Hang => std::future::pending().await,
                Act::Late(after) => {
                    tokio::time::sleep(after).await;
                    SendResult::Answered(202)
                }
                Act::LateRefusal(after) => {
                    tokio::time::sleep(after).await;
                    SendResult::Answered(403)
                }
            }
        })
    }

    fn route(&self, name: &str) -> Option<Route> {
        ROUTES.into_iter().find(|route| route.name == name)
    }

    fn check_key(&self) -> Option<BoxFuture<'static, KeyState>> {
        let answer = self.keys.lock().unwrap().pop_front()?;
        Some(Box::pin(async move { answer }))
    }
}

/// How a test wants its output.
pub struct Setup<'a> {
    pub policy: OutputPolicy,
    pub spool: Option<FakeSpool>,
    pub primary: bool,
    pub acts: &'a [(&'static str, &'a [Act])],
    pub keys: &'a [KeyState],
}

impl Default for Setup<'_> {
    /// Memory for a thousand bytes, one request at a time.
    fn default() -> Self {
        let policy = OutputPolicy { max_queue_bytes: 1000, max_in_flight: 1, ..OutputPolicy::default() };
        Self { policy, spool: None, primary: true, acts: &[], keys: &[] }
    }
}

pub struct Stage {
    pub universe: Universe,
    transport: Arc<Scripted>,
    pub output: Handle<Output>,
    stats: Reader<OutputStats>,
    told: (Outlet<Settled>, Recorded<Settled>),
}

impl Stage {
    pub fn new(universe: Universe, max_queue_bytes: u64, acts: &[(&'static str, &[Act])]) -> Self {
        Self::with_keys(universe, max_queue_bytes, acts, &[])
    }

    pub fn with_keys(universe: Universe, max_queue_bytes: u64, acts: &[(&'static str, &[Act])], keys: &[KeyState]) -> Self {
        let policy = OutputPolicy { max_queue_bytes, ..Setup::default().policy };
        Self::build(universe, Setup { policy, acts, keys, ..Setup::default() })
    }

    pub fn build(universe: Universe, setup: Setup<'_>) -> Self {
        Self::named("output_test", universe, setup)
    }

    /// A further life of the process, or another output.
    pub fn named(name: &'static str, universe: Universe, setup: Setup<'_>) -> Self {
        let transport = Arc::new(Scripted {
            clock: universe.clock(),
            acts: Mutex::new(setup.acts.iter().map(|(route, acts)| (*route, acts.iter().cloned().collect())).collect()),
            then: Mutex::new(Act::Answer(202)),
            attempts: Mutex::default(),
            accepted: Mutex::default(),
            keys: Mutex::new(setup.keys.iter().copied().collect()),
        });
        let publisher = Arc::new(Publisher::new(OutputStats { destination: "test".to_owned(), ..OutputStats::default() }));
        let stats = publisher.reader();
        let parts = OutputParts {
            transport: transport.clone(),
            spool: setup.spool.map(|spool| Arc::new(spool) as Arc<dyn Spool>),
            primary: setup.primary,
            policy: setup.policy,
            publisher,
            clock: universe.clock(),
            random: universe.random(),
        };
        let told = universe.recorder("source");
        let output = universe.start(name, move || Output::new(parts.clone()));
        Self { universe, transport, output, stats, told }
    }

    /// Hands over one batch with one event per body, and lets it be encoded.
    pub async fn enqueue(&self, route: &str, bodies: &[&str]) {
        self.output.tell(Enqueue::new(events(route, bodies))).unwrap();
        self.universe.settle().await;
    }

    /// The same for the route of events, from a source that wants to hear of it.
    pub async fn enqueue_with_receipt(&self, number: u64, bodies: &[&str]) {
        let receipt = Some(Receipt::new(number, self.told.0.clone()));
        self.output.post(Enqueue { batch: events("intake", bodies), receipt });
        self.universe.settle().await;
    }

    /// Hands over one batch with one service check per body.
    pub async fn enqueue_runs(&self, bodies: &[&str]) {
        let run = |body: &&str| CheckRun {
            name: String::new(),
            host: String::new(),
            timestamp: 0,
            status: ServiceStatus::Ok,
            message: (*body).to_owned(),
            tags: vec![],
        };
        let batch = Batch { check_runs: bodies.iter().map(run).collect(), ..Batch::default() };
        self.output.post(Enqueue::new(Arc::new(batch)));
        self.universe.settle().await;
    }

    /// It is told that the destination has another key.
    pub async fn change_key(&self, ending: &str) {
        self.output.post(KeyChanged { ending: ending.to_owned() });
        self.universe.settle().await;
    }

    /// What its source was told since the last call.
    pub fn told(&self) -> Vec<(u64, Fate)> {
        self.told.1.take().into_iter().map(|settled| (settled.number, settled.fate)).collect()
    }

    /// What the destination does from now on.
    pub fn does(&self, act: Act) {
        *self.transport.then.lock().unwrap() = act;
    }

    pub fn attempts(&self) -> Vec<String> {
        self.transport.attempts.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    pub fn attempt_times(&self) -> Vec<Duration> {
        self.transport.attempts.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// What was answered with 202, in order.
    pub fn accepted(&self) -> Vec<String> {
        self.transport.accepted.lock().unwrap().clone()
    }

    pub fn stats(&self) -> Arc<OutputStats> {
        self.stats.current()
    }

    pub fn dropped(&self, reason: DropReason) -> Contents {
        self.stats().dropped.get(&reason).copied().unwrap_or_default()
    }

    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.output.ask(Drain { deadline }, DEADLINE).await.unwrap()
    }

    /// The actor panics and is started again.
    pub async fn crash(&self) {
        self.universe.expect_panics(1);
        assert!(self.universe.kernel().crash(self.output.name()));
        self.universe.settle().await;
    }
}

fn events(route: &str, bodies: &[&str]) -> Arc<Batch> {
    let event = |body: &&str| Event { title: route.to_owned(), text: (*body).to_owned(), ..Event::default() };
    Arc::new(Batch { events: bodies.iter().map(event).collect(), ..Batch::default() })
}

pub fn one_event(bytes: u64) -> Contents {
    Contents { payloads: 1, bytes, events: 1, ..Contents::default() }
}

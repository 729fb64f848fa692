//! The process that is killed: a source that gives one event after the other to an output, and says which are safe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use actix_rt::System;
use muster::config::ApiKey;
use muster::config::settings::{Compressor, IntakeSettings, OutputKind, SpoolSettings};
use muster::output::plan::build;
use muster::output::settings::OutputSettings;
use muster_actors::domain::backoff::BackoffPolicy;
use muster_actors::domain::samples::{Batch, Event};
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::{Handle, Outlet};
use muster_actors::kernel::rng::SeededRandom;
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::output::{Enqueue, Fate, Receipt, Settled};
use muster_actors::shared::output::{Output, OutputPolicy};
use muster_actors::supervised;
use serde_json::json;

use crate::KEY;

/// Events that the source gives before it hears of the first.
pub const OUTSTANDING: u64 = 3;

/// Requests under way, and files whose removal is, at most.
pub const MOST_UNCONFIRMED: u64 = 50;

struct Source {
    output: Outlet<Enqueue>,
    heard: Handle<Self>,
    life: u64,
    next: u64,
    events: u64,
}

impl Source {
    fn give(&mut self) {
        if self.next == self.events {
            return;
        }
        let event = Event { title: self.id(self.next), timestamp: 1_700_000_000, ..Event::default() };
        let receipt = Some(Receipt::new(self.next, self.heard.outlet()));
        self.next += 1;
        self.output.post(Enqueue { batch: Arc::new(Batch { events: vec![event], ..Batch::default() }), receipt });
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.life)
    }
}

impl Actor for Source {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_later(Duration::ZERO, |source, _| (0..OUTSTANDING).for_each(|_| source.give()));
    }
}

impl Observed for Source {
    fn observe(&self) -> serde_json::Value {
        json!({ "next": self.next })
    }
}

supervised!(Source);

impl Handler<Settled> for Source {
    type Result = ();

    fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
        assert_eq!(settled.fate, Fate::Safe);
        println!("safe {}", self.id(settled.number));
        self.give();
    }
}

/// Told on its input: URL, folder, number of this life, and how many events to give.
#[test]
#[ignore = "a process of its own, which the other tests start and kill"]
fn the_sender() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [url, folder, life, events] = words[..] else { return };
    rustls::crypto::ring::default_provider().install_default().ok();
    let spool = SpoolSettings {
        folder: PathBuf::from(folder),
        max_bytes: 256 * 1024 * 1024,
        max_disk_ratio: 1.0,
        flush_ratio: 0.5,
        max_age: Duration::from_secs(3600),
        samples: true,
    };
    let intake = IntakeSettings {
        api_key: Some(ApiKey::new(KEY)),
        url: Some(url.to_owned()),
        compressor: Compressor::Identity,
        spool: Some(spool),
        ..IntakeSettings::default()
    };
    let backoff = BackoffPolicy { base: Duration::from_millis(1), max: Duration::from_millis(8), ..BackoffPolicy::default() };
    let policy = OutputPolicy { backoff, key_check_interval: None, ..OutputPolicy::default() };
    System::new().block_on(async {
        let settings = OutputSettings { outputs: vec![OutputKind::Datadog], intake, policy };
        let plan = build(&settings, &tokio::runtime::Handle::current()).unwrap().remove(0);
        let parts = plan.parts(SystemClock::shared(), Arc::new(SeededRandom::new(1)));
        let kernel = Kernel::start(SystemClock::shared(), |reason| panic!("{reason}"));
        let (output, source) = (Handle::<Output>::new(plan.name), Handle::<Source>::new("source"));
        kernel.one_for_one("outputs", None).child(&output, 4096, move || Output::new(parts.clone()));
        let (outlet, heard) = (output.outlet(), source.clone());
        let (life, events) = (life.parse().unwrap(), events.parse().unwrap());
        let make = move || Source { output: outlet.clone(), heard: heard.clone(), life, next: 0, events };
        kernel.one_for_one("sources", None).child(&source, 4096, make);
        // Until it is killed.
        std::future::pending::<()>().await;
    });
}

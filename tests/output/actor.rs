//! The whole way: from a batch to the intake, through the production actor and transport.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::System;
use muster::config::ApiKey;
use muster::config::settings::IntakeSettings;
use muster::config::settings::OutputKind;
use muster::output::key_refresh::KeyRefresh;
use muster::output::plan::{SecretKey, build};
use muster::output::settings::OutputSettings;
use muster::secrets::SecretCommand;
use muster_actors::domain::backoff::BackoffPolicy;
use muster_actors::domain::delivery::{Contents, DropReason, KeyState};
use muster_actors::domain::samples::Batch;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::Reader;
use muster_actors::kernel::rng::SeededRandom;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::output::{Drain, Enqueue, OutputStats};
use muster_actors::shared::output::{Output, OutputPolicy};
use tokio::runtime::{Builder, Runtime};

use crate::server::{Reply, Server};
use crate::{KEY, PATIENCE, batch, install_crypto, one_check_run};

/// A running output with a backoff of a few milliseconds.
pub(crate) struct Running {
    kernel: Kernel,
    /// What it sends on, as in the program.
    carrier: Runtime,
    output: Handle<Output>,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) stats: Reader<OutputStats>,
}

impl Running {
    fn start(url: &str, timeout: Duration) -> Self {
        Self::with(IntakeSettings { url: Some(url.to_owned()), timeout, ..IntakeSettings::default() })
    }

    pub(crate) fn with(intake: IntakeSettings) -> Self {
        install_crypto();
        let carrier = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let backoff = BackoffPolicy { base: Duration::from_millis(1), max: Duration::from_millis(8), ..BackoffPolicy::default() };
        let intake = IntakeSettings { api_key: intake.api_key.clone().or(Some(ApiKey::new(KEY))), ..intake };
        let policy = OutputPolicy { backoff, key_check_interval: None, ..OutputPolicy::default() };
        let settings = OutputSettings { outputs: vec![OutputKind::Datadog], intake, policy };
        let plan = build(&settings, carrier.handle()).unwrap().remove(0);
        let parts = plan.parts(SystemClock::shared(), Arc::new(SeededRandom::new(1)));
        let stats = parts.publisher.reader();
        let kernel = Kernel::start(SystemClock::shared(), |_| {});
        let output = Handle::new(plan.name);
        kernel.one_for_one("outputs", None).child(&output, 64, move || Output::new(parts.clone()));
        Self { kernel, carrier, output, secret_key: plan.secret_key, stats }
    }

    pub(crate) fn enqueue(&self, batch: Batch) {
        self.output.tell(Enqueue::new(Arc::new(batch))).unwrap();
    }

    /// From now on its key is asked for again, as in the program.
    pub(crate) fn refresh_keys(&self, secrets: SecretCommand) {
        let keys = self.secret_key.iter().map(|key| (key.clone(), self.output.outlet())).collect();
        let refresh = KeyRefresh { secrets, keys, clock: SystemClock::shared(), random: Arc::new(SeededRandom::new(1)) };
        assert!(refresh.is_needed());
        self.carrier.spawn(refresh.run());
    }

    /// Ends the output and tells what it counted.
    pub(crate) async fn finish(self) -> Arc<OutputStats> {
        self.output.ask(Drain { deadline: PATIENCE }, PATIENCE * 2).await.unwrap();
        let stats = self.stats.current();
        assert!(self.kernel.shutdown(PATIENCE).await.is_empty());
        self.carrier.shutdown_background();
        assert!(!serde_json::to_string(stats.as_ref()).unwrap().contains(KEY), "the key is in nothing that is published");
        stats
    }
}

pub(crate) fn one() -> Contents {
    Contents { check_runs: 1, payloads: 1, ..Contents::default() }
}

pub(crate) fn without_bytes(contents: Contents) -> Contents {
    Contents { bytes: 0, ..contents }
}

/// What becomes of one service check when the intake gives these answers first and 202 after them.
async fn fate(replies: &[Reply]) -> (Arc<OutputStats>, usize) {
    let mut server = Server::start(replies, Reply::Status(202)).await;
    let running = Running::start(&server.url(), PATIENCE);
    running.enqueue(one_check_run());
    // Retries are over when the intake saw as many requests as it has answers, and the last one was accepted.
    let retried = replies.iter().filter(|reply| !matches!(reply, Reply::Status(202 | 400 | 403 | 413))).count();
    for _ in 0..=retried {
        server.next().await;
    }
    let stats = running.finish().await;
    assert!(server.is_quiet());
    (stats, retried + 1)
}

#[test]
fn nr_t50_accepted_is_done() {
    System::new().block_on(async {
        let (stats, requests) = fate(&[Reply::Status(202)]).await;
        assert_eq!((without_bytes(stats.sent), requests, stats.retries), (one(), 1, 0));
    });
}

#[test]
fn nr_t50_refused_is_dropped_and_not_tried_again() {
    System::new().block_on(async {
        for (status, reason) in [(400, DropReason::BadRequest), (403, DropReason::InvalidKey), (413, DropReason::TooLarge)] {
            let (stats, requests) = fate(&[Reply::Status(status)]).await;
            assert_eq!((without_bytes(stats.dropped[&reason]), requests), (one(), 1));
            assert!(stats.sent.is_empty());
            let state = if status == 403 { KeyState::Invalid } else { KeyState::NotChecked };
            assert_eq!((stats.key_state, stats.key_ending.as_deref()), (state, Some("bcdef")));
        }
    });
}

#[test]
fn nr_t50_everything_else_is_tried_until_it_is_delivered_once() {
    System::new().block_on(async {
        for replies in [
            vec![Reply::Status(503), Reply::Status(503)],
            vec![Reply::Status(404)],
            vec![Reply::Status(429), Reply::Status(500)],
            vec![Reply::Raw(b"\x00 garbage")],
            vec![Reply::Reset, Reply::HalfClose],
        ] {
            let (stats, requests) = fate(&replies).await;
            assert_eq!(without_bytes(stats.sent), one(), "{replies:?}");
            assert_eq!((requests, stats.retries), (replies.len() + 1, replies.len() as u64), "{replies:?}");
            assert!(stats.dropped.is_empty());
        }
    });
}

#[test]
fn an_intake_that_hangs_once_gets_it_later() {
    System::new().block_on(async {
        let mut server = Server::start(&[Reply::RawAndHang(b"")], Reply::Status(202)).await;
        let running = Running::start(&server.url(), Duration::from_millis(500));
        running.enqueue(one_check_run());
        server.next().await;
        server.next().await;
        let stats = running.finish().await;
        assert_eq!(without_bytes(stats.sent), one());
        assert!(stats.retries >= 1);
    });
}

#[test]
fn a_batch_of_every_kind_is_sent_and_counted_by_route() {
    System::new().block_on(async {
        let mut server = Server::start(&[], Reply::Status(202)).await;
        let running = Running::start(&server.url(), PATIENCE);
        running.enqueue(batch());
        let stats = running.finish().await;
        assert_eq!(without_bytes(stats.sent), Contents { payloads: 3, points: 1, check_runs: 1, events: 1, ..Contents::default() });
        assert_eq!(stats.routes.keys().copied().collect::<Vec<_>>(), ["check_run_v1", "intake", "series_v2"]);
        let mut bytes = 0;
        for _ in 0..3 {
            bytes += server.next().await.body.len() as u64;
        }
        assert_eq!(stats.sent.bytes, bytes);
    });
}

#[test]
fn an_unreachable_intake_costs_a_drain_its_data_and_nothing_else() {
    System::new().block_on(async {
        let running = Running::start("http://127.0.0.1:1", PATIENCE);
        running.enqueue(batch());
        let stats = running.finish().await;
        assert!(stats.sent.is_empty());
        assert_eq!(stats.dropped[&DropReason::Shutdown].payloads, 3);
        assert!(stats.last_error.is_some());
    });
}

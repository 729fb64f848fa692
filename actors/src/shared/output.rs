//! `Output`: carries what checks submitted to one destination.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::domain::backoff::{Backoff, BackoffPolicy};
use crate::domain::batch_queue::BatchQueue;
use crate::domain::delivery::{Contents, DropReason, Encoded, KeyState, Route, SendResult, Verdict};
use crate::domain::payload_queue::{Leased, PayloadQueue};
use crate::kernel::clock::Clock;
use crate::kernel::published::Publisher;
use crate::kernel::rng::Random;
use crate::kernel::supervised::Observed;
use crate::messages::output::{Drain, DrainReport, Enqueue, OutputStats};
use crate::ports::OutputTransport;
use crate::supervised;

/// Numbers of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputPolicy {
    /// Bytes of bodies that may wait. Source: `forwarder_retry_queue_payloads_max_size`.
    pub max_queue_bytes: u64,
    /// How errors slow us down.
    pub backoff: BackoffPolicy,
    /// Time between two questions whether the key is accepted; `None` = never ask.
    ///
    /// Source: `forwarder_apikey_validation_interval`; the cluster role never asks (cluster-agent-kubernetes 6.4).
    pub key_check_interval: Option<Duration>,
}

impl Default for OutputPolicy {
    fn default() -> Self {
        Self { max_queue_bytes: 15 * 1024 * 1024, backoff: BackoffPolicy::default(), key_check_interval: Some(Duration::from_secs(3600)) }
    }
}

/// What an [`Output`] is made of; cloned by its factory.
#[derive(Clone)]
pub struct OutputParts {
    /// The destination.
    pub transport: Arc<dyn OutputTransport>,
    /// Numbers.
    pub policy: OutputPolicy,
    /// Where the counts go. They go on from what is published, so that a restart loses none.
    pub publisher: Arc<Publisher<OutputStats>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// State of one route.
#[derive(Default)]
struct Breaker {
    backoff: Backoff,
    /// Monotonic time until which nothing is sent.
    blocked_until: Duration,
}

/// A drain that is under way.
struct Draining {
    sent_before: Contents,
    dropped_before: Contents,
    waiters: Vec<oneshot::Sender<DrainReport>>,
}

/// What stage of its life the output is in.
enum Stage {
    Open,
    Draining(Draining),
    Closed(DrainReport),
}

/// Owns the queue of one destination and sends from it, one request at a time.
///
/// Source of truth for nothing persistent: after a restart the queue is empty, and what it held is counted as dropped.
/// A slow or broken destination costs its own oldest data and never makes anyone wait.
pub struct Output {
    parts: OutputParts,
    batches: BatchQueue,
    /// Contents of the batch that is being encoded.
    encoding: Option<Contents>,
    queue: PayloadQueue,
    in_flight: Option<Leased>,
    breakers: BTreeMap<Route, Breaker>,
    wake_up: Option<SpawnHandle>,
    stage: Stage,
    stats: OutputStats,
}

impl Output {
    /// An output that goes on with the published counts.
    #[must_use]
    pub fn new(parts: OutputParts) -> Self {
        let mut stats = OutputStats::clone(&parts.publisher.reader().current());
        let max_bytes = parts.policy.max_queue_bytes;
        let lost = std::mem::take(&mut stats.queued);
        if !lost.is_empty() {
            *stats.dropped.entry(DropReason::Restart).or_default() += lost;
            error!(destination = stats.destination, points = lost.points, bytes = lost.bytes, "queue lost in a restart");
        }
        Self {
            parts,
            batches: BatchQueue::new(max_bytes),
            encoding: None,
            queue: PayloadQueue::new(max_bytes),
            in_flight: None,
            breakers: BTreeMap::new(),
            wake_up: None,
            stage: Stage::Open,
            stats,
        }
    }

    /// Starts whatever can be started now; called after every change.
    fn go_on(&mut self, context: &mut Context<Self>) {
        self.encode_next(context);
        self.send_next(context);
        self.finish_drain_when_idle();
        self.publish();
    }

    fn encode_next(&mut self, context: &mut Context<Self>) {
        if self.encoding.is_some() {
            return;
        }
        let Some((batch, contents)) = self.batches.pop() else { return };
        self.encoding = Some(contents);
        let transport = Arc::clone(&self.parts.transport);
        let work = actix_rt::task::spawn_blocking(move || transport.encode(&batch));
        context.spawn(work.into_actor(self).map(|encoded, output, context| {
            let contents = output.encoding.take().unwrap_or_default();
            match encoded {
                Ok(encoded) => output.take_over(encoded),
                Err(failure) => {
                    error!(destination = output.stats.destination, error = %failure, "encoding failed");
                    output.stats.count_dropped(DropReason::Encoding, contents);
                }
            }
            output.go_on(context);
        }));
    }

    fn take_over(&mut self, encoded: Encoded) {
        if matches!(self.stage, Stage::Closed(_)) {
            // The drain counted this batch when its time was over.
            return;
        }
        if !encoded.oversize.is_empty() {
            warn!(destination = self.stats.destination, contents = ?encoded.oversize, "single items too large to send");
        }
        self.stats.count_dropped(DropReason::Oversize, encoded.oversize);
        self.stats.count_dropped(DropReason::Invalid, encoded.invalid);
        for payload in encoded.payloads {
            let dropped = self.queue.push(payload);
            self.count_overflow(dropped);
        }
    }

    fn send_next(&mut self, context: &mut Context<Self>) {
        if self.in_flight.is_some() || matches!(self.stage, Stage::Closed(_)) {
            return;
        }
        let now = self.parts.clock.monotonic();
        let breakers = &self.breakers;
        let open = |route: &Route| breakers.get(route).is_none_or(|breaker| breaker.blocked_until <= now);
        let Some(leased) = self.queue.lease(open) else {
            self.wake_up_when_a_route_opens(now, context);
            return;
        };
        let attempt = self.parts.transport.send(&leased.payload);
        self.in_flight = Some(leased);
        context.spawn(attempt.into_actor(self).map(|result, output, context| {
            output.settle(&result);
            output.go_on(context);
        }));
    }

    fn wake_up_when_a_route_opens(&mut self, now: Duration, context: &mut Context<Self>) {
        if let Some(timer) = self.wake_up.take() {
            context.cancel_future(timer);
        }
        let opens_at = self.queue.routes().filter_map(|route| self.breakers.get(route)).map(|breaker| breaker.blocked_until).min();
        if let Some(opens_at) = opens_at {
            self.wake_up = Some(context.run_later(opens_at.saturating_sub(now), |output, context| {
                output.wake_up = None;
                output.go_on(context);
            }));
        }
    }

    /// Draws the consequences of an attempt.
    fn settle(&mut self, result: &SendResult) {
        let Some(leased) = self.in_flight.take() else { return };
        let route = leased.payload.route;
        let policy = self.parts.policy.backoff;
        self.stats.note_error(route.name, result);
        match result.verdict() {
            Verdict::Delivered => {
                let contents = self.queue.settle(leased);
                self.breakers.entry(route).or_default().backoff.succeeded(&policy);
                self.stats.sent += contents;
                let counts = self.stats.route(route.name);
                counts.success += 1;
                counts.success_bytes += contents.bytes;
                self.notice_key(KeyState::Valid);
                debug!(destination = self.stats.destination, route = route.name, bytes = contents.bytes, "payload sent");
            }
            Verdict::Drop(reason) => {
                let contents = self.queue.settle(leased);
                if reason != DropReason::Closed {
                    // The destination works, it only does not want this payload.
                    self.breakers.entry(route).or_default().backoff.succeeded(&policy);
                }
                self.stats.route(route.name).dropped += 1;
                self.stats.count_dropped(reason, contents);
                if reason == DropReason::InvalidKey {
                    self.notice_key(KeyState::Invalid);
                } else if is_loud(self.stats.dropped.get(&reason).map_or(0, |dropped| dropped.payloads)) {
                    error!(destination = self.stats.destination, route = route.name, reason = reason.as_str(), "payload dropped");
                }
            }
            Verdict::Retry => {
                let dropped = self.queue.put_back(leased);
                let breaker = self.breakers.entry(route).or_default();
                let delay = breaker.backoff.failed(&policy, self.parts.random.unit());
                breaker.blocked_until = self.parts.clock.monotonic() + delay;
                let errors = breaker.backoff.errors();
                self.stats.retries += 1;
                if is_loud(self.stats.retries) {
                    let (destination, error) = (&self.stats.destination, self.stats.last_error.as_deref().unwrap_or_default());
                    warn!(%destination, route = route.name, error, errors, retries = self.stats.retries, ?delay, "sending failed");
                }
                self.count_overflow(dropped);
            }
        }
        let errors = self.breakers.get(&route).map_or(0, |breaker| breaker.backoff.errors());
        self.stats.route(route.name).backoff_errors = errors;
    }

    /// Takes note of what an answer says about the key.
    fn notice_key(&mut self, seen: KeyState) {
        let before = self.stats.key_state;
        match seen {
            // An accepted payload only takes a suspicion back; it is no answer to a question nobody asked.
            KeyState::Valid if before == KeyState::Invalid => {
                info!(destination = self.stats.destination, "API key accepted again");
                self.stats.key_state = KeyState::Valid;
            }
            KeyState::Invalid => {
                if before != KeyState::Invalid {
                    let (destination, key_ending) = (&self.stats.destination, self.stats.key_ending.as_deref().unwrap_or_default());
                    error!(%destination, key_ending, "API key invalid, dropping what it would have carried");
                }
                self.stats.key_state = KeyState::Invalid;
            }
            KeyState::Valid | KeyState::Unknown | KeyState::NotChecked => {}
        }
    }

    fn check_key(&mut self, context: &mut Context<Self>) {
        let Some(question) = self.parts.transport.check_key() else { return };
        context.spawn(question.into_actor(self).map(|answer, output, _| {
            if answer == KeyState::Invalid {
                output.notice_key(answer);
            }
            output.stats.key_state = answer;
            output.publish();
        }));
    }

    fn count_overflow(&mut self, dropped: Contents) {
        if dropped.is_empty() {
            return;
        }
        self.stats.count_dropped(DropReason::QueueFull, dropped);
        let total = self.stats.dropped.get(&DropReason::QueueFull).copied().unwrap_or_default();
        if is_loud(total.payloads) {
            error!(destination = self.stats.destination, dropped = ?total, "queue full, oldest data dropped");
        }
    }

    /// What waits in any form, the payload in flight included.
    fn waiting(&self) -> Contents {
        let mut waiting = self.queue.contents();
        waiting += self.batches.contents();
        waiting += self.encoding.unwrap_or_default();
        waiting
    }

    fn finish_drain_when_idle(&mut self) {
        // A route that is blocked now failed during the drain: waiting for it would take longer than an orderly end may.
        let busy = self.encoding.is_some() || self.in_flight.is_some() || !self.batches.is_empty();
        if matches!(self.stage, Stage::Draining(_)) && !busy {
            self.close();
        }
    }

    /// Ends a drain: the rest is lost.
    fn close(&mut self) {
        self.give_up_the_rest();
        let Stage::Draining(draining) = std::mem::replace(&mut self.stage, Stage::Open) else { return };
        let report = DrainReport {
            sent: self.stats.sent - draining.sent_before,
            lost: self.stats.total_dropped() - draining.dropped_before,
            ..DrainReport::default()
        };
        let DrainReport { sent, lost, .. } = report;
        info!(
            destination = self.stats.destination,
            payloads = sent.payloads,
            points = sent.points,
            sketches = sent.sketches,
            check_runs = sent.check_runs,
            events = sent.events,
            lost_payloads = lost.payloads,
            lost_points = lost.points,
            lost_sketches = lost.sketches,
            lost_check_runs = lost.check_runs,
            lost_events = lost.events,
            "output drained"
        );
        for waiter in draining.waiters {
            // Whoever asked may have stopped waiting.
            let _ = waiter.send(report);
        }
        self.stage = Stage::Closed(report);
    }

    fn give_up_the_rest(&mut self) {
        let lost = self.waiting();
        self.stats.count_dropped(DropReason::Shutdown, lost);
        self.encoding = None;
        self.in_flight = None;
        self.queue = PayloadQueue::new(self.parts.policy.max_queue_bytes);
        self.batches = BatchQueue::new(self.parts.policy.max_queue_bytes);
    }

    fn publish(&mut self) {
        self.stats.queued = self.waiting();
        self.parts.publisher.publish(self.stats.clone());
    }
}

/// Whether the n-th repetition is worth a log line. Source: style 6.
fn is_loud(count: u64) -> bool {
    count == 1 || count.is_multiple_of(100)
}

impl Actor for Output {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.publish();
        if let Some(interval) = self.parts.policy.key_check_interval {
            self.check_key(context);
            context.run_interval(interval, Self::check_key);
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        if std::thread::panicking() {
            // The next incarnation counts what was published as waiting.
            return;
        }
        self.give_up_the_rest();
        self.publish();
    }
}

impl Observed for Output {
    fn observe(&self) -> serde_json::Value {
        serde_json::to_value(&self.stats).unwrap_or_default()
    }
}

supervised!(Output);

impl Handler<Enqueue> for Output {
    type Result = ();

    fn handle(&mut self, enqueue: Enqueue, context: &mut Context<Self>) {
        if enqueue.batch.is_empty() {
            return;
        }
        if matches!(self.stage, Stage::Open) {
            let dropped = self.batches.push(enqueue.batch);
            self.count_overflow(dropped);
        } else {
            self.stats.count_dropped(DropReason::Shutdown, Contents::of_batch(&enqueue.batch));
        }
        self.go_on(context);
    }
}

impl Handler<Drain> for Output {
    type Result = ResponseFuture<DrainReport>;

    fn handle(&mut self, drain: Drain, context: &mut Context<Self>) -> Self::Result {
        let (waiter, report) = oneshot::channel();
        match &mut self.stage {
            Stage::Closed(report) => {
                let report = *report;
                return Box::pin(async move { report });
            }
            Stage::Draining(draining) => draining.waiters.push(waiter),
            Stage::Open => {
                let (sent_before, dropped_before) = (self.stats.sent, self.stats.total_dropped());
                self.stage = Stage::Draining(Draining { sent_before, dropped_before, waiters: vec![waiter] });
                self.breakers.values_mut().for_each(|breaker| breaker.blocked_until = Duration::ZERO);
                context.run_later(drain.deadline, |output, _| {
                    output.close();
                    output.publish();
                });
                self.go_on(context);
            }
        }
        Box::pin(async move { report.await.unwrap_or_default() })
    }
}

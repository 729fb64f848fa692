//! `Output`: carries what checks submitted, and events, to one destination, and keeps on the disk what must not be lost.

mod draining;
mod encoding;
mod sending;
mod spooling;
mod stages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::error;

use self::stages::{Attempt, Draining, SpoolState, Stage};
use crate::domain::backoff::BackoffPolicy;
use crate::domain::batch_queue::{BatchQueue, WaitingBatch};
use crate::domain::breakers::Breakers;
use crate::domain::delivery::{Contents, DropReason, Fate};
use crate::domain::payload_queue::{Held, PayloadQueue};
use crate::domain::receipts::{Receipts, Ticket};
use crate::domain::spool_policy::SpoolPolicy;
use crate::kernel::clock::Clock;
use crate::kernel::published::Publisher;
use crate::kernel::rng::Random;
use crate::kernel::supervised::Observed;
use crate::messages::output::{Drain, DrainReport, Enqueue, KeyChanged, OutputStats, Receipt};
use crate::ports::{OutputTransport, Spool};
use crate::supervised;

/// Numbers of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputPolicy {
    /// Bytes of bodies that may wait in memory. Source: `forwarder_retry_queue_payloads_max_size`.
    pub max_queue_bytes: u64,
    /// Requests that may be under way. Source: `forwarder_max_concurrent_requests` times `forwarder_num_workers`.
    pub max_in_flight: usize,
    /// How errors slow us down.
    pub backoff: BackoffPolicy,
    /// What goes to the disk, where there is a spool.
    pub spool: SpoolPolicy,
    /// Time between two questions whether the key is accepted; `None` = never ask.
    ///
    /// Source: `forwarder_apikey_validation_interval`; the cluster role never asks (cluster-agent-kubernetes 6.4).
    pub key_check_interval: Option<Duration>,
    /// Of how many accepted payloads one is logged, besides the first; 0 = none. Source: `logging_frequency`.
    pub log_every: u64,
}

impl Default for OutputPolicy {
    fn default() -> Self {
        Self {
            max_queue_bytes: 15 * 1024 * 1024,
            max_in_flight: 10,
            backoff: BackoffPolicy::default(),
            spool: SpoolPolicy::default(),
            key_check_interval: Some(Duration::from_secs(3600)),
            log_every: 500,
        }
    }
}

/// What an [`Output`] is made of; cloned by its factory.
#[derive(Clone)]
pub struct OutputParts {
    /// The destination.
    pub transport: Arc<dyn OutputTransport>,
    /// The disk; `None` = memory only.
    pub spool: Option<Arc<dyn Spool>>,
    /// Whether sources wait until what they gave is safe here. For another destination without a usable disk it is told to be safe as
    /// soon as it waits: a second intake that is dead must not stop a source.
    pub primary: bool,
    /// Numbers.
    pub policy: OutputPolicy,
    /// Where the counts go. They go on from what is published, so that a restart loses none.
    pub publisher: Arc<Publisher<OutputStats>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Owns the queue of one destination and sends from it.
///
/// Events are stored before they are sent, other payloads when memory gets full and at the end. While the disk takes what memory may
/// not hold, no further batch is encoded. After a restart it knows what is on
/// the disk, and counts the rest as dropped. A slow or broken destination costs its own oldest data and never makes anyone wait.
pub struct Output {
    parts: OutputParts,
    batches: BatchQueue,
    /// The batch that is being encoded.
    encoding: Option<(Contents, Option<Ticket>)>,
    queue: PayloadQueue,
    /// Requests under way, by the order of their payloads.
    in_flight: BTreeMap<u64, Attempt>,
    receipts: Receipts<Receipt>,
    breakers: Breakers,
    spool: SpoolState,
    /// How often the key was changed.
    key_changes: u64,
    wake_up: Option<SpawnHandle>,
    stage: Stage,
    stats: OutputStats,
}

impl Output {
    /// An output that goes on with the published counts.
    #[must_use]
    pub fn new(parts: OutputParts) -> Self {
        let mut stats = OutputStats::clone(&parts.publisher.reader().current());
        let lost = stats.queued - stats.spooled;
        // What is on the disk is found there.
        let spool = SpoolState::new(parts.spool.is_some(), stats.spooled);
        stats.queued = stats.spooled;
        if !lost.is_empty() {
            stats.count_dropped(DropReason::Restart, lost);
            error!(
                destination = stats.destination,
                points = lost.points,
                events = lost.events,
                bytes = lost.bytes,
                "queue lost in a restart"
            );
        }
        let policy = parts.policy;
        Self {
            parts,
            batches: BatchQueue::new(policy.max_queue_bytes),
            encoding: None,
            queue: PayloadQueue::new(policy.max_queue_bytes),
            in_flight: BTreeMap::new(),
            receipts: Receipts::default(),
            breakers: Breakers::new(policy.backoff),
            spool,
            key_changes: 0,
            wake_up: None,
            stage: Stage::Open,
            stats,
        }
    }

    /// Starts whatever can be started now; called after every change.
    fn go_on(&mut self, context: &mut Context<Self>) {
        self.bound_memory();
        self.remove_next(context);
        self.store_next(context);
        self.send_next(context);
        self.encode_next(context);
        self.finish_drain_when_idle();
        self.publish();
    }

    /// Chooses what goes to the disk because memory is full, and gives up the oldest of what does not go there.
    fn bound_memory(&mut self) {
        let (storing, policy) = (self.spool.usable(), self.parts.policy);
        if storing && policy.spool.samples {
            self.queue.spill(policy.spool.memory_goal(policy.max_queue_bytes));
        }
        self.trim(storing);
    }

    fn trim(&mut self, storing: bool) {
        let gone = self.queue.trim(storing);
        if !gone.is_empty() {
            let dropped = self.count_gone(gone, DropReason::QueueFull);
            self.say_overflow(dropped.payloads);
        }
    }

    /// Notes what became of one part of a batch; tells its source with the last part.
    fn tell(&mut self, ticket: Option<Ticket>, fate: Fate) {
        if let Some((receipt, fate)) = ticket.and_then(|ticket| self.receipts.settle(ticket, fate)) {
            receipt.settle(fate);
        }
    }

    /// Counts payloads that were dropped from the queue, tells their sources, and removes them from the disk.
    fn count_gone(&mut self, gone: Vec<Held>, reason: DropReason) -> Contents {
        let mut dropped = Contents::default();
        for held in gone {
            dropped += held.payload.contents;
            self.stats.route(held.payload.route.name).dropped += 1;
            self.tell(held.ticket, reason.fate());
            self.spool.discard(&held);
        }
        self.stats.count_dropped(reason, dropped);
        dropped
    }

    /// Tells the loss of so many payloads, or of batches.
    fn say_overflow(&self, payloads: u64) {
        let total = self.stats.dropped.get(&DropReason::QueueFull).copied().unwrap_or_default();
        if payloads == 0 || is_one_loud(total.payloads, payloads) {
            error!(destination = self.stats.destination, dropped = ?total, "queue full, oldest data dropped");
        }
    }

    /// What waits in any form, payloads in flight included.
    fn waiting(&self) -> Contents {
        let mut waiting = self.queue.contents();
        waiting += self.spool.not_read;
        waiting += self.batches.contents();
        waiting += self.encoding.map(|(contents, _)| contents).unwrap_or_default();
        waiting
    }

    /// The part of it that is on the disk.
    fn spooled(&self) -> Contents {
        let mut spooled = self.queue.stored();
        spooled += self.spool.not_read;
        spooled
    }

    fn publish(&mut self) {
        self.stats.queued = self.waiting();
        self.stats.spooled = self.spooled();
        self.stats.connections = self.parts.transport.connections();
        self.parts.publisher.publish(self.stats.clone());
    }
}

/// Whether the n-th repetition is worth a log line. Source: style 6.
fn is_loud(count: u64) -> bool {
    count == 1 || count.is_multiple_of(100)
}

/// Whether one of the last repetitions, `together` of `count`, is worth a log line.
fn is_one_loud(count: u64, together: u64) -> bool {
    let before = count.saturating_sub(together);
    (before + 1..=count).any(is_loud)
}

impl Actor for Output {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.open_spool(context);
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
        let Enqueue { batch, receipt } = enqueue;
        if batch.is_empty() {
            if let Some(receipt) = receipt {
                receipt.settle(Fate::Safe);
            }
            return;
        }
        if !matches!(self.stage, Stage::Open) {
            self.stats.count_dropped(DropReason::Shutdown, Contents::of_batch(&batch));
            if let Some(receipt) = receipt {
                receipt.settle(DropReason::Shutdown.fate());
            }
            self.publish();
            return;
        }
        let nobody_waits = !self.parts.primary && !self.spool.usable();
        let ticket = match receipt {
            Some(receipt) if nobody_waits => {
                receipt.settle(Fate::Safe);
                None
            }
            receipt => receipt.map(|receipt| self.receipts.open(receipt)),
        };
        let dropped = self.batches.push(batch, ticket);
        if !dropped.is_empty() {
            for WaitingBatch { contents, ticket, .. } in dropped {
                self.stats.count_dropped(DropReason::QueueFull, contents);
                self.tell(ticket, DropReason::QueueFull.fate());
            }
            self.say_overflow(0);
        }
        self.go_on(context);
    }
}

impl Handler<KeyChanged> for Output {
    type Result = ();

    fn handle(&mut self, changed: KeyChanged, context: &mut Context<Self>) {
        self.take_key(changed, context);
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
                self.begin_drain(Draining { sent_before, dropped_before, waiters: vec![waiter] });
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

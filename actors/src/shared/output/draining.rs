//! The orderly end of an output.

use tracing::info;

use super::Output;
use super::stages::{Disk, Draining, Stage};
use crate::domain::batch_queue::BatchQueue;
use crate::domain::delivery::DropReason;
use crate::domain::payload_queue::PayloadQueue;
use crate::messages::output::DrainReport;

impl Output {
    /// From now on nothing is accepted, everything is stored first, and each route is tried once more.
    ///
    /// What was only on the disk when the end began stays there: the next life sends it.
    pub(super) fn begin_drain(&mut self, draining: Draining) {
        self.stage = Stage::Draining(draining);
        self.breakers.open_all();
        if self.spool.usable() {
            let policy = self.parts.policy.spool;
            self.queue.store(|contents| policy.stores_first(contents, true));
        }
    }

    /// A route that is blocked now failed during the drain: waiting for it would take longer than an orderly end may.
    pub(super) fn finish_drain_when_idle(&mut self) {
        let storing =
            !self.spool.storing.is_empty() || self.spool.removing || !self.spool.to_remove.is_empty() || self.queue.has_unstored();
        let reading = self.spool.disk == Disk::Opening;
        let busy = self.encoding.is_some() || !self.in_flight.is_empty() || !self.batches.is_empty() || storing || reading;
        if matches!(self.stage, Stage::Draining(_)) && !busy {
            self.close();
        }
    }

    /// Ends a drain: what is not on the disk is lost.
    pub(super) fn close(&mut self) {
        if !matches!(self.stage, Stage::Draining(_)) {
            return;
        }
        let kept = self.spooled();
        self.give_up_the_rest();
        let Stage::Draining(draining) = std::mem::replace(&mut self.stage, Stage::Open) else { return };
        let report =
            DrainReport { sent: self.stats.sent - draining.sent_before, kept, lost: self.stats.total_dropped() - draining.dropped_before };
        let DrainReport { sent, kept, lost } = report;
        info!(
            destination = self.stats.destination,
            payloads = sent.payloads,
            points = sent.points,
            sketches = sent.sketches,
            check_runs = sent.check_runs,
            events = sent.events,
            kept_payloads = kept.payloads,
            kept_events = kept.events,
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

    /// Forgets everything; what is not on the disk is counted as lost.
    pub(super) fn give_up_the_rest(&mut self) {
        let kept = self.spooled();
        self.stats.count_dropped(DropReason::Shutdown, self.waiting() - kept);
        for receipt in self.receipts.take_all() {
            receipt.settle(DropReason::Shutdown.fate());
        }
        self.encoding = None;
        self.in_flight.clear();
        self.spool.storing.clear();
        self.spool.not_read = kept;
        self.queue = PayloadQueue::new(self.parts.policy.max_queue_bytes);
        self.batches = BatchQueue::new(self.parts.policy.max_queue_bytes);
    }
}

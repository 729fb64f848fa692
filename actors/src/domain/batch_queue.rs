//! Batches that wait to be encoded: bounded by bytes, the oldest but the very first goes when it is full.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::delivery::Contents;
use crate::domain::receipts::Ticket;
use crate::domain::samples::Batch;

/// What a series, sketch, service check or event takes in memory, roughly: texts, tags, allocations.
///
/// Units: bytes. Why a constant: measuring every text costs more than the bound is worth.
const BYTES_PER_ITEM: u64 = 256;

/// What a point takes in memory, in bytes.
const BYTES_PER_POINT: u64 = 16;

/// A batch that waits.
#[derive(Debug, Clone)]
pub struct WaitingBatch {
    /// What it is.
    pub batch: Arc<Batch>,
    /// What is in it; no payloads and no bytes, because it is not encoded yet.
    pub contents: Contents,
    /// Where to tell what becomes of it.
    pub ticket: Option<Ticket>,
    bytes: u64,
}

/// Batches in order of arrival.
pub struct BatchQueue {
    max_bytes: u64,
    bytes: u64,
    waiting: VecDeque<WaitingBatch>,
}

impl BatchQueue {
    /// An empty queue for about `max_bytes` of memory behind the first batch.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, bytes: 0, waiting: VecDeque::new() }
    }

    /// Adds a batch and returns those that had to go for it.
    ///
    /// The first one stays, which is about to be encoded, and the newest, both whatever their size: they are in memory anyway, and
    /// encoded they may be a tenth of it.
    pub fn push(&mut self, batch: Arc<Batch>, ticket: Option<Ticket>) -> Vec<WaitingBatch> {
        let contents = Contents::of_batch(&batch);
        let items = batch.series.len() + batch.sketches.len() + batch.check_runs.len() + batch.events.len();
        let bytes = items as u64 * BYTES_PER_ITEM + contents.points * BYTES_PER_POINT;
        self.bytes += bytes;
        self.waiting.push_back(WaitingBatch { batch, contents, ticket, bytes });
        let mut dropped = Vec::new();
        let first_bytes = self.waiting.front().map_or(0, |first| first.bytes);
        while self.bytes - first_bytes > self.max_bytes && self.waiting.len() > 2 {
            let Some(oldest) = self.waiting.remove(1) else { break };
            self.bytes -= oldest.bytes;
            dropped.push(oldest);
        }
        dropped
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<WaitingBatch> {
        let oldest = self.waiting.pop_front()?;
        self.bytes -= oldest.bytes;
        Some(oldest)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What waits; no payloads and no bytes, because nothing is encoded yet.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let mut all = Contents::default();
        for waiting in &self.waiting {
            all += waiting.contents;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::Event;

    fn batch(events: usize) -> Arc<Batch> {
        Arc::new(Batch { events: vec![Event::default(); events], ..Batch::default() })
    }

    #[test]
    fn the_oldest_batches_but_the_first_go_and_are_handed_back() {
        let mut queue = BatchQueue::new(BYTES_PER_ITEM * 5);
        let push = |queue: &mut BatchQueue, events| -> Vec<u64> {
            queue.push(batch(events), None).iter().map(|dropped| dropped.contents.events).collect()
        };
        assert!(push(&mut queue, 9).is_empty());
        assert!(push(&mut queue, 2).is_empty(), "the first may be of any size, and a small one does not push it out");
        assert!(push(&mut queue, 3).is_empty());
        assert_eq!(push(&mut queue, 1), [2]);
        assert_eq!(queue.contents().events, 13);
        assert_eq!(queue.pop().map(|waiting| waiting.contents.events), Some(9));
        assert!(push(&mut queue, 4).is_empty());
        assert_eq!(push(&mut queue, 8), [1, 4], "a batch larger than the bound pushes out all but the first, and stays");
        assert_eq!([queue.pop(), queue.pop()].map(|waiting| waiting.map(|waiting| waiting.contents.events)), [Some(3), Some(8)]);
        assert!(queue.is_empty() && queue.bytes == 0);
    }
}

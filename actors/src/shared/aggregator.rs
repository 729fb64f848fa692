//! Gathers what runs flushed and hands it to the outputs.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use serde_json::json;

use crate::domain::samples::Batch;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::{AggregatorStats, Commit, FlushNow};
use crate::messages::output::Enqueue;
use crate::supervised;

/// Settings of the [`Aggregator`].
#[derive(Debug, Clone)]
pub struct AggregatorPolicy {
    /// Time between two flushes to the outputs.
    pub flush_interval: Duration,
    /// Tags that everything gets; `None` = tags stay as the checks settled them.
    pub global_tags: Option<Vec<String>>,
}

impl Default for AggregatorPolicy {
    fn default() -> Self {
        Self { flush_interval: Duration::from_secs(15), global_tags: None }
    }
}

/// Owns the batch that goes out next.
///
/// The series of a check are kept with the check and flushed by the task that ran it, so that a scrape of thousands of series
/// costs the actors nothing. After a restart it knows nothing: one flush is lost.
pub struct Aggregator {
    policy: AggregatorPolicy,
    batch: Batch,
    outputs: Vec<Outlet<Enqueue>>,
    stats: AggregatorStats,
    published: Option<Arc<Publisher<AggregatorStats>>>,
}

impl Aggregator {
    /// Starts empty.
    #[must_use]
    pub fn new(policy: AggregatorPolicy, outputs: Vec<Outlet<Enqueue>>) -> Self {
        Self { policy, batch: Batch::default(), outputs, stats: AggregatorStats::default(), published: None }
    }

    /// The same, and everybody reads what it did here; it goes on from what is there.
    #[must_use]
    pub fn publishing(self, published: Arc<Publisher<AggregatorStats>>) -> Self {
        Self { stats: *published.reader().current(), published: Some(published), ..self }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.stats.flushes += 1;
        self.stats.series += self.batch.series.len() as u64;
        self.stats.sketches += self.batch.sketches.len() as u64;
        self.stats.check_runs += self.batch.check_runs.len() as u64;
        self.stats.events += self.batch.events.len() as u64;
        if let Some(published) = &self.published {
            published.publish(self.stats);
        }
        let mut batch = std::mem::take(&mut self.batch);
        if let Some(tags) = &self.policy.global_tags {
            batch.settle_tags(tags);
        }
        let batch = Arc::new(batch);
        for output in &self.outputs {
            // Outputs bound their queues by bytes and drop the oldest themselves, so that none of them holds up a check.
            output.post(Enqueue::new(Arc::clone(&batch)));
        }
    }
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(self.policy.flush_interval, |aggregator, _| aggregator.flush());
    }
}

impl Observed for Aggregator {
    fn observe(&self) -> serde_json::Value {
        json!({
            "waiting_series": self.batch.series.len(),
            "waiting_check_runs": self.batch.check_runs.len(),
            "flushes": self.stats.flushes,
        })
    }
}

supervised!(Aggregator);

impl Handler<Commit> for Aggregator {
    type Result = ();

    fn handle(&mut self, commit: Commit, _: &mut Context<Self>) {
        let Batch { series, sketches, check_runs, events, metadata } = commit.batch;
        self.batch.series.extend(series);
        self.batch.sketches.extend(sketches);
        self.batch.check_runs.extend(check_runs);
        self.batch.events.extend(events);
        self.batch.metadata.extend(metadata);
    }
}

impl Handler<FlushNow> for Aggregator {
    type Result = ();

    fn handle(&mut self, _: FlushNow, _: &mut Context<Self>) {
        self.flush();
    }
}

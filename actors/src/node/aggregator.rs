//! Owns the series of every check between its runs and hands what was flushed to the outputs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use serde_json::json;

use crate::domain::ids::CheckId;
use crate::domain::sample_state::HistogramPolicy;
use crate::domain::sampler::{RunTime, Sampler};
use crate::domain::samples::{Batch, CheckRun, RunSamples, ServiceCheck};
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::{Commit, Discard, FlushNow};
use crate::messages::output::Enqueue;
use crate::supervised;

/// Settings of the [`Aggregator`].
#[derive(Debug, Clone)]
pub struct AggregatorPolicy {
    /// Time between two flushes to the outputs.
    pub flush_interval: Duration,
    /// What histograms flush.
    pub histograms: HistogramPolicy,
}

impl Default for AggregatorPolicy {
    fn default() -> Self {
        Self { flush_interval: Duration::from_secs(15), histograms: HistogramPolicy::default() }
    }
}

/// Owns the series of every check id and the batch that goes out next.
///
/// After a restart it knows nothing: one flush is lost, and rates start anew.
pub struct Aggregator {
    policy: AggregatorPolicy,
    samplers: HashMap<CheckId, Sampler>,
    batch: Batch,
    outputs: Vec<Outlet<Enqueue>>,
    flushes: u64,
    /// Histogram buckets with impossible bounds or counts.
    refused_buckets: u64,
}

impl Aggregator {
    /// Starts empty.
    #[must_use]
    pub fn new(policy: AggregatorPolicy, outputs: Vec<Outlet<Enqueue>>) -> Self {
        Self { policy, samplers: HashMap::new(), batch: Batch::default(), outputs, flushes: 0, refused_buckets: 0 }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.flushes += 1;
        let batch = Arc::new(std::mem::take(&mut self.batch));
        for output in &self.outputs {
            // Outputs bound their queues by bytes and drop the oldest themselves, so that none of them holds up a check.
            output.post(Enqueue { batch: Arc::clone(&batch) });
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
            "checks": self.samplers.len(),
            "series": self.samplers.values().map(Sampler::series_count).sum::<usize>(),
            "waiting_series": self.batch.series.len(),
            "flushes": self.flushes,
            "refused_buckets": self.refused_buckets,
        })
    }
}

supervised!(Aggregator);

impl Handler<Commit> for Aggregator {
    type Result = ();

    fn handle(&mut self, commit: Commit, _: &mut Context<Self>) {
        let Commit { id, samples, at } = commit;
        let RunSamples { samples, buckets, service_checks, events } = samples;
        let sampler = self.samplers.entry(id).or_insert_with(|| Sampler::new(self.policy.histograms.clone()));
        for sample in samples {
            sampler.add(sample, at);
        }
        for bucket in buckets {
            self.refused_buckets += u64::from(!sampler.add_bucket(bucket, at));
        }
        let (series, sketches) = sampler.commit(at);
        self.batch.series.extend(series);
        self.batch.sketches.extend(sketches);
        self.batch.check_runs.extend(service_checks.into_iter().map(|service_check| check_run(service_check, at)));
        self.batch.events.extend(events.into_iter().map(|mut event| {
            if event.timestamp == 0 {
                event.timestamp = at.unix_seconds;
            }
            event
        }));
    }
}

impl Handler<Discard> for Aggregator {
    type Result = ();

    fn handle(&mut self, discard: Discard, _: &mut Context<Self>) {
        for id in &discard.ids {
            self.samplers.remove(id);
        }
    }
}

impl Handler<FlushNow> for Aggregator {
    type Result = ();

    fn handle(&mut self, _: FlushNow, _: &mut Context<Self>) {
        self.flush();
    }
}

fn check_run(service_check: ServiceCheck, at: RunTime) -> CheckRun {
    CheckRun {
        name: service_check.name,
        host: service_check.host.unwrap_or_default(),
        timestamp: at.unix_seconds,
        status: service_check.status,
        message: service_check.message,
        tags: service_check.tags,
    }
}

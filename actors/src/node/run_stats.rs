//! Owns the statistics of runs and publishes them, so that the runner API answers without asking anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use serde_json::json;

use crate::domain::ids::CheckId;
use crate::domain::run_stats::{CheckStats, LoadFailure, RunStatsView, WorkersReport};
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::run_stats::{
    CheckScheduled, ChecksUnscheduled, LoadFailures, NextRun, RetainChecks, RunFinished, RunMissed, StateChanged, WorkersMeasured,
};
use crate::supervised;

/// Time by which a change may be published late.
///
/// Why: one snapshot for all the runs that end together, instead of one copy of the table for each.
const PUBLISH_DELAY: Duration = Duration::from_millis(100);

/// Owns the statistics of every scheduled check.
///
/// The publisher outlives it: a new incarnation goes on with the last snapshot.
pub struct RunStats {
    checks: BTreeMap<CheckId, Arc<CheckStats>>,
    load_failures: Vec<LoadFailure>,
    workers: WorkersReport,
    publisher: Arc<Publisher<RunStatsView>>,
    publishing: bool,
}

impl RunStats {
    /// Goes on from what the publisher shows.
    #[must_use]
    pub fn new(publisher: Arc<Publisher<RunStatsView>>) -> Self {
        let RunStatsView { checks, load_failures, workers } = (*publisher.reader().current()).clone();
        Self { checks, load_failures, workers, publisher, publishing: false }
    }

    fn change(&mut self, id: &CheckId, context: &mut Context<Self>, change: impl FnOnce(&mut CheckStats)) {
        if let Some(stats) = self.checks.get_mut(id) {
            change(Arc::make_mut(stats));
            self.publish_soon(context);
        }
    }

    fn publish_soon(&mut self, context: &mut Context<Self>) {
        if !self.publishing {
            self.publishing = true;
            context.run_later(PUBLISH_DELAY, |stats, _| stats.publish());
        }
    }

    fn publish(&mut self) {
        self.publishing = false;
        let (checks, load_failures, workers) = (self.checks.clone(), self.load_failures.clone(), self.workers.clone());
        self.publisher.publish(RunStatsView { checks, load_failures, workers });
    }
}

impl Actor for RunStats {
    type Context = Context<Self>;
}

impl Observed for RunStats {
    fn observe(&self) -> serde_json::Value {
        json!({ "checks": self.checks.len(), "load_failures": self.load_failures.len(), "workers": self.workers.count })
    }
}

supervised!(RunStats);

impl Handler<CheckScheduled> for RunStats {
    type Result = ();

    fn handle(&mut self, scheduled: CheckScheduled, context: &mut Context<Self>) {
        // The figures of a check that comes back after a restart of the scheduler are kept.
        self.checks.entry(scheduled.id).or_insert_with(|| Arc::new(CheckStats::new(scheduled.identity)));
        self.publish_soon(context);
    }
}

impl Handler<ChecksUnscheduled> for RunStats {
    type Result = ();

    fn handle(&mut self, unscheduled: ChecksUnscheduled, context: &mut Context<Self>) {
        for id in &unscheduled.ids {
            self.checks.remove(id);
        }
        self.publish_soon(context);
    }
}

impl Handler<RetainChecks> for RunStats {
    type Result = ();

    fn handle(&mut self, retain: RetainChecks, context: &mut Context<Self>) {
        self.checks.retain(|id, _| retain.ids.contains(id));
        self.publish_soon(context);
    }
}

impl Handler<LoadFailures> for RunStats {
    type Result = ();

    fn handle(&mut self, failures: LoadFailures, context: &mut Context<Self>) {
        self.load_failures = failures.failures;
        self.publish_soon(context);
    }
}

impl Handler<StateChanged> for RunStats {
    type Result = ();

    fn handle(&mut self, changed: StateChanged, context: &mut Context<Self>) {
        self.change(&changed.id, context, |stats| stats.state = changed.state);
    }
}

impl Handler<NextRun> for RunStats {
    type Result = ();

    fn handle(&mut self, next: NextRun, context: &mut Context<Self>) {
        for id in &next.ids {
            self.change(id, context, |stats| stats.next_run = next.at);
        }
    }
}

impl Handler<RunFinished> for RunStats {
    type Result = ();

    fn handle(&mut self, finished: RunFinished, context: &mut Context<Self>) {
        self.change(&finished.id, context, |stats| stats.record(&finished.run));
    }
}

impl Handler<RunMissed> for RunStats {
    type Result = ();

    fn handle(&mut self, missed: RunMissed, context: &mut Context<Self>) {
        self.change(&missed.id, context, |stats| stats.missed_runs += 1);
    }
}

impl Handler<WorkersMeasured> for RunStats {
    type Result = ();

    fn handle(&mut self, measured: WorkersMeasured, context: &mut Context<Self>) {
        self.workers = WorkersReport::uniform(measured.count, measured.utilization);
        self.publish_soon(context);
    }
}

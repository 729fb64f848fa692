//! Owns the statistics of runs and publishes them, so that the runner API answers without asking anybody.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler};
use serde_json::json;

use crate::domain::ids::CheckId;
use crate::domain::run_stats::{CheckStats, RunStatsView, RunTotals, WorkersReport};
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
    view: RunStatsView,
    publisher: Arc<Publisher<RunStatsView>>,
    publishing: bool,
}

impl RunStats {
    /// Goes on from what the publisher shows.
    #[must_use]
    pub fn new(publisher: Arc<Publisher<RunStatsView>>) -> Self {
        let view = (*publisher.reader().current()).clone();
        Self { view, publisher, publishing: false }
    }

    fn change(&mut self, id: &CheckId, context: &mut Context<Self>, change: impl FnOnce(&mut CheckStats)) {
        self.change_both(id, context, |stats, _| change(stats));
    }

    /// Changes a check and the totals of its name; nothing happens when the check has no place any more.
    fn change_both(&mut self, id: &CheckId, context: &mut Context<Self>, change: impl FnOnce(&mut CheckStats, &mut RunTotals)) {
        let RunStatsView { checks, totals, .. } = &mut self.view;
        if let Some(stats) = checks.get_mut(id) {
            let name = &stats.identity.check_name;
            if !totals.contains_key(name) {
                totals.insert(name.clone(), RunTotals::default());
            }
            if let Some(totals) = totals.get_mut(name) {
                change(Arc::make_mut(stats), totals);
            }
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
        self.publisher.publish(self.view.clone());
    }
}

impl Actor for RunStats {
    type Context = Context<Self>;
}

impl Observed for RunStats {
    fn observe(&self) -> serde_json::Value {
        json!({ "checks": self.view.checks.len(), "load_failures": self.view.load_failures.len(), "workers": self.view.workers.count })
    }
}

supervised!(RunStats);

impl Handler<CheckScheduled> for RunStats {
    type Result = ();

    fn handle(&mut self, scheduled: CheckScheduled, context: &mut Context<Self>) {
        // The figures of a check that comes back after a restart of the scheduler are kept.
        self.view.checks.entry(scheduled.id).or_insert_with(|| Arc::new(CheckStats::new(scheduled.identity)));
        self.publish_soon(context);
    }
}

impl Handler<ChecksUnscheduled> for RunStats {
    type Result = ();

    fn handle(&mut self, unscheduled: ChecksUnscheduled, context: &mut Context<Self>) {
        for id in &unscheduled.ids {
            self.view.checks.remove(id);
        }
        self.publish_soon(context);
    }
}

impl Handler<RetainChecks> for RunStats {
    type Result = ();

    fn handle(&mut self, retain: RetainChecks, context: &mut Context<Self>) {
        self.view.checks.retain(|id, _| retain.ids.contains(id));
        self.publish_soon(context);
    }
}

impl Handler<LoadFailures> for RunStats {
    type Result = ();

    fn handle(&mut self, failures: LoadFailures, context: &mut Context<Self>) {
        self.view.load_failures = failures.failures;
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
        self.change_both(&finished.id, context, |stats, totals| {
            stats.record(&finished.run);
            totals.record(&finished.run);
        });
    }
}

impl Handler<RunMissed> for RunStats {
    type Result = ();

    fn handle(&mut self, missed: RunMissed, context: &mut Context<Self>) {
        self.change_both(&missed.id, context, |stats, totals| {
            stats.missed_runs += 1;
            totals.missed += 1;
        });
    }
}

impl Handler<WorkersMeasured> for RunStats {
    type Result = ();

    fn handle(&mut self, measured: WorkersMeasured, context: &mut Context<Self>) {
        self.view.workers = WorkersReport::uniform(measured.count, measured.utilization);
        self.publish_soon(context);
    }
}

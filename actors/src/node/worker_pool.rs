//! Runs checks: who may start, who waits, who has to stop.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler, MessageResult, ResponseFuture};
use serde_json::json;
use tokio::runtime;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::domain::check_options::CheckOptions;
use crate::domain::ids::CheckId;
use crate::domain::run_stats::{CheckState, FinishedRun};
use crate::domain::sample_state::HistogramPolicy;
use crate::domain::workers::{BusyMeter, UTILIZATION_WINDOW, dynamic_workers};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::{Outlet, TellError};
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::Commit;
use crate::messages::run_stats::{RunFinished, RunMissed, StateChanged, WorkersMeasured};
use crate::messages::worker_pool::{Drain, Drained, Install, RunDue, RunNow, RunNowReply, Uninstall};
use crate::node::running::{Outcome, RunEnded, RunOrder, RunningTask, SharedCheck, launch, share};
use crate::supervised;

/// Least hard timeout when it follows from the interval.
const MIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time a cancelled run may take to end before it is named in the log. Source: node-runner 6.4.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// Settings of the [`WorkerPool`].
#[derive(Debug, Clone)]
pub struct PoolPolicy {
    /// Runs at the same time (`muster.native_concurrency`).
    pub concurrency: usize,
    /// Workers reported to cluster agents (`check_runners`); `None` (0 in configuration) follows the number of checks.
    pub workers: Option<usize>,
    /// Hard timeout of a run (`muster.check_timeout`); `None` = four intervals, at least 30 s.
    pub timeout: Option<Duration>,
    /// Most series of one run (`muster.check_max_series`), 0 = no limit.
    pub max_series: usize,
    /// What histograms flush (`histogram_aggregates`, `histogram_percentiles`).
    pub histograms: HistogramPolicy,
    /// Host of samples that name none.
    pub agent_host: Arc<str>,
    /// Whether each run is followed by the service check `datadog.agent.check_status` (`integration_check_status_enabled`).
    pub check_status: bool,
    /// Utilization above which a warning is logged (`check_runner_utilization_threshold`).
    pub utilization_threshold: f64,
    /// Least time between two such warnings (`check_runner_utilization_warning_cooldown`).
    pub utilization_cooldown: Duration,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            concurrency: 256,
            workers: Some(4),
            timeout: None,
            max_series: 0,
            histograms: HistogramPolicy::default(),
            agent_host: Arc::from(""),
            check_status: false,
            utilization_threshold: 0.95,
            utilization_cooldown: Duration::from_secs(600),
        }
    }
}

impl PoolPolicy {
    fn deadline(&self, interval: Duration) -> Duration {
        self.timeout.unwrap_or_else(|| (interval * 4).max(MIN_TIMEOUT))
    }
}

/// Whom the [`WorkerPool`] tells.
#[derive(Debug, Clone)]
pub struct PoolLinks {
    /// What runs submitted.
    pub commits: Outlet<Commit>,
    /// What checks do.
    pub states: Outlet<StateChanged>,
    /// How runs went.
    pub finished: Outlet<RunFinished>,
    /// Turns that could not be taken.
    pub missed: Outlet<RunMissed>,
    /// How busy the workers are.
    pub measured: Outlet<WorkersMeasured>,
}

enum Doing {
    Nothing,
    Waiting { since: Duration },
    Running { run: u64, _task: RunningTask },
}

struct Installed {
    check: SharedCheck,
    options: CheckOptions,
    doing: Doing,
    has_run: bool,
}

struct Run {
    id: CheckId,
    started_at: Duration,
    queue_wait: Duration,
    /// Whether its check was uninstalled or replaced meanwhile.
    cancelled: bool,
}

/// Owns the loaded checks and decides which of them run.
///
/// Source of truth for nothing: after a restart the scheduler, which restarts with it, installs everything again.
pub struct WorkerPool {
    policy: PoolPolicy,
    links: PoolLinks,
    clock: Arc<dyn Clock>,
    runtime: runtime::Handle,
    checks: HashMap<CheckId, Installed>,
    /// Checks that never ran go first, so that a moved check reports soon. Source: node-runner 16, trap 1.
    first_runs: VecDeque<CheckId>,
    queue: VecDeque<CheckId>,
    /// Tasks that are not gone yet, also cancelled ones: they hold permits.
    runs: BTreeMap<u64, Run>,
    next_run: u64,
    meter: BusyMeter,
    most_workers: usize,
    warned_at: Option<Duration>,
    draining: Option<Draining>,
}

#[derive(Default)]
struct Draining {
    waiting: Vec<oneshot::Sender<Drained>>,
    cancelled: usize,
}

impl WorkerPool {
    /// Starts without checks; they will run as tasks of `runtime`, so that a heavy one does not stall the actors.
    #[must_use]
    pub fn new(policy: PoolPolicy, links: PoolLinks, clock: Arc<dyn Clock>, runtime: runtime::Handle) -> Self {
        Self {
            policy,
            links,
            meter: BusyMeter::new(clock.monotonic()),
            clock,
            runtime,
            checks: HashMap::new(),
            first_runs: VecDeque::new(),
            queue: VecDeque::new(),
            runs: BTreeMap::new(),
            next_run: 1,
            most_workers: 0,
            warned_at: None,
            draining: None,
        }
    }

    fn enqueue(&mut self, id: &CheckId, urgent: bool) {
        let Some(installed) = self.checks.get_mut(id) else { return };
        installed.doing = Doing::Waiting { since: self.clock.monotonic() };
        let lane = if urgent || !installed.has_run { &mut self.first_runs } else { &mut self.queue };
        lane.push_back(id.clone());
        self.links.states.post(StateChanged { id: id.clone(), state: CheckState::Queued });
    }

    /// Starts what waits, as far as permits go.
    fn start_waiting(&mut self, context: &mut Context<Self>) {
        if self.draining.is_some() {
            return;
        }
        let mut held_back = Vec::new();
        while self.runs.len() < self.policy.concurrency {
            let Some(id) = self.first_runs.pop_front().or_else(|| self.queue.pop_front()) else { break };
            // A cancelled run of the same id is not gone yet: it must not overlap.
            if self.runs.values().any(|run| run.id == id) {
                held_back.push(id);
            } else {
                self.start(id, context);
            }
        }
        self.first_runs.extend(held_back);
    }

    fn start(&mut self, id: CheckId, context: &mut Context<Self>) {
        let Some(installed) = self.checks.get_mut(&id) else { return };
        let Doing::Waiting { since } = installed.doing else { return };
        let now = self.clock.monotonic();
        let run = self.next_run;
        self.next_run += 1;
        let order = RunOrder {
            id: id.clone(),
            run,
            check: Arc::clone(&installed.check),
            options: installed.options,
            deadline: self.policy.deadline(installed.options.interval),
            agent_host: Arc::clone(&self.policy.agent_host),
            series_limit: self.policy.max_series,
            check_status: self.policy.check_status,
        };
        let task = launch(order, &self.runtime, Arc::clone(&self.clock), context.address().recipient());
        installed.doing = Doing::Running { run, _task: task };
        self.meter.start(now);
        self.runs.insert(run, Run { id: id.clone(), started_at: now, queue_wait: now.saturating_sub(since), cancelled: false });
        self.links.states.post(StateChanged { id, state: CheckState::Running });
    }

    /// Takes a check away; a run of it is cancelled and forgotten.
    fn uninstall(&mut self, id: &CheckId, context: &mut Context<Self>) {
        let Some(installed) = self.checks.remove(id) else { return };
        match installed.doing {
            Doing::Nothing => {}
            Doing::Waiting { .. } => {
                self.first_runs.retain(|waiting| waiting != id);
                self.queue.retain(|waiting| waiting != id);
            }
            Doing::Running { run, .. } => {
                if let Some(record) = self.runs.get_mut(&run) {
                    record.cancelled = true;
                }
                context.run_later(STOP_LIMIT, move |pool, _| {
                    if let Some(record) = pool.runs.get(&run) {
                        warn!(check = %record.id, "timeout during stop operation on check id {}", record.id);
                    }
                });
            }
        }
    }

    fn finish(&mut self, id: CheckId, run: Run, outcome: Outcome) {
        let Some(installed) = self.checks.get_mut(&id) else { return };
        installed.doing = Doing::Nothing;
        installed.has_run = true;
        let Outcome { batch, counts, warnings, mut error, timed_out, elapsed, finished_unix_nanos } = outcome;
        if !batch.is_empty() {
            match self.links.commits.tell(Commit { batch }) {
                Ok(()) => {}
                Err(TellError::Full(_)) => error = error.or_else(|| Some("output backpressure".to_owned())),
                Err(down @ TellError::Down(_)) => error = error.or_else(|| Some(down.to_string())),
            }
        }
        if let Some(error) = &error {
            debug!(check = %id, error, "check failed");
        }
        let Run { started_at, queue_wait, .. } = run;
        let run = FinishedRun { started_at, elapsed, queue_wait, finished_unix_nanos, counts, warnings, error, timed_out };
        self.links.finished.post(RunFinished { id: id.clone(), run });
        self.links.states.post(StateChanged { id, state: CheckState::Idle });
    }

    fn measure(&mut self) {
        let now = self.clock.monotonic();
        let workers = self.workers();
        let utilization = self.meter.close_window(now, workers);
        self.links.measured.post(WorkersMeasured { count: workers, utilization });
        let cooled_down = self.warned_at.is_none_or(|at| now.saturating_sub(at) >= self.policy.utilization_cooldown);
        if utilization > self.policy.utilization_threshold && cooled_down {
            self.warned_at = Some(now);
            warn!(utilization, workers, "check workers are saturated: raise check_runners or add runners");
        }
    }

    /// Workers to report. A number that follows the checks only grows.
    fn workers(&mut self) -> usize {
        self.most_workers = self.most_workers.max(dynamic_workers(self.checks.len()));
        self.policy.workers.unwrap_or(self.most_workers)
    }

    fn answer_drain_when_idle(&mut self) {
        let Some(draining) = self.draining.as_mut().filter(|_| self.runs.is_empty()) else { return };
        for waiting in draining.waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = waiting.send(Drained { cancelled: draining.cancelled });
        }
    }

    /// Ends what still runs after the grace time.
    fn cancel_all(&mut self) {
        let left = self.runs.values().filter(|run| !run.cancelled).count();
        for run in self.runs.values_mut() {
            run.cancelled = true;
        }
        // Dropping the tasks cancels them; their end is still reported and then answers the drain.
        self.checks.clear();
        if let Some(draining) = &mut self.draining {
            draining.cancelled += left;
        }
    }
}

impl Actor for WorkerPool {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.measure();
        context.run_interval(UTILIZATION_WINDOW, |pool, _| pool.measure());
    }
}

impl Observed for WorkerPool {
    fn observe(&self) -> serde_json::Value {
        json!({
            "checks": self.checks.len(),
            "waiting": self.first_runs.len() + self.queue.len(),
            "running": self.runs.values().filter(|run| !run.cancelled).count(),
            "stopping": self.runs.values().filter(|run| run.cancelled).count(),
            "draining": self.draining.is_some(),
        })
    }
}

supervised!(WorkerPool);

impl Handler<Install> for WorkerPool {
    type Result = ();

    fn handle(&mut self, install: Install, context: &mut Context<Self>) {
        self.uninstall(&install.id, context);
        let check = share(install.check, self.policy.histograms.clone());
        self.checks.insert(install.id, Installed { check, options: install.options, doing: Doing::Nothing, has_run: false });
        let before = self.most_workers;
        if self.policy.workers.is_none() && self.workers() > before {
            self.measure();
        }
    }
}

impl Handler<Uninstall> for WorkerPool {
    type Result = ();

    fn handle(&mut self, uninstall: Uninstall, context: &mut Context<Self>) {
        for id in &uninstall.ids {
            self.uninstall(id, context);
        }
    }
}

impl Handler<RunDue> for WorkerPool {
    type Result = ();

    fn handle(&mut self, due: RunDue, context: &mut Context<Self>) {
        for id in due.ids {
            match self.checks.get(&id).map(|installed| &installed.doing) {
                None => {}
                Some(Doing::Nothing) => self.enqueue(&id, false),
                Some(Doing::Waiting { .. } | Doing::Running { .. }) => self.links.missed.post(RunMissed { id }),
            }
        }
        self.start_waiting(context);
    }
}

impl Handler<RunNow> for WorkerPool {
    type Result = MessageResult<RunNow>;

    fn handle(&mut self, now: RunNow, context: &mut Context<Self>) -> Self::Result {
        MessageResult(match self.checks.get(&now.id).map(|installed| &installed.doing) {
            None => RunNowReply::Unknown,
            Some(Doing::Waiting { .. } | Doing::Running { .. }) => RunNowReply::UnderWay,
            Some(Doing::Nothing) => {
                self.enqueue(&now.id, true);
                self.start_waiting(context);
                RunNowReply::Queued
            }
        })
    }
}

impl Handler<RunEnded> for WorkerPool {
    type Result = ();

    fn handle(&mut self, ended: RunEnded, context: &mut Context<Self>) {
        let Some(run) = self.runs.remove(&ended.run) else { return };
        self.meter.end(self.clock.monotonic());
        match ended.outcome {
            _ if run.cancelled => {}
            Some(outcome) => self.finish(ended.id, run, outcome),
            // The runtime dropped the task, so it is ending; nothing is known about the run.
            None => self.checks.get_mut(&ended.id).into_iter().for_each(|installed| installed.doing = Doing::Nothing),
        }
        self.answer_drain_when_idle();
        self.start_waiting(context);
    }
}

impl Handler<Drain> for WorkerPool {
    type Result = ResponseFuture<Drained>;

    fn handle(&mut self, drain: Drain, context: &mut Context<Self>) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.draining.get_or_insert_default().waiting.push(answer);
        self.answer_drain_when_idle();
        context.run_later(drain.grace, |pool, _| pool.cancel_all());
        Box::pin(async move { answered.await.unwrap_or(Drained { cancelled: 0 }) })
    }
}

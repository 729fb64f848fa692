//! One run of a check as a task: deadline, panic and cancellation, with exactly one report at its end.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};
use futures_util::FutureExt as _;
use tokio::runtime;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::domain::check_options::CheckOptions;
use crate::domain::digest::check_name;
use crate::domain::ids::CheckId;
use crate::domain::run_stats::SampleCounts;
use crate::domain::sample_state::HistogramPolicy;
use crate::domain::sampler::{RunTime, Sampler};
use crate::domain::samples::{Batch, ServiceCheck, ServiceStatus};
use crate::domain::scrub::scrub;
use crate::kernel::clock::Clock;
use crate::ports::{Check, RunReport};

/// A check with its series. A run that is cancelled leaves both as they were.
pub(super) struct Resident {
    check: Box<dyn Check>,
    sampler: Sampler,
}

/// A check that several runs share one after the other.
pub(super) type SharedCheck = Arc<Mutex<Resident>>;

/// Puts a check where its runs find it.
pub(super) fn share(check: Box<dyn Check>, histograms: HistogramPolicy) -> SharedCheck {
    Arc::new(Mutex::new(Resident { check, sampler: Sampler::new(histograms) }))
}

/// What a run task needs.
pub(super) struct RunOrder {
    pub(super) id: CheckId,
    /// Number of the run, unique in one pool.
    pub(super) run: u64,
    pub(super) check: SharedCheck,
    pub(super) options: CheckOptions,
    pub(super) deadline: Duration,
    pub(super) agent_host: Arc<str>,
    /// Most series of one run, 0 = no limit.
    pub(super) series_limit: usize,
    /// Whether the run is followed by a service check that tells how it went.
    pub(super) check_status: bool,
}

/// A run is over, in whatever way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct RunEnded {
    pub(super) id: CheckId,
    pub(super) run: u64,
    /// `None` when it was cancelled.
    pub(super) outcome: Option<Outcome>,
}

/// How a run that was not cancelled went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) batch: Batch,
    /// What the check submitted.
    pub(super) counts: SampleCounts,
    pub(super) warnings: Vec<String>,
    pub(super) error: Option<String>,
    pub(super) timed_out: bool,
    pub(super) elapsed: Duration,
    pub(super) finished_unix_nanos: i64,
}

/// A task that ends when this is dropped.
pub(super) struct RunningTask(AbortHandle);

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reports the end of a run when dropped, so that a cancelled task is reported too.
struct EndReport {
    listener: Recipient<RunEnded>,
    ended: Option<RunEnded>,
}

impl Drop for EndReport {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.listener.do_send(ended);
        }
    }
}

/// Starts a run; `listener` gets one [`RunEnded`] when the task is really gone.
pub(super) fn launch(order: RunOrder, runtime: &runtime::Handle, clock: Arc<dyn Clock>, listener: Recipient<RunEnded>) -> RunningTask {
    let ended = Some(RunEnded { id: order.id.clone(), run: order.run, outcome: None });
    let mut report = EndReport { listener, ended };
    let task = runtime.spawn(async move {
        let outcome = run_once(order, clock.as_ref()).await;
        if let Some(ended) = &mut report.ended {
            ended.outcome = Some(outcome);
        }
    });
    RunningTask(task.abort_handle())
}

async fn run_once(order: RunOrder, clock: &dyn Clock) -> Outcome {
    // Waits only for a cancelled run of the same check that has not noticed yet.
    let mut resident = order.check.lock().await;
    let Resident { check, sampler } = &mut *resident;
    let started_at = clock.monotonic();
    // Unwind safety: a check that panicked is asked to run again; what it keeps is its own.
    let attempt = AssertUnwindSafe(async { check.run().await }).catch_unwind();
    let (report, timed_out) = match tokio::time::timeout(order.deadline, attempt).await {
        Ok(Ok(report)) => (report, false),
        Ok(Err(panic)) => (failed(format!("check panicked: {}", panic_text(panic.as_ref()))), false),
        Err(_) => (failed(format!("check timed out after {}s", order.deadline.as_secs_f64())), true),
    };
    let RunReport { mut samples, mut warnings, error } = report;
    let monotonic = clock.monotonic();
    let at = RunTime { monotonic, unix_seconds: clock.unix_seconds() };
    let counts = SampleCounts::of(&samples);
    let dropped = order.options.settle(&mut samples, &order.agent_host, order.series_limit);
    if dropped > 0 {
        warnings.push(format!("more than {} series, dropped {dropped} samples (muster.check_max_series)", order.series_limit));
    }
    if order.check_status {
        samples.service_checks.push(check_status(&order, error.is_some(), !warnings.is_empty()));
    }
    let (batch, refused) = sampler.take_run(samples, at);
    if refused > 0 {
        warnings.push(format!("dropped {refused} histogram buckets with a negative number or bounds out of order"));
    }
    Outcome {
        batch,
        counts,
        warnings: warnings.iter().map(|warning| scrub(warning)).collect(),
        error: error.as_deref().map(scrub),
        timed_out,
        elapsed: monotonic.saturating_sub(started_at),
        finished_unix_nanos: clock.unix_nanos(),
    }
}

/// Service check that tells how a run went. Source: node-runner 6.2.
fn check_status(order: &RunOrder, failed: bool, warned: bool) -> ServiceCheck {
    let status = match (failed, warned) {
        (true, _) => ServiceStatus::Critical,
        (false, true) => ServiceStatus::Warning,
        (false, false) => ServiceStatus::Ok,
    };
    ServiceCheck {
        name: "datadog.agent.check_status".to_owned(),
        status,
        tags: vec![format!("check:{}", check_name(&order.id)), "dd_enable_check_intake:true".to_owned()],
        host: Some(order.agent_host.to_string()),
        message: String::new(),
    }
}

fn failed(error: String) -> RunReport {
    RunReport { error: Some(error), ..RunReport::default() }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

//! The runner API's figures, from the published statistics.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster_actors::domain::ids::CheckId;
use muster_actors::domain::run_stats::RunStatsView;
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::kernel::published::Reader;
use muster_actors::messages::worker_pool::{RunNow, RunNowReply};

use crate::api::runner::{RunNowError, StatsSource, StatsView};

/// Time in which the pool has to say whether it takes the order.
const RUN_NOW_DEADLINE: Duration = Duration::from_secs(1);

/// Answers from the snapshot that `RunStats` publishes.
pub(super) struct PublishedStats {
    /// The snapshot.
    pub(super) stats: Reader<RunStatsView>,
    /// To the `WorkerPool`.
    pub(super) run_now: Outlet<RunNow>,
}

fn serialised(value: &impl serde::Serialize) -> Bytes {
    // Maps with text keys and numbers always serialise.
    Bytes::from(serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec()))
}

impl StatsSource for PublishedStats {
    fn stats_json(&self, view: StatsView) -> Bytes {
        let stats = self.stats.peek();
        if view.verbose {
            let checks: std::collections::BTreeMap<_, _> =
                stats.checks.iter().filter(|(_, check)| view.pending || check.total_runs > 0).collect();
            return serialised(&checks);
        }
        serialised(&stats.entries(view.pending))
    }

    fn workers_json(&self) -> Bytes {
        serialised(&self.stats.peek().workers)
    }

    fn status_json(&self) -> Bytes {
        serialised(&**self.stats.peek())
    }

    fn run_now(&self, id: CheckId) -> BoxFuture<'_, Result<(), RunNowError>> {
        Box::pin(async move {
            match self.run_now.ask(RunNow { id }, RUN_NOW_DEADLINE).await {
                Ok(RunNowReply::Queued) => Ok(()),
                Ok(RunNowReply::UnderWay) => Err(RunNowError::Busy),
                Ok(RunNowReply::Unknown) => Err(RunNowError::Unknown),
                Err(_) => Err(RunNowError::Unavailable),
            }
        })
    }
}

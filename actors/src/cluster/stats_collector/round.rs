//! One round of questions to all runners. Runs beside the actor, not inside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;
use tracing::debug;

use crate::balance::collection::{Told, ToldChecks, ToldWorkers, askable, collected};
use crate::domain::figures::Figures;
use crate::domain::ids::NodeName;
use crate::domain::world::{NodeView, ServedTable, Standing};
use crate::kernel::clock::Clock;
use crate::kernel::heavy_work::heavy_work;
use crate::kernel::published::Reader;
use crate::ports::{RunnerError, RunnerStats};

/// Runners that are asked at the same time. Source: cluster-checks 10.
pub const AT_A_TIME: usize = 16;

/// Longest time of one call. Source: cluster-checks 10.
pub const CALL_LIMIT: Duration = Duration::from_secs(2);

/// Work on more checks than this leaves the thread of the actors. Why: they all share it, and this many take about a millisecond.
const MANY: usize = 2_000;

/// A refusal that says that a runner is older than the route.
const NOT_FOUND: u16 = 404;

/// A round that has not begun yet.
pub(super) struct Round {
    /// Time.
    pub(super) clock: Arc<dyn Clock>,
    /// The way to the runners.
    pub(super) runners: Arc<dyn RunnerStats>,
    /// Who is asked, and at the end: which configs they have.
    pub(super) served: Reader<ServedTable>,
    /// What is known so far.
    pub(super) before: Arc<Figures>,
}

/// One runner to ask.
struct Question {
    node: NodeName,
    address: String,
    assigned: Arc<NodeView>,
}

impl Round {
    /// Asks everybody and makes figures of what they told. Takes [`CALL_LIMIT`] per call at most.
    pub(super) async fn run(self) -> Figures {
        let Self { clock, runners, served, before } = self;
        let table = served.current();
        let began_at = clock.monotonic();
        let mut questions: Vec<Question> = askable(&table)
            .map(|(name, node)| Question { node: name.clone(), address: node.facts.address.clone(), assigned: Arc::clone(&node.view) })
            .collect();
        questions.sort_by(|a, b| a.node.cmp(&b.node));
        let answers = stream::iter(questions).map(|question| ask(&*clock, &*runners, question)).buffer_unordered(AT_A_TIME);
        let told: BTreeMap<NodeName, Told> = answers.collect().await;

        // Who owns what may have changed meanwhile; a dispatcher that restarts shows nothing for a moment.
        let current = served.current();
        let table = if current.standing == Standing::Active { current } else { table };
        let at = clock.monotonic();
        let size = table.nodes.values().map(|node| node.view.configs.len()).sum::<usize>() + told.len();
        let fold = move || collected(&before, &table, told, at, at.saturating_sub(began_at));
        work(size, fold).await
    }
}

/// Asks one runner: first for its statistics, then over the same connection for its workers.
async fn ask(clock: &dyn Clock, runners: &dyn RunnerStats, question: Question) -> (NodeName, Told) {
    let Question { node, address, assigned } = question;
    let checks = within_limit(runners.stats(&address)).await;
    let at = clock.monotonic();
    let workers = match &checks {
        // Asking it for anything else would only cost the same time again.
        Err(RunnerError::Unreachable(_)) => ToldWorkers::NoAnswer,
        _ => match within_limit(runners.workers(&address)).await {
            Ok(number) => ToldWorkers::Number(number),
            Err(RunnerError::Refused { status: NOT_FOUND, .. }) => ToldWorkers::Untold,
            Err(error) => {
                debug!(%node, %error, "a runner did not tell its workers");
                ToldWorkers::NoAnswer
            }
        },
    };
    let checks = match checks {
        Ok(checks) => {
            let size = checks.len();
            Ok(work(size, move || ToldChecks::new(checks, &assigned)).await)
        }
        Err(error) => {
            debug!(%node, %error, "a runner did not tell its statistics");
            Err(error.to_string())
        }
    };
    (node, Told { at, checks, workers })
}

async fn within_limit<T>(call: impl Future<Output = Result<T, RunnerError>>) -> Result<T, RunnerError> {
    timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(RunnerError::Unreachable(format!("no answer within {CALL_LIMIT:?}"))))
}

/// Does the work here if it is little, else on the blocking pool.
async fn work<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if size <= MANY { work() } else { heavy_work(work).await }
}

//! Asks runners for their statistics, and publishes what they told.

mod round;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::balance::collection::askable;
use crate::cluster::stats_collector::round::Round;
use crate::domain::figures::Figures;
use crate::domain::ids::{Epoch, Seq};
use crate::domain::lease::{Leadership, Role};
use crate::domain::world::{ServedTable, Standing};
use crate::kernel::clock::Clock;
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::supervised::Observed;
use crate::messages::stats_collector::CollectNow;
use crate::ports::RunnerStats;
use crate::supervised;

pub use crate::cluster::stats_collector::round::{AT_A_TIME, CALL_LIMIT};

/// Time between two rounds. Source: cluster-checks 10, style 9.6.
pub const COLLECTION_PERIOD: Duration = Duration::from_secs(60);

/// Time between two rounds at least, however many runners come.
const LEAST_PERIOD: Duration = Duration::from_secs(10);

/// Time between two looks at who leads and whether a round is due.
const LOOK: Duration = Duration::from_secs(1);

/// What [`StatsCollector`] needs.
#[derive(Clone)]
pub struct StatsCollectorParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who is asked, and which configs they have.
    pub served: Reader<ServedTable>,
    /// Whether this replica leads; else it asks nobody.
    pub leadership: Reader<Leadership>,
    /// The way to the runners.
    pub runners: Arc<dyn RunnerStats>,
    /// Where everybody reads what was collected; outlives the actor.
    pub figures: Arc<Publisher<Figures>>,
    /// Time from the beginning of a round to that of the next one, usually [`COLLECTION_PERIOD`].
    pub period: Duration,
}

/// Owns the figures of runners and configs: collects them while this replica leads, and forgets them with the term of office.
///
/// After a restart it goes on with what is published, and collects at once.
pub struct StatsCollector {
    parts: StatsCollectorParts,
    /// The term of office that the figures are of.
    term: Option<Epoch>,
    round: Option<SpawnHandle>,
    /// When the last round began. Monotonic.
    began_at: Option<Duration>,
    /// The table in which newcomers were looked for last.
    looked_at: Seq,
    rounds: u64,
    waiting: Vec<oneshot::Sender<()>>,
}

impl StatsCollector {
    /// A collector that has asked nobody yet.
    #[must_use]
    pub fn new(parts: StatsCollectorParts) -> Self {
        Self { parts, term: None, round: None, began_at: None, looked_at: Seq(0), rounds: 0, waiting: Vec::new() }
    }

    /// The term of office in which this replica dispatches now, if it does.
    fn acting_in(&self) -> Option<Epoch> {
        let table = self.parts.served.peek();
        let term = self.parts.leadership.peek().term(self.parts.clock.monotonic());
        term.filter(|term| table.standing == Standing::Active && table.epoch == *term)
    }

    fn look(&mut self, context: &mut Context<Self>) {
        let Some(epoch) = self.acting_in() else {
            // A leader whose dispatcher just restarts will go on in the same term.
            if self.parts.leadership.peek().role != Role::Leader {
                self.forget(context);
            }
            return;
        };
        if self.term.is_some_and(|term| term != epoch) {
            self.forget(context);
        }
        self.term = Some(epoch);
        let now = self.parts.clock.monotonic();
        let waited = self.began_at.map(|at| now.saturating_sub(at));
        let due = waited.is_none_or(|waited| waited >= self.parts.period || waited >= LEAST_PERIOD && self.somebody_is_new());
        if due && self.round.is_none() {
            self.begin(context);
        }
    }

    /// Whether a runner came since the last round.
    ///
    /// Why it is asked at once: whoever balances looks 30 s after it came, and would have to guess how many workers it has.
    fn somebody_is_new(&mut self) -> bool {
        let served = self.parts.served.peek();
        if std::mem::replace(&mut self.looked_at, served.shown) == served.shown {
            return false;
        }
        let known = self.parts.figures.reader().current();
        askable(&served).any(|(name, _)| !known.runners.contains_key(name))
    }

    /// Begins anew: what was collected in another term may be about runners and configs that are gone.
    fn forget(&mut self, context: &mut Context<Self>) {
        if let Some(round) = self.round.take() {
            context.cancel_future(round);
        }
        // Whoever waits learns that there is nothing to wait for.
        self.waiting.clear();
        (self.term, self.began_at) = (None, None);
        if self.parts.figures.reader().peek().collected_at.is_some() {
            self.parts.figures.publish(Figures::default());
        }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        self.began_at = Some(self.parts.clock.monotonic());
        let StatsCollectorParts { clock, runners, served, figures, .. } = self.parts.clone();
        let round = Round { clock, runners, served, before: figures.reader().current() }.run();
        self.round = Some(context.spawn(round.into_actor(self).map(|figures, collector, context| collector.end(figures, context))));
    }

    fn end(&mut self, figures: Figures, context: &mut Context<Self>) {
        self.round = None;
        self.rounds += 1;
        let leadership = self.parts.leadership.current();
        if leadership.role != Role::Leader || self.term != Some(leadership.epoch) {
            self.forget(context);
            return;
        }
        tell_failures(&self.parts.figures.reader().peek(), &figures);
        self.parts.figures.publish(figures);
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = waiting.send(());
        }
    }

    fn is_fresh(&self) -> bool {
        let now = self.parts.clock.monotonic();
        self.parts.figures.reader().peek().collected_at.is_some_and(|at| now.saturating_sub(at) < self.parts.period)
    }
}

/// Tells when runners begin to fail, and when none does any more: not of every runner, and not with every round.
fn tell_failures(before: &Figures, now: &Figures) {
    let failing = |figures: &Figures| figures.runners.values().filter(|runner| runner.last_error.is_some()).count();
    let (were, are) = (failing(before), failing(now));
    if are > were {
        let first = now.runners.iter().find_map(|(name, runner)| Some((name, runner.last_error.as_deref()?)));
        let (node, error) = first.map_or(("", ""), |(name, error)| (name.as_str(), error));
        warn!(failed = are, of = now.runners.len(), node, error, "statistics of runners not collected, their last ones count on");
    } else if were > 0 && are == 0 {
        info!(runners = now.runners.len(), "statistics of all runners are collected again");
    }
}

impl Actor for StatsCollector {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.look(context);
        context.run_interval(LOOK, Self::look);
    }
}

supervised!(StatsCollector);

impl Observed for StatsCollector {
    fn observe(&self) -> serde_json::Value {
        let figures = self.parts.figures.reader().current();
        serde_json::json!({
            "term": self.term,
            "collecting": self.round.is_some(),
            "rounds": self.rounds,
            "runners": figures.runners.len(),
            "failing": figures.runners.values().filter(|runner| runner.last_error.is_some()).count(),
            "configs": figures.configs.len(),
            "took_seconds": figures.took.as_secs_f64(),
            "waiting": self.waiting.len(),
        })
    }
}

impl Handler<CollectNow> for StatsCollector {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CollectNow, context: &mut Context<Self>) -> Self::Result {
        self.look(context);
        if self.acting_in().is_none() || self.is_fresh() {
            return Box::pin(std::future::ready(()));
        }
        if self.round.is_none() {
            self.begin(context);
        }
        let (ended, end) = oneshot::channel();
        self.waiting.push(ended);
        Box::pin(async move {
            // If the round is given up, there is nothing to wait for either.
            let _ = end.await;
        })
    }
}

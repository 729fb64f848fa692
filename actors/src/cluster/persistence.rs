//! Keeps the assignment on disk and tells the dispatcher how far it got.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{debug, error, info, warn};

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::ids::Seq;
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{DeltaSaved, Origin, PersistenceStarted, TableLoaded};
use crate::messages::persistence::{LoadTable, SaveDelta, SaveTable};
use crate::ports::{AssignmentStore, StoreError, StoreSize, StoredTable};
use crate::supervised;

/// The log is replaced by a snapshot when it is larger than this and than [`LOG_PER_SNAPSHOT`] snapshots. Units: bytes.
pub const COMPACTION_FLOOR: u64 = 1 << 20;

/// See [`COMPACTION_FLOOR`].
pub const LOG_PER_SNAPSHOT: u64 = 4;

/// Time to the first retry after the disk failed; doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest time between two retries.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// What [`Persistence`] needs.
#[derive(Clone)]
pub struct PersistenceParts {
    /// The disk.
    pub store: Arc<dyn AssignmentStore>,
    /// Who gets the table.
    pub loaded: Outlet<TableLoaded>,
    /// Who is told what is on disk.
    pub saved: Outlet<DeltaSaved>,
    /// Who may have sent something that an earlier incarnation took with it.
    pub started: Outlet<PersistenceStarted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The table is being read.
    Loading,
    /// Nothing is under way.
    Idle,
    /// A write is under way; what arrives meanwhile goes into the next one.
    Writing,
    /// The last write failed. The next one replaces everything, so that there is no hole.
    Broken,
}

/// Owns the saved copy of the assignment table: one write at a time, everything that waits goes into the next one.
///
/// After a restart it reads the store again and asks the dispatcher for what an earlier incarnation may have lost.
pub struct Persistence {
    parts: PersistenceParts,
    state: State,
    /// The table as it is when everything that arrived is saved.
    mirror: AssignmentTable,
    restored: bool,
    wanted: bool,
    waiting: Vec<Arc<TableDelta>>,
    replace_next: bool,
    size: StoreSize,
    saved: Seq,
    failures: u64,
    consecutive_failures: u32,
    compactions: u64,
    findings: Vec<String>,
}

impl Persistence {
    /// A persistence that has not read anything yet.
    #[must_use]
    pub fn new(parts: PersistenceParts) -> Self {
        Self {
            parts,
            state: State::Loading,
            mirror: AssignmentTable::default(),
            restored: false,
            wanted: false,
            waiting: Vec::new(),
            replace_next: false,
            size: StoreSize::default(),
            saved: Seq(0),
            failures: 0,
            consecutive_failures: 0,
            compactions: 0,
            findings: Vec::new(),
        }
    }

    fn load(&mut self, context: &mut Context<Self>) {
        let read = self.parts.store.load().into_actor(self).map(|read, persistence, context| match read {
            Ok(stored) => persistence.loaded(stored, context),
            Err(error) => {
                persistence.count_failure("load the assignment", &error);
                context.run_later(persistence.retry_delay(), |persistence, context| {
                    if persistence.state == State::Loading {
                        persistence.load(context);
                    }
                });
            }
        });
        context.spawn(read);
    }

    fn loaded(&mut self, stored: StoredTable, context: &mut Context<Self>) {
        if self.state != State::Loading {
            // The dispatcher was faster and sent what is newer than anything on disk.
            return;
        }
        for finding in &stored.findings {
            warn!(finding, "assignment files were repaired");
        }
        info!(configs = stored.table.rows().len(), nodes = stored.table.nodes().len(), restored = stored.restored, "assignment loaded");
        self.consecutive_failures = 0;
        self.state = State::Idle;
        self.saved = stored.table.seq();
        self.size = stored.size;
        self.restored = stored.restored;
        self.findings = stored.findings;
        self.mirror = stored.table;
        for delta in std::mem::take(&mut self.waiting) {
            self.take_in(delta);
        }
        self.write(context);
        self.hand_out();
    }

    /// Answers a request for the table once all of it is on disk, or the disk is known to be broken.
    ///
    /// Why so late: the dispatcher shows at once what it gets here.
    fn hand_out(&mut self) {
        let settled = matches!(self.state, State::Idle | State::Broken);
        if !self.wanted || !settled {
            return;
        }
        self.wanted = false;
        // Not to be lost: without a table the dispatcher decides nothing.
        let table = Box::new(self.mirror.clone());
        // What discovery knew is not kept on disk. Nobody else writes there, so the table is that of any term.
        let origin = if self.restored { Origin::Current } else { Origin::Nothing };
        self.parts.loaded.post(TableLoaded { table, origin, discovery_synced: false, epoch: None });
    }

    fn take_in(&mut self, delta: Arc<TableDelta>) {
        if self.mirror.apply(&delta) {
            self.restored = true;
            self.waiting.push(delta);
        }
    }

    /// Starts the next write if there is something to write and nothing under way.
    fn write(&mut self, context: &mut Context<Self>) {
        if self.state != State::Idle || (self.waiting.is_empty() && !self.replace_next) {
            return;
        }
        self.state = State::Writing;
        let upto = self.mirror.seq();
        let deltas = std::mem::take(&mut self.waiting);
        let work = if std::mem::take(&mut self.replace_next) {
            self.parts.store.replace(self.mirror.clone())
        } else {
            self.parts.store.append(deltas)
        };
        context.spawn(work.into_actor(self).map(move |outcome, persistence, context| persistence.written(upto, outcome, context)));
    }

    fn written(&mut self, seq: Seq, outcome: Result<StoreSize, StoreError>, context: &mut Context<Self>) {
        match outcome {
            Ok(size) => {
                if self.consecutive_failures > 0 {
                    info!(failures = self.failures, "the assignment is on disk again");
                }
                self.consecutive_failures = 0;
                self.state = State::Idle;
                self.saved = seq;
                if size.log == 0 && self.size.log > 0 {
                    self.compactions += 1;
                }
                self.size = size;
                self.replace_next |= size.log > COMPACTION_FLOOR.max(LOG_PER_SNAPSHOT * size.snapshot);
                self.report(seq, true);
                self.write(context);
            }
            Err(error) => {
                self.count_failure("save the assignment", &error);
                self.state = State::Broken;
                self.replace_next = true;
                self.waiting.clear();
                // What arrived during the write will not be tried before the retry, so it need not wait for it either.
                self.report(self.mirror.seq(), false);
                context.run_later(self.retry_delay(), |persistence, context| {
                    persistence.state = State::Idle;
                    persistence.write(context);
                });
            }
        }
        self.hand_out();
    }

    fn report(&self, seq: Seq, durable: bool) {
        debug!(seq = seq.0, durable, "assignment written");
        // Not to be lost: agents see nothing new without it.
        self.parts.saved.post(DeltaSaved { seq, durable });
    }

    fn count_failure(&mut self, what: &'static str, failure: &StoreError) {
        self.failures += 1;
        self.consecutive_failures += 1;
        if self.consecutive_failures == 1 {
            error!(
                error = %failure, cause = %failure.source,
                "failed to {what}; agents are served, but a restart may forget the latest changes"
            );
        }
    }

    fn retry_delay(&self) -> Duration {
        LAST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow(self.consecutive_failures.saturating_sub(1).min(5)))
    }
}

impl Actor for Persistence {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.load(context);
        self.parts.started.post(PersistenceStarted);
    }
}

supervised!(Persistence);

impl Observed for Persistence {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "state": format!("{:?}", self.state),
            "decided": self.mirror.seq(),
            "saved": self.saved,
            "waiting": self.waiting.len(),
            "snapshot_bytes": self.size.snapshot,
            "log_bytes": self.size.log,
            "compactions": self.compactions,
            "failures": self.failures,
            "failing": self.consecutive_failures > 0,
            "findings": self.findings,
        })
    }
}

impl Handler<LoadTable> for Persistence {
    type Result = ();

    fn handle(&mut self, _: LoadTable, _: &mut Context<Self>) {
        self.wanted = true;
        self.hand_out();
    }
}

impl Handler<SaveDelta> for Persistence {
    type Result = ();

    fn handle(&mut self, save: SaveDelta, context: &mut Context<Self>) {
        match self.state {
            // Put in order once it is known what they follow.
            State::Loading => self.waiting.push(save.delta),
            State::Broken => {
                self.mirror.apply(&save.delta);
                self.restored = true;
                self.report(save.delta.seq, false);
            }
            State::Idle | State::Writing => {
                self.take_in(save.delta);
                self.write(context);
            }
        }
    }
}

impl Handler<SaveTable> for Persistence {
    type Result = ();

    fn handle(&mut self, save: SaveTable, context: &mut Context<Self>) {
        self.mirror = *save.table;
        self.restored = true;
        self.waiting.clear();
        self.replace_next = true;
        match self.state {
            State::Broken => self.report(self.mirror.seq(), false),
            State::Loading => {
                self.state = State::Idle;
                self.write(context);
            }
            State::Idle | State::Writing => self.write(context),
        }
    }
}

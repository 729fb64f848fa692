//! The watch that stays open between two rounds. Source: cluster-agent-kubernetes 3.4b.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, ReadyChunks, Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::domain::event_token::EventToken;
use crate::domain::kube::event::KubeEvent;
use crate::kernel::clock::Clock;
use crate::ports::{ClusterReadError, EventChange, EventQuery, EventSource, EventTokens};
use crate::shared::complaints::Report;
use crate::shared::event_forwarder::listing::list_newer;
use crate::shared::event_forwarder::round::{LIST, LOAD, WATCH, describe};

/// Attempts to read the checkpoint. Source: cluster-agent-kubernetes 3.4b.
const ATTEMPTS: u32 = 5;

/// First pause between two attempts; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two attempts to list or to watch.
const LAST_PAUSE: Duration = Duration::from_secs(32);

/// How long the server keeps one watch open; the next one goes on where it ended.
const LASTS: Duration = Duration::from_secs(300);

/// A watch that ended sooner than this did not work, whatever it said.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Changes that are handed over at once.
const CHUNK: usize = 256;

/// What the watch tells.
#[derive(Debug)]
pub(super) enum Told {
    /// Everything up to this token is safe, or skipped because there was no checkpoint.
    Begins(EventToken),
    /// New events, in order.
    Seen(Vec<KubeEvent>),
    /// New events of a list, which no watch brings.
    Listed(Vec<KubeEvent>),
    /// How an attempt went.
    Report(Report),
}

/// What a watch needs.
pub(super) struct Watching {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) source: Arc<dyn EventSource>,
    pub(super) tokens: Arc<dyn EventTokens>,
    pub(super) query: EventQuery,
    /// A round has taken what was told.
    pub(super) taken: Arc<Notify>,
    /// What this process remembers, for a checkpoint that is empty or cannot be read.
    pub(super) remembered: Option<EventToken>,
}

type Changes = ReadyChunks<BoxStream<'static, Result<EventChange, ClusterReadError>>>;

enum Phase {
    /// The checkpoint has to be read.
    Start,
    /// What is newer has to be listed; `only_way`: no watch brings it.
    List { only_way: bool },
    /// A list had more; the rest is listed when rounds have taken what was told.
    ListMore,
    /// A watch has to be opened.
    Open,
    /// A watch is open since then.
    Watch(Changes, Duration),
}

struct State {
    watching: Watching,
    phase: Phase,
    /// Everything up to this version was told or skipped; empty = there is no checkpoint.
    seen: EventToken,
    /// In a row.
    failures: u32,
    /// Before the next step. It comes after what was told, which need not wait for it.
    pause: Option<Duration>,
}

impl Watching {
    /// The stream of what it tells. It never ends; dropping it ends the watch.
    pub(super) fn run(self) -> impl Stream<Item = Vec<Told>> {
        let state = State { watching: self, phase: Phase::Start, seen: EventToken::default(), failures: 0, pause: None };
        stream::unfold(state, async |mut state| {
            let told = state.step().await;
            Some((told, state))
        })
    }
}

impl State {
    async fn step(&mut self) -> Vec<Told> {
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Start => self.start().await,
            Phase::List { only_way } => self.list(only_way).await,
            Phase::ListMore => {
                self.watching.taken.notified().await;
                self.list(true).await
            }
            Phase::Open => {
                let changes = self.watching.source.watch(&self.watching.query, &self.seen.version, LASTS).ready_chunks(CHUNK);
                self.phase = Phase::Watch(changes, self.watching.clock.monotonic());
                Vec::new()
            }
            Phase::Watch(changes, began_at) => self.watch(changes, began_at).await,
        }
    }

    /// Reads the checkpoint. A version 0 is none: all that is there would be forwarded.
    async fn start(&mut self) -> Vec<Told> {
        let (checkpoint, report) = self.checkpoint().await;
        let known = |token: &EventToken| !matches!(token.version.as_str(), "" | "0");
        self.seen = checkpoint.filter(known).or_else(|| self.watching.remembered.clone().filter(known)).unwrap_or_default();
        self.phase = Phase::List { only_way: false };
        let mut told = vec![Told::Report((LOAD, report))];
        if known(&self.seen) {
            told.push(Told::Begins(self.seen.clone()));
        }
        told
    }

    async fn checkpoint(&self) -> (Option<EventToken>, Option<String>) {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            match self.watching.tokens.load(self.watching.clock.unix_seconds()).await {
                Ok(token) => return (Some(token), None),
                Err(error) if attempt == ATTEMPTS => return (None, Some(describe(&error))),
                Err(_) => {
                    sleep(pause).await;
                    (attempt, pause) = (attempt + 1, pause * 2);
                }
            }
        }
    }

    async fn list(&mut self, only_way: bool) -> Vec<Told> {
        let fresh = self.seen.version.is_empty();
        match list_newer(&*self.watching.source, &self.watching.query, &self.seen.version, only_way).await {
            Err(error) => {
                self.phase = Phase::List { only_way };
                self.pause_next();
                vec![Told::Report((LIST, Some(error.to_string())))]
            }
            Ok(listing) => {
                self.failures = 0;
                let listed = Told::Report((LIST, None));
                if !listing.complete && !only_way {
                    // The watch from there on brings the same events.
                    return vec![listed];
                }
                let now = self.watching.clock.unix_seconds();
                let mut told = vec![listed];
                told.extend(listing.begins_anew.map(|version| Told::Begins(self.seen.listed(&version, now))));
                self.seen = self.seen.listed(&listing.version, now);
                // Why nothing of a first list: without a checkpoint nobody knows what was forwarded already.
                told.push(if fresh { Told::Begins(self.seen.clone()) } else { Told::Listed(listing.events) });
                if listing.more {
                    self.phase = Phase::ListMore;
                }
                told
            }
        }
    }

    async fn watch(&mut self, mut changes: Changes, began_at: Duration) -> Vec<Told> {
        let Some(chunk) = changes.next().await else {
            if self.watching.clock.monotonic().saturating_sub(began_at) < AT_LEAST {
                self.pause_next();
            } else {
                // A watch says nothing for ever if the API server is behind the version that it begins at.
                self.phase = Phase::List { only_way: false };
            }
            return Vec::new();
        };
        let mut events = Vec::new();
        let mut failed = None;
        for change in chunk {
            match change {
                Ok(EventChange::Seen(event)) => {
                    self.seen = self.seen.advanced_to(&event.version);
                    events.push(*event);
                }
                Ok(EventChange::Deleted) => {}
                Ok(EventChange::Bookmark(version)) => self.seen = self.seen.advanced_to(&version),
                Err(error) => failed = Some(error),
            }
        }
        let report = match failed {
            None => {
                self.failures = 0;
                self.phase = Phase::Watch(changes, began_at);
                (WATCH, None)
            }
            Some(ClusterReadError::Expired(_)) => {
                self.phase = Phase::List { only_way: true };
                (WATCH, None)
            }
            Some(error) => {
                self.pause_next();
                (WATCH, Some(error.to_string()))
            }
        };
        vec![Told::Seen(events), Told::Report(report)]
    }

    /// Waits before the next step, longer with each failure in a row.
    fn pause_next(&mut self) {
        self.pause = Some(FIRST_PAUSE.saturating_mul(1 << self.failures.min(5)).min(LAST_PAUSE));
        self.failures += 1;
    }
}

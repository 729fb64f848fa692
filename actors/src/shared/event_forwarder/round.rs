//! One round: reads what is new, hands it to every output, waits for their receipts, and stores how far it got.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::error;

use crate::domain::delivery::DropReason;
use crate::domain::event_token::{EventToken, Step};
use crate::domain::kube::apiserver_check::ApiserverCheckOptions;
use crate::domain::kube::event::KubeEvent;
use crate::domain::kube::event_hosts::ObjectFacts;
use crate::domain::kube::event_rules::{EventContext, Transformed, query_selector, transform};
use crate::domain::samples::Batch;
use crate::kernel::heavy_work::heavy_work;
use crate::messages::output::{Enqueue, Receipt};
use crate::ports::{ClusterReadError, EventChange, EventQuery, SaveOutcome, StillLeads, StoreError};
use crate::shared::complaints::Report;
use crate::shared::event_forwarder::facts::{ProviderIds, look_up};
use crate::shared::event_forwarder::listing::list_newer;
use crate::shared::event_forwarder::parts::EventForwarderParts;

/// What is done, in complaints.
pub(super) const LOAD: &str = "read the token of the events";
pub(super) const LIST: &str = "list events";
pub(super) const WATCH: &str = "watch events";
const SAVE: &str = "store the token of the events";
pub(super) const DELIVER: &str = "hand events to the outputs";

/// Events that one round takes from a watch; what is more comes in the next one, at once.
const MOST_EVENTS: usize = 10_000;

/// Rules over more events than this leave the thread of the actors. Why: this many take about a millisecond.
const MANY: usize = 50;

/// Text of a store that failed, with its cause.
pub(super) fn describe(error: &StoreError) -> String {
    format!("{error}: {}", error.source)
}

/// Which events the API server is asked for.
pub(super) fn query(options: &ApiserverCheckOptions) -> EventQuery {
    EventQuery { field_selector: query_selector(options), limit: options.max_events_per_run }
}

/// How far this process got, and what it knows of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Everything up to here is safe.
    pub(super) safe: Option<EventToken>,
    /// What was stored when it was looked at, or written, last.
    pub(super) stored: Option<EventToken>,
    /// `safe` could not be stored.
    pub(super) unsaved: bool,
}

impl Memory {
    /// Where to go on, when this is stored now.
    ///
    /// What somebody else stored counts: a leader that was in between, stock or not, or a user that wants a replay.
    fn resume(&mut self, stored: EventToken) -> EventToken {
        if self.stored.replace(stored.clone()).is_some_and(|before| before != stored) {
            self.unsaved = false;
        }
        match &self.safe {
            Some(safe) if stored.version.is_empty() && !safe.version.is_empty() => {
                error!(remembered = safe.version, "the stored token of the events is empty, going on from the remembered one");
                safe.clone()
            }
            Some(safe) if self.unsaved => safe.clone(),
            _ => stored,
        }
    }
}

/// Where the events come from.
pub(super) enum Reading {
    /// They are asked for.
    Poll,
    /// A watch has seen them.
    Seen(Vec<KubeEvent>),
}

/// A round that has not begun yet.
pub(super) struct Round {
    pub(super) parts: EventForwarderParts,
    pub(super) options: Arc<ApiserverCheckOptions>,
    pub(super) number: u64,
    pub(super) leads: StillLeads,
    pub(super) reading: Reading,
    pub(super) memory: Memory,
    pub(super) providers: ProviderIds,
    /// What became of what the outputs got, when the last of them has told.
    pub(super) settled: oneshot::Receiver<Result<(), DropReason>>,
    /// Set as soon as the outputs have it.
    pub(super) handed_over: Arc<AtomicBool>,
}

/// What a round led to.
pub(super) enum Outcome {
    /// There was nothing new, or it could not be read.
    Nothing,
    /// All outputs have it.
    Delivered {
        /// What they have, without the events themselves.
        counts: Transformed,
        /// How many events that are.
        events: usize,
        /// Age of the newest one. Units: seconds.
        lag_seconds: Option<i64>,
    },
    /// One of them lost it. These are the events, where they would not be read again.
    Lost(Vec<KubeEvent>),
    /// This replica does not lead any more.
    NotLeading,
}

/// What is left of a round.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) memory: Memory,
    pub(super) providers: ProviderIds,
    pub(super) reports: Vec<Report>,
    /// There was more to read than one round takes.
    pub(super) more: bool,
}

/// What was read, and the token for when all of it is safe.
#[derive(Default)]
struct Read {
    events: Vec<KubeEvent>,
    next: EventToken,
    more: bool,
}

impl Round {
    /// Runs it. Reading ends in bounded time; waiting for the outputs takes as long as they need.
    pub(super) async fn run(mut self) -> Ended {
        let mut reports = Vec::new();
        let reading = std::mem::replace(&mut self.reading, Reading::Poll);
        let seen = matches!(reading, Reading::Seen(_));
        let read = match reading {
            Reading::Poll => self.poll(&mut reports).await,
            Reading::Seen(events) => Some(self.take(events)),
        };
        let Some(Read { events, next, more }) = read else {
            return self.end(Outcome::Nothing, reports, false);
        };
        if !(self.leads)() {
            return self.end(Outcome::NotLeading, reports, false);
        }
        let facts = look_up(&events, &*self.parts.source, &*self.parts.clock, &mut self.providers, &mut reports).await;
        let newest = newest(&events);
        let (events, transformed, batch) = self.transform(events, facts).await;
        if !(self.leads)() {
            return self.end(Outcome::NotLeading, reports, false);
        }
        let count = batch.events.len();
        if let Err(reason) = self.deliver(batch).await {
            reports.push((DELIVER, Some(format!("lost by an output: {}", reason.as_str()))));
            return self.end(Outcome::Lost(if seen { events } else { Vec::new() }), reports, false);
        }
        reports.push((DELIVER, None));
        let lag_seconds = newest.map(|at| self.parts.clock.unix_seconds().saturating_sub(at));
        let leads = self.keep(next, &mut reports).await;
        let outcome = match (leads, events.is_empty()) {
            (false, _) => Outcome::NotLeading,
            (true, true) => Outcome::Nothing,
            (true, false) => Outcome::Delivered { counts: transformed, events: count, lag_seconds },
        };
        self.end(outcome, reports, more)
    }

    fn end(self, outcome: Outcome, reports: Vec<Report>, more: bool) -> Ended {
        Ended { outcome, memory: self.memory, providers: self.providers, reports, more }
    }

    /// What a watch has seen. Source: cluster-agent-kubernetes 3.4b.
    fn take(&self, events: Vec<KubeEvent>) -> Read {
        let before = self.memory.safe.clone().unwrap_or_default();
        let next =
            if events.is_empty() { before } else { EventToken { listed_at: self.parts.clock.unix_seconds(), ..before.watched(&events) } };
        Read { events, next, more: false }
    }

    /// Reads what is new. Source: cluster-agent-kubernetes 3.4.
    async fn poll(&mut self, reports: &mut Vec<Report>) -> Option<Read> {
        let now = self.parts.clock.unix_seconds();
        let stored = self.parts.tokens.load(now).await;
        reports.push((LOAD, stored.as_ref().err().map(describe)));
        let mut from = self.memory.resume(stored.ok()?);
        let query = query(&self.options);
        // Stock watches from version 0 on. Such a watch begins with everything there is in no order, so that a part of it is no progress.
        let replay = from.version == "0";
        if replay || from.step(now, self.options.resync_period) == Step::List {
            match list_newer(&*self.parts.source, &query, &from.version, replay).await {
                Ok(listing) if listing.complete || replay => {
                    reports.push((LIST, None));
                    return Some(Read { events: listing.events, next: from.listed(&listing.version, now), more: listing.more });
                }
                Ok(_) => {
                    // The watch brings the same, without the rest that nobody needs.
                    reports.push((LIST, None));
                    from.listed_at = now;
                }
                Err(error) => {
                    reports.push((LIST, Some(error.to_string())));
                    if replay || from.version.is_empty() {
                        return None;
                    }
                    // The list is only to make sure of what the watch brings.
                }
            }
        }
        self.watch(query, from, reports).await
    }

    async fn watch(&self, query: EventQuery, from: EventToken, reports: &mut Vec<Report>) -> Option<Read> {
        let (clock, lasts) = (&self.parts.clock, self.options.read_timeout);
        let began_at = clock.monotonic();
        let mut changes = std::pin::pin!(self.parts.source.watch(&query, &from.version, lasts).take_until(sleep(lasts)));
        let mut read = Read { next: from, ..Read::default() };
        let mut problem = None;
        while let Some(change) = changes.next().await {
            match change {
                Ok(EventChange::Seen(event)) => {
                    read.next = read.next.advanced_to(&event.version);
                    read.events.push(*event);
                    if read.events.len() >= MOST_EVENTS {
                        read.more = true;
                        break;
                    }
                }
                Ok(EventChange::Deleted) => {}
                Ok(EventChange::Bookmark(version)) => read.next = read.next.advanced_to(&version),
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            }
        }
        if let Some(ClusterReadError::Expired(_)) = problem {
            return self.list_again(query, read, reports).await;
        }
        let closed = problem.is_none() && !read.more && clock.monotonic().saturating_sub(began_at) < lasts;
        let problem = problem.map(|error| error.to_string()).or_else(|| closed.then(|| "Unexpected watch close".to_owned()));
        reports.push((WATCH, problem));
        Some(read)
    }

    /// The watch is too late: lists what is newer than what it brought, and than what is stored.
    async fn list_again(&self, query: EventQuery, read: Read, reports: &mut Vec<Report>) -> Option<Read> {
        match list_newer(&*self.parts.source, &query, &read.next.version, true).await {
            Ok(listing) => {
                reports.extend([(WATCH, None), (LIST, None)]);
                let next = read.next.listed(&listing.version, self.parts.clock.unix_seconds());
                let events = read.events.into_iter().chain(listing.events).collect();
                Some(Read { events, next, more: listing.more })
            }
            Err(error) => {
                reports.push((LIST, Some(error.to_string())));
                // What the watch brought is forwarded, the rest comes next time.
                (!read.events.is_empty()).then_some(read)
            }
        }
    }

    /// Makes the batch of them: with what the payload of stock has and its rules leave open.
    async fn transform(&self, events: Vec<KubeEvent>, facts: ObjectFacts) -> (Vec<KubeEvent>, Transformed, Batch) {
        let (options, parts, now) = (Arc::clone(&self.options), self.parts.clone(), self.parts.clock.unix_seconds());
        let many = events.len() > MANY;
        let rules = move || {
            let EventForwarderParts { source_detection, cluster_name, global_tags, .. } = &parts;
            let context = EventContext { options: &options, source_detection: *source_detection, cluster_name, facts: &facts };
            let mut transformed = transform(&events, &context);
            let mut batch = Batch { events: std::mem::take(&mut transformed.events), ..Batch::default() };
            for event in &mut batch.events {
                if event.host.is_empty() {
                    options.host(&parts.hostname).clone_into(&mut event.host);
                }
                // Without a time of its own: an intake drops what is from 1970. Source: cluster-agent-kubernetes 6.3.
                if event.timestamp == 0 {
                    event.timestamp = now;
                }
            }
            batch.settle_tags(global_tags);
            (events, transformed, batch)
        };
        if many { heavy_work(rules).await } else { rules() }
    }

    /// Hands a batch to every output, and waits until each has told what became of it.
    async fn deliver(&mut self, batch: Batch) -> Result<(), DropReason> {
        if batch.is_empty() || self.parts.outputs.is_empty() {
            return Ok(());
        }
        self.handed_over.store(true, Ordering::Relaxed);
        let batch = Arc::new(batch);
        for output in &self.parts.outputs {
            // Not to be lost by a full mailbox; lost with an output that is down, and then the receipt says so.
            let receipt = Receipt::new(self.number, self.parts.settled.clone());
            output.post(Enqueue { batch: Arc::clone(&batch), receipt: Some(receipt) });
        }
        // The sender goes only with the actor, and with it this round.
        (&mut self.settled).await.unwrap_or(Err(DropReason::Restart))
    }

    /// Remembers how far everything is safe, and stores it. Returns whether this replica still leads.
    async fn keep(&mut self, next: EventToken, reports: &mut Vec<Report>) -> bool {
        self.memory.safe = Some(next.clone());
        if self.memory.stored.as_ref() == Some(&next) {
            self.memory.unsaved = false;
            return true;
        }
        self.memory.unsaved = true;
        match self.parts.tokens.save(next.clone(), Arc::clone(&self.leads)).await {
            Ok(SaveOutcome::Saved) => {
                (self.memory.stored, self.memory.unsaved) = (Some(next), false);
                reports.push((SAVE, None));
                true
            }
            Ok(SaveOutcome::NotLeading) => false,
            Err(error) => {
                reports.push((SAVE, Some(describe(&error))));
                true
            }
        }
    }
}

/// When the newest of these events happened. Units: seconds since the Unix epoch.
fn newest(events: &[KubeEvent]) -> Option<i64> {
    events.iter().filter_map(|event| event.last_seen.or(event.event_time).or(event.first_seen)).max()
}

//! Forwards the events of the cluster while this replica leads.

mod facts;
mod listing;
pub mod parts;
mod round;
mod watching;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use crate::domain::delivery::DropReason;
use crate::domain::event_token::EventToken;
use crate::domain::ids::Epoch;
use crate::domain::kube::apiserver_check::{ApiserverCheckOptions, EventMode};
use crate::domain::kube::event::KubeEvent;
use crate::domain::kube::event_buffer::{EventBuffer, dropped_gauge};
use crate::domain::samples::{Batch, Series};
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::Commit;
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};
use crate::messages::event_forwarder::{Duty, EventForwarderStats, FinishRound};
use crate::messages::output::{Fate, Settled};
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::{StillLeads, still_leads};
use crate::shared::apiserver_configs::ApiserverConfigs;
use crate::shared::complaints::Complaints;
use crate::shared::event_forwarder::facts::ProviderIds;
use crate::shared::event_forwarder::parts::{EventForwarderParts, LOOK};
use crate::shared::event_forwarder::round::{DELIVER, Ended, LIST, LOAD, Memory, Outcome, Reading, Round, WATCH, query};
use crate::shared::event_forwarder::watching::{Told, Watching};
use crate::supervised;

/// Whether a complaint of this means that events do not arrive; what else is complained of is only missing, or comes later.
#[must_use]
pub fn stops_events(what: &str) -> bool {
    [LOAD, LIST, WATCH, DELIVER].contains(&what)
}

/// A round under way.
struct UnderWay {
    task: SpawnHandle,
    number: u64,
    /// Outputs that have not told yet what became of the batch.
    left: usize,
    /// What the first of them lost it by.
    lost: Option<DropReason>,
    told: Option<oneshot::Sender<Result<(), DropReason>>>,
    /// The outputs have it; before that nothing is lost if it is given up.
    handed_over: Arc<AtomicBool>,
}

/// A watch that stays open, and what it has seen.
struct Watch {
    task: SpawnHandle,
    buffer: EventBuffer,
    /// Tells the watch that a round has taken what is in there.
    taken: Arc<Notify>,
    /// What an output lost: it goes out again before anything else.
    held: Vec<KubeEvent>,
    /// Where it began anew while a round was under way.
    begins: Option<EventToken>,
}

/// Owns how far the events of the cluster are forwarded. On every replica of the cluster role, where it acts on the one that leads; on a
/// node that runs the check `kubernetes_apiserver` with `skip_leader_election`.
///
/// The stored token passes an event only when every output has it in safety, so whatever happens in between, every event goes out at
/// least once. After a restart it repeats the round: it knows how far it got from what it published. Source: cluster-agent-kubernetes 3.
pub struct EventForwarder {
    parts: EventForwarderParts,
    configs: ApiserverConfigs,
    /// Monotonic.
    started_at: Duration,
    /// The term of office in which it acts.
    term: Option<Epoch>,
    /// When the last round of this term began. Monotonic.
    began_at: Option<Duration>,
    round: Option<UnderWay>,
    watch: Option<Watch>,
    memory: Memory,
    providers: ProviderIds,
    complaints: Complaints,
    stats: EventForwarderStats,
    /// Who waits for the end, once it was asked for.
    finishing: Option<Vec<oneshot::Sender<()>>>,
}

impl EventForwarder {
    /// A forwarder that has not read anything yet.
    #[must_use]
    pub fn new(parts: EventForwarderParts) -> Self {
        let before = parts.published.reader().current();
        let stats = EventForwarderStats {
            duty: Duty::Standby,
            watching: false,
            in_flight: false,
            complaints: BTreeMap::new(),
            ..EventForwarderStats::clone(&before)
        };
        let memory = Memory { safe: stats.remembered(), ..Memory::default() };
        Self {
            configs: ApiserverConfigs::new(parts.defaults.clone()),
            started_at: parts.clock.monotonic(),
            parts,
            term: None,
            began_at: None,
            round: None,
            watch: None,
            memory,
            providers: ProviderIds::default(),
            complaints: Complaints::default(),
            stats,
            finishing: None,
        }
    }

    fn options(&self) -> Arc<ApiserverCheckOptions> {
        Arc::clone(self.configs.options())
    }

    /// The term of office in which it may act now.
    fn acting_in(&self) -> Option<Epoch> {
        self.configs.acting_in(&self.parts.leadership.peek(), self.parts.clock.monotonic())
    }

    /// Tells whether it may still act in this term.
    fn still_leads(&self, term: Epoch) -> StillLeads {
        if self.options().skip_leader_election {
            return Arc::new(|| true);
        }
        still_leads(self.parts.leadership.clone(), Arc::clone(&self.parts.clock), term)
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if self.finishing.is_some() {
            return;
        }
        let now = self.parts.clock.monotonic();
        if self.configs.are_dispatched() {
            return self.rest(Duty::Dispatched, context);
        }
        let known = self.configs.are_known(now.saturating_sub(self.started_at));
        let Some(term) = self.acting_in().filter(|_| known) else {
            return self.rest(Duty::Standby, context);
        };
        let options = self.options();
        if !options.collect_events {
            return self.rest(Duty::Off, context);
        }
        if self.term != Some(term) {
            self.rest(Duty::Active, context);
            self.term = Some(term);
            info!(term = term.0, mode = ?options.mode, "events are forwarded from here");
        }
        if options.mode == EventMode::Watch && self.watch.is_none() {
            self.open(&options, context);
        }
        let due = self.began_at.is_none_or(|at| now.saturating_sub(at) >= options.interval);
        if due && self.round.is_none() {
            self.begin(term, options, context);
        }
    }

    /// Ends what is under way, without storing anything.
    fn rest(&mut self, duty: Duty, context: &mut Context<Self>) {
        self.close(context);
        self.give_up(context);
        (self.term, self.began_at) = (None, None);
        if self.stats.duty != duty {
            self.stats.duty = duty;
            self.complaints.clear();
            self.publish();
        }
    }

    fn give_up(&mut self, context: &mut Context<Self>) {
        if let Some(round) = self.round.take() {
            context.cancel_future(round.task);
        }
    }

    /// Answers who waits for the end, if nothing is under way.
    fn tell_finished(&mut self) {
        if let Some(waiting) = self.finishing.as_mut().filter(|_| self.round.is_none()) {
            for waiting in waiting.drain(..) {
                // Whoever does not listen any more waits for nothing.
                let _ = waiting.send(());
            }
        }
    }

    fn open(&mut self, options: &ApiserverCheckOptions, context: &mut Context<Self>) {
        let EventForwarderParts { clock, source, tokens, .. } = self.parts.clone();
        let (taken, remembered) = (Arc::new(Notify::new()), self.memory.safe.clone());
        let watching = Watching { clock, source, tokens, query: query(options), taken: Arc::clone(&taken), remembered };
        let task = watching.run().into_actor(self).map(|told, forwarder, _| forwarder.hear(told)).finish();
        let (task, buffer) = (context.spawn(task), EventBuffer::new(options.buffer_size));
        self.watch = Some(Watch { task, buffer, taken, held: Vec::new(), begins: None });
    }

    /// Drops the watch and what it has seen: the next one begins at the checkpoint.
    fn close(&mut self, context: &mut Context<Self>) {
        if let Some(watch) = self.watch.take() {
            context.cancel_future(watch.task);
        }
    }

    fn hear(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Begins(token) => {
                    match self.watch.as_mut().filter(|_| self.round.is_some()) {
                        // The end of that round would put its own memory in the place.
                        Some(watch) => watch.begins = Some(token),
                        None => self.memory.safe = Some(token),
                    }
                    // Without a stored token it is known nowhere else.
                    self.publish();
                }
                Told::Report(report) => self.complaints.note(report),
                Told::Listed(events) => {
                    if let Some(watch) = &mut self.watch {
                        watch.buffer.keep(events);
                    }
                }
                Told::Seen(events) => {
                    let buffer = self.watch.as_mut().map(|watch| &mut watch.buffer);
                    if let Some(buffer) = buffer {
                        for event in events {
                            buffer.push(event);
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, term: Epoch, options: Arc<ApiserverCheckOptions>, context: &mut Context<Self>) {
        self.began_at = Some(self.parts.clock.monotonic());
        let reading = match &mut self.watch {
            None => Reading::Poll,
            Some(watch) if !watch.held.is_empty() => Reading::Seen(std::mem::take(&mut watch.held)),
            Some(watch) => {
                let (drained, taken) = (watch.buffer.drain(), Arc::clone(&watch.taken));
                self.tell_dropped(drained.dropped, &options);
                if drained.events.is_empty() && !self.memory.unsaved {
                    return self.publish();
                }
                taken.notify_one();
                Reading::Seen(drained.events)
            }
        };
        self.stats.rounds += 1;
        let number = self.stats.rounds;
        let (told, settled) = oneshot::channel();
        let handed_over = Arc::new(AtomicBool::new(false));
        let round = Round {
            parts: self.parts.clone(),
            options,
            number,
            leads: self.still_leads(term),
            reading,
            memory: self.memory.clone(),
            providers: std::mem::take(&mut self.providers),
            settled,
            handed_over: Arc::clone(&handed_over),
        };
        let task = context.spawn(round.run().into_actor(self).map(|ended, forwarder, context| forwarder.end(ended, context)));
        self.round = Some(UnderWay { task, number, left: self.parts.outputs.len(), lost: None, told: Some(told), handed_over });
        // The number must not be used again, whatever happens.
        self.publish();
    }

    fn end(&mut self, ended: Ended, context: &mut Context<Self>) {
        let Ended { outcome, memory, providers, reports, more } = ended;
        self.round = None;
        (self.memory, self.providers) = (memory, providers);
        if let Some(token) = self.watch.as_mut().and_then(|watch| watch.begins.take()) {
            self.memory.safe = Some(token);
        }
        for report in reports {
            self.complaints.note(report);
        }
        self.stats.ended_at = Some(self.parts.clock.unix_seconds());
        match outcome {
            Outcome::Nothing | Outcome::NotLeading => {}
            Outcome::Delivered { counts, events, lag_seconds } => {
                self.stats.forwarded += events as u64;
                self.stats.lag_seconds = lag_seconds.or(self.stats.lag_seconds);
                for (labels, count) in counts.received {
                    *self.stats.received.entry(labels).or_default() += count;
                }
                for (labels, count) in counts.emitted {
                    *self.stats.emitted.entry(labels).or_default() += count;
                }
            }
            Outcome::Lost(events) => {
                self.stats.repeated += 1;
                if let Some(watch) = &mut self.watch {
                    watch.held = events;
                }
            }
        }
        self.publish();
        self.tell_finished();
        if more {
            self.began_at = None;
            self.look(context);
        }
    }

    /// Tells how many events found no room since the round before.
    fn tell_dropped(&mut self, dropped: u64, options: &ApiserverCheckOptions) {
        if dropped > 0 {
            self.stats.dropped += dropped;
            warn!(dropped, buffer = options.buffer_size, "events are lost, event_collection_buffer_size is too small");
        }
        let gauge = Series {
            host: options.host(&self.parts.hostname).to_owned(),
            ..dropped_gauge(dropped, self.parts.clock.unix_seconds(), &options.tags)
        };
        self.parts.aggregator.post(Commit { batch: Batch { series: vec![gauge], ..Batch::default() } });
    }

    /// Other options: what is under way goes on with the old ones, a watch begins anew.
    fn change(&mut self, others: bool, context: &mut Context<Self>) {
        if others {
            self.close(context);
        }
        self.look(context);
        if self.stats.config_remarks != self.configs.remarks() {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.stats.in_flight = self.round.is_some();
        self.stats.watching = self.watch.is_some();
        self.stats.saved = !self.memory.unsaved;
        if let Some(safe) = &self.memory.safe {
            self.stats.safe_version.clone_from(&safe.version);
            self.stats.listed_at = safe.listed_at;
        }
        self.stats.complaints.clone_from(self.complaints.current());
        self.stats.config_remarks = self.configs.remarks().to_vec();
        self.parts.published.publish(self.stats.clone());
    }
}

impl Actor for EventForwarder {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if let Some(replay) = &self.parts.replay {
            replay.post(ReplayDiscovery);
        }
        self.publish();
        context.run_interval(LOOK, Self::look);
    }
}

supervised!(EventForwarder);

impl Observed for EventForwarder {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "term": self.term,
            "stats": self.stats,
            "waiting_for_outputs": self.round.as_ref().map(|round| round.left),
            "held": self.watch.as_ref().map(|watch| watch.held.len()),
        })
    }
}

impl Handler<Settled> for EventForwarder {
    type Result = ();

    fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
        // What belongs to a round that was given up is repeated anyway.
        let Some(round) = self.round.as_mut().filter(|round| round.number == settled.number) else { return };
        round.left = round.left.saturating_sub(1);
        if let Fate::Lost(reason) = settled.fate {
            round.lost.get_or_insert(reason);
        }
        if round.left == 0
            && let Some(told) = round.told.take()
        {
            // If nobody listens any more, the round is over.
            let _ = told.send(round.lost.map_or(Ok(()), Err));
        }
    }
}

impl Handler<FinishRound> for EventForwarder {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: FinishRound, context: &mut Context<Self>) -> Self::Result {
        self.close(context);
        if self.round.as_ref().is_some_and(|round| !round.handed_over.load(Ordering::Relaxed)) {
            self.give_up(context);
        }
        let (sender, finished) = oneshot::channel();
        self.finishing.get_or_insert_default().push(sender);
        self.tell_finished();
        self.publish();
        // An actor that ends has no round under way either.
        Box::pin(async { finished.await.unwrap_or_default() })
    }
}

impl Handler<DiscoveryStarted> for EventForwarder {
    type Result = ();

    fn handle(&mut self, _: DiscoveryStarted, _: &mut Context<Self>) {
        self.configs.restart();
    }
}

impl Handler<ConfigsDiscovered> for EventForwarder {
    type Result = ();

    fn handle(&mut self, discovered: ConfigsDiscovered, context: &mut Context<Self>) {
        let others = self.configs.change(discovered);
        self.change(others, context);
    }
}

impl Handler<DiscoverySynced> for EventForwarder {
    type Result = ();

    fn handle(&mut self, _: DiscoverySynced, context: &mut Context<Self>) {
        let others = self.configs.synced();
        self.change(others, context);
    }
}

//! Watches all replicas at once, as nobody in reality can, and notes what must not happen between them.
//!
//! It looks after every step of every process. What agents see is judged by [`crate::sim::auditor`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::ids::{Epoch, NodeName, Stamp};
use crate::domain::lease::Leadership;
use crate::domain::replication::{Content, FOLLOWER_TIME, Position, SHOW_AFTER, Shipment};
use crate::domain::world::{ServedTable, Standing};
use crate::kernel::clock::Clock;
use crate::kernel::published::Reader;
use crate::sim::auditor::Auditor;
use crate::sim::trace::Trace;

/// Time after a change of agents, pods or files in which a new leader may begin with another assignment than the old one had.
const UNREST: Duration = Duration::from_secs(45);

/// A table that is shown so long after its decision was not waited for any more, give or take the grain of timers.
const EARLY: Duration = SHOW_AFTER.saturating_sub(Duration::from_millis(5));

/// Longest time that a question takes to whom it is asked, roughly.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// What is looked at in a running process.
pub(super) struct Watched {
    pub(super) leadership: Reader<Leadership>,
    pub(super) served: Reader<ServedTable>,
    pub(super) clock: Arc<dyn Clock>,
}

struct Life {
    number: u64,
    watched: Watched,
    /// The table that was looked at last.
    looked_at: Option<Arc<ServedTable>>,
    /// Versions of sets that this process has seen, whoever decided them.
    knows: BTreeSet<(NodeName, Stamp)>,
    /// Whether it has, or had, a table from elsewhere or of its own.
    has_table: bool,
    /// Followers that asked this process and had everything up to there.
    followers: BTreeMap<String, Asked>,
    /// When it began, or its actor that talks with other replicas panicked last: what was asked before is nothing that it knows.
    lost_contact_at: Option<Duration>,
}

/// A question that showed a follower to be in step.
struct Asked {
    /// Life of the follower.
    life: u64,
    /// Term of the leader.
    epoch: Epoch,
    at: Duration,
}

#[derive(Default)]
struct Inner {
    lives: BTreeMap<String, Life>,
    lives_so_far: u64,
    /// Processes that there have been.
    named: BTreeSet<String>,
    /// Who led in each epoch: name and number of the life.
    terms: BTreeMap<Epoch, (String, u64)>,
    /// The terms of which a table was shown.
    shown_terms: BTreeSet<Epoch>,
    /// Two leaders that were reported already.
    reported: BTreeSet<(Epoch, Epoch)>,
    /// The term in which the snapshot was saved, and what it holds.
    snapshot: (Epoch, Position),
    unrest: Option<Duration>,
}

/// The overseer. Clones share what they saw.
#[derive(Clone)]
pub(super) struct Overseer {
    truth: Arc<dyn Clock>,
    trace: Trace,
    auditor: Auditor,
    inner: Arc<Mutex<Inner>>,
}

impl Overseer {
    pub(super) fn new(truth: Arc<dyn Clock>, trace: Trace, auditor: Auditor) -> Self {
        Self { truth, trace, auditor, inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True time.
    pub(super) fn now(&self) -> Duration {
        self.truth.monotonic()
    }

    /// Agents, pods or files change: sets may move.
    pub(super) fn unrest(&self) {
        self.inner().unrest = Some(self.now());
    }

    pub(super) fn begins(&self, name: &str, watched: Watched) {
        let mut inner = self.inner();
        inner.lives_so_far += 1;
        let number = inner.lives_so_far;
        // A question of the life before may still be on its way.
        let lost_contact_at = (!inner.named.insert(name.to_owned())).then(|| self.now() + ON_THE_WAY);
        let life = Life {
            number,
            watched,
            looked_at: None,
            knows: BTreeSet::new(),
            has_table: false,
            followers: BTreeMap::new(),
            lost_contact_at,
        };
        inner.lives.insert(name.to_owned(), life);
    }

    pub(super) fn ends(&self, name: &str) {
        self.inner().lives.remove(name);
    }

    /// Who leads at this moment.
    pub(super) fn leaders(&self) -> Vec<String> {
        self.inner().leading().into_iter().map(|(name, _)| name).collect()
    }

    /// Terms so far.
    pub(super) fn terms(&self) -> u64 {
        self.inner().terms.len() as u64
    }

    /// A process did something: looks at everything that anybody could see now.
    pub(super) fn step(&self) {
        let inner = &mut *self.inner();
        let leading = inner.leading();
        self.check_leaders(inner, &leading);
        let names: Vec<String> = inner.lives.keys().cloned().collect();
        for name in names {
            let Some(life) = inner.lives.get_mut(&name) else { continue };
            if !leading.iter().any(|(leader, _)| *leader == name) {
                // Whoever led and does so again gets to know its followers anew.
                life.followers.clear();
            }
            let served = life.watched.served.current();
            if life.looked_at.as_ref().is_some_and(|before| Arc::ptr_eq(before, &served)) {
                continue;
            }
            life.looked_at = Some(Arc::clone(&served));
            if leading.iter().any(|(leader, epoch)| *leader == name && *epoch == served.epoch) && served.standing != Standing::Starting {
                self.check_shown(inner, &name, &served);
            }
        }
    }

    fn check_leaders(&self, inner: &mut Inner, leading: &[(String, Epoch)]) {
        if let [(first, one), (second, other), ..] = leading
            && inner.reported.insert((*one, *other))
        {
            self.trace.violation(format_args!("{first} leads in epoch {} and {second} in epoch {} at one time", one.0, other.0));
        }
        for (name, epoch) in leading {
            let Some(life) = inner.lives.get(name) else { continue };
            let me = (name.clone(), life.number);
            let highest = inner.terms.keys().next_back().copied().unwrap_or_default();
            match inner.terms.get(epoch) {
                Some(other) if *other == me => {}
                Some((other, _)) => {
                    self.trace.violation(format_args!("epoch {} has two leaders: {other}, and later {name}", epoch.0));
                    inner.terms.insert(*epoch, me);
                }
                None => {
                    self.trace.note(format_args!("{name} leads in epoch {}", epoch.0));
                    if *epoch < highest {
                        self.trace.violation(format_args!("{name} leads in epoch {} after epoch {}", epoch.0, highest.0));
                    }
                    inner.terms.insert(*epoch, me);
                }
            }
        }
    }

    /// A leader shows a table.
    fn check_shown(&self, inner: &mut Inner, leader: &str, served: &ServedTable) {
        let (now, quiet) = (self.now(), inner.unrest.is_none_or(|since| since + UNREST < self.now()));
        let first_of_term = inner.shown_terms.insert(served.epoch);
        let Some(life) = inner.lives.get(leader) else { return };
        let wall = life.watched.clock.unix_nanos();
        if first_of_term {
            let cold = !life.has_table;
            if cold && served.standing == Standing::Active {
                self.trace.violation(format_args!("{leader} begins with nothing and does not warm up"));
            }
            self.auditor.succeeded(cold, |node, stamp| life.knows.contains(&(node.clone(), stamp)));
        }
        let mut names: Vec<_> = served.nodes.keys().collect();
        names.sort_unstable();
        let mut news = BTreeSet::new();
        for node in names {
            let stamp = served.nodes[node].view.stamp;
            let version = (node.clone(), stamp);
            if stamp.0 == 0 || life.knows.contains(&version) {
                continue;
            }
            if first_of_term && served.standing == Standing::Active && quiet && life.knows.iter().any(|(known, _)| known == node) {
                self.trace.violation(format_args!("{leader} begins its term with another set of {node}, version {stamp}"));
            }
            // A version is the time of the decision, unless the clock was behind.
            let age = wall.saturating_sub(stamp.0);
            if (0..EARLY.as_nanos() as i64).contains(&age) {
                self.check_known(inner, leader, served.epoch, now, &version);
            }
            news.insert(version);
        }
        if let Some(life) = inner.lives.get_mut(leader) {
            life.has_table = true;
            life.knows.extend(news);
        }
    }

    /// A version is shown so early that every follower in contact has to have it.
    fn check_known(&self, inner: &Inner, leader: &str, epoch: Epoch, now: Duration, version: &(NodeName, Stamp)) {
        let Some(life) = inner.lives.get(leader) else { return };
        for (follower, asked) in &life.followers {
            // Whoever died since then took with it what it had acknowledged.
            let Some(copy) = inner.lives.get(follower).filter(|copy| copy.number == asked.life) else { continue };
            let asked_since = copy.lost_contact_at.is_none_or(|lost_at| asked.at >= lost_at);
            let in_contact = asked.epoch == epoch && now < asked.at + FOLLOWER_TIME && asked_since;
            if in_contact && !copy.knows.contains(version) {
                let (node, stamp) = version;
                self.trace.violation(format_args!("{leader} shows version {stamp} of {node}, which its follower {follower} does not know"));
            }
        }
    }

    /// A replica has these changes now, or may have.
    pub(super) fn has_copy(&self, name: &str, delta: &TableDelta) {
        if let Some(life) = self.inner().lives.get_mut(name) {
            life.has_table = true;
            life.knows.extend(delta.nodes_put.iter().map(|(node, row)| (node.clone(), row.stamp)));
        }
    }

    /// A leader answers the question of a follower.
    pub(super) fn told(&self, leader: &str, follower: &str, asked_at: Duration, shipment: &Shipment) {
        let mut inner = self.inner();
        let number = inner.lives.get(follower).map(|life| life.number);
        let (Some(life), Some(number)) = (inner.lives.get_mut(leader), number) else { return };
        match &shipment.content {
            Content::Deltas(_) => life.followers.insert(follower.to_owned(), Asked { life: number, epoch: shipment.epoch, at: asked_at }),
            Content::Table(_) | Content::NoTable | Content::NotLeader => life.followers.remove(follower),
        };
    }

    /// A replica answers an agent with 200.
    pub(super) fn answered(&self, name: &str) {
        let inner = self.inner();
        let leading = inner.leading();
        let Some((_, epoch)) = leading.iter().find(|(leader, _)| leader == name) else {
            self.trace.violation(format_args!("{name} answers 200 and does not lead"));
            return;
        };
        if inner.terms.keys().next_back().is_some_and(|highest| epoch < highest) {
            self.trace.violation(format_args!("{name} answers 200 in epoch {}, which is over", epoch.0));
        }
        if inner.lives.get(name).is_some_and(|life| life.watched.served.peek().epoch != *epoch) {
            self.trace.violation(format_args!("{name} answers 200 from a table of another epoch than {}", epoch.0));
        }
    }

    /// The term of this process; `None` = it is dead. To be asked before it calls anybody: it may be dead when the call arrives.
    pub(super) fn term_of(&self, name: &str) -> Option<Epoch> {
        self.inner().lives.get(name).map(|life| life.watched.leadership.peek().epoch)
    }

    /// The actor of this process that talks with other replicas panics: leaders see its question end, and count it among those in step
    /// no more.
    pub(super) fn loses_contact(&self, name: &str) {
        let now = self.now();
        if let Some(life) = self.inner().lives.get_mut(name) {
            life.lost_contact_at = Some(now);
            // If it leads, it gets to know its followers anew.
            life.followers.clear();
        }
    }

    /// The snapshot was replaced: not by a leader of before, and in one term not by an older table.
    ///
    /// A later leader may know less than the snapshot; then its table is what counts (docs/adr/017-followers-pull.md).
    pub(super) fn snapshot_saved(&self, name: &str, term: Epoch, table: &AssignmentTable) {
        let mut inner = self.inner();
        let (before, saved) = (inner.snapshot, (term, Position::of(table)));
        if saved < before {
            self.trace.violation(format_args!("{name} replaces the snapshot of {before:?} by an older one, of {saved:?}"));
        }
        inner.snapshot = saved;
    }
}

impl Inner {
    fn leading(&self) -> Vec<(String, Epoch)> {
        let leads = |life: &Life| life.watched.leadership.peek().term(life.watched.clock.monotonic());
        self.lives.iter().filter_map(|(name, life)| Some((name.clone(), leads(life)?))).collect()
    }
}

#[cfg(test)]
mod tests;

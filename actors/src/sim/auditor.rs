//! Watches a run from outside, as agents and operators would, and notes what must not happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::config::CheckConfig;
use crate::domain::digest::fast_digest;
use crate::domain::ids::{Digest, NodeName, Stamp};
use crate::domain::world::{DanglingReason, ServedTable};
use crate::ports::StoredTable;
use crate::sim::trace::Trace;

/// Polls that two agents may make before a check must have stopped on one of them.
///
/// Why four: one to learn what was taken away, one more to confirm it where the order of a handover asks for it, and the owner may
/// change once more in between.
const POLLS_TO_SETTLE: u64 = 4;

/// What an agent runs, by the digests with which agents tell configs apart.
pub(super) type RunningSet = BTreeSet<Digest>;

/// The digests of these configs.
pub(super) fn running_set<'a>(configs: impl IntoIterator<Item = &'a CheckConfig>) -> RunningSet {
    configs.into_iter().map(fast_digest).collect()
}

#[derive(Default)]
struct Inner {
    /// What each version of each node's set was, over all lives of the server.
    versions: BTreeMap<(NodeName, Stamp), RunningSet>,
    /// Newest version each node was given.
    newest: BTreeMap<NodeName, Stamp>,
    /// What each node was given last, over all its lives and all lives of the server.
    last_given: BTreeMap<NodeName, RunningSet>,
    /// Version each node was given last; 0 for an empty set that nothing was ever in.
    given: BTreeMap<NodeName, Stamp>,
    /// Newest versions that nobody knew any more who led afterwards.
    lost: BTreeSet<(NodeName, Stamp)>,
    /// Those of them that another table took the place of without a warm-up.
    excused: BTreeSet<(NodeName, Stamp)>,
    /// Whether nothing happens to agents and configs, so that no set may change.
    quiet: bool,
    /// Completed polls of each agent.
    polls: BTreeMap<NodeName, u64>,
    /// Since how many completed polls two agents run the same check.
    overlaps: BTreeMap<(Digest, NodeName, NodeName), (u64, u64)>,
    longest_overlap: u64,
    /// What runs at most once and runs on each living agent that honours grants.
    once: BTreeMap<NodeName, RunningSet>,
}

/// The auditor. Clones share what they saw.
#[derive(Clone)]
pub(super) struct Auditor {
    trace: Trace,
    inner: Arc<Mutex<Inner>>,
}

impl Auditor {
    pub(super) fn new(trace: Trace) -> Self {
        Self { trace, inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent received a set: the same version is the same set for ever, and versions go up.
    pub(super) fn received(&self, node: &NodeName, stamp: Stamp, set: &RunningSet) {
        let mut inner = self.inner();
        inner.last_given.insert(node.clone(), set.clone());
        let before = inner.given.insert(node.clone(), stamp);
        if inner.quiet && before.is_some_and(|before| before != stamp) {
            self.trace.violation(format_args!("{node} is sent version {stamp} although nothing happened to agents"));
        }
        if stamp.0 == 0 {
            if !set.is_empty() {
                self.trace.violation(format_args!("{node} was given a set with version 0"));
            }
            return;
        }
        let known = inner.versions.entry((node.clone(), stamp)).or_insert_with(|| set.clone());
        if known != set {
            self.trace.violation(format_args!("version {stamp} of {node} is two sets"));
        }
        let newest = inner.newest.get(node).copied().unwrap_or_default();
        if stamp < newest && !inner.lost.contains(&(node.clone(), newest)) {
            self.trace.violation(format_args!("{node} went back from {newest} to {stamp}"));
        }
        inner.newest.insert(node.clone(), stamp);
    }

    /// A leader begins to answer. What it cannot know (`knows` tells) was shown when no follower was there to learn it, and is lost.
    ///
    /// With a cold start nothing is excused: it warms up.
    pub(super) fn succeeded(&self, cold: bool, knows: impl Fn(&NodeName, Stamp) -> bool) {
        let inner = &mut *self.inner();
        let lost = inner.newest.iter().filter(|(node, newest)| !knows(node, **newest));
        for (node, newest) in lost {
            self.trace.note(format_args!("version {newest} of {node} is lost"));
            inner.lost.insert((node.clone(), *newest));
            if !cold {
                inner.excused.insert((node.clone(), *newest));
            }
        }
    }

    /// From now on nothing happens to agents and configs, or again.
    pub(super) fn quiet(&self, quiet: bool) {
        self.inner().quiet = quiet;
    }

    /// What every agent was given last is what the leader shows now.
    pub(super) fn current(&self, running: &BTreeMap<NodeName, RunningSet>, served: &ServedTable) {
        let inner = self.inner();
        for node in running.keys() {
            let (given, shown) = (inner.given.get(node), served.nodes.get(node).map(|entry| entry.view.stamp));
            if shown.is_none() || given.copied().unwrap_or_default() != shown.unwrap_or_default() {
                self.trace.violation(format_args!("in the end {node} has version {given:?}, and {shown:?} is current"));
            }
        }
    }

    /// The server answers a request for configs out of `served`: what the node had, and what still exists, must be shown to
    /// somebody at that moment, or else the node stops it and nobody runs it.
    ///
    /// Why this and not more: a set may be empty or smaller because its configs were removed or moved, by an expiry for example; but a
    /// config leaves a node and comes to another in one decision, which is shown at once. That the other node lives is not asked for:
    /// the server cannot know before the expiry. `existing` is what the files say, so a removal counts before the server hears of it.
    pub(super) fn answered(&self, node: &NodeName, served: &ServedTable, existing: impl FnOnce() -> RunningSet) {
        let inner = self.inner();
        let Some(had) = inner.last_given.get(node) else { return };
        // What waits for grants that nobody knows leaves that state when it is decided, and comes to its node when that is saved.
        if served.shown < served.decided {
            return;
        }
        if inner.newest.get(node).is_some_and(|newest| inner.excused.contains(&(node.clone(), *newest))) {
            return;
        }
        let shown_to = |name: &NodeName| served.nodes.get(name).into_iter().flat_map(|entry| entry.view.configs.iter());
        let mut dropped = had - &running_set(shown_to(node).map(|config| &config.config));
        if dropped.is_empty() {
            return;
        }
        // Those whose turn comes after grants that nobody knows are over.
        let held =
            served.dangling.iter().filter(|dangling| dangling.reason == DanglingReason::GrantsUnknown).map(|dangling| &dangling.config);
        let on_their_way = served.moving.iter().map(|moving| &moving.config).chain(held);
        let elsewhere = running_set(served.nodes.keys().flat_map(shown_to).chain(on_their_way).map(|config| &config.config));
        let existing = existing();
        dropped.retain(|id| existing.contains(id) && !elsewhere.contains(id));
        if !dropped.is_empty() {
            let (ids, dropped) = (&dropped, dropped.len());
            self.trace
                .violation(format_args!("{node} is told to stop {dropped} of {} checks that nobody else is shown: {ids:?}", had.len()));
        }
    }

    /// The server begins anew with an empty disk: its versions have nothing to do with those of before.
    pub(super) fn replaced(&self) {
        let mut inner = self.inner();
        inner.versions.clear();
        inner.newest.clear();
        inner.given.clear();
    }

    /// An agent completed a poll: it knows what it is to run.
    pub(super) fn polled(&self, node: &NodeName) {
        *self.inner().polls.entry(node.clone()).or_default() += 1;
    }

    /// An agent is gone; another one may come under its name and begins its own life.
    pub(super) fn gone(&self, node: &NodeName) {
        let mut inner = self.inner();
        inner.once.remove(node);
        inner.overlaps.retain(|(_, first, second), _| first != node && second != node);
    }

    /// What an agent that honours grants runs at most once from now on. Source: style 8, invariant 8.
    pub(super) fn runs_once(&self, node: &NodeName, set: &RunningSet) {
        let mut inner = self.inner();
        if inner.once.get(node).is_some_and(|before| before == set) {
            return;
        }
        for (other, others) in inner.once.iter().filter(|(other, _)| *other != node) {
            for id in set.intersection(others) {
                self.trace.violation(format_args!("config {id} runs at most once and runs on {other} and now on {node}"));
            }
        }
        inner.once.insert(node.clone(), set.clone());
    }

    /// What everybody runs at this moment. A check on two agents must end when both know better.
    pub(super) fn sample(&self, running: &BTreeMap<NodeName, RunningSet>) {
        let mut inner = self.inner();
        let mut current = BTreeMap::new();
        let agents: Vec<_> = running.iter().collect();
        for (position, (first, first_set)) in agents.iter().enumerate() {
            for (second, second_set) in &agents[position + 1..] {
                for id in first_set.intersection(second_set) {
                    let key = (*id, (*first).clone(), (*second).clone());
                    let polls = |node: &NodeName| inner.polls.get(node).copied().unwrap_or(0);
                    let now = (polls(first), polls(second));
                    let since = inner.overlaps.get(&key).copied().unwrap_or(now);
                    let both_polled = (now.0 - since.0).min(now.1 - since.1);
                    if both_polled >= POLLS_TO_SETTLE {
                        self.trace
                            .violation(format_args!("config {id} runs on {first} and {second} although both polled {both_polled} times"));
                    }
                    current.insert(key, since);
                }
            }
        }
        inner.longest_overlap = inner.longest_overlap.max(current.len() as u64);
        inner.overlaps = current;
    }

    /// The server was killed: what agents were shown is on disk.
    pub(super) fn killed(&self, shown: &ServedTable, stored: &StoredTable) {
        let mut nodes: Vec<_> = shown.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(name, _)| *name);
        for (name, entry) in nodes {
            let view = &entry.view;
            if view.stamp.0 == 0 {
                continue;
            }
            let Some(node) = stored.table.nodes().get(name) else {
                // Its expiry may be on disk already and not shown yet.
                if stored.table.seq() <= shown.shown {
                    self.trace.violation(format_args!("{name} was shown version {} and is not on disk", view.stamp));
                }
                continue;
            };
            if node.stamp < view.stamp {
                self.trace.violation(format_args!("{name} was shown version {}, on disk is {}", view.stamp, node.stamp));
            }
            let stored_set = stored.table.configs_of(name).map(|config| config.key);
            if node.stamp == view.stamp && !stored_set.eq(view.configs.iter().map(|config| config.key)) {
                self.trace.violation(format_args!("version {} of {name} is another set on disk", view.stamp));
            }
        }
    }

    /// The server is back and nobody polled yet: everything is where the disk says, with the same versions.
    pub(super) fn restarted(&self, served: &ServedTable, stored: &StoredTable) {
        let moves: u64 = served.counters.moves.values().sum();
        if moves > 0 {
            self.trace.violation(format_args!("the restart moved {moves} configs"));
        }
        for (name, node) in stored.table.nodes() {
            let Some(entry) = served.nodes.get(name) else {
                self.trace.violation(format_args!("the restart forgot {name}"));
                continue;
            };
            let keys = stored.table.configs_of(name).map(|config| config.key);
            let same_set = keys.eq(entry.view.configs.iter().map(|config| config.key));
            if entry.view.stamp != node.stamp || !same_set {
                self.trace.violation(format_args!("the restart re-sends {name}: version {} was {}", entry.view.stamp, node.stamp));
            }
        }
    }

    /// All is quiet for long enough: every config runs on exactly one agent.
    pub(super) fn settled(&self, expected: &RunningSet, running: &BTreeMap<NodeName, RunningSet>) {
        if running.is_empty() {
            return;
        }
        let mut count: BTreeMap<&Digest, usize> = expected.iter().map(|id| (id, 0)).collect();
        for id in running.values().flatten() {
            *count.entry(id).or_insert(0) += 1;
        }
        for (id, times) in count {
            let wanted = usize::from(expected.contains(id));
            if times != wanted {
                self.trace.violation(format_args!("in the end config {id} runs {times} times instead of {wanted}"));
            }
        }
    }

    /// Most checks that ran twice at one moment.
    pub(super) fn most_double_runs(&self) -> u64 {
        self.inner().longest_overlap
    }
}

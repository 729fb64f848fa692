//! Knows who lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::balance::succession::{self, APPEARANCE_GRACE, Candidate, Leaver, Succession};
use crate::domain::ids::NodeName;
use crate::domain::journal::Cause;
use crate::domain::liveness::{LivenessPolicy, NodeRecord, Observation, SUSPECT_AFTER, SWEEP_INTERVAL, StallGuard, Verdict};
use crate::domain::node::NodeFacts;
use crate::domain::pod_evidence::{PodEvidence, Report, Testimony};
use crate::domain::world::{Presence, ServedTable};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{Departure, LostNode, NodesChanged, NodesWanted, RestartedNode, StampsConfirmed};
use crate::messages::informer::{ObjectsChanged, TellObjects};
use crate::messages::membership::{Heartbeat, Heartbeats, NodesRestored};
use crate::supervised;

/// What [`Membership`] needs.
#[derive(Clone)]
pub struct MembershipParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Rules.
    pub policy: LivenessPolicy,
    /// Who is told what changed.
    pub changes: Outlet<NodesChanged>,
    /// Who is told which versions of their sets nodes have.
    pub confirmed: Outlet<StampsConfirmed>,
    /// Who knows the nodes of before a restart.
    pub restored: Outlet<NodesWanted>,
    /// Where it is seen how much a node holds.
    pub served: Reader<ServedTable>,
    /// Pods and Kubernetes nodes; `None` where they are not watched.
    pub watched: Option<WatchedNodes>,
}

/// Where evidence beside heartbeats comes from.
#[derive(Debug, Clone)]
pub struct WatchedNodes {
    /// Namespace of the pods that poll.
    pub namespace: String,
    /// Name of the cluster, which node agents may put behind the name of their Kubernetes node; may be empty.
    pub cluster_name: String,
    /// Informers that are asked to tell everything after a start; they send [`ObjectsChanged`].
    pub informers: Vec<Outlet<TellObjects>>,
}

/// Owns node liveness: decides from polls, pods and Kubernetes nodes who lives, who is on its way out and who is dead.
///
/// Source of truth for nothing persistent: after a restart it relearns from the dispatcher's table, from polls and from informers.
/// Evidence is taken in on every replica, so that one that is promoted knows at once whose pod is gone.
pub struct Membership {
    parts: MembershipParts,
    nodes: BTreeMap<NodeName, NodeRecord>,
    evidence: Option<PodEvidence>,
    stalls: StallGuard,
    duplicates: BTreeSet<NodeName>,
    forgiven_stalls: u64,
}

impl Membership {
    /// A membership without nodes.
    #[must_use]
    pub fn new(parts: MembershipParts) -> Self {
        let evidence = parts.watched.as_ref().map(|watched| PodEvidence::new(&watched.namespace, &watched.cluster_name));
        let (stalls, duplicates) = (StallGuard::default(), BTreeSet::new());
        Self { parts, nodes: BTreeMap::new(), evidence, stalls, duplicates, forgiven_stalls: 0 }
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    fn testimony(&self, node: &NodeName, record: &NodeRecord) -> Testimony {
        self.evidence.as_ref().map_or(Testimony::Unknown, |evidence| evidence.of(node, record.facts().kind))
    }

    fn take_in(&mut self, beats: Vec<Heartbeat>) {
        let at = self.now();
        let (mut seen, mut confirmed, mut restarted) = (Vec::new(), Vec::new(), Vec::new());
        for beat in beats {
            let facts = NodeFacts {
                kind: beat.kind,
                address: beat.address.unwrap_or_default(),
                compatibility: beat.compatibility,
                honours_grants: beat.honours_grants,
            };
            let observation = Observation { facts, at };
            // One look-up for each poll: with ten thousand nodes it is most of what a poll costs here.
            let (record, is_news) = if let Some(record) = self.nodes.get_mut(&beat.node) {
                if let Some(silent_for) = record.began_anew(beat.last_change, at) {
                    restarted.push(RestartedNode { node: beat.node.clone(), silent_for });
                }
                let changed = record.observe(observation);
                (record, changed)
            } else {
                (self.nodes.entry(beat.node.clone()).or_insert(NodeRecord::new(observation)), true)
            };
            if is_news {
                seen.push((beat.node.clone(), record.facts().clone()));
            }
            if let Some(stamp) = record.confirm(beat.last_change) {
                confirmed.push((beat.node, stamp));
            }
        }
        self.tell_seen(seen);
        if !confirmed.is_empty() || !restarted.is_empty() {
            self.parts.confirmed.post(StampsConfirmed { confirmed, restarted });
        }
    }

    fn tell_seen(&mut self, seen: Vec<(NodeName, NodeFacts)>) {
        if seen.is_empty() {
            return;
        }
        let change = NodesChanged { seen, ..NodesChanged::default() };
        if self.calls_for_judgement(&change.seen) {
            self.tell(change);
        } else {
            self.parts.changes.post(change);
        }
    }

    /// Whether somebody waits for one of these nodes, or one of them should not be there.
    ///
    /// Why not always judge: a thousand agents may register one by one.
    fn calls_for_judgement(&self, seen: &[(NodeName, NodeFacts)]) -> bool {
        let Some(evidence) = &self.evidence else { return false };
        let leaves = |testimony| matches!(testimony, Testimony::Leaving { .. } | Testimony::Gone { .. });
        self.nodes.values().any(|record| record.presence() == Presence::HandingOver)
            || seen.iter().any(|(node, facts)| leaves(evidence.of(node, facts.kind)))
    }

    fn sweep(&mut self) {
        let now = self.now();
        let stall = self.stalls.sweep(now);
        if !stall.is_zero() {
            self.forgiven_stalls += 1;
            warn!(stall_seconds = stall.as_secs_f64(), "we were stalled, so nobody expires for it");
            self.nodes.values_mut().for_each(|record| record.forgive(stall));
        }
        let policy = self.parts.policy;
        let mut lost = Vec::new();
        self.nodes.retain(|node, record| {
            let expired = record.is_expired(now, &policy);
            if expired {
                let silent_for = record.silent_for(now);
                lost.push(LostNode { node: node.clone(), silent_for, why: Cause::NodeExpired, successor: None });
            }
            !expired
        });
        self.watch_identities(now);
        for dead in &lost {
            info!(node = %dead.node, silent_seconds = dead.silent_for.as_secs(), "node expired");
        }
        if let Some(evidence) = &mut self.evidence {
            evidence.forget_old(now, |node| self.nodes.contains_key(node));
        }
        let some_were_left = !lost.is_empty() || !self.nodes.is_empty();
        self.tell(NodesChanged { lost, ..NodesChanged::default() });
        if some_were_left && self.nodes.is_empty() {
            warn!("no node is left");
        }
    }

    /// Adds what follows from the evidence and tells the dispatcher, unless there is nothing to tell.
    ///
    /// Not to be lost: a node that is forgotten here is not reported again.
    fn tell(&mut self, mut change: NodesChanged) {
        self.judge(&mut change);
        if !change.is_empty() {
            self.parts.changes.post(change);
        }
    }

    fn judge(&mut self, change: &mut NodesChanged) {
        let now = self.now();
        let Some(evidence) = &self.evidence else {
            // Whoever was on its way out when pods were still watched: nobody will ever say that it is not.
            let returned = self.nodes.iter_mut().filter(|(_, record)| !record.presence().is_staying());
            change.returned.extend(returned.map(|(node, record)| {
                record.set_presence(Presence::Staying);
                node.clone()
            }));
            return;
        };
        let mut leaving = Vec::new();
        for (node, record) in &mut self.nodes {
            match record.judge(evidence.of(node, record.facts().kind), now) {
                Verdict::Unchanged => {}
                Verdict::Returned => {
                    info!(%node, "node runs again");
                    record.set_presence(Presence::Staying);
                    change.returned.push(node.clone());
                }
                Verdict::Leaves { running_for, dead } => leaving.push((node.clone(), running_for, dead)),
            }
        }
        if leaving.is_empty() {
            return;
        }
        let successions = self.successions(evidence, &leaving);
        for ((node, _, dead), succession) in leaving.into_iter().zip(successions) {
            if let Succession::By(successor) = &succession
                && let Some(record) = self.nodes.get_mut(successor)
            {
                record.set_took_over(true);
            }
            if dead {
                self.bury(node, succession, now, change);
            } else {
                self.see_off(node, succession, change);
            }
        }
    }

    /// Who takes over the sets of these nodes.
    fn successions(&self, evidence: &PodEvidence, leaving: &[(NodeName, Option<Duration>, bool)]) -> Vec<Succession> {
        let now = self.now();
        let served = self.parts.served.peek();
        let held = |node: &NodeName| served.nodes.get(node).map_or(0, |entry| entry.view.configs.len());
        let leavers: Vec<_> = leaving
            .iter()
            .filter_map(|(node, leaving_for, _)| {
                let kind = self.nodes.get(node)?.facts().kind;
                Some(Leaver { node, kind, lineage: evidence.lineage(node), held: held(node), leaving_for: *leaving_for })
            })
            .collect();
        let fit = |(node, record): &(&NodeName, &NodeRecord)| {
            let runs = matches!(evidence.of(node, record.facts().kind), Testimony::Running { .. });
            runs && record.presence().is_staying() && !record.took_over() && record.silent_for(now) <= SUSPECT_AFTER
        };
        let candidates: Vec<_> = self
            .nodes
            .iter()
            .filter(fit)
            .filter_map(|(node, record)| {
                let lineage = evidence.lineage(node)?;
                Some(Candidate { node, kind: record.facts().kind, lineage, held: held(node), registered_at: record.registered_at() })
            })
            .collect();
        succession::successions(&leavers, &candidates, &evidence.awaited(|name| self.nodes.contains_key(name)))
    }

    /// A node whose pod is gone.
    fn bury(&mut self, node: NodeName, succession: Succession, now: Duration, change: &mut NodesChanged) {
        let silent_for = self.nodes.remove(&node).map_or(Duration::ZERO, |record| record.silent_for(now));
        let successor = match succession {
            Succession::By(successor) => Some(successor),
            Succession::Awaited | Succession::Nobody => None,
        };
        info!(%node, ?successor, "node is gone, its pod or Kubernetes node was deleted");
        change.lost.push(LostNode { node, silent_for, why: Cause::NodeDeleted, successor });
    }

    /// A node whose pod terminates, or one that polls although its pod is gone.
    fn see_off(&mut self, node: NodeName, succession: Succession, change: &mut NodesChanged) {
        let presence = if succession == Succession::Awaited { Presence::HandingOver } else { Presence::Draining };
        if self.nodes.get_mut(&node).is_some_and(|record| record.set_presence(presence)) {
            info!(%node, ?succession, "node is on its way out");
            change.departing.push(Departure { node, succession });
        }
    }

    /// Warns once for each name under which two agents poll, until one of them is gone.
    fn watch_identities(&mut self, now: Duration) {
        let mut current = BTreeSet::new();
        for (node, record) in &self.nodes {
            let Some(duplicate) = record.duplicate(now) else { continue };
            if !self.duplicates.contains(node) {
                warn!(%node, addresses = ?duplicate.addresses, "two agents poll under one name, both run its checks");
            }
            current.insert(node.clone());
        }
        self.duplicates = current;
    }
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(SWEEP_INTERVAL, |membership, _| membership.sweep());
        self.parts.restored.post(NodesWanted);
        for informer in self.parts.watched.iter().flat_map(|watched| &watched.informers) {
            informer.post(TellObjects);
        }
    }
}

supervised!(Membership);

impl Observed for Membership {
    fn observe(&self) -> serde_json::Value {
        let now = self.now();
        let nodes: BTreeMap<_, _> = self
            .nodes
            .iter()
            .map(|(node, record)| {
                let facts = record.facts();
                let testimony = self.testimony(node, record);
                let state = serde_json::json!({
                    "state": record.state(testimony, now),
                    "presence": record.presence(),
                    "kind": facts.kind,
                    "address": facts.address,
                    "silent_seconds": record.silent_for(now).as_secs_f64(),
                    "duplicate_addresses": record.duplicate(now).map(|duplicate| duplicate.addresses),
                });
                (node.as_str(), state)
            })
            .collect();
        serde_json::json!({
            "nodes": nodes,
            "duplicates": self.duplicates,
            "forgiven_stalls": self.forgiven_stalls,
            "pods_synced": self.evidence.as_ref().map(|evidence| evidence.synced().0),
            "kubernetes_nodes_synced": self.evidence.as_ref().map(|evidence| evidence.synced().1),
        })
    }
}

impl Handler<Heartbeat> for Membership {
    type Result = ();

    fn handle(&mut self, beat: Heartbeat, _: &mut Context<Self>) {
        self.take_in(vec![beat]);
    }
}

impl Handler<Heartbeats> for Membership {
    type Result = ();

    fn handle(&mut self, beats: Heartbeats, _: &mut Context<Self>) {
        self.take_in(beats.beats);
    }
}

impl Handler<NodesRestored> for Membership {
    type Result = ();

    fn handle(&mut self, restored: NodesRestored, _: &mut Context<Self>) {
        let at = self.now();
        if restored.anew {
            self.nodes.clear();
        }
        let mut known_there: BTreeMap<NodeName, NodeFacts> = BTreeMap::new();
        for (node, facts) in restored.nodes {
            match self.nodes.get_mut(&node) {
                Some(record) => {
                    record.restore(&facts);
                    if restored.begins {
                        record.count_as_seen(at);
                    }
                }
                None => drop(self.nodes.insert(node.clone(), NodeRecord::new(Observation { facts: facts.clone(), at }))),
            }
            known_there.insert(node, facts);
        }
        for (node, record) in &mut self.nodes {
            // What the dispatcher did not take in counts as not told.
            record.forget_confirmed();
            record.set_presence(restored.departing.get(node).copied().unwrap_or_default());
            record.set_took_over(false);
        }
        let differs = |(node, record): &(&NodeName, &NodeRecord)| known_there.get(*node) != Some(record.facts());
        let seen: Vec<_> = self.nodes.iter().filter(differs).map(|(node, record)| (node.clone(), record.facts().clone())).collect();
        self.tell(NodesChanged { seen, ..NodesChanged::default() });
    }
}

impl Handler<ObjectsChanged> for Membership {
    type Result = ();

    fn handle(&mut self, objects: ObjectsChanged, context: &mut Context<Self>) {
        let now = self.now();
        let Some(evidence) = &mut self.evidence else { return };
        let ObjectsChanged { kind, reset, applied, gone, synced } = objects;
        if !evidence.take_in(&Report { kind, reset, applied: &applied, gone: &gone, synced }, now) {
            return;
        }
        self.tell(NodesChanged::default());
        if self.nodes.values().any(|record| record.presence() == Presence::HandingOver) {
            // The sweeps would see it too, but up to a second later.
            context.run_later(APPEARANCE_GRACE, |membership, _| membership.tell(NodesChanged::default()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::domain::node::CheckCompatibility;
    use crate::domain::world::NodeKind;
    use crate::kernel::published::Publisher;
    use crate::kernel::universe;

    /// A clock that also runs while nobody gets a turn.
    struct ClockOfAStalledMachine {
        real: Arc<dyn Clock>,
        stalled_seconds: AtomicU64,
    }

    impl Clock for ClockOfAStalledMachine {
        fn monotonic(&self) -> Duration {
            self.real.monotonic() + Duration::from_secs(self.stalled_seconds.load(Ordering::Relaxed))
        }

        fn unix_nanos(&self) -> i64 {
            self.real.unix_nanos()
        }
    }

    #[test]
    fn nobody_expires_because_we_were_stalled_and_everybody_does_for_being_silent() {
        universe::run(1, |universe| async move {
            let clock = Arc::new(ClockOfAStalledMachine { real: universe.clock(), stalled_seconds: AtomicU64::new(0) });
            let (changes, changed) = universe.recorder::<NodesChanged>("changes");
            let parts = MembershipParts {
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                policy: LivenessPolicy::default(),
                changes,
                confirmed: universe.recorder("confirmed").0,
                restored: universe.recorder("restored").0,
                served: Publisher::new(ServedTable::default()).reader(),
                watched: None,
            };
            let membership = universe.start("membership", move || Membership::new(parts.clone()));
            let compatibility = CheckCompatibility::default();
            membership.post(Heartbeat {
                node: "n1".into(),
                address: None,
                kind: NodeKind::Runner,
                compatibility,
                honours_grants: false,
                last_change: 0,
            });
            let lost = || changed.take().iter().map(|change| change.lost.len()).sum::<usize>();
            universe.advance(Duration::from_secs(5)).await;
            clock.stalled_seconds.store(600, Ordering::Relaxed);
            universe.advance(Duration::from_secs(20)).await;
            assert_eq!(lost(), 0);
            universe.advance(Duration::from_secs(12)).await;
            assert_eq!(lost(), 1);
        });
    }

    #[test]
    fn silence_from_before_dispatching_began_does_not_count_and_telling_the_nodes_again_proves_nothing() {
        universe::run(2, |universe| async move {
            let (changes, changed) = universe.recorder::<NodesChanged>("changes");
            let parts = MembershipParts {
                clock: universe.clock(),
                policy: LivenessPolicy::default(),
                changes,
                confirmed: universe.recorder("confirmed").0,
                restored: universe.recorder("restored").0,
                served: Publisher::new(ServedTable::default()).reader(),
                watched: None,
            };
            let membership = universe.start("membership", move || Membership::new(parts.clone()));
            let lost = || changed.take().iter().map(|change| change.lost.len()).sum::<usize>();
            let restored = |begins| NodesRestored {
                anew: false,
                begins,
                nodes: vec![("n1".into(), NodeFacts::default())],
                departing: BTreeMap::new(),
            };
            membership.post(restored(true));
            universe.advance(Duration::from_secs(25)).await;
            membership.post(restored(true));
            universe.advance(Duration::from_secs(25)).await;
            assert_eq!(lost(), 0);
            membership.post(restored(false));
            universe.advance(Duration::from_secs(7)).await;
            assert_eq!(lost(), 1);
        });
    }
}

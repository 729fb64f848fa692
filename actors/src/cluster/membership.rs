//! Knows who lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::domain::ids::NodeName;
use crate::domain::liveness::{LivenessPolicy, NodeRecord, Observation, SWEEP_INTERVAL, StallGuard};
use crate::domain::node::NodeFacts;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{LostNode, NodesChanged, NodesWanted};
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
    /// Who knows the nodes of before a restart.
    pub restored: Outlet<NodesWanted>,
}

/// Owns node liveness: decides from polls who lives and who is dead.
///
/// Source of truth for nothing persistent: after a restart it relearns from the dispatcher's table and from polls.
pub struct Membership {
    parts: MembershipParts,
    nodes: BTreeMap<NodeName, NodeRecord>,
    stalls: StallGuard,
    duplicates: BTreeSet<NodeName>,
    forgiven_stalls: u64,
}

impl Membership {
    /// A membership without nodes.
    #[must_use]
    pub fn new(parts: MembershipParts) -> Self {
        Self { parts, nodes: BTreeMap::new(), stalls: StallGuard::default(), duplicates: BTreeSet::new(), forgiven_stalls: 0 }
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// Takes an observation in; tells whether the dispatcher has to know about it.
    fn observe(&mut self, node: &NodeName, seen: Observation) -> bool {
        if let Some(record) = self.nodes.get_mut(node) {
            return record.observe(seen);
        }
        self.nodes.insert(node.clone(), NodeRecord::new(seen));
        true
    }

    fn take_in(&mut self, beats: Vec<Heartbeat>) {
        let at = self.now();
        let mut seen = Vec::new();
        for beat in beats {
            let facts = NodeFacts { kind: beat.kind, address: beat.address.unwrap_or_default(), compatibility: beat.compatibility };
            if self.observe(&beat.node, Observation { facts, at })
                && let Some(record) = self.nodes.get(&beat.node)
            {
                seen.push((beat.node, record.facts().clone()));
            }
        }
        if !seen.is_empty() {
            self.parts.changes.post(NodesChanged { seen, lost: Vec::new() });
        }
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
                lost.push(LostNode { node: node.clone(), silent_for: record.silent_for(now) });
            }
            !expired
        });
        self.watch_identities(now);
        if lost.is_empty() {
            return;
        }
        for dead in &lost {
            info!(node = %dead.node, silent_seconds = dead.silent_for.as_secs(), "node expired");
        }
        if self.nodes.is_empty() {
            warn!(expired = lost.len(), "no node is left");
        }
        // Not to be lost: a node that is forgotten here is not reported again.
        self.parts.changes.post(NodesChanged { seen: Vec::new(), lost });
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
                let state = serde_json::json!({
                    "kind": facts.kind,
                    "address": facts.address,
                    "silent_seconds": record.silent_for(now).as_secs_f64(),
                    "duplicate_addresses": record.duplicate(now).map(|duplicate| duplicate.addresses),
                });
                (node.as_str(), state)
            })
            .collect();
        serde_json::json!({ "nodes": nodes, "duplicates": self.duplicates, "forgiven_stalls": self.forgiven_stalls })
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
        let mut known_there: BTreeMap<NodeName, NodeFacts> = BTreeMap::new();
        for (node, facts) in restored.nodes {
            match self.nodes.get_mut(&node) {
                Some(record) => record.restore(&facts),
                None => drop(self.nodes.insert(node.clone(), NodeRecord::new(Observation { facts: facts.clone(), at }))),
            }
            known_there.insert(node, facts);
        }
        let differs = |(node, record): &(&NodeName, &NodeRecord)| known_there.get(*node) != Some(record.facts());
        let seen: Vec<_> = self.nodes.iter().filter(differs).map(|(node, record)| (node.clone(), record.facts().clone())).collect();
        if !seen.is_empty() {
            self.parts.changes.post(NodesChanged { seen, lost: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::domain::node::CheckCompatibility;
    use crate::domain::world::NodeKind;
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
                restored: universe.recorder("restored").0,
            };
            let membership = universe.start("membership", move || Membership::new(parts.clone()));
            let compatibility = CheckCompatibility::default();
            membership.post(Heartbeat { node: "n1".into(), address: None, kind: NodeKind::Runner, compatibility });
            let lost = || changed.take().iter().map(|change| change.lost.len()).sum::<usize>();
            universe.advance(Duration::from_secs(5)).await;
            clock.stalled_seconds.store(600, Ordering::Relaxed);
            universe.advance(Duration::from_secs(20)).await;
            assert_eq!(lost(), 0);
            universe.advance(Duration::from_secs(12)).await;
            assert_eq!(lost(), 1);
        });
    }
}

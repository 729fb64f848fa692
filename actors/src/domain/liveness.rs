//! Who lives: what is remembered of each node, and what follows from it.

use std::time::Duration;

use crate::domain::node::NodeFacts;

/// Time without a heartbeat after which a node is dead if no other evidence exists.
///
/// Units: seconds, > 0; must exceed two poll intervals (stock agents poll every 10 s). Source: `cluster_checks.node_expiration_timeout`.
pub const NODE_EXPIRATION_SECONDS: u64 = 30;

/// Time between two sweeps. Source: cluster-checks 7 [D].
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A sweep that comes later than this after the one before means that we were stalled, not the agents.
pub const STALL_LIMIT: Duration = Duration::from_secs(3);

/// An address that returns within this time belongs to a second agent with the same name.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(60);

/// How evidence becomes a verdict.
#[derive(Debug, Clone, Copy)]
pub struct LivenessPolicy {
    /// See [`NODE_EXPIRATION_SECONDS`].
    pub expiration: Duration,
}

impl Default for LivenessPolicy {
    fn default() -> Self {
        Self { expiration: Duration::from_secs(NODE_EXPIRATION_SECONDS) }
    }
}

/// What one poll told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Facts as told; an empty address means that none was told.
    pub facts: NodeFacts,
    /// Monotonic time of the poll.
    pub at: Duration,
}

/// Two agents that poll under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateIdentity {
    /// The addresses they poll from, the latest first.
    pub addresses: [String; 2],
}

#[derive(Debug, Clone)]
struct FormerAddress {
    address: String,
    left_at: Duration,
}

/// What is remembered of one node.
#[derive(Debug, Clone)]
pub struct NodeRecord {
    facts: NodeFacts,
    last_heartbeat_at: Duration,
    former_address: Option<FormerAddress>,
    alternated_at: Option<Duration>,
}

impl NodeRecord {
    /// A node that was just seen, or counts as just seen because it was restored.
    #[must_use]
    pub fn new(seen: Observation) -> Self {
        Self { facts: seen.facts, last_heartbeat_at: seen.at, former_address: None, alternated_at: None }
    }

    /// Takes a poll in. Returns whether the facts changed.
    ///
    /// An empty address never erases a known one. Source: cluster-checks 7, "Client IP".
    pub fn observe(&mut self, seen: Observation) -> bool {
        self.last_heartbeat_at = self.last_heartbeat_at.max(seen.at);
        let mut facts = seen.facts;
        if facts.address.is_empty() {
            facts.address.clone_from(&self.facts.address);
        } else if facts.address != self.facts.address {
            self.address_changed(&facts.address, seen.at);
        }
        let changed = facts != self.facts;
        self.facts = facts;
        changed
    }

    fn address_changed(&mut self, next: &str, at: Duration) {
        let returned = self
            .former_address
            .as_ref()
            .is_some_and(|former| former.address == next && at.saturating_sub(former.left_at) <= DUPLICATE_WINDOW);
        if returned {
            self.alternated_at = Some(at);
        }
        self.former_address = Some(FormerAddress { address: self.facts.address.clone(), left_at: at });
    }

    /// Takes over what was saved of a node that has polled already: only what it did not tell again.
    pub fn restore(&mut self, saved: &NodeFacts) {
        if self.facts.address.is_empty() {
            self.facts.address.clone_from(&saved.address);
        }
    }

    /// What the node told about itself.
    #[must_use]
    pub fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    /// Time since the last poll.
    #[must_use]
    pub fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_heartbeat_at)
    }

    /// Whether the node is dead: silent for more whole seconds than the policy allows.
    #[must_use]
    pub fn is_expired(&self, now: Duration, policy: &LivenessPolicy) -> bool {
        self.silent_for(now).as_secs() > policy.expiration.as_secs()
    }

    /// Forgives silence that was ours.
    pub fn forgive(&mut self, stall: Duration) {
        self.last_heartbeat_at += stall;
    }

    /// Whether two agents seem to use this name: the address went away and came back. Source: cluster-checks 16.11.
    #[must_use]
    pub fn duplicate(&self, now: Duration) -> Option<DuplicateIdentity> {
        let recent = self.alternated_at.is_some_and(|at| now.saturating_sub(at) <= DUPLICATE_WINDOW);
        let former = self.former_address.as_ref().filter(|_| recent)?;
        Some(DuplicateIdentity { addresses: [self.facts.address.clone(), former.address.clone()] })
    }
}

/// Notices that we ourselves were stalled, so that our own pause does not look like the death of everybody.
///
/// Source: cluster-checks 16.13.
#[derive(Debug, Default)]
pub struct StallGuard {
    last_sweep_at: Option<Duration>,
}

impl StallGuard {
    /// Called at each sweep; returns how long polls may have been waiting because of us, zero if we were on time.
    pub fn sweep(&mut self, now: Duration) -> Duration {
        let gap = self.last_sweep_at.replace(now).map_or(Duration::ZERO, |last| now.saturating_sub(last));
        if gap > STALL_LIMIT { gap.saturating_sub(SWEEP_INTERVAL) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::world::NodeKind;

    fn poll(address: &str, at_seconds: u64) -> Observation {
        Observation {
            facts: NodeFacts { kind: NodeKind::Runner, address: address.to_owned(), ..NodeFacts::default() },
            at: Duration::from_secs(at_seconds),
        }
    }

    #[test]
    fn the_default_expiration_is_30_seconds() {
        assert_eq!(LivenessPolicy::default().expiration, Duration::from_secs(30));
    }

    #[test]
    fn cc_t27_a_node_of_31_seconds_is_expired() {
        let record = NodeRecord::new(poll("", 0));
        let policy = LivenessPolicy::default();
        assert!(!record.is_expired(Duration::from_secs(30), &policy));
        assert!(!record.is_expired(Duration::from_millis(30_999), &policy));
        assert!(record.is_expired(Duration::from_secs(31), &policy));
    }

    #[test]
    fn cc_t21_an_empty_address_never_erases_a_known_one() {
        let mut record = NodeRecord::new(poll("10.0.0.1", 0));
        assert!(record.observe(poll("10.0.0.2", 10)));
        assert!(!record.observe(poll("", 20)));
        assert_eq!(record.facts().address, "10.0.0.2");
    }

    #[test]
    fn an_address_that_changes_once_is_a_restart() {
        let mut record = NodeRecord::new(poll("10.0.0.1", 0));
        record.observe(poll("10.0.0.2", 10));
        record.observe(poll("10.0.0.2", 20));
        assert_eq!(record.duplicate(Duration::from_secs(20)), None);
    }

    #[test]
    fn two_addresses_in_turn_are_two_agents() {
        let mut record = NodeRecord::new(poll("10.0.0.1", 0));
        record.observe(poll("10.0.0.2", 5));
        record.observe(poll("10.0.0.1", 10));
        let duplicate = record.duplicate(Duration::from_secs(10)).unwrap();
        assert_eq!(duplicate.addresses, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(record.duplicate(Duration::from_secs(71)), None, "forgotten when one of them is gone");
    }

    #[test]
    fn our_own_stall_is_forgiven() {
        let mut guard = StallGuard::default();
        let mut record = NodeRecord::new(poll("", 0));
        let policy = LivenessPolicy::default();
        assert_eq!(guard.sweep(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(guard.sweep(Duration::from_secs(4)), Duration::ZERO);
        let stall = guard.sweep(Duration::from_secs(100));
        assert_eq!(stall, Duration::from_secs(95));
        record.forgive(stall);
        assert!(!record.is_expired(Duration::from_secs(100), &policy));
        assert!(record.is_expired(Duration::from_secs(126), &policy));
    }
}

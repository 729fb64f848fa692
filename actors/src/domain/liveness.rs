//! Who lives: what is remembered of each node, and what follows from it.

use std::time::Duration;

use serde::Serialize;

use crate::domain::ids::Stamp;
use crate::domain::node::NodeFacts;
use crate::domain::pod_evidence::Testimony;
use crate::domain::world::Presence;

/// Time without a heartbeat after which a node is dead if no other evidence exists.
///
/// Units: seconds, > 0; must exceed two poll intervals (stock agents poll every 10 s). Source: `cluster_checks.node_expiration_timeout`.
pub const NODE_EXPIRATION_SECONDS: u64 = 30;

/// Time between two sweeps. Source: cluster-checks 7 [D].
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A sweep that comes later than this after the one before means that we were stalled, not the agents.
pub const STALL_LIMIT: Duration = Duration::from_secs(3);

/// Silence after which a node is suspect: a poll that is 8 s late. Only shown, nothing follows from it.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(18);

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

/// How a node looks to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It polls.
    Alive,
    /// Its poll is late, or its pod is not ready.
    Suspect,
    /// It is on its way out.
    Draining,
}

/// What follows from the evidence about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Unchanged,
    /// It was on its way out and is a new incarnation now.
    Returned,
    /// It leaves and holds configs that may be needed elsewhere.
    Leaves {
        /// Since when, if its pod still runs; then it may keep its set a moment longer.
        running_for: Option<Duration>,
        /// It is dead: its pod is gone and nothing was heard of it since.
        dead: bool,
    },
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
    registered_at: Duration,
    last_heartbeat_at: Duration,
    presence: Presence,
    took_over: bool,
    former_address: Option<FormerAddress>,
    alternated_at: Option<Duration>,
    confirmed: Option<Stamp>,
}

impl NodeRecord {
    /// A node that was just seen, or counts as just seen because it was restored.
    #[must_use]
    pub fn new(seen: Observation) -> Self {
        Self {
            facts: seen.facts,
            registered_at: seen.at,
            last_heartbeat_at: seen.at,
            presence: Presence::Staying,
            took_over: false,
            former_address: None,
            alternated_at: None,
            confirmed: None,
        }
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

    /// Takes in which version of its set a node says it has. Returns it if that is news.
    ///
    /// 0 = it has none, and negative numbers say nothing: neither confirms anything.
    pub fn confirm(&mut self, last_change: i64) -> Option<Stamp> {
        let stamp = Some(Stamp(last_change)).filter(|stamp| stamp.0 > 0)?;
        (self.confirmed.replace(stamp) != Some(stamp)).then_some(stamp)
    }

    /// Whether another process polls under this name than before: the one before had a set, and this one has none. To be asked before the
    /// poll is taken in; returns the time since the poll before.
    ///
    /// A node on its way out is replaced by one that may have the same name: nothing unexpected.
    pub fn began_anew(&mut self, last_change: i64, at: Duration) -> Option<Duration> {
        let had_a_set = last_change == 0 && self.confirmed.take().is_some();
        (had_a_set && self.presence.is_staying()).then(|| self.silent_for(at))
    }

    /// Nobody knows any more what it confirmed: the next poll is news.
    pub fn forget_confirmed(&mut self) {
        self.confirmed = None;
    }

    /// Takes over what was saved of a node that has polled already: only what it did not tell again.
    pub fn restore(&mut self, saved: &NodeFacts) {
        if self.facts.address.is_empty() {
            self.facts.address.clone_from(&saved.address);
        }
    }

    /// Silence until now does not count, because it may have polled another replica.
    pub fn count_as_seen(&mut self, at: Duration) {
        self.last_heartbeat_at = self.last_heartbeat_at.max(at);
    }

    /// What follows from what its pod or Kubernetes node says. Source: cluster-checks 16.10.
    ///
    /// A node that polls although its pod is gone is not dead, but on its way out: it has to be told that its set is empty, and must
    /// get nothing more until it is silent.
    #[must_use]
    pub fn judge(&self, testimony: Testimony, now: Duration) -> Verdict {
        let drained = self.presence == Presence::Draining;
        match testimony {
            Testimony::Running { .. } if !self.presence.is_staying() => Verdict::Returned,
            Testimony::Leaving { since } if !drained => Verdict::Leaves { running_for: Some(now.saturating_sub(since)), dead: false },
            Testimony::Gone { at } if self.last_heartbeat_at <= at => Verdict::Leaves { running_for: None, dead: true },
            Testimony::Gone { .. } if !drained => Verdict::Leaves { running_for: None, dead: false },
            _ => Verdict::Unchanged,
        }
    }

    /// Whether it is on its way out, as the dispatcher was told last.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// Notes what the dispatcher is told. Returns whether that is new.
    pub fn set_presence(&mut self, presence: Presence) -> bool {
        std::mem::replace(&mut self.presence, presence) != presence
    }

    /// Whether it was named as a successor, and so takes over no second set.
    #[must_use]
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// Notes whether it was named as a successor.
    pub fn set_took_over(&mut self, took_over: bool) {
        self.took_over = took_over;
    }

    /// When it was seen first. Monotonic.
    #[must_use]
    pub fn registered_at(&self) -> Duration {
        self.registered_at
    }

    /// How it looks to operators. Source: style 9.6, suspect.
    #[must_use]
    pub fn state(&self, testimony: Testimony, now: Duration) -> NodeState {
        if !self.presence.is_staying() {
            NodeState::Draining
        } else if self.silent_for(now) > SUSPECT_AFTER || testimony == (Testimony::Running { ready: false }) {
            NodeState::Suspect
        } else {
            NodeState::Alive
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
    fn the_end_of_a_pod_is_the_end_of_its_node_unless_it_polls_on() {
        let seconds = Duration::from_secs;
        let mut record = NodeRecord::new(poll("", 10));
        let judge = |record: &NodeRecord, testimony| record.judge(testimony, seconds(20));
        let (leaving, gone) = (Testimony::Leaving { since: seconds(15) }, Testimony::Gone { at: seconds(15) });
        for nothing in [Testimony::Unknown, Testimony::Running { ready: true }, Testimony::Running { ready: false }] {
            assert_eq!(judge(&record, nothing), Verdict::Unchanged);
        }
        assert_eq!(judge(&record, leaving), Verdict::Leaves { running_for: Some(seconds(5)), dead: false });
        assert_eq!(judge(&record, gone), Verdict::Leaves { running_for: None, dead: true });
        record.observe(poll("", 16));
        assert_eq!(judge(&record, gone), Verdict::Leaves { running_for: None, dead: false });
        record.set_presence(Presence::Draining);
        for nothing in [Testimony::Unknown, leaving, gone] {
            assert_eq!(judge(&record, nothing), Verdict::Unchanged, "it does not flap back");
        }
        assert_eq!(judge(&record, Testimony::Running { ready: false }), Verdict::Returned);
    }

    #[test]
    fn only_another_version_is_news_and_what_is_none_confirms_nothing() {
        let mut record = NodeRecord::new(poll("", 0));
        for nothing in [0, -1, -7] {
            assert_eq!(record.confirm(nothing), None);
        }
        assert_eq!((record.confirm(5), record.confirm(5), record.confirm(-1), record.confirm(5)), (Some(Stamp(5)), None, None, None));
        assert_eq!((record.confirm(6), record.confirm(5)), (Some(Stamp(6)), Some(Stamp(5))));
        record.forget_confirmed();
        assert_eq!(record.confirm(5), Some(Stamp(5)));
    }

    #[test]
    fn a_process_that_has_lost_its_set_is_another_one() {
        let mut record = NodeRecord::new(poll("", 0));
        assert_eq!(record.began_anew(0, Duration::from_secs(5)), None, "it never had one");
        record.confirm(5);
        assert_eq!((record.began_anew(5, Duration::from_secs(7)), record.began_anew(-1, Duration::from_secs(8))), (None, None));
        assert_eq!(record.began_anew(0, Duration::from_secs(9)), Some(Duration::from_secs(9)));
        assert_eq!(record.began_anew(0, Duration::from_secs(19)), None, "it was told once");
        record.confirm(6);
        record.set_presence(Presence::Draining);
        assert_eq!(record.began_anew(0, Duration::from_secs(29)), None, "it was announced");
    }

    #[test]
    fn a_late_poll_and_a_pod_that_is_not_ready_are_suspect() {
        let record = NodeRecord::new(poll("", 0));
        let state = |testimony, at| record.state(testimony, Duration::from_secs(at));
        assert_eq!(state(Testimony::Unknown, 18), NodeState::Alive);
        assert_eq!(state(Testimony::Unknown, 19), NodeState::Suspect);
        assert_eq!(state(Testimony::Running { ready: false }, 1), NodeState::Suspect);
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

//! Who may decide: the lease and its epochs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Epoch;

/// Proof that this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// Number of this term of office; larger than that of every earlier grant.
    pub epoch: Epoch,
}

/// What the lease says about this replica.
///
/// "Nobody knows" is a value of its own and never means "I lead". Source: cluster-checks 8.3 and 16.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Not known (yet): nothing is decided and nothing answered.
    #[default]
    Unknown,
    /// Another replica decides, and requests are relayed to it.
    Follower,
    /// This replica decides.
    Leader,
}

/// Who leads, as published for the threads that answer requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leadership {
    /// What this replica is.
    pub role: Role,
    /// Number of the term of office.
    pub epoch: Epoch,
    /// Identity (pod name) of the leader, also if that is this replica; empty when unknown.
    pub leader: String,
    /// `host:port` of the leader's API, if it told or could be looked up.
    pub address: Option<String>,
    /// Monotonic time until which a leader may answer; `None` means for ever (nobody else can take over).
    ///
    /// A leader that slept through it is none any more, whatever its other threads believe.
    pub valid_until: Option<Duration>,
}

/// A leader stops changing the assignment so long before its validity ends. Source: cluster-agent-kubernetes 2.1, "Own validity".
pub const DECISION_MARGIN: Duration = Duration::from_secs(2);

impl Leadership {
    /// Whether this replica may answer for the cluster at this monotonic time.
    #[must_use]
    pub fn leads(&self, now: Duration) -> bool {
        self.role == Role::Leader && self.valid_until.is_none_or(|until| now < until)
    }

    /// Whether this replica may change the assignment at this monotonic time: a little shorter than it may answer.
    #[must_use]
    pub fn decides(&self, now: Duration) -> bool {
        self.role == Role::Leader && self.valid_until.is_none_or(|until| now + DECISION_MARGIN < until)
    }
}

/// Whether something said in `offered` still counts after `current` was seen.
///
/// Source: style 4.9; older epochs are dropped and counted by the receiver.
#[must_use]
pub fn counts(current: Epoch, offered: Epoch) -> bool {
    offered >= current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_does_not_count() {
        assert!(!counts(Epoch(4), Epoch(3)));
        assert!(counts(Epoch(4), Epoch(4)));
        assert!(counts(Epoch(4), Epoch(5)));
    }

    #[test]
    fn a_leader_falls_silent_at_the_end_of_its_validity_and_stops_deciding_two_seconds_before() {
        let leader = Leadership { role: Role::Leader, valid_until: Some(Duration::from_secs(10)), ..Leadership::default() };
        assert!(leader.leads(Duration::from_millis(9_999)) && !leader.leads(Duration::from_secs(10)));
        assert!(leader.decides(Duration::from_millis(7_999)) && !leader.decides(Duration::from_secs(8)));
        let alone = Leadership { valid_until: None, ..leader };
        assert!(alone.leads(Duration::MAX) && alone.decides(Duration::MAX));
        assert!(!Leadership { role: Role::Follower, ..alone }.leads(Duration::ZERO));
    }

    #[test]
    fn a_replica_that_was_told_nothing_does_not_lead() {
        assert_eq!(Role::default(), Role::Unknown);
    }
}

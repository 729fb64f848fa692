//! Who may decide: the lease and its epochs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Epoch;

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
    /// A leader that slept through it is none any more, whatever its other threads believe. Of a follower: until when the
    /// leader it saw is known to lead.
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

    /// The term of office in which this replica may answer for the cluster at this monotonic time, if it may.
    #[must_use]
    pub fn term(&self, now: Duration) -> Option<Epoch> {
        self.leads(now).then_some(self.epoch)
    }

    /// Whether this replica may change the assignment at this monotonic time: a little shorter than it may answer.
    #[must_use]
    pub fn decides(&self, now: Duration) -> bool {
        self.role == Role::Leader && self.valid_until.is_none_or(|until| now + DECISION_MARGIN < until)
    }
}

/// The times of an election. All follow from the length of the lease.
///
/// Source: cluster-agent-kubernetes 2.1 and style 9.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimings {
    /// Time without a change of the record after which others may take the lock; whole seconds, as the record tells it.
    pub lease: Duration,
    /// A leader acts so long after it sent its last successful renewal: two thirds of the lease.
    pub renew_deadline: Duration,
    /// Time between two renewals: the lease divided by 7.5, at least one second.
    pub retry: Duration,
}

impl LeaseTimings {
    /// Shorter leases count as this one.
    ///
    /// Why: with less, [`DECISION_MARGIN`] and one renewal leave a leader no time in which it may decide.
    pub const MIN_LEASE: Duration = Duration::from_secs(5);

    /// The retry period is stretched at random by up to this factor, so that contenders do not stay in step.
    pub const JITTER: f64 = 1.2;

    /// Longest time that one call to the lock may take, if the retry period is not shorter.
    const LONGEST_CALL: Duration = Duration::from_secs(5);

    /// The times for a lease, of which fractions of a second are dropped.
    #[must_use]
    pub fn from_lease(lease: Duration) -> Self {
        let lease = Duration::from_secs(lease.max(Self::MIN_LEASE).as_secs());
        Self { lease, renew_deadline: lease * 2 / 3, retry: (lease * 2 / 15).max(Duration::from_secs(1)) }
    }

    /// Whether a leader falls silent before another can take over, and can miss a renewal before it has to.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lease > self.renew_deadline && self.renew_deadline > self.retry.mul_f64(Self::JITTER)
    }

    /// Longest time that an adapter may spend on one call to the lock.
    #[must_use]
    pub fn call_limit(&self) -> Duration {
        self.retry.min(Self::LONGEST_CALL)
    }

    /// Time between two looks at a lock that another replica holds. `unit` is a random number in `[0, 1)`.
    ///
    /// Why twice in a retry period: nobody is told that a leader gave the lock up; a look is how it is found out.
    #[must_use]
    pub fn look(&self, unit: f64) -> Duration {
        (self.retry / 2).mul_f64(1.0 + (Self::JITTER - 1.0) * unit.clamp(0.0, 1.0))
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
        let in_office = Leadership { epoch: Epoch(4), ..leader.clone() };
        assert_eq!((in_office.term(Duration::from_millis(9_999)), in_office.term(Duration::from_secs(10))), (Some(Epoch(4)), None));
        assert!(leader.decides(Duration::from_millis(7_999)) && !leader.decides(Duration::from_secs(8)));
        let alone = Leadership { valid_until: None, ..leader };
        assert!(alone.leads(Duration::MAX) && alone.decides(Duration::MAX));
        assert!(!Leadership { role: Role::Follower, ..alone }.leads(Duration::ZERO));
    }

    #[test]
    fn ca_l1_a_lease_of_60_seconds_is_renewed_every_8_and_lost_after_40() {
        let timings = LeaseTimings::from_lease(Duration::from_secs(60));
        assert_eq!((timings.renew_deadline, timings.retry), (Duration::from_secs(40), Duration::from_secs(8)));
        assert_eq!(timings.call_limit(), Duration::from_secs(5));
    }

    #[test]
    fn ca_l2_a_lease_of_15_seconds_is_renewed_every_2_and_lost_after_10() {
        let timings = LeaseTimings::from_lease(Duration::from_secs(15));
        assert_eq!((timings.renew_deadline, timings.retry), (Duration::from_secs(10), Duration::from_secs(2)));
        assert_eq!((timings.look(0.0), timings.look(1.0)), (Duration::from_secs(1), Duration::from_millis(1_200)));
    }

    #[test]
    fn the_times_of_every_lease_leave_a_leader_time_to_decide() {
        for seconds in 0..4_000 {
            let timings = LeaseTimings::from_lease(Duration::from_millis(seconds * 250));
            assert!(timings.holds(), "{timings:?}");
            assert!(timings.renew_deadline > timings.retry + DECISION_MARGIN, "{timings:?}");
            assert_eq!(timings.lease.subsec_nanos(), 0);
        }
    }

    #[test]
    fn a_replica_that_was_told_nothing_does_not_lead() {
        assert_eq!(Role::default(), Role::Unknown);
    }
}

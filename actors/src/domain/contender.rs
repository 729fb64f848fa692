//! One replica's part in the election: when it claims the lock, renews it, gives it up, and what it may believe meanwhile.
//!
//! A state machine without clock and I/O. Only monotonic time decides; wall-clock time is written into the record and never read.
//! Source: cluster-agent-kubernetes 2.1 to 2.3.

use std::time::Duration;

use crate::domain::ids::Epoch;
use crate::domain::lease::{Leadership, LeaseTimings, Role};
use crate::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};

/// What a replica brings to an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// Name in the lock, that of the pod. No two running replicas have the same one.
    pub identity: String,
    /// `host:port` of the own API, to be written into the lock.
    pub address: Option<String>,
    /// Times.
    pub timings: LeaseTimings,
    /// Give the lock up when stopping.
    pub release: bool,
}

/// What has to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the lock, then call [`Contender::read`].
    Read,
    /// Write the lock, then call [`Contender::written`].
    Write {
        /// What to write.
        record: LockRecord,
        /// What is to be replaced; `None` = there is no lock yet.
        version: Option<LockVersion>,
    },
    /// Nothing until [`Contender::next_wake`], or ever after [`Contender::withdraw`].
    Rest,
}

/// Time between two attempts, at least.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The clock of a leader may stand still or go back: its renewals still differ, so that others notice them.
///
/// Units: nanoseconds; one second, because a ConfigMap lock keeps whole seconds.
const SMALLEST_RENEWAL: i64 = 1_000_000_000;

/// The lock as it was seen last.
#[derive(Clone, Debug)]
struct Observation {
    record: LockRecord,
    /// `None`: there is no lock object.
    version: Option<LockVersion>,
    /// Local time at which a change of the record was received last.
    changed_at: Duration,
    /// The version may not be the newest: read before writing.
    stale: bool,
}

/// The state of one replica in the election.
#[derive(Clone, Debug)]
pub struct Contender {
    candidacy: Candidacy,
    /// The highest epoch ever seen; every claim goes beyond it.
    seen: Epoch,
    observation: Option<Observation>,
    /// Transitions that this process wrote when it last claimed the lock; tells its own claims from those of an earlier process
    /// with the same name.
    claimed: Option<u64>,
    /// When the write under way was sent.
    sent_at: Duration,
    /// Until when this replica leads, from its last confirmed write.
    leads_until: Option<Duration>,
    turn_began: Duration,
    /// The lock was read again in this turn because of a conflict.
    read_again: bool,
    withdrawn: bool,
}

impl Contender {
    /// A contender that has not looked at the lock yet.
    ///
    /// `seen` is the highest epoch known from elsewhere, for example from an earlier incarnation.
    #[must_use]
    pub fn new(candidacy: Candidacy, seen: Epoch) -> Self {
        Self {
            candidacy,
            seen,
            observation: None,
            claimed: None,
            sent_at: Duration::ZERO,
            leads_until: None,
            turn_began: Duration::ZERO,
            read_again: false,
            withdrawn: false,
        }
    }

    /// A turn begins: time to look at the lock, or to renew it.
    pub fn wake(&mut self, now: Duration, unix_nanos: i64) -> Action {
        self.turn_began = now;
        self.read_again = false;
        match &self.observation {
            Some(seen) if !seen.stale && (self.withdrawn || seen.record.holder == self.candidacy.identity) => self.decide(now, unix_nanos),
            None if self.withdrawn => Action::Rest,
            _ => Action::Read,
        }
    }

    /// The lock was read at `now`.
    pub fn read(&mut self, now: Duration, unix_nanos: i64, answer: Result<Option<StoredLock>, LockError>) -> Action {
        let Ok(lock) = answer else { return Action::Rest };
        let (record, version) = match lock {
            Some(lock) => (lock.record, Some(lock.version)),
            None => (LockRecord::default(), None),
        };
        self.observe(now, record, version);
        self.decide(now, unix_nanos)
    }

    /// The write that was asked for last ended at `now`.
    pub fn written(&mut self, now: Duration, answer: Result<StoredLock, LockError>) -> Action {
        match answer {
            Ok(lock) => {
                let leads = lock.record.holder == self.candidacy.identity;
                self.observe(now, lock.record, Some(lock.version));
                self.leads_until = (leads && !self.withdrawn).then(|| self.sent_at + self.candidacy.timings.renew_deadline);
                // The shutdown came while this write was under way.
                if leads && self.withdrawn && self.candidacy.release { Action::Read } else { Action::Rest }
            }
            Err(error) => {
                // It may have been written nevertheless.
                if let Some(seen) = &mut self.observation {
                    seen.stale = true;
                }
                let again = error == LockError::Conflict && !self.read_again;
                self.read_again |= again;
                if again { Action::Read } else { Action::Rest }
            }
        }
    }

    /// Stops contending. A leader is none any more from this moment on; the next turn gives the lock up.
    pub fn withdraw(&mut self) {
        self.withdrawn = true;
        self.leads_until = None;
    }

    /// An epoch that was seen elsewhere, for example in a saved table: from now on only later ones are led.
    ///
    /// Why: a lock that was deleted begins anew, and what it elects would be taken for a leader of long ago.
    pub fn learn(&mut self, epoch: Epoch) {
        self.seen = self.seen.max(epoch);
        if !self.is_mine() {
            self.leads_until = None;
        }
    }

    /// Whether [`Self::withdraw`] was called.
    #[must_use]
    pub fn withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// Whether the lock may still have to be given up: another turn would try.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        let may_hold = |seen: &Observation| seen.stale || seen.record.holder == self.candidacy.identity;
        self.withdrawn && self.candidacy.release && self.observation.as_ref().is_some_and(may_hold)
    }

    /// When the next turn begins, after the last one ended at `now`. `unit` is a random number in `[0, 1)`.
    ///
    /// A leader counts from the beginning of its last turn, so that calls that hang do not make it miss renewals. Others look at the
    /// lock when it may be taken at the latest.
    #[must_use]
    pub fn next_wake(&self, now: Duration, unit: f64) -> Duration {
        let timings = self.candidacy.timings;
        let rested = now + MIN_PAUSE;
        if self.is_mine() {
            return (self.turn_began + timings.retry).max(rested);
        }
        // A leader with a shorter lease than ours is looked at more often, lest its renewals be missed.
        let lease = self.observation.as_ref().and_then(|seen| seen.record.lease()).unwrap_or(timings.lease);
        let look = timings.look(unit).min(LeaseTimings::from_lease(lease).look(unit));
        let next = (self.turn_began + look).max(rested);
        self.honoured_until().filter(|until| *until > now).map_or(next, |until| next.min(until))
    }

    /// What this replica may believe at `now`. Never "I lead" without a lock that nobody else can have taken.
    #[must_use]
    pub fn leadership(&self, now: Duration) -> Leadership {
        if let (Some(until), Some(epoch)) = (self.leads_until.filter(|until| now < *until), self.claimed) {
            return Leadership {
                role: Role::Leader,
                epoch: Epoch(epoch),
                leader: self.candidacy.identity.clone(),
                address: self.candidacy.address.clone(),
                valid_until: Some(until),
            };
        }
        let unknown = Leadership { epoch: self.seen, ..Leadership::default() };
        match (&self.observation, self.honoured_until().filter(|until| now < *until)) {
            (Some(seen), Some(until)) => Leadership {
                role: Role::Follower,
                leader: seen.record.holder.clone(),
                address: seen.record.leader_address.clone(),
                valid_until: Some(until),
                ..unknown
            },
            _ => unknown,
        }
    }

    /// Until when a foreign holder is honoured; `None` if nobody else holds the lock.
    fn honoured_until(&self) -> Option<Duration> {
        let seen = self.observation.as_ref()?;
        if seen.record.is_free() || seen.record.holder == self.candidacy.identity {
            return None;
        }
        Some(seen.changed_at + seen.record.lease().unwrap_or(self.candidacy.timings.lease))
    }

    /// Whether the lock, as it was seen last, is held by this very process in an epoch that still counts.
    fn is_mine(&self) -> bool {
        self.observation.as_ref().is_some_and(|seen| {
            let record = &seen.record;
            record.holder == self.candidacy.identity && self.claimed == Some(record.transitions) && record.transitions >= self.seen.0
        })
    }

    fn observe(&mut self, now: Duration, record: LockRecord, version: Option<LockVersion>) {
        self.seen = self.seen.max(Epoch(record.transitions));
        let honoured = self.honoured_until().is_some_and(|until| now < until);
        match &mut self.observation {
            Some(seen) if seen.record == record => (seen.version, seen.stale) = (version, false),
            // Somebody deleted the lock, which is not how a leader gives it up: it may still believe to lead.
            Some(seen) if honoured && record.is_free() && record.transitions < seen.record.transitions => {
                (seen.version, seen.stale) = (version, false);
            }
            _ => self.observation = Some(Observation { record, version, changed_at: now, stale: false }),
        }
        if !self.is_mine() {
            self.leads_until = None;
        }
    }

    /// What follows from a lock that was seen just now.
    fn decide(&mut self, now: Duration, unix_nanos: i64) -> Action {
        let Some(seen) = &self.observation else { return Action::Read };
        let own = seen.record.holder == self.candidacy.identity;
        if self.withdrawn {
            if !(own && self.candidacy.release) {
                return Action::Rest;
            }
            let record = released(&seen.record, unix_nanos);
            return self.write(now, record);
        }
        if self.is_mine() {
            let record = self.renewed(&seen.record, unix_nanos);
            return self.write(now, record);
        }
        if self.honoured_until().is_some_and(|until| now < until) {
            return Action::Rest;
        }
        let record = self.claim(&seen.record, unix_nanos);
        self.claimed = Some(record.transitions);
        self.write(now, record)
    }

    fn write(&mut self, now: Duration, record: LockRecord) -> Action {
        self.sent_at = now;
        Action::Write { record, version: self.observation.as_ref().and_then(|seen| seen.version.clone()) }
    }

    fn claim(&self, found: &LockRecord, unix_nanos: i64) -> LockRecord {
        LockRecord {
            acquired_at: unix_nanos,
            renewed_at: unix_nanos,
            // Also for the own name: this process never held the lock, or an earlier epoch than that was seen meanwhile.
            transitions: self.seen.0.max(found.transitions) + 1,
            ..self.named(found)
        }
    }

    fn renewed(&self, found: &LockRecord, unix_nanos: i64) -> LockRecord {
        LockRecord { renewed_at: unix_nanos.max(found.renewed_at.saturating_add(SMALLEST_RENEWAL)), ..self.named(found) }
    }

    /// The record with everything that says who holds it.
    fn named(&self, found: &LockRecord) -> LockRecord {
        LockRecord {
            holder: self.candidacy.identity.clone(),
            lease_seconds: u32::try_from(self.candidacy.timings.lease.as_secs()).unwrap_or(u32::MAX),
            leader_address: self.candidacy.address.clone(),
            ..found.clone()
        }
    }
}

/// A record that is given up. Source: cluster-agent-kubernetes 2.1, "Release on shutdown".
fn released(found: &LockRecord, unix_nanos: i64) -> LockRecord {
    LockRecord {
        holder: String::new(),
        lease_seconds: 1,
        acquired_at: unix_nanos,
        renewed_at: unix_nanos,
        leader_address: None,
        ..found.clone()
    }
}

#[cfg(test)]
mod tests;

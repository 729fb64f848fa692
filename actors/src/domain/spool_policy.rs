//! What of an output goes to the disk, how much may lie there and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::delivery::{Contents, DropReason};

/// Number of a payload in a spool; later ones have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub u64);

/// The disk that holds a spool. Units: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its size.
    pub total: u64,
    /// What this process may still write.
    pub available: u64,
}

/// What a disk gives to a file at least. Units: bytes. Why: without it a million small events would take a hundred times their bound.
const BLOCK_BYTES: u64 = 4096;

/// What a file has besides the body, at most. Units: bytes.
const HEADER_BYTES: u64 = 128;

/// What the file of a body of this size takes on a disk, roughly. Units: bytes.
#[must_use]
pub fn bytes_on_disk(body_bytes: u64) -> u64 {
    (body_bytes + HEADER_BYTES).next_multiple_of(BLOCK_BYTES)
}

/// Numbers of a spool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpoolPolicy {
    /// Bytes that the files may take. Source: `forwarder_storage_max_size_in_bytes`, `muster.spool.max_bytes`.
    pub max_bytes: u64,
    /// Part of the disk that may be in use, by whomever, after we wrote. Source: `forwarder_storage_max_disk_ratio`.
    pub max_disk_ratio: f64,
    /// Bytes that files may take on a disk that is fuller than that, as long as it takes them. Source: ours.
    pub least_bytes: u64,
    /// Part of the memory that payloads may take before they go to the disk. Source: `forwarder_flush_to_disk_mem_ratio`.
    pub flush_ratio: f64,
    /// Age at which a payload is given up. Source: `forwarder_outdated_file_in_days`.
    pub max_age: Duration,
    /// Whether series, distributions and service checks go there too, when memory is full and at shutdown; events always do.
    pub samples: bool,
}

impl Default for SpoolPolicy {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            max_disk_ratio: 0.8,
            least_bytes: 16 * 1024 * 1024,
            flush_ratio: 0.5,
            max_age: Duration::from_secs(10 * 24 * 3600),
            samples: true,
        }
    }
}

impl SpoolPolicy {
    /// Whether a payload must be on the disk before it is sent.
    ///
    /// Why all of them at the end: whatever interrupts the end then loses nothing.
    #[must_use]
    pub fn stores_first(&self, contents: &Contents, ending: bool) -> bool {
        contents.events > 0 || (ending && self.samples)
    }

    /// Bytes of bodies that stay in memory when the rest goes to the disk.
    #[must_use]
    pub fn memory_goal(&self, max_queue_bytes: u64) -> u64 {
        (max_queue_bytes as f64 * self.flush_ratio.clamp(0.0, 1.0)) as u64
    }

    /// Bytes of bodies up to which several are read from the disk at a time.
    ///
    /// Why half of what stays in memory: what is new needs the other half, or goes to the disk, behind the backlog.
    #[must_use]
    pub fn reading_goal(&self, max_queue_bytes: u64) -> u64 {
        self.memory_goal(max_queue_bytes) / 2
    }

    /// Bytes that the files may take now, of which `used` are taken.
    #[must_use]
    pub fn limit(&self, used: u64, disk: Option<DiskSpace>) -> u64 {
        let Some(disk) = disk else { return self.max_bytes };
        let reserve = (disk.total as f64 * (1.0 - self.max_disk_ratio.clamp(0.0, 1.0))).ceil() as u64;
        let by_disk = if disk.available >= reserve {
            used.saturating_add(disk.available - reserve)
        } else {
            used.saturating_sub(reserve - disk.available)
        };
        // A little is allowed on any disk that takes it: a node whose disk is fuller than the ratio has events too.
        self.max_bytes.min(by_disk.max(self.least_bytes.min(used.saturating_add(disk.available))))
    }

    /// Whether a payload has waited too long. Units: seconds since the Unix epoch.
    #[must_use]
    pub fn is_too_old(&self, since: i64, now: i64) -> bool {
        u64::try_from(now.saturating_sub(since)).is_ok_and(|age| age > self.max_age.as_secs())
    }
}

/// Whether something on the disk is kept although the destination refused it for this reason.
///
/// Only the key was wrong, and the source of an event was told that it is safe: it waits for the right key as long as it may wait
/// at all. Source: cluster-agent-kubernetes 6.4 for what is only in memory.
#[must_use]
pub fn outlasts(reason: DropReason, contents: &Contents) -> bool {
    reason == DropReason::InvalidKey && contents.events > 0
}

/// Whether files that the disk could not read are lost, rather than the disk not working: they could not be read `before` either, and
/// others can now. If there is but one, the second time decides.
#[must_use]
pub fn unread_are_lost(unread: &BTreeSet<SpoolId>, before: &BTreeSet<SpoolId>, readable: usize) -> bool {
    unread.is_subset(before) && (readable > 0 || unread.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_defaults_are_those_of_stock_but_for_the_size() {
        let policy = SpoolPolicy::default();
        assert_eq!((policy.max_bytes, policy.max_disk_ratio, policy.flush_ratio), (268_435_456, 0.8, 0.5));
        assert_eq!((policy.max_age, policy.samples), (Duration::from_secs(864_000), true));
    }

    #[test]
    fn events_are_stored_first_and_the_rest_at_the_end() {
        let policy = SpoolPolicy::default();
        let (events, series) = (Contents { events: 1, ..Contents::default() }, Contents { points: 1, ..Contents::default() });
        assert!(policy.stores_first(&events, false) && !policy.stores_first(&series, false));
        assert!(policy.stores_first(&series, true));
        let events_only = SpoolPolicy { samples: false, ..policy };
        assert!(events_only.stores_first(&events, true) && !events_only.stores_first(&series, true));
    }

    #[test]
    fn the_limit_follows_the_disk_down_and_up() {
        let policy = SpoolPolicy { max_bytes: GIB, least_bytes: 0, ..SpoolPolicy::default() };
        let disk = |available| Some(DiskSpace { total: 10 * GIB, available });
        assert_eq!(policy.limit(0, None), GIB);
        assert_eq!(policy.limit(0, disk(10 * GIB)), GIB, "our own bound");
        assert_eq!(policy.limit(5, disk(2 * GIB + 7)), 12, "7 bytes until four fifths of the disk are full");
        assert_eq!(policy.limit(100, disk(2 * GIB - 40)), 60, "others fill the disk, so ours shrinks");
        assert_eq!(policy.limit(100, disk(0)), 0);
        let with_least = SpoolPolicy { least_bytes: 50, ..policy };
        assert_eq!(with_least.limit(10, disk(GIB)), 50, "a little is allowed on a disk that takes it");
        assert_eq!(with_least.limit(10, disk(0)), 10, "which a full one does not");
    }

    #[test]
    fn small_files_count_as_what_they_take() {
        assert_eq!((bytes_on_disk(1), bytes_on_disk(3968), bytes_on_disk(3969)), (4096, 4096, 8192));
    }

    #[test]
    fn age_is_counted_in_whole_seconds_and_clocks_may_step_back() {
        let policy = SpoolPolicy { max_age: Duration::from_secs(10), ..SpoolPolicy::default() };
        assert!(!policy.is_too_old(100, 110) && policy.is_too_old(100, 111) && !policy.is_too_old(100, 50));
    }

    #[test]
    fn a_file_is_lost_when_it_cannot_be_read_twice_and_others_can() {
        let ids = |numbers: &[u64]| numbers.iter().copied().map(SpoolId).collect::<BTreeSet<_>>();
        assert!(!unread_are_lost(&ids(&[1]), &ids(&[]), 5), "once may be the disk");
        assert!(unread_are_lost(&ids(&[1]), &ids(&[1]), 5) && !unread_are_lost(&ids(&[1, 2]), &ids(&[1]), 5));
        assert!(!unread_are_lost(&ids(&[1, 2]), &ids(&[1, 2]), 0), "no file can be read");
        assert!(unread_are_lost(&ids(&[1]), &ids(&[1]), 0), "nothing else tells");
    }

    #[test]
    fn only_events_wait_for_another_key() {
        let (events, series) = (Contents { events: 1, ..Contents::default() }, Contents { points: 1, ..Contents::default() });
        assert!(outlasts(DropReason::InvalidKey, &events));
        assert!(!outlasts(DropReason::InvalidKey, &series) && !outlasts(DropReason::BadRequest, &events));
    }
}

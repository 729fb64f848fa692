//! What stage of its life an output is in, and its disk.

use tokio::sync::oneshot;

use crate::domain::breakers::Wave;
use crate::domain::delivery::Contents;
use crate::domain::payload_queue::Held;
use crate::domain::spool_policy::{DiskSpace, SpoolId, bytes_on_disk};
use crate::messages::output::DrainReport;

/// A request under way.
pub(super) struct Attempt {
    pub(super) held: Held,
    pub(super) wave: Wave,
    /// How often the key had been changed when it began.
    pub(super) key_changes: u64,
}

/// A drain that is under way.
pub(super) struct Draining {
    pub(super) sent_before: Contents,
    pub(super) dropped_before: Contents,
    pub(super) waiters: Vec<oneshot::Sender<DrainReport>>,
}

/// The life of an output.
pub(super) enum Stage {
    Open,
    Draining(Draining),
    Closed(DrainReport),
}

/// Whether the disk can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// There is none.
    Absent,
    /// It is being read. What has to be stored waits.
    Opening,
    Working,
    /// The last try failed; it is looked at again from time to time.
    Failing,
}

/// What an output knows of its spool.
pub(super) struct SpoolState {
    pub(super) disk: Disk,
    /// What is on the disk and not in the queue: before it was read, and after a drain.
    pub(super) not_read: Contents,
    /// Whether this incarnation has read it.
    pub(super) read: bool,
    pub(super) space: Option<DiskSpace>,
    /// Payloads that are being stored.
    pub(super) storing: Vec<Held>,
    /// Number of the group that they are.
    pub(super) group: u64,
    /// What is to be removed from the disk.
    pub(super) to_remove: Vec<SpoolId>,
    /// Room that this will make. Units: bytes.
    pub(super) to_free: u64,
    /// Room that the removal under way makes. Units: bytes.
    pub(super) freeing: u64,
    /// What could not be removed; tried again from time to time.
    pub(super) left: Vec<SpoolId>,
    /// Whether a removal is under way.
    pub(super) removing: bool,
    /// Whether the operator knows that the disk is not used.
    pub(super) warned: bool,
}

impl SpoolState {
    pub(super) fn new(present: bool, not_read: Contents) -> Self {
        Self {
            disk: if present { Disk::Opening } else { Disk::Absent },
            not_read,
            read: false,
            space: None,
            storing: Vec::new(),
            group: 0,
            to_remove: Vec::new(),
            to_free: 0,
            freeing: 0,
            left: Vec::new(),
            removing: false,
            warned: false,
        }
    }

    /// Takes a payload that is not needed any more off the disk, if it is there.
    pub(super) fn discard(&mut self, held: &Held) {
        if let Some(id) = held.stored {
            self.to_remove.push(id);
            self.to_free += bytes_on_disk(held.payload.contents.bytes);
        }
    }

    /// What the files take that are not needed any more and not removed yet. Units: bytes.
    pub(super) fn doomed(&self) -> u64 {
        self.to_free + self.freeing
    }

    /// Whether something can be stored now, or perhaps soon.
    pub(super) fn usable(&self) -> bool {
        matches!(self.disk, Disk::Opening | Disk::Working)
    }
}

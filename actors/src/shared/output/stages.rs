//! What stage of its life an output is in, and its disk.

use tokio::sync::oneshot;

use crate::domain::breakers::Wave;
use crate::domain::delivery::Contents;
use crate::domain::payload_queue::Held;
use crate::domain::spool_policy::{DiskSpace, SpoolId};
use crate::messages::output::DrainReport;

/// A request under way.
pub(super) struct Attempt {
    pub(super) held: Held,
    pub(super) wave: Wave,
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
    /// What is to be removed from the disk.
    pub(super) to_remove: Vec<SpoolId>,
    /// Removals under way.
    pub(super) removing: u32,
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
            to_remove: Vec::new(),
            removing: 0,
            warned: false,
        }
    }

    /// Whether something can be stored now, or perhaps soon.
    pub(super) fn usable(&self) -> bool {
        matches!(self.disk, Disk::Opening | Disk::Working)
    }
}

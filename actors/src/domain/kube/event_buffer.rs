//! Events that a watch saw between two runs. Source: cluster-agent-kubernetes 3.4b.

use super::event::KubeEvent;

/// Events that wait for the next run, bounded.
#[derive(Clone, Debug, Default)]
pub struct EventBuffer {
    capacity: usize,
    waiting: Vec<KubeEvent>,
    dropped: u64,
}

/// What a run takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The events, in the order in which they were seen.
    pub events: Vec<KubeEvent>,
    /// How many found no room since the run before.
    pub dropped: u64,
}

impl EventBuffer {
    /// An empty one with room for so many events.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Keeps an event, or counts it as dropped if there is no room.
    pub fn push(&mut self, event: KubeEvent) {
        if self.waiting.len() < self.capacity {
            self.waiting.push(event);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Takes everything.
    pub fn drain(&mut self) -> Drained {
        Drained { events: std::mem::take(&mut self.waiting), dropped: std::mem::take(&mut self.dropped) }
    }
}

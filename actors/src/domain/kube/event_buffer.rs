//! Events that a watch saw between two runs. Source: cluster-agent-kubernetes 3.4b.

use super::control_plane::gauge;
use super::event::KubeEvent;
use crate::domain::samples::Series;

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

    /// Keeps what a list brought, room or not: lists are bounded themselves, and nothing brings their events again.
    pub fn keep(&mut self, listed: Vec<KubeEvent>) {
        self.waiting.extend(listed);
    }

    /// Takes everything.
    pub fn drain(&mut self) -> Drained {
        Drained { events: std::mem::take(&mut self.waiting), dropped: std::mem::take(&mut self.dropped) }
    }
}

/// The gauge of what was dropped since the run before; `tags` are those of all that the check submits.
#[must_use]
pub fn dropped_gauge(dropped: u64, at_unix_seconds: i64, tags: &[String]) -> Series {
    let name = "datadog.cluster_agent.kubernetes_apiserver.events_dropped".to_owned();
    gauge(name, dropped as f64, &[], at_unix_seconds, tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_e21_what_finds_no_room_is_dropped_and_counted_until_the_next_run() {
        let mut buffer = EventBuffer::new(2);
        let event = |version: &str| KubeEvent { version: version.to_owned(), ..KubeEvent::default() };
        for version in ["1", "2", "3"] {
            buffer.push(event(version));
        }
        let drained = buffer.drain();
        assert_eq!(drained, Drained { events: vec![event("1"), event("2")], dropped: 1 });
        let gauge = dropped_gauge(drained.dropped, 100, &["a:b".to_owned()]);
        assert_eq!(gauge.name, "datadog.cluster_agent.kubernetes_apiserver.events_dropped");
        assert_eq!((gauge.points, gauge.tags), (vec![(100, 1.0)], vec!["a:b".to_owned()]));
        assert_eq!(dropped_gauge(buffer.drain().dropped, 115, &[]).points, [(115, 0.0)]);
        buffer.push(event("4"));
        assert_eq!(buffer.drain().events, [event("4")]);
    }
}

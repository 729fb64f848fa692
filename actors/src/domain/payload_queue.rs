//! The waiting line of one output: bounded by bytes, the oldest goes first when it is full.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::delivery::{Contents, Payload, Route};

/// A payload taken out for an attempt; it still counts as waiting until it is settled.
#[derive(Debug)]
pub struct Leased {
    /// What to send.
    pub payload: Payload,
    order: u64,
    attempts: u32,
}

struct Entry {
    payload: Payload,
    attempts: u32,
}

/// Payloads that wait, in order of arrival.
///
/// Dropping follows age. Sending follows the number of attempts, then age: a payload that a destination never accepts
/// does not stand in the way of the others.
pub struct PayloadQueue {
    max_bytes: u64,
    next_order: u64,
    entries: BTreeMap<u64, Entry>,
    // Per route, because one route of a destination may be broken while the others work.
    ready: BTreeMap<Route, BTreeSet<(u32, u64)>>,
    waiting: Contents,
    leased: Contents,
}

impl PayloadQueue {
    /// An empty queue that holds at most `max_bytes` of bodies.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            next_order: 0,
            entries: BTreeMap::new(),
            ready: BTreeMap::new(),
            waiting: Contents::default(),
            leased: Contents::default(),
        }
    }

    /// Adds a payload and returns what had to go for it; that may be the payload itself.
    pub fn push(&mut self, payload: Payload) -> Contents {
        let order = self.next_order;
        self.next_order += 1;
        self.insert(order, Entry { payload, attempts: 0 });
        self.trim()
    }

    /// Takes the next payload whose route is open.
    pub fn lease(&mut self, mut open: impl FnMut(&Route) -> bool) -> Option<Leased> {
        let candidates = self.ready.iter().filter(|(route, _)| open(route)).filter_map(|(_, orders)| orders.first().copied());
        let (_, order) = candidates.min()?;
        let entry = self.remove(order)?;
        self.leased = entry.payload.contents;
        Some(Leased { payload: entry.payload, order, attempts: entry.attempts })
    }

    /// Ends a lease for good: the payload was sent or dropped.
    pub fn settle(&mut self, leased: Leased) -> Contents {
        self.leased = Contents::default();
        leased.payload.contents
    }

    /// Puts a leased payload back, at its old age, and returns what had to go for it.
    pub fn put_back(&mut self, leased: Leased) -> Contents {
        self.leased = Contents::default();
        self.insert(leased.order, Entry { payload: leased.payload, attempts: leased.attempts.saturating_add(1) });
        self.trim()
    }

    /// What waits, the leased payload included.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let mut all = self.waiting;
        all += self.leased;
        all
    }

    /// Routes of the payloads that wait.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.ready.keys()
    }

    fn insert(&mut self, order: u64, entry: Entry) {
        self.waiting += entry.payload.contents;
        self.ready.entry(entry.payload.route).or_default().insert((entry.attempts, order));
        self.entries.insert(order, entry);
    }

    fn remove(&mut self, order: u64) -> Option<Entry> {
        let entry = self.entries.remove(&order)?;
        self.waiting = self.waiting - entry.payload.contents;
        if let Some(orders) = self.ready.get_mut(&entry.payload.route) {
            orders.remove(&(entry.attempts, order));
            if orders.is_empty() {
                self.ready.remove(&entry.payload.route);
            }
        }
        Some(entry)
    }

    fn trim(&mut self) -> Contents {
        let mut dropped = Contents::default();
        while self.waiting.bytes + self.leased.bytes > self.max_bytes {
            let Some(oldest) = self.entries.keys().next().copied() else { break };
            let Some(entry) = self.remove(oldest) else { break };
            dropped += entry.payload.contents;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERIES: Route = Route { name: "series_v2", path: "/s", content_type: "" };
    const EVENTS: Route = Route { name: "intake", path: "/e", content_type: "" };

    fn payload(route: Route, mark: u8, size: usize) -> Payload {
        Payload::new(route, vec![mark; size], Contents { points: 1, ..Contents::default() })
    }

    fn lease(queue: &mut PayloadQueue) -> Leased {
        queue.lease(|_| true).expect("something waits")
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_it() {
        let mut queue = PayloadQueue::new(10);
        assert!(queue.push(payload(SERIES, 1, 4)).is_empty());
        assert!(queue.push(payload(SERIES, 2, 4)).is_empty());
        let dropped = queue.push(payload(SERIES, 3, 4));
        assert_eq!(dropped, Contents { payloads: 1, bytes: 4, points: 1, ..Contents::default() });
        assert_eq!(lease(&mut queue).payload.body[0], 2);
    }

    #[test]
    fn a_payload_larger_than_the_queue_is_dropped_itself() {
        let mut queue = PayloadQueue::new(3);
        assert_eq!(queue.push(payload(SERIES, 1, 4)).payloads, 1);
        assert!(queue.contents().is_empty());
    }

    #[test]
    fn a_leased_payload_counts_until_it_is_settled() {
        let mut queue = PayloadQueue::new(10);
        queue.push(payload(SERIES, 1, 6));
        let leased = lease(&mut queue);
        assert_eq!(queue.contents().bytes, 6);
        assert_eq!(queue.push(payload(SERIES, 2, 6)).payloads, 1, "6 in flight and 6 waiting exceed 10");
        assert_eq!(queue.settle(leased).bytes, 6);
        assert!(queue.contents().is_empty());
    }

    #[test]
    fn a_payload_put_back_keeps_its_age_but_lets_others_go_first() {
        let mut queue = PayloadQueue::new(8);
        queue.push(payload(SERIES, 1, 4));
        queue.push(payload(SERIES, 2, 4));
        let first = lease(&mut queue);
        queue.put_back(first);
        let second = lease(&mut queue);
        assert_eq!(second.payload.body[0], 2, "fewer attempts go first");
        queue.put_back(second);
        queue.push(payload(SERIES, 3, 4));
        let next = lease(&mut queue);
        assert_eq!(next.payload.body[0], 3);
        queue.settle(next);
        assert_eq!(lease(&mut queue).payload.body[0], 2, "the oldest, number 1, was the one to go");
    }

    #[test]
    fn a_closed_route_does_not_hold_up_the_others() {
        let mut queue = PayloadQueue::new(100);
        queue.push(payload(SERIES, 1, 4));
        queue.push(payload(EVENTS, 2, 4));
        let leased = queue.lease(|route| route.name != "series_v2").expect("events are open");
        assert_eq!(leased.payload.route, EVENTS);
        assert!(queue.lease(|route| route.name != "series_v2").is_none());
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_nothing_is_lost_uncounted(steps in proptest::collection::vec((0_u8..4, 1_usize..8), 1..60)) {
            let mut queue = PayloadQueue::new(20);
            let mut leased: Option<Leased> = None;
            let (mut pushed, mut gone) = (0, 0);
            for (step, size) in steps {
                match (step, leased.take()) {
                    (0, None) => leased = queue.lease(|_| true),
                    (0, Some(held)) => { queue.settle(held); gone += 1; }
                    (1, Some(held)) => gone += queue.put_back(held).payloads,
                    (_, held) => {
                        leased = held;
                        pushed += 1;
                        gone += queue.push(payload(if size % 2 == 0 { SERIES } else { EVENTS }, 0, size)).payloads;
                    }
                }
                prop_assert!(queue.contents().bytes <= 20);
                prop_assert_eq!(queue.contents().payloads + gone, pushed);
            }
        }
    }
}

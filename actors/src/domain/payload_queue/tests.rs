use proptest::prelude::*;

use super::*;

const SERIES: Route = Route { name: "series_v2", path: "/s", content_type: "" };
const EVENTS: Route = Route { name: "intake", path: "/e", content_type: "" };

fn payload(route: Route, mark: u8, size: usize) -> Payload {
    Payload::new(route, vec![mark; size], Contents { points: 1, ..Contents::default() })
}

fn lease(queue: &mut PayloadQueue) -> Held {
    queue.lease(Some(u64::MAX), |_| true).expect("something waits")
}

fn push(queue: &mut PayloadQueue, mark: u8, size: usize) -> Contents {
    queue.push(payload(SERIES, mark, size), None, false);
    total(&queue.trim(false))
}

fn total(gone: &[Held]) -> Contents {
    let mut total = Contents::default();
    for held in gone {
        total += held.payload.contents;
    }
    total
}

/// Stores everything that is to be stored, under numbers from `first` on.
fn store(queue: &mut PayloadQueue, first: u64) -> u64 {
    let taken = queue.take_unstored(u64::MAX);
    let count = taken.len() as u64;
    for (id, held) in (first..).zip(taken) {
        queue.put_back_stored(held, SpoolId(id), 100 + id as i64);
    }
    assert!(queue.trim(true).is_empty());
    count
}

#[test]
fn a_full_queue_drops_the_oldest_and_hands_it_back() {
    let mut queue = PayloadQueue::new(10);
    assert!(push(&mut queue, 1, 4).is_empty());
    assert!(push(&mut queue, 2, 4).is_empty());
    assert_eq!(push(&mut queue, 3, 4), Contents { payloads: 1, bytes: 4, points: 1, ..Contents::default() });
    assert_eq!(lease(&mut queue).payload.body[0], 2);
}

#[test]
fn a_payload_larger_than_the_queue_is_dropped_itself() {
    let mut queue = PayloadQueue::new(3);
    assert_eq!(push(&mut queue, 1, 4).payloads, 1);
    assert!(queue.contents().is_empty());
}

#[test]
fn a_leased_payload_counts_until_it_is_settled() {
    let mut queue = PayloadQueue::new(10);
    push(&mut queue, 1, 6);
    let leased = lease(&mut queue);
    assert_eq!(queue.contents().bytes, 6);
    assert_eq!(push(&mut queue, 2, 6).payloads, 1, "6 in flight and 6 waiting exceed 10");
    queue.settle(&leased);
    assert!(queue.contents().is_empty());
}

#[test]
fn a_payload_put_back_keeps_its_age_but_lets_others_go_first() {
    let mut queue = PayloadQueue::new(8);
    push(&mut queue, 1, 4);
    push(&mut queue, 2, 4);
    let first = lease(&mut queue);
    queue.put_back(first, true);
    let second = lease(&mut queue);
    assert_eq!(second.payload.body[0], 2, "fewer attempts go first");
    queue.put_back(second, true);
    push(&mut queue, 3, 4);
    let next = lease(&mut queue);
    assert_eq!(next.payload.body[0], 3);
    queue.settle(&next);
    assert_eq!(lease(&mut queue).payload.body[0], 2, "the oldest, number 1, was the one to go");
}

#[test]
fn a_closed_route_does_not_hold_up_the_others() {
    let mut queue = PayloadQueue::new(100);
    push(&mut queue, 1, 4);
    queue.push(payload(EVENTS, 2, 4), None, false);
    let leased = queue.lease(Some(u64::MAX), |route| route.name != "series_v2").expect("events are open");
    assert_eq!(leased.payload.route, EVENTS);
    assert!(queue.lease(Some(u64::MAX), |route| route.name != "series_v2").is_none());
}

#[test]
fn what_is_to_be_stored_is_not_sent_before() {
    let mut queue = PayloadQueue::new(100);
    queue.push(payload(EVENTS, 1, 4), None, true);
    assert!(queue.has_unstored() && queue.lease(Some(u64::MAX), |_| true).is_none());
    assert_eq!(store(&mut queue, 7), 1);
    let leased = lease(&mut queue);
    assert_eq!((leased.stored, leased.since, leased.in_memory()), (Some(SpoolId(7)), 107, true));
    assert_eq!((queue.stored().bytes, queue.disk_bytes(), queue.knows(SpoolId(7))), (4, 4096, true));
    queue.settle(&leased);
    assert_eq!((queue.stored(), queue.disk_bytes(), queue.knows(SpoolId(7))), (Contents::default(), 0, false));
}

#[test]
fn a_body_on_the_disk_leaves_memory_before_anything_is_lost() {
    let mut queue = PayloadQueue::new(10);
    queue.push(payload(EVENTS, 1, 6), None, true);
    store(&mut queue, 1);
    assert!(push(&mut queue, 2, 6).is_empty(), "number 1 is on the disk");
    assert_eq!((queue.contents().bytes, queue.stored().bytes), (12, 6));
    let leased = queue.lease(Some(u64::MAX), |route| *route == EVENTS).expect("it still waits");
    assert!(!leased.in_memory() && leased.payload.body.is_empty());
}

#[test]
fn memory_over_its_goal_goes_to_the_disk_oldest_first() {
    let mut queue = PayloadQueue::new(100);
    for mark in 1..=5 {
        push(&mut queue, mark, 10);
    }
    queue.spill(25);
    assert_eq!(queue.take_unstored(4096).len(), 1, "one fits, two do not");
    assert_eq!(queue.take_unstored(u64::MAX).iter().map(|held| held.payload.body[0]).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn the_disk_and_memory_take_turns_each_oldest_first() {
    let mut queue = PayloadQueue::new(100);
    for mark in [1, 2, 3] {
        push(&mut queue, mark, 1);
    }
    for id in [10, 11, 12] {
        queue.restore(SpoolId(id), SERIES, Contents { payloads: 1, bytes: 1, ..Contents::default() }, 0);
    }
    let order: Vec<u64> = std::iter::from_fn(|| queue.lease(Some(u64::MAX), |_| true))
        .map(|held| held.stored.map_or_else(|| u64::from(held.payload.body[0]), |id| id.0))
        .collect();
    assert_eq!(order, [10, 1, 11, 2, 12, 3]);
}

#[test]
fn what_is_read_leaves_room_for_what_is_new() {
    let mut queue = PayloadQueue::new(100);
    for id in 0..4 {
        queue.restore(SpoolId(id), SERIES, Contents { payloads: 1, bytes: 20, ..Contents::default() }, 0);
    }
    let leased: Vec<Held> = std::iter::from_fn(|| queue.lease(Some(50), |_| true)).collect();
    assert_eq!(leased.len(), 2, "the third would make it 60");
    queue.push(payload(EVENTS, 1, 60), None, false);
    assert!(queue.trim(false).is_empty());
    queue.settle(&leased[0]);
    assert_eq!(queue.lease(Some(50), |_| true).and_then(|held| held.stored), None, "of the new one there is no file");
    queue.settle(&leased[1]);
    assert_eq!(queue.lease(Some(0), |_| true).and_then(|held| held.stored), Some(SpoolId(2)), "one is always read");
    assert!(queue.lease(Some(0), |_| true).is_none());
}

#[test]
fn an_end_leaves_the_disk_alone() {
    let mut queue = PayloadQueue::new(100);
    queue.restore(SpoolId(1), SERIES, Contents { payloads: 1, bytes: 1, ..Contents::default() }, 0);
    assert!(queue.lease(None, |_| true).is_none());
    assert_eq!((queue.routes(false).count(), queue.routes(true).count()), (0, 1));
}

#[test]
fn what_a_spool_held_is_older_than_what_came_before_it_was_opened() {
    let mut queue = PayloadQueue::new(100);
    queue.push(payload(EVENTS, 1, 1), None, true);
    queue.restore(SpoolId(1), EVENTS, Contents { payloads: 1, bytes: 1, ..Contents::default() }, 50);
    store(&mut queue, 2);
    assert_eq!(queue.evict().and_then(|held| held.stored), Some(SpoolId(1)));
    assert_eq!(queue.evict().and_then(|held| held.stored), Some(SpoolId(2)), "its body in memory goes too");
    assert!(queue.evict().is_none() && queue.contents().is_empty() && queue.disk_bytes() == 0);
}

#[test]
fn what_is_too_old_goes_unless_it_is_under_way() {
    let mut queue = PayloadQueue::new(100);
    for id in [10, 20, 30] {
        queue.restore(SpoolId(id), EVENTS, Contents { payloads: 1, bytes: 1, ..Contents::default() }, id as i64);
    }
    let under_way = lease(&mut queue);
    let gone = queue.expire(|since| since < 25);
    assert_eq!(gone.iter().filter_map(|held| held.stored).collect::<Vec<_>>(), [SpoolId(20)]);
    queue.put_back(under_way, true);
    assert_eq!(queue.stored().payloads, 2);
}

#[test]
fn a_disk_that_fails_leaves_all_in_memory() {
    let mut queue = PayloadQueue::new(100);
    queue.push(payload(EVENTS, 1, 4), None, true);
    queue.give_up_storing();
    assert_eq!(lease(&mut queue).payload.body[0], 1);
    push(&mut queue, 2, 4);
    queue.store(|contents| contents.events > 0);
    assert!(!queue.has_unstored());
    queue.store(|_| true);
    assert!(queue.has_unstored());
    queue.give_up_storing();
    queue.spill(0);
    assert!(queue.has_unstored(), "nothing of it counts as on its way to the disk any more");
}

#[test]
fn what_is_to_be_stored_stays_while_the_disk_can_be_used() {
    let mut queue = PayloadQueue::new(10);
    for mark in [1, 2, 3] {
        queue.push(payload(EVENTS, mark, 6), None, mark < 3);
    }
    queue.push(payload(SERIES, 4, 6), None, false);
    assert!(queue.is_over());
    assert_eq!(queue.trim(true).iter().map(|held| held.payload.body[0]).collect::<Vec<_>>(), [3], "what does not go there keeps the bound");
    assert_eq!(queue.trim(false).iter().map(|held| held.payload.body[0]).collect::<Vec<_>>(), [1, 2]);
    assert!(!queue.is_over());
}

proptest! {
    #[test]
    fn the_bound_holds_and_nothing_is_lost_uncounted(steps in proptest::collection::vec((0_u8..9, 1_usize..8), 1..80)) {
        let mut queue = PayloadQueue::new(20);
        let mut held: Vec<Held> = Vec::new();
        let mut storing: Vec<Held> = Vec::new();
        let (mut pushed, mut gone, mut next_id) = (0, 0, 0);
        for (step, size) in steps {
            match step {
                0 => held.extend(queue.lease(Some(20), |_| true)),
                1 => if let Some(one) = held.pop() { queue.settle(&one); gone += 1; },
                2 => if let Some(one) = held.pop() { queue.put_back(one, true); },
                3 => storing.extend(queue.take_unstored(8192)),
                4 => for one in storing.drain(..) {
                    next_id += 1;
                    queue.put_back_stored(one, SpoolId(next_id), 0);
                },
                5 => queue.spill(10),
                6 => gone += usize::from(queue.evict().is_some()),
                _ => {
                    pushed += 1;
                    queue.push(payload(if size % 2 == 0 { SERIES } else { EVENTS }, 0, size), None, step == 7);
                }
            }
            gone += queue.trim(true).len();
            let under_way: u64 = held.iter().chain(&storing).map(|held| held.payload.contents.bytes).sum();
            prop_assert!(queue.memory_bytes <= under_way.max(20) + queue.unstored_bytes);
            gone += queue.trim(false).len();
            prop_assert!(queue.memory_bytes <= under_way.max(20));
            prop_assert_eq!(queue.reading, held.iter().filter(|held| !held.in_memory()).count() as u64);
            prop_assert_eq!(queue.contents().payloads as usize + gone, pushed);
            prop_assert_eq!(queue.ids.len() as u64, queue.stored().payloads);
            prop_assert_eq!(queue.disk_bytes(), 4096 * queue.stored().payloads);
        }
        for one in held.into_iter().chain(storing) { queue.settle(&one); }
        while let Some(one) = { queue.give_up_storing(); queue.lease(Some(u64::MAX), |_| true) } { queue.settle(&one); }
        prop_assert!(queue.contents().is_empty() && queue.stored().is_empty() && queue.memory_bytes == 0 && queue.unstored_bytes == 0);
    }
}

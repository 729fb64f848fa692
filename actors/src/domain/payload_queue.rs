//! The waiting line of one output: payloads in memory, on the disk, or both; memory is bounded by bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::delivery::{Contents, Payload, Route};
use crate::domain::receipts::Ticket;
use crate::domain::spool_policy::{SpoolId, bytes_on_disk};

/// A payload taken out, to be sent or stored; it still counts as waiting until it is settled or put back.
#[derive(Debug)]
pub struct Held {
    /// What it is; the body is empty while it is only on the disk, see [`Self::in_memory`].
    pub payload: Payload,
    /// Its number on the disk, if it is there.
    pub stored: Option<SpoolId>,
    /// When it was stored. Units: seconds since the Unix epoch.
    pub since: i64,
    /// Where to tell what becomes of it, as long as that is not told.
    pub ticket: Option<Ticket>,
    in_memory: bool,
    /// Whether it was taken out to be stored.
    storing: bool,
    order: u64,
    attempts: u32,
}

impl Held {
    /// Whether the body is here.
    #[must_use]
    pub fn in_memory(&self) -> bool {
        self.in_memory
    }

    fn storing_bytes(&self) -> u64 {
        if self.storing { self.payload.contents.bytes } else { 0 }
    }

    /// Identifies it among all payloads of the queue; earlier ones have lower numbers.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.order
    }
}

/// Where a waiting payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In memory, and not to be sent before it is stored.
    Unstored,
    Memory,
    /// In memory and on the disk.
    Both,
    Disk,
}

fn place(held: &Held) -> Place {
    match (held.in_memory, held.stored) {
        (true, None) => Place::Memory,
        (true, Some(_)) => Place::Both,
        (false, _) => Place::Disk,
    }
}

/// Payloads that may be sent, by number of attempts, then age.
type Ready = BTreeMap<Route, BTreeSet<(u32, u64)>>;

/// Payloads that wait, in order of arrival. Memory may hold more than its bound until [`PayloadQueue::trim`] is called.
///
/// Dropping follows age. Sending follows the number of attempts, then age: a payload that a destination never accepts does not stand
/// in the way of the others. What is only on the disk and what is in memory take turns, so that neither an old backlog nor new data
/// waits for the end of the other.
pub struct PayloadQueue {
    max_bytes: u64,
    next_order: u64,
    next_restored: u64,
    entries: BTreeMap<u64, Held>,
    // One set for each `Place`.
    places: [BTreeSet<u64>; 4],
    // Per route, because one route of a destination may be broken while the others work.
    ready: Ready,
    ready_on_disk: Ready,
    disk_is_next: bool,
    ids: BTreeSet<SpoolId>,
    contents: Contents,
    stored: Contents,
    memory_bytes: u64,
    /// Payloads that were taken out and have their body on the disk only.
    reading: u64,
    /// Bytes of what is to be stored, and of what was taken out for it.
    unstored_bytes: u64,
    disk_bytes: u64,
}

/// First number for what arrives; lower ones are for what a spool held before.
const FIRST_ARRIVAL: u64 = 1 << 40;

impl PayloadQueue {
    /// An empty queue that holds at most `max_bytes` of bodies in memory.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            next_order: FIRST_ARRIVAL,
            next_restored: 0,
            entries: BTreeMap::new(),
            places: [const { BTreeSet::new() }; 4],
            ready: Ready::new(),
            ready_on_disk: Ready::new(),
            disk_is_next: false,
            ids: BTreeSet::new(),
            contents: Contents::default(),
            stored: Contents::default(),
            memory_bytes: 0,
            reading: 0,
            unstored_bytes: 0,
            disk_bytes: 0,
        }
    }

    /// Adds a payload. With `store_first` it is not sent before it was taken by [`Self::take_unstored`] and put back.
    pub fn push(&mut self, payload: Payload, ticket: Option<Ticket>, store_first: bool) {
        let order = self.next_order;
        self.next_order += 1;
        self.contents += payload.contents;
        self.memory_bytes += payload.contents.bytes;
        let held = Held { payload, stored: None, since: 0, ticket, in_memory: true, storing: false, order, attempts: 0 };
        self.insert(held, if store_first { Place::Unstored } else { Place::Memory });
    }

    /// Adds what a spool held when it was opened, oldest first; it is older than everything that arrives.
    pub fn restore(&mut self, id: SpoolId, route: Route, contents: Contents, since: i64) {
        let order = self.next_restored;
        self.next_restored += 1;
        self.contents += contents;
        self.note_stored(id, &contents);
        let payload = Payload { route, body: Vec::new(), contents };
        let held = Held { payload, stored: Some(id), since, ticket: None, in_memory: false, storing: false, order, attempts: 0 };
        self.insert(held, Place::Disk);
    }

    /// Takes the next payload whose route is open. From the disk one is always taken while no other is being read, and more as long as
    /// memory holds no more than `read_until` bytes with it; `None` = nothing is taken from there.
    pub fn lease(&mut self, read_until: Option<u64>, mut open: impl FnMut(&Route) -> bool) -> Option<Held> {
        let mut first = |ready: &Ready| {
            let candidates = ready.iter().filter(|(route, _)| open(route)).filter_map(|(_, orders)| orders.first().copied());
            candidates.min().map(|(_, order)| order)
        };
        let in_memory = first(&self.ready);
        let on_disk = read_until.and_then(|limit| first(&self.ready_on_disk).filter(|order| self.may_read(*order, limit)));
        let order = match (in_memory, on_disk) {
            (Some(in_memory), Some(on_disk)) => {
                self.disk_is_next = !self.disk_is_next;
                if self.disk_is_next { on_disk } else { in_memory }
            }
            (one, other) => one.or(other)?,
        };
        let held = self.remove(order)?;
        if !held.in_memory {
            // Its body is about to be read.
            self.reading += 1;
            self.memory_bytes += held.payload.contents.bytes;
        }
        Some(held)
    }

    fn may_read(&self, order: u64, limit: u64) -> bool {
        let bytes = self.entries.get(&order).map_or(0, |held| held.payload.contents.bytes);
        self.reading == 0 || self.memory_bytes + bytes <= limit
    }

    /// Ends a payload that was taken out: it was sent or dropped.
    pub fn settle(&mut self, held: &Held) {
        self.memory_bytes -= held.payload.contents.bytes;
        self.reading -= u64::from(!held.in_memory);
        self.unstored_bytes -= held.storing_bytes();
        self.forget(held);
    }

    /// Puts a payload back, at its old age. `tried` counts an attempt.
    pub fn put_back(&mut self, mut held: Held, tried: bool) {
        held.attempts = held.attempts.saturating_add(u32::from(tried));
        if !held.in_memory {
            self.reading -= 1;
            self.memory_bytes -= held.payload.contents.bytes;
        }
        self.unstored_bytes -= held.storing_bytes();
        held.storing = false;
        let place = place(&held);
        self.insert(held, place);
    }

    /// Puts a payload back that is on the disk now.
    pub fn put_back_stored(&mut self, mut held: Held, id: SpoolId, since: i64) {
        self.note_stored(id, &held.payload.contents);
        held.stored = Some(id);
        held.since = since;
        self.put_back(held, false);
    }

    /// What the files of the next group take, see [`Self::take_unstored`]. Units: bytes; 0 = there is none.
    #[must_use]
    pub fn group_bytes(&self, at_most: u64) -> u64 {
        self.group(at_most).map(|(_, bytes)| bytes).sum()
    }

    /// Takes what is to be stored, oldest first: one payload, and more while their files take `at_most` bytes.
    pub fn take_unstored(&mut self, at_most: u64) -> Vec<Held> {
        let group: Vec<u64> = self.group(at_most).map(|(order, _)| order).collect();
        let mut taken: Vec<Held> = group.into_iter().filter_map(|order| self.remove(order)).collect();
        for held in &mut taken {
            held.storing = true;
            self.unstored_bytes += held.storing_bytes();
        }
        taken
    }

    fn group(&self, at_most: u64) -> impl Iterator<Item = (u64, u64)> {
        let sizes = self.places[Place::Unstored as usize].iter().filter_map(|order| {
            let held = self.entries.get(order)?;
            Some((*order, bytes_on_disk(held.payload.contents.bytes)))
        });
        sizes.scan(0_u64, move |total, (order, bytes)| {
            let first = *total == 0;
            *total = total.saturating_add(bytes);
            (first || *total <= at_most).then_some((order, bytes))
        })
    }

    /// Whether something is to be stored.
    #[must_use]
    pub fn has_unstored(&self) -> bool {
        !self.places[Place::Unstored as usize].is_empty()
    }

    /// Chooses what is to be stored of what is only in memory.
    pub fn store(&mut self, mut which: impl FnMut(&Contents) -> bool) {
        for order in self.places[Place::Memory as usize].clone() {
            if self.entries.get(&order).is_some_and(|held| which(&held.payload.contents)) {
                self.change_place(order, Place::Unstored);
            }
        }
    }

    /// Lets what was to be stored be sent without.
    pub fn give_up_storing(&mut self) {
        for order in self.places[Place::Unstored as usize].clone() {
            self.change_place(order, Place::Memory);
        }
    }

    /// Makes room in memory until it holds `goal` bytes: forgets bodies that are on the disk too, oldest first, then chooses the
    /// oldest others to be stored.
    pub fn spill(&mut self, goal: u64) {
        while self.memory_bytes > goal && self.forget_a_body() {}
        while self.memory_bytes - self.unstored_bytes > goal {
            let Some(oldest) = self.places[Place::Memory as usize].first().copied() else { break };
            self.change_place(oldest, Place::Unstored);
        }
    }

    /// Whether memory holds more than it may.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.memory_bytes > self.max_bytes
    }

    /// Makes room in memory until it holds what it may, and returns what had to go, oldest first.
    ///
    /// With `storing`, what is to be stored or just being stored neither goes nor counts: it is in memory only until the disk has it.
    pub fn trim(&mut self, storing: bool) -> Vec<Held> {
        while self.is_over() && self.forget_a_body() {}
        let may_go: &[Place] = if storing { &[Place::Memory] } else { &[Place::Unstored, Place::Memory] };
        let max_bytes = self.max_bytes + if storing { self.unstored_bytes } else { 0 };
        let mut dropped = Vec::new();
        while self.memory_bytes > max_bytes {
            let oldest = may_go.iter().filter_map(|place| self.places[*place as usize].first().copied()).min();
            let Some(gone) = oldest.and_then(|oldest| self.drop_entry(oldest)) else { break };
            dropped.push(gone);
        }
        dropped
    }

    /// Takes the oldest payload off the disk, and out of memory if it is there too.
    pub fn evict(&mut self) -> Option<Held> {
        let on_disk = [Place::Both, Place::Disk].map(|place| self.places[place as usize].first().copied());
        let oldest = on_disk.into_iter().flatten().min()?;
        self.drop_entry(oldest)
    }

    /// Takes out what is on the disk for longer than `too_old` allows, given the time since when.
    pub fn expire(&mut self, too_old: impl Fn(i64) -> bool) -> Vec<Held> {
        let on_disk = [Place::Both, Place::Disk].into_iter().flat_map(|place| self.places[place as usize].iter().copied());
        let old: Vec<u64> = on_disk.filter(|order| self.entries.get(order).is_some_and(|held| too_old(held.since))).collect();
        old.into_iter().filter_map(|order| self.drop_entry(order)).collect()
    }

    /// What waits, what is taken out included.
    #[must_use]
    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// The part of it that is on the disk.
    #[must_use]
    pub fn stored(&self) -> Contents {
        self.stored
    }

    /// What its files take on the disk, roughly. Units: bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether this payload of the disk waits here or is taken out.
    #[must_use]
    pub fn knows(&self, id: SpoolId) -> bool {
        self.ids.contains(&id)
    }

    /// Routes of the payloads that may be sent; of those on the disk only if `disk` says so.
    pub fn routes(&self, disk: bool) -> impl Iterator<Item = &Route> {
        self.ready.keys().chain(self.ready_on_disk.keys().filter(move |_| disk))
    }

    fn insert(&mut self, held: Held, place: Place) {
        let (order, attempts, route) = (held.order, held.attempts, held.payload.route);
        self.places[place as usize].insert(order);
        match place {
            Place::Unstored => self.unstored_bytes += held.payload.contents.bytes,
            Place::Memory | Place::Both => {
                self.ready.entry(route).or_default().insert((attempts, order));
            }
            Place::Disk => {
                self.ready_on_disk.entry(route).or_default().insert((attempts, order));
            }
        }
        self.entries.insert(order, held);
    }

    fn remove(&mut self, order: u64) -> Option<Held> {
        let held = self.entries.remove(&order)?;
        for place in [Place::Memory, Place::Both, Place::Disk] {
            self.places[place as usize].remove(&order);
        }
        if self.places[Place::Unstored as usize].remove(&order) {
            self.unstored_bytes -= held.payload.contents.bytes;
        }
        for ready in [&mut self.ready, &mut self.ready_on_disk] {
            if let Some(orders) = ready.get_mut(&held.payload.route) {
                orders.remove(&(held.attempts, order));
                if orders.is_empty() {
                    ready.remove(&held.payload.route);
                }
            }
        }
        Some(held)
    }

    fn change_place(&mut self, order: u64, place: Place) {
        if let Some(held) = self.remove(order) {
            self.insert(held, place);
        }
    }

    /// Removes a waiting payload for good.
    fn drop_entry(&mut self, order: u64) -> Option<Held> {
        let held = self.remove(order)?;
        if held.in_memory {
            self.memory_bytes -= held.payload.contents.bytes;
        }
        self.forget(&held);
        Some(held)
    }

    fn note_stored(&mut self, id: SpoolId, contents: &Contents) {
        self.ids.insert(id);
        self.stored += *contents;
        self.disk_bytes += bytes_on_disk(contents.bytes);
    }

    fn forget(&mut self, held: &Held) {
        let contents = held.payload.contents;
        self.contents = self.contents - contents;
        if let Some(id) = held.stored {
            self.ids.remove(&id);
            self.stored = self.stored - contents;
            self.disk_bytes -= bytes_on_disk(contents.bytes);
        }
    }

    /// Forgets the oldest body that is on the disk too.
    fn forget_a_body(&mut self) -> bool {
        let oldest = self.places[Place::Both as usize].first().copied();
        let Some(mut held) = oldest.and_then(|oldest| self.remove(oldest)) else { return false };
        held.payload.body = Vec::new();
        held.in_memory = false;
        self.memory_bytes -= held.payload.contents.bytes;
        self.insert(held, Place::Disk);
        true
    }
}

#[cfg(test)]
mod tests;

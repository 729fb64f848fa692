//! The disk of an output: what goes there, what comes back, what is given up.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use tracing::{error, info, warn};

use super::stages::{Disk, Stage};
use super::{Output, is_one_loud};
use crate::domain::delivery::{Contents, DropReason, Fate};
use crate::ports::{SpoolListing, Spooled, StoreError, StoredGroup};

/// Time between two looks at a disk that failed, and at the age of what lies there.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Bytes of files that are written at once, unless a single one is larger. Why: the bodies exist twice while they are written.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;

impl Output {
    /// Reads the spool for the first time, and looks after it from then on.
    pub(super) fn open_spool(&mut self, context: &mut Context<Self>) {
        if self.spool.disk == Disk::Absent {
            return;
        }
        self.read_spool(context);
        context.run_interval(LOOK_INTERVAL, |output, context| {
            if matches!(output.stage, Stage::Closed(_)) {
                return;
            }
            output.spool.to_remove.append(&mut output.spool.left);
            match output.spool.disk {
                Disk::Failing => output.read_spool(context),
                Disk::Working => {
                    output.expire();
                    // There may have been no room for them.
                    output.queue.store(|contents| contents.events > 0);
                }
                Disk::Absent | Disk::Opening => {}
            }
            output.go_on(context);
        });
    }

    fn read_spool(&mut self, context: &mut Context<Self>) {
        let Some(spool) = self.parts.spool.clone() else { return };
        self.spool.disk = Disk::Opening;
        context.spawn(spool.open().into_actor(self).map(|opened, output, context| {
            match opened {
                Ok(listing) => output.take_listing(listing),
                Err(error) => output.lose_disk(&error),
            }
            output.go_on(context);
        }));
    }

    fn take_listing(&mut self, listing: SpoolListing) {
        if matches!(self.stage, Stage::Closed(_)) {
            // All of it is for the next life.
            return;
        }
        self.spool.disk = Disk::Working;
        self.spool.space = listing.disk;
        let destination = &self.stats.destination;
        if listing.unfinished > 0 {
            info!(%destination, files = listing.unfinished, "files that nobody was told of were left unfinished, and are removed");
        }
        if listing.damaged > 0 {
            error!(%destination, files = listing.damaged, "damaged files of the spool removed");
            self.stats.count_dropped(DropReason::Damaged, Contents { payloads: listing.damaged, ..Contents::default() });
        }
        self.restore(listing.payloads);
        self.expire();
        self.queue.store(|contents| contents.events > 0);
    }

    fn restore(&mut self, payloads: Vec<Spooled>) {
        let first_time = !std::mem::replace(&mut self.spool.read, true);
        let (mut restored, mut foreign) = (Contents::default(), BTreeSet::new());
        for payload in payloads {
            let Some(route) = self.parts.transport.route(&payload.route) else {
                // It waits for the program that stored it, as files of a newer format do.
                foreign.insert(payload.route);
                continue;
            };
            if first_time {
                restored += payload.contents;
                self.queue.restore(payload.id, route, payload.contents, payload.since);
            } else if !self.queue.knows(payload.id) {
                // It was sent or given up, and could not be removed then.
                self.spool.to_remove.push(payload.id);
            }
        }
        if !first_time {
            return;
        }
        self.spool.not_read = Contents::default();
        let destination = &self.stats.destination;
        if !foreign.is_empty() {
            warn!(%destination, routes = ?foreign, "payloads of routes that this program does not know stay on the disk");
        }
        if !restored.is_empty() {
            let (payloads, events) = (restored.payloads, restored.events);
            info!(%destination, payloads, events, bytes = restored.bytes, "sending again what is on the disk");
        }
    }

    /// Goes on in memory.
    pub(super) fn lose_disk(&mut self, error: &StoreError) {
        self.spool.disk = Disk::Failing;
        self.say_memory_only(&format!("{error}: {}", error.source));
        self.go_on_in_memory();
    }

    fn say_memory_only(&mut self, reason: &str) {
        if !self.spool.warned {
            self.spool.warned = true;
            let destination = &self.stats.destination;
            warn!(%destination, reason, "spool cannot be used, keeping payloads in memory until it can");
        }
    }

    fn go_on_in_memory(&mut self) {
        for held in std::mem::take(&mut self.spool.storing) {
            self.queue.put_back(held, false);
        }
        self.queue.give_up_storing();
        if !self.parts.primary {
            // Wherever in here their batches are.
            for receipt in self.receipts.take_all() {
                receipt.settle(Fate::Safe);
            }
        }
        self.trim(false);
    }

    /// Stores what has to be stored, one group at a time.
    pub(super) fn store_next(&mut self, context: &mut Context<Self>) {
        let busy = !self.spool.storing.is_empty();
        if self.spool.disk != Disk::Working || busy || matches!(self.stage, Stage::Closed(_)) {
            return;
        }
        let Some(spool) = self.parts.spool.clone() else { return };
        let most = GROUP_BYTES.min(self.limit());
        let needed = self.queue.group_bytes(most);
        if needed == 0 {
            return;
        }
        if !self.make_room(needed) {
            self.say_memory_only("no room: what it may take, or how full its disk may be (forwarder_storage_max_disk_ratio), leaves none");
            self.go_on_in_memory();
            return;
        }
        if !self.has_room(needed) {
            // There is when what is given up is removed, and not before.
            self.remove_next(context);
            return;
        }
        self.spool.storing = self.queue.take_unstored(most);
        self.spool.group += 1;
        let payloads = self.spool.storing.iter().map(|held| held.payload.clone()).collect();
        let (group, since) = (self.spool.group, self.parts.clock.unix_seconds());
        context.spawn(spool.store(payloads, since).into_actor(self).map(move |stored, output, context| {
            let current = output.spool.group == group && !output.spool.storing.is_empty();
            match stored {
                Ok(stored) if current => output.note_stored(stored, since),
                // They went on in memory, or a drain ended. In the second case the next life sends them.
                Ok(stored) if matches!(output.stage, Stage::Open) => output.spool.to_remove.extend(stored.ids),
                Ok(_) => {}
                Err(error) => output.lose_disk(&error),
            }
            output.go_on(context);
        }));
    }

    /// Gives up what is oldest on the disk until the files of `needed` bytes have room.
    fn make_room(&mut self, needed: u64) -> bool {
        let limit = self.limit();
        if needed > limit {
            return false;
        }
        let mut evicted = Vec::new();
        while self.queue.disk_bytes() + needed > limit {
            let Some(oldest) = self.queue.evict() else { break };
            evicted.push(oldest);
        }
        if !evicted.is_empty() {
            let contents = self.count_gone(evicted, DropReason::SpoolFull);
            self.say_given_up(contents, DropReason::SpoolFull);
        }
        self.queue.disk_bytes() + needed <= limit
    }

    /// Whether they have room beside what is not removed yet.
    fn has_room(&self, needed: u64) -> bool {
        self.queue.disk_bytes() + self.spool.doomed() + needed <= self.limit()
    }

    fn limit(&self) -> u64 {
        self.parts.policy.spool.limit(self.queue.disk_bytes() + self.spool.doomed(), self.spool.space)
    }

    fn expire(&mut self) {
        let (policy, now) = (self.parts.policy.spool, self.parts.clock.unix_seconds());
        let old = self.queue.expire(|since| policy.is_too_old(since, now));
        if !old.is_empty() {
            let contents = self.count_gone(old, DropReason::TooOld);
            self.say_given_up(contents, DropReason::TooOld);
        }
    }

    fn say_given_up(&self, contents: Contents, reason: DropReason) {
        let total = self.stats.dropped.get(&reason).copied().unwrap_or_default();
        if is_one_loud(total.payloads, contents.payloads) {
            let (destination, reason) = (&self.stats.destination, reason.as_str());
            error!(%destination, reason, dropped = ?total, "payloads on the disk given up");
        }
    }

    fn note_stored(&mut self, stored: StoredGroup, since: i64) {
        self.spool.space = stored.disk;
        if self.spool.warned {
            info!(destination = self.stats.destination, "spool can be used again");
            self.spool.warned = false;
        }
        let group = std::mem::take(&mut self.spool.storing);
        for (mut held, id) in group.into_iter().zip(stored.ids) {
            let ticket = held.ticket.take();
            self.queue.put_back_stored(held, id, since);
            self.tell(ticket, Fate::Safe);
        }
    }

    /// Removes from the disk what is not needed any more.
    pub(super) fn remove_next(&mut self, context: &mut Context<Self>) {
        if self.spool.removing || self.spool.to_remove.is_empty() {
            return;
        }
        let Some(spool) = self.parts.spool.clone() else { return };
        let ids = std::mem::take(&mut self.spool.to_remove);
        self.spool.freeing = std::mem::take(&mut self.spool.to_free);
        self.spool.removing = true;
        context.spawn(spool.remove(ids).into_actor(self).map(move |left, output, context| {
            output.spool.removing = false;
            let freed = std::mem::take(&mut output.spool.freeing);
            output.spool.left.extend(left);
            if let Some(space) = &mut output.spool.space {
                space.available = space.available.saturating_add(freed);
            }
            output.go_on(context);
        }));
    }
}

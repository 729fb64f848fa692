//! Heartbeats of known agents on their way to `Membership`: collected for a moment, then posted together.
//!
//! Why: waking the actor's thread for every poll costs as much as answering the poll (docs/BENCHMARKS.md). Liveness is judged in
//! seconds, so a tenth of one is no loss.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_actors::kernel::mailbox::Outlet;
use muster_actors::messages::membership::{Heartbeat, Heartbeats};

/// How long the first heartbeat of a batch waits for others in a server.
pub const GATHER: Duration = Duration::from_millis(50);

/// Heartbeats that are posted at once, without waiting for the time.
///
/// Why: bounds memory and the time one message takes.
const FULL: usize = 256;

/// Gathers heartbeats of all HTTP threads.
#[derive(Debug)]
pub struct HeartbeatGatherer {
    membership: Outlet<Heartbeats>,
    gather: Duration,
    waiting: Mutex<Vec<Heartbeat>>,
}

impl HeartbeatGatherer {
    /// A gatherer for `Membership` that waits `gather` for company; zero = every heartbeat is posted at once.
    pub fn new(membership: Outlet<Heartbeats>, gather: Duration) -> Self {
        Self { membership, gather, waiting: Mutex::default() }
    }

    /// Passes a heartbeat on. Must be called on a thread with an actix system.
    pub fn take(self: &Arc<Self>, beat: Heartbeat) {
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(beat);
            waiting.len()
        };
        if waiting >= FULL || self.gather.is_zero() {
            self.post();
        } else if waiting == 1 {
            let batch = Batch(Arc::clone(self));
            actix_rt::spawn(async move {
                tokio::time::sleep(batch.0.gather).await;
                drop(batch);
            });
        }
    }

    fn post(&self) {
        let beats = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !beats.is_empty() {
            self.membership.post(Heartbeats { beats });
        }
    }
}

/// Posts what waits when it goes.
///
/// Why: the thread that gathers may end before its time is over; what it holds must not wait for 255 more heartbeats.
struct Batch(Arc<HeartbeatGatherer>);

impl Drop for Batch {
    fn drop(&mut self) {
        self.0.post();
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::ids::NodeName;
    use muster_actors::domain::node::CheckCompatibility;
    use muster_actors::domain::world::NodeKind;
    use muster_actors::kernel::universe;

    use super::*;

    fn beat(number: usize) -> Heartbeat {
        Heartbeat {
            node: NodeName::from(format!("n{number}")),
            address: None,
            kind: NodeKind::Runner,
            compatibility: CheckCompatibility::default(),
            honours_grants: false,
            last_change: 0,
        }
    }

    #[test]
    fn heartbeats_of_a_moment_arrive_together_and_none_is_kept() {
        universe::run(1, |universe| async move {
            let (outlet, posted) = universe.recorder::<Heartbeats>("membership");
            let gatherer = Arc::new(HeartbeatGatherer::new(outlet, GATHER));
            (0..3).for_each(|number| gatherer.take(beat(number)));
            universe.settle().await;
            assert!(posted.take().is_empty());
            universe.advance(GATHER).await;
            universe.settle().await;
            assert_eq!(posted.take().iter().map(|batch| batch.beats.len()).collect::<Vec<_>>(), [3]);
            gatherer.take(beat(9));
            universe.advance(GATHER).await;
            universe.settle().await;
            assert_eq!(posted.take().len(), 1, "the next one starts a batch of its own");
        });
    }

    #[test]
    fn a_thread_that_ends_while_it_gathers_leaves_nothing_behind() {
        universe::run(3, |universe| async move {
            let (outlet, posted) = universe.recorder::<Heartbeats>("membership");
            let gatherer = Arc::new(HeartbeatGatherer::new(outlet, GATHER));
            let gathering = Arc::clone(&gatherer);
            let thread = std::thread::spawn(move || actix_rt::Runtime::new().unwrap().block_on(async { gathering.take(beat(1)) }));
            thread.join().unwrap();
            universe.settle().await;
            assert_eq!(posted.take().len(), 1);
        });
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        universe::run(2, |universe| async move {
            let (outlet, posted) = universe.recorder::<Heartbeats>("membership");
            let gatherer = Arc::new(HeartbeatGatherer::new(outlet, GATHER));
            (0..FULL).for_each(|number| gatherer.take(beat(number)));
            universe.settle().await;
            assert_eq!(posted.take().iter().map(|batch| batch.beats.len()).collect::<Vec<_>>(), [FULL]);
        });
    }
}

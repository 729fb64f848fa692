//! The clocks of one machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::kernel::clock::Clock;

/// By how much the wall clock of a machine is wrong. Survives the processes on it; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct WallError(Arc<AtomicI64>);

impl WallError {
    pub(super) fn step(&self, nanos: i64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    fn nanos(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The clocks as one process sees them: monotonic time begins with the process, so it cannot be compared with that of another one.
pub(super) struct ProcessClock {
    truth: Arc<dyn Clock>,
    started: Duration,
    wall: WallError,
}

impl ProcessClock {
    pub(super) fn start(truth: Arc<dyn Clock>, wall: WallError) -> Self {
        Self { started: truth.monotonic(), truth, wall }
    }
}

impl Clock for ProcessClock {
    fn monotonic(&self) -> Duration {
        self.truth.monotonic().saturating_sub(self.started)
    }

    fn unix_nanos(&self) -> i64 {
        self.truth.unix_nanos().saturating_add(self.wall.nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::universe;

    #[test]
    fn monotonic_time_begins_with_the_process_and_does_not_feel_steps() {
        universe::run(1, |universe| async move {
            universe.advance(Duration::from_secs(5)).await;
            let wall = WallError::default();
            let clock = ProcessClock::start(universe.clock(), wall.clone());
            universe.advance(Duration::from_secs(2)).await;
            let before = clock.unix_nanos();
            wall.step(-3);
            assert_eq!((clock.monotonic(), clock.unix_nanos()), (Duration::from_secs(2), before - 3));
        });
    }
}

//! Time as a port: the only place that reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Source of time for actors.
///
/// Why: rules and actors that take time from here can run on paused time.
pub trait Clock: Send + Sync {
    /// Time since an arbitrary fixed start; never goes back, not affected by clock steps. It goes on while the machine sleeps, which
    /// timers do not: one that was set before fires late, so whatever must end in time is asked for with this clock.
    fn monotonic(&self) -> Duration;

    /// Nanoseconds since the Unix epoch; may jump.
    fn unix_nanos(&self) -> i64;

    /// Whole seconds since the Unix epoch, rounded down.
    fn unix_seconds(&self) -> i64 {
        self.unix_nanos().div_euclid(1_000_000_000)
    }
}

/// The clock that also counts the time in which the machine sleeps or its virtual machine is suspended.
///
/// Why: others count it too. A leader that slept through its lease must know that as soon as it wakes up, and by the usual clock of
/// Linux (`CLOCK_MONOTONIC`) its lease would still have what it had left. On macOS `CLOCK_MONOTONIC` counts sleep.
#[cfg(target_os = "linux")]
const UNINTERRUPTED: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const UNINTERRUPTED: ClockId = ClockId::Monotonic;

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Duration,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: uninterrupted() }
    }

    /// The same as a shared port.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

/// Time since the machine started, sleep included.
fn uninterrupted() -> Duration {
    let time = clock_gettime(UNINTERRUPTED);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        uninterrupted().saturating_sub(self.start)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn unix_nanos(&self) -> i64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Time of a paused tokio runtime plus a wall-clock offset that tests may step.
///
/// Monotonic time follows tokio's (virtual) time, so timers and clock agree.
#[derive(Debug)]
pub struct VirtualClock {
    start: tokio::time::Instant,
    wall_offset_nanos: AtomicI64,
}

impl VirtualClock {
    /// Wall time at the start of every virtual clock: 2023-11-14 22:13:20 UTC.
    pub const START_UNIX_SECONDS: i64 = 1_700_000_000;

    /// Starts at [`Self::START_UNIX_SECONDS`]; must be called inside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now(), wall_offset_nanos: AtomicI64::new(Self::START_UNIX_SECONDS * 1_000_000_000) }
    }

    /// Steps the wall clock, forward or back; monotonic time is not affected.
    pub fn step_wall(&self, by_nanos: i64) {
        self.wall_offset_nanos.fetch_add(by_nanos, Ordering::Relaxed);
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_nanos(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.wall_offset_nanos.load(Ordering::Relaxed).saturating_add(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_as_it_does_for_the_machine_including_its_sleep() {
        let clock = SystemClock { start: Duration::ZERO };
        let (before, between, after) = (clock.monotonic(), uninterrupted(), clock.monotonic());
        assert!(before <= between && between <= after);
        let since_it_started = std::fs::read_to_string("/proc/uptime").ok();
        if let Some(seconds) = since_it_started.as_deref().and_then(|text| text.split('.').next()?.parse::<u64>().ok()) {
            // Counts sleep as well.
            assert!(before.as_secs() <= seconds + 1 && seconds <= clock.monotonic().as_secs() + 1);
        }
        assert!(SystemClock::new().monotonic() < after);
    }
}

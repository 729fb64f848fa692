//! Time as a port: the only place that reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Source of time for actors.
///
/// Why: rules and actors that take time from here can run on paused time.
pub trait Clock: Send + Sync {
    /// Time since an arbitrary fixed start; never goes back, not affected by clock steps.
    fn monotonic(&self) -> Duration;

    /// Nanoseconds since the Unix epoch; may jump.
    fn unix_nanos(&self) -> i64;

    /// Whole seconds since the Unix epoch, rounded down.
    fn unix_seconds(&self) -> i64 {
        self.unix_nanos().div_euclid(1_000_000_000)
    }
}

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// The same as a shared port.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
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

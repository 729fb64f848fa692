//! How many workers a node has, and how busy they are. Source: node-runner 6.5.

use std::time::Duration;

/// Weight of the newest window in the smoothed utilization.
const SMOOTHING: f64 = 0.25;

/// Time between two measurements of the workers.
///
/// Source: node-runner 6.5.
pub const UTILIZATION_WINDOW: Duration = Duration::from_secs(15);

/// Number of workers for a number of scheduled checks when `check_runners` is 0.
#[must_use]
pub fn dynamic_workers(checks: usize) -> usize {
    match checks {
        0..=10 => 4,
        11..=15 => 10,
        16..=20 => 15,
        21..=25 => 20,
        _ => 25,
    }
}

/// Busy fraction of the workers, smoothed over windows.
#[derive(Debug, Clone, Default)]
pub struct BusyMeter {
    running: u32,
    /// Sum of run time in this window.
    busy: Duration,
    counted_until: Duration,
    window_start: Duration,
    smoothed: f64,
}

impl BusyMeter {
    /// Starts measuring at a monotonic time.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { counted_until: now, window_start: now, ..Self::default() }
    }

    /// A run starts.
    pub fn start(&mut self, now: Duration) {
        self.count_until(now);
        self.running += 1;
    }

    /// A run ends.
    pub fn end(&mut self, now: Duration) {
        self.count_until(now);
        self.running = self.running.saturating_sub(1);
    }

    /// Closes the window and returns the smoothed busy fraction of `workers` workers, 0 to 1.
    pub fn close_window(&mut self, now: Duration, workers: usize) -> f64 {
        self.count_until(now);
        let capacity = now.saturating_sub(self.window_start).as_secs_f64() * workers as f64;
        if capacity > 0.0 {
            let fraction = (self.busy.as_secs_f64() / capacity).min(1.0);
            self.smoothed = (SMOOTHING * fraction + (1.0 - SMOOTHING) * self.smoothed).clamp(0.0, 1.0);
        }
        (self.busy, self.window_start) = (Duration::ZERO, now);
        self.smoothed
    }

    fn count_until(&mut self, now: Duration) {
        self.busy += now.saturating_sub(self.counted_until) * self.running;
        self.counted_until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nr_t7_dynamic_workers_follow_the_number_of_checks() {
        let workers: Vec<usize> = [10, 11, 16, 21, 26].into_iter().map(dynamic_workers).collect();
        assert_eq!(workers, [4, 10, 15, 20, 25]);
    }

    #[test]
    fn utilization_is_smoothed_and_counts_runs_that_go_on() {
        let mut meter = BusyMeter::new(Duration::ZERO);
        meter.start(Duration::ZERO);
        meter.start(Duration::from_secs(5));
        meter.end(Duration::from_secs(10));
        // 15 s of one run and 5 s of another, on two workers.
        let fraction = meter.close_window(Duration::from_secs(15), 2);
        assert!((fraction - 0.25 * 20.0 / 30.0).abs() < 1e-9);
        let next = meter.close_window(Duration::from_secs(30), 2);
        assert!((next - (0.25 * 0.5 + 0.75 * fraction)).abs() < 1e-9);
    }

    #[test]
    fn utilization_stays_between_0_and_1_with_more_runs_than_workers() {
        let mut meter = BusyMeter::new(Duration::ZERO);
        for _ in 0..64 {
            meter.start(Duration::ZERO);
        }
        for window in 1..100 {
            let utilization = meter.close_window(Duration::from_secs(window * 15), 4);
            assert!((0.0..=1.0).contains(&utilization));
        }
    }
}

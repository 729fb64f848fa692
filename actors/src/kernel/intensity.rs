//! How many restarts are tolerated before a group's parent is asked for help. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// What a failed group does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Restart within the group.
    Restart,
    /// Too many restarts: the parent decides.
    Escalate,
}

/// Counts restarts in a sliding window.
///
/// Why: a restart repairs a rare fault; a fault that comes back at once needs more than the same restart again.
#[derive(Debug, Clone)]
pub struct RestartIntensity {
    max: usize,
    window: Duration,
    recent: VecDeque<Duration>,
}

impl RestartIntensity {
    /// Restarts tolerated per [`Self::DEFAULT_WINDOW`]; the next one escalates.
    ///
    /// Source: style 4.7.
    pub const DEFAULT_MAX: usize = 5;

    /// Window over which restarts are counted. Source: style 4.7.
    pub const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

    /// Tolerates `max` restarts in any stretch of `window`.
    #[must_use]
    pub fn new(max: usize, window: Duration) -> Self {
        Self { max, window, recent: VecDeque::new() }
    }

    /// Counts a failure at `now` (monotonic time). A restart exactly `window` ago no longer counts.
    pub fn record(&mut self, now: Duration) -> Verdict {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= self.window) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.max {
            return Verdict::Escalate;
        }
        self.recent.push_back(now);
        Verdict::Restart
    }

    /// Forgets all restarts; used after the parent restarted the group as a whole.
    pub fn clear(&mut self) {
        self.recent.clear();
    }
}

impl Default for RestartIntensity {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX, Self::DEFAULT_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn by_default_the_sixth_failure_within_sixty_seconds_escalates() {
        let mut intensity = RestartIntensity::default();
        for at in 0..5 {
            assert_eq!(intensity.record(second(at)), Verdict::Restart);
        }
        assert_eq!(intensity.record(second(59)), Verdict::Escalate);
    }

    #[test]
    fn a_failure_a_whole_window_ago_no_longer_counts() {
        let mut intensity = RestartIntensity::new(1, second(10));
        assert_eq!(intensity.record(second(0)), Verdict::Restart);
        assert_eq!(intensity.record(Duration::from_millis(9_999)), Verdict::Escalate);
        assert_eq!(intensity.record(second(10)), Verdict::Restart);
    }

    #[test]
    fn zero_tolerated_restarts_escalate_at_once() {
        assert_eq!(RestartIntensity::new(0, second(60)).record(second(0)), Verdict::Escalate);
    }

    #[test]
    fn after_clear_the_count_starts_again() {
        let mut intensity = RestartIntensity::new(1, second(60));
        assert_eq!(intensity.record(second(1)), Verdict::Restart);
        intensity.clear();
        assert_eq!(intensity.record(second(2)), Verdict::Restart);
    }
}

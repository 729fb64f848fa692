//! How long a destination is left alone after errors.

use std::time::Duration;

/// The numbers of the backoff.
///
/// Source: node-runner 14.1, cluster-agent-kubernetes 6.4 (`forwarder_backoff_*`, `forwarder_recovery_*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffPolicy {
    /// Delay unit; the first error waits up to twice this.
    pub base: Duration,
    /// Width of the random interval: from `t / factor` to `t`. At least 1.
    pub factor: f64,
    /// Longest delay.
    pub max: Duration,
    /// By how much a success lowers the number of errors.
    pub recovery_interval: u32,
    /// Whether a success forgets all errors.
    pub recovery_reset: bool,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), factor: 2.0, max: Duration::from_secs(64), recovery_interval: 2, recovery_reset: false }
    }
}

impl BackoffPolicy {
    /// Number of errors from which on the delay is [`Self::max`].
    ///
    /// Why: counting further would only make recovery slower.
    #[must_use]
    pub fn max_errors(&self) -> u32 {
        let ratio = self.max.as_secs_f64() / self.base.as_secs_f64();
        if ratio.is_finite() && ratio >= 1.0 { ratio.log2().floor() as u32 + 1 } else { 1 }
    }

    /// Delay after `errors` errors in a row.
    ///
    /// `unit` is a random number in `[0, 1)`.
    #[must_use]
    pub fn delay(&self, errors: u32, unit: f64) -> Duration {
        if errors == 0 {
            return Duration::ZERO;
        }
        let longest = self.base.as_secs_f64() * 2_f64.powi(errors.min(64) as i32);
        if longest > self.max.as_secs_f64() {
            return self.max;
        }
        let shortest = longest / self.factor.max(1.0);
        Duration::from_secs_f64(shortest + unit.clamp(0.0, 1.0) * (longest - shortest))
    }
}

/// Number of errors of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    errors: u32,
}

impl Backoff {
    /// Counts an error and says how long to wait from now.
    pub fn failed(&mut self, policy: &BackoffPolicy, unit: f64) -> Duration {
        self.errors = (self.errors + 1).min(policy.max_errors());
        policy.delay(self.errors, unit)
    }

    /// Counts a success.
    pub fn succeeded(&mut self, policy: &BackoffPolicy) {
        self.errors = if policy.recovery_reset { 0 } else { self.errors.saturating_sub(policy.recovery_interval) };
    }

    /// Errors counted.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_f5_delays_double_up_to_64_seconds() {
        let policy = BackoffPolicy::default();
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        let expected = [(2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 64), (64, 64)];
        for (shortest, longest) in expected {
            assert_eq!(low.failed(&policy, 0.0), Duration::from_secs(shortest));
            assert_eq!(high.failed(&policy, 1.0), Duration::from_secs(longest));
        }
    }

    #[test]
    fn ca_f6_a_success_takes_two_of_six_errors_away() {
        let policy = BackoffPolicy::default();
        let mut backoff = Backoff::default();
        for _ in 0..9 {
            backoff.failed(&policy, 0.5);
        }
        assert_eq!(backoff.errors(), 6, "the count stops at floor(log2(64/2)) + 1");
        backoff.succeeded(&policy);
        assert_eq!(backoff.errors(), 4);
        backoff.succeeded(&policy);
        backoff.succeeded(&policy);
        backoff.succeeded(&policy);
        assert_eq!(backoff.errors(), 0);
    }

    #[test]
    fn recovery_reset_forgets_all_errors() {
        let policy = BackoffPolicy { recovery_reset: true, ..BackoffPolicy::default() };
        let mut backoff = Backoff::default();
        backoff.failed(&policy, 0.0);
        backoff.failed(&policy, 0.0);
        backoff.failed(&policy, 0.0);
        backoff.succeeded(&policy);
        assert_eq!(backoff.errors(), 0);
    }

    #[test]
    fn odd_policies_never_panic() {
        let zero = BackoffPolicy { base: Duration::ZERO, max: Duration::ZERO, factor: 0.0, ..BackoffPolicy::default() };
        assert_eq!(Backoff::default().failed(&zero, 0.3), Duration::ZERO);
        let inverted = BackoffPolicy { base: Duration::from_secs(100), max: Duration::from_secs(1), ..BackoffPolicy::default() };
        assert_eq!(Backoff::default().failed(&inverted, 0.3), Duration::from_secs(1));
    }
}

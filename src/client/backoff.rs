//! When the first contact is tried again.

use std::time::Duration;

/// First wait after a failure. Source: cluster-agent-kubernetes 1.4.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// State of the first contact with the cluster agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contact {
    /// It answered once; it is called without asking again.
    Made,
    /// It has not answered yet.
    Missing {
        failures: u32,
        /// Monotonic time before which it is not called.
        not_before: Duration,
        /// Why the last attempt failed.
        error: String,
    },
}

impl Contact {
    pub(super) fn new() -> Self {
        Self::Missing { failures: 0, not_before: Duration::ZERO, error: String::new() }
    }

    /// Notes a failed attempt; the wait doubles each time.
    pub(super) fn fail(&mut self, now: Duration, reason: String) {
        if let Self::Missing { failures, not_before, error } = self {
            *not_before = now + FIRST.saturating_mul(2_u32.saturating_pow(*failures)).min(LONGEST);
            *failures = failures.saturating_add(1);
            *error = reason;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_one_second_to_five_minutes() {
        let mut contact = Contact::new();
        let waits: Vec<u64> = (0..40)
            .map(|_| {
                contact.fail(Duration::from_secs(1000), "refused".to_owned());
                match &contact {
                    Contact::Missing { not_before, .. } => not_before.as_secs() - 1000,
                    Contact::Made => 0,
                }
            })
            .collect();
        assert_eq!(waits[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(waits[39], 300);
    }
}

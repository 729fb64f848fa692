//! When advanced dispatching (placement and balancing by run-time statistics) is on.

use std::time::Duration;

/// Time without any node agent after which advanced dispatching comes back. Source: cluster-checks 8.4 [D].
pub const QUIET_TIME: Duration = Duration::from_secs(60);

/// Follows the live node set: node agents serve no statistics, so one of them switches advanced dispatching off.
#[derive(Debug)]
pub struct AdvancedDispatching {
    enabled: bool,
    node_agent_seen_at: Option<Duration>,
}

impl AdvancedDispatching {
    /// `enabled` is `cluster_checks.advanced_dispatching_enabled`; if false it never comes on.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self { enabled, node_agent_seen_at: None }
    }

    /// Takes over at monotonic time `now` whether a live node is a node agent. To be called on every change and every second.
    pub fn follow(&mut self, node_agent_lives: bool, now: Duration) {
        if node_agent_lives {
            self.node_agent_seen_at = Some(now);
        } else if self.node_agent_seen_at.is_some_and(|seen_at| now.saturating_sub(seen_at) >= QUIET_TIME) {
            self.node_agent_seen_at = None;
        }
    }

    /// Whether it is on.
    #[must_use]
    pub fn on(&self) -> bool {
        self.enabled && self.node_agent_seen_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cc_t32_off_while_a_node_agent_lives_and_on_60_seconds_after_the_last_one() {
        let mut advanced = AdvancedDispatching::new(true);
        assert!(advanced.on());
        advanced.follow(true, Duration::from_secs(5));
        assert!(!advanced.on());
        advanced.follow(true, Duration::from_secs(500));
        advanced.follow(false, Duration::from_secs(559));
        assert!(!advanced.on());
        advanced.follow(false, Duration::from_secs(560));
        assert!(advanced.on());
    }

    #[test]
    fn switched_off_by_configuration_it_stays_off() {
        let mut advanced = AdvancedDispatching::new(false);
        advanced.follow(false, Duration::from_secs(1000));
        assert!(!advanced.on());
    }
}

//! Finds configs that wait for an owner for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::ids::ConfigKey;

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Duration,
    flagged: bool,
}

/// Remembers since when each dangling config waits. Not saved: a restart starts the waiting time again.
///
/// Source: cluster-checks 7, "Unscheduled flag".
#[derive(Debug)]
pub struct UnscheduledWatch {
    threshold: Duration,
    waiting: BTreeMap<ConfigKey, Waiting>,
}

impl UnscheduledWatch {
    /// A watch that flags what waits longer than `threshold`, which is raised to the node expiration time.
    ///
    /// Why raised: a config whose owner just expired has had no fair chance before.
    #[must_use]
    pub fn new(threshold: Duration, node_expiration: Duration) -> Self {
        Self { threshold: threshold.max(node_expiration), waiting: BTreeMap::new() }
    }

    /// Takes over which configs dangle at monotonic time `now`; those that do not any more lose their flag.
    pub fn follow(&mut self, dangling: &BTreeSet<ConfigKey>, now: Duration) {
        self.waiting.retain(|key, _| dangling.contains(key));
        for key in dangling {
            self.waiting.entry(*key).or_insert(Waiting { since: now, flagged: false });
        }
    }

    /// Flags what has been waiting longer than the threshold, in whole seconds. Returns the newly flagged keys.
    pub fn scan(&mut self, now: Duration) -> Vec<ConfigKey> {
        let mut flagged = Vec::new();
        for (key, waiting) in &mut self.waiting {
            if !waiting.flagged && now.saturating_sub(waiting.since).as_secs() > self.threshold.as_secs() {
                waiting.flagged = true;
                flagged.push(*key);
            }
        }
        flagged
    }

    /// Whether a config is flagged.
    #[must_use]
    pub fn is_flagged(&self, key: ConfigKey) -> bool {
        self.waiting.get(&key).is_some_and(|waiting| waiting.flagged)
    }

    /// Number of flagged configs.
    #[must_use]
    pub fn flagged(&self) -> usize {
        self.waiting.values().filter(|waiting| waiting.flagged).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConfigKey = ConfigKey(1);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn cc_t31_a_config_that_dangles_for_61_seconds_is_flagged_until_it_is_dispatched() {
        let mut watch = UnscheduledWatch::new(seconds(60), seconds(30));
        watch.follow(&BTreeSet::from([KEY]), seconds(0));
        assert_eq!(watch.scan(seconds(59)), []);
        assert_eq!(watch.scan(seconds(61)), [KEY]);
        assert_eq!((watch.flagged(), watch.is_flagged(KEY)), (1, true));
        assert_eq!(watch.scan(seconds(62)), [], "reported once");
        watch.follow(&BTreeSet::new(), seconds(63));
        assert_eq!(watch.flagged(), 0);
    }

    #[test]
    fn cc_t31_a_threshold_below_the_expiration_acts_as_the_expiration() {
        let mut watch = UnscheduledWatch::new(seconds(10), seconds(30));
        watch.follow(&BTreeSet::from([KEY]), seconds(0));
        assert_eq!(watch.scan(seconds(30)), []);
        assert_eq!(watch.scan(seconds(31)), [KEY]);
    }

    #[test]
    fn waiting_time_counts_from_the_last_loss_of_an_owner() {
        let mut watch = UnscheduledWatch::new(seconds(60), seconds(30));
        watch.follow(&BTreeSet::from([KEY]), seconds(0));
        watch.follow(&BTreeSet::new(), seconds(50));
        watch.follow(&BTreeSet::from([KEY]), seconds(55));
        assert_eq!(watch.scan(seconds(100)), []);
    }
}

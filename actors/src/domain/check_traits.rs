//! What dispatching reads out of the content of a config.

use serde::{Deserialize, Serialize};

use crate::domain::buckets::DEFAULT_INTERVAL;
use crate::domain::check_options::interval;
use crate::domain::handover::Handover;
use crate::domain::yaml::Value;

/// Where and when a config runs, as far as its content says so. Computed once, with the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckTraits {
    /// `min_collection_interval` of the first instance, 15 when it is not set or not usable. Units: seconds, > 0.
    ///
    /// Source: cluster-checks 11.2.
    pub interval_seconds: u32,
    /// In which order it changes its owner.
    pub handover: Handover,
}

impl Default for CheckTraits {
    fn default() -> Self {
        Self { interval_seconds: DEFAULT_INTERVAL.as_secs() as u32, handover: Handover::Any }
    }
}

impl CheckTraits {
    /// Reads them from the first instance and the `init_config` of a config.
    #[must_use]
    pub fn read(first_instance: &Value, init_config: &Value) -> Self {
        // An interval that is not usable is told by the node that runs the check.
        let interval = interval(first_instance, init_config).unwrap_or(DEFAULT_INTERVAL);
        Self { interval_seconds: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).max(1), handover: Handover::Any }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::yaml;

    #[test]
    fn the_interval_is_that_of_the_first_instance_or_15_seconds() {
        let seconds = |instance: &str| CheckTraits::read(&yaml::parse(instance).unwrap(), &Value::Null).interval_seconds;
        assert_eq!(seconds("min_collection_interval: 60"), 60);
        assert_eq!(seconds("min_collection_interval: 0"), 15);
        assert_eq!(seconds("min_collection_interval: often"), 15);
        assert_eq!(seconds("{}"), 15);
    }
}

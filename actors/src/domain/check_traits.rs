//! What dispatching reads out of the content of a config.

use serde::{Deserialize, Serialize};

use crate::domain::buckets::DEFAULT_INTERVAL;
use crate::domain::check_options::{OptionError, interval};
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
    ///
    /// Errors: [`OptionError`] for an unknown order of handing over: whoever names one must not get another one.
    pub fn read(first_instance: &Value, init_config: &Value) -> Result<Self, OptionError> {
        // An interval that is not usable is told by the node that runs the check.
        let interval = interval(first_instance, init_config).unwrap_or(DEFAULT_INTERVAL);
        let interval_seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).max(1);
        Ok(Self { interval_seconds, handover: handover(init_config)? })
    }
}

/// Reads in which order a config changes its owner from its `init_config`.
///
/// Errors: [`OptionError`] for a value that is none of [`Handover::ALLOWED`].
pub fn handover(init_config: &Value) -> Result<Handover, OptionError> {
    let Some(value) = init_config.get(Handover::KEY).filter(|value| !matches!(value, Value::Null)) else {
        return Ok(Handover::Any);
    };
    value.as_str().and_then(Handover::parse).ok_or_else(|| OptionError {
        key: format!("init_config.{}", Handover::KEY),
        found: value.key_text(),
        allowed: Handover::ALLOWED.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::yaml;

    #[test]
    fn the_interval_is_that_of_the_first_instance_or_15_seconds() {
        let seconds = |instance: &str| CheckTraits::read(&yaml::parse(instance).unwrap(), &Value::Null).unwrap().interval_seconds;
        assert_eq!(seconds("min_collection_interval: 60"), 60);
        assert_eq!(seconds("min_collection_interval: 0"), 15);
        assert_eq!(seconds("min_collection_interval: often"), 15);
        assert_eq!(seconds("{}"), 15);
    }

    #[test]
    fn the_order_of_handing_over_is_that_of_the_init_config_and_no_other_value_passes() {
        let read = |init_config: &str| CheckTraits::read(&Value::Null, &yaml::parse(init_config).unwrap()).map(|traits| traits.handover);
        assert_eq!(read("{}"), Ok(Handover::Any));
        assert_eq!(read("muster_handover:"), Ok(Handover::Any));
        for (text, handover) in
            [("any", Handover::Any), ("gap", Handover::Gap), ("overlap", Handover::Overlap), ("at_most_once", Handover::AtMostOnce)]
        {
            assert_eq!(read(&format!("muster_handover: {text}")), Ok(handover));
        }
        for wrong in ["once", "At_most_once", "1", "[gap]", "true"] {
            let error = read(&format!("muster_handover: {wrong}")).unwrap_err();
            assert_eq!((error.key.as_str(), error.allowed.as_str()), ("init_config.muster_handover", Handover::ALLOWED));
        }
        assert_eq!(read("muster_handover: once").unwrap_err().found, "once");
    }
}

//! What is compared: a strategy with its options.

use std::str::FromStr;

use crate::balance::policy::{BalancePolicy, Strategy};
use crate::sim::fleet::overrides::PolicyOverrides;

/// A strategy with its options, and the name under which it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// For people and JSON.
    pub name: String,
    /// The options.
    pub policy: BalancePolicy,
}

/// No contender has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no strategy is called {0:?}; allowed are bounded, utilization, utilization-plain (without stickiness), busyness and off")]
pub struct UnknownContender(String);

impl Contender {
    /// A strategy with the documented options.
    #[must_use]
    pub fn of(strategy: Strategy) -> Self {
        Self { name: strategy.as_str().to_owned(), policy: BalancePolicy { strategy, ..BalancePolicy::default() } }
    }

    /// With the options of a scenario written over its own, except those that are its name.
    #[must_use]
    pub fn with(mut self, overrides: &PolicyOverrides) -> Self {
        let stickiness = self.policy.stickiness;
        overrides.apply(&mut self.policy);
        if stickiness.is_none() {
            self.policy.stickiness = None;
        }
        self
    }
}

impl FromStr for Contender {
    type Err = UnknownContender;

    fn from_str(name: &str) -> Result<Self, UnknownContender> {
        Ok(match name {
            "bounded" => Self::of(Strategy::Bounded),
            "utilization" => Self::of(Strategy::Utilization),
            "utilization-plain" => {
                let policy = BalancePolicy { stickiness: None, ..Self::of(Strategy::Utilization).policy };
                Self { name: name.to_owned(), policy }
            }
            "busyness" => Self::of(Strategy::Busyness),
            "off" => Self::of(Strategy::Off),
            other => return Err(UnknownContender(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_are_found_by_name_and_keep_what_their_name_says() {
        for name in ["bounded", "utilization", "utilization-plain", "busyness", "off"] {
            assert_eq!(name.parse::<Contender>().unwrap().name, name);
        }
        assert!("best".parse::<Contender>().unwrap_err().to_string().contains("bounded"));
        let overrides = PolicyOverrides { stickiness: Some(true), band: Some(0.5), ..PolicyOverrides::default() };
        let plain = "utilization-plain".parse::<Contender>().unwrap().with(&overrides);
        assert_eq!((plain.policy.stickiness, plain.policy.band), (None, 0.5));
    }
}

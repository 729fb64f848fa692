//! What operators, or the quarantine, demand of placement beyond even load. Part of the table: replicated and saved with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ConfigKey, NodeName};

/// Demands that last until somebody takes them back, or their subject is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraints {
    /// Runners that keep this config alone: nothing else is placed on them. Ends with the config, with the runner and with a forced
    /// rebalance. Source: cluster-checks 11.3 [D].
    pub isolated: BTreeMap<NodeName, ConfigKey>,
    /// Configs that belong on this node whenever it is there; no balancing moves them. Ends with the config.
    pub pinned: BTreeMap<ConfigKey, NodeName>,
    /// Configs that are kept off every node, because their owners died in a row. Ends with the config, by command and with time.
    pub quarantined: BTreeMap<ConfigKey, Quarantine>,
}

/// Why and how long a config is kept off every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// When it began. Units: nanoseconds since the Unix epoch.
    pub since_unix_nanos: i64,
    /// When it ends by itself. Units: nanoseconds since the Unix epoch.
    pub until_unix_nanos: i64,
    /// The owners that died while they ran it, oldest first.
    pub killed: Vec<NodeName>,
}

/// One change of the [`Constraints`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintChange {
    /// This runner keeps this config alone.
    Isolate {
        /// The runner.
        node: NodeName,
        /// The config.
        key: ConfigKey,
    },
    /// Ends the isolation on this runner.
    EndIsolation {
        /// The runner.
        node: NodeName,
    },
    /// Ends every isolation, as a forced rebalance does.
    EndIsolations,
    /// This config belongs on this node.
    Pin {
        /// The config.
        key: ConfigKey,
        /// The node.
        node: NodeName,
    },
    /// This config may be anywhere again.
    Unpin {
        /// The config.
        key: ConfigKey,
    },
    /// Keeps a config off every node.
    Quarantine {
        /// The config.
        key: ConfigKey,
        /// Why and how long.
        quarantine: Quarantine,
    },
    /// Ends a quarantine.
    Release {
        /// The config.
        key: ConfigKey,
    },
}

impl Constraints {
    /// Whether nothing is demanded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.isolated.is_empty() && self.pinned.is_empty() && self.quarantined.is_empty()
    }

    /// Takes a change over. Returns whether anything is different now.
    pub fn apply(&mut self, change: &ConstraintChange) -> bool {
        match change {
            ConstraintChange::Isolate { node, key } => self.isolated.insert(node.clone(), *key) != Some(*key),
            ConstraintChange::EndIsolation { node } => self.isolated.remove(node).is_some(),
            ConstraintChange::EndIsolations => !std::mem::take(&mut self.isolated).is_empty(),
            ConstraintChange::Pin { key, node } => self.pinned.insert(*key, node.clone()).as_ref() != Some(node),
            ConstraintChange::Unpin { key } => self.pinned.remove(key).is_some(),
            ConstraintChange::Quarantine { key, quarantine } => {
                self.quarantined.insert(*key, quarantine.clone()).as_ref() != Some(quarantine)
            }
            ConstraintChange::Release { key } => self.quarantined.remove(key).is_some(),
        }
    }

    /// Forgets what is demanded of a config that is gone. Returns whether there was anything.
    pub fn forget_config(&mut self, key: ConfigKey) -> bool {
        let isolated = self.isolated.len();
        self.isolated.retain(|_, of| *of != key);
        let pinned = self.pinned.remove(&key).is_some();
        let quarantined = self.quarantined.remove(&key).is_some();
        isolated != self.isolated.len() || pinned || quarantined
    }

    /// Whether a runner must not get this config, because another one is isolated there.
    #[must_use]
    pub fn refuses(&self, node: &NodeName, key: ConfigKey) -> bool {
        self.isolated.get(node).is_some_and(|only| *only != key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isolated_runner_refuses_everything_else_until_the_config_is_gone() {
        let mut constraints = Constraints::default();
        assert!(constraints.apply(&ConstraintChange::Isolate { node: "a".into(), key: ConfigKey(1) }));
        assert!(!constraints.apply(&ConstraintChange::Isolate { node: "a".into(), key: ConfigKey(1) }));
        assert!(constraints.refuses(&"a".into(), ConfigKey(2)) && !constraints.refuses(&"a".into(), ConfigKey(1)));
        assert!(!constraints.refuses(&"b".into(), ConfigKey(2)));
        assert!(constraints.forget_config(ConfigKey(1)) && !constraints.forget_config(ConfigKey(1)));
        assert!(constraints.is_empty());
    }

    #[test]
    fn taking_back_what_was_not_demanded_changes_nothing() {
        let mut constraints = Constraints::default();
        for change in [
            ConstraintChange::EndIsolation { node: "a".into() },
            ConstraintChange::EndIsolations,
            ConstraintChange::Unpin { key: ConfigKey(1) },
            ConstraintChange::Release { key: ConfigKey(1) },
        ] {
            assert!(!constraints.apply(&change));
        }
    }
}

//! What there is to show of the configs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::config::CheckConfig;
use crate::domain::config_manager::ConfigManager;
use crate::domain::config_manager::lookups::Dropped;
use crate::domain::ids::ConfigKey;

impl ConfigManager {
    /// Sources of configs that are not scheduled for want of a secret, as in [`CheckConfig::source`].
    pub fn sources_without_secrets(&self) -> impl Iterator<Item = &str> {
        self.lookups.waiting().map(|config| config.source.as_str())
    }

    /// Whether a config is scheduled.
    #[must_use]
    pub fn is_scheduled(&self, key: &ConfigKey) -> bool {
        self.schedule.told().contains_key(key)
    }

    /// Number of scheduled configs.
    #[must_use]
    pub fn scheduled_count(&self) -> usize {
        self.schedule.told().len()
    }

    /// All scheduled configs, sorted by name, then key.
    #[must_use]
    pub fn scheduled(&self) -> Vec<Arc<CheckConfig>> {
        let mut configs: Vec<_> = self.schedule.told().values().map(|scheduled| Arc::clone(&scheduled.config)).collect();
        // Stable, so configs of one name stay in the order of their keys.
        configs.sort_by(|left, right| left.name.cmp(&right.name));
        configs
    }

    /// The scheduled configs that hold secrets, with handles in their places.
    #[must_use]
    pub fn encrypted(&self) -> BTreeMap<ConfigKey, Arc<CheckConfig>> {
        let told = self.schedule.told().iter();
        told.filter(|(_, one)| !Arc::ptr_eq(&one.config, &one.shown)).map(|(key, one)| (*key, Arc::clone(&one.shown))).collect()
    }

    /// All active configs as they were discovered, by the text of their stock digest.
    #[must_use]
    pub fn unresolved(&self) -> BTreeMap<String, Arc<CheckConfig>> {
        self.active.values().map(|active| (active.digest.to_string(), Arc::clone(&active.config))).collect()
    }

    /// Template name -> why it was not resolved, for each service concerned.
    #[must_use]
    pub fn resolve_warnings(&self) -> BTreeMap<String, Vec<String>> {
        let mut warnings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let failed = self.failing.iter().filter_map(|id| self.services.get(id)).flat_map(|known| known.failed.values());
        for (name, text) in failed {
            warnings.entry(name.clone()).or_default().push(text.clone());
        }
        for (name, dropped) in self.lookups.dropped() {
            if let Dropped::Resolved(text) = dropped {
                warnings.entry(name.to_owned()).or_default().push(text);
            }
        }
        warnings
    }

    /// Check name and reason of each config without service that is not scheduled for want of a secret.
    #[must_use]
    pub fn secret_errors(&self) -> Vec<(String, String)> {
        let plain = |(name, dropped): (&str, Dropped)| match dropped {
            Dropped::Plain(text) => Some((name.to_owned(), text)),
            Dropped::Resolved(_) => None,
        };
        self.lookups.dropped().filter_map(plain).collect()
    }

    /// Number of active configs.
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// Number of services for which a template was not resolved.
    #[must_use]
    pub fn failing_count(&self) -> usize {
        self.failing.len()
    }

    /// Number of active services.
    #[must_use]
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// How often a template was resolved for a service.
    #[must_use]
    pub fn resolutions(&self) -> u64 {
        self.resolutions
    }
}

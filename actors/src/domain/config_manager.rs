//! Which configs are active, which of them are scheduled, and what a new listing changes. Source: autodiscovery 3.3 and 11.1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::config::CheckConfig;
use crate::domain::digest::{config_key, digest};
use crate::domain::ids::{ConfigKey, Digest};

/// What subscribers have to do after a change. Removals come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Configs that are no longer scheduled.
    pub unschedule: Vec<ConfigKey>,
    /// Configs that are scheduled from now on.
    pub schedule: Vec<Arc<CheckConfig>>,
}

impl Changes {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unschedule.is_empty() && self.schedule.is_empty()
    }
}

/// A config that some provider lists.
#[derive(Clone, Debug)]
struct Active {
    config: Arc<CheckConfig>,
    /// Kept because it takes a parser to compute.
    digest: Digest,
}

/// Active configs of all providers, and the subset that is scheduled.
///
/// Templates are active but wait for a service. Of several configs that differ only in where they come from, one is scheduled; when it
/// goes, another takes its place.
#[derive(Clone, Debug, Default)]
pub struct ConfigManager {
    /// Provider -> what its last listing contained.
    active: BTreeMap<String, BTreeMap<ConfigKey, Active>>,
    /// What subscribers were told.
    scheduled: BTreeMap<ConfigKey, Arc<CheckConfig>>,
}

impl ConfigManager {
    /// Replaces everything a provider has listed before. A failed listing must not be passed here: it changes nothing.
    pub fn replace(&mut self, provider: &str, listing: impl IntoIterator<Item = Arc<CheckConfig>>) -> Changes {
        let mut before = self.active.remove(provider).unwrap_or_default();
        let mut now = BTreeMap::new();
        for config in listing {
            let key = config_key(&config);
            let known = before.remove(&key);
            now.entry(key).or_insert_with(|| known.unwrap_or_else(|| Active { digest: digest(&config), config }));
        }
        self.active.insert(provider.to_owned(), now);
        let wanted = self.wanted();
        let unschedule = self.scheduled.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        let schedule = wanted.iter().filter(|(key, _)| !self.scheduled.contains_key(key)).map(|(_, config)| Arc::clone(config)).collect();
        self.scheduled = wanted;
        Changes { unschedule, schedule }
    }

    /// Whether a config is scheduled.
    #[must_use]
    pub fn is_scheduled(&self, key: &ConfigKey) -> bool {
        self.scheduled.contains_key(key)
    }

    /// All scheduled configs, sorted by name, then key.
    #[must_use]
    pub fn scheduled(&self) -> Vec<Arc<CheckConfig>> {
        let mut configs: Vec<_> = self.scheduled.values().cloned().collect();
        // Stable, so configs of one name stay in the order of their keys.
        configs.sort_by(|left, right| left.name.cmp(&right.name));
        configs
    }

    /// All active configs as they were discovered, by the text of their stock digest.
    #[must_use]
    pub fn unresolved(&self) -> BTreeMap<String, Arc<CheckConfig>> {
        self.active.values().flat_map(BTreeMap::values).map(|active| (active.digest.to_string(), Arc::clone(&active.config))).collect()
    }

    /// The configs to schedule: no templates, and one of each content.
    ///
    /// One that is scheduled already is preferred, so that a copy in another file does not cause a move.
    fn wanted(&self) -> BTreeMap<ConfigKey, Arc<CheckConfig>> {
        let mut contents = BTreeSet::new();
        let mut wanted = BTreeMap::new();
        let all = || self.active.values().flatten().filter(|(_, active)| !active.config.is_template());
        let known = all().filter(|(key, _)| self.scheduled.contains_key(key));
        let new = all().filter(|(key, _)| !self.scheduled.contains_key(key));
        for (key, active) in known.chain(new) {
            if contents.insert(content_key(&active.config)) {
                wanted.insert(*key, Arc::clone(&active.config));
            }
        }
        wanted
    }
}

/// Key of what a config says, whoever says it.
fn content_key(config: &CheckConfig) -> ConfigKey {
    config_key(&CheckConfig { provider: String::new(), source: String::new(), ..config.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Data;

    fn config(name: &str, instance: &str) -> Arc<CheckConfig> {
        Arc::new(CheckConfig { name: name.to_owned(), instances: vec![Data::from(instance)], ..CheckConfig::default() })
    }

    fn from_file(config: &CheckConfig, file: &str) -> Arc<CheckConfig> {
        Arc::new(CheckConfig { source: format!("file:{file}"), ..config.clone() })
    }

    fn key(config: &CheckConfig) -> ConfigKey {
        config_key(config)
    }

    #[test]
    fn ad_v58_a_listing_removes_first_and_takes_each_config_once() {
        let (a, b, c) = (config("a", "x: 1"), config("b", "x: 1"), config("c", "x: 1"));
        let mut manager = ConfigManager::default();
        manager.replace("file", [a.clone(), b.clone()]);
        let changes = manager.replace("file", [b, c.clone(), c.clone()]);
        assert_eq!(changes, Changes { unschedule: vec![key(&a)], schedule: vec![c.clone()] });
        let changes = manager.replace("file", []);
        assert_eq!(changes.unschedule.len(), 2);
        assert!(manager.scheduled().is_empty());
    }

    #[test]
    fn ad_v58_another_tag_order_is_a_removal_and_an_addition() {
        let mut manager = ConfigManager::default();
        let old = config("a", "tags: [a, b]");
        let new = config("a", "tags: [b, a]");
        manager.replace("file", [old.clone()]);
        assert_eq!(manager.replace("file", [new.clone()]), Changes { unschedule: vec![key(&old)], schedule: vec![new] });
    }

    #[test]
    fn the_same_listing_changes_nothing() {
        let mut manager = ConfigManager::default();
        let listing = [config("a", "x: 1"), config("b", "x: 1")];
        assert_eq!(manager.replace("file", listing.clone()).schedule.len(), 2);
        assert!(manager.replace("file", listing.into_iter().rev()).is_empty());
    }

    #[test]
    fn templates_are_active_but_not_scheduled() {
        let template = Arc::new(CheckConfig { ad_identifiers: vec!["redis".to_owned()], ..(*config("redisdb", "x: 1")).clone() });
        let mut manager = ConfigManager::default();
        assert!(manager.replace("file", [template.clone()]).is_empty());
        assert_eq!(manager.unresolved().get(&digest(&template).to_string()), Some(&template));
        assert!(manager.scheduled().is_empty());
    }

    #[test]
    fn a_copy_in_another_file_is_scheduled_once_and_takes_over() {
        let original = from_file(&config("a", "x: 1"), "b.yaml");
        let copy = from_file(&config("a", "x: 1"), "a.yaml");
        let mut manager = ConfigManager::default();
        manager.replace("file", [original.clone()]);
        assert!(manager.replace("file", [copy.clone(), original.clone()]).is_empty());
        let changes = manager.replace("file", [copy.clone()]);
        assert_eq!(changes, Changes { unschedule: vec![key(&original)], schedule: vec![copy] });
    }

    #[test]
    fn providers_do_not_touch_each_other() {
        let mut manager = ConfigManager::default();
        manager.replace("file", [config("a", "x: 1")]);
        manager.replace("kubernetes-services", [config("b", "x: 1")]);
        assert!(manager.replace("kubernetes-services", [config("b", "x: 1")]).is_empty());
        assert_eq!(manager.replace("kubernetes-services", []).unschedule.len(), 1);
        let names: Vec<_> = manager.scheduled().iter().map(|config| config.name.clone()).collect();
        assert_eq!(names, ["a"]);
    }
}

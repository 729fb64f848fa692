//! What has been told, and what is new about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::ad_service::AdService;
use crate::domain::config::CheckConfig;
use crate::domain::discovery::ConfigError;
use crate::domain::kube::objects::ObjectKey;

/// What one source has now. Nothing in it means that it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its templates.
    pub configs: Vec<Arc<CheckConfig>>,
    /// Its mistakes, and warnings.
    pub errors: Vec<ConfigError>,
}

impl Source {
    fn is_empty(&self) -> bool {
        self.configs.is_empty() && self.errors.is_empty()
    }
}

/// New, changed and lost services of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceChanges {
    /// New or changed ones.
    pub appeared: Vec<Arc<AdService>>,
    /// Ids of those that are gone.
    pub gone: Vec<String>,
}

/// What is new since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Provider -> source -> what it has now.
    pub sources: BTreeMap<&'static str, BTreeMap<String, Source>>,
    /// Listener -> what it found and lost.
    pub services: BTreeMap<&'static str, ServiceChanges>,
}

/// Everything that has been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    sources: BTreeMap<&'static str, BTreeMap<String, Source>>,
    services: BTreeMap<&'static str, BTreeMap<ObjectKey, Found>>,
}

/// Services that a listener found at one Kubernetes Service, by id.
type Found = BTreeMap<String, Arc<AdService>>;

impl Told {
    /// Notes what a source has now.
    pub(super) fn put_source(&mut self, provider: &'static str, source: String, now: Source, changes: &mut Changes) {
        let told = self.sources.entry(provider).or_default();
        let is_new = match told.get(&source) {
            None => !now.is_empty(),
            Some(before) => *before != now,
        };
        if !is_new {
            return;
        }
        if now.is_empty() {
            told.remove(&source);
        } else {
            told.insert(source.clone(), now.clone());
        }
        changes.sources.entry(provider).or_default().insert(source, now);
    }

    /// Notes what a listener finds at a Kubernetes Service now.
    pub(super) fn put_services(&mut self, listener: &'static str, at: &ObjectKey, now: Vec<AdService>, changes: &mut Changes) {
        let told = self.services.entry(listener).or_default();
        let mut before = told.remove(at).unwrap_or_default();
        let mut found = Found::new();
        let mut new = ServiceChanges::default();
        for service in now {
            let same = before.remove(&service.id).filter(|before| **before == service);
            let service = same.unwrap_or_else(|| {
                let service = Arc::new(service);
                new.appeared.push(Arc::clone(&service));
                service
            });
            found.insert(service.id.clone(), service);
        }
        // A changed one was taken out above, so what is left is gone.
        new.gone.extend(before.into_keys());
        if !found.is_empty() {
            told.insert(at.clone(), found);
        }
        if new != ServiceChanges::default() {
            let changed = changes.services.entry(listener).or_default();
            changed.appeared.append(&mut new.appeared);
            changed.gone.append(&mut new.gone);
        }
    }

    /// Names of the sources of a provider.
    pub(super) fn source_names(&self, provider: &str) -> Vec<String> {
        self.sources.get(provider).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Every source of a provider.
    pub(super) fn sources(&self, provider: &str) -> impl Iterator<Item = (&String, &Source)> {
        self.sources.get(provider).into_iter().flatten()
    }

    /// Every service of a listener.
    pub(super) fn services(&self, listener: &str) -> impl Iterator<Item = &Arc<AdService>> {
        self.services.get(listener).into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }
}

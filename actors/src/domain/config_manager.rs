//! Which configs and services are active, which configs are scheduled, and what a change of either means. Source: autodiscovery 3.3, 11.1.

mod lookups;
mod schedule;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod tests;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::ad_service::AdService;
use crate::domain::config::CheckConfig;
use crate::domain::digest::{config_key, digest};
use crate::domain::ids::{ConfigKey, Digest};
use crate::domain::secrets::{Handles, SecretError, SecretValues, decrypted, handles};
use crate::domain::template::{ResolveError, TemplateRules, resolve};

use lookups::{Candidate, Lookups};
pub use schedule::{Changes, Scheduled};
use schedule::{Schedule, Ticket};

/// Source of a listing that does not tell its sources apart.
const WHOLE: &str = "";

/// A config that some source names.
#[derive(Clone, Debug)]
struct Active {
    config: Arc<CheckConfig>,
    /// Kept because it takes a parser to compute.
    digest: Digest,
    /// Number of sources that name it.
    holders: usize,
    /// Nothing for templates.
    offer: Option<Offer>,
}

/// A config that is to run.
#[derive(Clone, Debug)]
enum Offer {
    /// Nothing is missing.
    Made(Ticket),
    /// It waits for its secrets.
    Waiting(Handles),
}

/// A service with what the templates became for it.
#[derive(Clone, Debug)]
struct Known {
    service: Arc<AdService>,
    resolved: BTreeMap<ConfigKey, Resolved>,
    /// Template -> its name and why it cannot be resolved.
    failed: BTreeMap<ConfigKey, (String, String)>,
}

#[derive(Clone, Debug)]
struct Resolved {
    config: Arc<CheckConfig>,
    offer: Offer,
}

/// Active configs of all providers, active services, and what is scheduled.
///
/// A template becomes one config per service that shares an identifier with it. A change costs in proportion to what it matches, never
/// to all that is known.
#[derive(Clone, Debug, Default)]
pub struct ConfigManager {
    rules: TemplateRules,
    /// Whether handles are replaced before a config is scheduled.
    decrypting: bool,
    /// Provider -> source -> what it names.
    providers: BTreeMap<String, BTreeMap<String, BTreeSet<ConfigKey>>>,
    active: BTreeMap<ConfigKey, Active>,
    /// Identifier -> templates that wait for it.
    templates: BTreeMap<String, BTreeSet<ConfigKey>>,
    services: BTreeMap<String, Known>,
    /// Identifier -> services that bear it.
    bearers: BTreeMap<String, BTreeSet<String>>,
    /// Listener -> ids of its services.
    listeners: BTreeMap<String, BTreeSet<String>>,
    /// Services for which a template failed.
    failing: BTreeSet<String>,
    lookups: Lookups,
    /// Secrets that were told, so that a changed config need not wait for them again.
    values: SecretValues,
    schedule: Schedule,
    resolutions: u64,
}

impl ConfigManager {
    /// Knows nothing yet. `decrypting`: configs with handles wait for [`Self::secrets`].
    #[must_use]
    pub fn new(rules: TemplateRules, decrypting: bool) -> Self {
        Self { rules, decrypting, ..Self::default() }
    }

    /// Replaces everything a provider has listed before. A failed listing must not be passed here: it changes nothing.
    pub fn replace(&mut self, provider: &str, listing: impl IntoIterator<Item = Arc<CheckConfig>>) -> Changes {
        self.change_sources(provider, true, [(WHOLE, listing)])
    }

    /// Replaces what some sources of a provider named before. `reset`: it has no other source.
    pub fn change_sources<'a, L: IntoIterator<Item = Arc<CheckConfig>>>(
        &mut self,
        provider: &str,
        reset: bool,
        changes: impl IntoIterator<Item = (&'a str, L)>,
    ) -> Changes {
        let mut before = self.providers.remove(provider).unwrap_or_default();
        let mut sources = if reset { BTreeMap::new() } else { std::mem::take(&mut before) };
        // Released at the end: what only moved to another source is not touched.
        let mut released = Vec::new();
        for (source, configs) in changes {
            let known = sources.remove(source).or_else(|| before.remove(source)).unwrap_or_default();
            let mut now = BTreeSet::new();
            for config in configs {
                let key = config_key(&config);
                if now.insert(key) && !known.contains(&key) {
                    self.hold(key, config);
                }
            }
            released.extend(known.difference(&now).copied());
            if !now.is_empty() {
                sources.insert(source.to_owned(), now);
            }
        }
        released.extend(before.into_values().flatten());
        for key in &released {
            self.release(key);
        }
        self.providers.insert(provider.to_owned(), sources);
        self.schedule.settle()
    }

    /// Takes over what a listener found and lost. `reset`: it has no other service.
    pub fn change_services(
        &mut self,
        listener: &str,
        reset: bool,
        appeared: impl IntoIterator<Item = Arc<AdService>>,
        gone: impl IntoIterator<Item = String>,
    ) -> Changes {
        let mut own = self.listeners.remove(listener).unwrap_or_default();
        let mut vanished = if reset { std::mem::take(&mut own) } else { BTreeSet::new() };
        vanished.extend(gone);
        for service in appeared {
            vanished.remove(&service.id);
            own.insert(service.id.clone());
            self.put_service(service);
        }
        for id in &vanished {
            own.remove(id);
            self.remove_service(id);
        }
        self.listeners.insert(listener.to_owned(), own);
        self.schedule.settle()
    }

    /// Questions to the secret backend that are new since the last call.
    pub fn take_lookups(&mut self) -> Vec<Handles> {
        self.lookups.take_new()
    }

    /// The secret backend knows these handles: what waits for them is scheduled.
    pub fn secrets(&mut self, handles: &Handles, values: SecretValues) -> Changes {
        self.values.extend(values);
        for (candidate, config) in self.lookups.answered(handles) {
            match decrypted(&config, &self.values) {
                Ok(plain) => {
                    let ticket = self.schedule.add(Arc::new(plain), config);
                    if let Some(offer) = self.offer_of(&candidate) {
                        *offer = Offer::Made(ticket);
                    }
                }
                Err(error) => {
                    self.lookups.wait(handles, candidate, config);
                    self.lookups.failed(handles, error);
                }
            }
        }
        self.schedule.settle()
    }

    /// The secret backend did not answer for these handles. Returns whether the reason is another one than before.
    pub fn secrets_failed(&mut self, handles: &Handles, error: SecretError) -> bool {
        self.lookups.failed(handles, error)
    }

    /// Whether a config waits for these handles.
    #[must_use]
    pub fn wants_secrets(&self, handles: &Handles) -> bool {
        self.lookups.wanted(handles)
    }

    /// Whether there are handles for which the secret backend has given neither values nor an error.
    #[must_use]
    pub fn has_open_lookups(&self) -> bool {
        self.lookups.unanswered()
    }

    /// A source names a config.
    fn hold(&mut self, key: ConfigKey, config: Arc<CheckConfig>) {
        if let Some(active) = self.active.get_mut(&key) {
            active.holders += 1;
            return;
        }
        let template = config.is_template();
        let offer = if template { None } else { Some(self.offer(Candidate::Plain(key), Arc::clone(&config))) };
        let active = Active { digest: digest(&config), config: Arc::clone(&config), holders: 1, offer };
        self.active.insert(key, active);
        if template {
            for identifier in &config.ad_identifiers {
                self.templates.entry(identifier.clone()).or_default().insert(key);
            }
            for service in self.bearers_of(&config.ad_identifiers) {
                self.resolve(key, &service, None);
            }
        }
    }

    /// A source names a config no longer.
    fn release(&mut self, key: &ConfigKey) {
        let Some(active) = self.active.get_mut(key) else {
            return;
        };
        active.holders -= 1;
        if active.holders > 0 {
            return;
        }
        let Some(Active { config, offer, .. }) = self.active.remove(key) else {
            return;
        };
        if let Some(offer) = offer {
            return self.withdraw(&Candidate::Plain(*key), &offer);
        }
        for identifier in &config.ad_identifiers {
            remove_from(&mut self.templates, identifier, key);
        }
        for id in self.bearers_of(&config.ad_identifiers) {
            let Some(known) = self.services.get_mut(&id) else {
                continue;
            };
            known.failed.remove(key);
            if known.failed.is_empty() {
                self.failing.remove(&id);
            }
            if let Some(resolved) = known.resolved.remove(key) {
                self.withdraw(&Candidate::Resolved { template: *key, service: id }, &resolved.offer);
            }
        }
    }

    fn bearers_of(&self, identifiers: &[String]) -> BTreeSet<String> {
        identifiers.iter().filter_map(|identifier| self.bearers.get(identifier)).flatten().cloned().collect()
    }

    /// One that is known with the same content changes nothing.
    fn put_service(&mut self, service: Arc<AdService>) {
        let id = service.id.clone();
        if self.services.get(&id).is_some_and(|known| known.service == service) {
            return;
        }
        let mut before = self.forget_service(&id);
        for identifier in &service.identifiers {
            self.bearers.entry(identifier.clone()).or_default().insert(id.clone());
        }
        let named = service.identifiers.iter().filter_map(|identifier| self.templates.get(identifier));
        let templates: BTreeSet<ConfigKey> = named.flatten().copied().collect();
        self.services.insert(id.clone(), Known { service, resolved: BTreeMap::new(), failed: BTreeMap::new() });
        for template in templates {
            self.resolve(template, &id, before.remove(&template));
        }
        self.withdraw_all(&id, before);
    }

    fn remove_service(&mut self, id: &str) {
        let resolved = self.forget_service(id);
        self.withdraw_all(id, resolved);
    }

    /// Takes a service out of the indexes and returns what the templates were for it.
    fn forget_service(&mut self, id: &str) -> BTreeMap<ConfigKey, Resolved> {
        let Some(known) = self.services.remove(id) else {
            return BTreeMap::new();
        };
        self.failing.remove(id);
        for identifier in &known.service.identifiers {
            remove_from(&mut self.bearers, identifier, id);
        }
        known.resolved
    }

    fn withdraw_all(&mut self, service: &str, resolved: BTreeMap<ConfigKey, Resolved>) {
        for (template, resolved) in resolved {
            self.withdraw(&Candidate::Resolved { template, service: service.to_owned() }, &resolved.offer);
        }
    }

    /// Resolves a template for a service. `before`: what it was for it so far; it stays if it says the same.
    fn resolve(&mut self, template: ConfigKey, id: &str, before: Option<Resolved>) {
        let (Some(active), Some(known)) = (self.active.get(&template), self.services.get(id)) else {
            return;
        };
        self.resolutions += 1;
        let name = &active.config.name;
        let result =
            resolve(&active.config, &known.service, &self.rules).map_err(|error| (name.clone(), failure_text(&active.config, id, &error)));
        let candidate = Candidate::Resolved { template, service: id.to_owned() };
        let unchanged = before.as_ref().is_some_and(|before| result.as_ref().is_ok_and(|config| *config == *before.config));
        if let Some(before) = before.as_ref().filter(|_| !unchanged) {
            self.withdraw(&candidate, &before.offer);
        }
        let outcome = match (result, before) {
            (Ok(_), Some(before)) if unchanged => Ok(before),
            (Ok(config), _) => {
                let config = Arc::new(config);
                let offer = self.offer(candidate, Arc::clone(&config));
                Ok(Resolved { config, offer })
            }
            (Err(failure), _) => Err(failure),
        };
        let Some(known) = self.services.get_mut(id) else {
            return;
        };
        match outcome {
            Ok(resolved) => {
                known.resolved.insert(template, resolved);
            }
            Err(failure) => {
                known.failed.insert(template, failure);
                self.failing.insert(id.to_owned());
            }
        }
    }

    fn offer(&mut self, candidate: Candidate, config: Arc<CheckConfig>) -> Offer {
        if self.decrypting {
            let handles = handles(&config);
            if !handles.is_empty() {
                let Ok(plain) = decrypted(&config, &self.values) else {
                    self.lookups.wait(&handles, candidate, config);
                    return Offer::Waiting(handles);
                };
                return Offer::Made(self.schedule.add(Arc::new(plain), config));
            }
        }
        Offer::Made(self.schedule.add(Arc::clone(&config), config))
    }

    fn withdraw(&mut self, candidate: &Candidate, offer: &Offer) {
        match offer {
            Offer::Made(ticket) => self.schedule.remove(ticket),
            Offer::Waiting(handles) => self.lookups.leave(handles, candidate),
        }
    }

    fn offer_of(&mut self, candidate: &Candidate) -> Option<&mut Offer> {
        match candidate {
            Candidate::Plain(key) => self.active.get_mut(key)?.offer.as_mut(),
            Candidate::Resolved { template, service } => Some(&mut self.services.get_mut(service)?.resolved.get_mut(template)?.offer),
        }
    }
}

/// Why a template is not a config for a service: the words of the stock agent, then object, place, what was found and what is allowed.
fn failure_text(template: &CheckConfig, service: &str, error: &ResolveError) -> String {
    let ResolveError { part, found, allowed, .. } = error;
    let CheckConfig { name, source, .. } = template;
    format!("error resolving template {name} for service {service}: {error}: {source}, {part}: found {found}, allowed: {allowed}")
}

/// Takes an item out of one set of an index, and the set if it becomes empty.
fn remove_from<T: Ord + std::borrow::Borrow<Q>, Q: Ord + ?Sized>(index: &mut BTreeMap<String, BTreeSet<T>>, identifier: &str, item: &Q) {
    if let Some(items) = index.get_mut(identifier) {
        items.remove(item);
        if items.is_empty() {
            index.remove(identifier);
        }
    }
}

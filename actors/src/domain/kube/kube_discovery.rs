//! What Kubernetes objects and files of templates give, kept up to date at the cost of what changes.
//!
//! Source: autodiscovery 4.2 to 4.6, 5, 15 (1 to 3: every change of an object counts, not only updates of known ones).

#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::ad_service::AdService;
use crate::domain::config::CheckConfig;
use crate::domain::kube::annotations::Extracted;
use crate::domain::kube::endpoints::{self, Address, EndpointTemplates};
use crate::domain::kube::file_templates::{self, FileTemplates};
use crate::domain::kube::kube_discovery::told::Told;
use crate::domain::kube::objects::{Kind, KubeEndpoints, KubeObject, KubeService, ObjectKey};
use crate::domain::kube::plan::DiscoveryPlan;
use crate::domain::kube::{prometheus, services};

pub use told::{Changes, ServiceChanges, Source};

/// Of what everything is known, so that something missing is really gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Services, and whatever else decides what is told of them.
    pub services: bool,
    /// The same for addresses.
    pub addresses: bool,
    /// Templates of files.
    pub files: bool,
}

/// Objects, templates, and what was told of them.
#[derive(Debug)]
pub struct DiscoveryStore {
    plan: Arc<DiscoveryPlan>,
    services: BTreeMap<ObjectKey, ServiceEntry>,
    /// Service -> name of the object -> the Endpoints object, or a slice.
    addresses: BTreeMap<ObjectKey, BTreeMap<Arc<str>, Arc<KubeEndpoints>>>,
    /// Endpoints object or slice -> Service.
    service_of: BTreeMap<ObjectKey, ObjectKey>,
    files: FileTemplates,
    told: Told,
    /// Services of which something may be new; kept until what they need is complete.
    changed_services: BTreeSet<ObjectKey>,
    changed_addresses: BTreeSet<ObjectKey>,
    files_changed: bool,
    parsed: u64,
}

#[derive(Debug)]
struct ServiceEntry {
    service: Arc<KubeService>,
    parsed: Arc<Parsed>,
}

/// What the annotations of a Service say: parsed once for each of their states.
#[derive(Debug)]
struct Parsed {
    services: Source,
    endpoints: EndpointTemplates,
    scraped: Source,
    scraped_at_addresses: Vec<CheckConfig>,
    /// The listener for Services tells it.
    told_as_service: bool,
    /// The listener for addresses tells it.
    told_by_address: bool,
}

impl Parsed {
    fn new(service: &KubeService, plan: &DiscoveryPlan) -> Self {
        let annotations = &service.meta.annotations;
        let scraped = plan.prometheus.includes(annotations);
        let extracted = if plan.services { services::templates(service, plan.hybrid) } else { Extracted::default() };
        let shared = |configs: Vec<CheckConfig>| configs.into_iter().map(Arc::new).collect();
        Self {
            services: Source { configs: shared(extracted.configs), errors: extracted.errors },
            endpoints: if plan.endpoints {
                endpoints::templates(service, plan.addresses, plan.hybrid)
            } else {
                EndpointTemplates::default()
            },
            scraped: match plan.scrape {
                Some(false) => Source { configs: shared(plan.prometheus.service_configs(service)), errors: Vec::new() },
                _ => Source::default(),
            },
            scraped_at_addresses: if plan.scrape == Some(true) { plan.prometheus.templates(annotations) } else { Vec::new() },
            told_as_service: scraped || services::is_annotated(annotations, "service"),
            told_by_address: scraped || services::is_annotated(annotations, "endpoints"),
        }
    }
}

impl DiscoveryStore {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(plan: Arc<DiscoveryPlan>) -> Self {
        Self {
            plan,
            services: BTreeMap::new(),
            addresses: BTreeMap::new(),
            service_of: BTreeMap::new(),
            files: FileTemplates::default(),
            told: Told::default(),
            changed_services: BTreeSet::new(),
            changed_addresses: BTreeSet::new(),
            files_changed: false,
            parsed: 0,
        }
    }

    /// Takes over new, changed and lost objects of a kind. `reset`: the new ones are all there are.
    pub fn apply(&mut self, kind: Kind, reset: bool, applied: Vec<KubeObject>, gone: &[ObjectKey]) {
        if reset {
            let named: BTreeSet<ObjectKey> = applied.iter().map(|object| object.key().clone()).collect();
            let known: Vec<ObjectKey> = match kind {
                Kind::Services => self.services.keys().cloned().collect(),
                _ => self.service_of.keys().cloned().collect(),
            };
            self.forget(kind, known.iter().filter(|key| !named.contains(key)));
        }
        self.forget(kind, gone.iter());
        for object in applied {
            match object {
                KubeObject::Service(service) => self.put_service(service),
                KubeObject::Endpoints(object) => self.put_addresses(object),
                KubeObject::Pod(_) | KubeObject::Node(_) | KubeObject::Namespace(_) => {}
            }
        }
    }

    /// Takes over the templates of files that wait for a Kubernetes object: all there are.
    pub fn set_templates(&mut self, configs: &[Arc<CheckConfig>]) {
        let before = (self.all_services(), self.all_addresses());
        let old = std::mem::replace(&mut self.files, FileTemplates::new(configs));
        let named = old.endpoints.keys().chain(self.files.endpoints.keys());
        let differing = named.filter(|key| old.endpoints.get(key) != self.files.endpoints.get(key)).cloned();
        self.changed_addresses.extend(differing);
        self.files_changed |= old.services != self.files.services;
        if before.0 != self.all_services() {
            self.changed_services.extend(self.services.keys().cloned());
        }
        if before.1 != self.all_addresses() {
            self.changed_addresses.extend(self.addresses.keys().cloned());
        }
    }

    /// What is new since the last time, of what is completely known.
    pub fn take_changes(&mut self, ready: Ready) -> Changes {
        let mut changes = Changes::default();
        if ready.services {
            for key in std::mem::take(&mut self.changed_services) {
                self.tell_service(&key, &mut changes);
            }
        }
        if ready.addresses {
            for key in std::mem::take(&mut self.changed_addresses) {
                self.tell_addresses(&key, &mut changes);
            }
        }
        if ready.files && std::mem::take(&mut self.files_changed) {
            self.tell_files(&mut changes);
        }
        changes
    }

    /// Every source of a provider, as it was told last.
    pub fn sources(&self, provider: &str) -> impl Iterator<Item = (&String, &Source)> {
        self.told.sources(provider)
    }

    /// Every service of a listener, as it was told last.
    pub fn found(&self, listener: &str) -> impl Iterator<Item = &Arc<AdService>> {
        self.told.services(listener)
    }

    /// Number of Services and of objects with addresses.
    #[must_use]
    pub fn known(&self) -> (usize, usize) {
        (self.services.len(), self.service_of.len())
    }

    /// How often annotations of a Service were parsed.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.parsed
    }

    fn all_services(&self) -> bool {
        self.plan.all_services || !self.files.services.is_empty()
    }

    fn all_addresses(&self) -> bool {
        self.plan.all_endpoints || !self.files.endpoints.is_empty()
    }

    fn forget<'a>(&mut self, kind: Kind, gone: impl Iterator<Item = &'a ObjectKey>) {
        for key in gone {
            match kind {
                Kind::Services => {
                    if self.services.remove(key).is_some() {
                        self.changed_services.insert(key.clone());
                        self.changed_addresses.insert(key.clone());
                    }
                }
                _ => self.forget_addresses(key),
            }
        }
    }

    fn forget_addresses(&mut self, object: &ObjectKey) {
        let Some(service) = self.service_of.remove(object) else {
            return;
        };
        if let Some(objects) = self.addresses.get_mut(&service) {
            objects.remove(&object.name);
            if objects.is_empty() {
                self.addresses.remove(&service);
            }
        }
        self.changed_addresses.insert(service);
    }

    fn put_service(&mut self, service: Arc<KubeService>) {
        let key = service.meta.key.clone();
        let before = self.services.get(&key);
        let is_headless = |service: &KubeService| &*service.cluster_ip == "None";
        let same_rules = |before: &&ServiceEntry| {
            before.service.meta.annotations == service.meta.annotations && is_headless(&before.service) == is_headless(&service)
        };
        let known = before.filter(same_rules).map(|before| Arc::clone(&before.parsed));
        let parsed = known.unwrap_or_else(|| {
            self.parsed += 1;
            Arc::new(Parsed::new(&service, &self.plan))
        });
        self.services.insert(key.clone(), ServiceEntry { service, parsed });
        self.changed_services.insert(key.clone());
        self.changed_addresses.insert(key);
    }

    fn put_addresses(&mut self, object: Arc<KubeEndpoints>) {
        let key = &object.meta.key;
        let service = ObjectKey { namespace: key.namespace.clone(), name: object.service.clone() };
        if self.service_of.get(key).is_some_and(|before| *before != service) {
            self.forget_addresses(key);
        }
        if object.service.is_empty() {
            return;
        }
        self.service_of.insert(key.clone(), service.clone());
        self.addresses.entry(service.clone()).or_default().insert(key.name.clone(), object);
        self.changed_addresses.insert(service);
    }

    fn tell_service(&mut self, key: &ObjectKey, changes: &mut Changes) {
        let entry = self.services.get(key);
        // Without a uid it is not an object of the API server (autodiscovery 4.2).
        let parsed = entry.filter(|entry| !entry.service.meta.uid.is_empty()).map(|entry| &entry.parsed);
        if self.plan.services {
            let now = parsed.map(|parsed| parsed.services.clone()).unwrap_or_default();
            self.told.put_source(services::PROVIDER, services::entity(key), now, changes);
        }
        if self.plan.scrape == Some(false) {
            let now = parsed.map(|parsed| parsed.scraped.clone()).unwrap_or_default();
            self.told.put_source(prometheus::PROVIDER, services::entity(key), now, changes);
        }
        if self.plan.service_listener {
            let everything = self.all_services();
            let told = entry.filter(|entry| everything || entry.parsed.told_as_service);
            let now = told.map(|entry| services::ad_service(&entry.service, &self.plan.filters)).into_iter().collect();
            self.told.put_services(services::LISTENER, key, now, changes);
        }
    }

    fn tell_addresses(&mut self, key: &ObjectKey, changes: &mut Changes) {
        let plan = &self.plan;
        let entry = self.services.get(key);
        let files = self.files.endpoints.get(key).filter(|_| plan.endpoints_file);
        let listened = plan.endpoints_listener && (self.all_addresses() || entry.is_some_and(|entry| entry.parsed.told_by_address));
        let has_templates = entry
            .is_some_and(|entry| !entry.parsed.endpoints.extracted.configs.is_empty() || !entry.parsed.scraped_at_addresses.is_empty());
        let objects = self.addresses.get(key).filter(|_| listened || has_templates || files.is_some());
        let addresses =
            endpoints::addresses(objects.into_iter().flat_map(BTreeMap::values).map(|object| &**object), plan.addresses, &plan.filters);
        if plan.endpoints {
            let templates = entry.map(|entry| &entry.parsed.endpoints);
            let configs = templates.into_iter().flat_map(|templates| {
                each(&templates.extracted.configs, &addresses, |template, address| {
                    endpoints::config(template, key, address, templates.mode)
                })
            });
            let errors = templates.map(|templates| templates.extracted.errors.clone()).unwrap_or_default();
            let now = Source { configs: configs.collect(), errors };
            self.told.put_source(plan.addresses.provider(), plan.addresses.resource(key), now, changes);
        }
        if plan.scrape == Some(true) {
            let templates = entry.map_or(&[][..], |entry| &entry.parsed.scraped_at_addresses);
            let configs = each(templates, &addresses, |template, address| {
                let config = endpoints::config(template, key, address, endpoints::ResolveMode::Auto);
                CheckConfig { source: prometheus::source(&config.service_id), ..config }
            });
            let now = Source { configs: configs.collect(), errors: Vec::new() };
            self.told.put_source(prometheus::PROVIDER, endpoints::entity(key, ""), now, changes);
        }
        if plan.endpoints_file {
            let provider = plan.addresses.file_provider();
            let configs = files.into_iter().flat_map(|files| {
                each(&files.templates, &addresses, |template, address| CheckConfig {
                    provider: provider.to_owned(),
                    ..endpoints::config(template, key, address, files.mode)
                })
            });
            let now = Source { configs: configs.collect(), errors: Vec::new() };
            self.told.put_source(provider, key.to_string(), now, changes);
        }
        if plan.endpoints_listener {
            let listed = addresses.iter().filter(|address| listened && address.listed);
            let now = listed.map(|address| endpoints::ad_service(key, entry.map(|entry| &*entry.service), address)).collect();
            self.told.put_services(endpoints::LISTENER, key, now, changes);
        }
    }

    fn tell_files(&mut self, changes: &mut Changes) {
        if !self.plan.services_file {
            return;
        }
        let provider = file_templates::SERVICES_PROVIDER;
        for source in self.told.source_names(provider) {
            if !self.files.services.contains_key(&source) {
                self.told.put_source(provider, source, Source::default(), changes);
            }
        }
        for (source, configs) in &self.files.services {
            let now = Source { configs: configs.clone(), errors: Vec::new() };
            self.told.put_source(provider, source.clone(), now, changes);
        }
    }
}

/// The configs of each template for each address.
fn each<'a>(
    templates: &'a [CheckConfig],
    addresses: &'a [Address<'a>],
    config: impl Fn(&CheckConfig, &Address<'_>) -> CheckConfig + 'a,
) -> impl Iterator<Item = Arc<CheckConfig>> + 'a {
    let pairs = templates.iter().flat_map(move |template| addresses.iter().map(move |address| (template, address)));
    pairs.map(move |(template, address)| Arc::new(config(template, address)))
}

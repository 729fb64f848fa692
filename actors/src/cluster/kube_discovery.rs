//! The actor that turns Kubernetes objects into templates and services for the `Resolver`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tracing::{debug, info};

use crate::domain::kube::kube_discovery::{DiscoveryStore, Ready, ServiceChanges, Source};
use crate::domain::kube::objects::Kind;
use crate::domain::kube::plan::{DiscoveryPlan, Needs};
use crate::kernel::mailbox::{Outlet, TellError};
use crate::kernel::supervised::Observed;
use crate::messages::informer::{ObjectsChanged, TellObjects};
use crate::messages::kube_discovery::{FileTemplates, ReplayProvider};
use crate::messages::resolver::{ServicesChanged, SourceChange, SourcesChanged};
use crate::ports::DiscoverySource;
use crate::supervised;

/// Time between two looks for whoever has not answered or was not reached.
///
/// Why: as for the `Resolver`; a full mailbox is rare and passes in milliseconds.
const MEND_INTERVAL: Duration = Duration::from_secs(1);

/// What the actor is given.
#[derive(Clone)]
pub struct KubeDiscoveryParts {
    /// What runs.
    pub plan: Arc<DiscoveryPlan>,
    /// Informers of the kinds that the plan needs, to be asked for everything.
    pub informers: BTreeMap<Kind, Outlet<TellObjects>>,
    /// Whoever sends [`FileTemplates`], to be asked for them.
    pub files: Arc<dyn DiscoverySource>,
    /// To the `Resolver`.
    pub sources: Outlet<SourcesChanged>,
    /// To the `Resolver`.
    pub services: Outlet<ServicesChanged>,
}

/// Owns what Kubernetes objects give to discovery. On every replica.
///
/// Keeps nothing: after a restart it asks informers and files for everything. A provider or listener is told only when all that it
/// depends on is completely known, first in full and then by its changes; so nothing is taken for gone because it is not known yet.
pub struct KubeDiscovery {
    parts: KubeDiscoveryParts,
    store: DiscoveryStore,
    /// Kinds that an informer has told anything of.
    heard: BTreeSet<Kind>,
    /// Kinds of which everything is known.
    synced: BTreeSet<Kind>,
    files_known: bool,
    /// Providers and listeners that get everything next: never told, asked for, or not reached.
    behind: BTreeSet<&'static str>,
}

impl KubeDiscovery {
    /// An actor that knows nothing yet.
    #[must_use]
    pub fn new(parts: KubeDiscoveryParts) -> Self {
        let behind = parts.plan.providers().into_iter().chain(parts.plan.listeners()).collect();
        let store = DiscoveryStore::new(Arc::clone(&parts.plan));
        Self { parts, store, heard: BTreeSet::new(), synced: BTreeSet::new(), files_known: false, behind }
    }

    fn ready(&self) -> Ready {
        let files = self.files_known || !self.parts.plan.needs_files();
        let addresses = self.parts.plan.addresses.kind();
        let services = files && self.parts.plan.kinds().iter().all(|kind| *kind == addresses || self.synced.contains(kind));
        Ready { services, addresses: services && self.synced.contains(&addresses), files }
    }

    /// Tells what changed, and everything to whoever needs it.
    fn tell_changes(&mut self) {
        let ready = self.ready();
        let mut changes = self.store.take_changes(ready);
        let plan = Arc::clone(&self.parts.plan);
        let is_ready = |name: &str| match plan.needs(name) {
            Needs::Services => ready.services,
            Needs::Addresses => ready.addresses,
            Needs::Files => ready.files,
        };
        for provider in plan.providers().into_iter().filter(|provider| is_ready(provider)) {
            let changed = changes.sources.remove(provider).unwrap_or_default();
            self.tell_provider(provider, changed);
        }
        for listener in plan.listeners().into_iter().filter(|listener| is_ready(listener)) {
            let changed = changes.services.remove(listener).unwrap_or_default();
            self.tell_listener(listener, changed);
        }
    }

    fn tell_provider(&mut self, provider: &'static str, changed: BTreeMap<String, Source>) {
        let reset = self.behind.contains(provider);
        if changed.is_empty() && !reset {
            return;
        }
        let change = |(source, now): (String, Source)| SourceChange { source, configs: now.configs, errors: now.errors };
        let changes: Vec<SourceChange> = if reset {
            self.store.sources(provider).map(|(source, now)| change((source.clone(), now.clone()))).collect()
        } else {
            changed.into_iter().map(change).collect()
        };
        let count = changes.len();
        let told = self.parts.sources.tell(SourcesChanged { provider, reset, changes, synced: true });
        self.note(provider, reset, count, told);
    }

    fn tell_listener(&mut self, listener: &'static str, changed: ServiceChanges) {
        let reset = self.behind.contains(listener);
        if changed == ServiceChanges::default() && !reset {
            return;
        }
        let ServiceChanges { appeared, gone } =
            if reset { ServiceChanges { appeared: self.store.found(listener).cloned().collect(), gone: Vec::new() } } else { changed };
        let count = appeared.len();
        let told = self.parts.services.tell(ServicesChanged { listener, reset, appeared, gone, synced: true });
        self.note(listener, reset, count, told);
    }

    /// Remembers who was not reached.
    fn note(&mut self, name: &'static str, reset: bool, count: usize, told: Result<(), TellError>) {
        match told {
            Ok(()) => {
                if reset {
                    info!(name, count, "everything found in Kubernetes told");
                }
                self.behind.remove(name);
            }
            Err(error) => {
                debug!(name, %error, "resolver not reached, it gets everything later");
                self.behind.insert(name);
            }
        }
    }

    /// Asks those of whom nothing was heard since the start.
    fn ask(&self) {
        for (kind, informer) in self.parts.informers.iter().filter(|(kind, _)| !self.heard.contains(kind)) {
            if let Err(error) = informer.tell(TellObjects) {
                debug!(kind = kind.resource(), %error, "informer not reached");
            }
        }
        if !self.files_known && self.parts.plan.needs_files() {
            self.parts.files.request_listing();
        }
    }

    fn mend(&mut self, _: &mut Context<Self>) {
        self.ask();
        if !self.behind.is_empty() {
            self.tell_changes();
        }
    }
}

impl Actor for KubeDiscovery {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.ask();
        context.run_interval(MEND_INTERVAL, Self::mend);
        // A plan that needs nothing has nothing to wait for.
        self.tell_changes();
    }
}

supervised!(KubeDiscovery);

impl Observed for KubeDiscovery {
    fn observe(&self) -> serde_json::Value {
        let (services, addresses) = self.store.known();
        let plan = &self.parts.plan;
        let errors = |provider: &str| self.store.sources(provider).filter(|(_, source)| !source.errors.is_empty()).count();
        json!({
            "services": services,
            "addresses": addresses,
            "synced": self.synced.iter().map(|kind| kind.resource()).collect::<Vec<_>>(),
            "files_known": self.files_known,
            "sources": plan.providers().iter().map(|name| (*name, self.store.sources(name).count())).collect::<BTreeMap<_, _>>(),
            "errors": plan.providers().iter().map(|name| (*name, errors(name))).collect::<BTreeMap<_, _>>(),
            "found": plan.listeners().iter().map(|name| (*name, self.store.found(name).count())).collect::<BTreeMap<_, _>>(),
            "parsed": self.store.parsed(),
            "behind": self.behind,
        })
    }
}

impl Handler<ObjectsChanged> for KubeDiscovery {
    type Result = ();

    fn handle(&mut self, changed: ObjectsChanged, _: &mut Self::Context) {
        let kind = changed.kind;
        self.heard.insert(kind);
        if changed.reset && !changed.synced {
            self.synced.remove(&kind);
        } else if changed.synced {
            self.synced.insert(kind);
        }
        self.store.apply(kind, changed.reset, changed.applied, &changed.gone);
        self.tell_changes();
    }
}

impl Handler<FileTemplates> for KubeDiscovery {
    type Result = ();

    fn handle(&mut self, templates: FileTemplates, _: &mut Self::Context) {
        self.files_known = true;
        self.store.set_templates(&templates.configs);
        self.tell_changes();
    }
}

impl Handler<ReplayProvider> for KubeDiscovery {
    type Result = ();

    fn handle(&mut self, replay: ReplayProvider, _: &mut Self::Context) {
        let plan = &self.parts.plan;
        if plan.providers().contains(&replay.provider) || plan.listeners().contains(&replay.provider) {
            self.behind.insert(replay.provider);
            self.tell_changes();
        }
    }
}

/// One provider or listener as the `Resolver` asks for it.
struct KubeSource {
    name: &'static str,
    replay: Outlet<ReplayProvider>,
}

impl DiscoverySource for KubeSource {
    fn provider(&self) -> &'static str {
        self.name
    }

    fn request_listing(&self) {
        // Who is not reached now is asked again, and tells everything when it starts.
        if let Err(error) = self.replay.tell(ReplayProvider { provider: self.name }) {
            debug!(name = self.name, %error, "discovery of Kubernetes objects not reached");
        }
    }
}

/// Every provider and listener of a plan, for the `Resolver`. `replay` leads to the [`KubeDiscovery`].
#[must_use]
pub fn discovery_sources(plan: &DiscoveryPlan, replay: &Outlet<ReplayProvider>) -> Vec<Arc<dyn DiscoverySource>> {
    let names = plan.providers().into_iter().chain(plan.listeners());
    names.map(|name| Arc::new(KubeSource { name, replay: replay.clone() }) as Arc<dyn DiscoverySource>).collect()
}

//! The actor that knows which configs exist and tells its subscribers what changed.

mod remarks;
mod subscribers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tracing::{info, warn};

use crate::domain::backoff::Backoff;
use crate::domain::config::CheckConfig;
use crate::domain::config_manager::{Changes, ConfigManager};
use crate::domain::discovery::DiscoveryReport;
use crate::domain::secrets::{BACKOFF, Handles, SecretError, SecretValues};
use crate::domain::template::TemplateRules;
use crate::kernel::published::Publisher;
use crate::kernel::rng::Random;
use crate::kernel::supervised::Observed;
use crate::messages::resolver::{ProviderListing, ReplayDiscovery, ServicesChanged, SourceChange, SourcesChanged};
use crate::ports::{DiscoverySource, SecretBackend};
use crate::supervised;

use remarks::Remarks;
use subscribers::Subscribers;

pub use subscribers::DiscoverySubscriber;

/// Time between two looks for subscribers that missed something and for providers that have not listed yet.
///
/// Why: a full mailbox is rare and passes in milliseconds, a provider that is slower than this is asked twice at most.
const MEND_INTERVAL: Duration = Duration::from_secs(1);

/// Looks of [`MEND_INTERVAL`] for which a first listing waits for secrets.
///
/// Why: subscribers remove what a first listing does not name. What a slow backend holds back is named as broken then, and so kept.
const SECRET_PATIENCE: u32 = 5;

/// Longest time for which the report is older than the state.
const REPORT_PAUSE: Duration = Duration::from_millis(100);

/// Pause after a report, for each config in it.
///
/// Why: a report costs in proportion to all configs, a change does not. With this pause reports cost a small share of the time.
const REPORT_PAUSE_PER_CONFIG: Duration = Duration::from_micros(10);

/// Who knows the secrets.
struct Secrets {
    backend: Arc<dyn SecretBackend>,
    random: Arc<dyn Random>,
    /// Questions without an answer.
    failing: BTreeMap<Handles, Backoff>,
}

/// Owns the set of active configs and services. On every replica and on nodes; only the subscribers differ.
///
/// Keeps nothing: after a restart it asks its sources for a full listing, and tells its subscribers that it is synced (so that they
/// may remove what it did not name) only when every source has answered.
pub struct Resolver {
    manager: ConfigManager,
    rules: TemplateRules,
    sources: Vec<Arc<dyn DiscoverySource>>,
    subscribers: Subscribers,
    /// Providers and listeners that have told everything since this incarnation started.
    listed: BTreeSet<&'static str>,
    remarks: Remarks,
    secrets: Option<Secrets>,
    /// Whether everything there is was told once.
    synced: bool,
    /// Looks that were spent on waiting for secrets.
    waited: u32,
    /// The broken sources that subscribers were told of.
    told_broken: BTreeSet<String>,
    report: Arc<Publisher<DiscoveryReport>>,
    reports: u64,
    report_pausing: bool,
    report_outdated: bool,
    /// Services for which a template failed, when last looked at.
    failing: usize,
}

impl Resolver {
    /// A resolver that knows nothing yet. `report` is shared with the factory, so the last report outlives a restart.
    #[must_use]
    pub fn new(
        sources: Vec<Arc<dyn DiscoverySource>>,
        subscribers: Vec<DiscoverySubscriber>,
        report: Arc<Publisher<DiscoveryReport>>,
    ) -> Self {
        Self {
            manager: ConfigManager::default(),
            rules: TemplateRules::default(),
            sources,
            subscribers: Subscribers::new(subscribers),
            listed: BTreeSet::new(),
            remarks: Remarks::default(),
            secrets: None,
            synced: false,
            waited: 0,
            told_broken: BTreeSet::new(),
            report,
            reports: 0,
            report_pausing: false,
            report_outdated: false,
            failing: 0,
        }
    }

    /// Resolves templates by these rules.
    #[must_use]
    pub fn with_rules(mut self, rules: TemplateRules) -> Self {
        self.manager = ConfigManager::new(rules.clone(), self.secrets.is_some());
        self.rules = rules;
        self
    }

    /// Replaces the handles of secrets in configs before they are told; without this they are left alone.
    #[must_use]
    pub fn with_secrets(mut self, backend: Arc<dyn SecretBackend>, random: Arc<dyn Random>) -> Self {
        self.manager = ConfigManager::new(self.rules.clone(), true);
        self.secrets = Some(Secrets { backend, random, failing: BTreeMap::new() });
        self
    }

    fn every_source_listed(&self) -> bool {
        self.sources.iter().all(|source| self.listed.contains(source.provider()))
    }

    /// Whether everything there is has been told now, and had not been before.
    fn becomes_synced(&mut self) -> bool {
        let before = self.synced;
        self.synced |= self.every_source_listed() && (self.waited >= SECRET_PATIENCE || !self.manager.has_open_lookups());
        self.synced && !before
    }

    /// Sources that exist and cannot be used now.
    fn broken(&self) -> BTreeSet<String> {
        let mut broken = self.remarks.broken();
        broken.extend(self.manager.sources_without_secrets().map(str::to_owned));
        broken
    }

    /// What subscribers are told if everything there is was told.
    fn word_of_sync(&mut self, synced: bool) -> Option<BTreeSet<String>> {
        if !synced {
            return None;
        }
        self.told_broken = self.broken();
        Some(self.told_broken.clone())
    }

    /// Tells everything to those who missed something.
    fn catch_up(&mut self) {
        if self.subscribers.behind() > 0 {
            let word = self.word_of_sync(self.synced);
            self.subscribers.catch_up(&self.manager, word.as_ref());
        }
    }

    /// Begins anew with every subscriber.
    fn tell_all_again(&mut self) {
        self.subscribers.forget();
        self.catch_up();
    }

    /// What follows from every change.
    fn after(&mut self, changes: &Changes, context: &mut Context<Self>) {
        let now_synced = self.becomes_synced();
        let word = self.word_of_sync(now_synced);
        self.subscribers.tell(changes, word.as_ref());
        for handles in self.manager.take_lookups() {
            self.look_up(handles, context);
        }
        let failing = self.manager.failing_count();
        if failing > self.failing {
            warn!(services = failing, "templates cannot be resolved for some services, `configcheck --verbose` lists them");
        }
        self.failing = failing;
        self.publish_soon(context);
    }

    fn log_changes(source: &'static str, changes: &Changes) {
        if !changes.is_empty() {
            info!(source, added = changes.schedule.len(), removed = changes.unschedule.len(), "configs discovered");
        }
    }

    /// Asks for secrets; the answer comes back in a later turn of this actor.
    fn look_up(&mut self, handles: Handles, context: &mut Context<Self>) {
        let Some(secrets) = &self.secrets else {
            return;
        };
        let call = secrets.backend.resolve(handles.clone()).into_actor(self);
        context.spawn(call.map(move |answer, resolver, context| resolver.on_secrets(handles, answer, context)));
    }

    fn on_secrets(&mut self, handles: Handles, answer: Result<SecretValues, SecretError>, context: &mut Context<Self>) {
        let Some(secrets) = &mut self.secrets else {
            return;
        };
        let changes = match answer {
            Ok(values) => {
                secrets.failing.remove(&handles);
                self.manager.secrets(&handles, values)
            }
            Err(error) => {
                let pause = secrets.failing.entry(handles.clone()).or_default().failed(&BACKOFF, secrets.random.unit());
                if self.manager.secrets_failed(&handles, error.clone()) {
                    warn!(%error, retry_in = ?pause, "check configurations not used for want of a secret, `configcheck` lists them");
                }
                context.run_later(pause, move |resolver, context| resolver.look_up_again(handles, context));
                Changes::default()
            }
        };
        Self::log_changes("secrets", &changes);
        self.after(&changes, context);
    }

    fn look_up_again(&mut self, handles: Handles, context: &mut Context<Self>) {
        if self.manager.wants_secrets(&handles) {
            self.look_up(handles, context);
        } else if let Some(secrets) = &mut self.secrets {
            secrets.failing.remove(&handles);
        }
    }

    /// Publishes a report now, or at the end of the pause after the last one.
    fn publish_soon(&mut self, context: &mut Context<Self>) {
        if self.report_pausing {
            self.report_outdated = true;
            return;
        }
        self.publish();
        self.report_pausing = true;
        self.report_outdated = false;
        let configs = u32::try_from(self.manager.active_count() + self.manager.scheduled_count()).unwrap_or(u32::MAX);
        context.run_later(REPORT_PAUSE.min(REPORT_PAUSE_PER_CONFIG * configs), |resolver, context| {
            resolver.report_pausing = false;
            if resolver.report_outdated {
                resolver.publish_soon(context);
            }
        });
    }

    fn publish(&mut self) {
        self.reports += 1;
        let mut report = DiscoveryReport {
            synced: self.synced,
            configs: self.manager.scheduled(),
            resolve_warnings: self.manager.resolve_warnings(),
            unresolved: self.manager.unresolved(),
            encrypted: self.manager.encrypted(),
            ..DiscoveryReport::default()
        };
        self.remarks.add_to(&mut report);
        for (name, error) in self.manager.secret_errors() {
            remarks::add_error(&mut report, &name, &error);
        }
        self.report.publish(report);
    }

    fn mend(&mut self, context: &mut Context<Self>) {
        for source in self.sources.iter().filter(|source| !self.listed.contains(source.provider())) {
            source.request_listing();
        }
        if !self.synced && self.every_source_listed() {
            self.waited += 1;
            self.after(&Changes::default(), context);
        }
        // Subscribers keep what a broken source said before this process started. Once it is mended, what it names now is all.
        if self.synced && !self.told_broken.is_empty() && !self.told_broken.is_subset(&self.broken()) {
            self.subscribers.forget();
        }
        self.catch_up();
    }
}

impl Actor for Resolver {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for source in &self.sources {
            source.request_listing();
        }
        context.run_interval(MEND_INTERVAL, Self::mend);
        self.synced = self.sources.is_empty();
        self.tell_all_again();
        if self.sources.is_empty() {
            self.publish();
        }
    }
}

impl Handler<ProviderListing> for Resolver {
    type Result = ();

    fn handle(&mut self, listing: ProviderListing, context: &mut Self::Context) {
        let (synced_before, broken_before) = (self.synced, self.remarks.broken());
        let changes = self.manager.replace(listing.provider, listing.configs);
        self.listed.insert(listing.provider);
        self.remarks.replace_errors(listing.provider, true, vec![(String::new(), listing.errors)]);
        self.remarks.replace_warnings(listing.provider, listing.warnings);
        Self::log_changes(listing.provider, &changes);
        self.after(&changes, context);
        if synced_before && self.remarks.broken() != broken_before {
            // Now what they kept of it may go, or must be kept.
            self.tell_all_again();
        }
    }
}

impl Handler<SourcesChanged> for Resolver {
    type Result = ();

    fn handle(&mut self, message: SourcesChanged, context: &mut Self::Context) {
        let SourcesChanged { provider, reset, changes, synced } = message;
        let mut errors = Vec::with_capacity(changes.len());
        let mut configs: Vec<(String, Vec<Arc<CheckConfig>>)> = Vec::with_capacity(changes.len());
        for SourceChange { source, configs: now, errors: wrong } in changes {
            errors.push((source.clone(), wrong));
            configs.push((source, now));
        }
        let changes =
            self.manager.change_sources(provider, reset, configs.iter().map(|(source, now)| (source.as_str(), now.iter().cloned())));
        self.remarks.replace_errors(provider, reset, errors);
        if synced {
            self.listed.insert(provider);
        }
        Self::log_changes(provider, &changes);
        self.after(&changes, context);
    }
}

impl Handler<ServicesChanged> for Resolver {
    type Result = ();

    fn handle(&mut self, message: ServicesChanged, context: &mut Self::Context) {
        let ServicesChanged { listener, reset, appeared, gone, synced } = message;
        let changes = self.manager.change_services(listener, reset, appeared, gone);
        if synced {
            self.listed.insert(listener);
        }
        Self::log_changes(listener, &changes);
        self.after(&changes, context);
    }
}

impl Handler<ReplayDiscovery> for Resolver {
    type Result = ();

    /// Marks all subscribers: who knows everything already is not changed by hearing it again.
    fn handle(&mut self, _: ReplayDiscovery, _: &mut Self::Context) {
        self.tell_all_again();
        if self.subscribers.behind() > 0 {
            warn!("replay of discovery is late, a subscriber is not reached");
        }
    }
}

impl Observed for Resolver {
    fn observe(&self) -> serde_json::Value {
        json!({
            "synced": self.synced,
            "active": self.manager.active_count(),
            "services": self.manager.service_count(),
            "scheduled": self.manager.scheduled_count(),
            "listed": self.listed,
            "errors": self.remarks.error_count(),
            "services_with_failed_templates": self.failing,
            "secrets_failing": self.secrets.as_ref().map_or(0, |secrets| secrets.failing.len()),
            "resolutions": self.manager.resolutions(),
            "reports": self.reports,
            "behind": self.subscribers.behind(),
        })
    }
}

supervised!(Resolver);

//! The actor that knows which configs exist and tells its subscribers what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tracing::{debug, info, warn};

use crate::domain::config_manager::{Changes, ConfigManager};
use crate::domain::discovery::{ConfigError, DiscoveryReport};
use crate::domain::ids::ConfigKey;
use crate::kernel::mailbox::{Outlet, TellError};
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};
use crate::messages::resolver::{ProviderListing, ReplayDiscovery};
use crate::ports::DiscoverySource;
use crate::supervised;

/// Time between two looks for subscribers that missed something and for providers that have not listed yet.
///
/// Why: a full mailbox is rare and passes in milliseconds, a provider that is slower than this is asked twice at most.
const MEND_INTERVAL: Duration = Duration::from_secs(1);

/// Most errors of one listing that are logged one by one.
const LOGGED_ERRORS: usize = 10;

/// Where to tell one subscriber.
#[derive(Debug, Clone)]
pub struct DiscoverySubscriber {
    /// Takes the word that everything is told from here on.
    pub started: Outlet<DiscoveryStarted>,
    /// Takes new and lost configs.
    pub configs: Outlet<ConfigsDiscovered>,
    /// Takes the word that everything was told.
    pub synced: Outlet<DiscoverySynced>,
}

struct Subscription {
    subscriber: DiscoverySubscriber,
    /// Set when it missed something and gets everything again: the removals it has not heard of.
    missed: Option<BTreeSet<ConfigKey>>,
}

/// What a provider reported beside its configs.
#[derive(Default)]
struct Remarks {
    errors: Vec<ConfigError>,
    warnings: BTreeMap<String, Vec<String>>,
}

/// Owns the set of active configs. On every replica and on nodes; only the subscribers differ.
///
/// Keeps nothing: after a restart it asks its providers for a full listing, and tells its subscribers that it is synced (so that they
/// may remove what it did not name) only when every provider has answered.
pub struct Resolver {
    manager: ConfigManager,
    sources: Vec<Arc<dyn DiscoverySource>>,
    subscriptions: Vec<Subscription>,
    /// Providers that have listed since this incarnation started.
    listed: BTreeMap<&'static str, Remarks>,
    report: Arc<Publisher<DiscoveryReport>>,
}

impl Resolver {
    /// A resolver that knows nothing yet. `report` is shared with the factory, so the last report outlives a restart.
    #[must_use]
    pub fn new(
        sources: Vec<Arc<dyn DiscoverySource>>,
        subscribers: Vec<DiscoverySubscriber>,
        report: Arc<Publisher<DiscoveryReport>>,
    ) -> Self {
        let subscriptions = subscribers.into_iter().map(|subscriber| Subscription { subscriber, missed: None }).collect();
        Self { manager: ConfigManager::default(), sources, subscriptions, listed: BTreeMap::new(), report }
    }

    fn synced(&self) -> bool {
        self.sources.iter().all(|source| self.listed.contains_key(source.provider()))
    }

    /// Tells subscribers a change; who cannot be reached gets everything again later.
    fn tell(&mut self, changes: &Changes, now_synced: bool) {
        let synced = now_synced.then(|| self.broken());
        for subscription in &mut self.subscriptions {
            if let Some(missed) = &mut subscription.missed {
                missed.extend(&changes.unschedule);
            } else if Self::tell_one(&subscription.subscriber, changes, synced.as_ref()).is_err() {
                subscription.missed = Some(changes.unschedule.iter().copied().collect());
            }
        }
    }

    /// Sources that exist and cannot be used now.
    fn broken(&self) -> BTreeSet<String> {
        self.listed.iter().flat_map(|(provider, remarks)| remarks.errors.iter().map(|error| error.source(provider))).collect()
    }

    /// `synced`: the sources that cannot be used, if everything has been told with these changes.
    fn tell_one(subscriber: &DiscoverySubscriber, changes: &Changes, synced: Option<&BTreeSet<String>>) -> Result<(), TellError> {
        if !changes.is_empty() {
            subscriber.configs.tell(ConfigsDiscovered { added: changes.schedule.clone(), removed: changes.unschedule.clone() })?;
        }
        if let Some(broken) = synced {
            subscriber.synced.tell(DiscoverySynced { broken: broken.clone() })?;
        }
        Ok(())
    }

    /// Tells everything to those who missed something.
    fn catch_up(&mut self) {
        let synced = self.synced().then(|| self.broken());
        for subscription in &mut self.subscriptions {
            let Some(missed) = &subscription.missed else {
                continue;
            };
            let schedule = self.manager.scheduled();
            let unschedule = missed.iter().filter(|key| !self.manager.is_scheduled(key)).copied().collect();
            let told = subscription
                .subscriber
                .started
                .tell(DiscoveryStarted)
                .and_then(|()| Self::tell_one(&subscription.subscriber, &Changes { unschedule, schedule }, synced.as_ref()));
            match told {
                Ok(()) => subscription.missed = None,
                Err(error) => debug!(%error, "subscriber of discovery not reached"),
            }
        }
    }

    /// Begins anew with every subscriber.
    fn tell_all_again(&mut self) {
        for subscription in &mut self.subscriptions {
            subscription.missed.get_or_insert_default();
        }
        self.catch_up();
    }

    fn publish(&self) {
        let mut config_errors: BTreeMap<String, String> = BTreeMap::new();
        let mut resolve_warnings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for remarks in self.listed.values() {
            for error in &remarks.errors {
                let text = config_errors.entry(error.integration.clone()).or_default();
                // Several files may bear one name; none hides the error of another (autodiscovery 4.1).
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&error.to_string());
            }
            for (name, warnings) in &remarks.warnings {
                resolve_warnings.entry(name.clone()).or_default().extend(warnings.iter().cloned());
            }
        }
        self.report.publish(DiscoveryReport {
            synced: self.synced(),
            configs: self.manager.scheduled(),
            resolve_warnings,
            config_errors,
            unresolved: self.manager.unresolved(),
        });
    }

    /// Logs what is wrong since the last listing, and what no longer is.
    fn log_errors(&self, provider: &'static str, before: &[ConfigError]) {
        let errors = self.listed.get(provider).map_or(&[][..], |remarks| &remarks.errors);
        let new: Vec<&ConfigError> = errors.iter().filter(|error| !before.contains(error)).collect();
        for error in new.iter().take(LOGGED_ERRORS) {
            warn!(provider, integration = error.integration, %error, "check configuration not used, what ran before is kept");
        }
        if new.len() > LOGGED_ERRORS {
            warn!(provider, more = new.len() - LOGGED_ERRORS, "further check configurations not used, `configcheck` lists them");
        }
        for error in before.iter().filter(|error| errors.iter().all(|now| now.origin != error.origin)) {
            info!(provider, integration = error.integration, origin = error.origin, "check configuration is in order again, or gone");
        }
    }

    fn mend(&mut self, _: &mut Context<Self>) {
        self.catch_up();
        for source in &self.sources {
            if !self.listed.contains_key(source.provider()) {
                source.request_listing();
            }
        }
    }
}

impl Actor for Resolver {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for source in &self.sources {
            source.request_listing();
        }
        context.run_interval(MEND_INTERVAL, Self::mend);
        self.tell_all_again();
        if self.sources.is_empty() {
            self.publish();
        }
    }
}

impl Handler<ProviderListing> for Resolver {
    type Result = ();

    fn handle(&mut self, listing: ProviderListing, _: &mut Self::Context) {
        let (synced_before, broken_before) = (self.synced(), self.broken());
        let changes = self.manager.replace(listing.provider, listing.configs);
        let remarks = Remarks { errors: listing.errors, warnings: listing.warnings };
        let remarked = self.listed.insert(listing.provider, remarks);
        self.log_errors(listing.provider, &remarked.unwrap_or_default().errors);
        let now_synced = self.synced() && !synced_before;
        if !changes.is_empty() {
            info!(provider = listing.provider, added = changes.schedule.len(), removed = changes.unschedule.len(), "configs discovered");
        }
        self.tell(&changes, now_synced);
        if synced_before && self.broken() != broken_before {
            // Subscribers keep what a broken source said before this process started; now it may go, or must be kept.
            self.tell_all_again();
        }
        self.publish();
    }
}

impl Handler<ReplayDiscovery> for Resolver {
    type Result = ();

    /// Marks all subscribers: who knows everything already is not changed by hearing it again.
    fn handle(&mut self, _: ReplayDiscovery, _: &mut Self::Context) {
        self.tell_all_again();
        if self.subscriptions.iter().any(|subscription| subscription.missed.is_some()) {
            warn!("replay of discovery is late, a subscriber is not reached");
        }
    }
}

impl Observed for Resolver {
    fn observe(&self) -> serde_json::Value {
        json!({
            "synced": self.synced(),
            "scheduled": self.manager.scheduled().len(),
            "listed": self.listed.keys().collect::<Vec<_>>(),
            "errors": self.listed.values().map(|remarks| remarks.errors.len()).sum::<usize>(),
            "behind": self.subscriptions.iter().filter(|subscription| subscription.missed.is_some()).count(),
        })
    }
}

supervised!(Resolver);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::domain::config::{CheckConfig, Data};
    use crate::domain::digest::config_key;
    use crate::kernel::mailbox::Handle;
    use crate::kernel::universe::{self, Recorded, Universe};

    struct FakeSource {
        provider: &'static str,
        requests: AtomicUsize,
    }

    impl DiscoverySource for FakeSource {
        fn provider(&self) -> &'static str {
            self.provider
        }

        fn request_listing(&self) {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Stage {
        resolver: Handle<Resolver>,
        sources: Vec<Arc<FakeSource>>,
        configs: Recorded<ConfigsDiscovered>,
        synced: Recorded<DiscoverySynced>,
        report: Arc<Publisher<DiscoveryReport>>,
    }

    fn stage(universe: &Universe, providers: &[&'static str]) -> Stage {
        let sources: Vec<_> = providers.iter().map(|provider| Arc::new(FakeSource { provider, requests: AtomicUsize::new(0) })).collect();
        let (configs_outlet, configs) = universe.recorder("configs");
        let (synced_outlet, synced) = universe.recorder("synced");
        let report = Arc::new(Publisher::new(DiscoveryReport::default()));
        let started_outlet = universe.recorder("started").0;
        let subscriber = DiscoverySubscriber { started: started_outlet, configs: configs_outlet, synced: synced_outlet };
        let (for_factory, published) = (sources.clone(), Arc::clone(&report));
        let resolver = universe.start("Resolver", move || {
            let sources = for_factory.iter().map(|source| Arc::clone(source) as Arc<dyn DiscoverySource>).collect();
            Resolver::new(sources, vec![subscriber.clone()], Arc::clone(&published))
        });
        Stage { resolver, sources, configs, synced, report }
    }

    fn config(name: &str) -> Arc<CheckConfig> {
        Arc::new(CheckConfig { name: name.to_owned(), instances: vec![Data::from("{}")], ..CheckConfig::default() })
    }

    fn listing(provider: &'static str, names: &[&str]) -> ProviderListing {
        let configs = names.iter().map(|name| config(name)).collect();
        ProviderListing { provider, configs, errors: Vec::new(), warnings: BTreeMap::new() }
    }

    fn names(configs: &[Arc<CheckConfig>]) -> Vec<&str> {
        configs.iter().map(|config| config.name.as_str()).collect()
    }

    #[test]
    fn when_a_source_breaks_or_is_mended_everything_is_told_again_with_the_broken_sources() {
        universe::run(1, |universe| async move {
            let stage = stage(&universe, &["file"]);
            stage.resolver.tell(listing("file", &["a"])).unwrap();
            universe.settle().await;
            assert!(stage.synced.take().pop().unwrap().broken.is_empty());
            let error = ConfigError {
                integration: "b".to_owned(),
                origin: "/conf.d/b.yaml".to_owned(),
                position: None,
                problem: String::new(),
                found: String::new(),
                allowed: String::new(),
            };
            let with_error = ProviderListing { errors: vec![error], ..listing("file", &["a"]) };
            stage.resolver.tell(with_error.clone()).unwrap();
            stage.resolver.tell(with_error).unwrap();
            stage.resolver.tell(listing("file", &["a"])).unwrap();
            universe.settle().await;
            let broken: Vec<Vec<String>> = stage.synced.take().into_iter().map(|synced| synced.broken.into_iter().collect()).collect();
            assert_eq!(broken, [vec!["file:/conf.d/b.yaml".to_owned()], vec![]]);
        });
    }

    #[test]
    fn a_listing_is_told_and_then_synced() {
        universe::run(1, |universe| async move {
            let stage = stage(&universe, &["file"]);
            universe.settle().await;
            assert_eq!(stage.sources[0].requests.load(Ordering::Relaxed), 1);
            assert!(!stage.report.reader().current().synced);
            stage.resolver.tell(listing("file", &["b", "a"])).unwrap();
            universe.settle().await;
            let told = stage.configs.take();
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].added.len(), 2);
            assert_eq!(stage.synced.take().len(), 1);
            let report = stage.report.reader().current();
            assert!(report.synced);
            assert_eq!(names(&report.configs), ["a", "b"]);

            stage.resolver.tell(listing("file", &["a", "c"])).unwrap();
            universe.settle().await;
            let told = stage.configs.take();
            assert_eq!(names(&told[0].added), ["c"]);
            assert_eq!(told[0].removed, [config_key(&config("b"))]);
            assert!(stage.synced.take().is_empty());
        });
    }

    #[test]
    fn nothing_is_synced_before_every_provider_has_listed() {
        universe::run(2, |universe| async move {
            let stage = stage(&universe, &["file", "kubernetes-services"]);
            stage.resolver.tell(listing("file", &["a"])).unwrap();
            universe.settle().await;
            assert_eq!(stage.configs.take().len(), 1);
            assert!(stage.synced.take().is_empty());
            universe.advance(Duration::from_millis(1500)).await;
            assert_eq!(stage.sources[0].requests.load(Ordering::Relaxed), 1);
            assert_eq!(stage.sources[1].requests.load(Ordering::Relaxed), 2);
            stage.resolver.tell(listing("kubernetes-services", &[])).unwrap();
            universe.settle().await;
            assert_eq!(stage.synced.take().len(), 1);
        });
    }

    #[test]
    fn a_replay_tells_everything_again() {
        universe::run(3, |universe| async move {
            let stage = stage(&universe, &["file"]);
            stage.resolver.tell(ReplayDiscovery).unwrap();
            universe.settle().await;
            assert!(stage.configs.take().is_empty());
            assert!(stage.synced.take().is_empty());
            stage.resolver.tell(listing("file", &["a", "b"])).unwrap();
            universe.settle().await;
            assert_eq!((stage.configs.take().len(), stage.synced.take().len()), (1, 1));
            stage.resolver.tell(ReplayDiscovery).unwrap();
            universe.settle().await;
            assert_eq!(names(&stage.configs.take()[0].added), ["a", "b"]);
            assert_eq!(stage.synced.take().len(), 1);
        });
    }

    #[test]
    fn after_a_restart_it_asks_again_and_removes_nothing_itself() {
        universe::run(4, |universe| async move {
            let stage = stage(&universe, &["file"]);
            stage.resolver.tell(listing("file", &["a", "b"])).unwrap();
            universe.settle().await;
            let _ = (stage.configs.take(), stage.synced.take());
            universe.expect_panics(1);
            universe.kernel().crash("Resolver");
            universe.settle().await;
            assert_eq!(stage.sources[0].requests.load(Ordering::Relaxed), 2);
            assert!(stage.configs.take().is_empty());
            assert_eq!(names(&stage.report.reader().current().configs), ["a", "b"]);
            stage.resolver.tell(listing("file", &["b"])).unwrap();
            universe.settle().await;
            let told = stage.configs.take();
            assert_eq!(names(&told[0].added), ["b"]);
            assert!(told[0].removed.is_empty());
            assert_eq!(stage.synced.take().len(), 1);
        });
    }

    #[test]
    fn a_subscriber_that_is_down_gets_everything_later() {
        universe::run(5, |universe| async move {
            let (configs_outlet, configs) = universe.recorder::<ConfigsDiscovered>("configs");
            let late = Handle::<Relay>::new("Relay");
            let (synced_outlet, synced) = universe.recorder::<DiscoverySynced>("synced");
            let subscriber = DiscoverySubscriber { started: universe.recorder("started").0, configs: late.outlet(), synced: synced_outlet };
            let report = Arc::new(Publisher::new(DiscoveryReport::default()));
            let resolver = universe.start("Resolver", move || {
                let source: Arc<dyn DiscoverySource> = Arc::new(FakeSource { provider: "file", requests: AtomicUsize::new(0) });
                Resolver::new(vec![source], vec![subscriber.clone()], Arc::clone(&report))
            });
            resolver.tell(listing("file", &["a"])).unwrap();
            resolver.tell(listing("file", &["b"])).unwrap();
            universe.settle().await;
            assert!(synced.take().is_empty());
            universe.bind(&late, move || Relay(configs_outlet.clone()));
            universe.advance(MEND_INTERVAL * 2).await;
            let told = configs.take();
            assert_eq!(told.len(), 1);
            assert_eq!(names(&told[0].added), ["b"]);
            assert_eq!(told[0].removed, [config_key(&config("a"))]);
            assert_eq!(synced.take().len(), 1);
        });
    }

    #[test]
    fn errors_of_several_files_of_one_name_are_all_reported() {
        universe::run(6, |universe| async move {
            let stage = stage(&universe, &["file"]);
            let error = |origin: &str| ConfigError {
                integration: "a".to_owned(),
                origin: origin.to_owned(),
                position: None,
                problem: "p".to_owned(),
                found: "f".to_owned(),
                allowed: "w".to_owned(),
            };
            let mut broken = listing("file", &["a"]);
            broken.errors = vec![error("1.yaml"), error("2.yaml")];
            broken.warnings = BTreeMap::from([("a".to_owned(), vec!["odd".to_owned()])]);
            stage.resolver.tell(broken).unwrap();
            universe.settle().await;
            let report = stage.report.reader().current();
            assert_eq!(report.config_errors["a"], "p: 1.yaml: found f, allowed: w\np: 2.yaml: found f, allowed: w");
            assert_eq!(report.resolve_warnings["a"], ["odd"]);
            stage.resolver.tell(listing("file", &["a"])).unwrap();
            universe.settle().await;
            assert!(stage.report.reader().current().config_errors.is_empty());
        });
    }

    struct Relay(Outlet<ConfigsDiscovered>);

    impl Actor for Relay {
        type Context = Context<Self>;
    }

    impl Observed for Relay {
        fn observe(&self) -> serde_json::Value {
            json!({})
        }
    }

    impl Handler<ConfigsDiscovered> for Relay {
        type Result = ();

        fn handle(&mut self, message: ConfigsDiscovered, _: &mut Self::Context) {
            self.0.post(message);
        }
    }

    supervised!(Relay);
}

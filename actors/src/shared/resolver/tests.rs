use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::ad_service::AdService;
use crate::domain::config::Data;
use crate::domain::digest::config_key;
use crate::domain::discovery::ConfigError;
use crate::kernel::mailbox::{Handle, Outlet};
use crate::kernel::universe::{self, Recorded, Universe};
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoverySynced};
use crate::testing::secret_backend::FakeSecretBackend;

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
    stage_of(universe, providers, |resolver| resolver)
}

fn stage_of(universe: &Universe, providers: &[&'static str], fit: impl Fn(Resolver) -> Resolver + 'static) -> Stage {
    let sources: Vec<_> = providers.iter().map(|provider| Arc::new(FakeSource { provider, requests: AtomicUsize::new(0) })).collect();
    let (configs_outlet, configs) = universe.recorder("configs");
    let (synced_outlet, synced) = universe.recorder("synced");
    let report = Arc::new(Publisher::new(DiscoveryReport::default()));
    let started_outlet = universe.recorder("started").0;
    let subscriber = DiscoverySubscriber { started: started_outlet, configs: configs_outlet, synced: synced_outlet };
    let (for_factory, published) = (sources.clone(), Arc::clone(&report));
    let resolver = universe.start("Resolver", move || {
        let sources = for_factory.iter().map(|source| Arc::clone(source) as Arc<dyn DiscoverySource>).collect();
        fit(Resolver::new(sources, vec![subscriber.clone()], Arc::clone(&published)))
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

fn templated(name: &str, instance: &str, identifier: &str) -> Arc<CheckConfig> {
    Arc::new(CheckConfig {
        name: name.to_owned(),
        instances: vec![Data::from(instance)],
        ad_identifiers: vec![identifier.to_owned()],
        ..CheckConfig::default()
    })
}

fn sources(changes: Vec<(&str, Vec<Arc<CheckConfig>>)>, synced: bool) -> SourcesChanged {
    let change = |(source, configs): (&str, _)| SourceChange { source: source.to_owned(), configs, errors: Vec::new() };
    SourcesChanged { provider: "kubernetes-services", reset: false, changes: changes.into_iter().map(change).collect(), synced }
}

fn services(ids: &[&str], host: &str, synced: bool) -> ServicesChanged {
    let service = |id: &&str| {
        let hosts = BTreeMap::from([("cluster".to_owned(), host.to_owned())]);
        Arc::new(AdService { id: (*id).to_owned(), identifiers: vec![(*id).to_owned()], hosts, ..AdService::default() })
    };
    ServicesChanged { listener: "kube_services", reset: false, appeared: ids.iter().map(service).collect(), gone: Vec::new(), synced }
}

fn instances(told: &[ConfigsDiscovered]) -> Vec<String> {
    told.iter().flat_map(|one| &one.added).map(|config| config.instances[0].text().into_owned()).collect()
}

fn mistake(integration: &str, origin: &str) -> ConfigError {
    ConfigError {
        integration: integration.to_owned(),
        origin: origin.to_owned(),
        position: None,
        problem: "p".to_owned(),
        found: "f".to_owned(),
        allowed: "w".to_owned(),
    }
}

#[test]
fn templates_meet_services_and_changes_of_either_are_told() {
    universe::run(7, |universe| async move {
        let stage = stage(&universe, &["kubernetes-services", "kube_services"]);
        stage.resolver.tell(sources(vec![("S", vec![templated("a", "h: '%%host%%'", "S")])], true)).unwrap();
        stage.resolver.tell(services(&["T"], "1.1.1.1", false)).unwrap();
        universe.settle().await;
        assert!(stage.configs.take().is_empty() && stage.synced.take().is_empty());
        stage.resolver.tell(services(&["S"], "1.1.1.1", true)).unwrap();
        universe.settle().await;
        assert_eq!(instances(&stage.configs.take()), ["h: 1.1.1.1\n"]);
        assert_eq!(stage.synced.take().len(), 1, "provider and listener have told everything");
        stage.resolver.tell(services(&["S"], "2.2.2.2", true)).unwrap();
        universe.settle().await;
        let told = stage.configs.take();
        assert_eq!((instances(&told), told[0].removed.len()), (vec!["h: 2.2.2.2\n".to_owned()], 1));
        stage.resolver.tell(sources(vec![("S", Vec::new())], false)).unwrap();
        universe.settle().await;
        assert_eq!(stage.configs.take()[0].removed.len(), 1);
        assert!(stage.synced.take().is_empty());
    });
}

#[test]
fn after_a_restart_partial_news_are_no_listing() {
    universe::run(8, |universe| async move {
        let stage = stage(&universe, &["kubernetes-services"]);
        stage.resolver.tell(sources(vec![("A", vec![config("a")]), ("B", vec![config("b")])], true)).unwrap();
        universe.settle().await;
        let _ = (stage.configs.take(), stage.synced.take());
        universe.expect_panics(1);
        universe.kernel().crash("Resolver");
        universe.settle().await;
        stage.resolver.tell(sources(vec![("B", vec![config("b")])], false)).unwrap();
        universe.settle().await;
        assert!(stage.synced.take().is_empty());
        stage.resolver.tell(SourcesChanged { reset: true, ..sources(vec![("A", vec![config("a")])], true) }).unwrap();
        universe.settle().await;
        assert_eq!(stage.configs.take().len(), 2);
        assert_eq!(stage.synced.take().len(), 1);
    });
}

#[test]
fn mistakes_in_objects_are_shown_and_kept_as_broken() {
    universe::run(9, |universe| async move {
        let stage = stage(&universe, &["kubernetes-services"]);
        let object = "kube_service://shop/cart";
        let mut broken = sources(vec![(object, Vec::new())], true);
        broken.changes[0].errors = vec![mistake("", object)];
        stage.resolver.tell(broken).unwrap();
        universe.settle().await;
        let told: Vec<_> = stage.synced.take().pop().unwrap().broken.into_iter().collect();
        assert_eq!(told, ["kube_services:kube_service://shop/cart"], "as configs of it name their source");
        let report = stage.report.reader().current();
        assert_eq!(report.config_errors[object], "p: kube_service://shop/cart: found f, allowed: w");
        assert_eq!(report.broken_sources["kubernetes-services"], 1);

        stage.resolver.tell(sources(vec![(object, vec![config("a")])], false)).unwrap();
        universe.advance(MEND_INTERVAL * 2).await;
        assert!(stage.synced.take().pop().unwrap().broken.is_empty(), "what subscribers kept of it may go");
        let report = stage.report.reader().current();
        assert!(report.config_errors.is_empty());
        assert_eq!(report.broken_sources["kubernetes-services"], 0);

        let mut broken = sources(vec![(object, Vec::new())], false);
        broken.changes[0].errors = vec![mistake("", object)];
        stage.resolver.tell(broken).unwrap();
        universe.advance(MEND_INTERVAL * 2).await;
        stage.resolver.tell(sources(vec![(object, vec![config("a")])], false)).unwrap();
        universe.advance(MEND_INTERVAL * 2).await;
        assert!(stage.synced.take().is_empty(), "nobody keeps anything of it, so a full replay would be for nothing");
    });
}

fn with_secrets(universe: &Universe, backend: &Arc<FakeSecretBackend>) -> impl Fn(Resolver) -> Resolver + use<> {
    let (backend, random) = (Arc::clone(backend), universe.random());
    move |resolver| resolver.with_secrets(Arc::clone(&backend) as _, Arc::clone(&random))
}

fn secretive(name: &str) -> Arc<CheckConfig> {
    let instances = vec![Data::from("user: 'ENC[x]'\n")];
    Arc::new(CheckConfig { name: name.to_owned(), instances, source: format!("file:{name}"), ..CheckConfig::default() })
}

fn file_listing(configs: Vec<Arc<CheckConfig>>) -> ProviderListing {
    ProviderListing { provider: "file", configs, errors: Vec::new(), warnings: BTreeMap::new() }
}

#[test]
fn a_config_with_a_secret_is_told_when_the_secret_is_known() {
    universe::run(10, |universe| async move {
        let backend = Arc::new(FakeSecretBackend::slow(Duration::from_millis(300)));
        backend.put("x", "hunter2");
        let stage = stage_of(&universe, &["file"], with_secrets(&universe, &backend));
        stage.resolver.tell(file_listing(vec![secretive("a"), secretive("b"), config("c")])).unwrap();
        universe.settle().await;
        assert_eq!(names(&stage.configs.take()[0].added), ["c"], "others do not wait");
        assert!(stage.synced.take().is_empty(), "a first listing without it would end what runs");
        universe.advance(Duration::from_millis(400)).await;
        assert_eq!(instances(&stage.configs.take()), ["user: hunter2\n", "user: hunter2\n"]);
        assert!(stage.synced.take().pop().unwrap().broken.is_empty());
        assert_eq!(backend.calls(), 1);
        let report = stage.report.reader().current();
        assert!(report.configs.len() == 3 && report.encrypted.len() == 2);
        assert!(report.config_errors.is_empty());
    });
}

#[test]
fn a_secret_that_is_not_known_is_asked_for_again_and_its_source_is_broken() {
    universe::run(11, |universe| async move {
        let backend = Arc::new(FakeSecretBackend::default());
        let stage = stage_of(&universe, &["file"], with_secrets(&universe, &backend));
        stage.resolver.tell(file_listing(vec![secretive("a"), config("c")])).unwrap();
        universe.advance(Duration::from_millis(200)).await;
        let _ = stage.configs.take();
        assert_eq!(stage.synced.take().pop().unwrap().broken, BTreeSet::from(["file:a".to_owned()]));
        let text = stage.report.reader().current().config_errors["a"].clone();
        assert!(text.starts_with("Unable to resolve secrets for config 'a', dropping check configuration, err: "), "{text}");
        assert!(text.ends_with("secret handle 'x' was not resolved by the secret_backend_command"), "{text}");
        universe.advance(Duration::from_secs(600)).await;
        let calls = backend.calls();
        assert!((10..20).contains(&calls), "{calls} calls in ten minutes");
        backend.put("x", "1");
        universe.advance(Duration::from_secs(61)).await;
        assert_eq!(instances(&stage.configs.take())[0], "user: \"1\"\n");
        assert!(stage.synced.take().pop().unwrap().broken.is_empty(), "its older form may go now");
        assert!(stage.report.reader().current().config_errors.is_empty());
    });
}

#[test]
fn a_slow_secret_backend_does_not_hold_up_the_rest_for_ever() {
    universe::run(12, |universe| async move {
        let backend = Arc::new(FakeSecretBackend::slow(Duration::from_secs(30)));
        backend.put("x", "1");
        let stage = stage_of(&universe, &["file"], with_secrets(&universe, &backend));
        stage.resolver.tell(file_listing(vec![secretive("a")])).unwrap();
        universe.advance(Duration::from_secs(7)).await;
        assert_eq!(stage.synced.take().pop().unwrap().broken, BTreeSet::from(["file:a".to_owned()]));
        universe.advance(Duration::from_secs(30)).await;
        assert_eq!(stage.configs.take().last().unwrap().added.len(), 1);
        assert!(stage.synced.take().pop().unwrap().broken.is_empty());
    });
}

#[test]
fn handles_that_nobody_names_any_more_are_not_asked_for_again() {
    universe::run(13, |universe| async move {
        let backend = Arc::new(FakeSecretBackend::default());
        let stage = stage_of(&universe, &["file"], with_secrets(&universe, &backend));
        stage.resolver.tell(file_listing(vec![secretive("a")])).unwrap();
        universe.settle().await;
        stage.resolver.tell(file_listing(Vec::new())).unwrap();
        universe.advance(Duration::from_secs(600)).await;
        assert_eq!(backend.calls(), 1);
    });
}

#[test]
fn a_thousand_changes_among_ten_thousand_configs_cost_a_thousand_steps_and_few_reports() {
    universe::run(14, |universe| async move {
        let stage = stage(&universe, &["kubernetes-services", "kube_services"]);
        let ids: Vec<String> = (0..10_000).map(|number| format!("kube_service://a/s{number}")).collect();
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        stage.resolver.tell(services(&all, "1.1.1.1", true)).unwrap();
        let template = |id: &str| vec![templated("a", "h: '%%host%%'", id)];
        stage.resolver.tell(sources(all.iter().map(|id| (*id, template(id))).collect(), true)).unwrap();
        universe.advance(Duration::from_secs(1)).await;
        assert_eq!(stage.configs.take()[0].added.len(), 10_000);
        let before = observed(&universe).await;
        for (number, id) in all.iter().take(1_000).enumerate() {
            stage.resolver.tell(services(&[id], &format!("2.2.2.{number}"), true)).unwrap();
            // 1 ms each, so a second in all.
            universe.settle().await;
        }
        let after = observed(&universe).await;
        assert_eq!(after.0 - before.0, 1_000, "templates resolved");
        assert!(after.1 - before.1 <= 11, "{} reports", after.1 - before.1);
        universe.advance(REPORT_PAUSE).await;
        let told = stage.configs.take();
        assert!(told.len() == 1_000 && told.iter().all(|one| one.added.len() == 1 && one.removed.len() == 1));
        let report = stage.report.reader().current();
        assert!(report.configs.iter().any(|config| config.instances[0].text() == "h: 2.2.2.999\n"), "the last change is shown");
    });
}

/// Templates resolved and reports published so far.
async fn observed(universe: &Universe) -> (u64, u64) {
    let all = universe.kernel().registry().observe_all(Duration::from_secs(1)).await;
    let resolver = serde_json::to_value(&all).unwrap()["Resolver"].clone();
    (resolver["resolutions"].as_u64().unwrap(), resolver["reports"].as_u64().unwrap())
}

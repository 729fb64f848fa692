use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::config::{AdvancedAdIdentifier, CheckConfig, Data, ObjectRef};
use crate::domain::kube::objects::{EndpointAddress, KubeEndpoints, KubeObject, KubeService, Meta, ObjectKey, Subset, Texts};
use crate::domain::kube::plan::DiscoveryOptions;
use crate::domain::kube::prometheus::PrometheusOptions;
use crate::kernel::mailbox::Handle;
use crate::kernel::universe::{self, Recorded, Universe};

const CHECKS: &str = r#"{"http_check":{"instances":[{"url":"http://%%host%%"}]}}"#;

#[derive(Default)]
struct FakeFiles {
    requests: AtomicUsize,
}

impl DiscoverySource for FakeFiles {
    fn provider(&self) -> &'static str {
        "file"
    }

    fn request_listing(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

struct Stage {
    discovery: Handle<KubeDiscovery>,
    services_asked: Recorded<TellObjects>,
    addresses_asked: Recorded<TellObjects>,
    files: Arc<FakeFiles>,
    sources: Recorded<SourcesChanged>,
    services: Recorded<ServicesChanged>,
    plan: Arc<DiscoveryPlan>,
}

fn plan() -> Arc<DiscoveryPlan> {
    let names = vec!["kube_services".to_owned(), "kube_endpoints".to_owned()];
    let prometheus = PrometheusOptions { version: 1, ..PrometheusOptions::default() };
    let options = DiscoveryOptions { providers: names.clone(), listeners: names, prometheus, ..DiscoveryOptions::default() };
    Arc::new(DiscoveryPlan::new(&options))
}

fn stage(universe: &Universe) -> Stage {
    let (sources, sources_told) = universe.recorder("sources");
    let (services, services_told) = universe.recorder("services");
    stage_with(universe, (sources, sources_told), (services, services_told))
}

fn stage_with(
    universe: &Universe,
    (sources, sources_told): (Outlet<SourcesChanged>, Recorded<SourcesChanged>),
    (services, services_told): (Outlet<ServicesChanged>, Recorded<ServicesChanged>),
) -> Stage {
    let (services_informer, services_asked) = universe.recorder("services informer");
    let (addresses_informer, addresses_asked) = universe.recorder("addresses informer");
    let files = Arc::new(FakeFiles::default());
    let plan = plan();
    let parts = KubeDiscoveryParts {
        plan: Arc::clone(&plan),
        informers: BTreeMap::from([(Kind::Services, services_informer), (Kind::Endpoints, addresses_informer)]),
        files: Arc::<FakeFiles>::clone(&files),
        sources,
        services,
    };
    let discovery = universe.start("KubeDiscovery", move || KubeDiscovery::new(parts.clone()));
    Stage { discovery, services_asked, addresses_asked, files, sources: sources_told, services: services_told, plan }
}

fn meta(name: &str, annotations: &[(&str, &str)]) -> Meta {
    Meta {
        key: ObjectKey::new("shop", name),
        uid: "u".into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        terminating: false,
    }
}

fn service(name: &str, annotation: &str) -> KubeObject {
    let meta = meta(name, &[(annotation, CHECKS)]);
    KubeObject::Service(Arc::new(KubeService { meta, cluster_ip: "10.0.0.1".into(), ports: Vec::new() }))
}

fn endpoints(name: &str, ips: &[&str]) -> KubeObject {
    let address = |ip: &&str| EndpointAddress { ip: (*ip).into(), node: "".into(), target: None, ready: true, terminating: false };
    let subsets = vec![Subset { addresses: ips.iter().map(address).collect(), ports: Vec::new() }];
    KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta(name, &[]), service: name.into(), subsets }))
}

fn changed(kind: Kind, reset: bool, applied: Vec<KubeObject>) -> ObjectsChanged {
    ObjectsChanged { kind, reset, applied, gone: Vec::new(), synced: true }
}

/// Provider, reset, number of sources.
fn told(sources: &Recorded<SourcesChanged>) -> Vec<(&'static str, bool, usize)> {
    let told = sources.take();
    assert!(told.iter().all(|message| message.synced));
    told.into_iter().map(|message| (message.provider, message.reset, message.changes.len())).collect()
}

/// Listener, reset, number of services that appeared, and that are gone.
fn found(services: &Recorded<ServicesChanged>) -> Vec<(&'static str, bool, usize, usize)> {
    services.take().into_iter().map(|message| (message.listener, message.reset, message.appeared.len(), message.gone.len())).collect()
}

const BOTH: [&str; 2] = ["ad.datadoghq.com/service.checks", "ad.datadoghq.com/endpoints.checks"];

/// Lets it know one annotated Service of each kind and no file.
async fn fill(universe: &Universe, stage: &Stage) {
    stage.discovery.tell(FileTemplates::default()).unwrap();
    stage.discovery.tell(changed(Kind::Services, true, vec![service("a", BOTH[0]), service("b", BOTH[1])])).unwrap();
    stage.discovery.tell(changed(Kind::Endpoints, true, vec![endpoints("b", &["10.1.0.1", "10.1.0.2"])])).unwrap();
    universe.settle().await;
}

#[test]
fn each_provider_is_told_in_full_when_all_it_needs_is_known_and_then_by_changes() {
    universe::run(1, |universe| async move {
        let stage = stage(&universe);
        stage.discovery.tell(changed(Kind::Services, true, vec![service("a", BOTH[0]), service("b", BOTH[1])])).unwrap();
        universe.settle().await;
        assert!(stage.sources.take().is_empty() && stage.services.take().is_empty());
        stage.discovery.tell(FileTemplates::default()).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-services", true, 1), ("kubernetes-services-file", true, 0)]);
        assert_eq!(found(&stage.services), [("kube_services", true, 1, 0)]);
        let half = ObjectsChanged { synced: false, ..changed(Kind::Endpoints, true, vec![endpoints("b", &["10.1.0.1"])]) };
        stage.discovery.tell(half).unwrap();
        universe.settle().await;
        assert!(stage.sources.take().is_empty());
        stage.discovery.tell(changed(Kind::Endpoints, false, vec![endpoints("b", &["10.1.0.1", "10.1.0.2"])])).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-endpoints", true, 1), ("kubernetes-endpoints-file", true, 0)]);
        assert_eq!(found(&stage.services), [("kube_endpoints", true, 2, 0)]);

        stage.discovery.tell(changed(Kind::Endpoints, false, vec![endpoints("b", &["10.1.0.3"]), endpoints("c", &["10.1.0.4"])])).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-endpoints", false, 1)]);
        assert_eq!(found(&stage.services), [("kube_endpoints", false, 1, 2)]);
        stage.discovery.tell(changed(Kind::Endpoints, true, vec![endpoints("b", &["10.1.0.3"])])).unwrap();
        universe.settle().await;
        assert!(stage.sources.take().is_empty() && stage.services.take().is_empty());
        let gone = ObjectsChanged { gone: vec![ObjectKey::new("shop", "a")], ..changed(Kind::Services, false, Vec::new()) };
        stage.discovery.tell(gone).unwrap();
        universe.settle().await;
        let gone = stage.sources.take();
        assert_eq!(gone[0].changes, [SourceChange { source: "kube_service://shop/a".to_owned(), ..SourceChange::default() }]);
        assert_eq!(found(&stage.services), [("kube_services", false, 0, 1)]);
    });
}

#[test]
fn during_a_new_listing_nothing_is_taken_for_gone() {
    universe::run(2, |universe| async move {
        let stage = stage(&universe);
        fill(&universe, &stage).await;
        let _ = (stage.sources.take(), stage.services.take());
        let begun = ObjectsChanged { synced: false, ..changed(Kind::Services, true, Vec::new()) };
        stage.discovery.tell(begun).unwrap();
        stage.discovery.tell(changed(Kind::Endpoints, false, vec![endpoints("b", &[])])).unwrap();
        stage.discovery.tell(ReplayProvider { provider: "kubernetes-services" }).unwrap();
        universe.settle().await;
        assert!(stage.sources.take().is_empty() && stage.services.take().is_empty());
        stage.discovery.tell(changed(Kind::Services, false, vec![service("a", BOTH[0])])).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-services", true, 1), ("kubernetes-endpoints", false, 1)]);
        assert_eq!(found(&stage.services), [("kube_endpoints", false, 0, 2)]);
    });
}

#[test]
fn after_a_restart_it_asks_for_everything_and_tells_it_in_full() {
    universe::run(3, |universe| async move {
        let stage = stage(&universe);
        fill(&universe, &stage).await;
        let asked = |stage: &Stage| (stage.services_asked.take().len(), stage.addresses_asked.take().len());
        assert_eq!(asked(&stage), (1, 1));
        let _ = (stage.sources.take(), stage.services.take());
        let requests = stage.files.requests.load(Ordering::Relaxed);
        universe.expect_panics(1);
        universe.kernel().crash("KubeDiscovery");
        universe.settle().await;
        assert_eq!(asked(&stage), (1, 1));
        assert_eq!(stage.files.requests.load(Ordering::Relaxed), requests + 1);
        assert!(stage.sources.take().is_empty());
        // Who does not answer is asked again.
        universe.advance(MEND_INTERVAL * 3 / 2).await;
        assert_eq!(asked(&stage), (1, 1));
        fill(&universe, &stage).await;
        universe.advance(MEND_INTERVAL * 2).await;
        assert_eq!(asked(&stage), (0, 0));
        let full: Vec<_> = told(&stage.sources).into_iter().map(|(_, reset, _)| reset).collect();
        assert_eq!(full, [true; 4]);
        assert_eq!(found(&stage.services), [("kube_services", true, 1, 0), ("kube_endpoints", true, 2, 0)]);
    });
}

#[test]
fn the_resolver_can_ask_for_one_provider_or_listener() {
    universe::run(4, |universe| async move {
        let stage = stage(&universe);
        fill(&universe, &stage).await;
        let _ = (stage.sources.take(), stage.services.take());
        let sources = discovery_sources(&stage.plan, &stage.discovery.outlet());
        let names: Vec<_> = sources.iter().map(|source| source.provider()).collect();
        assert_eq!(
            names,
            [
                "kubernetes-services",
                "kubernetes-services-file",
                "kubernetes-endpoints",
                "kubernetes-endpoints-file",
                "kube_services",
                "kube_endpoints"
            ]
        );
        sources[2].request_listing();
        sources[5].request_listing();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-endpoints", true, 1)]);
        assert_eq!(found(&stage.services), [("kube_endpoints", true, 2, 0)]);
        stage.discovery.tell(ReplayProvider { provider: "file" }).unwrap();
        universe.settle().await;
        assert!(stage.sources.take().is_empty());
    });
}

#[test]
fn templates_of_files_come_and_go() {
    universe::run(5, |universe| async move {
        let stage = stage(&universe);
        fill(&universe, &stage).await;
        let _ = (stage.sources.take(), stage.services.take());
        let object = ObjectRef { name: "c".to_owned(), namespace: "shop".to_owned() };
        let template = CheckConfig {
            name: "x".to_owned(),
            instances: vec![Data::from("{}")],
            advanced_ad_identifiers: vec![AdvancedAdIdentifier { kube_service: object, ..AdvancedAdIdentifier::default() }],
            source: "file:x".to_owned(),
            ..CheckConfig::default()
        };
        stage.discovery.tell(FileTemplates { configs: vec![Arc::new(template)] }).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-services-file", false, 1)]);
        // Now the Service without annotations for Services is told, too.
        assert_eq!(found(&stage.services), [("kube_services", false, 1, 0)]);
        stage.discovery.tell(FileTemplates::default()).unwrap();
        universe.settle().await;
        assert_eq!(told(&stage.sources), [("kubernetes-services-file", false, 1)]);
        assert_eq!(found(&stage.services), [("kube_services", false, 0, 1)]);
    });
}

#[test]
fn a_resolver_that_is_not_reached_gets_everything_later() {
    struct Relay(Outlet<SourcesChanged>);

    impl Actor for Relay {
        type Context = Context<Self>;
    }

    impl Observed for Relay {
        fn observe(&self) -> serde_json::Value {
            json!({})
        }
    }

    impl Handler<SourcesChanged> for Relay {
        type Result = ();

        fn handle(&mut self, message: SourcesChanged, _: &mut Self::Context) {
            self.0.tell(message).unwrap();
        }
    }

    supervised!(Relay);

    universe::run(6, |universe| async move {
        let (sink, sources) = universe.recorder("sources");
        let late = Handle::<Relay>::new("Relay");
        let stage = stage_with(&universe, (late.outlet(), sources), universe.recorder("services"));
        fill(&universe, &stage).await;
        assert!(stage.sources.take().is_empty());
        universe.bind(&late, move || Relay(sink.clone()));
        universe.advance(MEND_INTERVAL * 2).await;
        assert_eq!(told(&stage.sources).into_iter().map(|(_, reset, _)| reset).collect::<Vec<_>>(), [true; 4]);
    });
}

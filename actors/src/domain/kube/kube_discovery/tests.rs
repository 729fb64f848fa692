use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::config::{AdvancedAdIdentifier, Data, ObjectRef};
use crate::domain::kube::objects::{EndpointAddress, Subset};
use crate::domain::kube::plan::DiscoveryOptions;
use crate::domain::kube::tests::{EVERYTHING, address, discovery, endpoints, meta, options, service, texts};

const CHECKS: (&str, &str) = ("ad.datadoghq.com/service.checks", r#"{"a":{"instances":[{}]}}"#);

fn named(name: &str, annotations: &[(&str, &str)]) -> KubeObject {
    KubeObject::Service(Arc::new(KubeService { meta: meta(name, annotations), ..service(&[]) }))
}

fn addresses(name: &str, of: &str, ips: &[&str]) -> KubeObject {
    let subsets = vec![Subset { addresses: ips.iter().map(|ip| address(ip, "", None)).collect(), ports: Vec::new() }];
    KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta(name, &[]), service: of.into(), subsets }))
}

#[test]
fn a_change_costs_what_it_concerns() {
    let mut store = discovery(&options());
    let names: Vec<String> = (0..2000).map(|index| format!("s{index}")).collect();
    let checks = [CHECKS, ("ad.datadoghq.com/endpoints.checks", CHECKS.1)];
    store.apply(Kind::Services, true, names.iter().map(|name| named(name, &checks)).collect(), &[]);
    store.apply(Kind::Endpoints, true, names.iter().map(|name| addresses(name, name, &["10.0.0.1"])).collect(), &[]);
    assert_eq!(store.take_changes(EVERYTHING).sources["kubernetes-services"].len(), 2000);
    assert_eq!(store.parsed(), 2000);
    let before: Vec<Arc<CheckConfig>> = store.sources("kubernetes-services").flat_map(|(_, source)| source.configs.clone()).collect();

    store.apply(Kind::Endpoints, false, vec![addresses("s7", "s7", &["10.0.0.1", "10.0.0.2"])], &[]);
    let changes = store.take_changes(EVERYTHING);
    assert_eq!(changes.sources.len(), 1);
    assert_eq!(changes.sources["kubernetes-endpoints"].keys().collect::<Vec<_>>(), ["kube_endpoint_uid://shop/s7/"]);
    assert_eq!(changes.services["kube_endpoints"].appeared.len(), 1);

    // A re-listing of what is known changes nothing, and another label changes only what templates see.
    store.apply(Kind::Services, true, names.iter().map(|name| named(name, &checks)).collect(), &[]);
    assert_eq!(store.take_changes(EVERYTHING), Changes::default());
    let KubeObject::Service(service) = named("s7", &checks) else { unreachable!() };
    let mut service = (*service).clone();
    service.meta.labels = texts(&[("tags.datadoghq.com/env", "prod")]);
    store.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(service))], &[]);
    let changes = store.take_changes(EVERYTHING);
    assert!(changes.sources.is_empty());
    assert_eq!(changes.services["kube_services"].appeared[0].tags.last().unwrap(), "env:prod");
    assert_eq!(changes.services["kube_endpoints"].appeared.len(), 2);
    assert_eq!(store.parsed(), 2000);
    let after: Vec<Arc<CheckConfig>> = store.sources("kubernetes-services").flat_map(|(_, source)| source.configs.clone()).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after)));
}

#[test]
fn nothing_is_told_before_it_is_completely_known() {
    let mut store = discovery(&options());
    store.apply(Kind::Services, false, vec![named("cart", &[CHECKS, ("ad.datadoghq.com/endpoints.checks", CHECKS.1)])], &[]);
    assert_eq!(store.take_changes(Ready::default()), Changes::default());
    let changes = store.take_changes(Ready { services: true, ..Ready::default() });
    assert_eq!(changes.sources.keys().copied().collect::<Vec<_>>(), ["kubernetes-services"]);
    store.apply(Kind::Endpoints, false, vec![KubeObject::Endpoints(Arc::new(endpoints()))], &[]);
    let changes = store.take_changes(EVERYTHING);
    assert_eq!(changes.sources.keys().copied().collect::<Vec<_>>(), ["kubernetes-endpoints"]);
}

#[test]
fn addresses_that_come_or_go_later_are_noticed() {
    let mut store = discovery(&DiscoveryOptions { use_endpoint_slices: true, ..options() });
    store.apply(Kind::Services, false, vec![named("cart", &[("ad.datadoghq.com/endpoints.checks", CHECKS.1)])], &[]);
    assert_eq!(store.take_changes(EVERYTHING), Changes::default());
    let count = |store: &mut DiscoveryStore| {
        store.take_changes(EVERYTHING);
        store.sources("kubernetes-endpointslices").map(|(_, source)| source.configs.len()).sum::<usize>()
    };
    store.apply(Kind::EndpointSlices, false, vec![addresses("cart-1", "cart", &["10.0.0.1"])], &[]);
    assert_eq!(count(&mut store), 1);
    store.apply(Kind::EndpointSlices, false, vec![addresses("cart-2", "cart", &["10.0.0.2"])], &[]);
    assert_eq!(count(&mut store), 2);
    // A slice may change its Service, or lose it.
    store.apply(Kind::EndpointSlices, false, vec![addresses("cart-2", "other", &["10.0.0.2"])], &[]);
    assert_eq!(count(&mut store), 1);
    store.apply(Kind::EndpointSlices, false, vec![addresses("cart-1", "", &["10.0.0.1"])], &[]);
    assert_eq!(count(&mut store), 0);
    assert_eq!(store.known(), (1, 1));
    store.apply(Kind::EndpointSlices, true, vec![addresses("cart-3", "cart", &["10.0.0.3"])], &[]);
    assert_eq!(count(&mut store), 1);
    store.apply(Kind::EndpointSlices, false, Vec::new(), &[ObjectKey::new("shop", "cart-3")]);
    assert_eq!(count(&mut store), 0);
    assert_eq!(store.known(), (1, 0));
}

#[test]
fn ad_v07_the_listener_does_not_tell_services_with_the_legacy_prefix_alone() {
    let mut store = discovery(&options());
    store.apply(Kind::Services, false, vec![named("cart", &[("service-discovery.datadoghq.com/service.instances", "[{}]")])], &[]);
    assert_eq!(store.take_changes(EVERYTHING), Changes::default());
}

#[test]
fn ad_v61_what_is_excluded_is_marked() {
    let mut store = discovery(&options());
    store.apply(Kind::Services, false, vec![named("cart", &[CHECKS, ("ad.datadoghq.com/metrics_exclude", "true")])], &[]);
    let found = store.take_changes(EVERYTHING).services.remove("kube_services").unwrap().appeared;
    assert_eq!((found[0].metrics_excluded, found[0].logs_excluded), (true, false));
    // Of addresses, the object that tells them decides, not the Service.
    let annotations = [("ad.datadoghq.com/endpoints.checks", CHECKS.1), ("ad.datadoghq.com/exclude", "true")];
    store.apply(Kind::Services, false, vec![named("cart", &annotations)], &[]);
    store.apply(Kind::Endpoints, false, vec![addresses("cart", "cart", &["10.0.0.1"])], &[]);
    let found = store.take_changes(EVERYTHING).services.remove("kube_endpoints").unwrap().appeared;
    assert!(!found[0].metrics_excluded);
}

#[test]
fn old_locks_of_elections_are_not_told_as_addresses() {
    let mut store = discovery(&options());
    store.apply(Kind::Services, false, vec![named("cart", &[("ad.datadoghq.com/endpoints.checks", CHECKS.1)])], &[]);
    let lock = KubeEndpoints { meta: meta("cart", &[("control-plane.alpha.kubernetes.io/leader", "{}")]), ..endpoints() };
    store.apply(Kind::Endpoints, false, vec![KubeObject::Endpoints(Arc::new(lock))], &[]);
    assert!(store.take_changes(EVERYTHING).services.is_empty());
}

#[test]
fn a_service_without_uid_is_no_source() {
    let mut store = discovery(&options());
    let mut meta = meta("cart", &[CHECKS]);
    meta.uid = "".into();
    store.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(KubeService { meta, ..service(&[]) }))], &[]);
    assert!(store.take_changes(EVERYTHING).sources.is_empty());
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Services { reset: bool, applied: Vec<KubeObject>, gone: Vec<ObjectKey> },
    Addresses { reset: bool, applied: Vec<KubeObject>, gone: Vec<ObjectKey> },
    Files(Vec<Arc<CheckConfig>>),
    Tell(Ready),
}

fn any_service() -> impl Strategy<Value = KubeObject> {
    let annotation = prop::sample::select(vec![
        CHECKS,
        ("ad.datadoghq.com/service.checks", "{"),
        ("ad.datadoghq.com/service.instances", "[{}]"),
        ("ad.datadoghq.com/endpoints.checks", r#"{"b":{"instances":[{"x":1}]}}"#),
        ("ad.datadoghq.com/endpoints.resolve", "ip"),
        ("ad.datadoghq.com/exclude", "true"),
        ("prometheus.io/scrape", "true"),
    ]);
    let ip = prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "None"]);
    ("[a-c]", prop::collection::vec(annotation, 0..4), ip, any::<bool>()).prop_map(|(name, annotations, ip, labelled)| {
        let mut meta = meta(&name, &annotations);
        if labelled {
            meta.labels = texts(&[("tags.datadoghq.com/env", "prod")]);
        }
        KubeObject::Service(Arc::new(KubeService { meta, cluster_ip: ip.into(), ports: Vec::new() }))
    })
}

fn any_addresses() -> impl Strategy<Value = KubeObject> {
    let ip = prop::sample::select(vec!["10.0.1.1", "10.0.1.2", "10.0.1.3"]);
    let one = (ip, any::<bool>(), any::<bool>())
        .prop_map(|(ip, pod, ready)| EndpointAddress { ready, ..address(ip, "node-a", pod.then_some(("Pod", "u1"))) });
    let list = prop::collection::vec(one, 0..3);
    ("[a-c]{1,2}", "[a-c]?", list).prop_map(|(name, of, addresses)| {
        let subsets = vec![Subset { addresses, ports: Vec::new() }];
        KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta(&name, &[]), service: of.as_str().into(), subsets }))
    })
}

fn any_file() -> impl Strategy<Value = Arc<CheckConfig>> {
    ("[a-c]", "[a-c]", any::<bool>(), prop::sample::select(vec!["", "ip"])).prop_map(|(file, name, for_service, resolve)| {
        let object = ObjectRef { name, namespace: "shop".to_owned() };
        let none = AdvancedAdIdentifier { resolve: resolve.to_owned(), ..AdvancedAdIdentifier::default() };
        let identifier = if for_service {
            AdvancedAdIdentifier { kube_service: object, ..none }
        } else {
            AdvancedAdIdentifier { kube_endpoints: object, ..none }
        };
        Arc::new(CheckConfig {
            name: file.clone(),
            instances: vec![Data::from("{}")],
            advanced_ad_identifiers: vec![identifier],
            source: format!("file:{file}"),
            ..CheckConfig::default()
        })
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let gone = |names: &'static str| prop::collection::vec(names.prop_map(|name| ObjectKey::new("shop", name)), 0..2);
    let services = (prop::bool::weighted(0.2), prop::collection::vec(any_service(), 0..3), gone("[a-c]"));
    let addresses = (prop::bool::weighted(0.2), prop::collection::vec(any_addresses(), 0..3), gone("[a-c]{1,2}"));
    let ready = (any::<bool>(), any::<bool>(), any::<bool>());
    prop_oneof![
        4 => services.prop_map(|(reset, applied, gone)| Step::Services { reset, applied, gone }),
        4 => addresses.prop_map(|(reset, applied, gone)| Step::Addresses { reset, applied, gone }),
        1 => prop::collection::vec(any_file(), 0..3).prop_map(Step::Files),
        3 => ready.prop_map(|(services, addresses, files)| Step::Tell(Ready { services, addresses, files })),
    ]
}

/// What a listener of changes knows.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    sources: BTreeMap<(&'static str, String), Source>,
    services: BTreeMap<(&'static str, String), Arc<AdService>>,
}

impl Mirror {
    fn follow(&mut self, changes: Changes) {
        for (provider, sources) in changes.sources {
            for (source, now) in sources {
                let key = (provider, source);
                let changed = self.sources.get(&key).unwrap_or(&Source::default()) != &now;
                assert!(changed, "{key:?} was told and is the same");
                if now == Source::default() {
                    self.sources.remove(&key);
                } else {
                    self.sources.insert(key, now);
                }
            }
        }
        for (listener, changes) in changes.services {
            for service in changes.appeared {
                let before = self.services.insert((listener, service.id.clone()), Arc::clone(&service));
                assert_ne!(before, Some(service));
            }
            for id in changes.gone {
                assert!(self.services.remove(&(listener, id)).is_some());
            }
        }
    }
}

/// What is there after some steps.
#[derive(Default)]
struct World {
    services: BTreeMap<ObjectKey, KubeObject>,
    addresses: BTreeMap<ObjectKey, KubeObject>,
    files: Vec<Arc<CheckConfig>>,
}

fn put(objects: &mut BTreeMap<ObjectKey, KubeObject>, reset: bool, applied: &[KubeObject], gone: &[ObjectKey]) {
    if reset {
        objects.clear();
    }
    for key in gone {
        objects.remove(key);
    }
    objects.extend(applied.iter().map(|object| (object.key().clone(), object.clone())));
}

proptest! {
    #[test]
    fn what_is_kept_up_to_date_equals_what_is_made_from_scratch(
        steps in prop::collection::vec(any_step(), 1..25),
        slices in any::<bool>(),
        scrape in prop::option::of(any::<bool>()),
    ) {
        let mut options = DiscoveryOptions { use_endpoint_slices: slices, ..options() };
        options.prometheus.enabled = scrape.is_some();
        options.prometheus.service_endpoints = scrape == Some(true);
        let kind = if slices { Kind::EndpointSlices } else { Kind::Endpoints };
        let (mut store, mut mirror, mut world) = (discovery(&options), Mirror::default(), World::default());
        for step in steps {
            match step {
                Step::Services { reset, applied, gone } => {
                    put(&mut world.services, reset, &applied, &gone);
                    store.apply(Kind::Services, reset, applied, &gone);
                }
                Step::Addresses { reset, applied, gone } => {
                    put(&mut world.addresses, reset, &applied, &gone);
                    store.apply(kind, reset, applied, &gone);
                }
                Step::Files(files) => {
                    store.set_templates(&files);
                    world.files = files;
                }
                Step::Tell(ready) => mirror.follow(store.take_changes(ready)),
            }
        }
        mirror.follow(store.take_changes(EVERYTHING));
        prop_assert_eq!(store.take_changes(EVERYTHING), Changes::default());
        let (mut fresh, mut expected) = (discovery(&options), Mirror::default());
        fresh.set_templates(&world.files);
        fresh.apply(kind, true, world.addresses.into_values().collect(), &[]);
        fresh.apply(Kind::Services, true, world.services.into_values().collect(), &[]);
        expected.follow(fresh.take_changes(EVERYTHING));
        prop_assert_eq!(&mirror, &expected);
        let told: BTreeMap<_, _> = options_providers(&options)
            .into_iter()
            .flat_map(|provider| store.sources(provider).map(move |(source, now)| ((provider, source.clone()), now.clone())))
            .collect();
        prop_assert_eq!(told, expected.sources);
    }
}

fn options_providers(options: &DiscoveryOptions) -> Vec<&'static str> {
    DiscoveryPlan::new(options).providers()
}

#[test]
fn a_service_that_is_annotated_later_gets_its_addresses() {
    let mut store = discovery(&options());
    store.apply(Kind::Endpoints, true, vec![KubeObject::Endpoints(Arc::new(endpoints()))], &[]);
    store.apply(Kind::Services, true, vec![named("cart", &[])], &[]);
    assert_eq!(store.take_changes(EVERYTHING), Changes::default());
    store.apply(Kind::Services, false, vec![named("cart", &[("ad.datadoghq.com/endpoints.checks", CHECKS.1)])], &[]);
    let changes = store.take_changes(EVERYTHING);
    assert_eq!(changes.sources["kubernetes-endpoints"]["kube_endpoint_uid://shop/cart/"].configs.len(), 2);
    assert_eq!(changes.services["kube_endpoints"].appeared.len(), 2);
    store.apply(Kind::Services, false, Vec::new(), &[ObjectKey::new("shop", "cart")]);
    let changes = store.take_changes(EVERYTHING);
    assert_eq!(changes.sources["kubernetes-endpoints"]["kube_endpoint_uid://shop/cart/"], Source::default());
    assert_eq!(changes.services["kube_endpoints"].gone.len(), 2);
}

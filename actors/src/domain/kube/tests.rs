//! Vectors of autodiscovery 14 about annotations, addresses, files and scraping.

use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json, json};

use super::endpoints::AddressSource;
use super::kube_discovery::{DiscoveryStore, Ready};
use super::objects::{EndpointAddress, Kind, KubeEndpoints, KubeObject, KubeService, Meta, ObjectKey, Port, Subset, TargetRef, Texts};
use super::plan::{DiscoveryOptions, DiscoveryPlan};
use super::prometheus::PrometheusOptions;
use crate::domain::ad_service::AdService;
use crate::domain::config::{AdvancedAdIdentifier, CheckConfig, Data, ObjectRef};

pub(super) const EVERYTHING: Ready = Ready { services: true, addresses: true, files: true };

pub(super) fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

pub(super) fn meta(name: &str, annotations: &[(&str, &str)]) -> Meta {
    Meta {
        key: ObjectKey::new("shop", name),
        uid: "0aa1".into(),
        resource_version: "1".into(),
        labels: Texts::new(),
        annotations: texts(annotations),
        terminating: false,
    }
}

/// Service shop/cart of vector V19 with annotations.
pub(super) fn service(annotations: &[(&str, &str)]) -> KubeService {
    let mut meta = meta("cart", annotations);
    meta.labels = texts(&[
        ("tags.datadoghq.com/env", "prod"),
        ("tags.datadoghq.com/version", "1.4"),
        ("tags.datadoghq.com/service", "cart-api"),
        ("app", "x"),
    ]);
    KubeService { meta, cluster_ip: "10.96.7.21".into(), ports: vec![port("admin", 9090), port("http", 8080)] }
}

pub(super) fn port(name: &str, number: u16) -> Port {
    Port { number, name: name.into() }
}

pub(super) fn address(ip: &str, node: &str, target: Option<(&str, &str)>) -> EndpointAddress {
    let target = target.map(|(kind, uid)| TargetRef { kind: kind.into(), namespace: "shop".into(), name: "x".into(), uid: uid.into() });
    EndpointAddress { ip: ip.into(), node: node.into(), target, ready: true, terminating: false }
}

/// The Endpoints object of vector V20.
pub(super) fn endpoints() -> KubeEndpoints {
    let addresses = vec![
        address("10.244.1.7", "node-a", Some(("Pod", "6f2f7a1e-0001"))),
        address("192.0.2.10", "", None),
        EndpointAddress { ready: false, ..address("10.244.9.9", "", None) },
    ];
    let subsets = vec![Subset { addresses, ports: vec![port("metrics", 9113), port("http", 8080)] }];
    KubeEndpoints { meta: meta("cart", &[]), service: "cart".into(), subsets }
}

pub(super) fn options() -> DiscoveryOptions {
    let names = vec!["kube_services".to_owned(), "kube_endpoints".to_owned()];
    let prometheus = PrometheusOptions { version: 1, ..PrometheusOptions::default() };
    DiscoveryOptions { providers: names.clone(), listeners: names, prometheus, ..DiscoveryOptions::default() }
}

pub(super) fn discovery(options: &DiscoveryOptions) -> DiscoveryStore {
    DiscoveryStore::new(Arc::new(DiscoveryPlan::new(options)))
}

/// The config in the form of the vectors: data as text, defaults left out.
pub(super) fn decoded(config: &CheckConfig) -> Json {
    let text = |data: &Data| Json::from(data.text().into_owned());
    let wire = serde_json::to_value(config).unwrap();
    let members = wire.as_object().unwrap().iter().map(|(key, value)| {
        let value = match key.as_str() {
            "instances" if !config.instances.is_empty() => config.instances.iter().map(text).collect(),
            "init_config" => config.init_config.as_ref().map_or(Json::Null, text),
            "logs" => config.logs.as_ref().map_or(Json::Null, text),
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    let is_default = |value: &Json| value.is_null() || *value == json!("") || *value == json!(false);
    Json::Object(members.filter(|(_, value)| !is_default(value)).collect::<JsonMap<_, _>>())
}

fn parsed(lines: &[&str]) -> Vec<Json> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(discovery: &DiscoveryStore, provider: &str) -> Vec<Json> {
    discovery.sources(provider).flat_map(|(_, source)| &source.configs).map(|config| decoded(config)).collect()
}

/// Checks what provider kube_services makes of annotations of Service shop/cart.
fn assert_collected(annotations: &[(&str, &str)], configs: &[&str], errors: &[&str]) {
    let mut discovery = discovery(&options());
    discovery.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(service(annotations)))], &[]);
    discovery.take_changes(EVERYTHING);
    let (source, found) = discovery.sources("kubernetes-services").next().unwrap();
    assert_eq!(source, "kube_service://shop/cart");
    assert_eq!(found.configs.iter().map(|config| decoded(config)).collect::<Vec<_>>(), parsed(configs));
    assert_eq!(found.errors.iter().map(|error| error.problem.as_str()).collect::<Vec<_>>(), errors);
    for error in &found.errors {
        assert_eq!(error.integration, "kube_service://shop/cart");
        assert!(error.origin.starts_with("Service shop/cart, annotation ad.datadoghq.com/service."), "{error}");
        assert!(!error.found.is_empty() && !error.allowed.is_empty(), "{error}");
    }
}

#[test]
fn ad_v01_version_1_with_one_check() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["http_check"]"#),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        (
            "ad.datadoghq.com/service.instances",
            r#"[{"url": "http://%%host%%:%%port_http%%/health?a=1&b=2", "name": "cart health", "timeout": 5}]"#,
        ),
    ];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"http_check","instances":["{\"name\":\"cart health\",\"timeout\":5,\"url\":\"http://%%host%%:%%port_http%%/health?a=1\\u0026b=2\"}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v02_version_2_with_two_checks() {
    let annotations = [(
        "ad.datadoghq.com/service.checks",
        r#"{"http_check": {"init_config": {"ca_certs": "/etc/ssl/ca.pem",  "x": 1}, "instances": [{"name":"cart","url":"http://%%host%%"}, {"url":"http://%%host%%/v2","name":"cart-v2","min_collection_interval":30}]}, "k2": {"name": "tcp_check", "instances": [{"host":"%%host%%","port":"%%port_0%%"}]}}"#,
    )];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"http_check","instances":["{\"name\":\"cart\",\"url\":\"http://%%host%%\"}","{\"min_collection_interval\":30,\"name\":\"cart-v2\",\"url\":\"http://%%host%%/v2\"}"],"init_config":"{\"ca_certs\": \"/etc/ssl/ca.pem\",  \"x\": 1}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
            r#"{"check_name":"tcp_check","instances":["{\"host\":\"%%host%%\",\"port\":\"%%port_0%%\"}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v03_nested_lists_give_one_config_per_instance() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["nginx","http_check"]"#),
        ("ad.datadoghq.com/service.init_configs", r#"[[{"a":1}],{"k":true}]"#),
        ("ad.datadoghq.com/service.instances", r#"[{"nginx_status_url":"http://%%host%%/s"},[{"url":"a"},{"url":"b"}]]"#),
    ];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","instances":["{\"nginx_status_url\":\"http://%%host%%/s\"}"],"init_config":"{\"a\":1}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
            r#"{"check_name":"http_check","instances":["{\"url\":\"a\"}"],"init_config":"{\"k\":true}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
            r#"{"check_name":"http_check","instances":["{\"url\":\"b\"}"],"init_config":"{\"k\":true}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v04_tags_cardinality_and_numbers_of_version_1() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["nginx"]"#),
        ("ad.datadoghq.com/service.check_tag_cardinality", "low"),
        ("ad.datadoghq.com/service.ignore_autodiscovery_tags", "True"),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        ("ad.datadoghq.com/service.instances", r#"[{"n":1.0,"big":12345678901234567890,"f":0.5}]"#),
    ];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","instances":["{\"big\":12345678901234567000,\"f\":0.5,\"n\":1}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart","ignore_autodiscovery_tags":true,"check_tag_cardinality":"low"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v05_tags_and_cardinality_of_version_2() {
    let annotations = [(
        "ad.datadoghq.com/service.checks",
        r#"{"nginx":{"ignore_autodiscovery_tags":true,"check_tag_cardinality":"orchestrator","instances":[{}]}}"#,
    )];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","instances":["{}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart","ignore_autodiscovery_tags":true,"check_tag_cardinality":"orchestrator"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v06_logs_beside_version_2() {
    let annotations = [
        ("ad.datadoghq.com/service.checks", r#"{"nginx":{"instances":[{"x":"y"}]}}"#),
        ("ad.datadoghq.com/service.logs", r#"[{"source":"nginx","service":"cart"}]"#),
    ];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","instances":["{\"x\":\"y\"}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
            r#"{"check_name":"nginx","logs":"[{\"service\":\"cart\",\"source\":\"nginx\"}]","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v07_the_legacy_prefix_alone() {
    let annotations = [
        ("service-discovery.datadoghq.com/service.check_names", r#"["nginx"]"#),
        ("service-discovery.datadoghq.com/service.init_configs", "[{}]"),
        ("service-discovery.datadoghq.com/service.instances", r#"[{"x":1}]"#),
    ];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","instances":["{\"x\":1}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v08_version_2_without_instances() {
    let annotations = [("ad.datadoghq.com/service.checks", r#"{"nginx":{}}"#)];
    assert_collected(
        &annotations,
        &[
            r#"{"check_name":"nginx","init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services","cluster_check":true,"source":"kube_services:kube_service://shop/cart"}"#,
        ],
        &[],
    );
}

#[test]
fn ad_v09_missing_instances() {
    let annotations = [("ad.datadoghq.com/service.check_names", r#"["nginx"]"#), ("ad.datadoghq.com/service.init_configs", "[{}]")];
    assert_collected(&annotations, &[], &["could not extract checks config: missing instances key"]);
}

#[test]
fn ad_v10_empty_check_names() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", ""),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        ("ad.datadoghq.com/service.instances", "[{}]"),
    ];
    assert_collected(&annotations, &[], &["could not extract checks config: in check_names: check_names is empty"]);
}

#[test]
fn ad_v11_empty_init_configs() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["a"]"#),
        ("ad.datadoghq.com/service.init_configs", ""),
        ("ad.datadoghq.com/service.instances", "[{}]"),
    ];
    assert_collected(&annotations, &[], &["could not extract checks config: in init_configs: value is empty"]);
}

#[test]
fn ad_v12_broken_version_2() {
    let annotations = [("ad.datadoghq.com/service.checks", r#"{"nginx": {"instances": [{"url" "x"}]}}"#)];
    assert_collected(&annotations, &[], &["cannot parse check configuration: expected `:`"]);
}

#[test]
fn ad_v13_version_2_is_no_object() {
    let annotations = [("ad.datadoghq.com/service.checks", r#"["nginx"]"#)];
    assert_collected(&annotations, &[], &["cannot parse check configuration: expected an object, got an array"]);
}

#[test]
fn ad_v14_an_instance_of_version_2_is_no_object() {
    let annotations = [("ad.datadoghq.com/service.checks", r#"{"nginx": {"instances": ["x"]}}"#)];
    assert_collected(&annotations, &[], &["found non JSON object type, value is: 'x'"]);
}

#[test]
fn ad_v15_an_instance_of_version_1_is_no_object() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["a"]"#),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        ("ad.datadoghq.com/service.instances", r#"[{"ok":1}, 7]"#),
    ];
    assert_collected(
        &annotations,
        &[],
        &[
            "could not extract checks config: in instances: failed to decode JSON Object '7' to integration.Data struct: found non JSON object type, value is: '7'",
        ],
    );
}

#[test]
fn ad_v16_lists_of_different_lengths() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["a","b"]"#),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        ("ad.datadoghq.com/service.instances", "[{},{}]"),
    ];
    assert_collected(&annotations, &[], &["template entries don't all have the same length: check_names 2, init_configs 1, instances 2"]);
}

#[test]
fn ad_v17_two_init_configs_for_one_check() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["a"]"#),
        ("ad.datadoghq.com/service.init_configs", "[[{},{}]]"),
        ("ad.datadoghq.com/service.instances", "[{}]"),
    ];
    assert_collected(&annotations, &[], &["template init configs list is not valid: 2 objects for check a"]);
}

#[test]
fn ad_v18_logs_are_no_array() {
    let annotations = [("ad.datadoghq.com/service.logs", r#"{"source":"nginx"}"#)];
    assert_collected(&annotations, &[], &["could not extract logs config: invalid format, expected an array, got: 'map[source:nginx]'"]);
}

fn shown(service: &AdService) -> Json {
    json!({
        "service_id": service.id,
        "ad_identifiers": service.identifiers,
        "hosts": service.hosts,
        "ports": service.ports.iter().map(|port| json!({"port": port.number, "name": &*port.name})).collect::<Vec<_>>(),
        "tags": service.tags,
    })
}

#[test]
fn ad_v19_a_service_is_an_ad_service() {
    let mut discovery = discovery(&options());
    let annotated = service(&[("ad.datadoghq.com/service.checks", "{}")]);
    discovery.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(annotated))], &[]);
    discovery.take_changes(EVERYTHING);
    let found: Vec<_> = discovery.found("kube_services").map(|service| shown(service)).collect();
    let expected = r#"{"service_id":"kube_service://shop/cart","ad_identifiers":["kube_service://shop/cart","cel://kube_service"],"hosts":{"cluster":"10.96.7.21"},"ports":[{"port":8080,"name":"http"},{"port":9090,"name":"admin"}],"tags":["kube_service:cart","kube_namespace:shop","env:prod","version:1.4","service:cart-api"]}"#;
    assert_eq!(found, parsed(&[expected]));
    assert_eq!(discovery.found("kube_services").next().unwrap().extra["namespace"], "shop");
    assert_eq!(discovery.found("kube_endpoints").count(), 0);
}

const NGINX: &str = r#"{"nginx":{"instances":[{"name":"cart-ep","nginx_status_url":"http://%%host%%:%%port_http%%/nginx_status"}]}}"#;

/// A Service without labels, and the addresses behind it.
fn with_addresses(options: &DiscoveryOptions, annotations: &[(&str, &str)], objects: Vec<KubeEndpoints>) -> DiscoveryStore {
    let mut discovery = discovery(options);
    let service = KubeService { meta: meta("cart", annotations), ..service(&[]) };
    discovery.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(service))], &[]);
    let kind = if options.use_endpoint_slices { Kind::EndpointSlices } else { Kind::Endpoints };
    discovery.apply(kind, false, objects.into_iter().map(|object| KubeObject::Endpoints(Arc::new(object))).collect(), &[]);
    discovery.take_changes(EVERYTHING);
    discovery
}

#[test]
fn ad_v20_addresses_are_ad_services() {
    let discovery = with_addresses(&options(), &[("ad.datadoghq.com/endpoints.checks", NGINX)], vec![endpoints()]);
    let found: Vec<_> = discovery.found("kube_endpoints").map(|service| shown(service)).collect();
    let expected = [
        r#"{"service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7","cel://kube_endpoint"],"hosts":{"endpoint":"10.244.1.7"},"ports":[{"port":9113,"name":"metrics"},{"port":8080,"name":"http"}],"tags":["kube_service:cart","kube_namespace:shop","kube_endpoint_ip:10.244.1.7"]}"#,
        r#"{"service_id":"kube_endpoint_uid://shop/cart/192.0.2.10","ad_identifiers":["kube_endpoint_uid://shop/cart/192.0.2.10","cel://kube_endpoint"],"hosts":{"endpoint":"192.0.2.10"},"ports":[{"port":9113,"name":"metrics"},{"port":8080,"name":"http"}],"tags":["kube_service:cart","kube_namespace:shop","kube_endpoint_ip:192.0.2.10"]}"#,
    ];
    assert_eq!(found, parsed(&expected));
}

const V40: [&str; 2] = [
    r#"{"check_name":"nginx","instances":["{\"name\":\"cart-ep\",\"nginx_status_url\":\"http://%%host%%:%%port_http%%/nginx_status\"}"],"init_config":"{}","ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7","kubernetes_pod://6f2f7a1e-0001"],"provider":"kubernetes-endpoints","service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","cluster_check":true,"node_name":"node-a","source":"kube_endpoints:kube_endpoint_uid://shop/cart/"}"#,
    r#"{"check_name":"nginx","instances":["{\"name\":\"cart-ep\",\"nginx_status_url\":\"http://%%host%%:%%port_http%%/nginx_status\"}"],"init_config":"{}","ad_identifiers":["kube_endpoint_uid://shop/cart/192.0.2.10"],"provider":"kubernetes-endpoints","service_id":"kube_endpoint_uid://shop/cart/192.0.2.10","cluster_check":true,"source":"kube_endpoints:kube_endpoint_uid://shop/cart/"}"#,
];

#[test]
fn ad_v40_one_config_per_address_and_those_of_pods_for_their_node() {
    for mode in [None, Some(""), Some("auto"), Some("other")] {
        let mut annotations = vec![("ad.datadoghq.com/endpoints.checks", NGINX)];
        annotations.extend(mode.map(|mode| ("ad.datadoghq.com/endpoints.resolve", mode)));
        let discovery = with_addresses(&options(), &annotations, vec![endpoints()]);
        assert_eq!(told(&discovery, "kubernetes-endpoints"), parsed(&V40), "{mode:?}");
        let (source, found) = discovery.sources("kubernetes-endpoints").next().unwrap();
        assert_eq!(source, "kube_endpoint_uid://shop/cart/");
        let problems: Vec<&str> = found.errors.iter().map(|error| error.problem.as_str()).collect();
        let expected = if mode == Some("other") { vec!["unknown resolve mode \"other\", using auto"] } else { Vec::new() };
        assert_eq!(problems, expected);
    }
}

#[test]
fn ad_v42_mode_ip_makes_cluster_checks_of_all_addresses() {
    let annotations = [("ad.datadoghq.com/endpoints.checks", NGINX), ("ad.datadoghq.com/endpoints.resolve", "ip")];
    let discovery = with_addresses(&options(), &annotations, vec![endpoints()]);
    let expected = [
        r#"{"check_name":"nginx","instances":["{\"name\":\"cart-ep\",\"nginx_status_url\":\"http://%%host%%:%%port_http%%/nginx_status\"}"],"init_config":"{}","ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7"],"provider":"kubernetes-endpoints","service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","cluster_check":true,"source":"kube_endpoints:kube_endpoint_uid://shop/cart/"}"#,
        V40[1],
    ];
    assert_eq!(told(&discovery, "kubernetes-endpoints"), parsed(&expected));
}

/// The slice of vector V43.
fn slice() -> KubeEndpoints {
    let addresses = vec![
        address("10.244.3.3", "", Some(("Pod", "6f2f7a1e-0003"))),
        EndpointAddress { ready: false, ..address("10.244.3.4", "node-a", Some(("Pod", "6f2f7a1e-0004"))) },
        EndpointAddress { terminating: true, ..address("10.244.3.5", "node-a", Some(("Pod", "6f2f7a1e-0005"))) },
        address("10.244.3.6", "node-b", Some(("Node", "n-1"))),
        address("10.244.3.7", "node-b", Some(("Node", "n-1"))),
    ];
    let subsets = vec![Subset { addresses, ports: vec![port("http", 8080)] }];
    KubeEndpoints { meta: meta("cart-x7k", &[]), service: "cart".into(), subsets }
}

#[test]
fn ad_v43_addresses_of_slices() {
    let config = |ip: &str, pod: &str| {
        format!(
            r#"{{"check_name":"nginx","instances":["{{\"name\":\"cart-ep\",\"nginx_status_url\":\"http://%%host%%:%%port_http%%/nginx_status\"}}"],"init_config":"{{}}","ad_identifiers":["kube_endpoint_uid://shop/cart/{ip}"{pod}],"provider":"kubernetes-endpointslices","service_id":"kube_endpoint_uid://shop/cart/{ip}","cluster_check":true,"source":"kube_endpoints:kube_endpoint_uid://shop/cart/"}}"#
        )
    };
    let expected = [config("10.244.3.3", r#","kubernetes_pod://6f2f7a1e-0003""#), config("10.244.3.6", ""), config("10.244.3.7", "")];
    let mut options = DiscoveryOptions { use_endpoint_slices: true, ..options() };
    let annotations = [("ad.datadoghq.com/endpoints.checks", NGINX)];
    let found = with_addresses(&options, &annotations, vec![slice()]);
    assert_eq!(told(&found, "kubernetes-endpointslices"), parsed(&expected.each_ref().map(String::as_str)));
    assert_eq!(found.sources("kubernetes-endpointslices").next().unwrap().0, "shop/cart");
    assert_eq!(found.found("kube_endpoints").count(), 3);
    options.slices_ignore_readiness = true;
    let found = with_addresses(&options, &annotations, vec![slice()]);
    let nodes: Vec<_> = told(&found, "kubernetes-endpointslices").iter().map(|config| config["node_name"].clone()).collect();
    assert_eq!(nodes, [json!(null), json!("node-a"), json!("node-a"), json!(null), json!(null)]);
}

#[test]
fn addresses_in_several_slices_are_merged_with_the_union_of_their_ports() {
    let options = DiscoveryOptions { use_endpoint_slices: true, ..options() };
    let mut second = slice();
    second.meta.key.name = "cart-z9".into();
    second.subsets[0].addresses[0].target = None;
    second.subsets[0].ports = vec![port("admin", 9090), port("http", 8080)];
    let found = with_addresses(&options, &[("ad.datadoghq.com/endpoints.checks", NGINX)], vec![second, slice()]);
    assert_eq!(told(&found, "kubernetes-endpointslices").len(), 3);
    let first = found.found("kube_endpoints").next().unwrap();
    assert_eq!(first.ports, [port("http", 8080), port("admin", 9090)]);
}

#[test]
fn cardinality_and_hybrid_tags_of_addresses_are_kept() {
    let options = DiscoveryOptions { hybrid_ignore_ad_tags: true, ..options() };
    let checks = r#"{"nginx":{"instances":[{}],"check_tag_cardinality":"low"}}"#;
    let annotations = [("ad.datadoghq.com/endpoints.checks", checks), ("ad.datadoghq.com/endpoints.ignore_autodiscovery_tags", "true")];
    let found = with_addresses(&options, &annotations, vec![endpoints()]);
    let configs = told(&found, "kubernetes-endpoints");
    assert_eq!(configs.len(), 2);
    assert!(configs.iter().all(|config| config["check_tag_cardinality"] == "low" && config["ignore_autodiscovery_tags"] == true));
}

fn file(name: &str, identifier: AdvancedAdIdentifier, instance: &str) -> Arc<CheckConfig> {
    Arc::new(CheckConfig {
        name: name.to_owned(),
        instances: vec![Data::from(instance)],
        advanced_ad_identifiers: vec![identifier],
        source: format!("file:conf.d/{name}.yaml"),
        ..CheckConfig::default()
    })
}

fn cart() -> ObjectRef {
    ObjectRef { name: "cart".to_owned(), namespace: "shop".to_owned() }
}

#[test]
fn ad_v47_a_file_for_a_service_makes_every_service_known() {
    let identifier = AdvancedAdIdentifier { kube_service: cart(), ..AdvancedAdIdentifier::default() };
    let mut discovery = discovery(&options());
    discovery.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(service(&[])))], &[]);
    discovery.set_templates(&[file("http_check", identifier, "url: http://%%host%%\n")]);
    discovery.take_changes(EVERYTHING);
    let expected = r#"{"check_name":"http_check","instances":["url: http://%%host%%\n"],"ad_identifiers":["kube_service://shop/cart"],"provider":"kubernetes-services-file","cluster_check":true,"source":"file:conf.d/http_check.yaml"}"#;
    assert_eq!(told(&discovery, "kubernetes-services-file"), parsed(&[expected]));
    assert_eq!(discovery.found("kube_services").count(), 1);
    discovery.set_templates(&[]);
    let changes = discovery.take_changes(EVERYTHING);
    assert_eq!(changes.services["kube_services"].gone, ["kube_service://shop/cart"]);
    assert!(told(&discovery, "kubernetes-services-file").is_empty());
}

#[test]
fn ad_v48_a_file_for_addresses_makes_every_address_known() {
    let expected = [
        r#"{"check_name":"nginx","instances":["nginx_status_url: http://%%host%%:%%port%%/s\n"],"ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7","kubernetes_pod://6f2f7a1e-0001"],"provider":"kubernetes-endpoints-file","service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","cluster_check":true,"node_name":"node-a","source":"file:conf.d/nginx.yaml"}"#,
        r#"{"check_name":"nginx","instances":["nginx_status_url: http://%%host%%:%%port%%/s\n"],"ad_identifiers":["kube_endpoint_uid://shop/cart/192.0.2.10"],"provider":"kubernetes-endpoints-file","service_id":"kube_endpoint_uid://shop/cart/192.0.2.10","cluster_check":true,"source":"file:conf.d/nginx.yaml"}"#,
    ];
    for slices in [false, true] {
        let options = DiscoveryOptions { use_endpoint_slices: slices, ..options() };
        for (resolve, pods) in [("auto", true), ("ip", false)] {
            let mut found = with_addresses(&options, &[], vec![endpoints()]);
            assert_eq!(found.found("kube_endpoints").count(), 0);
            let identifier =
                AdvancedAdIdentifier { kube_endpoints: cart(), resolve: resolve.to_owned(), ..AdvancedAdIdentifier::default() };
            found.set_templates(&[file("nginx", identifier, "nginx_status_url: http://%%host%%:%%port%%/s\n")]);
            found.take_changes(EVERYTHING);
            assert_eq!(found.found("kube_endpoints").count(), 2);
            let provider = if slices { "kubernetes-endpointslices-file" } else { "kubernetes-endpoints-file" };
            let configs = told(&found, provider);
            if pods && !slices {
                assert_eq!(configs, parsed(&expected));
            }
            assert_eq!(configs.len(), 2);
            assert_eq!(configs[0].get("node_name").is_some(), pods);
            assert_eq!(configs[0]["provider"], provider);
        }
    }
}

fn scraping(version: u8, service_endpoints: bool, checks: &Json) -> DiscoveryOptions {
    let checks = checks.as_array().unwrap().iter().map(|check| check.as_object().unwrap().clone()).collect();
    DiscoveryOptions { prometheus: PrometheusOptions { enabled: true, service_endpoints, checks, version }, ..options() }
}

fn scraped(options: &DiscoveryOptions, annotations: &[(&str, &str)]) -> Vec<Json> {
    told(&with_addresses(options, annotations, vec![endpoints()]), "prometheus-services")
}

#[test]
fn ad_v52_version_1_of_scraping() {
    let expected = r#"{"check_name":"openmetrics","instances":["{\"prometheus_url\":\"http://%%host%%:%%port%%/metrics\",\"namespace\":\"\",\"metrics\":[\"*\"]}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"prometheus-services","cluster_check":true,"source":"prometheus_services:kube_service://shop/cart"}"#;
    let options = scraping(1, false, &json!([]));
    assert_eq!(scraped(&options, &[("prometheus.io/scrape", "true")]), parsed(&[expected]));
    let found = with_addresses(&options, &[("prometheus.io/scrape", "true")], vec![endpoints()]);
    assert_eq!((found.found("kube_services").count(), found.found("kube_endpoints").count()), (1, 2));
}

#[test]
fn ad_v53_version_2_of_scraping_with_scheme_port_and_path() {
    let annotations = |path: &'static str| {
        [("prometheus.io/scrape", "true"), ("prometheus.io/path", path), ("prometheus.io/port", "9102"), ("prometheus.io/scheme", "https")]
    };
    let expected = r#"{"check_name":"openmetrics","instances":["{\"namespace\":\"\",\"metrics\":[\".*\"],\"openmetrics_endpoint\":\"https://%%host%%:9102/stats\"}"],"init_config":"{}","ad_identifiers":["kube_service://shop/cart"],"provider":"prometheus-services","cluster_check":true,"source":"prometheus_services:kube_service://shop/cart"}"#;
    // A path without its slash would be glued to the port (autodiscovery 15.10).
    for path in ["/stats", "stats"] {
        assert_eq!(scraped(&scraping(2, false, &json!([])), &annotations(path)), parsed(&[expected]));
    }
}

#[test]
fn ad_v54_scraping_of_each_address() {
    let expected = [
        r#"{"check_name":"openmetrics","instances":["{\"namespace\":\"\",\"metrics\":[\".*\"],\"openmetrics_endpoint\":\"http://%%host%%:%%port%%/metrics\"}"],"init_config":"{}","ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7","kubernetes_pod://6f2f7a1e-0001"],"provider":"prometheus-services","service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","cluster_check":true,"node_name":"node-a","source":"prometheus_services:kube_endpoint_uid://shop/cart/10.244.1.7"}"#,
        r#"{"check_name":"openmetrics","instances":["{\"namespace\":\"\",\"metrics\":[\".*\"],\"openmetrics_endpoint\":\"http://%%host%%:%%port%%/metrics\"}"],"init_config":"{}","ad_identifiers":["kube_endpoint_uid://shop/cart/192.0.2.10"],"provider":"prometheus-services","service_id":"kube_endpoint_uid://shop/cart/192.0.2.10","cluster_check":true,"source":"prometheus_services:kube_endpoint_uid://shop/cart/192.0.2.10"}"#,
    ];
    assert_eq!(scraped(&scraping(2, true, &json!([])), &[("prometheus.io/scrape", "true")]), parsed(&expected));
}

#[test]
fn ad_v55_services_that_are_not_scraped() {
    let plain = scraping(1, false, &json!([]));
    assert!(scraped(&plain, &[("prometheus.io/scrape", "false")]).is_empty());
    assert!(scraped(&plain, &[("other", "true")]).is_empty());
    let pods = scraping(1, false, &json!([{"autodiscovery": {"kubernetes_container_names": ["a", "b"]}}]));
    assert!(scraped(&pods, &[("prometheus.io/scrape", "true")]).is_empty());
    let mut discovery = discovery(&plain);
    let headless = KubeService { cluster_ip: "None".into(), ..service(&[("prometheus.io/scrape", "true")]) };
    discovery.apply(Kind::Services, false, vec![KubeObject::Service(Arc::new(headless))], &[]);
    discovery.take_changes(EVERYTHING);
    assert!(told(&discovery, "prometheus-services").is_empty());
}

#[test]
fn kinds_of_addresses_have_their_own_names() {
    let slices = AddressSource::Slices { ignore_readiness: false };
    assert_eq!((slices.provider(), slices.file_provider()), ("kubernetes-endpointslices", "kubernetes-endpointslices-file"));
    assert_eq!(slices.kind(), Kind::EndpointSlices);
}

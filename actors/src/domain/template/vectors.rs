//! Vectors of autodiscovery 14.3, 14.4 and 14.6 that resolve a template.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::domain::ad_service::AdService;
use crate::domain::config::{CheckConfig, Data};
use crate::domain::digest::{check_ids, digest, fast_digest};
use crate::domain::kube::objects::Port;
use crate::domain::patch::{Dispatchable, PatchOptions, dispatched};

const TAGS: &str = "- env:prod\n- kube_namespace:shop\n- kube_service:cart\n- service:cart-api\n- version:1.4\n";
const ID: &str = "kube_service://shop/cart";

fn port(number: u16, name: &str) -> Port {
    Port { number, name: Arc::from(name) }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// The service of V19.
fn cart() -> AdService {
    AdService {
        id: ID.to_owned(),
        identifiers: texts(&[ID]),
        hosts: BTreeMap::from([("cluster".to_owned(), "10.96.7.21".to_owned())]),
        ports: vec![port(8080, "http"), port(9090, "admin")],
        tags: texts(&["kube_service:cart", "kube_namespace:shop", "env:prod", "version:1.4", "service:cart-api"]),
        extra: BTreeMap::from([("namespace".to_owned(), "shop".to_owned())]),
        ..AdService::default()
    }
}

/// The services of V20.
fn endpoint(ip: &str) -> AdService {
    let id = format!("kube_endpoint_uid://shop/cart/{ip}");
    AdService {
        identifiers: vec![id.clone()],
        id,
        hosts: BTreeMap::from([("endpoint".to_owned(), ip.to_owned())]),
        ports: vec![port(9113, "metrics"), port(8080, "http")],
        tags: vec!["kube_service:cart".to_owned(), "kube_namespace:shop".to_owned(), format!("kube_endpoint_ip:{ip}")],
        ..AdService::default()
    }
}

fn rules() -> TemplateRules {
    TemplateRules {
        lookup: Arc::new(|name| match name {
            "MUSTER_PORT" => Some("0x1F90".to_owned()),
            "MUSTER_FLAG" => Some("T".to_owned()),
            "MUSTER_OCT" => Some("010".to_owned()),
            "MUSTER_USER" => Some("svc_user".to_owned()),
            _ => None,
        }),
        ..TemplateRules::default()
    }
}

fn template(instance: &str) -> CheckConfig {
    CheckConfig {
        name: "http_check".to_owned(),
        instances: vec![Data::from(instance)],
        init_config: Some(Data::from("{}")),
        ad_identifiers: texts(&[ID]),
        provider: "kubernetes-services".to_owned(),
        cluster_check: true,
        source: format!("kube_services:{ID}"),
        ..CheckConfig::default()
    }
}

fn instance_for(instance: &str, service: &AdService) -> Result<String, String> {
    let resolved = resolve(&template(instance), service, &rules()).map_err(|error| error.to_string())?;
    Ok(resolved.instances[0].text().into_owned())
}

#[track_caller]
fn resolves(instance: &str, expected: &str) {
    assert_eq!(instance_for(instance, &cart()).as_deref(), Ok(expected.replace("<Tags>\n", TAGS).as_str()));
}

#[track_caller]
fn fails(instance: &str, service: &AdService, expected: &str) {
    assert_eq!(instance_for(instance, service), Err(expected.to_owned()));
}

#[test]
fn ad_v21_host_and_named_port() {
    resolves(
        r#"{"name":"cart health","timeout":5,"url":"http://%%host%%:%%port_http%%/health?a=1\u0026b=2"}"#,
        "name: cart health\ntags:\n<Tags>\ntimeout: 5\nurl: http://10.96.7.21:8080/health?a=1&b=2\n",
    );
}

#[test]
fn ad_v22_port_forms_and_an_unknown_network() {
    resolves(
        r#"{"a":"%%port%%","b":"%%port_0%%","c":"%%port_admin%%","d":"p%%port_1%%","e":"%%host_eth0%%"}"#,
        "a: 9090\nb: 8080\nc: 9090\nd: p9090\ne: 10.96.7.21\ntags:\n<Tags>\n",
    );
}

#[test]
fn ad_v23_a_value_that_is_one_variable_is_typed() {
    resolves(
        r#"{"a":"%%env_MUSTER_PORT%%","b":"%%env_MUSTER_FLAG%%","c":"%%env_MUSTER_OCT%%","d":"x%%env_MUSTER_OCT%%","e":"%%env_MUSTER_USER%%"}"#,
        "a: 8080\nb: true\nc: 8\nd: x010\ne: svc_user\ntags:\n<Tags>\n",
    );
}

#[test]
fn ad_v24_nested_values_and_tags_of_the_instance() {
    resolves(
        r#"{"tags":["kube_service:cart","team:a"],"l":[{"h":"%%host%%"},["%%port%%",true,null,1.5]],"%%host%%":"k"}"#,
        "'%%host%%': k\nl:\n- h: 10.96.7.21\n- - 9090\n  - true\n  - null\n  - 1.5\ntags:\n- env:prod\n- kube_namespace:shop\n- kube_service:cart\n- service:cart-api\n- team:a\n- version:1.4\n",
    );
}

#[test]
fn ad_v25_percent_signs_that_are_no_variable_survive_resolution() {
    resolves(r#"{"p":"50%% done","q":"a%%b","r":"%%"}"#, "p: 50%% done\nq: a%%b\nr: '%%'\ntags:\n<Tags>\n");
}

#[test]
fn ad_v26_texts_stay_texts_and_tags_that_are_none_are_dropped() {
    resolves(
        r##"{"tags":[1,"z:1"],"s":"yes","t":"012","u":"null","v":"1e3","w":"multi\nline","x":"a: b","y":"#c","z":""}"##,
        "s: \"yes\"\nt: \"012\"\ntags:\n<Tags>\n- z:1\nu: \"null\"\nv: \"1e3\"\nw: |-\n  multi\n  line\nx: 'a: b'\n\"y\": '#c'\nz: \"\"\n",
    );
}

#[test]
fn ad_v27_tags_of_another_type_are_replaced() {
    resolves(r#"{"tags":"team:a"}"#, "tags:\n<Tags>\n");
}

#[test]
fn ad_v28_the_namespace_is_a_variable() {
    resolves(r#"{"p":"%%kube_namespace%%"}"#, "p: shop\ntags:\n<Tags>\n");
    resolves(r#"{"p":"%%extra_namespace%%"}"#, "p: shop\ntags:\n<Tags>\n");
    fails(
        r#"{"p":"%%kube_name%%"}"#,
        &cart(),
        "failed to get extra info for service kube_service://shop/cart, skipping config - AD: variable not supported by listener",
    );
}

#[test]
fn ad_v29_v30_unknown_variables_name_the_service() {
    fails(r#"{"p":"x%%foo%%y"}"#, &cart(), "unable to add tags for service 'kube_service://shop/cart', err: invalid %%foo%% tag");
    fails(r#"{"p":"%%host_%%"}"#, &cart(), "unable to add tags for service 'kube_service://shop/cart', err: invalid %%host_%% tag");
}

#[test]
fn ad_v31_a_port_index_is_too_big_or_negative() {
    for index in ["9", "-1", "2", "99999999999999999999"] {
        fails(
            &format!(r#"{{"p":"%%port_{index}%%"}}"#),
            &cart(),
            "index given for the port template var is too big, skipping container kube_service://shop/cart",
        );
    }
}

#[test]
fn ad_v32_a_port_name_is_unknown() {
    fails(r#"{"p":"%%port_grpc%%"}"#, &cart(), "port grpc not found, skipping container kube_service://shop/cart");
}

#[test]
fn ad_v33_pid_and_hostname_are_not_supported() {
    let rest = "for service kube_service://shop/cart, skipping config - AD: variable not supported by listener";
    fails(r#"{"p":"%%pid%%"}"#, &cart(), &format!("failed to get pid {rest}"));
    fails(r#"{"p":"%%hostname%%"}"#, &cart(), &format!("failed to get hostname {rest}"));
}

#[test]
fn ad_v34_an_environment_variable_is_not_set_named_or_allowed() {
    let service = "skipping service kube_service://shop/cart";
    fails(r#"{"p":"%%env_MUSTER_NOPE%%"}"#, &cart(), &format!("failed to retrieve envvar MUSTER_NOPE, {service}"));
    fails(r#"{"p":"%%env%%"}"#, &cart(), &format!("envvar name is missing, {service}"));
    let closed = TemplateRules { disable_env_var_resolution: true, ..rules() };
    let error = resolve(&template(r#"{"p":"%%env_MUSTER_USER%%"}"#), &cart(), &closed).unwrap_err();
    assert_eq!(error.to_string(), format!("envvar MUSTER_USER is not allowed in check configs, {service}"));
}

#[test]
fn ad_v35_ipv6_addresses_get_brackets_where_they_need_them() {
    let mut service = cart();
    service.hosts.insert("cluster".to_owned(), "fd00::15".to_owned());
    let resolved = |text: &str| instance_for(text, &service).unwrap();
    assert_eq!(
        resolved(r#"{"h":"%%host%%","u":"http://%%host%%:%%port%%/m","hp":"%%host%%:%%port%%"}"#),
        format!("h: fd00::15\nhp: '[fd00::15]:9090'\ntags:\n{TAGS}u: http://[fd00::15]:9090/m\n")
    );
    let only = |text: &str| {
        let config = CheckConfig { ignore_autodiscovery_tags: true, ..template(&format!("u: '{text}'")) };
        resolve(&config, &service, &rules()).unwrap().instances[0].text().into_owned()
    };
    assert_eq!(only("http://%%env_MUSTER_USER%%@%%host%%/x"), "u: http://svc_user@[fd00::15]/x\n");
    assert_eq!(only("%%host%%:80"), "u: '[fd00::15]:80'\n");
    assert_eq!(only("[%%host%%]:80"), "u: '[fd00::15]:80'\n");
    assert_eq!(only("http://x/%%host%%"), "u: http://x/fd00::15\n");
    assert_eq!(only("%%host%%: up"), "u: 'fd00::15: up'\n");
}

#[test]
fn ad_v36_a_headless_service_has_the_host_none() {
    let mut service = cart();
    service.hosts.insert("cluster".to_owned(), "None".to_owned());
    assert_eq!(instance_for(r#"{"u":"http://%%host%%"}"#, &service).unwrap(), format!("tags:\n{TAGS}u: http://None\n"));
}

#[test]
fn ad_v37_a_service_without_ports() {
    let service = AdService { ports: Vec::new(), ..cart() };
    for variable in ["port", "port_0", "port_http"] {
        let instance = format!(r#"{{"p":"%%{variable}%%"}}"#);
        fails(&instance, &service, "no port found for container kube_service://shop/cart - ignoring it");
    }
}

#[test]
fn ad_v38_tags_are_ignored_and_the_flag_is_lost() {
    let config = CheckConfig {
        ignore_autodiscovery_tags: true,
        check_tag_cardinality: "low".to_owned(),
        ..template(r#"{"url":"http://%%host%%"}"#)
    };
    let resolved = resolve(&config, &cart(), &rules()).unwrap();
    let expected = CheckConfig {
        instances: vec![Data::from("url: http://10.96.7.21\n")],
        init_config: Some(Data::from("{}\n")),
        service_id: ID.to_owned(),
        ignore_autodiscovery_tags: false,
        check_tag_cardinality: String::new(),
        ..config.clone()
    };
    assert_eq!(resolved, expected);
    assert_eq!(fast_digest(&resolved).to_string(), "21cf9f91e2a3669b");
    assert_eq!(digest(&resolved).to_string(), "21cf9f91e2a3669b");
    assert_eq!(check_ids(&resolved)[0].as_str(), "http_check:3e8d3f97383b956e");
    let kept = resolve(&config, &cart(), &TemplateRules { keep_tag_options: true, ..rules() }).unwrap();
    assert!(kept.ignore_autodiscovery_tags);
    assert_eq!(kept.check_tag_cardinality, "low");
}

fn prod() -> PatchOptions {
    PatchOptions { cluster_name: Some("prod-1".to_owned()), ..PatchOptions::default() }
}

fn wire(config: &CheckConfig) -> String {
    serde_json::to_string(config).unwrap()
}

#[test]
fn ad_v39_a_service_check_from_its_annotation_to_the_wire() {
    let collected = template(r#"{"name":"cart health","timeout":5,"url":"http://%%host%%:%%port_http%%/health?a=1\u0026b=2"}"#);
    assert_eq!(fast_digest(&collected).to_string(), "84194e55d714a3fe");
    assert_eq!(digest(&collected).to_string(), "f4ed83de218b5841");
    assert_eq!(check_ids(&collected)[0].as_str(), "http_check:cart health:8d7b94c71b823142");
    let resolved = resolve(&collected, &cart(), &rules()).unwrap();
    assert_eq!(
        resolved.instances[0].text(),
        format!("name: cart health\ntags:\n{TAGS}timeout: 5\nurl: http://10.96.7.21:8080/health?a=1&b=2\n")
    );
    assert_eq!(resolved.init_config, Some(Data::from("{}\n")));
    assert_eq!(
        (fast_digest(&resolved).to_string().as_str(), digest(&resolved).to_string().as_str()),
        ("e677a017ab6fe20b", "e677a017ab6fe20b")
    );
    assert_eq!(check_ids(&resolved)[0].as_str(), "http_check:cart health:36d61bdca1aad223");
    let Dispatchable::Cluster(sent) = dispatched(&resolved, &prod()).unwrap() else { panic!("not a cluster check") };
    assert_eq!(
        wire(&sent.config),
        r#"{"check_name":"http_check","instances":["ZW1wdHlfZGVmYXVsdF9ob3N0bmFtZTogdHJ1ZQpuYW1lOiBjYXJ0IGhlYWx0aAp0YWdzOgotIGNsdXN0ZXJfbmFtZTpwcm9kLTEKLSBlbnY6cHJvZAotIGt1YmVfY2x1c3Rlcl9uYW1lOnByb2QtMQotIGt1YmVfbmFtZXNwYWNlOnNob3AKLSBrdWJlX3NlcnZpY2U6Y2FydAotIHNlcnZpY2U6Y2FydC1hcGkKLSB2ZXJzaW9uOjEuNAp0aW1lb3V0OiA1CnVybDogaHR0cDovLzEwLjk2LjcuMjE6ODA4MC9oZWFsdGg/YT0xJmI9Mgo="],"init_config":"e30K","metric_config":null,"logs":null,"ad_identifiers":null,"advanced_ad_identifiers":null,"provider":"kubernetes-services","service_id":"kube_service://shop/cart","cluster_check":false,"node_name":"","source":"kube_services:kube_service://shop/cart","ignore_autodiscovery_tags":false,"check_tag_cardinality":"","metrics_excluded":false,"logs_excluded":false}"#
    );
    assert_eq!(sent.digest.to_string(), "572b05fe11c25789");
    assert_eq!(sent.check_ids[0].as_str(), "http_check:cart health:e500cabf9f191885");
}

/// What the endpoints annotation of V40 gives for one address.
fn endpoint_template(ip: &str, pod: Option<&str>, node: &str) -> CheckConfig {
    let id = format!("kube_endpoint_uid://shop/cart/{ip}");
    CheckConfig {
        name: "nginx".to_owned(),
        instances: vec![Data::from(r#"{"name":"cart-ep","nginx_status_url":"http://%%host%%:%%port_http%%/nginx_status"}"#)],
        init_config: Some(Data::from("{}")),
        ad_identifiers: std::iter::once(id.clone()).chain(pod.map(str::to_owned)).collect(),
        provider: "kubernetes-endpoints".to_owned(),
        service_id: id,
        cluster_check: true,
        node_name: node.to_owned(),
        source: "kube_endpoints:kube_endpoint_uid://shop/cart/".to_owned(),
        ..CheckConfig::default()
    }
}

#[test]
fn ad_v40_endpoint_checks_from_their_templates_to_the_wire() {
    let with_pod = endpoint_template("10.244.1.7", Some("kubernetes_pod://6f2f7a1e-0001"), "node-a");
    let resolved = resolve(&with_pod, &endpoint("10.244.1.7"), &rules()).unwrap();
    let Dispatchable::Endpoint(node, sent) = dispatched(&resolved, &prod()).unwrap() else { panic!("not an endpoint check") };
    assert_eq!(node.as_str(), "node-a");
    assert_eq!(
        wire(&sent.config),
        r#"{"check_name":"nginx","instances":["bmFtZTogY2FydC1lcApuZ2lueF9zdGF0dXNfdXJsOiBodHRwOi8vMTAuMjQ0LjEuNzo4MDgwL25naW54X3N0YXR1cwp0YWdzOgotIGNsdXN0ZXJfbmFtZTpwcm9kLTEKLSBrdWJlX2NsdXN0ZXJfbmFtZTpwcm9kLTEKLSBrdWJlX2VuZHBvaW50X2lwOjEwLjI0NC4xLjcKLSBrdWJlX25hbWVzcGFjZTpzaG9wCi0ga3ViZV9zZXJ2aWNlOmNhcnQK"],"init_config":"e30K","metric_config":null,"logs":null,"ad_identifiers":["kube_endpoint_uid://shop/cart/10.244.1.7","kubernetes_pod://6f2f7a1e-0001"],"advanced_ad_identifiers":null,"provider":"kubernetes-endpoints","service_id":"kube_endpoint_uid://shop/cart/10.244.1.7","cluster_check":false,"node_name":"node-a","source":"kube_endpoints:kube_endpoint_uid://shop/cart/","ignore_autodiscovery_tags":false,"check_tag_cardinality":"","metrics_excluded":false,"logs_excluded":false}"#
    );
    assert_eq!(sent.digest.to_string(), "396d012e008202b3");
    assert_eq!(sent.check_ids[0].as_str(), "nginx:cart-ep:eebfad79bcac7e5a");

    let without_pod = endpoint_template("192.0.2.10", None, "");
    let resolved = resolve(&without_pod, &endpoint("192.0.2.10"), &rules()).unwrap();
    let Dispatchable::Cluster(sent) = dispatched(&resolved, &prod()).unwrap() else { panic!("not a cluster check") };
    assert_eq!(
        sent.config.instances[0].text(),
        "empty_default_hostname: true\nname: cart-ep\nnginx_status_url: http://192.0.2.10:8080/nginx_status\ntags:\n- cluster_name:prod-1\n- kube_cluster_name:prod-1\n- kube_endpoint_ip:192.0.2.10\n- kube_namespace:shop\n- kube_service:cart\n"
    );
    assert_eq!(
        (fast_digest(&sent.config).to_string().as_str(), sent.digest.to_string().as_str()),
        ("6c5d7ab8eea086ec", "6c5d7ab8eea086ec")
    );
    assert_eq!(sent.check_ids[0].as_str(), "nginx:cart-ep:c3f2b15022f48940");
}

#[test]
fn ad_v41_a_node_adds_the_tags_of_its_pod() {
    let collected = endpoint_template("10.244.1.7", Some("kubernetes_pod://6f2f7a1e-0001"), "node-a");
    let resolved = resolve(&collected, &endpoint("10.244.1.7"), &rules()).unwrap();
    let Dispatchable::Endpoint(_, sent) = dispatched(&resolved, &prod()).unwrap() else { panic!("not an endpoint check") };
    let received = CheckConfig { provider: "endpoints-checks".to_owned(), ..sent.config };
    let pod = AdService {
        id: "kubernetes_pod://6f2f7a1e-0001".to_owned(),
        identifiers: texts(&["kubernetes_pod://6f2f7a1e-0001"]),
        tags: texts(&["pod_name:cart-0", "kube_namespace:shop", "image_tag:1.4"]),
        ..AdService::default()
    };
    let scheduled = resolve(&received, &pod, &rules()).unwrap();
    assert_eq!(
        scheduled.instances[0].text(),
        "name: cart-ep\nnginx_status_url: http://10.244.1.7:8080/nginx_status\ntags:\n- cluster_name:prod-1\n- image_tag:1.4\n- kube_cluster_name:prod-1\n- kube_endpoint_ip:10.244.1.7\n- kube_namespace:shop\n- kube_service:cart\n- pod_name:cart-0\n"
    );
    assert_eq!(
        (fast_digest(&scheduled).to_string().as_str(), digest(&scheduled).to_string().as_str()),
        ("c381e6cb5c637eeb", "c381e6cb5c637eeb")
    );
    assert_eq!(check_ids(&scheduled)[0].as_str(), "nginx:cart-ep:16316ff2d602f8a");
}

#[test]
fn ad_v42_v43_without_a_node_an_endpoint_is_a_cluster_check() {
    let resolve_ip = endpoint_template("10.244.1.7", None, "");
    let pod_without_node = endpoint_template("10.244.1.7", Some("kubernetes_pod://6f2f7a1e-0003"), "");
    for collected in [resolve_ip, pod_without_node] {
        let resolved = resolve(&collected, &endpoint("10.244.1.7"), &rules()).unwrap();
        let Dispatchable::Cluster(sent) = dispatched(&resolved, &prod()).unwrap() else { panic!("not a cluster check") };
        assert!(sent.config.ad_identifiers.is_empty());
    }
}

#[test]
fn hosts_are_chosen_by_network_then_bridge() {
    let hosts = |pairs: &[(&str, &str)]| AdService {
        hosts: pairs.iter().map(|(network, host)| ((*network).to_owned(), (*host).to_owned())).collect(),
        tags: Vec::new(),
        ..cart()
    };
    let several = hosts(&[("a", "1.1.1.1"), ("bridge", "2.2.2.2")]);
    assert_eq!(instance_for("h: '%%host%%'", &several).unwrap(), "h: 2.2.2.2\n");
    assert_eq!(instance_for("h: '%%host_a%%'", &several).unwrap(), "h: 1.1.1.1\n");
    assert_eq!(instance_for("h: '%%host%%'", &hosts(&[("a", "1.1.1.1"), ("", "3.3.3.3")])).unwrap(), "h: 3.3.3.3\n");
    fails("h: '%%host%%'", &hosts(&[]), "no network found for container kube_service://shop/cart, ignoring it");
    fails(
        "h: '%%host%%'",
        &hosts(&[("a", "1.1.1.1"), ("b", "2.2.2.2")]),
        "failed to resolve IP address for container kube_service://shop/cart, ignoring it. Source error: not able to determine which network is reachable",
    );
}

#[test]
fn an_error_names_part_variable_and_what_is_allowed() {
    for (instance, found, allowed) in [
        ("p: '%%port_9%%'", "%%port_9%%", "an index from 0 to 1"),
        ("p: '%%port_web%%'", "%%port_web%%", "one of http, admin, or an index"),
        ("p: '%%pid%%'", "%%pid%%", "%%host%%, %%port%%, "),
        ("p: 'a%%nope%%b'", "%%nope%%", "%%host%%, %%port%%, "),
        ("p: '%%kube_nope%%'", "%%kube_nope%%", "%%kube_<name>%% with one of namespace"),
        ("p: '%%env%%'", "%%env%%", "%%env_<name>%%"),
        ("{a: [}", "text that is no YAML", "YAML"),
    ] {
        let config = CheckConfig { instances: vec![Data::from("{}"), Data::from(instance)], ..template("{}") };
        let error = resolve(&config, &cart(), &rules()).unwrap_err();
        assert_eq!((error.part.as_str(), error.found.as_str()), ("instances[1]", found));
        assert!(error.allowed.starts_with(allowed), "{instance}: {}", error.allowed);
    }
}

#[test]
fn the_first_part_with_an_error_ends_it_and_absent_parts_stay_absent() {
    let mut config = template("p: '%%pid%%'");
    config.init_config = Some(Data::from("{a: [}"));
    let error = resolve(&config, &cart(), &rules()).unwrap_err();
    assert!(error.to_string().starts_with("unable to add tags for service 'kube_service://shop/cart', err: init_config: "), "{error}");
    config.init_config = None;
    config.instances = vec![Data::from("- 1")];
    config.logs = Some(Data::from(r#"[{"service":"%%kube_namespace%%"}]"#));
    config.metric_config = Some(Data::from("a: '%%host%%'"));
    let excluded = AdService { metrics_excluded: true, ..cart() };
    let resolved = resolve(&config, &excluded, &rules()).unwrap();
    assert_eq!(resolved.init_config, None);
    assert_eq!(resolved.instances[0].text(), "- 1\n");
    assert_eq!(resolved.logs, Some(Data::from("- service: shop\n")));
    assert_eq!(resolved.metric_config, config.metric_config);
    assert!(resolved.metrics_excluded && !resolved.logs_excluded);
}

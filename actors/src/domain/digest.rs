//! Identities of configs and instances. Source: cluster-checks 6, autodiscovery 10.

use std::fmt::Write as _;
use std::io::Cursor;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::ids::{CheckId, ConfigKey, Digest};
use crate::domain::yaml::{self, Document, Value};

/// Digest over the instance bytes as they are: changes with every byte.
#[must_use]
pub fn fast_digest(config: &CheckConfig) -> Digest {
    Digest(murmur3_first_half(&digest_input(config, |input, instance| input.extend_from_slice(instance.as_bytes()))))
}

/// Digest over canonical instances: insensitive to key order, formatting and the order of tags.
///
/// An instance that is no mapping, or whose `tags` is no list, contributes nothing.
#[must_use]
pub fn digest(config: &CheckConfig) -> Digest {
    Digest(murmur3_first_half(&digest_input(config, |input, instance| {
        if let Some(text) = canonical_instance(instance) {
            input.extend_from_slice(text.as_bytes());
        }
    })))
}

/// Id of one instance, as every agent since about 7.3x computes it from the bytes it received.
///
/// `fast_digest` is that of the config the instance is part of.
#[must_use]
pub fn check_id(name: &str, fast_digest: Digest, instance: &Data, init_config: Option<&Data>) -> CheckId {
    labelled_id(name, fnv1(&[&fast_digest.0.to_be_bytes(), instance.as_bytes(), bytes_of(init_config)]), instance)
}

/// Current check ids of all instances, in instance order.
#[must_use]
pub fn check_ids(config: &CheckConfig) -> Vec<CheckId> {
    let fast_digest = fast_digest(config);
    config.instances.iter().map(|instance| check_id(&config.name, fast_digest, instance, config.init_config.as_ref())).collect()
}

/// Check name of an id: the text before the first colon.
#[must_use]
pub fn check_name(id: &CheckId) -> &str {
    id.as_str().split(':').next().unwrap_or_default()
}

/// Internal key of a config: all its fields, each with its length, so that different configs have different keys.
///
/// Taken before patching (cluster-checks 6.1, BETTER).
#[must_use]
pub fn config_key(config: &CheckConfig) -> ConfigKey {
    let CheckConfig {
        name,
        instances,
        init_config,
        metric_config,
        logs,
        ad_identifiers,
        advanced_ad_identifiers,
        provider,
        service_id,
        cluster_check,
        node_name,
        source,
        ignore_autodiscovery_tags,
        check_tag_cardinality,
        metrics_excluded,
        logs_excluded,
    } = config;
    let mut input = KeyInput(Vec::with_capacity(512));
    for text in [name, provider, service_id, node_name, source, check_tag_cardinality] {
        input.part(text.as_bytes());
    }
    input.count(instances.len());
    for instance in instances {
        input.part(instance.as_bytes());
    }
    for data in [init_config, metric_config, logs] {
        // Present but empty differs from absent: an agent takes an empty `logs` for a logs config.
        input.count(usize::from(data.is_some()));
        input.part(bytes_of(data.as_ref()));
    }
    input.count(ad_identifiers.len());
    for identifier in ad_identifiers {
        input.part(identifier.as_bytes());
    }
    input.count(advanced_ad_identifiers.len());
    for identifier in advanced_ad_identifiers {
        for object in [&identifier.kube_service, &identifier.kube_endpoints] {
            input.part(object.name.as_bytes());
            input.part(object.namespace.as_bytes());
        }
    }
    for flag in [cluster_check, ignore_autodiscovery_tags, metrics_excluded, logs_excluded] {
        input.count(usize::from(*flag));
    }
    ConfigKey(murmur3(&input.0))
}

struct KeyInput(Vec<u8>);

impl KeyInput {
    fn count(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_be_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

fn digest_input(config: &CheckConfig, mut add_instance: impl FnMut(&mut Vec<u8>, &Data)) -> Vec<u8> {
    let mut input = config.name.clone().into_bytes();
    for instance in &config.instances {
        add_instance(&mut input, instance);
    }
    input.extend_from_slice(bytes_of(config.init_config.as_ref()));
    for identifier in &config.ad_identifiers {
        input.extend_from_slice(identifier.as_bytes());
    }
    input.extend_from_slice(config.node_name.as_bytes());
    input.extend_from_slice(bytes_of(config.logs.as_ref()));
    input.extend_from_slice(config.service_id.as_bytes());
    input.extend_from_slice(if config.ignore_autodiscovery_tags { b"true" } else { b"false" });
    input
}

fn canonical_instance(instance: &Data) -> Option<String> {
    let mut value = match yaml::parse(std::str::from_utf8(instance.as_bytes()).ok()?).ok()? {
        Value::Null => Value::Map(Vec::new()),
        mapping @ Value::Map(_) => mapping,
        _ => return None,
    };
    if let Value::Map(entries) = &mut value
        && let Some((_, tags)) = entries.iter_mut().find(|(key, _)| key.as_str() == Some("tags"))
    {
        let Value::List(items) = tags else {
            return None;
        };
        let mut texts: Vec<String> = items.iter().map(Value::key_text).collect();
        texts.sort_unstable();
        *tags = Value::List(texts.into_iter().map(Value::Text).collect());
    }
    Some(yaml::write(&value))
}

fn labelled_id(name: &str, hash: u64, instance: &Data) -> CheckId {
    let mut id = format!("{name}:");
    let label = instance_label(instance);
    if !label.is_empty() {
        id.push_str(&label);
        id.push(':');
    }
    let _ = write!(id, "{hash:x}");
    CheckId::from(id)
}

/// The instance's `name`, or its `namespace`, as written; empty when one of the reserved keys has a wrong type, because the stock agent
/// then reads none of them (autodiscovery 1.2, cluster-checks 6.2).
fn instance_label(instance: &Data) -> String {
    let Some(document) = std::str::from_utf8(instance.as_bytes()).ok().and_then(|text| yaml::parse_document(text).ok()) else {
        return String::new();
    };
    if !reserved_keys_are_readable(&document.value) {
        return String::new();
    }
    let text = |key| match document.value.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(value) => written_text(&document, key, value),
    };
    let name = text("name");
    if name.is_empty() { text("namespace") } else { name }
}

fn written_text(document: &Document, key: &str, value: &Value) -> String {
    document.raw_text(key).map_or_else(|| value.key_text(), str::to_owned)
}

fn reserved_keys_are_readable(instance: &Value) -> bool {
    let is_scalar = |value: &Value| !matches!(value, Value::List(_) | Value::Map(_));
    let holds =
        |key: &str, allowed: &dyn Fn(&Value) -> bool| instance.get(key).is_none_or(|value| matches!(value, Value::Null) || allowed(value));
    matches!(instance, Value::Map(_))
        && ["name", "namespace", "service", "loader"].iter().all(|key| holds(key, &is_scalar))
        && ["empty_default_hostname", "no_index"].iter().all(|key| holds(key, &|value| matches!(value, Value::Bool(_))))
        && holds("min_collection_interval", &|value| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_)))
        && holds("tags", &|value| matches!(value, Value::List(items) if items.iter().all(is_scalar)))
}

fn bytes_of(data: Option<&Data>) -> &[u8] {
    data.map_or(&[], Data::as_bytes)
}

/// FNV-1, 64 bits: multiply, then xor.
fn fnv1(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| hash.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(*byte))
}

fn murmur3(bytes: &[u8]) -> u128 {
    // Reading from memory does not fail.
    murmur3::murmur3_x64_128(&mut Cursor::new(bytes), 0).unwrap_or_default()
}

fn murmur3_first_half(bytes: &[u8]) -> u64 {
    murmur3(bytes) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(name: &str, instances: &[&str], init_config: Option<&str>) -> CheckConfig {
        CheckConfig {
            name: name.to_owned(),
            instances: instances.iter().map(|text| Data::from(*text)).collect(),
            init_config: init_config.map(Data::from),
            ..CheckConfig::default()
        }
    }

    fn ids(config: &CheckConfig) -> Vec<String> {
        check_ids(config).iter().map(ToString::to_string).collect()
    }

    const P: &str = "empty_default_hostname: true\nname: My service\ntags:\n- cluster_name:example\n- kube_cluster_name:example\n- kube_namespace:default\n- kube_service:my-nginx\ntimeout: 1\nurl: http://10.15.246.109\n";

    #[test]
    fn cc_t01_fnv_1_multiplies_before_it_xors() {
        assert_eq!(fnv1(&[b"foobar"]), 0x340d_8765_a4dd_a9c2);
        assert_eq!(fnv1(&[b"foo", b"bar"]), 0x340d_8765_a4dd_a9c2);
        assert_eq!(fnv1(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1(&[b"a"]), 0xaf63_bd4c_8601_b7be);
    }

    #[test]
    fn cc_t02_digest_of_a_name() {
        let cases = [
            ("A", "2fa9bc4872fb0636"),
            ("B", "98c5647b1c8f5f40"),
            ("C", "3e01e7458fd7d222"),
            ("cluster-check", "8e31888ab5108df9"),
            ("unit_test", "b442dfd352736421"),
            ("", "c4bf6d05e5b795e4"),
            ("foo", "6eba821f0cd8c6d0"),
        ];
        for (name, expected) in cases {
            let mut one = config(name, &[], None);
            assert_eq!(digest(&one).to_string(), expected);
            one.cluster_check = true;
            assert_eq!(digest(&one).to_string(), expected);
        }
        assert_eq!(murmur3_first_half(b""), 0);
    }

    #[test]
    fn cc_t03_digests_are_not_padded() {
        assert_eq!(digest(&config("check22", &[], None)).to_string(), "e334467db7b5ee1");
    }

    #[test]
    fn cc_t04_check_ids_of_today() {
        let cases = [
            ("{}\n", true, "acb38d8b56acc18f", "http_check:My service:aa4a07dfcb081b52"),
            ("{}\n", false, "3421cf01e67bb377", "http_check:My service:5d3cf42738cbbfb1"),
            ("{}", true, "e246f5186a5ad626", "http_check:My service:def70fcae0c87632"),
            ("{}", false, "39d11bb6e77840cb", "http_check:My service:c5d65206376150be"),
        ];
        for (init_config, with_service, fast, id) in cases {
            let mut one = config("http_check", &[P], Some(init_config));
            if with_service {
                one.service_id = "kube_service://default/my-nginx".to_owned();
            }
            assert_eq!(fast_digest(&one).to_string(), fast);
            assert_eq!(ids(&one), [id]);
        }
    }

    #[test]
    fn cc_t05_a_second_instance_changes_the_id_of_the_first() {
        let a = "empty_default_hostname: true\nhost: db-a\nport: 5432\n";
        let b = "empty_default_hostname: true\nhost: db-b\nport: 5432\n";
        let both = config("postgres", &[a, b], None);
        assert_eq!(fast_digest(&both).to_string(), "2c0d0e2b6879d17c");
        assert_eq!(ids(&both), ["postgres:1b29ce4bd757d0dd", "postgres:eb6f576967ebd5a2"]);
        let one = config("postgres", &[a], None);
        assert_eq!(fast_digest(&one).to_string(), "898b512f88648f64");
        assert_eq!(ids(&one), ["postgres:3b26d9afcf3b477c"]);
    }

    #[test]
    fn cc_t06_the_label_falls_back_to_the_namespace() {
        let one = config("openmetrics", &["namespace: ns1\nurl: http://x\n"], Some("{}"));
        assert_eq!(ids(&one), ["openmetrics:ns1:5d3df7202fef9fef"]);
    }

    #[test]
    fn cc_t07_digest_and_fast_digest_differ() {
        let one = config("http_check", &["tags: [\"b:2\", \"a:1\"]\nurl: http://x"], Some("{}"));
        assert_eq!(fast_digest(&one).to_string(), "399e16b4ccdb4a4c");
        assert_eq!(digest(&one).to_string(), "928c5dfdec30e6e7");
    }

    #[test]
    fn cc_t08_an_endpoint_config_counts_identifiers_and_node() {
        let instance = "host: 10.0.0.5\nport: 6379\ntags:\n- cluster_name:example\n- kube_cluster_name:example\n- kube_endpoint_ip:10.0.0.5\n- kube_namespace:default\n- kube_service:redis\n";
        let mut one = config("redisdb", &[instance], Some("{}\n"));
        one.ad_identifiers = vec![
            "kube_endpoint_uid://default/redis/10.0.0.5".to_owned(),
            "kubernetes_pod://9f3c7e1a-0001-4c55-9d8e-0242ac120002".to_owned(),
        ];
        one.node_name = "node-1".to_owned();
        one.service_id = "kube_endpoint_uid://default/redis/10.0.0.5".to_owned();
        assert_eq!(digest(&one).to_string(), "977a56084a68da8f");
        assert_eq!(ids(&one), ["redisdb:e6912e3a5c73dce8"]);
    }

    #[test]
    fn ad_v56_digests_and_check_ids() {
        type Row = (&'static str, &'static [&'static str], Option<&'static str>, &'static str, &'static str, &'static [&'static str]);
        let rows: [Row; 8] = [
            ("cpu", &["{}"], None, "9f56d3e4d5a58a2", "1fb56fb626d6adec", &["cpu:ac696257035a0131"]),
            (
                "redisdb",
                &["host: 10.0.0.1\nport: 6379\n"],
                Some("{}\n"),
                "4c84fc8414afed73",
                "4c84fc8414afed73",
                &["redisdb:873bbd62db607f52"],
            ),
            (
                "redisdb",
                &["host: 10.0.0.1\nname: main\nnamespace: ns1\n"],
                Some("{}\n"),
                "fd9f787da523891a",
                "fd9f787da523891a",
                &["redisdb:main:28b85317358c03b6"],
            ),
            ("oracle", &["namespace: ns1\n"], None, "987e593d6598eab3", "987e593d6598eab3", &["oracle:ns1:1364530dd960f6f2"]),
            (
                "multi",
                &["a: 1\n", "a: 2\n"],
                None,
                "f763671d5c2067d8",
                "f763671d5c2067d8",
                &["multi:5251f5de43b4fce8", "multi:5251f4de43b4fb25"],
            ),
            ("multi", &["tags: [b, a]\n"], None, "2c98370605fdef16", "327d6f99a6dde39a", &["multi:bb95683f803b807"]),
            ("multi", &["tags: [a, b]\n"], None, "3c47a060babf7b6a", "327d6f99a6dde39a", &["multi:8e18f95e3ae66be4"]),
            ("multi", &["tags: a\n"], None, "d38b7ca9db280188", "7a5e6ca5cececaa7", &["multi:e20d9cccd27a1878"]),
        ];
        for (name, instances, init_config, fast, canonical, expected) in rows {
            let one = config(name, instances, init_config);
            assert_eq!(fast_digest(&one).to_string(), fast, "{name}");
            assert_eq!(digest(&one).to_string(), canonical, "{name}");
            assert_eq!(ids(&one), expected);
        }
        let mut templated = config("redisdb", &["host: 10.0.0.1\nport: 6379\n"], Some("{}\n"));
        templated.ad_identifiers = vec!["x".to_owned(), "y".to_owned()];
        templated.node_name = "n1".to_owned();
        templated.service_id = "kube_service://a/b".to_owned();
        assert_eq!(fast_digest(&templated).to_string(), "f8ffa128ec269463");
        assert_eq!(ids(&templated), ["redisdb:f625e1589c6ba9d8"]);
    }

    #[test]
    fn upstream_digests_of_autodiscovery_10_1() {
        assert_eq!(digest(&config("foo", &["{foo:bar}"], None)).to_string(), "bac28046698f8f94");
        let mut one = config("foo", &[], None);
        one.ignore_autodiscovery_tags = true;
        assert_eq!(digest(&one).to_string(), "28242ab6104a4de1");
        one.ignore_autodiscovery_tags = false;
        one.service_id = "docker://f556178a47cf65fb70cd5772a9e80e661f71e021da49d3dc99565b861707041c".to_owned();
        assert_eq!(digest(&one).to_string(), "87124897c6c72173");
    }

    #[test]
    fn recorded_dispatched_instances_have_the_recorded_ids() {
        // Services adc/emptyinst and adc/initlist of a stock server.
        let tags = "- cluster_name:example\n- orch_cluster_id:f364e1bc-c27c-4746-beed-6daaec4c816f\n- kube_namespace:adc\n- kube_service:initlist\n- kube_cluster_name:example\n";
        let mut one = config("memory", &[&format!("empty_default_hostname: true\ntags:\n{tags}")], Some("- 1\n"));
        one.service_id = "kube_service://adc/initlist".to_owned();
        assert_eq!(ids(&one), ["memory:76e20552398e8265"]);
    }

    #[test]
    fn labels_are_texts_as_written() {
        let label = |text: &str| instance_label(&Data::from(text));
        assert_eq!(label("name: yes\n"), "yes");
        assert_eq!(label("name: 0x10\n"), "0x10");
        assert_eq!(label("name: ~\nnamespace: n\n"), "n");
        assert_eq!(label("name: a:b\n"), "a:b");
        assert_eq!(label("name: [a]\n"), "");
        assert_eq!(label("name: a\ntags: b\n"), "");
        assert_eq!(label("name: a\nno_index: 1\n"), "");
        assert_eq!(label("- name: a\n"), "");
        assert_eq!(label("name: 'a"), "");
        assert_eq!(check_name(&CheckId::from("http_check:a:b")), "http_check");
    }

    #[test]
    fn keys_separate_what_digests_run_together() {
        let mut left = config("a", &["x"], None);
        let mut right = left.clone();
        left.node_name = "n1".to_owned();
        right.service_id = "n1".to_owned();
        assert_eq!(digest(&left), digest(&right));
        assert_ne!(config_key(&left), config_key(&right));
        assert_ne!(config_key(&config("a", &["bc"], None)), config_key(&config("ab", &["c"], None)));
        let mut logs = config("a", &["x"], None);
        logs.logs = Some(Data::from(""));
        assert_ne!(config_key(&config("a", &["x"], None)), config_key(&logs));
    }

    proptest! {
        #[test]
        fn digest_ignores_tag_order_and_key_order(mut tags in prop::collection::vec("[a-c]:[0-9]", 0..6), name in "[a-z]{1,4}") {
            let forward = format!("name: {name}\ntags: {tags:?}\nz: 1\n");
            tags.reverse();
            let backward = format!("z: 1\ntags: {tags:?}\nname: {name}\n");
            prop_assert_eq!(digest(&config("c", &[&forward], None)), digest(&config("c", &[&backward], None)));
        }
    }
}

//! From a discovered config to what is dispatched. Source: cluster-checks 5.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::check_options::OptionError;
use crate::domain::check_traits::CheckTraits;
use crate::domain::config::{CheckConfig, Data, DispatchedConfig};
use crate::domain::digest::{check_ids, config_key, digest};
use crate::domain::ids::KubernetesNodeName;
use crate::domain::yaml::{self, Position, Value};

/// What the server adds to configs and which it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchOptions {
    /// Global tags of the server: `tags`, `extra_tags`, `cluster_checks.extra_tags`, `orchestrator_explorer.extra_tags`.
    pub global_tags: Vec<String>,
    /// Key of the tag that carries the cluster name, `cluster_checks.cluster_tag_name`; empty = no such tag.
    pub cluster_tag_name: String,
    /// Cluster name, if it is known.
    pub cluster_name: Option<String>,
    /// Leaves out the tag of `cluster_tag_name`, `disable_cluster_name_tag_key`.
    pub disable_cluster_name_tag_key: bool,
    /// Cluster id, if it is known.
    pub cluster_id: Option<String>,
    /// Check names that are not dispatched, `cluster_checks.exclude_checks`.
    pub exclude_checks: BTreeSet<String>,
    /// Whether the server itself does the work of the check `kubernetes_apiserver`: not where there is no Kubernetes.
    pub runs_apiserver_check: bool,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self {
            global_tags: Vec::new(),
            cluster_tag_name: "cluster_name".to_owned(),
            cluster_name: None,
            disable_cluster_name_tag_key: false,
            cluster_id: None,
            exclude_checks: BTreeSet::new(),
            runs_apiserver_check: false,
        }
    }
}

impl PatchOptions {
    /// Tags that every dispatched instance gets, in the order of cluster-checks 5.3. Global tags without a colon are dropped.
    #[must_use]
    pub fn extra_tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.global_tags.iter().filter(|tag| tag.contains(':')).cloned().collect();
        if let Some(name) = self.cluster_name.as_deref().filter(|name| !name.is_empty()) {
            if !self.cluster_tag_name.is_empty() && !self.disable_cluster_name_tag_key {
                tags.push(format!("{}:{name}", self.cluster_tag_name));
            }
            tags.push(format!("kube_cluster_name:{name}"));
        }
        if let Some(id) = self.cluster_id.as_deref().filter(|id| !id.is_empty()) {
            tags.push(format!("orch_cluster_id:{id}"));
        }
        tags
    }
}

/// Where a config goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatchable {
    /// Nowhere, and nothing is wrong with that.
    Ignored(IgnoredBecause),
    /// To whichever node the dispatcher chooses.
    Cluster(DispatchedConfig),
    /// To the agent of one Kubernetes node.
    Endpoint(KubernetesNodeName, DispatchedConfig),
}

/// Why a config is not for the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredBecause {
    /// Its name is in `cluster_checks.exclude_checks`.
    NameExcluded,
    /// It is a check of the agent that found it.
    NotClusterCheck,
    /// A container filter excludes its metrics.
    MetricsExcluded,
    /// It has no instance, so nobody would run anything (autodiscovery 15.15).
    NoInstances,
}

impl fmt::Display for IgnoredBecause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NameExcluded => "its name is in cluster_checks.exclude_checks",
            Self::NotClusterCheck => "it is not a cluster check",
            Self::MetricsExcluded => "its metrics are excluded",
            Self::NoInstances => "it has no instances",
        })
    }
}

/// Why a config cannot be dispatched; it is left out then as a whole, others are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// An instance cannot be patched.
    #[error("patch config {name:?} of {origin}, instance {index} at {position}: found {found}, allowed: a YAML mapping")]
    Instance {
        /// Check name.
        name: String,
        /// Source of the config, or its provider when it names no source.
        origin: String,
        /// Which instance, counted from 0.
        index: usize,
        /// Where in the text of the instance.
        position: Position,
        /// What stands there.
        found: String,
    },
    /// An option that dispatching itself reads has a value that is not allowed.
    #[error("config {name:?} of {origin}, {key}: found {found}, allowed: {allowed}; correct the value or leave the key out")]
    Option {
        /// Check name.
        name: String,
        /// Source of the config, or its provider when it names no source.
        origin: String,
        /// Key, dotted path.
        key: String,
        /// What was found.
        found: String,
        /// What is allowed.
        allowed: String,
    },
}

/// Decides where a config goes and patches it for that.
///
/// Pure and deterministic: the same config and options give the same bytes, digest and check ids.
///
/// Errors: [`PatchError`] for an instance that is no mapping, and for an unknown value of `muster_handover`.
pub fn dispatched(config: &CheckConfig, options: &PatchOptions) -> Result<Dispatchable, PatchError> {
    if options.exclude_checks.contains(&config.name) {
        return Ok(Dispatchable::Ignored(IgnoredBecause::NameExcluded));
    }
    if !config.cluster_check {
        return Ok(Dispatchable::Ignored(IgnoredBecause::NotClusterCheck));
    }
    if config.metrics_excluded {
        return Ok(Dispatchable::Ignored(IgnoredBecause::MetricsExcluded));
    }
    if config.instances.is_empty() {
        return Ok(Dispatchable::Ignored(IgnoredBecause::NoInstances));
    }
    let extra_tags = options.extra_tags();
    if config.node_name.is_empty() {
        return patch_cluster_check(config, &extra_tags).map(Dispatchable::Cluster);
    }
    let patched = patch_endpoint_check(config, &extra_tags)?;
    Ok(Dispatchable::Endpoint(KubernetesNodeName::from(config.node_name.as_str()), patched))
}

fn patch_cluster_check(config: &CheckConfig, extra_tags: &[String]) -> Result<DispatchedConfig, PatchError> {
    let patched = CheckConfig {
        ad_identifiers: Vec::new(),
        advanced_ad_identifiers: Vec::new(),
        cluster_check: false,
        instances: patch_instances(config, |entries| {
            set(entries, "empty_default_hostname", Value::Bool(true));
            merge_tags(entries, extra_tags);
        })?,
        ..config.clone()
    };
    sealed(config, patched)
}

fn patch_endpoint_check(config: &CheckConfig, extra_tags: &[String]) -> Result<DispatchedConfig, PatchError> {
    let mut patched = CheckConfig { cluster_check: false, ..config.clone() };
    if config.provider == "cloudfoundry-bbs" {
        patched.ad_identifiers.clear();
    }
    if !extra_tags.is_empty() {
        patched.instances = patch_instances(config, |entries| merge_tags(entries, extra_tags))?;
    }
    sealed(config, patched)
}

fn sealed(discovered: &CheckConfig, patched: CheckConfig) -> Result<DispatchedConfig, PatchError> {
    let part = |data: Option<&Data>| data.and_then(|data| yaml::parse(&data.text()).ok()).unwrap_or(Value::Null);
    let traits = CheckTraits::read(&part(patched.instances.first()), &part(patched.init_config.as_ref()));
    let traits = traits.map_err(|OptionError { key, found, allowed }| PatchError::Option {
        name: discovered.name.clone(),
        origin: origin(discovered),
        key,
        found,
        allowed,
    })?;
    Ok(DispatchedConfig { key: config_key(discovered), digest: digest(&patched), check_ids: check_ids(&patched), traits, config: patched })
}

fn origin(config: &CheckConfig) -> String {
    if config.source.is_empty() { config.provider.clone() } else { config.source.clone() }
}

fn patch_instances(config: &CheckConfig, change: impl Fn(&mut Vec<(Value, Value)>)) -> Result<Vec<Data>, PatchError> {
    let mut patched = Vec::with_capacity(config.instances.len());
    for (index, instance) in config.instances.iter().enumerate() {
        let mut entries = mapping(instance).map_err(|(position, found)| PatchError::Instance {
            name: config.name.clone(),
            origin: origin(config),
            index,
            position,
            found,
        })?;
        change(&mut entries);
        patched.push(Data::from(yaml::write(&Value::Map(entries))));
    }
    Ok(patched)
}

/// Entries of an instance; empty text is an empty mapping.
fn mapping(instance: &Data) -> Result<Vec<(Value, Value)>, (Position, String)> {
    let start = Position { line: 1, column: 1 };
    let text = std::str::from_utf8(instance.as_bytes()).map_err(|error| (start, format!("text that is not UTF-8 ({error})")))?;
    match yaml::parse(text) {
        Ok(Value::Map(entries)) => Ok(entries),
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(other) => Err((start, other.kind().to_owned())),
        Err(error) => Err((error.position(), error.message)),
    }
}

fn set(entries: &mut Vec<(Value, Value)>, key: &str, value: Value) {
    match entries.iter_mut().find(|(name, _)| name.as_str() == Some(key)) {
        Some(entry) => entry.1 = value,
        None => entries.push((Value::from(key), value)),
    }
}

/// Replaces `tags` by the sorted union of its items as text and the extra tags; a value that is no list is lost.
fn merge_tags(entries: &mut Vec<(Value, Value)>, extra_tags: &[String]) {
    if extra_tags.is_empty() {
        return;
    }
    let mut tags: BTreeSet<String> = extra_tags.iter().cloned().collect();
    if let Some((_, Value::List(items))) = entries.iter().find(|(key, _)| key.as_str() == Some("tags")) {
        tags.extend(items.iter().map(Value::key_text));
    }
    set(entries, "tags", Value::List(tags.into_iter().map(Value::Text).collect()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::handover::Handover;

    fn cluster_check(name: &str, instances: &[&str]) -> CheckConfig {
        CheckConfig {
            name: name.to_owned(),
            instances: instances.iter().map(|text| Data::from(*text)).collect(),
            cluster_check: true,
            ..CheckConfig::default()
        }
    }

    fn in_cluster(name: &str) -> PatchOptions {
        PatchOptions { cluster_name: Some(name.to_owned()), ..PatchOptions::default() }
    }

    fn with_tags(tags: &[&str]) -> PatchOptions {
        PatchOptions {
            cluster_tag_name: String::new(),
            global_tags: tags.iter().map(ToString::to_string).collect(),
            ..PatchOptions::default()
        }
    }

    fn patched(config: &CheckConfig, options: &PatchOptions) -> DispatchedConfig {
        match dispatched(config, options).unwrap() {
            Dispatchable::Cluster(patched) | Dispatchable::Endpoint(_, patched) => patched,
            Dispatchable::Ignored(reason) => panic!("ignored: {reason}"),
        }
    }

    fn instance_text(config: &CheckConfig, options: &PatchOptions) -> String {
        patched(config, options).config.instances[0].text().into_owned()
    }

    #[test]
    fn cc_t09_a_service_check_becomes_the_object_of_4_9() {
        let mut config = cluster_check(
            "http_check",
            &["name: My service\ntimeout: 1\nurl: http://10.15.246.109\ntags: [\"kube_service:my-nginx\", \"kube_namespace:default\"]"],
        );
        config.init_config = Some(Data::from("{}\n"));
        config.ad_identifiers = vec!["kube_service://default/my-nginx".to_owned()];
        config.service_id = "kube_service://default/my-nginx".to_owned();
        config.provider = "kubernetes-services".to_owned();
        config.source = "kube_services:kube_service://default/my-nginx".to_owned();
        let out = patched(&config, &in_cluster("example"));
        let expected = r#"{"check_name":"http_check","instances":["ZW1wdHlfZGVmYXVsdF9ob3N0bmFtZTogdHJ1ZQpuYW1lOiBNeSBzZXJ2aWNlCnRhZ3M6Ci0gY2x1c3Rlcl9uYW1lOmV4YW1wbGUKLSBrdWJlX2NsdXN0ZXJfbmFtZTpleGFtcGxlCi0ga3ViZV9uYW1lc3BhY2U6ZGVmYXVsdAotIGt1YmVfc2VydmljZTpteS1uZ2lueAp0aW1lb3V0OiAxCnVybDogaHR0cDovLzEwLjE1LjI0Ni4xMDkK"],"init_config":"e30K","metric_config":null,"logs":null,"ad_identifiers":null,"advanced_ad_identifiers":null,"provider":"kubernetes-services","service_id":"kube_service://default/my-nginx","cluster_check":false,"node_name":"","source":"kube_services:kube_service://default/my-nginx","ignore_autodiscovery_tags":false,"check_tag_cardinality":"","metrics_excluded":false,"logs_excluded":false}"#;
        assert_eq!(serde_json::to_string(&out.config).unwrap(), expected);
        assert_eq!(out.check_ids[0].as_str(), "http_check:My service:aa4a07dfcb081b52");
        config.init_config = Some(Data::from("{}"));
        assert!(serde_json::to_string(&patched(&config, &in_cluster("example")).config).unwrap().contains(r#""init_config":"e30=""#));
    }

    #[test]
    fn cc_t10_without_extra_tags_there_is_no_tags_key() {
        assert_eq!(instance_text(&cluster_check("a", &["host: a\n"]), &PatchOptions::default()), "empty_default_hostname: true\nhost: a\n");
        let empty = patched(&cluster_check("empty", &[""]), &PatchOptions::default());
        assert_eq!(empty.config.instances[0].text(), "empty_default_hostname: true\n");
        assert_eq!(empty.check_ids[0].as_str(), "empty:3b0fa4df2f13699c");
    }

    #[test]
    fn cc_t11_tags_are_merged_sorted_and_the_hostname_flag_is_overwritten() {
        // `b` has no colon, so it is no global tag; the pair of the vector is given as merged tags.
        let mut entries = vec![(Value::from("tags"), Value::List(vec![Value::from("b"), Value::from("a:1")]))];
        merge_tags(&mut entries, &["c".to_owned(), "b".to_owned()]);
        assert_eq!(yaml::write(&Value::Map(entries)), "tags:\n- a:1\n- b\n- c\n");
        let config = cluster_check("a", &["empty_default_hostname: false\n"]);
        assert_eq!(instance_text(&config, &PatchOptions::default()), "empty_default_hostname: true\n");
    }

    #[test]
    fn cc_t12_an_instance_that_is_no_mapping_rejects_the_config() {
        let mut config = cluster_check("a", &["x: 1\n", "- a\n"]);
        config.source = "file:/conf.d/a.yaml".to_owned();
        let error = dispatched(&config, &PatchOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "patch config \"a\" of file:/conf.d/a.yaml, instance 1 at line 1, column 1: found a sequence, allowed: a YAML mapping"
        );
        let broken = dispatched(&cluster_check("a", &["x: [1\ny: 2\n"]), &PatchOptions::default()).unwrap_err();
        assert!(matches!(broken, PatchError::Instance { position, .. } if position.line > 1));
        assert!(dispatched(&cluster_check("a", &["text"]), &PatchOptions::default()).is_err());
    }

    #[test]
    fn an_unknown_order_of_handing_over_rejects_the_config() {
        let mut config = cluster_check("a", &["x: 1\n"]);
        config.source = "file:/conf.d/a.yaml".to_owned();
        config.init_config = Some(Data::from("muster_handover: exactly_once\n"));
        let error = dispatched(&config, &PatchOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config \"a\" of file:/conf.d/a.yaml, init_config.muster_handover: found exactly_once, allowed: any, gap, overlap or \
             at_most_once; correct the value or leave the key out"
        );
        config.init_config = Some(Data::from("muster_handover: gap\n"));
        let patched = patched(&config, &PatchOptions::default());
        assert_eq!(patched.traits.handover, Handover::Gap);
        assert_eq!(patched.config.init_config, config.init_config, "the node reads it too");
    }

    #[test]
    fn cc_t13_the_cluster_tag_can_be_switched_off() {
        let disabled = PatchOptions { disable_cluster_name_tag_key: true, ..in_cluster("example") };
        assert_eq!(disabled.extra_tags(), ["kube_cluster_name:example"]);
        let unnamed = PatchOptions { cluster_tag_name: String::new(), ..in_cluster("example") };
        assert_eq!(unnamed.extra_tags(), ["kube_cluster_name:example"]);
    }

    #[test]
    fn cc_t14_an_endpoint_check_keeps_bytes_and_identifiers() {
        let mut config = cluster_check("redisdb", &[r#"{"host":"10.0.0.5"}"#]);
        config.node_name = "node-1".to_owned();
        config.ad_identifiers = vec!["kube_endpoint_uid://a/b/10.0.0.5".to_owned(), "kubernetes_pod://1".to_owned()];
        let Dispatchable::Endpoint(node, out) = dispatched(&config, &PatchOptions::default()).unwrap() else {
            panic!("not an endpoint check");
        };
        assert_eq!(node.as_str(), "node-1");
        assert_eq!(out.config, CheckConfig { cluster_check: false, ..config.clone() });
        let tagged = patched(&config, &in_cluster("x"));
        assert_eq!(tagged.config.instances[0].text(), "host: 10.0.0.5\ntags:\n- cluster_name:x\n- kube_cluster_name:x\n");
        config.provider = "cloudfoundry-bbs".to_owned();
        assert!(patched(&config, &in_cluster("x")).config.ad_identifiers.is_empty());
    }

    #[test]
    fn cc_t15_absent_parts_are_null_in_json() {
        let mut config = cluster_check("a<b", &[]);
        config.cluster_check = false;
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(r#""logs":null"#));
        assert!(json.contains(r#""instances":null"#));
    }

    #[test]
    fn configs_that_are_not_for_the_dispatcher_are_ignored_in_this_order() {
        let excluded = PatchOptions { exclude_checks: BTreeSet::from(["a".to_owned()]), ..PatchOptions::default() };
        let mut config = cluster_check("a", &["x: 1\n"]);
        config.cluster_check = false;
        assert_eq!(dispatched(&config, &excluded).unwrap(), Dispatchable::Ignored(IgnoredBecause::NameExcluded));
        assert_eq!(dispatched(&config, &PatchOptions::default()).unwrap(), Dispatchable::Ignored(IgnoredBecause::NotClusterCheck));
        config.cluster_check = true;
        config.metrics_excluded = true;
        assert_eq!(dispatched(&config, &PatchOptions::default()).unwrap(), Dispatchable::Ignored(IgnoredBecause::MetricsExcluded));
        let logs_only = CheckConfig { logs: Some(Data::from("[]")), ..cluster_check("a", &[]) };
        assert_eq!(dispatched(&logs_only, &PatchOptions::default()).unwrap(), Dispatchable::Ignored(IgnoredBecause::NoInstances));
    }

    #[test]
    fn extra_tags_come_in_order_and_need_a_colon() {
        let options = PatchOptions {
            global_tags: vec!["env:prod".to_owned(), "nocolon".to_owned()],
            cluster_id: Some("id-1".to_owned()),
            ..in_cluster("c")
        };
        assert_eq!(options.extra_tags(), ["env:prod", "cluster_name:c", "kube_cluster_name:c", "orch_cluster_id:id-1"]);
        assert!(PatchOptions { cluster_name: Some(String::new()), ..PatchOptions::default() }.extra_tags().is_empty());
    }

    #[test]
    fn ad_v39_a_resolved_service_check_is_dispatched() {
        let mut config = cluster_check(
            "http_check",
            &[
                "name: cart health\ntags:\n- env:prod\n- kube_namespace:shop\n- kube_service:cart\n- service:cart-api\n- version:1.4\ntimeout: 5\nurl: http://10.96.7.21:8080/health?a=1&b=2\n",
            ],
        );
        config.init_config = Some(Data::from("{}\n"));
        config.ad_identifiers = vec!["kube_service://shop/cart".to_owned()];
        config.provider = "kubernetes-services".to_owned();
        config.service_id = "kube_service://shop/cart".to_owned();
        config.source = "kube_services:kube_service://shop/cart".to_owned();
        let out = patched(&config, &in_cluster("prod-1"));
        assert_eq!(out.digest.to_string(), "572b05fe11c25789");
        assert_eq!(out.check_ids[0].as_str(), "http_check:cart health:e500cabf9f191885");
    }

    #[test]
    fn ad_v40_resolved_endpoint_checks_are_dispatched() {
        let mut config = cluster_check(
            "nginx",
            &[
                "name: cart-ep\nnginx_status_url: http://10.244.1.7:8080/nginx_status\ntags:\n- kube_endpoint_ip:10.244.1.7\n- kube_namespace:shop\n- kube_service:cart\n",
            ],
        );
        config.init_config = Some(Data::from("{}\n"));
        config.ad_identifiers = vec!["kube_endpoint_uid://shop/cart/10.244.1.7".to_owned(), "kubernetes_pod://6f2f7a1e-0001".to_owned()];
        config.service_id = "kube_endpoint_uid://shop/cart/10.244.1.7".to_owned();
        config.node_name = "node-a".to_owned();
        let out = patched(&config, &in_cluster("prod-1"));
        assert_eq!(out.digest.to_string(), "396d012e008202b3");
        assert_eq!(out.check_ids[0].as_str(), "nginx:cart-ep:eebfad79bcac7e5a");
    }

    #[test]
    fn ad_v57_set_field_and_merge_tags() {
        let config = cluster_check("a", &["b: 1\na: {\"y\": 1, x: [1,2]}\n"]);
        assert_eq!(
            instance_text(&config, &PatchOptions::default()),
            "a:\n  x:\n  - 1\n  - 2\n  \"y\": 1\nb: 1\nempty_default_hostname: true\n"
        );
        let mut config = cluster_check("a", &["tags: [2, \"b:1\", b:1, true]\n"]);
        config.node_name = "n".to_owned();
        assert_eq!(
            instance_text(&config, &in_cluster("prod-1")),
            "tags:\n- \"2\"\n- b:1\n- cluster_name:prod-1\n- kube_cluster_name:prod-1\n- \"true\"\n"
        );
        let mut untouched = cluster_check("a", &["a: 1\n"]);
        untouched.node_name = "n".to_owned();
        assert_eq!(instance_text(&untouched, &PatchOptions::default()), "a: 1\n");
    }

    #[test]
    fn tags_of_another_type_are_lost_and_numbers_become_text() {
        assert_eq!(
            instance_text(&cluster_check("a", &["tags: x\n"]), &with_tags(&["c:1"])),
            "empty_default_hostname: true\ntags:\n- c:1\n"
        );
        assert_eq!(
            instance_text(&cluster_check("a", &["tags: [1.0, yes, 1]\n"]), &with_tags(&["c:1"])),
            "empty_default_hostname: true\ntags:\n- \"1\"\n- c:1\n- \"true\"\n"
        );
    }

    proptest! {
        #[test]
        fn patching_is_deterministic_and_patching_twice_changes_nothing(
            keys in prop::collection::btree_map("[a-z]{1,3}", "[ -~]{0,8}", 0..5),
            tags in prop::collection::vec("[a-c]:[0-9]", 0..4),
        ) {
            let mut value: Vec<(Value, Value)> = keys.into_iter().map(|(key, text)| (Value::Text(key), Value::Text(text))).collect();
            set(&mut value, "tags", Value::List(tags.into_iter().map(Value::Text).collect()));
            let config = cluster_check("a", &[&yaml::write(&Value::Map(value))]);
            let options = in_cluster("c");
            let once = patched(&config, &options);
            prop_assert_eq!(&once, &patched(&config, &options));
            let again = CheckConfig { cluster_check: true, ..once.config.clone() };
            let twice = patched(&again, &options);
            prop_assert_eq!(&once.config, &twice.config);
            prop_assert_eq!(once.digest, twice.digest);
            prop_assert_eq!(once.check_ids, twice.check_ids);
        }
    }
}

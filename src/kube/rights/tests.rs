//! The table, and the manifests that grant what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use muster_actors::domain::yaml;
use serde_json::Value as Json;

use super::*;
use crate::config::{Config, Role};

/// Name of the lock in the manifests.
const LOCK_NAME: &str = "muster-leader-election";

/// Name of the ConfigMap of the token, there and by default.
const TOKEN_NAME: &str = "datadogtoken";

fn settings() -> KubernetesSettings {
    let mut settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster));
    settings.election.enabled = true;
    settings.election.lock_name = LOCK_NAME.to_owned();
    settings
}

fn lines(settings: &KubernetesSettings) -> Vec<String> {
    needed(settings, "pods").iter().map(|need| format!("{}: {need}", need.feature.name())).collect()
}

/// One verb on one resource, as comparable text.
fn one(feature: &str, scope: &str, group: &str, resource: &str, name: &str, verb: &str) -> String {
    format!("{feature} {scope} {verb} {resource}.{group} {name}")
}

fn of_the_table() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for right in &RIGHTS {
        let scope = if right.scope == Scope::Cluster { "ClusterRole" } else { "Role" };
        let name = match right.named {
            Named::Any => "",
            Named::Lock => LOCK_NAME,
            Named::Token => TOKEN_NAME,
            Named::This(name) => name,
        };
        found.extend(right.verbs.iter().map(|verb| one(right.feature.name(), scope, right.group, right.resource, name, verb)));
    }
    found
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/rbac")
}

/// The objects of one folder.
fn objects(feature: &str) -> Vec<Json> {
    let text = fs::read_to_string(folder().join(feature).join("rbac.yaml")).unwrap();
    text.split("\n---\n").map(|part| yaml::parse(part).unwrap().to_json()).collect()
}

/// Texts of a list; nothing where there is none.
fn words(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

fn of_the_manifests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for feature in Feature::ALL.map(Feature::name) {
        for object in objects(feature) {
            let kind = object["kind"].as_str().unwrap();
            for rule in object["rules"].as_array().into_iter().flatten() {
                let names = match words(&rule["resourceNames"]) {
                    names if names.is_empty() => vec![""],
                    names => names,
                };
                let urls = words(&rule["nonResourceURLs"]).into_iter().map(|url| ("", url));
                for (group, resource) in words(&rule["apiGroups"])
                    .into_iter()
                    .flat_map(|group| words(&rule["resources"]).into_iter().map(move |resource| (group, resource)))
                    .chain(urls)
                {
                    for name in &names {
                        found.extend(words(&rule["verbs"]).into_iter().map(|verb| one(feature, kind, group, resource, name, verb)));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn the_manifests_grant_what_the_table_says_and_nothing_else() {
    let (table, manifests) = (of_the_table(), of_the_manifests());
    let missing: Vec<_> = table.difference(&manifests).collect();
    let superfluous: Vec<_> = manifests.difference(&table).collect();
    assert!(missing.is_empty() && superfluous.is_empty(), "not granted: {missing:#?}\ngranted for nothing: {superfluous:#?}");
}

#[test]
fn each_folder_is_a_feature_and_each_role_is_bound_to_the_cluster_role_alone() {
    let folders: BTreeSet<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, Feature::ALL.map(|feature| feature.name().to_owned()).into());
    for feature in Feature::ALL.map(Feature::name) {
        let (bindings, roles): (Vec<_>, Vec<_>) =
            objects(feature).into_iter().partition(|object| object["kind"].as_str().unwrap().ends_with("Binding"));
        let named = |object: &Json| format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let bound: BTreeSet<_> = bindings
            .iter()
            .map(|binding| format!("{} {}", binding["roleRef"]["kind"].as_str().unwrap(), binding["roleRef"]["name"].as_str().unwrap()))
            .collect();
        assert_eq!(bound, roles.iter().map(named).collect(), "{feature}");
        for binding in bindings {
            let subject = serde_json::json!([{"kind": "ServiceAccount", "name": "muster-cluster", "namespace": "muster"}]);
            assert_eq!(binding["subjects"], subject, "{feature}");
        }
    }
}

#[test]
fn only_what_is_switched_on_is_needed() {
    let mut all_off = settings();
    all_off.election.enabled = false;
    all_off.snapshot = false;
    all_off.watch_pods = WatchPods::Off;
    assert_eq!(
        lines(&all_off),
        [
            "metadata: get, list, watch services in the cluster",
            "metadata: get, list, watch endpoints in the cluster",
            "metadata: get, list, watch nodes in the cluster",
            "metadata: get, list, watch namespaces in the cluster",
            "cluster-id: get namespaces \"kube-system\" in the cluster",
            "cluster-id: get, update configmaps \"datadog-cluster-id\" in the namespace \"pods\"",
            "cluster-id: create configmaps in the namespace \"pods\"",
            "control-plane: list componentstatuses in the cluster",
            "control-plane: list clusterresourcequotas.quota.openshift.io in the cluster",
            "control-plane: get /metrics in the cluster",
            "control-plane: get /readyz/etcd in the cluster",
        ]
    );
}

#[test]
fn events_need_more_where_they_are_collected() {
    let mut settings = settings();
    settings.events.collect = true;
    settings.events.token_name = "token".to_owned();
    settings.resources_namespace = Some("locks".to_owned());
    let lines: Vec<_> = lines(&settings).into_iter().filter(|line| line.starts_with("events: ")).collect();
    let expected = [
        "events: list, watch events in the cluster",
        "events: get pods in the cluster",
        "events: get nodes in the cluster",
        "events: get, update configmaps \"token\" in the namespace \"locks\"",
        "events: create configmaps in the namespace \"locks\"",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn slices_take_the_place_of_endpoints() {
    let mut slices = settings();
    slices.discovery.use_endpoint_slices = true;
    let lines = lines(&slices);
    assert!(lines.contains(&"endpoint-slices: get, list, watch endpointslices.discovery.k8s.io in the cluster".to_owned()), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(" endpoints ")), "{lines:#?}");
}

#[test]
fn the_lock_is_of_one_kind_and_lives_where_the_settings_say() {
    let of_lock = |lock| {
        let mut settings = settings();
        settings.election.lock = lock;
        settings.resources_namespace = Some("locks".to_owned());
        lines(&settings).into_iter().filter(|line| line.starts_with("lock: ") || line.starts_with("snapshot: ")).collect::<Vec<_>>()
    };
    let snapshot = [
        "snapshot: get, update configmaps \"muster-state\" in the namespace \"locks\"",
        "snapshot: create configmaps in the namespace \"locks\"",
    ];
    let leases = [
        "lock: get, update leases.coordination.k8s.io \"muster-leader-election\" in the namespace \"locks\"",
        "lock: create leases.coordination.k8s.io in the namespace \"locks\"",
    ];
    let maps = [
        "lock: get, update configmaps \"muster-leader-election\" in the namespace \"locks\"",
        "lock: create configmaps in the namespace \"locks\"",
    ];
    assert_eq!(of_lock(LockKind::Lease), [leases, snapshot].concat());
    assert_eq!(of_lock(LockKind::Discover), [leases, snapshot].concat());
    assert_eq!(of_lock(LockKind::ConfigMap), [maps, snapshot].concat());
}

#[test]
fn pods_are_watched_where_the_settings_say() {
    let of_pods = |watch_pods| {
        let mut settings = settings();
        settings.watch_pods = watch_pods;
        lines(&settings).into_iter().filter(|line| line.contains(" pods ")).collect::<Vec<_>>()
    };
    assert_eq!(of_pods(WatchPods::Own), ["metadata: get, list, watch pods in the namespace \"pods\""]);
    assert_eq!(of_pods(WatchPods::All), ["metadata: get, list, watch pods in the cluster"]);
    assert_eq!(of_pods(WatchPods::Off), Vec::<String>::new());
}

#[test]
fn a_rule_can_be_pasted_into_a_role() {
    let needs = needed(&settings(), "pods");
    let rule = |feature, resource| needs.iter().find(|need| need.feature == feature && need.resource == resource).unwrap().rule();
    assert_eq!(rule(Feature::Metadata, "pods"), "- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [get, list, watch]\n");
    let lock = rule(Feature::Lock, "configmaps");
    assert_eq!(lock, "- apiGroups: [\"\"]\n  resources: [configmaps]\n  resourceNames: [muster-leader-election]\n  verbs: [get, update]\n");
    assert_eq!(rule(Feature::ControlPlane, "/metrics"), "- nonResourceURLs: [/metrics]\n  verbs: [get]\n");
    let read = yaml::parse(&lock).unwrap().to_json();
    assert_eq!(read[0]["verbs"], serde_json::json!(["get", "update"]));
}

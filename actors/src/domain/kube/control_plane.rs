//! What the control plane says about itself. Source: cluster-agent-kubernetes 3.8, 3.9.

use std::collections::BTreeMap;

use crate::domain::samples::{CheckRun, Series, SeriesKind, ServiceStatus};

/// Name of the service check.
pub const UP: &str = "kube_apiserver_controlplane.up";

/// What a list without names means; stock's words.
pub const CHANGED: &str = "metadata structure has changed. Not collecting API Server's Components status";

/// One ComponentStatus, as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Name; empty if it has none.
    pub name: String,
    /// Its conditions.
    pub conditions: Vec<ComponentCondition>,
}

/// One condition of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentCondition {
    /// `type`; only `Healthy` counts.
    pub condition_type: String,
    /// `True`, `False` or anything else.
    pub status: String,
    /// Message.
    pub message: String,
    /// Error.
    pub error: String,
}

/// A kind of objects that the API server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiResource {
    /// Plural name, for example `pods`.
    pub name: String,
    /// Kind, as told.
    pub kind: String,
    /// Group; empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
}

/// How many objects of a kind are stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageObjects {
    /// `<resource>`, or `<resource>.<group>` where the server tells the group.
    pub resource: String,
    /// How many.
    pub count: f64,
}

/// What is used of a quota of OpenShift, for one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaUse {
    /// Name of the quota.
    pub quota: String,
    /// Namespace for an applied quota; `None` = the whole cluster quota.
    pub namespace: Option<String>,
    /// Resource, for example `cpu`.
    pub resource: String,
    /// `hard`.
    pub limit: f64,
    /// `used`.
    pub used: f64,
}

/// What the component statuses come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Service checks, without a host.
    pub checks: Vec<CheckRun>,
    /// Gauges, without a host.
    pub series: Vec<Series>,
    /// A warning: not all of them were looked at.
    pub remark: Option<String>,
}

/// Service checks and gauges of the component statuses. `tags` are those of all that the check submits.
#[must_use]
pub fn service_checks(components: &[ComponentStatus], at_unix_seconds: i64, tags: &[String]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for component in components {
        if component.name.is_empty() {
            verdicts.remark = Some(CHANGED.to_owned());
            break;
        }
        for condition in component.conditions.iter().filter(|condition| condition.condition_type == "Healthy") {
            let (status, message, value) = match condition.status.as_str() {
                "True" => (ServiceStatus::Ok, condition.message.as_str(), 1.0),
                "False" if condition.error.is_empty() => (ServiceStatus::Critical, condition.message.as_str(), 0.0),
                "False" => (ServiceStatus::Critical, condition.error.as_str(), 0.0),
                _ => (ServiceStatus::Unknown, "", 0.0),
            };
            let own = [format!("component:{}", component.name)];
            let gauge_name = format!("datadog.cluster_agent.{}.component_status", component.name);
            verdicts.series.push(gauge(gauge_name, value, &own, at_unix_seconds, tags));
            verdicts.checks.push(check_run(status, message.to_owned(), own, at_unix_seconds, tags));
        }
    }
    verdicts
}

/// Service checks of whether the API server and its etcd are ready, for where there are no component statuses.
#[must_use]
pub fn readiness(apiserver: bool, etcd: bool, at_unix_seconds: i64, tags: &[String]) -> Vec<CheckRun> {
    let verdict = |(component, ready): (&str, bool)| {
        let not_ready = || (ServiceStatus::Critical, format!("{component} not ready"));
        let (status, message) = if ready { (ServiceStatus::Ok, "ok".to_owned()) } else { not_ready() };
        check_run(status, message, [format!("component:{component}")], at_unix_seconds, tags)
    };
    [("apiserver", apiserver), ("etcd", etcd)].map(verdict).to_vec()
}

/// One gauge per kind of objects that the API server knows.
#[must_use]
pub fn api_resource_gauges(resources: &[ApiResource], at_unix_seconds: i64, tags: &[String]) -> Vec<Series> {
    let one = |resource: &ApiResource| {
        let own = [
            format!("api_resource_name:{}", resource.name),
            format!("api_resource_kind:{}", resource.kind.to_lowercase()),
            format!("api_resource_group:{}", resource.group),
            format!("api_resource_version:{}", resource.version),
        ];
        gauge("kube_apiserver.api_resource".to_owned(), 1.0, &own, at_unix_seconds, tags)
    };
    resources.iter().map(one).collect()
}

/// One gauge per kind of objects that are stored.
#[must_use]
pub fn storage_gauges(objects: &[StorageObjects], at_unix_seconds: i64, tags: &[String]) -> Vec<Series> {
    let one = |stored: &StorageObjects| {
        let own = [format!("resource:{}", stored.resource)];
        gauge("kube_apiserver.storage_objects".to_owned(), stored.count, &own, at_unix_seconds, tags)
    };
    objects.iter().map(one).collect()
}

/// Gauges of limit, use and what remains of each resource of the quotas.
///
/// What remains to a namespace is what remains of the whole quota, as stock has it: the namespaces share it.
#[must_use]
pub fn quota_gauges(quotas: &[QuotaUse], at_unix_seconds: i64, tags: &[String]) -> Vec<Series> {
    let whole = quotas.iter().filter(|quota| quota.namespace.is_none());
    let remaining: BTreeMap<(&str, &str), f64> =
        whole.map(|quota| ((quota.quota.as_str(), quota.resource.as_str()), quota.limit - quota.used)).collect();
    let mut series = Vec::new();
    for quota in quotas {
        let mut own = vec![format!("clusterquota:{}", quota.quota)];
        own.extend(quota.namespace.as_ref().map(|namespace| format!("kube_namespace:{namespace}")));
        let area = if quota.namespace.is_some() { "appliedclusterquota" } else { "clusterquota" };
        let mut push = |what: &str, value: f64| {
            series.push(gauge(format!("openshift.{area}.{}.{what}", quota.resource), value, &own, at_unix_seconds, tags));
        };
        push("limit", quota.limit);
        push("used", quota.used);
        if let Some(value) = remaining.get(&(quota.quota.as_str(), quota.resource.as_str())) {
            push("remaining", *value);
        }
    }
    series
}

fn check_run(status: ServiceStatus, message: String, own: [String; 1], timestamp: i64, tags: &[String]) -> CheckRun {
    let tags = own.into_iter().chain(tags.iter().cloned()).collect();
    CheckRun { name: UP.to_owned(), host: String::new(), timestamp, status, message, tags }
}

/// A gauge without a host, with its own tags and those of all that the check submits.
pub(super) fn gauge(name: String, value: f64, own: &[String], at: i64, tags: &[String]) -> Series {
    let mut all = [own, tags].concat();
    all.sort_unstable();
    all.dedup();
    Series {
        name,
        points: vec![(at, value)],
        tags: all,
        host: String::new(),
        kind: SeriesKind::Gauge,
        interval: 0,
        source_type_name: "System".to_owned(),
        no_index: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000;

    fn healthy(name: &str, status: &str, message: &str, error: &str) -> ComponentStatus {
        let (status, message, error) = (status.to_owned(), message.to_owned(), error.to_owned());
        let condition = ComponentCondition { condition_type: "Healthy".to_owned(), status, message, error };
        ComponentStatus { name: name.to_owned(), conditions: vec![condition] }
    }

    fn verdict(component: ComponentStatus) -> (ServiceStatus, String) {
        let verdicts = service_checks(&[component], AT, &[]);
        assert_eq!((verdicts.checks.len(), verdicts.remark), (1, None));
        (verdicts.checks[0].status, verdicts.checks[0].message.clone())
    }

    fn shown(series: &[Series]) -> Vec<(&str, f64, Vec<&str>)> {
        series.iter().map(|one| (one.name.as_str(), one.points[0].1, one.tags.iter().map(String::as_str).collect())).collect()
    }

    #[test]
    fn ca_c1_a_healthy_component_is_ok_with_its_message() {
        let verdicts = service_checks(&[healthy("etcd-0", "True", r#"{"health":"true"}"#, "")], AT, &[]);
        let expected = CheckRun {
            name: "kube_apiserver_controlplane.up".to_owned(),
            host: String::new(),
            timestamp: AT,
            status: ServiceStatus::Ok,
            message: r#"{"health":"true"}"#.to_owned(),
            tags: vec!["component:etcd-0".to_owned()],
        };
        assert_eq!(verdicts.checks, [expected]);
        assert_eq!(shown(&verdicts.series), [("datadog.cluster_agent.etcd-0.component_status", 1.0, vec!["component:etcd-0"])]);
    }

    #[test]
    fn ca_c2_an_unhealthy_component_is_critical_with_its_error_else_its_message() {
        assert_eq!(verdict(healthy("scheduler", "False", "m", "")), (ServiceStatus::Critical, "m".to_owned()));
        assert_eq!(verdict(healthy("scheduler", "False", "m", "e")), (ServiceStatus::Critical, "e".to_owned()));
        assert_eq!(service_checks(&[healthy("scheduler", "False", "m", "")], AT, &[]).series[0].points, [(AT, 0.0)]);
    }

    #[test]
    fn ca_c3_any_other_status_is_unknown_without_a_message() {
        assert_eq!(verdict(healthy("scheduler", "Unknown", "m", "e")), (ServiceStatus::Unknown, String::new()));
    }

    #[test]
    fn ca_c4_from_an_item_without_a_name_on_nothing_is_looked_at() {
        let components = [healthy("a", "True", "", ""), healthy("", "True", "", ""), healthy("b", "True", "", "")];
        let verdicts = service_checks(&components, AT, &[]);
        assert_eq!(verdicts.remark.as_deref(), Some("metadata structure has changed. Not collecting API Server's Components status"));
        assert_eq!((verdicts.checks.len(), verdicts.series.len()), (1, 1));
    }

    #[test]
    fn other_conditions_and_components_without_one_are_skipped() {
        let mut other = healthy("a", "True", "", "");
        "Ready".clone_into(&mut other.conditions[0].condition_type);
        let bare = ComponentStatus { name: "b".to_owned(), conditions: vec![] };
        assert_eq!(service_checks(&[other, bare], AT, &[]), Verdicts::default());
    }

    #[test]
    fn tags_of_the_instance_come_with_everything() {
        let tags = ["a:b".to_owned()];
        let verdicts = service_checks(&[healthy("etcd-0", "True", "", "")], AT, &tags);
        assert_eq!(verdicts.checks[0].tags, ["component:etcd-0", "a:b"]);
        assert_eq!(verdicts.series[0].tags, ["a:b", "component:etcd-0"]);
    }

    #[test]
    fn readiness_is_told_of_the_api_server_and_etcd() {
        let runs = readiness(true, false, AT, &[]);
        let shown: Vec<_> = runs.iter().map(|run| (run.status, run.message.as_str(), run.tags[0].as_str())).collect();
        assert_eq!(
            shown,
            [(ServiceStatus::Ok, "ok", "component:apiserver"), (ServiceStatus::Critical, "etcd not ready", "component:etcd")]
        );
    }

    #[test]
    fn kinds_are_told_in_lower_case() {
        let (name, kind, group, version) = ("deployments".to_owned(), "Deployment".to_owned(), "apps".to_owned(), "v1".to_owned());
        let tags = ["api_resource_group:apps", "api_resource_kind:deployment", "api_resource_name:deployments", "api_resource_version:v1"];
        let series = api_resource_gauges(&[ApiResource { name, kind, group, version }], AT, &[]);
        assert_eq!(shown(&series), [("kube_apiserver.api_resource", 1.0, tags.to_vec())]);
    }

    #[test]
    fn stored_objects_are_told_by_resource() {
        let series = storage_gauges(&[StorageObjects { resource: "deployments.apps".to_owned(), count: 7.0 }], AT, &[]);
        assert_eq!(shown(&series), [("kube_apiserver.storage_objects", 7.0, vec!["resource:deployments.apps"])]);
    }

    #[test]
    fn what_remains_to_a_namespace_is_what_remains_of_the_quota() {
        let quota = |namespace: Option<&str>, used| QuotaUse {
            quota: "q".to_owned(),
            namespace: namespace.map(str::to_owned),
            resource: "cpu".to_owned(),
            limit: 3.0,
            used,
        };
        let series = quota_gauges(&[quota(None, 2.0), quota(Some("team"), 0.5)], AT, &[]);
        let (whole, applied) = (vec!["clusterquota:q"], vec!["clusterquota:q", "kube_namespace:team"]);
        assert_eq!(
            shown(&series),
            [
                ("openshift.clusterquota.cpu.limit", 3.0, whole.clone()),
                ("openshift.clusterquota.cpu.used", 2.0, whole.clone()),
                ("openshift.clusterquota.cpu.remaining", 1.0, whole),
                ("openshift.appliedclusterquota.cpu.limit", 3.0, applied.clone()),
                ("openshift.appliedclusterquota.cpu.used", 0.5, applied.clone()),
                ("openshift.appliedclusterquota.cpu.remaining", 1.0, applied),
            ]
        );
    }
}

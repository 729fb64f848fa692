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

fn gauge(name: String, value: f64, own: &[String], at: i64, tags: &[String]) -> Series {
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

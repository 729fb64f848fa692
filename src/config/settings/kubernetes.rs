//! Settings of the Kubernetes side. Source: cluster-agent-kubernetes 7.4, 7.5, 7.9; autodiscovery 13.

use std::path::PathBuf;
use std::time::Duration;

use muster_actors::domain::kube::filters::FilterLists;
use muster_actors::domain::kube::plan::DiscoveryOptions;
use muster_actors::domain::kube::prometheus::PrometheusOptions;
use serde_json::{Map as JsonMap, Value as Json};

use super::common::os_hostname;
use super::events::EventSettings;
use super::read::{path, read, text};
use crate::config::effective::Config;

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServerSettings {
    /// Kubeconfig instead of the environment of a pod.
    pub kubeconfig: Option<PathBuf>,
    /// Certificate authority instead of the one of kubeconfig or pod.
    pub ca_path: Option<PathBuf>,
    /// Verify its certificate.
    pub tls_verify: bool,
    /// Longest time of one request; watches have none.
    pub timeout: Duration,
}

impl ApiServerSettings {
    pub(super) fn from_config(config: &Config) -> Self {
        Self {
            kubeconfig: path(config, "kubernetes_kubeconfig_path"),
            ca_path: path(config, "kubernetes_apiserver_ca_path"),
            tls_verify: read(config, "kubernetes_apiserver_tls_verify"),
            timeout: read(config, "kubernetes_apiserver_client_timeout"),
        }
    }
}

/// Which kind of object the lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// A Lease.
    Lease,
    /// An annotation of a ConfigMap.
    ConfigMap,
    /// A Lease where the API server has them, else a ConfigMap.
    Discover,
}

/// How the leader is elected. Source: cluster-agent-kubernetes 2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionSettings {
    /// Off: this replica leads.
    pub enabled: bool,
    /// Own identity: the pod name as told, else the name that the system has, never a configured host name, which replicas may share.
    pub identity: String,
    /// Whether the pod name was told.
    pub identity_told: bool,
    /// Kind of the lock.
    pub lock: LockKind,
    /// The text of the kind was none of the allowed ones; what was found.
    pub unknown_lock: Option<String>,
    /// Name of the lock object.
    pub lock_name: String,
    /// Length of the lease.
    pub lease: Duration,
    /// Give the lock up when stopping.
    pub release: bool,
    /// `host:port` to advertise instead of the own address.
    pub advertise: Option<String>,
    /// Most connections from this follower to the leader.
    pub max_leader_connections: usize,
}

/// Which pods are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchPods {
    /// Those of the own namespace.
    Own,
    /// All.
    All,
    /// None.
    Off,
}

/// Everything about Kubernetes.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesSettings {
    /// The API server.
    pub api_server: ApiServerSettings,
    /// Objects in one page of a listing.
    pub page_size: u32,
    /// Longest time that readiness waits until everything is listed.
    pub listing_limit: Duration,
    /// Namespace of lock and snapshot; `None` = that of the pod.
    pub resources_namespace: Option<String>,
    /// Service of the cluster role, by which a leader without an address annotation is looked up.
    pub service_name: String,
    /// The election.
    pub election: ElectionSettings,
    /// Keep a snapshot ConfigMap.
    pub snapshot: bool,
    /// Map pods to services.
    pub metadata: bool,
    /// Map pods that are not ready, too.
    pub map_unready: bool,
    /// Annotations served when an agent names none.
    pub host_alias_annotations: Vec<String>,
    /// Node label that names the cluster.
    pub cluster_name_label: Option<String>,
    /// Events.
    pub events: EventSettings,
    /// Pods.
    pub watch_pods: WatchPods,
    /// Discovery; as configured until the version of the API server is known, see [`DiscoveryOptions::limit_to`].
    pub discovery: DiscoveryOptions,
}

impl KubernetesSettings {
    /// Takes what is needed from the configuration.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        Self {
            api_server: ApiServerSettings::from_config(config),
            page_size: number(config, "muster.kubernetes_page_size"),
            listing_limit: read(config, "kube_cache_sync_timeout_seconds"),
            resources_namespace: text(config, "kube_resources_namespace"),
            service_name: read(config, "cluster_agent.kubernetes_service_name"),
            election: election(config),
            snapshot: read(config, "muster.snapshot"),
            metadata: read(config, "kubernetes_collect_metadata_tags"),
            map_unready: read(config, "kubernetes_kube_service_ignore_readiness"),
            host_alias_annotations: read(config, "kubernetes_node_annotations_as_host_aliases"),
            cluster_name_label: text(config, "kubernetes_node_label_as_cluster_name"),
            events: EventSettings::from_config(config),
            watch_pods: match read::<String>(config, "muster.watch_pods").as_str() {
                "all" => WatchPods::All,
                "off" => WatchPods::Off,
                _ => WatchPods::Own,
            },
            discovery: discovery(config),
        }
    }
}

impl KubernetesSettings {
    /// Namespace of the lock, the snapshot and the token of the events, if `own` is that of the pod.
    #[must_use]
    pub fn resources_namespace_in<'a>(&'a self, own: &'a str) -> &'a str {
        self.resources_namespace.as_deref().unwrap_or(own)
    }
}

fn election(config: &Config) -> ElectionSettings {
    const DEFAULT_LEASE: Duration = Duration::from_secs(60);
    let resource: String = read(config, "leader_election_default_resource");
    let (lock, unknown_lock) = match resource.to_ascii_lowercase().as_str() {
        "lease" | "leases" => (LockKind::Lease, None),
        "configmap" | "configmaps" => (LockKind::ConfigMap, None),
        "" => (LockKind::Discover, None),
        _ => (LockKind::Discover, Some(resource)),
    };
    let lease: Duration = read(config, "leader_lease_duration");
    ElectionSettings {
        enabled: read(config, "leader_election"),
        identity_told: text(config, "pod_name").is_some(),
        identity: text(config, "pod_name").unwrap_or_else(|| os_hostname(config)),
        lock,
        unknown_lock,
        lock_name: read(config, "leader_lease_name"),
        lease: if lease.is_zero() { DEFAULT_LEASE } else { lease },
        release: read(config, "leader_election_release_on_shutdown"),
        advertise: text(config, "muster.advertise_address"),
        max_leader_connections: number(config, "cluster_agent.max_leader_connections"),
    }
}

fn discovery(config: &Config) -> DiscoveryOptions {
    let include: Vec<String> = read(config, "container_include");
    let exclude: Vec<String> = read(config, "container_exclude");
    DiscoveryOptions {
        providers: names(config, "config_providers", "extra_config_providers"),
        listeners: names(config, "listeners", "extra_listeners"),
        use_endpoint_slices: read(config, "kubernetes_use_endpoint_slices"),
        slices_ignore_readiness: read(config, "kubernetes_endpoint_slices_ignore_readiness"),
        hybrid_ignore_ad_tags: read(config, "cluster_checks.support_hybrid_ignore_ad_tags"),
        prometheus: PrometheusOptions {
            enabled: read(config, "prometheus_scrape.enabled"),
            service_endpoints: read(config, "prometheus_scrape.service_endpoints"),
            checks: read(config, "prometheus_scrape.checks"),
            version: number(config, "prometheus_scrape.version"),
        },
        filters: FilterLists {
            include: if include.is_empty() { read(config, "ac_include") } else { include },
            exclude: if exclude.is_empty() { read(config, "ac_exclude") } else { exclude },
            include_metrics: read(config, "container_include_metrics"),
            exclude_metrics: read(config, "container_exclude_metrics"),
        },
    }
}

/// Names of a list of maps, then those of a list of names that are not among them.
fn names(config: &Config, maps: &str, extra: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let entries = read::<Vec<JsonMap<String, Json>>>(config, maps);
    let named = entries.iter().filter_map(|entry| entry.get("name").and_then(Json::as_str)).map(str::to_owned);
    for name in named.chain(read::<Vec<String>>(config, extra)) {
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// A number whose bounds in the table fit the type.
fn number<T: TryFrom<i64> + Default>(config: &Config, key: &str) -> T {
    T::try_from(read::<i64>(config, key)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::lease::LeaseTimings;

    use super::*;
    use crate::config::{Environment, Request, Role};

    fn loaded(file: &str, environment: &[(&str, &str)]) -> Config {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog-cluster.yaml"), file).unwrap();
        let environment = Environment::from_pairs(environment.iter().copied());
        let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        Config::load(request).unwrap()
    }

    fn election_with(file: &str, environment: &[(&str, &str)]) -> ElectionSettings {
        election(&loaded(file, environment))
    }

    #[test]
    fn ca_i5_the_namespace_of_resources_is_that_of_the_pod_unless_one_is_set() {
        let namespace = |environment: &[(&str, &str)]| {
            KubernetesSettings::from_config(&loaded("", environment)).resources_namespace_in("monitoring").to_owned()
        };
        assert_eq!(namespace(&[]), "monitoring");
        assert_eq!(namespace(&[("DD_KUBE_RESOURCES_NAMESPACE", "locks")]), "locks");
    }

    #[test]
    fn readiness_waits_ten_seconds_for_the_listings_unless_told_otherwise() {
        let limit = |environment: &[(&str, &str)]| KubernetesSettings::from_config(&loaded("", environment)).listing_limit;
        assert_eq!(limit(&[]), Duration::from_secs(10));
        assert_eq!(limit(&[("DD_KUBE_CACHE_SYNC_TIMEOUT_SECONDS", "45")]), Duration::from_secs(45));
    }

    #[test]
    fn ca_l3_a_lease_that_is_unset_zero_or_negative_is_one_of_60_seconds() {
        for environment in [vec![], vec![("DD_LEADER_LEASE_DURATION", "0")], vec![("DD_LEADER_LEASE_DURATION", "-15")]] {
            let lease = election_with("", &environment).lease;
            assert_eq!(LeaseTimings::from_lease(lease), LeaseTimings::from_lease(Duration::from_secs(60)), "{environment:?}");
        }
        assert_eq!(election_with("", &[("DD_LEADER_LEASE_DURATION", "15")]).lease, Duration::from_secs(15));
    }

    #[test]
    fn ca_l4_the_lock_is_a_config_map_unless_told_otherwise() {
        let election = election_with("", &[]);
        assert_eq!((election.lock, election.lock_name.as_str()), (LockKind::ConfigMap, "datadog-leader-election"));
        assert!(!election.enabled && election.release);
    }

    #[test]
    fn ca_l5_a_lock_kind_is_read_in_singular_and_plural_and_whatever_else_is_found_out() {
        let kind = |text| {
            let election = election_with("", &[("DD_LEADER_ELECTION_DEFAULT_RESOURCE", text)]);
            (election.lock, election.unknown_lock)
        };
        assert_eq!(kind("leases"), (LockKind::Lease, None));
        assert_eq!(kind("Lease"), (LockKind::Lease, None));
        assert_eq!(kind("configmaps"), (LockKind::ConfigMap, None));
        assert_eq!(kind("endpoints"), (LockKind::Discover, Some("endpoints".to_owned())));
    }

    #[test]
    fn ca_l6_an_empty_lock_kind_is_found_out() {
        let election = election_with("leader_election_default_resource: \"\"\n", &[]);
        assert_eq!((election.lock, election.unknown_lock), (LockKind::Discover, None));
    }
}

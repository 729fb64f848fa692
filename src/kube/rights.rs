//! Which rights each feature needs: the one table behind `deploy/rbac` and `doctor`. Source: cluster-agent-kubernetes 9.1.

use std::fmt;

use super::{cluster_id, snapshot_store};
use crate::config::settings::{ElectionSettings, KubernetesSettings, LockKind, WatchPods};

const READ: &[&str] = &["get", "list", "watch"];
const GET: &[&str] = &["get"];
const LIST: &[&str] = &["list"];
const FOLLOW: &[&str] = &["list", "watch"];
const KEEP: &[&str] = &["get", "update"];
/// A name cannot be given for what does not exist yet.
const CREATE: &[&str] = &["create"];

/// What rights are for. Each is a folder of `deploy/rbac`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Discovery, metadata of pods, life and death of runners.
    Metadata,
    /// The same where slices take the place of Endpoints.
    EndpointSlices,
    /// Election.
    Lock,
    /// The id of the cluster.
    ClusterId,
    /// The assignment outlives all replicas.
    Snapshot,
    /// Events are forwarded.
    Events,
    /// The control plane is watched.
    ControlPlane,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Metadata, Self::EndpointSlices, Self::Lock, Self::ClusterId, Self::Snapshot, Self::Events, Self::ControlPlane];

    /// Its folder in `deploy/rbac`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::EndpointSlices => "endpoint-slices",
            Self::Lock => "lock",
            Self::ClusterId => "cluster-id",
            Self::Snapshot => "snapshot",
            Self::Events => "events",
            Self::ControlPlane => "control-plane",
        }
    }

    /// What happens without its rights.
    #[must_use]
    pub const fn without(self) -> &'static str {
        match self {
            Self::Metadata => "checks in annotations are not found, tags of pods are not served, runners that die are noticed after 30 s",
            Self::EndpointSlices => "endpoint checks are not found; kubernetes_use_endpoint_slices: false does without",
            Self::Lock => "nobody leads; one replica with leader_election: false does without",
            Self::ClusterId => "the UID of kube-system is the id of the cluster if it may be read, and it is not kept",
            Self::Snapshot => "30 s of warm-up after the loss of all replicas at once; muster.snapshot: false does without",
            Self::Events => "events of the cluster are not forwarded; collect_kubernetes_events: false does without",
            Self::ControlPlane => "no service checks of the control plane, no counts of stored objects, no quotas of OpenShift",
        }
    }

    /// Whether muster does all of its work without.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ClusterId | Self::Snapshot | Self::ControlPlane)
    }
}

/// Where a right counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Cluster,
    /// Namespace of the pod.
    Pod,
    /// Namespace of lock and snapshot, usually that of the pod.
    Resources,
}

/// To which objects a right is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Any,
    Lock,
    Token,
    This(&'static str),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Right {
    feature: Feature,
    scope: Scope,
    group: &'static str,
    /// One that begins with `/` is a URL without a resource behind it.
    resource: &'static str,
    named: Named,
    verbs: &'static [&'static str],
}

const fn right(
    feature: Feature,
    scope: Scope,
    group: &'static str,
    resource: &'static str,
    named: Named,
    verbs: &'static [&'static str],
) -> Right {
    Right { feature, scope, group, resource, named, verbs }
}

/// The table.
const RIGHTS: [Right; 24] = [
    right(Feature::Metadata, Scope::Cluster, "", "services", Named::Any, READ),
    right(Feature::Metadata, Scope::Cluster, "", "endpoints", Named::Any, READ),
    right(Feature::Metadata, Scope::Cluster, "", "nodes", Named::Any, READ),
    right(Feature::Metadata, Scope::Cluster, "", "namespaces", Named::Any, READ),
    right(Feature::Metadata, Scope::Pod, "", "pods", Named::Any, READ),
    right(Feature::EndpointSlices, Scope::Cluster, "discovery.k8s.io", "endpointslices", Named::Any, READ),
    right(Feature::Lock, Scope::Resources, "coordination.k8s.io", "leases", Named::Lock, KEEP),
    right(Feature::Lock, Scope::Resources, "coordination.k8s.io", "leases", Named::Any, CREATE),
    right(Feature::Lock, Scope::Resources, "", "configmaps", Named::Lock, KEEP),
    right(Feature::Lock, Scope::Resources, "", "configmaps", Named::Any, CREATE),
    right(Feature::ClusterId, Scope::Cluster, "", "namespaces", Named::This(cluster_id::SYSTEM), GET),
    right(Feature::ClusterId, Scope::Pod, "", "configmaps", Named::This(cluster_id::NAME), KEEP),
    right(Feature::ClusterId, Scope::Pod, "", "configmaps", Named::Any, CREATE),
    right(Feature::Snapshot, Scope::Resources, "", "configmaps", Named::This(snapshot_store::NAME), KEEP),
    right(Feature::Snapshot, Scope::Resources, "", "configmaps", Named::Any, CREATE),
    right(Feature::Events, Scope::Cluster, "", "events", Named::Any, FOLLOW),
    // Hosts of events that do not say theirs.
    right(Feature::Events, Scope::Cluster, "", "pods", Named::Any, GET),
    right(Feature::Events, Scope::Cluster, "", "nodes", Named::Any, GET),
    right(Feature::Events, Scope::Resources, "", "configmaps", Named::Token, KEEP),
    right(Feature::Events, Scope::Resources, "", "configmaps", Named::Any, CREATE),
    right(Feature::ControlPlane, Scope::Cluster, "", "componentstatuses", Named::Any, LIST),
    right(Feature::ControlPlane, Scope::Cluster, "quota.openshift.io", "clusterresourcequotas", Named::Any, LIST),
    right(Feature::ControlPlane, Scope::Cluster, "", "/metrics", Named::Any, GET),
    right(Feature::ControlPlane, Scope::Cluster, "", "/readyz/etcd", Named::Any, GET),
];

/// A right that is needed here, with every name filled in. Its text is a line of a list: `get, update leases "x" in ns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What for.
    pub feature: Feature,
    /// Namespace; `None` = the whole cluster.
    pub namespace: Option<String>,
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Resource, for example `leases`, or a URL without a resource behind it, for example `/metrics`.
    pub resource: &'static str,
    /// Name of the only object it is needed for.
    pub name: Option<String>,
    /// Verbs.
    pub verbs: Vec<&'static str>,
}

impl Need {
    /// Whether it is about a URL and not about a resource.
    #[must_use]
    pub fn is_url(&self) -> bool {
        self.resource.starts_with('/')
    }

    /// The rule that grants it, as an entry of `rules` of a Role or ClusterRole.
    #[must_use]
    pub fn rule(&self) -> String {
        let Self { group, resource, name, verbs, .. } = self;
        if self.is_url() {
            return format!("- nonResourceURLs: [{resource}]\n  verbs: [{}]\n", verbs.join(", "));
        }
        let group = if group.is_empty() { "\"\"" } else { group };
        let names = name.as_ref().map(|name| format!("  resourceNames: [{name}]\n")).unwrap_or_default();
        format!("- apiGroups: [{group}]\n  resources: [{resource}]\n{names}  verbs: [{}]\n", verbs.join(", "))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verbs.join(", "), self.resource)?;
        if !self.group.is_empty() {
            write!(out, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(out, " {name:?}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(out, " in the namespace {namespace:?}"),
            None => out.write_str(" in the cluster"),
        }
    }
}

/// What the features that are switched on need, for a process in the namespace `pod_namespace`.
#[must_use]
pub fn needed(settings: &KubernetesSettings, pod_namespace: &str) -> Vec<Need> {
    let resources_namespace = settings.resources_namespace_in(pod_namespace);
    let wanted = RIGHTS.iter().filter(|right| is_wanted(right, settings));
    let needs = wanted.map(|right| {
        let scope = if right.resource == "pods" && settings.watch_pods == WatchPods::All { Scope::Cluster } else { right.scope };
        Need {
            feature: right.feature,
            namespace: match scope {
                Scope::Cluster => None,
                Scope::Pod => Some(pod_namespace.to_owned()),
                Scope::Resources => Some(resources_namespace.to_owned()),
            },
            group: right.group,
            resource: right.resource,
            name: match right.named {
                Named::Any => None,
                Named::Lock => Some(settings.election.lock_name.clone()),
                Named::Token => Some(settings.events.token_name.clone()),
                Named::This(name) => Some(name.to_owned()),
            },
            verbs: right.verbs.to_vec(),
        }
    });
    needs.collect()
}

fn is_wanted(right: &Right, settings: &KubernetesSettings) -> bool {
    let slices = settings.discovery.use_endpoint_slices;
    match (right.feature, right.resource) {
        (Feature::Metadata, "endpoints") => !slices,
        (Feature::Metadata, "pods") => settings.watch_pods != WatchPods::Off,
        (Feature::Metadata | Feature::ClusterId | Feature::ControlPlane, _) => true,
        (Feature::Events, _) => settings.events.collect,
        (Feature::EndpointSlices, _) => slices,
        (Feature::Lock, resource) => settings.election.enabled && resource == lock_resource(&settings.election),
        (Feature::Snapshot, _) => settings.snapshot,
    }
}

/// The ConfigMap beside a Lease is for stock tools and may be missing. Every API server since 1.14 has Leases to discover.
fn lock_resource(election: &ElectionSettings) -> &'static str {
    match election.lock {
        LockKind::ConfigMap => "configmaps",
        LockKind::Lease | LockKind::Discover => "leases",
    }
}

#[cfg(test)]
mod tests;

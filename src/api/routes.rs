//! The routes of the cluster role.
//!
//! Source: cluster-checks 3, cluster-agent-kubernetes 1.5 and 1.7. Paths of later features are not here, so they are unknown.

use crate::api::admin::AdminRoute;
use crate::api::balance::BalanceRoute;
use crate::api::metadata::MetadataRoute;

/// Where a request of the cluster role leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/api/v1/clusterchecks/status/{identifier}`
    PostStatus(&'a str),
    /// `/api/v1/clusterchecks/configs/{identifier}`
    Configs(&'a str),
    /// `/api/v1/clusterchecks`
    State,
    /// `/api/v1/endpointschecks/configs/{node}`
    EndpointConfigs(&'a str),
    /// `/api/v1/endpointschecks/configs`
    AllEndpointConfigs,
    /// `/api/v1/{check}/checks`
    NamedChecks(&'a str),
    /// What is known about nodes, pods and namespaces.
    Kubernetes(MetadataRoute<'a>),
    /// `/api/v1/cluster/eks-identity`
    EksIdentity,
    /// `/api/v1/languagedetection`
    LanguageDetection,
    /// `/api/v2/series`
    LocalSeries,
    /// `/autoscaler-list`
    AutoscalerList,
    /// `/api/v1/muster/assignments`
    Assignments,
    /// `/api/v1/muster/journal`
    Journal,
    /// `/api/v1/muster/diagnostics`
    Diagnostics,
    /// `/api/v1/muster/replica/deltas`
    ReplicaDeltas,
    /// `/api/v1/muster/replica/table`
    ReplicaTable,
    /// `/api/v1/muster/world`
    World,
    /// Balancing: plans, demands, reasons.
    Balance(BalanceRoute),
    /// The process itself.
    Admin(AdminRoute),
}

impl<'a> Route<'a> {
    /// Looks a path up.
    pub fn find(segments: &[&'a str]) -> Option<Self> {
        Some(match segments {
            ["api", "v1", "clusterchecks", "status", node] => Self::PostStatus(node),
            ["api", "v1", "clusterchecks", "configs", node] => Self::Configs(node),
            ["api", "v1", "clusterchecks"] => Self::State,
            ["api", "v1", "endpointschecks", "configs", node] => Self::EndpointConfigs(node),
            ["api", "v1", "endpointschecks", "configs"] => Self::AllEndpointConfigs,
            ["api", "v1", "cluster", "eks-identity"] => Self::EksIdentity,
            ["api", "v1", "languagedetection"] => Self::LanguageDetection,
            ["api", "v2", "series"] => Self::LocalSeries,
            ["autoscaler-list"] => Self::AutoscalerList,
            ["api", "v1", "muster", "assignments"] => Self::Assignments,
            ["api", "v1", "muster", "journal"] => Self::Journal,
            ["api", "v1", "muster", "world"] => Self::World,
            ["api", "v1", "muster", "diagnostics"] => Self::Diagnostics,
            ["api", "v1", "muster", "replica", "deltas"] => Self::ReplicaDeltas,
            ["api", "v1", "muster", "replica", "table"] => Self::ReplicaTable,
            ["api", "v1", check, "checks"] => Self::NamedChecks(check),
            other => match MetadataRoute::find(other) {
                Some(route) => Self::Kubernetes(route),
                None => match BalanceRoute::find(other) {
                    Some(route) => Self::Balance(route),
                    None => Self::Admin(AdminRoute::find(other)?),
                },
            },
        })
    }

    /// Methods it answers, as in the `Allow` header.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::PostStatus(_) | Self::LanguageDetection | Self::LocalSeries | Self::ReplicaTable => "POST",
            Self::Balance(route) => route.methods(),
            Self::Admin(route) => route.methods(),
            _ => "GET",
        }
    }

    /// Whether it belongs to cluster checks, and so is unknown where they are off.
    pub fn needs_cluster_checks(&self) -> bool {
        matches!(
            self,
            Self::PostStatus(_)
                | Self::Configs(_)
                | Self::State
                | Self::EndpointConfigs(_)
                | Self::AllEndpointConfigs
                | Self::NamedChecks(_)
                | Self::Assignments
                | Self::ReplicaDeltas
                | Self::ReplicaTable
                | Self::World
                | Self::Balance(_)
        )
    }

    /// Whether only the leader answers it. Source: cluster-checks 3.
    pub fn is_leader_only(&self) -> bool {
        matches!(self, Self::PostStatus(_) | Self::Configs(_) | Self::EndpointConfigs(_) | Self::World | Self::Balance(_))
    }

    /// Label in request telemetry; `None` where the stock server counts nothing.
    ///
    /// Source: cluster-checks 14.1, cluster-agent-kubernetes 1.5.
    pub fn handler(&self) -> Option<&'static str> {
        Some(match self {
            Self::PostStatus(_) => "postCheckStatus",
            Self::Configs(_) => "getCheckConfigs",
            Self::State => "getState",
            Self::EndpointConfigs(_) => "getEndpointsConfigs",
            Self::AllEndpointConfigs => "getAllEndpointsCheckConfigs",
            Self::NamedChecks(_) => "getNamedChecks",
            Self::Kubernetes(route) => route.handler(),
            Self::Balance(route) => return route.handler(),
            Self::EksIdentity => "getEKSClusterIdentity",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_later_features_are_unknown() {
        assert_eq!(Route::find(&["api", "v1", "cf", "apps"]), None);
        assert_eq!(Route::find(&["telemetry"]), None);
        assert_eq!(Route::find(&[]), None);
    }

    #[test]
    fn a_namespace_named_like_a_pod_path_is_still_a_namespace() {
        let handler = |segments: &[&str]| Route::find(segments).and_then(|route| route.handler());
        assert_eq!(handler(&["api", "v1", "metadata", "namespace", "default"]), Some("getNamespaceMetadata"));
        assert_eq!(handler(&["api", "v1", "metadata", "n", "ns", "p"]), Some("getPodMetadata"));
    }

    #[test]
    fn handler_names_are_those_of_the_stock_metrics() {
        assert_eq!(Route::PostStatus("a").handler(), Some("postCheckStatus"));
        assert_eq!(Route::Journal.handler(), None);
        let rebalance = Route::find(&["api", "v1", "clusterchecks", "rebalance"]).unwrap();
        assert_eq!((rebalance.handler(), rebalance.is_leader_only()), (Some("postRebalanceChecks"), true));
    }
}

//! What is configured of discovery from Kubernetes objects, in the words of the core.

use muster_actors::domain::kube::filters::FilterLists;
use muster_actors::domain::kube::plan::{DiscoveryOptions, slices_in_use};
use muster_actors::domain::kube::prometheus::PrometheusOptions;

use crate::config::settings::DiscoverySettings;

/// The options of discovery. `version` is that of the API server (`gitVersion`), if it is known.
#[must_use]
pub fn discovery_options(settings: &DiscoverySettings, version: Option<&str>) -> DiscoveryOptions {
    let DiscoverySettings {
        providers,
        listeners,
        use_endpoint_slices,
        slices_ignore_readiness,
        hybrid_ignore_ad_tags,
        prometheus,
        filters,
    } = settings.clone();
    DiscoveryOptions {
        providers,
        listeners,
        slices: slices_in_use(use_endpoint_slices, version),
        slices_ignore_readiness,
        hybrid_ignore_ad_tags,
        prometheus: PrometheusOptions {
            enabled: prometheus.enabled,
            service_endpoints: prometheus.service_endpoints,
            checks: prometheus.checks,
            version: prometheus.version,
        },
        filters: FilterLists {
            include: filters.include,
            exclude: filters.exclude,
            include_metrics: filters.include_metrics,
            exclude_metrics: filters.exclude_metrics,
        },
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::kube::plan::DiscoveryPlan;
    use serde_json::json;

    use super::*;
    use crate::config::settings::{FilterSettings, PrometheusSettings};

    #[test]
    fn what_the_chart_sets_runs_services_and_slices() {
        let names = vec!["kube_endpoints".to_owned(), "kube_services".to_owned()];
        let settings = DiscoverySettings {
            providers: names.clone(),
            listeners: names,
            use_endpoint_slices: true,
            slices_ignore_readiness: false,
            hybrid_ignore_ad_tags: false,
            prometheus: PrometheusSettings {
                enabled: true,
                service_endpoints: true,
                checks: vec![json!({"configurations": [{"timeout": 5}]}).as_object().unwrap().clone()],
                version: 2,
            },
            filters: FilterSettings { exclude_metrics: vec!["name:x".to_owned()], ..FilterSettings::default() },
        };
        let plan = DiscoveryPlan::new(&discovery_options(&settings, Some("v1.33.2")));
        assert!(plan.findings.is_empty());
        assert_eq!(plan.scrape, Some(true));
        assert!(plan.providers().contains(&"kubernetes-endpointslices"));
        let old = DiscoveryPlan::new(&discovery_options(&settings, Some("v1.19.0")));
        assert!(old.providers().contains(&"kubernetes-endpoints"));
    }
}

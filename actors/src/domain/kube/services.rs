//! Services: the checks in their annotations, and what templates see of them. Source: autodiscovery 4.2, 5.2.

use std::collections::BTreeMap;

use crate::domain::ad_service::AdService;
use crate::domain::kube::annotations::{self, Extracted, PREFIX, Subject};
use crate::domain::kube::filters::Filters;
use crate::domain::kube::objects::{KubeService, ObjectKey, Texts};

/// Provider of the checks in annotations of Services.
pub const PROVIDER: &str = "kubernetes-services";

/// Listener for Services.
pub const LISTENER: &str = "kube_services";

/// Identifier that every Service has, for selectors.
const SELECTOR_IDENTIFIER: &str = "cel://kube_service";

/// Id of a Service, also its AD identifier and the key of its source.
#[must_use]
pub fn entity(service: &ObjectKey) -> String {
    format!("kube_service://{}/{}", service.namespace, service.name)
}

/// The templates in the annotations of a Service.
#[must_use]
pub fn templates(service: &KubeService, hybrid: bool) -> Extracted {
    let entity = entity(&service.meta.key);
    let object = format!("Service {}", service.meta.key);
    let subject = Subject { word: "service", identifier: &entity, resource: &entity, object: &object, hybrid };
    let mut found = annotations::extract(&service.meta.annotations, &subject);
    for config in &mut found.configs {
        PROVIDER.clone_into(&mut config.provider);
        config.cluster_check = true;
        config.source = format!("kube_services:{entity}");
    }
    found
}

/// Whether the annotations say that there are checks. Only the names count, and only those of today.
#[must_use]
pub fn is_annotated(annotations: &Texts, word: &str) -> bool {
    ["checks", "instances"].iter().any(|key| annotations.contains_key(format!("{PREFIX}{word}.{key}").as_str()))
}

/// The tags that labels of a Service give to its checks.
#[must_use]
pub fn standard_tags(labels: &Texts) -> Vec<String> {
    ["env", "version", "service"]
        .iter()
        .filter_map(|name| labels.get(format!("tags.datadoghq.com/{name}").as_str()).map(|value| format!("{name}:{value}")))
        .collect()
}

/// A Service as templates see it.
#[must_use]
pub fn ad_service(service: &KubeService, filters: &Filters) -> AdService {
    let key = &service.meta.key;
    let entity = entity(key);
    let mut ports = service.ports.clone();
    ports.sort_by_key(|port| port.number);
    let mut tags = vec![format!("kube_service:{}", key.name), format!("kube_namespace:{}", key.namespace)];
    tags.extend(standard_tags(&service.meta.labels));
    let verdict = filters.verdict(key, &service.meta.annotations);
    AdService {
        identifiers: vec![entity.clone(), SELECTOR_IDENTIFIER.to_owned()],
        id: entity,
        hosts: BTreeMap::from([("cluster".to_owned(), service.cluster_ip.to_string())]),
        ports,
        tags,
        extra: BTreeMap::from([("namespace".to_owned(), key.namespace.to_string())]),
        metrics_excluded: verdict.metrics,
        logs_excluded: verdict.logs,
    }
}

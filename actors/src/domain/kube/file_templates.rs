//! Templates in files that name a Kubernetes object. Source: autodiscovery 4.4.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::config::{AdvancedAdIdentifier, CheckConfig, ObjectRef};
use crate::domain::kube::endpoints::ResolveMode;
use crate::domain::kube::objects::ObjectKey;
use crate::domain::kube::services;

/// Provider of templates in files for Services.
pub const SERVICES_PROVIDER: &str = "kubernetes-services-file";

/// What files say about the addresses of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFiles {
    /// The templates, without addresses and provider.
    pub templates: Vec<CheckConfig>,
    /// How addresses are resolved; the last entry says it for all.
    pub mode: ResolveMode,
}

/// Templates of files by what they wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTemplates {
    /// Source -> templates for Services, complete.
    pub services: BTreeMap<String, Vec<Arc<CheckConfig>>>,
    /// Service -> templates for its addresses.
    pub endpoints: BTreeMap<ObjectKey, EndpointFiles>,
}

impl FileTemplates {
    /// Sorts the configs of files by their advanced identifiers; configs without any are passed over.
    #[must_use]
    pub fn new(configs: &[Arc<CheckConfig>]) -> Self {
        let mut sorted = Self::default();
        for config in configs {
            sorted.add(config);
        }
        sorted
    }

    fn add(&mut self, config: &CheckConfig) {
        let bare = CheckConfig { advanced_ad_identifiers: Vec::new(), ad_identifiers: Vec::new(), cluster_check: true, ..config.clone() };
        let named = |of: fn(&AdvancedAdIdentifier) -> &ObjectRef| {
            config.advanced_ad_identifiers.iter().filter(move |identifier| !is_empty(of(identifier)))
        };
        let identifiers: Vec<String> =
            named(|identifier| &identifier.kube_service).map(|identifier| services::entity(&key(&identifier.kube_service))).collect();
        if !identifiers.is_empty() {
            let template = CheckConfig { ad_identifiers: identifiers, provider: SERVICES_PROVIDER.to_owned(), ..bare.clone() };
            self.services.entry(config.source.clone()).or_default().push(Arc::new(template));
        }
        for identifier in named(|identifier| &identifier.kube_endpoints) {
            let files = self.endpoints.entry(key(&identifier.kube_endpoints)).or_default();
            files.mode = ResolveMode::parse(&identifier.resolve).unwrap_or_default();
            files.templates.push(bare.clone());
        }
    }
}

fn is_empty(object: &ObjectRef) -> bool {
    object.name.is_empty() && object.namespace.is_empty()
}

fn key(object: &ObjectRef) -> ObjectKey {
    ObjectKey::new(object.namespace.as_str(), object.name.as_str())
}

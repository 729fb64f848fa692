//! The addresses behind Services: the checks that run at each of them, and what templates see. Source: autodiscovery 4.3, 5.3, 5.4.

use std::collections::BTreeMap;

use crate::domain::ad_service::AdService;
use crate::domain::config::CheckConfig;
use crate::domain::discovery::ConfigError;
use crate::domain::kube::annotations::{self, Extracted, PREFIX, Subject};
use crate::domain::kube::filters::{Filters, Verdict};
use crate::domain::kube::objects::{EndpointAddress, Kind, KubeEndpoints, KubeService, ObjectKey, Port};
use crate::domain::kube::services::standard_tags;

/// Listener for the addresses behind Services.
pub const LISTENER: &str = "kube_endpoints";

/// Annotation of Endpoints objects that were locks of leader elections.
const OLD_LOCK: &str = "control-plane.alpha.kubernetes.io/leader";

/// Identifier that every address has, for selectors.
const SELECTOR_IDENTIFIER: &str = "cel://kube_endpoint";

/// Which objects tell the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// Endpoints.
    Endpoints,
    /// EndpointSlices.
    Slices {
        /// Addresses that are not ready or are terminating count, too.
        ignore_readiness: bool,
    },
}

impl AddressSource {
    /// The kind of object.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Endpoints => Kind::Endpoints,
            Self::Slices { .. } => Kind::EndpointSlices,
        }
    }

    /// Provider of the checks in annotations.
    #[must_use]
    pub fn provider(self) -> &'static str {
        match self {
            Self::Endpoints => "kubernetes-endpoints",
            Self::Slices { .. } => "kubernetes-endpointslices",
        }
    }

    /// Provider of the checks in files.
    #[must_use]
    pub fn file_provider(self) -> &'static str {
        match self {
            Self::Endpoints => "kubernetes-endpoints-file",
            Self::Slices { .. } => "kubernetes-endpointslices-file",
        }
    }

    /// Key under which the errors of a Service are recorded.
    #[must_use]
    pub fn resource(self, service: &ObjectKey) -> String {
        match self {
            Self::Endpoints => entity_prefix(service),
            Self::Slices { .. } => service.to_string(),
        }
    }

    fn usable(self, address: &EndpointAddress) -> bool {
        match self {
            Self::Endpoints => address.ready,
            Self::Slices { ignore_readiness } => ignore_readiness || (address.ready && !address.terminating),
        }
    }
}

/// What the ids of all addresses of a Service begin with.
fn entity_prefix(service: &ObjectKey) -> String {
    format!("kube_endpoint_uid://{}/{}/", service.namespace, service.name)
}

/// Id of an address, also its AD identifier.
#[must_use]
pub fn entity(service: &ObjectKey, ip: &str) -> String {
    format!("{}{ip}", entity_prefix(service))
}

/// Whether a check of a pod's address is given to the agent on the pod's node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResolveMode {
    /// Yes.
    #[default]
    Auto,
    /// No: all are cluster checks.
    Ip,
}

impl ResolveMode {
    /// Reads a mode; empty is `auto`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "auto" => Some(Self::Auto),
            "ip" => Some(Self::Ip),
            _ => None,
        }
    }
}

/// What the annotations of a Service say about the addresses behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTemplates {
    /// Templates without an address, and mistakes.
    pub extracted: Extracted,
    /// How addresses are resolved.
    pub mode: ResolveMode,
}

/// The templates for addresses in the annotations of a Service.
#[must_use]
pub fn templates(service: &KubeService, source: AddressSource, hybrid: bool) -> EndpointTemplates {
    let key = &service.meta.key;
    let (resource, object) = (source.resource(key), format!("Service {key}"));
    let subject = Subject { word: "endpoints", identifier: "", resource: &resource, object: &object, hybrid };
    let mut extracted = annotations::extract(&service.meta.annotations, &subject);
    for config in &mut extracted.configs {
        source.provider().clone_into(&mut config.provider);
        config.source = format!("kube_endpoints:{}", entity_prefix(key));
    }
    let annotation = format!("{PREFIX}endpoints.resolve");
    let word = service.meta.annotations.get(annotation.as_str()).map_or("", |word| word);
    let mode = ResolveMode::parse(word);
    if mode.is_none() && !extracted.configs.is_empty() {
        extracted.errors.push(ConfigError {
            integration: resource,
            origin: format!("{object}, annotation {annotation}"),
            position: None,
            problem: format!("unknown resolve mode {word:?}, using auto"),
            found: format!("{word:?}"),
            allowed: "auto or ip".to_owned(),
        });
    }
    EndpointTemplates { extracted, mode: mode.unwrap_or_default() }
}

/// One address behind a Service, merged from everything that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// What tells it first.
    pub told: &'a EndpointAddress,
    /// Ports in object order, each once.
    pub ports: Vec<&'a Port>,
    /// What is excluded by any object that tells it.
    pub verdict: Verdict,
    /// Some object that tells it is no old lock.
    pub listed: bool,
}

impl Address<'_> {
    /// Unique id of the pod behind it.
    fn pod(&self) -> Option<&str> {
        self.told.target.as_ref().filter(|target| &*target.kind == "Pod").map(|target| &*target.uid)
    }
}

/// The usable addresses of a Service, in object order, each once.
#[must_use]
pub fn addresses<'a>(objects: impl IntoIterator<Item = &'a KubeEndpoints>, source: AddressSource, filters: &Filters) -> Vec<Address<'a>> {
    let mut found: Vec<Address<'a>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for object in objects {
        // The name of a slice is generated; what people filter by is that of the Service.
        let named = ObjectKey { namespace: object.meta.key.namespace.clone(), name: object.service.clone() };
        let verdict = filters.verdict(&named, &object.meta.annotations);
        let listed = !object.meta.annotations.contains_key(OLD_LOCK);
        for subset in &object.subsets {
            for told in subset.addresses.iter().filter(|address| source.usable(address)) {
                let place = *places.entry(&told.ip).or_insert_with(|| {
                    found.push(Address { told, ports: Vec::new(), verdict, listed });
                    found.len() - 1
                });
                let address = &mut found[place];
                if address.told.target.is_none() && told.target.is_some() {
                    address.told = told;
                }
                address.verdict.metrics |= verdict.metrics;
                address.verdict.logs |= verdict.logs;
                address.listed |= listed;
                for port in &subset.ports {
                    if !address.ports.contains(&port) {
                        address.ports.push(port);
                    }
                }
            }
        }
    }
    found
}

/// The config of a template for one address.
#[must_use]
pub fn config(template: &CheckConfig, service: &ObjectKey, address: &Address<'_>, mode: ResolveMode) -> CheckConfig {
    let id = entity(service, &address.told.ip);
    let mut config = CheckConfig {
        ad_identifiers: vec![id.clone()],
        advanced_ad_identifiers: Vec::new(),
        service_id: id,
        cluster_check: true,
        node_name: String::new(),
        ..template.clone()
    };
    if let (ResolveMode::Auto, Some(pod)) = (mode, address.pod()) {
        config.ad_identifiers.push(format!("kubernetes_pod://{pod}"));
        config.node_name = address.told.node.to_string();
    }
    config
}

/// An address as templates see it. `service` is the Service, if it is known.
#[must_use]
pub fn ad_service(key: &ObjectKey, service: Option<&KubeService>, address: &Address<'_>) -> AdService {
    let ip = &address.told.ip;
    let id = entity(key, ip);
    let mut tags =
        vec![format!("kube_service:{}", key.name), format!("kube_namespace:{}", key.namespace), format!("kube_endpoint_ip:{ip}")];
    tags.extend(service.map(|service| standard_tags(&service.meta.labels)).unwrap_or_default());
    AdService {
        identifiers: vec![id.clone(), SELECTOR_IDENTIFIER.to_owned()],
        id,
        hosts: BTreeMap::from([("endpoint".to_owned(), ip.to_string())]),
        ports: address.ports.iter().map(|port| (*port).clone()).collect(),
        tags,
        extra: BTreeMap::from([("namespace".to_owned(), key.namespace.to_string())]),
        metrics_excluded: address.verdict.metrics,
        logs_excluded: address.verdict.logs,
    }
}

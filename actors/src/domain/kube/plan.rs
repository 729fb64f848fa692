//! Which providers and listeners of Kubernetes objects run, and what they need. Source: autodiscovery 3.1, 3.2.

use std::collections::BTreeSet;

use crate::domain::discovery::ConfigError;
use crate::domain::kube::endpoints::{self, AddressSource};
use crate::domain::kube::file_templates;
use crate::domain::kube::filters::{FilterLists, Filters};
use crate::domain::kube::objects::Kind;
use crate::domain::kube::prometheus::{self, Prometheus, PrometheusOptions};
use crate::domain::kube::services;
use crate::domain::kube::version::ServerVersion;

/// What is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiscoveryOptions {
    /// Names in `config_providers` and `extra_config_providers`.
    pub providers: Vec<String>,
    /// Names in `listeners` and `extra_listeners`.
    pub listeners: Vec<String>,
    /// EndpointSlices instead of Endpoints.
    pub use_endpoint_slices: bool,
    /// Addresses of slices that are not ready count, too.
    pub slices_ignore_readiness: bool,
    /// The annotation `ignore_autodiscovery_tags` counts beside version 2.
    pub hybrid_ignore_ad_tags: bool,
    /// Scraping.
    pub prometheus: PrometheusOptions,
    /// Exclusion.
    pub filters: FilterLists,
}

impl DiscoveryOptions {
    /// Does without EndpointSlices if the API server is too old for them; one whose version is not known is taken for new.
    ///
    /// Source: autodiscovery 3.1.
    pub fn limit_to(&mut self, server: Option<&ServerVersion>) {
        self.use_endpoint_slices &= server.is_none_or(ServerVersion::has_endpoint_slices);
    }
}

/// What runs.
#[derive(Clone, Debug)]
pub struct DiscoveryPlan {
    /// Checks in annotations of Services.
    pub services: bool,
    /// Checks in annotations for addresses.
    pub endpoints: bool,
    /// Templates in files for Services.
    pub services_file: bool,
    /// Templates in files for addresses.
    pub endpoints_file: bool,
    /// Scraping: of each address (true), of Services (false), or not at all.
    pub scrape: Option<bool>,
    /// Services are told to templates.
    pub service_listener: bool,
    /// Addresses are told to templates.
    pub endpoints_listener: bool,
    /// Every Service is told, not only the annotated ones, because a provider of files was named.
    pub all_services: bool,
    /// Every address is told, likewise.
    pub all_endpoints: bool,
    /// What tells addresses.
    pub addresses: AddressSource,
    /// The annotation `ignore_autodiscovery_tags` counts beside version 2.
    pub hybrid: bool,
    /// Rules of scraping; the default ones when it is off, for the listeners.
    pub prometheus: Prometheus,
    /// Exclusion.
    pub filters: Filters,
    /// Mistakes in the configuration, for the log.
    pub findings: Vec<ConfigError>,
}

/// What must be completely known before a provider or listener can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Services.
    Services,
    /// Addresses, and the Services that they belong to.
    Addresses,
    /// Templates of files.
    Files,
}

/// Names that are taken, here or by somebody else in this process.
const OTHER_PROVIDERS: [&str; 3] = ["file", "clusterchecks", "endpointschecks"];
const OTHER_LISTENERS: [&str; 2] = ["environment", "static config"];

impl DiscoveryPlan {
    /// Decides what runs. A mistake costs what it is about and nothing else.
    #[must_use]
    pub fn new(options: &DiscoveryOptions) -> Self {
        let mut findings = Vec::new();
        let named = names("config_providers", "provider", &options.providers, &PROVIDERS, &OTHER_PROVIDERS, &mut findings);
        let listeners = names("listeners", "listener", &options.listeners, &LISTENERS, &OTHER_LISTENERS, &mut findings);
        let filters = filters(&options.filters, &mut findings);
        // A listener whose filters are broken must not tell what they were to exclude.
        let listens = |name| filters.is_some() && listeners.contains(name);
        let (service_listener, endpoints_listener) = (listens(services::LISTENER), listens(endpoints::LISTENER));
        let rules = Prometheus::try_new(&options.prometheus).map_err(|error| {
            let (found, allowed) = (error.found(), error.allowed());
            findings.push(finding("prometheus_scrape", prometheus::PROVIDER, error.to_string(), &found, allowed));
        });
        let wants_scraping = options.prometheus.enabled || named.contains("prometheus_services");
        let ignore_readiness = options.slices_ignore_readiness;
        Self {
            services: named.contains("kube_services"),
            endpoints: named.contains("kube_endpoints"),
            // Stock looks once whether a file names a Kubernetes object; here such a file may come later.
            services_file: service_listener || named.contains("kube_services_file"),
            endpoints_file: endpoints_listener || named.contains("kube_endpoints_file"),
            scrape: (wants_scraping && rules.is_ok()).then_some(options.prometheus.service_endpoints),
            service_listener,
            endpoints_listener,
            all_services: named.contains("kube_services_file"),
            all_endpoints: named.contains("kube_endpoints_file"),
            addresses: if options.use_endpoint_slices { AddressSource::Slices { ignore_readiness } } else { AddressSource::Endpoints },
            hybrid: options.hybrid_ignore_ad_tags,
            prometheus: rules.unwrap_or_default(),
            filters: filters.unwrap_or_default(),
            findings,
        }
    }

    /// Kinds of objects that are needed, so that no other need be watched.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        let mut kinds = BTreeSet::new();
        if self.needs_services() {
            kinds.insert(Kind::Services);
        }
        if self.needs_addresses() {
            kinds.insert(self.addresses.kind());
        }
        kinds
    }

    /// Whether templates of files are waited for.
    #[must_use]
    pub fn needs_files(&self) -> bool {
        self.services_file || self.endpoints_file
    }

    /// Names of the providers that run, as configs carry them.
    #[must_use]
    pub fn providers(&self) -> Vec<&'static str> {
        let all = [
            (self.services, services::PROVIDER),
            (self.services_file, file_templates::SERVICES_PROVIDER),
            (self.endpoints, self.addresses.provider()),
            (self.endpoints_file, self.addresses.file_provider()),
            (self.scrape.is_some(), prometheus::PROVIDER),
        ];
        all.into_iter().filter(|(runs, _)| *runs).map(|(_, name)| name).collect()
    }

    /// Names of the listeners that run.
    #[must_use]
    pub fn listeners(&self) -> Vec<&'static str> {
        let all = [(self.service_listener, services::LISTENER), (self.endpoints_listener, endpoints::LISTENER)];
        all.into_iter().filter(|(runs, _)| *runs).map(|(_, name)| name).collect()
    }

    /// What a provider or listener depends on.
    #[must_use]
    pub fn needs(&self, name: &str) -> Needs {
        match name {
            services::PROVIDER | services::LISTENER => Needs::Services,
            prometheus::PROVIDER if self.scrape == Some(false) => Needs::Services,
            file_templates::SERVICES_PROVIDER => Needs::Files,
            _ => Needs::Addresses,
        }
    }

    fn needs_services(&self) -> bool {
        self.services || self.endpoints || self.scrape.is_some() || self.service_listener || self.endpoints_listener
    }

    fn needs_addresses(&self) -> bool {
        self.endpoints || self.endpoints_file || self.endpoints_listener || self.scrape == Some(true)
    }
}

/// Names under which providers are configured.
const PROVIDERS: [&str; 5] = ["kube_services", "kube_endpoints", "kube_services_file", "kube_endpoints_file", "prometheus_services"];

/// Names under which listeners are configured.
const LISTENERS: [&str; 2] = [services::LISTENER, endpoints::LISTENER];

/// The names that are ours; those that nobody has are findings.
fn names<'a>(
    key: &str,
    what: &str,
    configured: &'a [String],
    ours: &[&str],
    others: &[&str],
    findings: &mut Vec<ConfigError>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for name in configured {
        if ours.contains(&name.as_str()) {
            found.insert(name.as_str());
        } else if !others.contains(&name.as_str()) {
            let problem = format!("Unable to find this {what} in the catalog: {name}");
            findings.push(finding(&format!("{key} or extra_{key}"), name, problem, name, &ours.join(", ")));
        }
    }
    found
}

fn filters(lists: &FilterLists, findings: &mut Vec<ConfigError>) -> Option<Filters> {
    const ALLOWED: &str = "image:REGEX, name:REGEX or kube_namespace:REGEX";
    match Filters::try_new(lists) {
        Ok((filters, unknown)) => {
            findings.extend(unknown.iter().map(|entry| finding(entry.list, entry.list, entry.to_string(), &entry.entry, ALLOWED)));
            Some(filters)
        }
        Err(error) => {
            findings.push(finding(error.list, error.list, error.to_string(), &error.pattern, "a regular expression"));
            None
        }
    }
}

fn finding(origin: &str, name: &str, problem: String, found: &str, allowed: &str) -> ConfigError {
    ConfigError {
        integration: name.to_owned(),
        origin: origin.to_owned(),
        position: None,
        problem,
        found: found.to_owned(),
        allowed: allowed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chart() -> DiscoveryOptions {
        let names = texts(&["kube_endpoints", "kube_services"]);
        let prometheus = PrometheusOptions { version: 1, ..PrometheusOptions::default() };
        DiscoveryOptions {
            providers: names.clone(),
            listeners: names,
            use_endpoint_slices: true,
            prometheus,
            ..DiscoveryOptions::default()
        }
    }

    #[test]
    fn the_values_of_the_chart_run_everything_for_services_and_slices() {
        let plan = DiscoveryPlan::new(&chart());
        assert!(plan.findings.is_empty());
        assert_eq!(plan.kinds(), BTreeSet::from([Kind::Services, Kind::EndpointSlices]));
        let providers = ["kubernetes-services", "kubernetes-services-file", "kubernetes-endpointslices", "kubernetes-endpointslices-file"];
        assert_eq!(plan.providers(), providers);
        assert_eq!(plan.listeners(), ["kube_services", "kube_endpoints"]);
        let plan = DiscoveryPlan::new(&DiscoveryOptions { use_endpoint_slices: false, ..chart() });
        assert_eq!(plan.kinds(), BTreeSet::from([Kind::Services, Kind::Endpoints]));
        assert!(plan.providers().contains(&"kubernetes-endpoints"));
        assert!(plan.providers().contains(&"kubernetes-endpoints-file"));
    }

    #[test]
    fn slices_are_used_if_they_are_wanted_and_the_server_is_not_known_to_lack_them() {
        let uses = |wanted, version| {
            let mut options = DiscoveryOptions { use_endpoint_slices: wanted, ..DiscoveryOptions::default() };
            options.limit_to(ServerVersion::parse(version).as_ref());
            options.use_endpoint_slices
        };
        assert!(uses(true, "v1.33.2") && uses(true, "unknown"));
        assert!(!uses(true, "v1.20.15") && !uses(false, "v1.33.2") && !uses(false, "unknown"));
    }

    #[test]
    fn only_what_is_needed_is_watched() {
        let none = DiscoveryPlan::new(&DiscoveryOptions { providers: Vec::new(), listeners: Vec::new(), ..chart() });
        assert!(none.kinds().is_empty() && none.providers().is_empty() && none.listeners().is_empty() && !none.needs_files());
        let services = DiscoveryOptions { providers: texts(&["kube_services"]), listeners: texts(&["kube_services"]), ..chart() };
        assert_eq!(DiscoveryPlan::new(&services).kinds(), BTreeSet::from([Kind::Services]));
        let mut scraping = DiscoveryOptions { providers: Vec::new(), listeners: Vec::new(), ..chart() };
        scraping.prometheus.enabled = true;
        let plan = DiscoveryPlan::new(&scraping);
        assert_eq!((plan.kinds(), plan.providers()), (BTreeSet::from([Kind::Services]), vec!["prometheus-services"]));
        scraping.prometheus.service_endpoints = true;
        assert_eq!(DiscoveryPlan::new(&scraping).kinds(), BTreeSet::from([Kind::Services, Kind::EndpointSlices]));
    }

    #[test]
    fn unknown_names_are_findings_and_cost_nothing_else() {
        let options = DiscoveryOptions {
            providers: texts(&["kube_services", "kube_service", "clusterchecks"]),
            listeners: texts(&["kube_services", "docker", "environment"]),
            ..chart()
        };
        let plan = DiscoveryPlan::new(&options);
        assert!(plan.services && plan.service_listener);
        let problems: Vec<&str> = plan.findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(
            problems,
            ["Unable to find this provider in the catalog: kube_service", "Unable to find this listener in the catalog: docker"]
        );
    }

    #[test]
    fn broken_filters_stop_the_listeners_and_broken_scraping_stops_scraping() {
        let mut options = chart();
        options.filters.exclude_metrics = texts(&["name:("]);
        options.prometheus.enabled = true;
        options.prometheus.version = 3;
        let plan = DiscoveryPlan::new(&options);
        assert!(plan.listeners().is_empty());
        assert_eq!(plan.scrape, None);
        let origins: Vec<&str> = plan.findings.iter().map(|finding| finding.origin.as_str()).collect();
        assert_eq!(origins, ["container_exclude_metrics", "prometheus_scrape"]);
    }
}

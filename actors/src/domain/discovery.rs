//! What discovery found and what it could not use: the content of `configcheck`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::config::CheckConfig;
use crate::domain::ids::ConfigKey;
use crate::domain::yaml::Position;

/// Why a source of configs is not used: a mistake of its author, which stops nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Integration name the config would have had; empty when the source names none.
    pub integration: String,
    /// File path, or name of the object.
    pub origin: String,
    /// Where in it, if there is such a place.
    pub position: Option<Position>,
    /// What is wrong, in the words of the stock agent where it has some.
    pub problem: String,
    /// What was found.
    pub found: String,
    /// What is allowed, and so the mend.
    pub allowed: String,
}

impl ConfigError {
    /// The source that configs from there would name. Source: autodiscovery 4.
    #[must_use]
    pub fn source(&self, provider: &str) -> String {
        let prefix = match provider {
            "kubernetes-services" => "kube_services",
            "kubernetes-endpoints" | "kubernetes-endpointslices" => "kube_endpoints",
            "kubernetes-services-file" | "kubernetes-endpoints-file" | "kubernetes-endpointslices-file" => "file",
            "prometheus-services" => "prometheus_services",
            other => other,
        };
        format!("{prefix}:{}", self.origin)
    }

    /// Under which name it is shown: that of the integration, or that of the object.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.integration.is_empty() { &self.origin } else { &self.integration }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.problem, self.origin)?;
        if let Some(position) = self.position {
            write!(out, ", {position}")?;
        }
        write!(out, ": found {}, allowed: {}", self.found, self.allowed)
    }
}

/// State of discovery at one moment, published by the `Resolver`. Source: autodiscovery 11.4.
#[derive(Debug, Default, Clone, Serialize)]
pub struct DiscoveryReport {
    /// Whether every provider finished its initial listing.
    pub synced: bool,
    /// Scheduled configs, sorted by name.
    pub configs: Vec<Arc<CheckConfig>>,
    /// Template name -> what went wrong when it was resolved.
    pub resolve_warnings: BTreeMap<String, Vec<String>>,
    /// Integration or object name -> why its file or annotation is not used, with file, line and column where known.
    pub config_errors: BTreeMap<String, String>,
    /// Provider -> number of its sources with errors.
    pub broken_sources: BTreeMap<String, usize>,
    /// Scheduled configs that hold secrets -> the same with handles in their places, for people.
    pub encrypted: BTreeMap<ConfigKey, Arc<CheckConfig>>,
    /// Digest -> config in unresolved form, of all active configs.
    pub unresolved: BTreeMap<String, Arc<CheckConfig>>,
}

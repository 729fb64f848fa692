//! What discovery found and what it could not use: the content of `configcheck`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::config::CheckConfig;
use crate::domain::yaml::Position;

/// Why a source of configs is not used: a mistake of its author, which stops nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Integration name the config would have had.
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
    /// The source that configs from there would name.
    #[must_use]
    pub fn source(&self, provider: &str) -> String {
        format!("{provider}:{}", self.origin)
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
    /// Integration name -> why its file or annotation is not used, with file, line and column where known.
    pub config_errors: BTreeMap<String, String>,
    /// Digest -> config in unresolved form, of all active configs.
    pub unresolved: BTreeMap<String, Arc<CheckConfig>>,
}

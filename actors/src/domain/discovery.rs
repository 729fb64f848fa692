//! What discovery found and what it could not use: the content of `configcheck`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::config::CheckConfig;

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

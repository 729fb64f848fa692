//! What providers report beside their configs.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use crate::domain::discovery::{ConfigError, DiscoveryReport};

/// Most errors of one message that are logged one by one.
const LOGGED_ERRORS: usize = 10;

/// Mistakes and oddities by provider.
#[derive(Default)]
pub(super) struct Remarks {
    /// Provider -> source -> its mistakes; sources without any are left out.
    errors: BTreeMap<&'static str, BTreeMap<String, Vec<ConfigError>>>,
    /// Provider -> integration -> what is odd.
    warnings: BTreeMap<&'static str, BTreeMap<String, Vec<String>>>,
}

impl Remarks {
    /// Replaces the mistakes of some sources and logs what is new and what is over. `reset`: the provider has no other source.
    pub(super) fn replace_errors(&mut self, provider: &'static str, reset: bool, changes: Vec<(String, Vec<ConfigError>)>) {
        let sources = self.errors.entry(provider).or_default();
        let mut before: Vec<ConfigError> = Vec::new();
        if reset {
            before.extend(std::mem::take(sources).into_values().flatten());
        }
        let mut now: Vec<ConfigError> = Vec::new();
        for (source, errors) in changes {
            before.extend(sources.remove(&source).unwrap_or_default());
            now.extend(errors.iter().cloned());
            if !errors.is_empty() {
                sources.insert(source, errors);
            }
        }
        log(provider, &before, &now);
    }

    /// Replaces what is odd about sources of a provider.
    pub(super) fn replace_warnings(&mut self, provider: &'static str, warnings: BTreeMap<String, Vec<String>>) {
        self.warnings.insert(provider, warnings);
    }

    /// Number of mistakes.
    pub(super) fn error_count(&self) -> usize {
        self.errors.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// Sources that exist and cannot be used now, as configs name them.
    pub(super) fn broken(&self) -> BTreeSet<String> {
        let of_provider = |(provider, sources): (&&'static str, &BTreeMap<String, Vec<ConfigError>>)| {
            sources.values().flatten().map(|error| error.source(provider)).collect::<Vec<_>>()
        };
        self.errors.iter().flat_map(of_provider).collect()
    }

    /// Adds everything to a report.
    pub(super) fn add_to(&self, report: &mut DiscoveryReport) {
        for (provider, sources) in &self.errors {
            let origins: BTreeSet<&str> = sources.values().flatten().map(|error| error.origin.as_str()).collect();
            report.broken_sources.insert((*provider).to_owned(), origins.len());
            for error in sources.values().flatten() {
                add_error(report, error.shown_name(), &error.to_string());
            }
        }
        for (name, warnings) in self.warnings.values().flatten() {
            report.resolve_warnings.entry(name.clone()).or_default().extend(warnings.iter().cloned());
        }
    }
}

/// Several sources may bear one name; none hides the error of another (autodiscovery 4.1).
pub(super) fn add_error(report: &mut DiscoveryReport, name: &str, error: &str) {
    let text = report.config_errors.entry(name.to_owned()).or_default();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(error);
}

/// Logs what is wrong since before, and what no longer is.
fn log(provider: &'static str, before: &[ConfigError], now: &[ConfigError]) {
    let new: Vec<&ConfigError> = now.iter().filter(|error| !before.contains(error)).collect();
    for error in new.iter().take(LOGGED_ERRORS) {
        warn!(provider, integration = error.integration, %error, "check configuration not used");
    }
    if new.len() > LOGGED_ERRORS {
        warn!(provider, more = new.len() - LOGGED_ERRORS, "further check configurations not used, `configcheck` lists them");
    }
    let origins: BTreeSet<&str> = now.iter().map(|error| error.origin.as_str()).collect();
    let over: Vec<&ConfigError> = before.iter().filter(|error| !origins.contains(error.origin.as_str())).collect();
    for error in over.iter().take(LOGGED_ERRORS) {
        info!(provider, integration = error.integration, origin = error.origin, "check configuration is in order again, or gone");
    }
    if over.len() > LOGGED_ERRORS {
        info!(provider, more = over.len() - LOGGED_ERRORS, "further check configurations are in order again, or gone");
    }
}

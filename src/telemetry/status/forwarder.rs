//! What was sent where, and what became of it: `forwarderStats`, with stock's keys where stock has the same figures.

use std::collections::BTreeMap;

use muster_actors::domain::delivery::KeyState;
use muster_actors::messages::output::OutputStats;
use serde::Serialize;

use crate::telemetry::destination::Destination;

/// Counters of all destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ForwarderStatus {
    /// `API key ending with bcdef` -> whether the intake takes it.
    #[serde(rename = "APIKeyStatus")]
    pub api_keys: BTreeMap<String, &'static str>,
    /// Requests to intakes, all together.
    pub transactions: Transactions,
    /// Each destination. Ours.
    pub outputs: Vec<OutputStats>,
}

/// Requests to intakes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Transactions {
    /// Payloads accepted.
    pub success: u64,
    /// The same by telemetry name of the route.
    pub success_by_endpoint: BTreeMap<String, u64>,
    /// Payloads lost.
    pub dropped: u64,
    /// The same by route.
    pub dropped_by_endpoint: BTreeMap<String, u64>,
    /// Attempts that will be repeated.
    pub retried: u64,
    /// Payloads that wait.
    pub retry_queue_size: u64,
    /// Failed attempts.
    pub errors: u64,
    /// The same by class.
    pub errors_by_type: BTreeMap<String, u64>,
    /// Answers of 400 or more.
    #[serde(rename = "HTTPErrors")]
    pub http_errors: u64,
    /// The same by status.
    #[serde(rename = "HTTPErrorsByCode")]
    pub http_errors_by_code: BTreeMap<String, u64>,
}

impl ForwarderStatus {
    /// Sums the destinations up.
    #[must_use]
    pub fn of(outputs: Vec<OutputStats>) -> Self {
        let mut status = Self::default();
        for (stats, destination) in outputs.iter().zip(Destination::of_all(&outputs)) {
            // Only intakes have keys, and transactions; lines on stdout are none.
            if let Some(ending) = &stats.key_ending {
                let stock = format!("API key ending with {ending}");
                // Stock's text, unless it is taken: one key may be valid at one intake and not at another.
                let name = if status.api_keys.contains_key(&stock) { destination.label() } else { stock };
                status.api_keys.insert(name, key_text(stats.key_state));
                status.transactions.add(stats);
            }
        }
        Self { outputs, ..status }
    }

    /// Address -> last characters of its keys.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<String, Vec<String>> {
        let mut endpoints: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for stats in &self.outputs {
            if let Some(ending) = &stats.key_ending {
                endpoints.entry(stats.destination.clone()).or_default().push(ending.clone());
            }
        }
        endpoints
    }
}

impl Transactions {
    fn add(&mut self, stats: &OutputStats) {
        self.retried += stats.retries;
        self.retry_queue_size += stats.queued.payloads;
        for (endpoint, route) in &stats.routes {
            self.success += route.success;
            self.dropped += route.dropped;
            count(&mut self.success_by_endpoint, endpoint, route.success);
            count(&mut self.dropped_by_endpoint, endpoint, route.dropped);
            for (kind, errors) in &route.errors {
                self.errors += errors;
                count(&mut self.errors_by_type, kind.as_str(), *errors);
            }
            for (code, errors) in &route.http_errors {
                self.http_errors += errors;
                count(&mut self.http_errors_by_code, &code.to_string(), *errors);
            }
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, number: u64) {
    if number > 0 {
        *counts.entry(name.to_owned()).or_default() += number;
    }
}

fn key_text(state: KeyState) -> &'static str {
    match state {
        KeyState::NotChecked => "API Key not checked yet",
        KeyState::Valid => "API Key valid",
        KeyState::Invalid => "API Key invalid",
        KeyState::Unknown => "Unable to validate API Key",
    }
}

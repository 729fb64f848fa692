//! Outputs against real servers on this machine: what arrives, and what happens when nothing good comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod actor;
mod answers;
mod connections;
mod faults;
mod keys;
mod logs;
mod proxies;
mod python;
mod server;
mod wire;

use std::time::Duration;

use muster::config::ApiKey;
use muster::config::settings::IntakeSettings;
use muster::output::datadog::DatadogTransport;
use muster_actors::domain::samples::{Batch, CheckRun, Event, Series, SeriesKind, ServiceStatus};
use tokio::runtime::Handle;

/// The key of all tests: it must never show up anywhere but in its header.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Catches hangs; no test depends on how long something takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn install_crypto() {
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// A transport to an intake that sends on the runtime of the test.
pub(crate) fn transport(settings: &IntakeSettings, url: &str) -> DatadogTransport {
    install_crypto();
    DatadogTransport::try_new(settings, Some(url), ApiKey::new(KEY), Handle::current()).unwrap()
}

/// One item of every kind but sketches.
pub(crate) fn batch() -> Batch {
    Batch {
        series: vec![Series {
            name: "network.http.can_connect".to_owned(),
            points: vec![(1_700_000_000, 1.0)],
            tags: vec!["url:http://a/".to_owned(), "instance:a".to_owned()],
            host: "node-1".to_owned(),
            kind: SeriesKind::Gauge,
            interval: 0,
            source_type_name: "System".to_owned(),
            no_index: false,
        }],
        sketches: vec![],
        check_runs: vec![CheckRun {
            name: "http.can_connect".to_owned(),
            host: "node-1".to_owned(),
            timestamp: 1_700_000_000,
            status: ServiceStatus::Ok,
            message: String::new(),
            tags: vec!["a:b".to_owned()],
        }],
        events: vec![Event { title: "t".to_owned(), timestamp: 1_700_000_000, host: "node-1".to_owned(), ..Event::default() }],
        metadata: vec![],
    }
}

/// Only the service check of [`batch`].
pub(crate) fn one_check_run() -> Batch {
    Batch { check_runs: batch().check_runs, ..Batch::default() }
}

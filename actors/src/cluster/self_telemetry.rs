//! What a replica reports about itself: that it started, that it runs. Source: cluster-agent-kubernetes 6.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context};
use serde_json::json;

use crate::domain::samples::{Batch, CheckRun, Event, Series, SeriesKind, ServiceStatus};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::Commit;
use crate::supervised;

/// Source type of what is about the replica itself.
const SYSTEM: &str = "System";

/// Interval that the count of starts is reported with, as stock does.
///
/// Units: seconds.
const COUNT_INTERVAL: i64 = 10;

/// What [`SelfTelemetry`] needs.
#[derive(Clone)]
pub struct SelfTelemetryParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The aggregator.
    pub commits: Outlet<Commit>,
    /// Time between two reports, that of the aggregator's flushes: each flush carries one.
    pub flush_interval: Duration,
    /// Version that the intake is told, for example `7.81.1`.
    pub version: String,
    /// Host name of this replica; may be empty.
    pub hostname: String,
    /// Whether this process has reported its start. Shared by all incarnations of the actor: a restart of it is none of the process.
    pub start_told: Arc<AtomicBool>,
}

/// Reports the start of the process once, and with every flush that it runs. Every replica does, whether it leads or not.
pub struct SelfTelemetry {
    parts: SelfTelemetryParts,
    reports: u64,
}

impl SelfTelemetry {
    /// Has reported nothing yet.
    #[must_use]
    pub fn new(parts: SelfTelemetryParts) -> Self {
        Self { parts, reports: 0 }
    }

    fn tell_start(&self) {
        if self.parts.start_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let parts = &self.parts;
        let started = Series {
            interval: COUNT_INTERVAL,
            source_type_name: String::new(),
            ..self.series("datadog.cluster_agent.started", SeriesKind::Count, 1.0, vec![self.version_tag()])
        };
        let event = Event {
            text: format!("Version {} - Datadog Cluster Agent", parts.version),
            timestamp: parts.clock.unix_seconds(),
            host: parts.hostname.clone(),
            source_type_name: SYSTEM.to_owned(),
            event_type: "Agent Startup".to_owned(),
            ..Event::default()
        };
        parts.commits.post(Commit { batch: Batch { series: vec![started], events: vec![event], ..Batch::default() } });
    }

    fn tell_running(&mut self) {
        let parts = &self.parts;
        let running = self.series("datadog.cluster_agent.running", SeriesKind::Gauge, 1.0, vec![self.version_tag()]);
        let name = "n_o_i_n_d_e_x.datadog.cluster_agent.payload.dropped";
        let dropped = Series { no_index: true, ..self.series(name, SeriesKind::Gauge, 0.0, Vec::new()) };
        let up = CheckRun {
            name: "datadog.cluster_agent.up".to_owned(),
            host: parts.hostname.clone(),
            timestamp: parts.clock.unix_seconds(),
            status: ServiceStatus::Ok,
            message: String::new(),
            tags: Vec::new(),
        };
        parts.commits.post(Commit { batch: Batch { series: vec![running, dropped], check_runs: vec![up], ..Batch::default() } });
        self.reports += 1;
    }

    fn series(&self, name: &str, kind: SeriesKind, value: f64, tags: Vec<String>) -> Series {
        Series {
            name: name.to_owned(),
            points: vec![(self.parts.clock.unix_seconds(), value)],
            tags,
            host: self.parts.hostname.clone(),
            kind,
            interval: 0,
            source_type_name: SYSTEM.to_owned(),
            no_index: false,
        }
    }

    fn version_tag(&self) -> String {
        format!("version:{}", self.parts.version)
    }
}

impl Actor for SelfTelemetry {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.tell_start();
        self.tell_running();
        context.run_interval(self.parts.flush_interval, |actor, _| actor.tell_running());
    }
}

supervised!(SelfTelemetry);

impl Observed for SelfTelemetry {
    fn observe(&self) -> serde_json::Value {
        json!({ "reports": self.reports, "start_told": self.parts.start_told.load(Ordering::Relaxed) })
    }
}

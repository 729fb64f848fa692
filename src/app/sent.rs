//! What the cluster role says about what it sends: sections of the status, metrics.

use std::sync::Arc;

use muster_actors::kernel::published::Publisher;
use muster_actors::messages::aggregator::AggregatorStats;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, EventForwarderStats};

use crate::app::host::Host;
use crate::telemetry::sources;
use crate::telemetry::status::{AggregatorStatus, ControlPlaneStatus, EventsStatus, ForwarderStatus, StatusDocument};

/// What is published about what this role sends. Made first, so that the port can answer before anything runs.
pub(super) struct Sent {
    /// Name of this host, as soon as it is known.
    pub(super) hostname: Publisher<String>,
    /// The outputs, as soon as they run.
    outputs: Publisher<Option<FillForwarder>>,
    /// What was gathered.
    pub(super) aggregator: Arc<Publisher<AggregatorStats>>,
    /// How events are forwarded.
    pub(super) events: Arc<Publisher<EventForwarderStats>>,
    /// How the control plane is.
    pub(super) control_plane: Arc<Publisher<ControlPlaneProbeStats>>,
}

/// Reads what the outputs publish.
type FillForwarder = Box<dyn Fn() -> ForwarderStatus + Send + Sync>;

impl Default for Sent {
    fn default() -> Self {
        Self {
            hostname: Publisher::new(String::new()),
            outputs: Publisher::new(None),
            aggregator: Arc::new(Publisher::new(AggregatorStats::default())),
            events: Arc::new(Publisher::new(EventForwarderStats::default())),
            control_plane: Arc::new(Publisher::new(ControlPlaneProbeStats::default())),
        }
    }
}

impl Sent {
    /// From now on the status shows what these outputs publish.
    pub(super) fn show_outputs(&self, status: impl Fn() -> ForwarderStatus + Send + Sync + 'static) {
        self.outputs.publish(Some(Box::new(status) as FillForwarder));
    }

    /// Fills the sections of the status.
    pub(super) fn fill_status(&self, stand_alone: bool) -> impl Fn(&mut StatusDocument) + Send + Sync + use<> {
        let (hostname, outputs, aggregator) = (self.hostname.reader(), self.outputs.reader(), self.aggregator.reader());
        let (events, control_plane) = (self.events.reader(), self.control_plane.reader());
        move |document| {
            document.name_host(&hostname.peek());
            if let Some(forwarder) = outputs.current().as_ref() {
                let forwarder = forwarder();
                document.endpoints = forwarder.endpoints();
                document.forwarder = Some(forwarder);
                document.aggregator = Some(AggregatorStatus::of(&aggregator.peek()));
            }
            document.events = (!stand_alone).then(|| EventsStatus((*events.current()).clone()));
            document.control_plane = (!stand_alone).then(|| ControlPlaneStatus((*control_plane.current()).clone()));
        }
    }

    /// Registers the source of the metrics.
    pub(super) fn add_metrics(&self, host: &Host) {
        let events = self.events.reader();
        host.metrics.add_source(move |scrape| sources::forwarded_events(&events.peek(), scrape));
    }
}

//! What the cluster role says about what it sends: sections of the status, metrics.

use std::sync::Arc;

use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::kube::apiserver_check::CHECK_NAME;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::messages::aggregator::AggregatorStats;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, Duty, EventForwarderStats};

use crate::app::host::Host;
use crate::config::ClusterSettings;
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

    /// Fills the sections of the status. `settings` and what was discovered tell what nobody does in stand-alone mode.
    pub(super) fn fill_status(
        &self,
        settings: &ClusterSettings,
        discovered: Reader<DiscoveryReport>,
    ) -> impl Fn(&mut StatusDocument) + Send + Sync + use<> {
        let (stand_alone, asked) = (settings.stand_alone, settings.kubernetes.events.collect);
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
            if stand_alone {
                let config_remarks = nobody_collects(asked, &discovered.peek());
                let stats = EventForwarderStats { duty: Duty::Off, config_remarks, ..EventForwarderStats::default() };
                document.events = (!stats.config_remarks.is_empty()).then_some(EventsStatus(stats));
            } else {
                document.events = Some(EventsStatus((*events.current()).clone()));
                document.control_plane = Some(ControlPlaneStatus((*control_plane.current()).clone()));
            }
        }
    }

    /// Registers the source of the metrics.
    pub(super) fn add_metrics(&self, host: &Host) {
        let events = self.events.reader();
        host.metrics.add_source(move |scrape| sources::forwarded_events(&events.peek(), scrape));
    }
}

/// What was asked of an API server although this cluster role has none. `asked`: `collect_kubernetes_events`.
pub(super) fn nobody_collects(asked: bool, discovered: &DiscoveryReport) -> Vec<String> {
    let mut problems = Vec::new();
    if asked {
        problems.push(
            "collect_kubernetes_events is true, but without Kubernetes no events are collected: set it to false, or run this role in \
             Kubernetes and without muster.standalone"
                .to_owned(),
        );
    }
    let configs = discovered.configs.iter().filter(|config| config.name == CHECK_NAME && !config.cluster_check);
    problems.extend(configs.map(|config| {
        format!(
            "{CHECK_NAME} of {} is not run without Kubernetes: remove it, or let an agent run it that reaches an API server, by \
             cluster_check: true and, in its instance, skip_leader_election: true",
            config.source
        )
    }));
    problems
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_actors::domain::config::CheckConfig;

    use super::*;

    #[test]
    fn what_nobody_collects_without_kubernetes_is_named_with_its_mend() {
        let config = |name: &str, cluster_check| {
            let (name, source) = (name.to_owned(), "file:/a.yaml".to_owned());
            Arc::new(CheckConfig { name, source, cluster_check, ..CheckConfig::default() })
        };
        let report = |configs| DiscoveryReport { configs, ..DiscoveryReport::default() };
        assert!(nobody_collects(false, &report(vec![config("http_check", false), config(CHECK_NAME, true)])).is_empty());
        let told = nobody_collects(true, &report(vec![config(CHECK_NAME, false)]));
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("collect_kubernetes_events is true") && told[0].contains("set it to false"), "{told:?}");
        assert!(
            told[1].starts_with("kubernetes_apiserver of file:/a.yaml is not run") && told[1].contains("skip_leader_election"),
            "{told:?}"
        );
    }
}

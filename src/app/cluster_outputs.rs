//! What the cluster role sends itself: events, the control plane, and that it runs. Started last, ended first.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use muster_actors::cluster::metadata_reporter::{MetadataReporter, MetadataReporterParts};
use muster_actors::cluster::self_telemetry::{SelfTelemetry, SelfTelemetryParts};
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::messages::aggregator::FlushNow;
use muster_actors::messages::output::Enqueue;
use muster_actors::shared::aggregator::{Aggregator, AggregatorPolicy};
use muster_actors::shared::event_forwarder::EventForwarder;
use muster_actors::shared::resolver::DiscoverySubscriber;
use tracing::warn;

use crate::app::api_server::{AtApiServer, finish_events};
use crate::app::cluster_api::{ClusterActors, Published};
use crate::app::host::Host;
use crate::app::kubernetes::Kubernetes;
use crate::app::outputs::Outputs;
use crate::config::ClusterSettings;
use crate::kube::facts::ClusterFacts;
use crate::output::metadata::{Moment, Origin, document};
use crate::output::settings::OutputSettings;

/// Time that the aggregator has to hand over what it has.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// What sends, and whom to ask when it ends.
pub(super) struct ClusterOutputs {
    outputs: Outputs,
    aggregator: Handle<Aggregator>,
    /// Where events are forwarded.
    events: Option<Handle<EventForwarder>>,
    stop_timeout: Duration,
}

impl ClusterOutputs {
    /// Starts outputs and aggregator, and where there is somebody to send to what they get. Returns whom discovery has to tell.
    ///
    /// Errors: settings of the outputs that cannot work.
    pub(super) fn start(
        host: &Host,
        settings: &ClusterSettings,
        (published, actors): (&Published, &ClusterActors),
        cluster: Option<(&Kubernetes, &ClusterFacts)>,
    ) -> anyhow::Result<(Self, Vec<DiscoverySubscriber>)> {
        let outputs = Outputs::start(host, &OutputSettings::for_cluster(settings))?;
        published.sent.show_outputs(outputs.status());
        let group = host.kernel.one_for_one("reporting", None);
        let cluster_name = cluster.map_or(&settings.cluster_name, |(_, facts)| &facts.name);
        let tags = settings.sent_tags(cluster_name);
        let policy = AggregatorPolicy { flush_interval: settings.flush_interval, global_tags: Some(tags.clone()) };
        let outlets = outputs.outlets();
        let stats = Arc::clone(&published.sent.aggregator);
        let make_aggregator = move || Aggregator::new(policy.clone(), outlets.clone()).publishing(Arc::clone(&stats));
        group.child(&actors.aggregator, STATE_OWNER_CAPACITY, make_aggregator);
        let stop_timeout = settings.intake.forwarder.stop_timeout;
        let mut started = Self { outputs, aggregator: actors.aggregator.clone(), events: None, stop_timeout };
        if started.outputs.outlets().is_empty() {
            // Events that nobody gets must not count as forwarded.
            return Ok((started, Vec::new()));
        }
        if settings.metadata {
            let parts = metadata(host, settings, published, cluster_name, started.outputs.outlets());
            group.child(&actors.metadata_reporter, STATE_OWNER_CAPACITY, move || MetadataReporter::new(parts.clone()));
        }
        let telemetry = self_telemetry(host, settings, actors);
        group.child(&actors.self_telemetry, STATE_OWNER_CAPACITY, move || SelfTelemetry::new(telemetry.clone()));
        let Some((kubernetes, facts)) = cluster else { return Ok((started, Vec::new())) };

        let (events, probe) = (&actors.event_forwarder, &actors.control_plane_probe);
        let at = AtApiServer {
            host,
            api: kubernetes.api(),
            events: &settings.kubernetes.events,
            namespace: kubernetes.resources_namespace(),
            cluster_name: &facts.name,
            global_tags: tags,
            hostname: &settings.common.hostname,
            server_version: facts.version.clone(),
            leadership: published.leadership.reader(),
            outputs: started.outputs.outlets(),
            aggregator: actors.aggregator.outlet(),
            replay: Some(actors.resolver.outlet()),
            published_events: &published.sent.events,
            published_control_plane: &published.sent.control_plane,
        };
        at.start(&group, events, probe);
        started.events = Some(events.clone());
        Ok((started, vec![DiscoverySubscriber::of(events), DiscoverySubscriber::of(probe)]))
    }

    /// Reads nothing more, sends what is there as far as the time allows, and stores how far events are safe: while this replica still
    /// leads, so that the next leader begins after them.
    pub(super) async fn finish(&self) {
        let finishing = async {
            if let Some(events) = &self.events {
                finish_events(events, self.stop_timeout).await;
            }
        };
        let draining = async {
            if let Err(error) = self.aggregator.ask(FlushNow, FLUSH_LIMIT).await {
                warn!(%error, "what was gathered last is not sent");
            }
            self.outputs.drain(self.stop_timeout).await;
        };
        // In this order: what waits for the outputs is settled by their end.
        futures_util::future::join(finishing, draining).await;
    }
}

fn self_telemetry(host: &Host, settings: &ClusterSettings, actors: &ClusterActors) -> SelfTelemetryParts {
    SelfTelemetryParts {
        clock: Arc::clone(&host.clock),
        commits: actors.aggregator.outlet(),
        flush_interval: settings.flush_interval,
        version: settings.common.compat_version.clone(),
        hostname: settings.common.hostname.clone(),
        start_told: Arc::new(AtomicBool::new(false)),
    }
}

/// What the reports about this replica are made of; the time of the call is that of its start.
fn metadata(
    host: &Host,
    settings: &ClusterSettings,
    published: &Published,
    cluster_name: &str,
    outputs: Vec<Outlet<Enqueue>>,
) -> MetadataReporterParts {
    let folder = settings.common.paths.config_file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let (origin, started_unix_nanos) = (Origin::read(folder), host.clock.unix_nanos());
    let (clock, settings, runtime, cluster_name) =
        (Arc::clone(&host.clock), settings.clone(), host.runtime.clone(), cluster_name.to_owned());
    let (leadership, served, cluster_id) = (published.leadership.reader(), published.served.reader(), published.cluster_id.reader());
    let describe = move || {
        let moment = Moment {
            started_unix_nanos,
            now_unix_nanos: clock.unix_nanos(),
            cluster_name: &cluster_name,
            cluster_id: &cluster_id.peek(),
            leads: leadership.peek().leads(clock.monotonic()),
            table: &served.peek(),
        };
        document(&settings, &runtime, &origin, &moment)
    };
    MetadataReporterParts { outputs, describe: Arc::new(describe) }
}

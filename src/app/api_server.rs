//! The way to the API server, and the actors that work there on either role.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::domain::lease::Leadership;
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::supervisor::Group;
use muster_actors::messages::aggregator::Commit;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, EventForwarderStats, FinishRound};
use muster_actors::messages::output::Enqueue;
use muster_actors::messages::resolver::ReplayDiscovery;
use muster_actors::shared::control_plane_probe::{ControlPlaneProbe, ControlPlaneProbeParts};
use muster_actors::shared::event_forwarder::EventForwarder;
use muster_actors::shared::event_forwarder::parts::EventForwarderParts;
use tracing::warn;

use crate::app::carrier::Carrier;
use crate::app::host::Host;
use crate::config::settings::{ApiServerSettings, EventSettings};
use crate::kube::client::{Connection, connect};
use crate::kube::control_plane::KubeControlPlane;
use crate::kube::event_token::ConfigMapTokens;
use crate::kube::events::KubeEvents;

/// Time for storing the token, after all that was sent is settled.
const TOKEN_LIMIT: Duration = Duration::from_secs(3);

/// The way to the API server.
pub(super) struct ApiServer {
    /// Carries everything that is received from and sent to it.
    pub(super) carrier: Carrier,
    /// The client.
    pub(super) connection: Connection,
    /// Longest time of a request.
    limit: Duration,
}

impl ApiServer {
    /// Prepares the way; nothing is asked yet.
    ///
    /// Errors: no usable kubeconfig or pod environment, or no thread.
    pub(super) async fn connect(settings: &ApiServerSettings) -> anyhow::Result<Self> {
        let carrier = Carrier::start("kubernetes", 1)?;
        let (settings, limit) = (settings.clone(), settings.timeout);
        let connection = carrier.handle.spawn(async move { connect(&settings).await }).await.context("connect to Kubernetes")??;
        Ok(Self { carrier, connection, limit })
    }
}

/// What the actors that work at the API server are made of.
pub(super) struct AtApiServer<'a> {
    pub(super) host: &'a Host,
    pub(super) api: &'a ApiServer,
    pub(super) events: &'a EventSettings,
    /// Namespace of the token.
    pub(super) namespace: &'a str,
    /// Name of the cluster; empty = not known.
    pub(super) cluster_name: &'a str,
    /// Tags that every event gets.
    pub(super) global_tags: Vec<String>,
    /// Host of what has none of its own.
    pub(super) hostname: &'a str,
    pub(super) server_version: Option<ServerVersion>,
    pub(super) leadership: Reader<Leadership>,
    pub(super) outputs: Vec<Outlet<Enqueue>>,
    pub(super) aggregator: Outlet<Commit>,
    /// Who knows the configs of the check, if it can be asked.
    pub(super) replay: Option<Outlet<ReplayDiscovery>>,
    pub(super) published_events: &'a Arc<Publisher<EventForwarderStats>>,
    pub(super) published_control_plane: &'a Arc<Publisher<ControlPlaneProbeStats>>,
}

impl AtApiServer<'_> {
    /// Starts them.
    pub(super) fn start(self, group: &Group, forwarder: &Handle<EventForwarder>, probe: &Handle<ControlPlaneProbe>) {
        let Connection { client, .. } = &self.api.connection;
        let (runtime, limit) = (&self.api.carrier.handle, self.api.limit);
        let parts = EventForwarderParts {
            clock: Arc::clone(&self.host.clock),
            leadership: self.leadership.clone(),
            source: Arc::new(KubeEvents { client: client.clone(), runtime: runtime.clone(), limit }),
            tokens: Arc::new(ConfigMapTokens::new(client.clone(), self.namespace, &self.events.token_name, runtime.clone())),
            outputs: self.outputs,
            settled: forwarder.outlet(),
            aggregator: self.aggregator.clone(),
            replay: self.replay.clone(),
            defaults: self.events.defaults(),
            source_detection: self.events.source_detection,
            cluster_name: self.cluster_name.to_owned(),
            global_tags: self.global_tags,
            hostname: self.hostname.to_owned(),
            published: Arc::clone(self.published_events),
        };
        group.child(forwarder, STATE_OWNER_CAPACITY, move || EventForwarder::new(parts.clone()));
        let parts = ControlPlaneProbeParts {
            clock: Arc::clone(&self.host.clock),
            leadership: self.leadership,
            control_plane: Arc::new(KubeControlPlane::new(client.clone(), runtime.clone(), limit)),
            server_version: self.server_version,
            aggregator: self.aggregator,
            replay: self.replay,
            defaults: self.events.defaults(),
            hostname: self.hostname.to_owned(),
            published: Arc::clone(self.published_control_plane),
        };
        group.child(probe, STATE_OWNER_CAPACITY, move || ControlPlaneProbe::new(parts.clone()));
    }
}

/// Lets nothing more be read, and what the outputs have be settled and its token stored. `outputs_end_in`: until then the outputs know.
pub(super) async fn finish_events(forwarder: &Handle<EventForwarder>, outputs_end_in: Duration) {
    if let Err(error) = forwarder.ask(FinishRound, outputs_end_in + TOKEN_LIMIT).await {
        warn!(%error, "events that were sent last may be sent again by whoever goes on");
    }
}

//! What the check `kubernetes_apiserver` needs of a node: the way to the API server, made when the first instance asks for it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_actors::domain::lease::Leadership;
use muster_actors::kernel::mailbox::{Handle, Outlet};
use muster_actors::kernel::published::Publisher;
use muster_actors::messages::aggregator::Commit;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, EventForwarderStats};
use muster_actors::messages::output::Enqueue;
use muster_actors::shared::control_plane_probe::ControlPlaneProbe;
use muster_actors::shared::event_forwarder::EventForwarder;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::app::api_server::{ApiServer, AtApiServer, finish_events};
use crate::app::host::Host;
use crate::checks::{ApiserverLink, Reached};
use crate::config::NodeSettings;
use crate::config::settings::ApiserverCheckSettings;
use crate::errors;
use crate::kube::client::version_if_told;
use crate::kube::facts::name_of_cluster;
use crate::telemetry::sources;
use crate::telemetry::status::{ControlPlaneStatus, EventsStatus, StatusDocument};

/// Longest time that is spent on the name of the cluster. Why: a run of the check waits for it, and says what is wrong.
const NAME_LIMIT: Duration = Duration::from_secs(60);

/// The room of the actors that work at the API server. Empty, and without a word, on a node where no instance asks for them.
pub(super) struct NodeApiserver {
    settings: ApiserverCheckSettings,
    hostname: String,
    events: Handle<EventForwarder>,
    probe: Handle<ControlPlaneProbe>,
    published_events: Arc<Publisher<EventForwarderStats>>,
    published_control_plane: Arc<Publisher<ControlPlaneProbeStats>>,
    wanted: Arc<Notify>,
    reached: watch::Sender<Reached>,
    /// There as long as the role, once it is reached.
    api: OnceCell<ApiServer>,
}

impl NodeApiserver {
    /// An empty room.
    pub(super) fn new(settings: &NodeSettings) -> Self {
        Self {
            settings: settings.apiserver_check.clone(),
            hostname: settings.common.hostname.clone(),
            events: Handle::new("EventForwarder"),
            probe: Handle::new("ControlPlaneProbe"),
            published_events: Arc::new(Publisher::new(EventForwarderStats::default())),
            published_control_plane: Arc::new(Publisher::new(ControlPlaneProbeStats::default())),
            wanted: Arc::default(),
            reached: watch::Sender::default(),
            api: OnceCell::new(),
        }
    }

    /// What instances of the check hold on to.
    pub(super) fn link(&self) -> ApiserverLink {
        ApiserverLink {
            behind_cluster_agent: self.settings.behind_cluster_agent,
            defaults: self.settings.events.defaults(),
            wanted: Arc::clone(&self.wanted),
            reached: self.reached.subscribe(),
            workers: vec![self.events.outlet(), self.probe.outlet()],
            events: self.published_events.reader(),
            control_plane: self.published_control_plane.reader(),
        }
    }

    /// Waits until somebody needs the API server, and starts the actors as soon as it answers; another attempt is made when a run asks
    /// again. Never ends. Source: cluster-agent-kubernetes 3.2, step 3.
    pub(super) async fn serve(&self, host: &Host, outputs: Vec<Outlet<Enqueue>>, commits: Outlet<Commit>) {
        loop {
            self.wanted.notified().await;
            match self.open(host, outputs.clone(), commits.clone()).await {
                Ok(()) => break,
                Err(error) => {
                    // The run tells it, and so does the status of the check.
                    self.reached.send_replace(Reached::Failed(errors::chain(error.as_ref())));
                }
            }
        }
        self.reached.send_replace(Reached::Yes);
        std::future::pending::<()>().await;
    }

    async fn open(&self, host: &Host, outputs: Vec<Outlet<Enqueue>>, commits: Outlet<Commit>) -> anyhow::Result<()> {
        let settings = &self.settings;
        let api = ApiServer::connect(&settings.api_server).await?;
        let server_version = version_if_told(&api.connection.client).await.context("reach the API server")?;
        if let Some(name) = &settings.invalid_cluster_name {
            warn!(found = name, "cluster_name is not valid and not used");
        }
        let name = name_of_cluster(&api.connection.client, &settings.cluster_name, settings.cluster_name_label.as_deref());
        let cluster_name = tokio::time::timeout(NAME_LIMIT, name).await.context("read the labels of nodes for the name of the cluster")?;
        let namespace = settings.resources_namespace.as_deref().unwrap_or(&api.connection.namespace).to_owned();
        info!(namespace, cluster_name, "this node works at the API server, for the check kubernetes_apiserver");
        let api = self.api.get_or_init(|| api);
        let at = AtApiServer {
            host,
            api,
            events: &settings.events,
            namespace: &namespace,
            cluster_name: &cluster_name,
            // Whoever dispatched the check has put them into its instance.
            global_tags: Vec::new(),
            hostname: &self.hostname,
            server_version,
            // A node never leads; only instances that do without it get here.
            leadership: Publisher::new(Leadership::default()).reader(),
            outputs,
            aggregator: commits,
            // Every run of the check tells its config again.
            replay: None,
            published_events: &self.published_events,
            published_control_plane: &self.published_control_plane,
        };
        at.start(&host.kernel.one_for_one("kubernetes", None), &self.events, &self.probe);
        let events = self.published_events.reader();
        host.metrics.add_source(move |scrape| sources::forwarded_events(&events.peek(), scrape));
        Ok(())
    }

    /// Fills the sections of the status, where there is something to say.
    pub(super) fn fill_status(&self) -> impl Fn(&mut StatusDocument) + Send + Sync + use<> {
        let (reached, events) = (self.reached.subscribe(), self.published_events.reader());
        let control_plane = self.published_control_plane.reader();
        move |document| {
            if *reached.borrow() == Reached::Yes {
                document.events = Some(EventsStatus((*events.current()).clone()));
                document.control_plane = Some(ControlPlaneStatus((*control_plane.current()).clone()));
            }
        }
    }

    /// Stores how far events are safe, at the end. `outputs_end_in`: until then the outputs know.
    pub(super) async fn finish(&self, outputs_end_in: Duration) {
        if self.api.get().is_some() {
            finish_events(&self.events, outputs_end_in).await;
        }
    }
}

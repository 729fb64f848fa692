//! What an `EventForwarder` is made of.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::kube::apiserver_check::ApiserverCheckOptions;
use crate::domain::lease::Leadership;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::{Publisher, Reader};
use crate::messages::aggregator::Commit;
use crate::messages::event_forwarder::EventForwarderStats;
use crate::messages::output::{Enqueue, Settled};
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::{EventSource, EventTokens};

/// Time between two looks at who leads and whether a round is due.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What an [`crate::shared::event_forwarder::EventForwarder`] needs.
#[derive(Clone)]
pub struct EventForwarderParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether this replica leads; else it forwards nothing.
    pub leadership: Reader<Leadership>,
    /// The events, and what belongs to them.
    pub source: Arc<dyn EventSource>,
    /// Where the token is kept.
    pub tokens: Arc<dyn EventTokens>,
    /// Everyone who gets the events.
    pub outputs: Vec<Outlet<Enqueue>>,
    /// The way from the outputs back to this actor: the outlet of its own handle.
    pub settled: Outlet<Settled>,
    /// Who takes the gauge of dropped events.
    pub aggregator: Outlet<Commit>,
    /// Who knows the configs of the check; asked at the start. `None` = whoever knows them tells them again and again.
    pub replay: Option<Outlet<ReplayDiscovery>>,
    /// Options without a config of the check, and of what a config does not say.
    pub defaults: ApiserverCheckOptions,
    /// Whether the source of an event is detected (`kubernetes_events_source_detection.enabled`).
    pub source_detection: bool,
    /// Name of the cluster; empty = not known.
    pub cluster_name: String,
    /// Tags that every event gets.
    pub global_tags: Vec<String>,
    /// Host of what has none of its own: that of this agent.
    pub hostname: String,
    /// Where everybody reads what was forwarded; outlives the actor.
    pub published: Arc<Publisher<EventForwarderStats>>,
}

//! The check `kubernetes_apiserver`: what an instance may say. Source: cluster-agent-kubernetes 3.1.

use std::time::Duration;

/// How events are collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventMode {
    /// Each run reads what is new.
    #[default]
    Poll,
    /// A watch stays open between the runs.
    Watch,
}

/// Which events are forwarded one by one. Source: cluster-agent-kubernetes 3.5, "Match rule".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSelector {
    /// Kind of the involved object; empty = any.
    pub kind: String,
    /// Source component; empty = any.
    pub source: String,
    /// Reasons; none = any.
    pub reasons: Vec<String>,
}

/// What an instance says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiserverCheckOptions {
    /// Whether events are collected.
    pub collect_events: bool,
    /// `limit` of lists and watches.
    pub max_events_per_run: u32,
    /// How long one run reads the watch, in whole seconds.
    pub read_timeout: Duration,
    /// Age after which everything is listed.
    pub resync_period: Duration,
    /// One event per Kubernetes event for selected kinds.
    pub unbundle: bool,
    /// With `unbundle`: bundle what no selector selects.
    pub bundle_unspecified: bool,
    /// Restrict to the built-in allow list.
    pub filtering: bool,
    /// Deny list, in field-selector syntax.
    pub filtered_types: Vec<String>,
    /// What is forwarded one by one.
    pub collected: Vec<EventSelector>,
    /// How events are collected.
    pub mode: EventMode,
    /// Events that a watch may hold between two runs.
    pub buffer_size: usize,
    /// Use ComponentStatus even on Kubernetes 1.35 and later.
    pub use_component_status: bool,
    /// Report quotas of OpenShift.
    pub openshift_quotas: bool,
    /// Run without leading, because the check is dispatched as a cluster check.
    pub skip_leader_election: bool,
    /// Tags of everything the check submits.
    pub tags: Vec<String>,
    /// Time between two runs.
    pub interval: Duration,
}

impl Default for ApiserverCheckOptions {
    fn default() -> Self {
        Self {
            collect_events: false,
            max_events_per_run: 300,
            read_timeout: Duration::from_secs(2),
            resync_period: Duration::from_secs(300),
            unbundle: false,
            bundle_unspecified: false,
            filtering: false,
            filtered_types: Vec::new(),
            collected: Vec::new(),
            mode: EventMode::Poll,
            buffer_size: 10_000,
            use_component_status: true,
            openshift_quotas: true,
            skip_leader_election: false,
            tags: Vec::new(),
            interval: Duration::from_secs(15),
        }
    }
}

//! What the `EventForwarder` and the `ControlPlaneProbe` publish about themselves.

use std::collections::BTreeMap;

use actix::Message;
use serde::Serialize;

use crate::domain::event_token::EventToken;
use crate::domain::kube::event_rules::{Emitted, Received};
use crate::domain::samples::ServiceStatus;

/// Asks the `EventForwarder` to end, because the process does: from now on nothing is read.
///
/// Answered as soon as no round is under way: the token of what the outputs had in safety is stored then, and what they had not is left
/// to whoever leads next.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FinishRound;

/// Whether an actor that works on the leader only works here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Another replica does it, or nobody knows who leads.
    #[default]
    Standby,
    /// This replica would do it, but the options say that nobody does.
    Off,
    /// An agent does it: the check is dispatched as a cluster check.
    Dispatched,
    /// This process does it.
    Active,
}

/// What the `EventForwarder` publishes after every round, for metrics and status. Counters survive a restart of the actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventForwarderStats {
    /// Whether events are forwarded here.
    pub duty: Duty,
    /// Whether a watch stays open between the rounds.
    pub watching: bool,
    /// Whether a round is under way, which may be waiting for outputs.
    pub in_flight: bool,
    /// Rounds that were begun.
    pub rounds: u64,
    /// Rounds of which an output lost something, so that their events were or will be sent again.
    pub repeated: u64,
    /// Events of Kubernetes in rounds that every output has taken (`kubernetes_apiserver_kube_events`).
    /// Source: cluster-agent-kubernetes 3.10.
    #[serde(skip)]
    pub received: BTreeMap<Received, u64>,
    /// Events of Datadog in those rounds (`kubernetes_apiserver_emitted_events`).
    #[serde(skip)]
    pub emitted: BTreeMap<Emitted, u64>,
    /// Events of Datadog in those rounds, all together.
    pub forwarded: u64,
    /// Events lost because the buffer of the watch was full.
    pub dropped: u64,
    /// Everything up to this resource version is safe with the outputs, or was skipped as older than the first token. Empty = not known.
    pub safe_version: String,
    /// When everything was listed last. Units: seconds since the Unix epoch; 0 = not known.
    pub listed_at: i64,
    /// Whether that is stored for the next leader.
    pub saved: bool,
    /// Age of the newest event of the last round that had any, when the outputs had it. Units: seconds.
    pub lag_seconds: Option<i64>,
    /// When the last round ended. Units: seconds since the Unix epoch.
    pub ended_at: Option<i64>,
    /// What does not work now, for example a missing right, by what was to be done.
    pub complaints: BTreeMap<&'static str, String>,
    /// What is odd about the configs of the check.
    pub config_remarks: Vec<String>,
}

impl EventForwarderStats {
    /// The token that this process remembers; `None` if there is none yet.
    #[must_use]
    pub fn remembered(&self) -> Option<EventToken> {
        (!self.safe_version.is_empty()).then(|| EventToken { version: self.safe_version.clone(), listed_at: self.listed_at })
    }
}

/// One service check of the control plane as told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentVerdict {
    /// Name of the service check.
    pub check: String,
    /// State.
    pub status: ServiceStatus,
    /// Message.
    pub message: String,
    /// Tags, which name the component.
    pub tags: Vec<String>,
}

/// What the `ControlPlaneProbe` publishes after every run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ControlPlaneProbeStats {
    /// Whether the control plane is watched here.
    pub duty: Duty,
    /// Runs that ended.
    pub runs: u64,
    /// When the last one ended. Units: seconds since the Unix epoch.
    pub ended_at: Option<i64>,
    /// What the last run said.
    pub components: Vec<ComponentVerdict>,
    /// Series of the last run.
    pub series: u64,
    /// Whether quotas of OpenShift were found; `None` = not asked yet.
    pub openshift: Option<bool>,
    /// What does not work now, by what was to be done. It never stops the rest.
    pub complaints: BTreeMap<&'static str, String>,
    /// What is odd about the configs of the check.
    pub config_remarks: Vec<String>,
}

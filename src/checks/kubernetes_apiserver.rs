//! `kubernetes_apiserver` on a node: events and control plane, dispatched as a cluster check. Source: cluster-agent-kubernetes 3.
//!
//! The work is done by actors that are there once for the whole node. An instance tells them its config with every run, so that they know it
//! after a restart too, and takes it back when it goes; a run reports what they published.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::check_options::OptionError;
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::digest::config_key;
use muster_actors::domain::kube::apiserver_check::{ApiserverCheckOptions, OptionsError, parse};
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::kernel::published::Reader;
use muster_actors::messages::dispatcher::ConfigsDiscovered;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, EventForwarderStats};
use muster_actors::ports::{Check, CheckInstance, LoadError, RunReport};
use muster_actors::shared::event_forwarder::stops_events;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::info;

use crate::errors;

/// Stock's words. Source: cluster-agent-kubernetes 3.2, step 2.
const NO_ELECTION: &str = "Leader Election not enabled. Not running Kubernetes API Server check or collecting Kubernetes Events.";

/// Time that a run waits for an API server that was not asked before.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the API server was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reached {
    /// Nobody knows yet.
    #[default]
    NotYet,
    /// The last attempt failed: why.
    Failed(String),
    /// The actors work.
    Yes,
}

/// What instances need of the node.
#[derive(Clone)]
pub struct ApiserverLink {
    /// A cluster agent does it for this node (`cluster_agent.enabled`).
    pub behind_cluster_agent: bool,
    /// What an instance does not say.
    pub defaults: ApiserverCheckOptions,
    /// Told that the API server is needed.
    pub wanted: Arc<Notify>,
    /// Whether it was reached.
    pub reached: watch::Receiver<Reached>,
    /// The actors, which take configs.
    pub workers: Vec<Outlet<ConfigsDiscovered>>,
    /// What became of events.
    pub events: Reader<EventForwarderStats>,
    /// What the control plane told.
    pub control_plane: Reader<ControlPlaneProbeStats>,
}

impl fmt::Debug for ApiserverLink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ApiserverLink").field("behind_cluster_agent", &self.behind_cluster_agent).finish_non_exhaustive()
    }
}

/// A loaded instance.
pub(crate) struct ApiserverCheck {
    link: ApiserverLink,
    task: Task,
}

/// What a run does.
enum Task {
    /// The work, with this one instance.
    Work(Arc<CheckConfig>),
    /// Nothing, because a cluster agent does it.
    Nothing,
    /// Nobody elects here.
    Refuse,
}

impl ApiserverCheck {
    /// Loads an instance.
    pub(crate) fn load(instance: &CheckInstance, link: &ApiserverLink) -> Result<Self, LoadError> {
        let CheckInstance { config, index, .. } = instance;
        let data = config.instances.get(*index).cloned().unwrap_or_default();
        let options = parse(&data, config.init_config.as_ref(), &link.defaults).map_err(|error| refused(&error, *index))?;
        let task = if options.skip_leader_election {
            Task::Work(Arc::new(CheckConfig { instances: vec![data], ..CheckConfig::clone(config) }))
        } else if link.behind_cluster_agent {
            info!(
                source = config.source,
                "kubernetes_apiserver collects nothing here, the cluster agent does; with skip_leader_election: true this node does it"
            );
            Task::Nothing
        } else {
            Task::Refuse
        };
        Ok(Self { link: link.clone(), task })
    }

    async fn run_once(&mut self) -> RunReport {
        let config = match &self.task {
            Task::Work(config) => Arc::clone(config),
            Task::Nothing => return RunReport::default(),
            Task::Refuse => return RunReport { error: Some(NO_ELECTION.to_owned()), ..RunReport::default() },
        };
        self.link.wanted.notify_one();
        // A time-out is no failure: the next run looks again.
        let _ = timeout(PATIENCE, self.link.reached.wait_for(|reached| *reached != Reached::NotYet)).await;
        let reached = self.link.reached.borrow().clone();
        match reached {
            Reached::Yes => {}
            Reached::Failed(error) => return RunReport { error: Some(error), ..RunReport::default() },
            Reached::NotYet => {
                return RunReport { warnings: vec!["the API server has not answered yet".to_owned()], ..RunReport::default() };
            }
        }
        for worker in &self.link.workers {
            worker.post(ConfigsDiscovered { added: vec![Arc::clone(&config)], removed: Vec::new() });
        }
        report(&self.link.events.current(), &self.link.control_plane.current())
    }
}

impl Check for ApiserverCheck {
    fn run(&mut self) -> BoxFuture<'_, RunReport> {
        self.run_once().boxed()
    }
}

impl Drop for ApiserverCheck {
    fn drop(&mut self) {
        if let Task::Work(config) = &self.task {
            for worker in &self.link.workers {
                worker.post(ConfigsDiscovered { added: Vec::new(), removed: vec![config_key(config)] });
            }
        }
    }
}

/// What the actors say, as that of a run: events that do not arrive are an error, everything else a warning.
///
/// Source: cluster-agent-kubernetes 3.2, steps 4 to 7; 3.4 (a token that is not stored).
fn report(events: &EventForwarderStats, control_plane: &ControlPlaneProbeStats) -> RunReport {
    let text = |(what, why): (&&str, &String)| format!("failed to {what}: {why}");
    let (failures, others): (Vec<_>, Vec<_>) = events.complaints.iter().partition(|(what, _)| stops_events(what));
    let mut warnings = events.config_remarks.clone();
    warnings.extend(others.into_iter().chain(&control_plane.complaints).map(text));
    let error = failures.into_iter().map(text).collect::<Vec<_>>().join("; ");
    RunReport { warnings, error: Some(error).filter(|error| !error.is_empty()), ..RunReport::default() }
}

fn refused(error: &OptionsError, index: usize) -> LoadError {
    match error {
        OptionsError::Option(OptionError { key, found, allowed }) => {
            LoadError::Option { key: key.clone(), found: found.clone(), allowed: allowed.clone() }
        }
        other => LoadError::Unreadable { index, text: errors::chain(other) },
    }
}

#[cfg(test)]
mod tests;

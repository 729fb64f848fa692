//! What the status says about leader election and Kubernetes. Source: cluster-agent-kubernetes 8.3.

use std::sync::Arc;

use muster_actors::domain::kube::informer_status::InformerStatus;
use muster_actors::domain::lease::{Leadership, Role};
use serde::{Deserialize, Serialize};

/// Leader election as stock shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderElectionStatus {
    /// `Running`, `Failing` or `Disabled`.
    pub status: String,
    /// Who leads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub leader_name: String,
    /// Where its API is. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_address: Option<String>,
    /// Changes of the leader so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<u64>,
}

impl LeaderElectionStatus {
    /// There is no election.
    #[must_use]
    pub fn disabled() -> Self {
        Self { status: "Disabled".to_owned(), ..Self::default() }
    }

    /// What is known of the lock.
    #[must_use]
    pub fn of(leadership: &Leadership) -> Self {
        let known = leadership.role != Role::Unknown;
        Self {
            status: if known { "Running" } else { "Failing" }.to_owned(),
            leader_name: leadership.leader.clone(),
            leader_address: leadership.address.clone().filter(|_| known),
            transitions: known.then_some(leadership.epoch.0),
        }
    }

    pub(in crate::telemetry) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("Leader Election Status:  {}", self.status)];
        if self.status == "Failing" {
            lines.push("Error: no leader is known; see the log for what the lock said".to_owned());
        }
        if !self.leader_name.is_empty() {
            lines.push(format!("Leader Name is: {}", self.leader_name));
        }
        lines.extend(self.leader_address.as_ref().map(|address| format!("Leader Address is: {address}")));
        lines.extend(self.transitions.map(|count| format!("Number of leader transitions: {count} transitions")));
        lines
    }
}

/// What is watched, and what hinders it. Ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KubernetesStatus {
    /// By kind of object.
    pub informers: Vec<Arc<InformerStatus>>,
}

impl KubernetesStatus {
    /// What the informers say of themselves.
    #[must_use]
    pub fn of(informers: impl IntoIterator<Item = Arc<InformerStatus>>) -> Self {
        Self { informers: informers.into_iter().collect() }
    }

    pub(in crate::telemetry) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for informer in &self.informers {
            let state = if informer.synced { "complete" } else { "listing" };
            lines.push(format!("{}: {} objects, {state}", informer.kind.resource(), informer.objects));
            if let Some(right) = &informer.forbidden {
                lines.push(format!("  {right}"));
            } else if let Some(error) = informer.last_error.as_ref().filter(|_| informer.failing > 0) {
                lines.push(format!("  failing {} times in a row: {error}", informer.failing));
            }
        }
        if lines.is_empty() {
            lines.push("Nothing is watched yet: waiting for the API server".to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::ids::Epoch;
    use muster_actors::domain::kube::objects::Kind;

    use super::*;

    #[test]
    fn a_lock_that_says_nothing_is_failing_and_not_ours() {
        let status = LeaderElectionStatus::of(&Leadership::default());
        assert_eq!(status.status, "Failing");
        assert!(status.lines()[1].starts_with("Error: "));
        let leader = Leadership { role: Role::Follower, epoch: Epoch(7), leader: "dca-1".to_owned(), ..Leadership::default() };
        assert_eq!(
            LeaderElectionStatus::of(&leader).lines(),
            ["Leader Election Status:  Running", "Leader Name is: dca-1", "Number of leader transitions: 7 transitions"]
        );
    }

    #[test]
    fn a_missing_right_is_shown_with_its_mend() {
        let mut pods = InformerStatus::new(Kind::Pods);
        pods.failed("list", true, "pods is forbidden");
        let lines = KubernetesStatus::of([Arc::new(pods)]).lines();
        assert_eq!(lines[0], "pods: 0 objects, listing");
        assert!(lines[1].contains("list pods is forbidden") && lines[1].contains("verbs:"), "{lines:?}");
    }
}

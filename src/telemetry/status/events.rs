//! What the status says about forwarded events and the control plane. Ours.

use std::collections::BTreeMap;

use muster_actors::domain::samples::ServiceStatus;
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, Duty, EventForwarderStats};
use serde::Serialize;

/// How the events of the cluster are forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventsStatus(pub EventForwarderStats);

impl EventsStatus {
    pub(in crate::telemetry) fn lines(&self) -> Vec<String> {
        let stats = &self.0;
        let mut lines = vec![format!("Status: {}", duty(stats.duty, "Forwarding", "Not collected, see collect_kubernetes_events"))];
        if stats.duty == Duty::Active {
            let version = if stats.safe_version.is_empty() { "none yet" } else { &stats.safe_version };
            let saved = if stats.saved { "" } else { " (not stored yet)" };
            lines.push(format!("Last Token: {version}{saved}"));
        }
        lines.extend(stats.lag_seconds.map(|lag| format!("Lag: {lag} s")));
        lines.push(format!("Events Forwarded: {}", stats.forwarded));
        if stats.repeated > 0 {
            lines.push(format!("Rounds Sent Again: {}", stats.repeated));
        }
        if stats.dropped > 0 {
            lines.push(format!("Events Dropped: {}", stats.dropped));
        }
        problems(&mut lines, &stats.complaints, &stats.config_remarks);
        lines
    }
}

/// How the control plane is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ControlPlaneStatus(pub ControlPlaneProbeStats);

impl ControlPlaneStatus {
    pub(in crate::telemetry) fn lines(&self) -> Vec<String> {
        let stats = &self.0;
        let mut lines = vec![format!("Status: {}", duty(stats.duty, "Watched", "Off"))];
        if stats.duty == Duty::Active {
            lines.push(format!("Runs: {}", stats.runs));
        }
        for verdict in &stats.components {
            let state = match verdict.status {
                ServiceStatus::Ok => "OK",
                ServiceStatus::Warning => "WARNING",
                ServiceStatus::Critical => "CRITICAL",
                ServiceStatus::Unknown => "UNKNOWN",
            };
            let name = verdict.tags.iter().find_map(|tag| tag.strip_prefix("component:")).unwrap_or(&verdict.check);
            let message = if verdict.message.is_empty() { String::new() } else { format!(": {}", verdict.message) };
            lines.push(format!("- {name} [{state}]{message}"));
        }
        problems(&mut lines, &stats.complaints, &stats.config_remarks);
        lines
    }
}

fn duty(duty: Duty, active: &'static str, off: &'static str) -> &'static str {
    match duty {
        Duty::Active => active,
        Duty::Off => off,
        Duty::Dispatched => "An agent does it, as a cluster check",
        Duty::Standby => "Standby, another replica leads or none",
    }
}

fn problems(lines: &mut Vec<String>, complaints: &BTreeMap<&'static str, String>, remarks: &[String]) {
    lines.extend(complaints.iter().map(|(what, why)| format!("Error: {what}: {why}")));
    lines.extend(remarks.iter().map(|remark| format!("Warning: {remark}")));
}

#[cfg(test)]
mod tests {
    use muster_actors::messages::event_forwarder::ComponentVerdict;

    use super::*;

    #[test]
    fn a_leader_tells_how_far_it_is_and_what_hinders_it() {
        let stats = EventForwarderStats {
            duty: Duty::Active,
            safe_version: "125".to_owned(),
            saved: true,
            lag_seconds: Some(3),
            forwarded: 7,
            repeated: 1,
            complaints: BTreeMap::from([("list the events", "not allowed: list events".to_owned())]),
            ..EventForwarderStats::default()
        };
        let expected = [
            "Status: Forwarding",
            "Last Token: 125",
            "Lag: 3 s",
            "Events Forwarded: 7",
            "Rounds Sent Again: 1",
            "Error: list the events: not allowed: list events",
        ];
        assert_eq!(EventsStatus(stats.clone()).lines(), expected);
        let unsaved = EventForwarderStats { saved: false, safe_version: String::new(), ..stats };
        assert_eq!(EventsStatus(unsaved).lines()[1], "Last Token: none yet (not stored yet)");
    }

    #[test]
    fn a_follower_says_only_that() {
        let lines = EventsStatus::default().lines();
        assert_eq!(lines, ["Status: Standby, another replica leads or none", "Events Forwarded: 0"]);
        assert_eq!(ControlPlaneStatus::default().lines(), ["Status: Standby, another replica leads or none"]);
    }

    #[test]
    fn components_are_shown_with_their_state() {
        let verdict = |name: &str, status, message: &str| ComponentVerdict {
            check: "kube_apiserver_controlplane.up".to_owned(),
            status,
            message: message.to_owned(),
            tags: vec![format!("component:{name}")],
        };
        let components = vec![verdict("etcd-0", ServiceStatus::Ok, "ok"), verdict("scheduler", ServiceStatus::Unknown, "")];
        let stats = ControlPlaneProbeStats { duty: Duty::Active, runs: 2, components, ..ControlPlaneProbeStats::default() };
        assert_eq!(ControlPlaneStatus(stats).lines(), ["Status: Watched", "Runs: 2", "- etcd-0 [OK]: ok", "- scheduler [UNKNOWN]"]);
    }
}

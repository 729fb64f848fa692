//! Which events are collected. Source: cluster-agent-kubernetes 3.4 (deny list), 3.5 (allow list, match rule).

use super::apiserver_check::{ApiserverCheckOptions, EventSelector};
use super::event::KubeEvent;
use super::event_source_names::{CONTROLLER_MANAGER, KARPENTER, KUBERNETES, SCHEDULER};

/// Reasons that are collected of the usual sources, by kind.
const USUAL: [(&str, &[&str]); 3] = [
    ("Pod", &["Failed", "BackOff", "Unhealthy", "FailedScheduling", "FailedMount", "FailedAttachVolume"]),
    ("Node", &["TerminatingEvictedPod", "NodeNotReady", "Rebooted", "HostPortConflict"]),
    ("CronJob", &["SawCompletedJob"]),
];

/// Reasons that are collected of Karpenter.
const OF_KARPENTER: [&str; 9] = [
    "DisruptionBlocked",
    "DisruptionLaunching",
    "DisruptionTerminating",
    "DisruptionWaitingReadiness",
    "FailedDraining",
    "InstanceTerminating",
    "SpotInterrupted",
    "SpotRebalanceRecommendation",
    "TerminatingOnInterruption",
];

/// The reason that is collected of every source.
const OF_ALL: &str = "BackOff";

/// Whether the built-in allow list names an event of this source.
#[must_use]
pub fn allowed(source: &str, event: &KubeEvent) -> bool {
    let reason = event.reason.as_str();
    let of_source = match source {
        KUBERNETES | SCHEDULER | CONTROLLER_MANAGER => {
            USUAL.iter().any(|(kind, reasons)| *kind == event.involved.kind && reasons.contains(&reason))
        }
        KARPENTER => event.component == KARPENTER && OF_KARPENTER.contains(&reason),
        // Stock compares the component with the name of the integration, which few components have.
        "amazon elb" | "cilium" | "fluxcd" | "kubernetes cluster autoscaler" | "spark" | "vault" => event.component == source,
        _ => false,
    };
    of_source || reason == OF_ALL
}

/// Whether one of the selectors selects an event.
#[must_use]
pub fn selected(selectors: &[EventSelector], event: &KubeEvent) -> bool {
    selectors.iter().any(|selector| selects(selector, event))
}

/// Kind, source and reasons; what a selector leaves open does not matter.
fn selects(selector: &EventSelector, event: &KubeEvent) -> bool {
    (selector.kind.is_empty() || selector.kind == event.involved.kind)
        && (selector.source.is_empty() || selector.source == event.component)
        && (selector.reasons.is_empty() || selector.reasons.contains(&event.reason))
}

/// The deny list as a field selector; an entry without `=` is a reason.
#[must_use]
pub fn field_selector(filtered_types: &[String]) -> String {
    let entries = filtered_types.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
    let terms = entries.map(|entry| if entry.contains('=') { entry.to_owned() } else { format!("reason!={entry}") });
    terms.collect::<Vec<_>>().join(",")
}

/// The field selector with which events are asked for: none where only selected events are forwarded.
#[must_use]
pub fn query_selector(options: &ApiserverCheckOptions) -> String {
    if options.unbundle && !options.bundle_unspecified { String::new() } else { field_selector(&options.filtered_types) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn event(kind: &str, component: &str, reason: &str) -> KubeEvent {
        let mut event = KubeEvent { component: component.to_owned(), reason: reason.to_owned(), ..KubeEvent::default() };
        kind.clone_into(&mut event.involved.kind);
        event
    }

    #[test]
    fn ca_e1_the_deny_list_becomes_a_field_selector() {
        let filtered = texts(&["reason!=FailedGetScale", "involvedObject.kind==Pod", "Unhealthy"]);
        assert_eq!(field_selector(&filtered), "reason!=FailedGetScale,involvedObject.kind==Pod,reason!=Unhealthy");
        assert_eq!(field_selector(&[]), "");
        assert_eq!(field_selector(&texts(&["", " Unhealthy "])), "reason!=Unhealthy");
    }

    #[test]
    fn only_where_something_is_bundled_the_deny_list_is_used() {
        let selector = |unbundle, bundle_unspecified| {
            let filtered_types = texts(&["Unhealthy"]);
            query_selector(&ApiserverCheckOptions { unbundle, bundle_unspecified, filtered_types, ..ApiserverCheckOptions::default() })
        };
        assert_eq!(selector(false, false), "reason!=Unhealthy");
        assert_eq!(selector(true, true), "reason!=Unhealthy");
        assert_eq!(selector(true, false), "");
    }

    #[test]
    fn a_selector_selects_what_agrees_with_all_that_it_names() {
        let selector = |kind: &str, source: &str, reasons: &[&str]| {
            let (kind, source) = (kind.to_owned(), source.to_owned());
            [EventSelector { kind, source, reasons: texts(reasons) }]
        };
        let back_off = event("Pod", "kubelet", "BackOff");
        for (kind, source, reasons) in
            [("Pod", "", &[][..]), ("", "kubelet", &[]), ("Pod", "kubelet", &["BackOff", "Failed"]), ("", "", &["BackOff"]), ("", "", &[])]
        {
            assert!(selected(&selector(kind, source, reasons), &back_off), "{kind} {source} {reasons:?}");
        }
        for (kind, source, reasons) in [("Node", "", &[][..]), ("Pod", "scheduler", &[]), ("Pod", "", &["Failed"])] {
            assert!(!selected(&selector(kind, source, reasons), &back_off), "{kind} {source} {reasons:?}");
        }
        assert!(!selected(&[], &back_off));
    }

    #[test]
    fn the_allow_list_goes_by_source() {
        for source in [KUBERNETES, SCHEDULER, CONTROLLER_MANAGER] {
            for (kind, reason) in [("Pod", "FailedMount"), ("Node", "Rebooted"), ("CronJob", "SawCompletedJob"), ("ReplicaSet", "BackOff")]
            {
                assert!(allowed(source, &event(kind, "any", reason)), "{source} {kind} {reason}");
            }
            assert!(!allowed(source, &event("Node", "any", "FailedMount")));
            assert!(!allowed(source, &event("Pod", "any", "Pulled")));
        }
        assert!(allowed(KARPENTER, &event("Node", "karpenter", "SpotInterrupted")));
        assert!(!allowed(KARPENTER, &event("Node", "other", "SpotInterrupted")));
        assert!(!allowed(KARPENTER, &event("Node", "karpenter", "Rebooted")));
        assert!(allowed("cilium", &event("Pod", "cilium", "Anything")));
        assert!(!allowed("cilium", &event("Pod", "cilium-sidekick", "Anything")));
        assert!(allowed("cilium", &event("Pod", "cilium-sidekick", "BackOff")));
        assert!(!allowed("datadog operator", &event("Pod", "datadog operator", "Anything")));
    }
}

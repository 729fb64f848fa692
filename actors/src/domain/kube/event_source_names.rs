//! Which integration an event belongs to, by who reported it. Source: cluster-agent-kubernetes 3.5, "Source type".

use super::event::KubeEvent;

/// Source of whatever no other integration is known for.
pub const KUBERNETES: &str = "kubernetes";

/// Source of the scheduler.
pub const SCHEDULER: &str = "kube_scheduler";

/// Source of the controller manager.
pub const CONTROLLER_MANAGER: &str = "kubernetes controller manager";

/// Source of Karpenter.
pub const KARPENTER: &str = "karpenter";

/// The integration that a controller or component belongs to.
fn integration(name: &str) -> Option<&'static str> {
    Some(match name {
        "targetgroupbinding" => "amazon elb",
        "cilium-sidekick" => "cilium",
        "datadogagent" | "ExtendedDaemonSet" | "datadog-operator-manager" => "datadog operator",
        "source-controller" | "kustomize-controller" => "fluxcd",
        "karpenter" => KARPENTER,
        "cluster-autoscaler" => "kubernetes cluster autoscaler",
        "endpoint-controller" | "endpoint-slice-controller" | "replicaset-controller" | "kube-controller-manager" => CONTROLLER_MANAGER,
        "default-scheduler" => SCHEDULER,
        "spark-operator" => "spark",
        "vaultd" => "vault",
        // These settle the matter before the component is looked at.
        "deployment-controller"
        | "job-controller"
        | "node-controller"
        | "taint-controller"
        | "cronjob-controller"
        | "attachdetach-controller"
        | "horizontal-pod-autoscaler"
        | "daemonset-controller"
        | "kubelet"
        | "service-controller"
        | "cloud-controller-manager"
        | "disruption-budget-manager"
        | "vpa-updater"
        | "draino"
        | "wpa_controller"
        | "workflow-controller"
        | "compute-diagnostics"
        | "PodTemplate" => KUBERNETES,
        _ => return None,
    })
}

/// The source of an event: that of its controller, else that of its component, else `kubernetes`, as always without detection.
#[must_use]
pub fn source(event: &KubeEvent, detection: bool) -> &'static str {
    let detected = || integration(&event.controller).or_else(|| integration(&event.component));
    detection.then(detected).flatten().unwrap_or(KUBERNETES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(controller: &str, component: &str) -> &'static str {
        let event = KubeEvent { controller: controller.to_owned(), component: component.to_owned(), ..KubeEvent::default() };
        assert_eq!(source(&event, false), KUBERNETES);
        source(&event, true)
    }

    #[test]
    fn the_controller_counts_before_the_component() {
        assert_eq!(found("karpenter", "default-scheduler"), "karpenter");
        assert_eq!(found("unheard-of", "default-scheduler"), "kube_scheduler");
        assert_eq!(found("", "vaultd"), "vault");
        assert_eq!(found("kubelet", "vaultd"), "kubernetes");
        assert_eq!(found("", "unheard-of"), "kubernetes");
        assert_eq!(found("", ""), "kubernetes");
    }

    #[test]
    fn every_name_of_the_table_is_found() {
        for (name, source) in [
            ("targetgroupbinding", "amazon elb"),
            ("cilium-sidekick", "cilium"),
            ("datadogagent", "datadog operator"),
            ("ExtendedDaemonSet", "datadog operator"),
            ("datadog-operator-manager", "datadog operator"),
            ("source-controller", "fluxcd"),
            ("kustomize-controller", "fluxcd"),
            ("cluster-autoscaler", "kubernetes cluster autoscaler"),
            ("endpoint-controller", "kubernetes controller manager"),
            ("endpoint-slice-controller", "kubernetes controller manager"),
            ("replicaset-controller", "kubernetes controller manager"),
            ("kube-controller-manager", "kubernetes controller manager"),
            ("default-scheduler", "kube_scheduler"),
            ("spark-operator", "spark"),
        ] {
            assert_eq!((found(name, ""), found("", name)), (source, source), "{name}");
        }
    }
}

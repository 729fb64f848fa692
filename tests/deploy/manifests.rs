//! The overlays: built by kustomize, accepted by the API server, and consistent in themselves.

use std::collections::BTreeSet;

use muster_rig::Identity;
use serde_json::{Value as Json, json};

use crate::cluster::{OVERLAYS, WHOLE, deployed, items, matches, objects, of_kind, overlay, title, workloads};

#[tokio::test]
async fn every_overlay_is_accepted_with_strict_validation() {
    let admin = deployed().await.admin();
    for name in OVERLAYS {
        let applied = admin.apply_path(&overlay(name)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(applied.contains("deployment.apps/muster-cluster serverside-applied"), "{name}: {applied}");
    }
}

#[tokio::test]
async fn an_overlay_holds_what_its_name_says() {
    let admin = deployed().await.admin();
    let mut found = Vec::new();
    for name in OVERLAYS {
        let objects = objects(&admin, name).await;
        found.push(workloads(&objects).into_iter().map(title).collect::<Vec<_>>().join(", "));
    }
    let (cluster, runner, node) = ("Deployment muster-cluster", "Deployment muster-runner", "DaemonSet muster-node");
    assert_eq!(found, [cluster.to_owned(), format!("{cluster}, {runner}"), format!("{cluster}, {runner}, {node}")]);
}

/// The pod a controller would make of a workload.
fn pod_of(workload: &Json) -> Json {
    let template = &workload["spec"]["template"];
    let name = format!("{}-0", workload["metadata"]["name"].as_str().unwrap());
    json!({"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]})
}

async fn try_pod(admin: &Identity, pod: &Json) -> Result<Json, String> {
    admin.create("/api/v1/namespaces/muster/pods?dryRun=All&fieldValidation=Strict", pod).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_restricted_namespace_admits_our_pods() {
    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    for workload in workloads(&objects) {
        try_pod(&admin, &pod_of(workload)).await.unwrap_or_else(|error| panic!("{}: {error}", title(workload)));
    }
    let mut pod = pod_of(workloads(&objects)[0]);
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = try_pod(&admin, &pod).await.unwrap_err();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
}

#[tokio::test]
async fn containers_run_hardened_as_any_user_of_group_0() {
    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    for workload in workloads(&objects) {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{}", title(workload));
        assert_eq!(pod["securityContext"]["runAsGroup"], 0, "{}", title(workload));
        for container in items(&pod["containers"]) {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{}", title(workload));
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{}", title(workload));
            let mounts: BTreeSet<&str> = items(&container["volumeMounts"]).map(|mount| mount["mountPath"].as_str().unwrap()).collect();
            // What a process with a read-only root writes to.
            for path in ["/etc/datadog-agent/auth", "/opt/datadog-agent/run", "/var/log/datadog", "/tmp"] {
                assert!(mounts.contains(path), "{}: {path}", title(workload));
            }
            assert!(container["resources"]["limits"]["memory"].is_string(), "{}", title(workload));
        }
    }
}

/// Names of the ports of the containers of a workload.
fn port_names(workload: &Json) -> BTreeSet<&str> {
    let containers = items(&workload["spec"]["template"]["spec"]["containers"]);
    containers.flat_map(|container| items(&container["ports"])).map(|port| port["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn selectors_find_pods() {
    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    let templates = workloads(&objects);
    let finds = |selector: &Json| templates.iter().any(|workload| matches(selector, &workload["spec"]["template"]["metadata"]["labels"]));
    for workload in &templates {
        let spec = &workload["spec"];
        assert!(matches(&spec["selector"]["matchLabels"], &spec["template"]["metadata"]["labels"]), "{}", title(workload));
        let affinity = &spec["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        for term in items(affinity) {
            let selector = &term["podAffinityTerm"]["labelSelector"]["matchLabels"];
            assert!(matches(selector, &spec["template"]["metadata"]["labels"]), "{} keeps away from others", title(workload));
        }
    }
    for budget in of_kind(&objects, "PodDisruptionBudget") {
        assert!(finds(&budget["spec"]["selector"]["matchLabels"]), "{}", title(budget));
    }
    for policy in of_kind(&objects, "NetworkPolicy") {
        let spec = &policy["spec"];
        assert!(finds(&spec["podSelector"]["matchLabels"]), "{}", title(policy));
        let peers =
            items(&spec["ingress"]).flat_map(|rule| items(&rule["from"])).chain(items(&spec["egress"]).flat_map(|rule| items(&rule["to"])));
        for peer in peers {
            assert!(finds(&peer["podSelector"]["matchLabels"]), "{}: {peer}", title(policy));
        }
    }
    for service in of_kind(&objects, "Service") {
        assert!(finds(&service["spec"]["selector"]), "{}", title(service));
    }
}

#[tokio::test]
async fn probes_and_services_lead_to_ports_that_exist() {
    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    for workload in workloads(&objects) {
        for container in items(&workload["spec"]["template"]["spec"]["containers"]) {
            for (probe, path) in [("startupProbe", "/startup"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
                let asked = &container[probe]["httpGet"];
                assert_eq!(asked["path"], path, "{} {probe}", title(workload));
                assert!(port_names(workload).contains(asked["port"].as_str().unwrap()), "{} {probe}", title(workload));
            }
            let health = items(&container["ports"]).find(|port| port["name"] == "health").unwrap();
            let told = items(&container["env"]).find(|variable| variable["name"] == "DD_HEALTH_PORT").unwrap();
            assert_eq!(told["value"], health["containerPort"].to_string(), "{}", title(workload));
        }
    }
    for service in of_kind(&objects, "Service") {
        let selected = workloads(&objects)
            .into_iter()
            .filter(|workload| matches(&service["spec"]["selector"], &workload["spec"]["template"]["metadata"]["labels"]));
        for workload in selected {
            for port in items(&service["spec"]["ports"]) {
                assert!(port_names(workload).contains(port["targetPort"].as_str().unwrap()), "{}: {port}", title(service));
            }
        }
    }
}

#[tokio::test]
async fn service_accounts_exist_and_only_the_cluster_role_has_a_token() {
    let admin = deployed().await.admin();
    for name in OVERLAYS {
        let objects = objects(&admin, name).await;
        let accounts: BTreeSet<String> = of_kind(&objects, "ServiceAccount").into_iter().map(title).collect();
        for workload in workloads(&objects) {
            let pod = &workload["spec"]["template"]["spec"];
            let account = format!("ServiceAccount {}", pod["serviceAccountName"].as_str().unwrap());
            assert!(accounts.contains(&account), "{name}: {account}");
            let has_token = pod["automountServiceAccountToken"] != json!(false);
            assert_eq!(has_token, title(workload) == "Deployment muster-cluster", "{name}: {}", title(workload));
        }
        for binding in objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Binding")) {
            let subjects: Vec<String> =
                items(&binding["subjects"]).map(|subject| format!("ServiceAccount {}", subject["name"].as_str().unwrap())).collect();
            assert!(subjects.iter().all(|subject| accounts.contains(subject)), "{name}: {}", title(binding));
        }
    }
}

#[tokio::test]
async fn with_runners_the_agents_of_the_nodes_run_endpoint_checks_only() {
    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    let node = of_kind(&objects, "DaemonSet")[0];
    let variables = &node["spec"]["template"]["spec"]["containers"][0]["env"];
    let providers = items(variables).find(|variable| variable["name"] == "DD_EXTRA_CONFIG_PROVIDERS").unwrap();
    assert_eq!(providers["value"], "endpointschecks");
}

#[tokio::test]
async fn every_variable_of_the_manifests_is_one_that_muster_knows() {
    use muster::config::{Config, Environment, Request, Role};

    let admin = deployed().await.admin();
    let objects = objects(&admin, WHOLE).await;
    for workload in workloads(&objects) {
        let variables = items(&workload["spec"]["template"]["spec"]["containers"][0]["env"]);
        // Values that come from elsewhere get one that fits everywhere.
        let pairs = variables.map(|variable| (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap_or("10.0.0.1")));
        let role = if title(workload) == "Deployment muster-cluster" { Role::Cluster } else { Role::Node };
        let folder = tempfile::tempdir().unwrap();
        let request =
            Request { role, path: Some(folder.path().to_owned()), environment: Environment::from_pairs(pairs), overrides: Vec::new() };
        let problems: Vec<String> = Config::load(request).unwrap().problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new(), "{}", title(workload));
    }
}

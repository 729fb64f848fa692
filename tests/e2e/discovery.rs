//! Checks in the annotations of Services and in files: they come, change and go, and mistakes are told.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use muster_rig::PatchKind;
use serde_json::{Value as Json, json};

use crate::scenery::annotated;
use crate::world::{SHOP, Size, World};

/// A program that knows the secret `db_password` and no other.
const SECRETS: &str = r#"#!/bin/sh
read -r question
case "$question" in
  *nobody*) printf '{"nobody": {"value": null, "error": "no such secret"}}' ;;
  *) printf '{"db_password": {"value": "swordfish", "error": null}}' ;;
esac
"#;

const TEMPLATE: &str = "advanced_ad_identifiers:
  - kube_service: {name: by-file, namespace: shop}
cluster_check: true
init_config: {}
instances:
  - name: by-file
    url: http://%%host%%:%%port%%/
";

/// A Service with a mistake: its annotations, and what must be told about it.
struct Mistake {
    name: &'static str,
    annotations: Json,
    /// Field, what was found, what is allowed.
    told: [&'static str; 3],
}

fn v2(checks: &Json) -> Json {
    json!({"ad.datadoghq.com/service.checks": checks.to_string()})
}

fn v1(names: &str, init_configs: &str, instances: &str) -> Json {
    json!({
        "ad.datadoghq.com/service.check_names": names,
        "ad.datadoghq.com/service.init_configs": init_configs,
        "ad.datadoghq.com/service.instances": instances,
    })
}

fn check(name: &str) -> Json {
    json!({"http_check": {"instances": [{"name": name, "url": "http://%%host%%:%%port%%/"}]}})
}

fn mistakes() -> Vec<Mistake> {
    let of = |name, annotations, told| Mistake { name, annotations, told };
    vec![
        of(
            "v2-broken",
            json!({"ad.datadoghq.com/service.checks": "{\"http_check\": "}),
            ["annotation ad.datadoghq.com/service.checks", "found text that is no JSON", "allowed: a JSON object"],
        ),
        of(
            "v2-list",
            v2(&json!(["http_check"])),
            ["annotation ad.datadoghq.com/service.checks", "found an array", "allowed: a JSON object"],
        ),
        of(
            "v2-instance",
            v2(&json!({"http_check": {"instances": ["text"]}})),
            ["annotation ad.datadoghq.com/service.checks", "found a string", "allowed: "],
        ),
        of(
            "v1-no-instances",
            json!({"ad.datadoghq.com/service.check_names": "[\"a\"]", "ad.datadoghq.com/service.init_configs": "[{}]"}),
            ["annotation ad.datadoghq.com/service.instances", "found no such annotation", "allowed: a JSON array"],
        ),
        of(
            "v1-no-names",
            v1("", "[{}]", "[{}]"),
            ["annotation ad.datadoghq.com/service.check_names", "found an empty text", "allowed: a JSON array"],
        ),
        of(
            "v1-lengths",
            v1("[\"a\",\"b\"]", "[{}]", "[{}]"),
            [
                "annotation ad.datadoghq.com/service.check_names",
                "check_names 2, init_configs 1, instances 1",
                "allowed: three lists of one length",
            ],
        ),
        of(
            "v1-element",
            v1("[\"a\"]", "[7]", "[{}]"),
            ["annotation ad.datadoghq.com/service.init_configs", "found a number at [0]", "allowed: a JSON array with one object"],
        ),
        of(
            "logs",
            json!({"ad.datadoghq.com/service.logs": "{}", "ad.datadoghq.com/service.checks": check("logs-beside").to_string()}),
            ["annotation ad.datadoghq.com/service.logs", "found an object", "allowed: "],
        ),
        of(
            "resolve",
            json!({"ad.datadoghq.com/endpoints.resolve": "dns", "ad.datadoghq.com/endpoints.checks": check("resolve").to_string()}),
            ["annotation ad.datadoghq.com/endpoints.resolve", "found \"dns\"", "allowed: auto or ip"],
        ),
        of(
            "both-versions",
            json!({
                "ad.datadoghq.com/service.checks": check("both-versions").to_string(),
                "ad.datadoghq.com/service.check_names": "[\"a\"]",
            }),
            ["annotation ad.datadoghq.com/service.check", "ad.datadoghq.com/service.check_names", "allowed: "],
        ),
    ]
}

async fn put(world: &World, name: &str, annotations: &Json) {
    world.admin.create(&format!("/api/v1/namespaces/{SHOP}/services"), &annotated(name, annotations)).await.unwrap();
}

/// Changes annotations; `null` removes one.
async fn annotate(world: &World, name: &str, annotations: &Json) {
    let path = format!("/api/v1/namespaces/{SHOP}/services/{name}");
    world.admin.patch(&path, PatchKind::Merge, &json!({"metadata": {"annotations": annotations}})).await.unwrap();
}

async fn until_runs(world: &World, part: &str) {
    world.until(&format!("a runner is told of {part}"), async || world.runners.runs(part)).await;
}

async fn until_gone(world: &World, part: &str) {
    world.until(&format!("no runner is told of {part}"), async || !world.runners.runs(part)).await;
}

/// The only instance whose text holds `part`.
fn instance(world: &World, part: &str) -> String {
    let mut found: Vec<String> = world.runners.owners().into_keys().filter(|instance| instance.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}: {found:#?}");
    found.remove(0)
}

async fn cluster_ip(world: &World, name: &str) -> String {
    let service = world.admin.get(&format!("/api/v1/namespaces/{SHOP}/services/{name}")).await.unwrap();
    crate::world::text(&service["spec"]["clusterIP"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_annotations_and_files_say_reaches_the_agents() {
    let size = Size { nodes: 2, runners: 2, cluster_checks: 2, endpoint_checks: 2, mistakes: 0, replicas: 1, lease_seconds: 6 };
    let mut world = World::prepare(size).await;
    let program = world.folder().join("secrets.sh");
    std::fs::write(&program, SECRETS).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    for replica in &mut world.replicas {
        replica.set("DD_SECRET_BACKEND_COMMAND", program.to_str().unwrap());
        replica.set("DD_PROMETHEUS_SCRAPE_ENABLED", "true");
        replica.set("DD_PROMETHEUS_SCRAPE_VERSION", "2");
        replica.write("conf.d/http_check.yaml", TEMPLATE);
    }
    world.run().await;

    every_form_is_found(&world).await;
    a_change_replaces_and_a_removal_removes(&world).await;
    mistakes_are_told_and_stop_nothing_else(&world).await;
    world.assert_rights_suffice();
    endpoints_serve_as_well_as_slices(&mut world).await;
    world.assert_rights_suffice();
}

async fn every_form_is_found(world: &World) {
    put(world, "two", &v2(&check("form-2"))).await;
    put(world, "one", &v1("[\"http_check\"]", "[{}]", "[{\"name\":\"form-1\",\"url\":\"http://%%host%%/\"}]")).await;
    let legacy = json!({
        "service-discovery.datadoghq.com/service.check_names": "[\"http_check\"]",
        "service-discovery.datadoghq.com/service.init_configs": "[{}]",
        "service-discovery.datadoghq.com/service.instances": "[{\"name\":\"form-0\",\"url\":\"http://%%host%%/\"}]",
    });
    put(world, "zero", &legacy).await;
    put(world, "by-file", &json!({})).await;
    put(world, "scraped", &json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9102"})).await;
    put(world, "secret", &v2(&json!({"http_check": {"instances": [{"name": "secret", "password": "ENC[db_password]"}]}}))).await;
    put(world, "excluded", &{
        let mut annotations = v2(&check("excluded"));
        annotations["ad.datadoghq.com/metrics_exclude"] = json!("true");
        annotations
    })
    .await;
    for (service, part) in [("two", "form-2"), ("one", "form-1"), ("zero", "form-0"), ("by-file", "name: by-file")] {
        until_runs(world, part).await;
        let (told, ip) = (instance(world, part), cluster_ip(world, service).await);
        assert!(told.contains(&ip) && told.contains(&format!("kube_service:{service}")), "{service}: {told}");
    }
    let scraped = format!("openmetrics_endpoint: http://{}:9102/metrics", cluster_ip(world, "scraped").await);
    until_runs(world, &scraped).await;
    until_runs(world, "password: swordfish").await;
    assert!(!world.runners.runs("excluded"), "a Service with metrics_exclude has a check");
    annotate(world, "excluded", &json!({"ad.datadoghq.com/metrics_exclude": null})).await;
    until_runs(world, "excluded").await;

    // Secrets are for agents only.
    let report = world.replicas[0].ask_json(&["configcheck", "--json"]).await;
    assert!(!report.to_string().contains("swordfish"));
}

async fn a_change_replaces_and_a_removal_removes(world: &World) {
    annotate(world, "two", &v2(&check("form-3"))).await;
    until_runs(world, "form-3").await;
    until_gone(world, "form-2").await;
    annotate(world, "two", &json!({"ad.datadoghq.com/service.checks": null})).await;
    until_gone(world, "form-3").await;
    world.admin.delete(&format!("/api/v1/namespaces/{SHOP}/services/one")).await.unwrap();
    until_gone(world, "form-1").await;

    // A pod behind a Service moves to another node, and so does its check.
    let owners = || world.endpoints.owners();
    let service = "endpoints-0";
    let pod = format!("/api/v1/namespaces/{SHOP}/pods/{service}-0");
    let before: Vec<String> = owners().into_keys().collect();
    world.admin.delete(&pod).await.unwrap();
    world.until("the check of a pod that is gone is not run", async || owners().len() == before.len() - 1).await;
    let nodes = ["node-1".to_owned()];
    let pods = format!("/api/v1/namespaces/{SHOP}/pods");
    world.admin.create_all(&pods, muster_rig::pods(service, &nodes, 1)).await.unwrap();
    world.until("the check of a new pod is run", async || owners().len() == before.len()).await;
    let on_the_node = world.endpoints.account("node-1").set;
    let of_service = on_the_node.iter().filter(|instance| instance.contains("endpoint-0")).count();
    assert_eq!(of_service, 2, "{on_the_node:#?}");
}

async fn mistakes_are_told_and_stop_nothing_else(world: &World) {
    let before = world.runners.owners();
    let mistakes = mistakes();
    for mistake in &mistakes {
        put(world, mistake.name, &mistake.annotations).await;
    }
    // Mistakes that show only when a template meets its service.
    put(world, "variable", &v2(&json!({"http_check": {"instances": [{"url": "http://%%nope%%/"}]}}))).await;
    put(world, "port", &v2(&json!({"http_check": {"instances": [{"url": "http://%%host%%:%%port_7%%/"}]}}))).await;
    put(world, "unknown-secret", &v2(&json!({"http_check": {"instances": [{"password": "ENC[nobody]"}]}}))).await;
    put(world, "after-mistakes", &v2(&check("after-mistakes"))).await;
    world.replicas[0].write("conf.d/broken.yaml", "instances:\n  - url: [\n");

    until_runs(world, "after-mistakes").await;
    until_runs(world, "logs-beside").await;
    until_runs(world, "both-versions").await;
    let mut report = Json::Null;
    let complete = async || {
        report = world.replicas[0].ask_json(&["configcheck", "--json"]).await;
        let text = report.to_string();
        mistakes.iter().map(|mistake| mistake.name).chain(["broken.yaml"]).all(|name| text.contains(name))
    };
    world.until("every mistake is told", complete).await;
    let errors: Vec<String> = told(&report["config_errors"]);
    for Mistake { name, told, .. } in &mistakes {
        let object = format!("Service {SHOP}/{name}");
        let found = errors.iter().find(|error| error.contains(&format!("{object},")));
        let found = found.unwrap_or_else(|| panic!("nothing is told about {object}: {errors:#?}"));
        assert!(told.iter().all(|part| found.contains(part)), "{name}: {found}, expected {told:?}");
    }
    for part in ["broken.yaml", "line "] {
        assert!(errors.iter().any(|error| error.contains("broken.yaml") && error.contains(part)), "{errors:#?}");
    }
    let warnings = told(&report["resolve_warnings"]);
    for (service, parts) in [
        ("variable", ["instances[0]: found %%nope%%", "allowed: %%host%%, "]),
        ("port", ["instances[0]: found %%port_7%%", "allowed: an index from 0 to 0"]),
        ("unknown-secret", ["nobody", "no such secret"]),
    ] {
        let object = format!("kube_service://{SHOP}/{service}");
        let found = warnings.iter().any(|warning| warning.contains(&object) && parts.iter().all(|part| warning.contains(part)));
        assert!(found, "{object}, {parts:?}: {warnings:#?}");
    }
    // The text form tells the same.
    let (code, text) = world.replicas[0].ask(&["configcheck", "-v"]).await;
    assert_eq!(code, 0);
    assert!(text.contains("=== Configuration errors ===") && text.contains("v1-lengths") && text.contains("%%nope%%"), "{text}");

    let now = world.runners.owners();
    let lost: Vec<_> = before.iter().filter(|(instance, owners)| now.get(*instance) != Some(owners)).collect();
    assert!(lost.is_empty(), "mistakes of others moved or stopped {lost:#?}");

    // Mended, it is told no more.
    annotate(world, "v2-broken", &v2(&check("mended"))).await;
    until_runs(world, "mended").await;
    let mended =
        async || !told(&world.replicas[0].ask_json(&["configcheck", "--json"]).await["config_errors"]).concat().contains("v2-broken");
    world.until("a mended mistake is told no more", mended).await;
}

/// All texts in an object of texts or lists of texts.
fn told(texts: &Json) -> Vec<String> {
    let mut told = Vec::new();
    for value in texts.as_object().into_iter().flat_map(serde_json::Map::values) {
        match value {
            Json::Array(several) => told.extend(several.iter().map(crate::world::text)),
            one => told.extend(crate::world::text(one).lines().map(str::to_owned)),
        }
    }
    told
}

/// Another replica takes over that reads Endpoints: agents are told the same.
async fn endpoints_serve_as_well_as_slices(world: &mut World) {
    let before = world.endpoints.owners();
    world.replicas[1].set("DD_KUBERNETES_USE_ENDPOINT_SLICES", "false");
    world.start_replica(1);
    world.replicas[1].until_ready().await;
    world.stop_replica(0).await;
    world.until_all_polled().await;
    assert_eq!(world.endpoints.owners(), before);
    let watched = world.replicas[1].informers().await;
    assert!(watched.contains_key("endpoints") && !watched.contains_key("endpointslices"), "{watched:#?}");

    let pod = format!("/api/v1/namespaces/{SHOP}/pods/endpoints-1-0");
    world.admin.delete(&pod).await.unwrap();
    world.until("the check of a pod that is gone is not run", async || world.endpoints.owners().len() == before.len() - 1).await;
}

//! Without a right, or without the API server, everything else goes on.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::sleep;

use crate::before::Before;
use crate::world::{Size, World};

/// Time without a poll after which a runner is forgotten. Stock: 30 s; shorter, as nothing here depends on it but what has to be longer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

const SLICES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const IN_NAMESPACE: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/muster/rolebindings";

/// Takes a binding of the manifests away, and returns what gives it back.
async fn withdraw(world: &World, collection: &str, name: &str) -> Json {
    let path = format!("{collection}/{name}");
    let binding = world.admin.get(&path).await.unwrap();
    world.admin.delete(&path).await.unwrap();
    json!({"metadata": {"name": name}, "roleRef": binding["roleRef"], "subjects": binding["subjects"]})
}

/// Lines of the log of the leader and its followers that hold all of these.
fn lines(world: &World, replica: usize, parts: &[&str]) -> Vec<String> {
    let words = world.replicas[replica].all_words();
    words.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

/// How the informer of a resource does.
async fn informer(world: &World, resource: &str) -> Json {
    let mut informers = world.replicas[0].informers().await;
    informers.remove(resource).unwrap_or_else(|| panic!("no informer of {resource}: {informers:#?}"))
}

/// The findings of doctor about a feature: their states.
async fn diagnosis(world: &World, feature: &str) -> Vec<String> {
    let report = world.replicas[0].ask_json(&["doctor", "--json"]).await;
    let findings = report["findings"].as_array().unwrap();
    let of_feature = findings.iter().filter(|finding| finding["section"] == "rights" && finding["subject"] == feature);
    of_feature.map(|finding| format!("{}: {}", finding["state"].as_str().unwrap(), finding["found"])).collect()
}

const SIZE: Size = Size { nodes: 2, runners: 2, cluster_checks: 12, endpoint_checks: 2, mistakes: 0, replicas: 2, lease_seconds: 6 };

async fn prepare() -> World {
    let mut world = World::prepare(SIZE).await;
    for replica in &mut world.replicas {
        replica.set("DD_CLUSTER_CHECKS_NODE_EXPIRATION_TIMEOUT", &FORGOTTEN_AFTER.as_secs().to_string());
        // Of a cold start, which other tests are about.
        replica.set("DD_CLUSTER_CHECKS_WARMUP_DURATION", "5");
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_stop_nothing_else() {
    let mut world = prepare().await;
    let slices = withdraw(&world, SLICES, "muster-endpoint-slices").await;
    let pods = withdraw(&world, IN_NAMESPACE, "muster-pods").await;
    withdraw(&world, IN_NAMESPACE, "muster-snapshot").await;
    // Endpoint checks come with the right to read slices.
    world.size.endpoint_checks = 0;
    world.launch().await;

    what_is_missing_is_told(&world).await;
    // A minute after the start: so long a cold start waits for slices, which might still come.
    world.until("the cluster checks run", async || world.complete()).await;
    what_goes_on(&world).await;
    world.size.endpoint_checks = SIZE.endpoint_checks;
    granting_it_heals(&world, &slices, &pods).await;
}

async fn what_is_missing_is_told(world: &World) {
    for kind in ["endpointslices", "pods"] {
        world.until("it has tried several times", async || informer(world, kind).await["failures"].as_u64().unwrap() >= 3).await;
        let told = lines(world, 0, &["no right to watch", kind]);
        assert!(told.len() == 1 && told[0].contains(&format!("watch {kind} is forbidden, bind a role")), "said once: {told:#?}");
        assert!(informer(world, kind).await["forbidden"].as_str().unwrap().contains(&format!("{kind} is forbidden")));
        let (_, status) = world.replicas[0].ask(&["status"]).await;
        assert!(status.contains(&format!("{kind} is forbidden")), "{status}");
    }
    let [slices, pods, snapshot] = ["endpoint-slices", "metadata", "snapshot"];
    assert!(diagnosis(world, slices).await[0].starts_with("mend: \"not granted: get, list, watch endpointslices"));
    // To get one of them is a right that events come with.
    assert!(diagnosis(world, pods).await[0].contains("list, watch pods"));
    assert!(diagnosis(world, snapshot).await[0].starts_with("advice: "));
    let (code, report) = world.replicas[0].ask(&["doctor"]).await;
    assert!(code == 1 && report.contains("deploy/rbac/endpoint-slices"), "{report}");
}

async fn what_goes_on(world: &World) {
    // One of the two leads and would save.
    let told = async || (0..2).any(|replica| !lines(world, replica, &["no right to keep a snapshot"]).is_empty());
    world.until("it is told that no snapshot is kept", told).await;
    for replica in 0..2 {
        assert!(lines(world, replica, &["no right to keep a snapshot"]).len() <= 1);
        assert_eq!(lines(world, replica, &["no snapshot is saved"]), Vec::<String>::new());
    }

    // Not an empty 200, which would take tags and checks away.
    for (path, wanted) in [("/api/v1/tags/pod/node-0", 503), ("/api/v1/tags/node/node-0", 200), ("/api/v1/tags/namespace/shop", 200)] {
        assert_eq!(world.replicas[0].get(path).await.0, wanted, "{path}");
    }
    world.runners.assert_well();
}

async fn granting_it_heals(world: &World, slices: &Json, pods: &Json) {
    let before = world.runners.owners();
    world.admin.create(SLICES, slices).await.unwrap();
    world.admin.create(IN_NAMESPACE, pods).await.unwrap();
    world.until("the endpoint checks run", async || world.complete()).await;
    for kind in ["endpointslices", "pods"] {
        let well = async || {
            let informer = informer(world, kind).await;
            informer["forbidden"].is_null() && informer["synced"] == true
        };
        world.until(&format!("{kind} are watched"), well).await;
    }
    world.until("pods are told of", async || world.replicas[0].get("/api/v1/tags/pod/node-0").await.0 == 200).await;
    assert!(diagnosis(world, "endpoint-slices").await[0].starts_with("well: "));
    world.until_settled().await;
    assert_eq!(world.runners.owners(), before, "nothing else moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_moves_nothing() {
    let mut world = prepare().await;
    world.run().await;
    for replica in world.replicas.iter().filter(|replica| replica.runs()) {
        world.until("pods are told of", async || replica.get("/api/v1/tags/pod/node-0").await.0 == 200).await;
    }
    let prober = world.prober();
    world.until_led(&prober).await;
    let before = Before::note(&world);
    world.plane.kill_api_server().unwrap();
    world.until("the leader falls silent when its lease is over", async || prober.leader().is_none()).await;
    let failed = world.sums().failed;
    // Nothing depends on how long it lasts but leases, which are over, and runners, which must not be forgotten.
    sleep(FORGOTTEN_AFTER + Duration::from_secs(2)).await;
    assert_eq!(prober.leader(), None, "nobody leads without a lock");
    let runner = world.runners.accounts().into_keys().next().unwrap();
    for replica in world.replicas.iter().filter(|replica| replica.runs()) {
        let (status, _) = replica.get(&format!("/api/v1/clusterchecks/configs/{runner}")).await;
        assert_eq!(status, 503, "{}", replica.name);
        let (status, _) = replica.get("/api/v1/endpointschecks/configs/node-0").await;
        assert_eq!(status, 503, "{}", replica.name);
        // What is known of nodes and pods is still told.
        assert_eq!(replica.get("/api/v1/tags/pod/node-0").await.0, 200, "{}", replica.name);
    }
    assert!(world.sums().failed > failed);
    world.plane.restart_api_server().await.unwrap();
    world.until_led(&prober).await;
    // Twice: the second time, a runner that was forgotten by mistake has lost its checks.
    for _ in 0..2 {
        world.until_all_polled().await;
    }
    before.assert_unnoticed(&world, "the API server was away");
    prober.assert_one_leader();
}

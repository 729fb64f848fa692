//! Vectors of cluster-checks 15: the status and configs protocol.

use actix_http::StatusCode;
use muster_actors::domain::handover::{Confirmation, Transfer};
use muster_actors::domain::ids::Stamp;
use muster_actors::domain::world::{Moving, NodeKind, Standing};

use crate::client::Call;
use crate::site::{CLUSTER, FakeNode, LOCAL, Setup, Site, config};

const UP_TO_DATE: &str = r#"{"isuptodate":true}"#;
const OUT_OF_DATE: &str = r#"{"isuptodate":false}"#;

fn node(stamp: i64, configs: &[&str]) -> FakeNode {
    FakeNode { stamp, configs: configs.iter().map(|name| config(name)).collect(), ..FakeNode::default() }
}

#[actix_rt::test]
async fn cc_t16_warm_up_keeps_what_agents_run() {
    let site = Site::start().await;
    site.arrange(|cluster| cluster.standing = Standing::WarmingUp).await;
    let reply = site.status("n1", r#"{"last_change":77,"node_type":1}"#).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, UP_TO_DATE));
    let known = site.node("n1").await.unwrap();
    assert_eq!((known.stamp, known.kind), (0, NodeKind::Runner));
    assert_eq!(site.status("n1", r#"{"last_change":78}"#).await.text(), UP_TO_DATE, "known by now, still warming up");
    for path in ["/api/v1/clusterchecks/configs/n1", "/api/v1/endpointschecks/configs/node-a"] {
        let reply = site.get(path).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"), "{path}");
    }
    let state = site.get("/api/v1/clusterchecks").await;
    assert_eq!(state.text(), r#"{"not_running":"","warmup":true,"nodes":[{"name":"n1","configs":[]}],"dangling":[]}"#);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t17_versions_are_compared_for_equality() {
    let site = Site::start().await;
    site.arrange(|cluster| drop(cluster.nodes.insert("n1".to_owned(), node(1_730_000_000_123_456_789, &["redisdb"])))).await;
    for (last_change, expected) in
        [("77", OUT_OF_DATE), ("1730000000123456789", UP_TO_DATE), ("-1", UP_TO_DATE), ("1730000000123456788", OUT_OF_DATE)]
    {
        let reply = site.status("n1", &format!("{{\"last_change\":{last_change}}}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, expected), "{last_change}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    assert_eq!(site.heartbeats().await, 4, "every poll is a heartbeat");
    assert_eq!(site.node("n1").await.unwrap().stamp, 1_730_000_000_123_456_789);
    site.stop().await;
}

#[actix_rt::test]
async fn agents_that_honour_grants_are_told_for_how_long_and_nobody_else_is() {
    let site = Site::start().await;
    site.arrange(|cluster| drop(cluster.nodes.insert("n1".to_owned(), node(7, &["redisdb"])))).await;
    let body = |last_change: i64| format!("{{\"last_change\":{last_change},\"node_type\":1,\"muster_grants\":true}}");
    for (last_change, expected) in [(7, r#"{"isuptodate":true,"grant_seconds":30}"#), (6, r#"{"isuptodate":false,"grant_seconds":30}"#)] {
        assert_eq!(site.status("n1", &body(last_change)).await.text(), expected);
    }
    for stock in [r#"{"last_change":7,"node_type":1}"#, r#"{"last_change":7,"muster_grants":false}"#] {
        assert_eq!(site.status("n1", stock).await.text(), UP_TO_DATE);
    }
    assert_eq!(site.status("n2", &body(0)).await.text(), r#"{"isuptodate":true,"grant_seconds":30}"#, "a node that is new");
    site.arrange(|cluster| cluster.standing = Standing::WarmingUp).await;
    assert_eq!(site.status("n1", &body(5)).await.text(), r#"{"isuptodate":true,"grant_seconds":0}"#, "it says nothing about the set");
    site.stop().await;
}

#[actix_rt::test]
async fn a_config_on_its_way_does_not_vanish() {
    let site = Site::start().await;
    site.arrange(|cluster| {
        let moving = |name: &str, waits_for| Moving {
            config: config(name),
            transfer: Transfer { from: "a".into(), to: Some("b".into()), waits_for, stamp: Stamp(8) },
        };
        cluster.nodes.insert("a".to_owned(), node(7, &["redisdb"]));
        cluster.nodes.insert("b".to_owned(), node(8, &["redisdb"]));
        cluster.moving = vec![moving("nginx", Confirmation::Stopped), moving("redisdb", Confirmation::Started)];
    })
    .await;
    let state = site.get("/api/v1/clusterchecks").await.json();
    assert_eq!(state["dangling"].as_array().unwrap().len(), 1, "both nodes have the other one");
    assert_eq!(state["dangling"][0]["check_name"], "nginx");
    let moving = site.get("/api/v1/muster/assignments").await.json()["moving"].clone();
    let seen =
        |index: usize| [&moving[index]["config"]["check_name"], &moving[index]["from"], &moving[index]["to"], &moving[index]["waits_for"]];
    assert_eq!(seen(0), ["nginx", "a", "b", "stopped"]);
    assert_eq!(seen(1), ["redisdb", "a", "b", "started"]);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t18_new_nodes_are_registered_by_their_first_poll() {
    let site = Site::start().await;
    assert_eq!(site.status("n9", r#"{"last_change":0}"#).await.text(), UP_TO_DATE);
    assert_eq!(site.status("n8", r#"{"last_change":5}"#).await.text(), OUT_OF_DATE);
    assert_eq!(site.get("/api/v1/clusterchecks/configs/n8").await.text(), r#"{"last_change":0,"configs":[]}"#);
    assert_eq!(site.status("n8", r#"{"last_change":0}"#).await.text(), UP_TO_DATE);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t19_unknown_nodes() {
    let site = Site::start().await;
    let reply = site.get("/api/v1/clusterchecks/configs/ghost").await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "node ghost is unknown\n"));
    let reply = site.get("/api/v1/endpointschecks/configs/ghost").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"last_change":0,"configs":[]}"#));
    assert!(site.node("ghost").await.is_none(), "reading registers nobody");
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t20_odd_requests_of_stock_agents() {
    let site = Site::start().await;
    let post = |body: &str, address: Option<&str>| {
        let call = Call::post("/api/v1/clusterchecks/status/n1", body).bearer(CLUSTER);
        match address {
            Some(address) => call.header("X-Real-Ip", address),
            None => call,
        }
    };
    let reply = site.call(&post(r#"{"last_change":0,"node_type":2}"#, Some(""))).await;
    assert_eq!(reply.status, 200);
    let known = site.node("n1").await.unwrap();
    assert_eq!((known.kind, known.address.as_str()), (NodeKind::NodeAgent, ""));
    let reply = site.call(&post(r#"{"last_change":0}"#, Some("10.0.0.300"))).await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "cannot parse CLC runner address: 10.0.0.300\n"));
    assert_eq!(site.call(&post(r#"{"last_change":0}"#, Some("fd00::7"))).await.status, 200);
    assert_eq!(site.node("n1").await.unwrap().address, "fd00::7");
    let before = site.heartbeats().await;
    let reply = site.call(&post(r#"{"last_change":"1"}"#, None)).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("invalid type: string"), "{}", reply.text());
    assert_eq!(site.heartbeats().await, before, "a body that cannot be read is no heartbeat");
    site.arrange(|cluster| drop(cluster.nodes.insert("n1".to_owned(), node(3, &[])))).await;
    assert_eq!(site.call(&post(r#"{"LAST_CHANGE":3,"x":1}"#, None)).await.text(), UP_TO_DATE);
    assert_eq!(site.call(&post("null", None)).await.text(), OUT_OF_DATE, "null is 0");
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t21_an_empty_address_erases_nothing() {
    let site = Site::start().await;
    let post =
        |address: &str| Call::post("/api/v1/clusterchecks/status/n1", r#"{"last_change":0}"#).bearer(CLUSTER).header("X-Real-Ip", address);
    for (address, expected) in [("10.0.0.1", "10.0.0.1"), ("10.0.0.2", "10.0.0.2"), ("", "10.0.0.2")] {
        assert_eq!(site.call(&post(address)).await.status, 200);
        assert_eq!(site.node("n1").await.unwrap().address, expected);
    }
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t22_everything_is_503_while_the_role_is_unknown() {
    let site = Site::start().await;
    site.arrange(|cluster| cluster.standing = Standing::Starting).await;
    for call in [
        Call::post("/api/v1/clusterchecks/status/n1", r#"{"last_change":0}"#),
        Call::get("/api/v1/clusterchecks/configs/n1"),
        Call::get("/api/v1/endpointschecks/configs/n1"),
        Call::get("/api/v1/endpointschecks/configs"),
    ] {
        let reply = site.call(&call.clone().bearer(CLUSTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"), "{call:?}");
    }
    let state = site.get("/api/v1/clusterchecks").await;
    assert_eq!(
        (state.status, state.text().as_str()),
        (200, r#"{"not_running":"Startup in progress","warmup":false,"nodes":null,"dangling":null}"#)
    );
    assert_eq!(site.heartbeats().await, 0);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t22_actors_that_do_not_answer_are_503() {
    let site = Site::with(Setup { cluster_runs: false, ..Setup::default() }).await;
    let reply = site.status("n1", r#"{"last_change":0}"#).await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"));
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t23_a_leader_ignores_the_header_of_forwarded_requests() {
    let site = Site::start().await;
    let call =
        Call::post("/api/v1/clusterchecks/status/n1", r#"{"last_change":0}"#).bearer(CLUSTER).header("X-DCA-Follower-Forwarded", "true");
    let mut connection = site.connect().await;
    let reply = connection.call(&call).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, UP_TO_DATE));
    assert_eq!(reply.header("X-DCA-Forwarded"), None);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t24_refusals_come_before_everything() {
    let site = Site::start().await;
    let path = "/api/v1/clusterchecks/status/n1";
    let call = Call::post(path, r#"{"last_change":0}"#);
    assert_eq!(site.call(&call).await.status, 401);
    assert_eq!(site.call(&call.clone().header("Authorization", "Basic x")).await.status, 401);
    let reply = site.call(&call.clone().bearer("wrong")).await;
    assert_eq!((reply.status, reply.text().as_str()), (403, "invalid session token\n"));
    assert_eq!(site.call(&call.bearer(LOCAL)).await.status, 403, "agents have the cluster token");
    assert_eq!(site.heartbeats().await, 0);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t24_with_the_feature_off_the_routes_are_unknown() {
    let site = Site::with(Setup { checks_enabled: false, ..Setup::default() }).await;
    for call in [
        Call::post("/api/v1/clusterchecks/status/n1", "{}"),
        Call::get("/api/v1/clusterchecks/configs/n1"),
        Call::get("/api/v1/clusterchecks"),
        Call::get("/api/v1/endpointschecks/configs/n1"),
        Call::get("/api/v1/endpointschecks/configs"),
        Call::get("/api/v1/muster/assignments"),
    ] {
        let reply = site.call(&call.clone().bearer(CLUSTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "404 page not found\n"), "{call:?}");
    }
    assert_eq!(site.get("/version").await.status, 200);
    site.stop().await;
}

#[actix_rt::test]
async fn a_fetch_gives_the_whole_set_with_its_version() {
    let site = Site::start().await;
    site.arrange(|cluster| drop(cluster.nodes.insert("n1".to_owned(), node(42, &["redisdb"])))).await;
    let reply = site.get("/api/v1/clusterchecks/configs/n1").await;
    assert_eq!(
        reply.text(),
        concat!(
            r#"{"last_change":42,"configs":[{"check_name":"redisdb","instances":["ZW1wdHlfZGVmYXVsdF9ob3N0bmFtZTogdHJ1ZQpob3N0OiBhCg=="],"#,
            r#""init_config":"e30K","metric_config":null,"logs":null,"ad_identifiers":null,"advanced_ad_identifiers":null,"#,
            r#""provider":"file","service_id":"","cluster_check":false,"node_name":"","source":"file:/conf.d/redisdb.yaml","#,
            r#""ignore_autodiscovery_tags":false,"check_tag_cardinality":"","metrics_excluded":false,"logs_excluded":false}]}"#
        )
    );
    assert_eq!(site.get("/api/v1/clusterchecks/configs/n1").await.body, reply.body, "the second one from the cache");
    assert_eq!(site.heartbeats().await, 0, "reading is no heartbeat");
    site.stop().await;
}

#[actix_rt::test]
async fn endpoint_configs_are_503_until_discovery_is_synced() {
    let site = Site::start().await;
    site.arrange(|cluster| {
        cluster.endpoints.insert("node-a".to_owned(), vec![config("redisdb")]);
        cluster.endpoints.insert("node-b".to_owned(), vec![config("postgres")]);
        cluster.synced = false;
    })
    .await;
    for path in ["/api/v1/endpointschecks/configs/node-a", "/api/v1/endpointschecks/configs"] {
        assert_eq!(site.get(path).await.status, 503, "{path}");
    }
    site.arrange(|cluster| cluster.synced = true).await;
    let one = site.get("/api/v1/endpointschecks/configs/node-a").await.json();
    assert_eq!((one["last_change"].as_i64(), one["configs"][0]["check_name"].as_str()), (Some(0), Some("redisdb")));
    let all = site.get("/api/v1/endpointschecks/configs").await.json();
    assert_eq!(all["configs"].as_array().unwrap().len(), 2);
    assert_eq!(all["last_change"], 0);
    site.stop().await;
}

#[actix_rt::test]
async fn the_state_names_nodes_ids_and_dangling_configs_without_secrets() {
    let site = Site::start().await;
    assert_eq!(site.get("/api/v1/clusterchecks").await.text(), r#"{"not_running":"","warmup":false,"nodes":null,"dangling":[]}"#);
    site.arrange(|cluster| {
        let mut secret = (*config("postgres")).clone();
        secret.config.instances = vec!["password: s3cr3t\n".into()];
        cluster.nodes.insert("b".to_owned(), node(7, &["redisdb"]));
        cluster.nodes.insert("a".to_owned(), FakeNode { configs: vec![secret.into()], ..node(8, &[]) });
        cluster.dangling = vec![config("nginx")];
    })
    .await;
    let state = site.get("/api/v1/clusterchecks").await.json();
    assert_eq!(state["nodes"][0]["name"], "a", "sorted");
    assert_eq!(state["nodes"][0]["configs"][0]["config"]["instances"][0], "cGFzc3dvcmQ6ICoqKioqKioqCg==", "scrubbed");
    assert_eq!(state["nodes"][1]["configs"][0]["instance_ids"][0], "redisdb:1f00aa");
    assert_eq!(state["dangling"][0]["check_name"], "nginx");

    let assignments = site.get("/api/v1/muster/assignments").await.json();
    assert_eq!(assignments["standing"], "active");
    assert_eq!(assignments["nodes"][1]["stamp"], 7);
    assert_eq!(assignments["nodes"][1]["configs"][0]["digest"], config("redisdb").digest.to_string());
    assert_eq!(assignments["nodes"][0]["configs"][0]["config"]["instances"][0], "cGFzc3dvcmQ6ICoqKioqKioqCg==");
    assert_eq!(assignments["dangling"][0]["reason"], "no_node");
    assert_eq!(assignments["dangling"][0]["flagged"], false);
    site.stop().await;
}

#[actix_rt::test]
async fn check_routes_and_metadata_routes_are_observed_and_refusals_are_not() {
    let site = Site::start().await;
    site.status("n1", r#"{"last_change":0}"#).await;
    site.get("/api/v1/clusterchecks/configs/ghost").await;
    site.get("/api/v1/tags/node/n1").await;
    site.get("/version").await;
    site.call(&Call::get("/api/v1/clusterchecks/configs/n1")).await;
    let seen = site.observations.0.lock().unwrap().clone();
    let expected = [("postCheckStatus", StatusCode::OK), ("getCheckConfigs", StatusCode::INTERNAL_SERVER_ERROR)]
        .into_iter()
        .chain([("getNodeLabels", StatusCode::SERVICE_UNAVAILABLE)])
        .map(|(handler, status)| (handler.to_owned(), status.as_u16(), false));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    site.stop().await;
}

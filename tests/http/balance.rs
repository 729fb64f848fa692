//! Routes of balancing: stock bodies in, stock bodies out, ours beside them.

use muster::api::relay::RelayLimits;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::messages::rebalancer::Refusal;
use serde_json::json;

use crate::balancer::movement;
use crate::client::{Call, Reply};
use crate::site::{CLUSTER, FakeNode, LOCAL, Setup, Site, config};

async fn with_a_check() -> Site {
    let site = Site::start().await;
    let node = FakeNode { stamp: 7, configs: vec![config("redisdb")], ..FakeNode::default() };
    site.arrange(|cluster| drop(cluster.nodes.insert("r1".to_owned(), node))).await;
    site.desk.lock().unwrap().moves = vec![movement("redisdb")];
    site
}

async fn post(site: &Site, path: &str, body: &str) -> Reply {
    site.call(&Call::post(path, body).bearer(LOCAL)).await
}

fn asked(site: &Site) -> Vec<String> {
    std::mem::take(&mut site.desk.lock().unwrap().asked)
}

#[actix_rt::test]
async fn a_rebalance_answers_what_stock_command_lines_of_every_age_read() {
    let site = with_a_check().await;
    let reply = post(&site, "/api/v1/clusterchecks/rebalance", r#"{"force":true}"#).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        reply.text(),
        r#"[{"digest":"2c0d","check_name":"redisdb","check_weight":500,"source_node_name":"r1","source_diff":600,"dest_node_name":"r2","dest_diff":150,"check_id":"redisdb:1f00aa"}]"#
    );
    assert_eq!(asked(&site), ["evaluate force=true dry_run=false"]);
    assert_eq!(site.observations.0.lock().unwrap().clone(), [("postRebalanceChecks".to_owned(), 200, false)]);
    site.stop().await;
}

#[actix_rt::test]
async fn everything_that_is_not_true_is_no_force() {
    let site = with_a_check().await;
    for body in ["", "null", "{}", r#"{"force":false}"#, r#"{"force":null}"#, r#"{"unknown":{}}"#] {
        assert_eq!(post(&site, "/api/v1/clusterchecks/rebalance", body).await.status, 200, "{body}");
        assert_eq!(asked(&site), ["evaluate force=false dry_run=false"], "{body}");
    }
    let reply = post(&site, "/api/v1/clusterchecks/rebalance", r#"{"Dry_Run":true,"details":true}"#).await.json();
    assert_eq!(asked(&site), ["evaluate force=false dry_run=true"]);
    assert_eq!((&reply["outcome"], &reply["plan"]["generation"]), (&json!("dry_run"), &json!(7)));
    assert_eq!(reply["moves"][0]["check_id"], "redisdb:1f00aa");
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t32_what_cannot_be_done_is_said_in_stock_words() {
    let site = with_a_check().await;
    site.desk.lock().unwrap().refusal = Some(Refusal::AdvancedDispatchingOff);
    let reply = post(&site, "/api/v1/clusterchecks/rebalance", "{}").await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "no checks to rebalance: advanced dispatching is not enabled\n"));
    site.desk.lock().unwrap().refusal = Some(Refusal::NotDispatching);
    assert_eq!(post(&site, "/api/v1/clusterchecks/rebalance", "{}").await.status, 503);
    site.stop().await;
}

#[actix_rt::test]
async fn bodies_that_cannot_be_used_name_the_mend() {
    let site = with_a_check().await;
    for (path, body, status, text) in [
        ("clusterchecks/rebalance", r#"{"force":"yes"}"#, 500, "force is \"yes\"; allowed: true, false; for example: {\"force\":false}\n"),
        ("muster/plan/approve", "{}", 400, "number is missing; for example: {\"number\":1}\n"),
        (
            "muster/unpin",
            r#"{"check":7}"#,
            400,
            "check is 7; allowed: a text that is not empty; for example: {\"check\":\"http_check:example:1f00aa\"}\n",
        ),
        (
            "muster/pin",
            r#"{"check":"a"}"#,
            400,
            "node is missing; for example: {\"check\":\"http_check:example:1f00aa\",\"node\":\"runner-1\"}\n",
        ),
    ] {
        let reply = post(&site, &format!("/api/v1/{path}"), body).await;
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{path}");
    }
    for path in ["clusterchecks/rebalance", "muster/release", "muster/isolate/end"] {
        let reply = post(&site, &format!("/api/v1/{path}"), "[force]").await;
        assert!(reply.status >= 400 && reply.text().contains("is not a JSON object"), "{path}: {}", reply.text());
    }
    for query in ["", "?check=", "?check=a&node=b"] {
        let reply = site.get(&format!("/api/v1/muster/explain{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains("explain?check=NAME"), "{}", reply.text());
    }
    assert_eq!(asked(&site), Vec::<String>::new());
    site.stop().await;
}

#[actix_rt::test]
async fn a_check_is_isolated_by_its_id_whatever_signs_that_holds() {
    let site = with_a_check().await;
    let isolate = async |id: &str| post(&site, &format!("/api/v1/clusterchecks/isolate/check/{id}"), "").await;
    let reply = isolate("postgres:1b29ce4bd757d0dd").await;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, r#"{"check_id":"postgres:1b29ce4bd757d0dd","check_node":"r1","is_isolated":true,"reason":""}"#)
    );
    let reply = isolate("alone:1").await;
    assert_eq!(reply.text(), r#"{"check_id":"alone:1","check_node":"","is_isolated":false,"reason":"No other runners available"}"#);
    assert_eq!(isolate("http_check:My%20service%C3%A4:aa").await.json()["check_id"], "http_check:My serviceä:aa");
    assert_eq!(isolate("http_check:https:%2F%2Fshop%2Fcart:aa").await.json()["check_id"], "http_check:https://shop/cart:aa");
    assert_eq!(isolate("http_check:https://shop/cart/:aa").await.json()["check_id"], "http_check:https://shop/cart/:aa");
    assert_eq!(isolate("").await.status, 404);
    assert_eq!(site.get("/api/v1/clusterchecks/isolate/check/a:1").await.status, 405);
    let seen = site.observations.0.lock().unwrap().clone();
    assert_eq!(seen.iter().filter(|seen| seen.0 == "postIsolateCheck").count(), 5, "{seen:?}");
    site.stop().await;
}

#[actix_rt::test]
async fn plans_are_shown_and_approved() {
    let site = with_a_check().await;
    let reply = site.call(&Call::get("/api/v1/muster/plan").bearer(LOCAL)).await.json();
    assert_eq!((&reply["next"]["outcome"], &reply["next"]["plan"]["moves"][0]["to"]), (&json!("dry_run"), &json!("r2")));
    assert_eq!((&reply["pending"]["number"], &reply["pending"]["plan"]["moves"][0]["check_name"]), (&json!(3), &json!("postgres")));
    assert_eq!(asked(&site), ["evaluate force=false dry_run=true"]);
    assert_eq!(post(&site, "/api/v1/muster/plan/approve", r#"{"number":3}"#).await.json()["outcome"], "applied");
    let reply = post(&site, "/api/v1/muster/plan/approve", r#"{"number":4}"#).await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().starts_with("no plan 4 waits for approval"), "{}", reply.text());
    site.stop().await;
}

#[actix_rt::test]
async fn demands_are_passed_on_and_listed() {
    let site = with_a_check().await;
    let reply = post(&site, "/api/v1/muster/pin", r#"{"check":"redisdb","node":"r1"}"#).await;
    assert_eq!(
        reply.json(),
        json!({"change": {"pin": {"key": "0".repeat(31) + "1", "node": "r1"}}, "check": "redisdb (redisdb:1f00aa)", "moved": 1})
    );
    for (path, body) in [("unpin", r#"{"check":"a"}"#), ("isolate/end", r#"{"check":"b"}"#), ("release", r#"{"check":"c"}"#)] {
        assert_eq!(post(&site, &format!("/api/v1/muster/{path}"), body).await.status, 200, "{path}");
    }
    let heard = asked(&site);
    assert_eq!(heard[0], r#"Pin { check: "redisdb", node: "r1" }"#);
    assert_eq!(heard[1..], [r#"Unpin { check: "a" }"#, r#"EndIsolation { check: "b" }"#, r#"Release { check: "c" }"#]);
    site.desk.lock().unwrap().refusal = Some(Refusal::UnknownCheck("zz".to_owned()));
    assert_eq!(post(&site, "/api/v1/muster/unpin", r#"{"check":"zz"}"#).await.status, 404);
    site.arrange(|cluster| {
        cluster.constraints.pinned.insert(config("redisdb").key, "r9".into());
        cluster.constraints.isolated.insert("r1".into(), config("gone").key);
    })
    .await;
    let listed = site.get("/api/v1/muster/constraints").await.json();
    let pin = &listed["pins"][0];
    assert_eq!((&pin["check_name"], &pin["check_id"], &pin["node"]), (&json!("redisdb"), &json!("redisdb:1f00aa"), &json!("r9")));
    assert_eq!((&listed["isolations"][0]["check_name"], &listed["isolations"][0]["node"]), (&json!(""), &json!("r1")));
    assert_eq!((&listed["quarantines"], &listed["moving"]), (&json!([]), &json!([])));
    site.stop().await;
}

#[actix_rt::test]
async fn a_check_or_a_node_is_explained() {
    let site = with_a_check().await;
    let check = site.get("/api/v1/muster/explain?check=http_check%3Aa%20b%2Fc%3A1").await.json();
    assert_eq!((&check["node"], &check["candidates"][0]["ruled_out"]["reason"]), (&json!("r1"), &json!("inside_band")));
    assert_eq!(site.get("/api/v1/muster/explain?node=r1").await.json()["node"], "r1");
    assert_eq!(asked(&site), ["explain check http_check:a b/c:1", "explain node r1"]);
    site.stop().await;
}

#[actix_rt::test]
async fn a_follower_passes_commands_of_its_machine_on_with_the_token_of_the_cluster() {
    // The leader is another machine: it does not know the local token of the follower.
    let leader = Site::with(Setup { local_token: None, ..Setup::default() }).await;
    let refused = leader.call(&Call::post("/api/v1/clusterchecks/rebalance", "{}").bearer(LOCAL)).await;
    assert_eq!(refused.status, 403);
    let leadership = Leadership {
        role: Role::Follower,
        epoch: Epoch(3),
        leader: "dca-1".to_owned(),
        address: Some(leader.address.to_string()),
        valid_until: None,
    };
    let relay = Some(("127.0.0.1:1".to_owned(), RelayLimits::default()));
    let site = Site::with(Setup { leadership, relay, ..Setup::default() }).await;
    let reply = post(&site, "/api/v1/clusterchecks/rebalance", r#"{"force":true}"#).await;
    assert_eq!((reply.status, reply.header("x-dca-forwarded")), (200, Some("true")));
    let reply = post(&site, "/api/v1/clusterchecks/isolate/check/a:%2F%2Fb:1", "").await;
    assert_eq!(reply.json()["check_id"], "a://b:1");
    assert_eq!(site.call(&Call::get("/api/v1/muster/explain?node=r1").bearer(LOCAL)).await.status, 200);
    assert_eq!(asked(&leader), ["evaluate force=true dry_run=false", "isolate a://b:1", "explain node r1"]);
    assert_eq!(asked(&site), Vec::<String>::new());
    let wrong = site.call(&Call::post("/api/v1/clusterchecks/rebalance", "{}").bearer("wrong")).await;
    assert_eq!(wrong.status, 403, "only who may ask here is passed on");
    assert!(site.observations.0.lock().unwrap().contains(&("postRebalanceChecks".to_owned(), 200, true)));
    site.stop().await;
    leader.stop().await;
}

#[actix_rt::test]
async fn without_a_leader_or_without_checks_nothing_is_balanced() {
    let site = Site::with(Setup { leadership: Leadership::default(), ..Setup::default() }).await;
    for call in
        [Call::post("/api/v1/clusterchecks/rebalance", "{}"), Call::get("/api/v1/muster/plan"), Call::get("/api/v1/muster/constraints")]
    {
        let reply = site.call(&call.bearer(LOCAL)).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"));
    }
    site.stop().await;
    let site = Site::with(Setup { checks_enabled: false, ..Setup::default() }).await;
    for call in [
        Call::post("/api/v1/clusterchecks/rebalance", "{}"),
        Call::post("/api/v1/clusterchecks/isolate/check/a:1", ""),
        Call::get("/api/v1/muster/plan"),
    ] {
        assert_eq!(site.call(&call.bearer(CLUSTER)).await.status, 404);
    }
    site.stop().await;
}

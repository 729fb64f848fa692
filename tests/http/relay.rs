//! Followers pass on what only the leader answers, and nobody answers for the cluster who does not lead.

use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpMessage as _, Request};
use muster::api::listener::{Answer, Application, BoundServer};
use muster::api::relay::RelayLimits;
use muster::api::reply;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::world::Standing;
use serde_json::json;

use crate::client::Call;
use crate::site::{CLUSTER, FakeNode, Setup, Site, config, leader, reachable, serve};

const OWN: &str = "127.0.0.1:1";

fn follower_of(address: Option<String>) -> Leadership {
    Leadership { role: Role::Follower, epoch: Epoch(3), leader: "dca-1".to_owned(), address, valid_until: None }
}

async fn follower(address: Option<String>) -> Site {
    follower_with(address, RelayLimits::default()).await
}

async fn follower_with(address: Option<String>, limits: RelayLimits) -> Site {
    let setup = Setup { leadership: follower_of(address), relay: Some((OWN.to_owned(), limits)), ..Setup::default() };
    let site = Site::with(setup).await;
    // A follower publishes no table.
    site.arrange(|cluster| cluster.standing = Standing::Starting).await;
    site
}

fn status(node: &str) -> Call {
    Call::post(&format!("/api/v1/clusterchecks/status/{node}"), r#"{"last_change":0,"node_type":1}"#).bearer(CLUSTER)
}

/// Answers with what it was asked.
struct Echo;

impl Application for Echo {
    fn answer(self: &Arc<Self>, request: Request) -> Answer {
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let target = request.uri().path_and_query().unwrap().to_string();
        let reply = reply::json_value(&json!({ "method": request.method().as_str(), "target": target, "headers": headers }));
        Answer::Now(reply::with_header(
            reply,
            actix_http::header::HeaderName::from_static("x-own"),
            actix_http::header::HeaderValue::from_static("kept"),
        ))
    }
}

/// Takes requests and never answers.
struct Silence;

impl Application for Silence {
    fn answer(self: &Arc<Self>, _: Request) -> Answer {
        Answer::Later(Box::pin(std::future::pending()))
    }
}

fn listen(application: impl Application) -> (BoundServer, String) {
    let server = serve(&Setup::default(), application);
    let address = reachable(&server).to_string();
    (server, address)
}

#[actix_rt::test]
async fn cc_t22_a_follower_passes_polls_on_and_answers_the_state_itself() {
    let leader = Site::start().await;
    leader
        .arrange(|cluster| {
            drop(cluster.nodes.insert("n1".to_owned(), FakeNode { stamp: 7, configs: vec![config("redisdb")], ..FakeNode::default() }));
        })
        .await;
    let site = follower(Some(leader.address.to_string())).await;
    for path in ["/api/v1/clusterchecks/configs/n1", "/api/v1/endpointschecks/configs/k1"] {
        let (there, here) = (leader.get(path).await, site.get(path).await);
        assert_eq!((here.status, &here.body, here.header("content-type")), (200, &there.body, there.header("content-type")), "{path}");
        assert_eq!((here.header("x-dca-forwarded"), there.header("x-dca-forwarded")), (Some("true"), None));
    }
    let reply = site.call(&status("n2")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"isuptodate":true}"#));
    assert!(leader.node("n2").await.is_some() && site.node("n2").await.is_none());
    let unknown = site.get("/api/v1/clusterchecks/configs/ghost").await;
    assert_eq!((unknown.status, unknown.text().as_str()), (500, "node ghost is unknown\n"));
    let state = site.get("/api/v1/clusterchecks").await;
    assert_eq!(state.text(), r#"{"not_running":"currently follower","warmup":false,"nodes":null,"dangling":null}"#);
    let seen = site.observations.0.lock().unwrap().clone();
    assert!(seen.contains(&("getCheckConfigs".to_owned(), 200, true)) && seen.contains(&("postCheckStatus".to_owned(), 200, true)));
    assert!(seen.contains(&("getState".to_owned(), 200, false)), "{seen:?}");
    site.stop().await;
    leader.stop().await;
}

#[actix_rt::test]
async fn what_is_passed_on_is_what_came_and_says_where_from() {
    let (server, address) = listen(Echo);
    let site = follower(Some(address.clone())).await;
    let call = Call::get("/api/v1/clusterchecks/configs/n%20%C3%A4?a=b%20c&d")
        .bearer(CLUSTER)
        .header("X-Real-Ip", "10.0.0.7")
        .header("X-Forwarded-For", "10.0.0.9")
        .header("Connection", "x-secret-hop")
        .header("X-Secret-Hop", "1");
    let reply = site.call(&call).await;
    assert_eq!((reply.status, reply.header("x-own"), reply.header("x-dca-forwarded")), (200, Some("kept"), Some("true")));
    let seen = reply.json();
    assert_eq!(
        (seen["method"].as_str(), seen["target"].as_str()),
        (Some("GET"), Some("/api/v1/clusterchecks/configs/n%20%C3%A4?a=b%20c&d"))
    );
    let header = |name: &str| -> Vec<&str> {
        let headers = seen["headers"].as_array().unwrap();
        headers.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
    };
    assert_eq!(header("authorization"), [format!("Bearer {CLUSTER}")]);
    assert_eq!(header("x-real-ip"), ["10.0.0.7"]);
    assert_eq!(header("x-forwarded-for"), ["10.0.0.9, 127.0.0.1"]);
    assert_eq!(header("x-dca-follower-forwarded"), ["true"]);
    assert_eq!(header("user-agent"), ["Go-http-client/1.1"]);
    assert_eq!(header("host"), [address]);
    assert!(header("x-secret-hop").is_empty());
    site.stop().await;
    server.stop().await;
}

#[actix_rt::test]
async fn cc_t23_what_was_passed_on_once_is_not_passed_on_again() {
    let leader = Site::start().await;
    let site = follower(Some(leader.address.to_string())).await;
    let reply = site.call(&status("n1").header("X-DCA-Follower-Forwarded", "true")).await;
    assert_eq!((reply.status, reply.header("x-dca-forwarded")), (508, Some("true")));
    assert!(reply.text().starts_with("Query was already forwarded from: 127.0.0.1:"), "{}", reply.text());
    assert_eq!(leader.heartbeats().await, 0, "nobody was called");
    let reply = leader.call(&status("n1").header("X-DCA-Follower-Forwarded", "true")).await;
    assert_eq!(reply.status, 200, "a leader ignores the mark");
    site.stop().await;
    leader.stop().await;
}

#[actix_rt::test]
async fn two_followers_that_take_each_other_for_the_leader_stop_at_508() {
    let (one, two) = (follower(None).await, follower(None).await);
    one.leadership.publish(follower_of(Some(two.address.to_string())));
    two.leadership.publish(follower_of(Some(one.address.to_string())));
    let reply = one.call(&status("n1")).await;
    assert_eq!(reply.status, 508);
    assert_eq!(one.observations.0.lock().unwrap().len() + two.observations.0.lock().unwrap().len(), 2);
    one.stop().await;
    two.stop().await;
}

#[actix_rt::test]
async fn a_leader_that_is_not_there_is_502() {
    let (server, address) = listen(Echo);
    server.stop().await;
    let site = follower(Some(address)).await;
    let reply = site.call(&status("n1")).await;
    assert_eq!((reply.status, reply.body.len(), reply.header("x-dca-forwarded")), (502, 0, Some("true")));
    assert_eq!(site.observations.0.lock().unwrap().clone(), [("postCheckStatus".to_owned(), 502, true)]);
    site.stop().await;
}

#[actix_rt::test]
async fn a_leader_that_does_not_answer_is_502_also_for_those_who_wait_for_a_connection() {
    let (server, address) = listen(Silence);
    let limits = RelayLimits { connections: 1, head: Duration::from_millis(200), ..RelayLimits::default() };
    let site = follower_with(Some(address), limits).await;
    let (one, two) = (status("n1"), status("n2"));
    let (one, two) = futures_util::future::join(site.call(&one), site.call(&two)).await;
    assert_eq!((one.status, two.status), (502, 502));
    site.stop().await;
    server.stop().await;
}

#[actix_rt::test]
async fn without_a_way_to_the_leader_a_follower_is_503() {
    for (address, body) in [(None, "\n"), (Some(OWN.to_owned()), "\n")] {
        let site = follower(address).await;
        let reply = site.call(&status("n1")).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, body));
        site.stop().await;
    }
    let site = Site::with(Setup { leadership: follower_of(Some(OWN.to_owned())), ..Setup::default() }).await;
    let reply = site.call(&status("n1")).await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "Follower unable to forward as leaderForwarder is not available yet\n"));
    site.stop().await;
}

#[actix_rt::test]
async fn a_leader_that_slept_through_its_lease_answers_nobody_from_the_first_request_on() {
    let site = Site::start().await;
    site.arrange(|cluster| drop(cluster.nodes.insert("n1".to_owned(), FakeNode::default()))).await;
    assert_eq!(site.call(&status("n1")).await.status, 200);
    // Its actors have not noticed: the table is still published.
    site.leadership.publish(Leadership { valid_until: Some(Duration::ZERO), ..leader() });
    let heartbeats = site.heartbeats().await;
    for call in [
        status("n1"),
        Call::get("/api/v1/clusterchecks/configs/n1").bearer(CLUSTER),
        Call::get("/api/v1/endpointschecks/configs/k1").bearer(CLUSTER),
    ] {
        let reply = site.call(&call).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"), "{call:?}");
    }
    assert_eq!(site.get("/api/v1/clusterchecks").await.json()["not_running"], "Startup in progress");
    assert_eq!(site.heartbeats().await, heartbeats);
    site.stop().await;
}

#[actix_rt::test]
async fn cc_t22_an_unknown_leader_is_503_before_anything_else() {
    let site = Site::with(Setup { leadership: Leadership::default(), ..Setup::default() }).await;
    let reply = site.call(&status("n1")).await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "Startup in progress\n"));
    let state = site.get("/api/v1/clusterchecks").await;
    assert_eq!(state.text(), r#"{"not_running":"Startup in progress","warmup":false,"nodes":null,"dangling":null}"#);
    assert_eq!(site.get("/version").await.status, 200);
    site.stop().await;
}

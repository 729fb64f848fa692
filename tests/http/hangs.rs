//! Clients that take their time, and handlers that do: everything is cut off. The configured times are short here.

use std::time::Duration;

use crate::client::{Call, Connection};
use crate::site::{CLUSTER, Mood, Setup, Site};
use muster::api::body::BodyLimits;

const SHORT: Duration = Duration::from_millis(50);

const POST_HEAD: &str =
    "POST /api/v1/clusterchecks/status/n1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n";

#[actix_rt::test]
async fn a_first_head_that_never_ends_is_408() {
    let site = Site::with(Setup { head_timeout: SHORT, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    connection.send(b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert_eq!(connection.reply(true).await.unwrap().status, 408);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn a_connection_without_a_request_is_cut_off() {
    let site = Site::with(Setup { head_timeout: SHORT, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    assert_eq!(connection.reply(true).await.unwrap().status, 408);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn a_later_head_that_never_ends_is_cut_off() {
    let site = Site::with(Setup { head_timeout: SHORT, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    assert_eq!(connection.call(&Call::get("/version").bearer(CLUSTER)).await.status, 200);
    connection.send(b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn a_head_that_began_behind_another_request_is_cut_off_too() {
    let site = Site::with(Setup { keep_alive: SHORT, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    let mut bytes = Call::get("/version").bearer(CLUSTER).bytes();
    bytes.extend(b"GET /version HTTP/1.1\r\nHo");
    connection.send(&bytes).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let site = Site::with(Setup { keep_alive: SHORT, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    assert_eq!(connection.call(&Call::get("/version").bearer(CLUSTER)).await.status, 200);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn a_body_that_never_ends_is_408() {
    let site = Site::with(Setup { body_limits: BodyLimits { timeout: SHORT, ..BodyLimits::default() }, ..Setup::default() }).await;
    for sent in ["Content-Length: 100\r\n\r\n{\"last", "Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"l"] {
        let mut connection = site.connect().await;
        connection.send(format!("{POST_HEAD}{sent}").as_bytes()).await;
        let reply = connection.reply(true).await.unwrap();
        assert_eq!(reply.status, 408, "{sent:?}");
        assert!(connection.closed().await, "{sent:?}");
    }
    assert_eq!(site.heartbeats().await, 0);
    site.stop().await;
}

#[actix_rt::test]
async fn a_slow_body_behind_a_fast_request_is_408() {
    let site = Site::with(Setup { body_limits: BodyLimits { timeout: SHORT, ..BodyLimits::default() }, ..Setup::default() }).await;
    let mut connection = site.connect().await;
    let mut bytes = Call::get("/version").bearer(CLUSTER).bytes();
    bytes.extend(format!("{POST_HEAD}Content-Length: 100\r\n\r\n{{\"l").as_bytes());
    connection.send(&bytes).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    assert_eq!(connection.reply(true).await.unwrap().status, 408);
    site.stop().await;
}

#[actix_rt::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let site = Site::with(Setup { handshake_timeout: SHORT, ..Setup::default() }).await;
    let mut connection = Connection::plain(site.address).await;
    connection.send(b"\x16\x03\x01\x02\x00\x01").await;
    assert!(connection.closed().await);
    assert_eq!(site.get("/version").await.status, 200);
    site.stop().await;
}

#[actix_rt::test]
async fn an_answer_that_takes_too_long_is_503() {
    let site = Site::with(Setup { request_timeout: SHORT, ..Setup::default() }).await;
    *site.admin.mood.lock().unwrap() = Mood::Hanging;
    let reply = site.get("/status?format=json").await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "request timed out\n"));
    site.stop().await;
}

#[actix_rt::test]
async fn a_panic_in_a_handler_is_500_and_nothing_else() {
    let site = Site::start().await;
    *site.admin.mood.lock().unwrap() = Mood::Panicking;
    let mut connection = site.connect().await;
    let reply = connection.call(&Call::get("/status?format=json").bearer(CLUSTER)).await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "internal server error\n"));
    assert_eq!(connection.call(&Call::get("/version").bearer(CLUSTER)).await.status, 200, "on the same connection");
    site.stop().await;
}

//! Forty malformed requests: each is answered as this table says, none changes state, none ends the process.

use crate::client::{Call, Connection};
use crate::site::{CLUSTER, Setup, Site};
use muster::api::body::BodyLimits;

const HEAD: &str = "Host: x\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
const STATUS: &str = "/api/v1/clusterchecks/status/bad-node";

/// What must happen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// This status.
    Status(u16),
    /// The connection ends without an answer.
    Closed,
}

use Outcome::{Closed, Status};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    outcome: Outcome,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, outcome: Outcome) -> Case {
    Case { name, bytes: bytes.into(), outcome }
}

fn post(rest: &str) -> String {
    format!("POST {STATUS} HTTP/1.1\r\n{HEAD}{rest}")
}

fn body(text: &str) -> String {
    post(&format!("Content-Length: {}\r\n\r\n{text}", text.len()))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{HEAD}\r\n")
}

fn cases() -> Vec<Case> {
    let good = r#"{"last_change":0}"#;
    vec![
        // Not HTTP, or not the HTTP we speak.
        case("garbage", b"\x00\x01\x02\x03\xff\xfe\r\n\r\n".as_slice(), Status(400)),
        case("text that is no request", "hello there, general\r\n\r\n", Status(400)),
        case("HTTP/0.9", "GET /version\r\n\r\n", Status(400)),
        case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status(400)),
        case("HTTP/3.7", format!("GET /version HTTP/3.7\r\n{HEAD}\r\n"), Status(400)),
        case("lower-case protocol", format!("GET /version http/1.1\r\n{HEAD}\r\n"), Status(400)),
        case("no method", format!(" /version HTTP/1.1\r\n{HEAD}\r\n"), Status(400)),
        case("method with a control character", format!("GE\x07T /version HTTP/1.1\r\n{HEAD}\r\n"), Status(400)),
        case("invented method", format!("BREW /version HTTP/1.1\r\n{HEAD}\r\n"), Status(405)),
        // Request targets.
        case("blank in the target", get("/version x"), Status(400)),
        case("NUL in the target", get("/version\0"), Status(400)),
        case("absolute form", get("http://x/version"), Status(200)),
        case("absolute form of an unknown path", get("http://x/nope"), Status(404)),
        case("asterisk", format!("OPTIONS * HTTP/1.1\r\n{HEAD}\r\n"), Status(404)),
        case("authority form", format!("CONNECT x:443 HTTP/1.1\r\n{HEAD}\r\n"), Status(404)),
        case("escape cut short", get("/version%4"), Status(400)),
        case("escape that is none", get("/%zz"), Status(400)),
        case("escaped NUL in an identifier", format!("POST {STATUS}%00 HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}"), Status(400)),
        case(
            "escaped line end in an identifier",
            format!("POST {STATUS}%0d%0a HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}"),
            Status(400),
        ),
        case("identifier that is not UTF-8", format!("POST {STATUS}%ff HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}"), Status(400)),
        case("target of 100 kB", get(&format!("/{}", "a".repeat(100_000))), Status(400)),
        // Headers.
        case("no host", format!("GET /version HTTP/1.1\r\nAuthorization: Bearer {CLUSTER}\r\n\r\n"), Status(400)),
        case("two hosts", format!("GET /version HTTP/1.1\r\nHost: y\r\n{HEAD}\r\n"), Status(400)),
        case("header without a colon", format!("GET /version HTTP/1.1\r\n{HEAD}nonsense\r\n\r\n"), Status(400)),
        case("NUL in a header", format!("GET /version HTTP/1.1\r\n{HEAD}X: a\0b\r\n\r\n"), Status(400)),
        case("blank before the colon", format!("GET /version HTTP/1.1\r\n{HEAD}X : a\r\n\r\n"), Status(400)),
        case("folded header", format!("GET /version HTTP/1.1\r\n{HEAD}X: a\r\n b\r\n\r\n"), Status(400)),
        case("head of 200 kB", format!("GET /version HTTP/1.1\r\n{HEAD}X: {}\r\n\r\n", "a".repeat(200_000)), Status(431)),
        case("200 headers", format!("GET /version HTTP/1.1\r\n{HEAD}{}\r\n", "X: a\r\n".repeat(200)), Status(431)),
        case("address that is none", post(&format!("X-Real-Ip: 10.0.0.300\r\nContent-Length: 17\r\n\r\n{good}")), Status(500)),
        // Bodies.
        case("two lengths", post(&format!("Content-Length: 17\r\nContent-Length: 18\r\n\r\n{good}")), Status(400)),
        case("length that is no number", post(&format!("Content-Length: 17x\r\n\r\n{good}")), Status(400)),
        case("negative length", post(&format!("Content-Length: -1\r\n\r\n{good}")), Status(400)),
        case("length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Status(400)),
        case("chunk size that is none", post("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), Status(400)),
        case("unknown transfer coding", post("Transfer-Encoding: brotli\r\n\r\n{}"), Status(400)),
        case("body of 2 MiB", body(&" ".repeat(2 << 20)), Status(413)),
        case("no body", post("Content-Length: 0\r\n\r\n"), Status(500)),
        case("JSON cut short", body("{\"last_change\":0"), Status(500)),
        case("JSON of the wrong type", body(r#"{"last_change":"0"}"#), Status(500)),
        case("node type out of range", body(r#"{"last_change":0,"node_type":256}"#), Status(500)),
        case("bytes that are no JSON", body("\u{1}\u{2}\u{3}"), Status(500)),
        case("a million brackets", body(&"[".repeat(1_000_000)), Status(500)),
        // Nothing that could be answered.
        case("half a line, then the end", "GET /ver", Closed),
    ]
}

#[actix_rt::test]
async fn forty_malformed_requests_are_answered_and_change_nothing() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let site = Site::start().await;
    site.arrange(|cluster| drop(cluster.nodes.insert("good".to_owned(), crate::site::FakeNode::default()))).await;
    let before = site.get("/api/v1/muster/assignments").await;
    let mut wrong = Vec::new();
    for Case { name, bytes, outcome } in cases {
        let mut connection = site.connect().await;
        connection.send(&bytes).await;
        if outcome == Closed {
            connection.end().await;
        }
        let found = connection.reply(true).await.map_or(Closed, |reply| Status(reply.status));
        if found != outcome {
            wrong.push(format!("{name}: expected {outcome:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(site.heartbeats().await, 0);
    assert_eq!(site.get("/api/v1/muster/assignments").await.body, before.body);
    site.stop().await;
}

#[actix_rt::test]
async fn malformed_requests_without_a_token_learn_nothing_but_401_or_400() {
    let site = Site::start().await;
    for (path, status) in [("/%zz", 401), ("/a%00", 401), ("/nope", 401), ("http://x/version", 401), ("/version%20x", 401)] {
        assert_eq!(site.call(&Call::get(path)).await.status, status, "{path}");
    }
    site.stop().await;
}

#[actix_rt::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    let mut bytes = Call::get("/version").bearer(CLUSTER).bytes();
    bytes.extend(Call::post(STATUS, r#"{"last_change":0}"#).bearer(CLUSTER).bytes());
    bytes.extend(Call::get("/nope").bearer(CLUSTER).bytes());
    bytes.extend(Call::post(STATUS, r#"{"last_change":5}"#).bearer(CLUSTER).bytes());
    connection.send(&bytes).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(connection.reply(true).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 404, 200]);
    assert_eq!(site.heartbeats().await, 2);
    site.stop().await;
}

#[actix_rt::test]
async fn a_bad_request_behind_a_good_one_does_not_spoil_it() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    let mut bytes = Call::get("/version").bearer(CLUSTER).bytes();
    bytes.extend(b"\x00garbage\r\n\r\n");
    connection.send(&bytes).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    assert_eq!(connection.reply(true).await.unwrap().status, 400);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn chunked_bodies_and_expect_are_served() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    let chunked =
        format!("POST {STATUS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n8\r\n{{\"last_c\r\n9\r\nhange\":0}}\r\n0\r\n\r\n");
    connection.send(chunked.as_bytes()).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    connection.send(post("Expect: 100-continue\r\nContent-Length: 17\r\n\r\n").as_bytes()).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 100);
    connection.send(br#"{"last_change":0}"#).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    site.stop().await;
}

#[actix_rt::test]
async fn http_10_is_answered_and_closed() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    connection.send(format!("GET /version HTTP/1.0\r\nAuthorization: Bearer {CLUSTER}\r\n\r\n").as_bytes()).await;
    assert_eq!(connection.reply(true).await.unwrap().status, 200);
    assert!(connection.closed().await);
    site.stop().await;
}

#[actix_rt::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let limits = BodyLimits { max_bytes: 100, ..BodyLimits::default() };
    let site = Site::with(Setup { body_limits: limits, ..Setup::default() }).await;
    let padded = |length: usize| format!("{:<length$}", r#"{"last_change":0}"#);
    assert_eq!(site.status("n1", &padded(100)).await.status, 200);
    let reply = site.status("n1", &padded(101)).await;
    assert_eq!((reply.status, reply.text().as_str()), (413, "request body is larger than 100 bytes\n"));
    site.stop().await;
}

#[actix_rt::test]
async fn a_client_that_goes_away_in_the_middle_is_forgotten() {
    let site = Site::start().await;
    for bytes in [post("Content-Length: 17\r\n\r\n{\"last"), get("/version"), post("Transfer-Encoding: chunked\r\n\r\n5\r\n{\"")] {
        let mut connection = Connection::secure(site.address).await;
        connection.send(bytes.as_bytes()).await;
        drop(connection);
    }
    assert_eq!(site.get("/version").await.status, 200);
    assert_eq!(site.heartbeats().await, 0);
    site.stop().await;
}

//! The client of runners against the same server.

use std::sync::atomic::Ordering;

use muster_actors::domain::figures::CheckFigures;
use muster_actors::ports::{RunnerError, RunnerStats as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::{Answer, Server};
use crate::client::RunnerHttp;
use crate::config::Secret;

const IP: &str = "127.0.0.1";

fn client_at(port: u16) -> RunnerHttp {
    RunnerHttp::try_new(&Secret::new("t".repeat(32)), port, "0.1.0", Handle::current()).unwrap()
}

fn is_unreachable<T>(answer: &Result<T, RunnerError>) -> bool {
    matches!(answer, Err(RunnerError::Unreachable(_)))
}

#[actix_rt::test]
async fn both_routes_are_asked_with_the_token_over_one_connection() {
    let server = Server::start().await;
    let client = client_at(server.port);
    // As a stock runner of 7.68 answered.
    let stats = r#"{"load:d514f8f1352cf7d2": {"AverageExecutionTime": 100, "MetricSamples": 10, "HistogramBuckets": 0, "Events": 0, "LastExecFailed": false}, "local": {"AverageExecutionTime": 5, "MetricSamples": 3, "HistogramBuckets": 0, "Events": 0, "LastExecFailed": false}}"#;
    server.will_answer([Answer::Full(200, stats), Answer::Full(200, r#"{"Count":4,"Instances":{}}"#), Answer::Full(200, "{}")]);
    let told = client.stats(IP).await.unwrap();
    let expected = CheckFigures { average_execution_time: 100, metric_samples: 10, ..CheckFigures::default() };
    assert_eq!((told.len(), &told["load:d514f8f1352cf7d2"]), (2, &expected));
    assert_eq!(client.workers(IP).await, Ok(4));
    assert!(client.stats(IP).await.unwrap().is_empty());
    let requests = server.requests();
    let first_lines: Vec<&str> = requests.iter().filter_map(|(head, _)| head.lines().next()).collect();
    let stats = "GET /api/v1/clcrunner/stats HTTP/1.1";
    assert_eq!(first_lines, [stats, "GET /api/v1/clcrunner/workers HTTP/1.1", stats]);
    for (head, _) in &requests {
        let head = head.to_lowercase();
        assert!(head.contains(&format!("authorization: bearer {}\r\n", "t".repeat(32))), "{head}");
        assert!(head.contains("user-agent: muster/0.1.0\r\n"), "{head}");
    }
    assert_eq!(server.script.connections.load(Ordering::Relaxed), 1, "the connection is kept");
}

#[actix_rt::test]
async fn a_refusal_is_told_with_its_status_and_the_beginning_of_its_text() {
    let server = Server::start().await;
    let client = client_at(server.port);
    for (status, body, text) in [
        (404, "404 page not found\n", "404 page not found"),
        (500, r#"{"error":"no"}"#, r#"{"error":"no"}"#),
        (403, "invalid session token\nand more", "invalid session token"),
        (204, "", ""),
        (302, "", ""),
    ] {
        server.will_answer([Answer::Full(status, body)]);
        assert_eq!(client.workers(IP).await, Err(RunnerError::Refused { status, body: text.to_owned() }));
    }
}

#[actix_rt::test]
async fn an_answer_that_is_none_is_not_believed() {
    let server = Server::start().await;
    let client = client_at(server.port);
    for body in ["", "<html>", "[]", r#"{"a":{"AverageExecutionTime":NaN}}"#] {
        server.will_answer([Answer::Full(200, body), Answer::Full(200, body)]);
        assert!(matches!(client.stats(IP).await, Err(RunnerError::Garbled(_))), "{body}");
        assert!(matches!(client.workers(IP).await, Err(RunnerError::Garbled(_))), "{body}");
    }
    server.will_answer([Answer::Announced((16 << 20) + 1)]);
    assert_eq!(client.stats(IP).await, Err(RunnerError::Garbled("answer larger than 16777216 bytes".to_owned())));
    server.will_answer([Answer::Cut(r#"{"a":{}}"#)]);
    assert!(is_unreachable(&client.stats(IP).await), "an answer that ends too early says nothing");
}

#[actix_rt::test]
async fn a_long_answer_is_read() {
    let server = Server::start().await;
    let entries: Vec<String> = (0..20_000).map(|number| format!(r#""c:{number}":{{"AverageExecutionTime":{number}}}"#)).collect();
    server.will_answer([Answer::Full(200, Box::leak(format!("{{{}}}", entries.join(",")).into_boxed_str()))]);
    let told = client_at(server.port).stats(IP).await.unwrap();
    assert_eq!((told.len(), told["c:19999"].average_execution_time), (20_000, 19_999));
}

#[actix_rt::test]
async fn whoever_does_not_answer_is_given_up() {
    let server = Server::start().await;
    let client = client_at(server.port);
    server.will_answer([Answer::Full(200, "{}"), Answer::Silence]);
    assert!(client.stats(IP).await.is_ok());
    // Takes connections and says nothing at all, not even to a handshake.
    let mute = TcpListener::bind((IP, 0)).await.unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    let nobody = {
        let listener = TcpListener::bind((IP, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    assert!(is_unreachable(&client_at(nobody).stats(IP).await));
    // From here on waiting costs nothing: time jumps to the next timer when all is quiet.
    tokio::time::pause();
    assert!(is_unreachable(&client.stats(IP).await));
    assert!(is_unreachable(&client_at(mute_port).stats(IP).await));
}

#[actix_rt::test]
async fn runners_with_an_ipv6_address_are_reached() {
    let Ok(server) = Server::at("::1").await else {
        // A machine without IPv6 has no such runners.
        return;
    };
    server.will_answer([Answer::Full(200, "{}"), Answer::Full(200, r#"{"Count":2}"#)]);
    let client = client_at(server.port);
    assert!(client.stats("::1").await.unwrap().is_empty());
    assert_eq!(client.workers("[::1]").await, Ok(2));
}

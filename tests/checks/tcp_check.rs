//! `tcp_check` against real ports.

use muster_actors::domain::samples::ServiceStatus;
use serde_json::json;

use crate::harness::{given, metrics, service_check, values};
use crate::server::{Server, closed_port, ok};

#[tokio::test]
async fn nr_t28_a_closed_port_is_critical() {
    let address = closed_port().await;
    let instance = json!({"name": "My-Db", "host": "127.0.0.1", "port": address.port(), "tags": ["env:x"], "collect_response_time": true});
    let report = given("tcp_check", &instance).run().await;
    assert_eq!(values(&report, "network.tcp.can_connect"), [0.0]);
    let tags = ["env:x", "target_host:127.0.0.1", &format!("port:{}", address.port()), "instance:My_Db", "address:127.0.0.1"];
    assert_eq!(metrics(&report, "network.tcp.can_connect")[0].tags, tags);
    let check = service_check(&report, "tcp.can_connect");
    assert_eq!(check.status, ServiceStatus::Critical);
    assert_eq!(check.tags, tags);
    assert!(check.message.contains("Connection refused") && check.message.ends_with(" ms"), "{}", check.message);
    assert!(metrics(&report, "network.tcp.response_time").is_empty());
    assert_eq!(report.error, None);
}

#[tokio::test]
async fn an_open_port_is_ok_and_timed_when_asked() {
    let server = Server::start(ok("")).await;
    let port = server.address.port();
    // Text is fine where a number is meant.
    let instance = json!({"name": "My-Db", "host": "localhost", "port": port.to_string(), "ipv4_only": true});
    let report = given("tcp_check", &instance).run().await;
    assert_eq!(values(&report, "network.tcp.can_connect"), [1.0]);
    let check = service_check(&report, "tcp.can_connect");
    assert_eq!((check.status, check.message.as_str()), (ServiceStatus::Ok, ""));
    assert!(metrics(&report, "network.tcp.response_time").is_empty());

    let timed =
        json!({"name": "My-Db", "host": "127.0.0.1", "port": port, "collect_response_time": true, "multiple_ips": true, "tags": ["a:b"]});
    let mut check = given("tcp_check", &timed).load().unwrap();
    for _ in 0..2 {
        let report = check.run().await;
        let tags = [&format!("url:127.0.0.1:{port}"), "instance:My-Db", "a:b", "address:127.0.0.1"];
        assert_eq!(metrics(&report, "network.tcp.response_time")[0].tags, tags);
    }
}

#[tokio::test]
async fn a_port_that_opens_later_is_seen() {
    let address = closed_port().await;
    let instance = json!({"name": "a", "host": "127.0.0.1", "port": address.port(), "ip_cache_duration": 0});
    let mut check = given("tcp_check", &instance).load().unwrap();
    assert_eq!(values(&check.run().await, "network.tcp.can_connect"), [0.0]);
    let _listener = tokio::net::TcpListener::bind(address).await.unwrap();
    assert_eq!(values(&check.run().await, "network.tcp.can_connect"), [1.0]);
}

#[tokio::test]
async fn a_host_without_address_is_an_error_of_the_run() {
    let report = given("tcp_check", &json!({"name": "a", "host": "no such host", "port": 1})).run().await;
    assert_eq!(report.error.unwrap(), "URL: no such host could not be resolved");
    assert!(report.samples.service_checks.is_empty() && report.samples.samples.is_empty());
    let report = given("tcp_check", &json!({"name": "a", "host": "::1", "port": 1, "ipv4_only": true})).run().await;
    assert_eq!(report.error.unwrap(), "URL: ::1 could not be resolved");
}

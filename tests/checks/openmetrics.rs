//! `openmetrics` against real servers.

use std::io::Write as _;

use muster_actors::domain::samples::ServiceStatus;
use muster_actors::ports::RunReport;
use serde_json::{Value as Json, json};

use crate::harness::{given, metrics, service_check, values};
use crate::server::{Answer, Certificate, Server, closed_port, ok, response};

const BODY: &str = "# TYPE hits counter\nhits 10\n# TYPE temp gauge\ntemp{room=\"a\"} 21.5\n";

fn instance(url: &str, extra: &Json) -> Json {
    let mut instance = json!({"openmetrics_endpoint": url, "namespace": "app", "metrics": [".+"]});
    instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    instance
}

fn health(report: &RunReport) -> (ServiceStatus, &str) {
    let state = service_check(report, "app.openmetrics.health");
    (state.status, &state.message)
}

#[tokio::test]
async fn an_endpoint_is_scraped_and_reported_healthy() {
    let server = Server::start(ok(BODY)).await;
    let url = server.url("/metrics?x=1");
    let mut check = given("openmetrics", &instance(&url, &json!({"tags": ["env:x"]}))).load().unwrap();
    let first = check.run().await;
    assert_eq!(first.error, None);
    assert_eq!(health(&first), (ServiceStatus::Ok, ""));
    assert_eq!(service_check(&first, "app.openmetrics.health").tags, ["env:x".to_owned(), format!("endpoint:{url}")]);
    assert_eq!(metrics(&first, "app.temp")[0].tags, ["room:a".to_owned(), "env:x".to_owned(), format!("endpoint:{url}")]);
    assert!(!metrics(&first, "app.hits.count")[0].flush_first_value);
    assert!(metrics(&check.run().await, "app.hits.count")[0].flush_first_value);
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /metrics?x=1 http/1.1"));
    assert_eq!(request.lines().filter(|line| line.starts_with("accept:")).collect::<Vec<_>>(), ["accept: text/plain"]);
}

#[tokio::test]
async fn nr_t38_a_refused_connection_is_critical_and_an_error() {
    let url = format!("http://{}/metrics", closed_port().await);
    let report = given("openmetrics", &instance(&url, &json!({}))).run().await;
    let (status, message) = health(&report);
    assert_eq!(status, ServiceStatus::Critical);
    assert!(message.contains("Connection refused"), "{message}");
    assert_eq!(report.error.as_deref(), Some(format!("There was an error scraping endpoint {url}: {message}").as_str()));

    let report = given("openmetrics", &instance(&url, &json!({"ignore_connection_errors": true}))).run().await;
    assert_eq!(report.error, None);
    assert_eq!(health(&report).0, ServiceStatus::Critical);
    assert!(report.warnings[0].contains("is not accessible"));

    let report = given("openmetrics", &instance(&url, &json!({"enable_health_service_check": false}))).run().await;
    assert!(report.samples.service_checks.is_empty() && report.error.is_some());
}

#[tokio::test]
async fn first_values_count_only_after_a_scrape_that_went_well() {
    let good = response("200 OK", "", BODY.as_bytes());
    let bad = response("500 Internal Server Error", "", b"");
    let server = Server::start(Answer::Script(vec![bad.clone(), good.clone(), good.clone(), bad, good.clone(), good])).await;
    let mut check = given("openmetrics", &instance(&server.url("/"), &json!({}))).load().unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let report = check.run().await;
        seen.push(metrics(&report, "app.hits.count").first().map(|sample| sample.flush_first_value));
    }
    assert_eq!(seen, [None, Some(false), Some(true), None, Some(false), Some(true)]);
}

#[tokio::test]
async fn a_bad_answer_is_critical_with_its_reason() {
    let vectors = [
        (Answer::Bytes(response("503 Service Unavailable", "", b"")), "503 Server Error: Service Unavailable for url: "),
        (Answer::Bytes(response("404 Not Found", "", b"")), "404 Client Error: Not Found for url: "),
        (Answer::Stall(Vec::new()), "timed out"),
        (Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()), "timed out"),
        (Answer::Bytes(b"garbage\r\n\r\n".to_vec()), "invalid HTTP"),
        (Answer::Reset(Vec::new()), ""),
        (Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na 1\n".to_vec()), ""),
        (Answer::Bytes(response("200 OK", "Content-Encoding: gzip\r\n", b"not gzip")), ""),
    ];
    for (number, (answer, expected)) in vectors.into_iter().enumerate() {
        let patience = if matches!(answer, Answer::Stall(_)) { 0.2 } else { 10.0 };
        let server = Server::start(answer).await;
        let report = given("openmetrics", &instance(&server.url("/"), &json!({"timeout": patience}))).run().await;
        let (status, message) = health(&report);
        assert_eq!(status, ServiceStatus::Critical, "case {number}: {report:?}");
        assert!(message.contains(expected), "case {number}: {message}");
        assert!(report.error.unwrap().starts_with("There was an error scraping endpoint http://"), "case {number}");
        assert!(report.samples.samples.is_empty(), "case {number}");
    }
}

#[tokio::test]
async fn text_that_is_no_exposition_is_an_error_of_a_healthy_endpoint() {
    let server = Server::start(ok("<html>hello</html>")).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({}))).run().await;
    assert_eq!(health(&report).0, ServiceStatus::Ok);
    assert!(report.error.unwrap().ends_with("line 1: no value"));
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_limit() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let server = Server::start(Answer::Endless(head, b"# just comments\n".repeat(65_536))).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({}))).run().await;
    assert_eq!(health(&report).0, ServiceStatus::Critical);
    assert!(report.error.unwrap().ends_with("the response is larger than 64 MiB"));
}

#[tokio::test]
async fn compressed_and_chunked_answers_are_read() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(BODY.as_bytes()).unwrap();
    let gzip = response("200 OK", "Content-Encoding: gzip\r\n", &packed.finish().unwrap());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(BODY.as_bytes()).unwrap();
    let deflate = response("200 OK", "Content-Encoding: deflate\r\n", &packed.finish().unwrap());
    let (start, end) = BODY.split_at(BODY.len() / 2);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
        start.len(),
        end.len()
    );
    for bytes in [gzip, deflate, chunked.into_bytes()] {
        let server = Server::start(Answer::Bytes(bytes)).await;
        let report = given("openmetrics", &instance(&server.url("/"), &json!({}))).run().await;
        assert_eq!(values(&report, "app.temp"), [21.5], "{report:?}");
    }
}

#[tokio::test]
async fn the_format_follows_the_content_type_or_the_option() {
    let body = "# TYPE foo counter\nfoo_total 17\nfoo_created 1.5e9\n# EOF\n";
    let typed = Answer::Bytes(response("200 OK", "Content-Type: application/openmetrics-text; version=1.0.0\r\n", body.as_bytes()));
    let server = Server::start(typed).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({}))).run().await;
    assert_eq!(values(&report, "app.foo.count"), [17.0]);
    assert_eq!(report.samples.samples.len(), 1);

    let server = Server::start(ok(body)).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({"use_latest_spec": true}))).run().await;
    assert_eq!(values(&report, "app.foo.count"), [17.0]);
    assert!(server.requests()[0].contains("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1"));
    let cut = Server::start(ok("# TYPE foo counter\nfoo_total 17\n")).await;
    let report = given("openmetrics", &instance(&cut.url("/"), &json!({"use_latest_spec": true}))).run().await;
    assert!(report.error.unwrap().ends_with("the exposition ends without # EOF"));
    assert_eq!(report.samples.samples.len(), 1);
}

#[tokio::test]
async fn certificates_are_verified_unless_told_otherwise() {
    let certificate = Certificate::lasting(86_400);
    let server = Server::start_tls(ok(BODY), &certificate).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({}))).run().await;
    assert_eq!(health(&report).0, ServiceStatus::Critical);
    for extra in [json!({"tls_verify": false}), json!({"tls_ca_cert": certificate.file()})] {
        let report = given("openmetrics", &instance(&server.url("/"), &extra)).run().await;
        assert_eq!(health(&report), (ServiceStatus::Ok, ""));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_can_be_scraped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let server = Server::start_unix(ok(BODY), &path);
    let url = format!("unix://{}/metrics", path.to_str().unwrap().replace('/', "%2F"));
    let report = given("openmetrics", &instance(&url, &json!({}))).run().await;
    assert_eq!(values(&report, "app.temp"), [21.5], "{report:?}");
    assert_eq!(metrics(&report, "app.temp")[0].tags[1], format!("endpoint:{url}"));
    assert!(server.requests()[0].starts_with("GET /metrics HTTP/1.1"));
}

#[tokio::test]
async fn a_page_of_megabytes_is_cut_at_the_limit() {
    let body =
        (0..60_000).map(|number| format!("# TYPE family_{number} gauge\nfamily_{number}{{a=\"b\"}} 1\n")).collect::<Vec<_>>().concat();
    assert!(body.len() > 2 << 20);
    let server = Server::start(ok(&body)).await;
    let report = given("openmetrics", &instance(&server.url("/"), &json!({"max_returned_metrics": 10}))).run().await;
    assert_eq!(report.error, None);
    assert_eq!(report.samples.samples.len(), 10);
    assert_eq!(report.warnings, ["Check openmetrics exceeded limit of 10 metrics, ignoring next ones"]);
}

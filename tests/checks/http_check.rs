//! `http_check` against real servers.

use std::io::Write as _;

use muster::checks::{AgentProxy, CheckSettings};
use muster_actors::domain::samples::ServiceStatus;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::ports::RunReport;
use serde_json::json;

use crate::harness::{Given, given, metrics, service_check, values};
use crate::server::{Answer, Certificate, Server, closed_port, ok, response};

const DAY: i64 = 86_400;

fn state(report: &RunReport) -> (ServiceStatus, &str) {
    let state = service_check(report, "http.can_connect");
    (state.status, &state.message)
}

#[tokio::test]
async fn nr_t23_an_answer_of_200_is_up_with_tags_in_order() {
    let server = Server::start(ok("fine")).await;
    let url = server.url("/");
    let report = given("http_check", &json!({"name": "My-Web", "url": url})).run().await;
    assert_eq!(report.error, None);
    let tags = [format!("url:{url}"), "instance:My_Web".to_owned()];
    for (name, value) in [("network.http.can_connect", 1.0), ("network.http.cant_connect", 0.0)] {
        assert_eq!(values(&report, name), [value]);
        assert_eq!(metrics(&report, name)[0].tags, tags);
    }
    assert_eq!(metrics(&report, "network.http.response_time")[0].tags, tags);
    let check = service_check(&report, "http.can_connect");
    assert_eq!((check.status, check.message.as_str()), (ServiceStatus::Ok, ""));
    assert_eq!(check.tags, ["instance:My_Web".to_owned(), format!("url:{url}")]);
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get / http/1.1"), "{request}");
    for header in ["user-agent: datadog agent/7.81.0", "accept: */*", "accept-encoding: gzip, deflate"] {
        assert!(request.contains(header), "{header} in {request}");
    }
}

#[tokio::test]
async fn nr_t24_a_wrong_status_is_down_but_timed() {
    let server = Server::start(Answer::Bytes(response("503 Service Unavailable", "", b"busy"))).await;
    let url = server.url("/");
    let report = given("http_check", &json!({"name": "a", "url": url})).run().await;
    assert_eq!(values(&report, "network.http.can_connect"), [0.0]);
    assert_eq!(values(&report, "network.http.cant_connect"), [1.0]);
    assert_eq!(values(&report, "network.http.response_time").len(), 1);
    let expected = format!("Incorrect HTTP return code for url {url}. Expected 1xx or 2xx or 3xx, got 503.");
    assert_eq!(state(&report), (ServiceStatus::Critical, expected.as_str()));

    let wanted = json!({"name": "a", "url": url, "http_response_status_code": 503});
    assert_eq!(state(&given("http_check", &wanted).run().await), (ServiceStatus::Ok, ""));

    let with_content = json!({"name": "a", "url": url, "http_response_status_code": "4\\d\\d", "include_content": true});
    let report = given("http_check", &with_content).run().await;
    let expected = format!("Incorrect HTTP return code for url {url}. Expected 4\\d\\d, got 503.\nContent: busy");
    assert_eq!(state(&report), (ServiceStatus::Critical, expected.as_str()));
}

#[tokio::test]
async fn nr_t25_a_refused_connection_is_down_without_a_time() {
    let url = format!("http://{}/", closed_port().await);
    let report = given("http_check", &json!({"name": "a", "url": url, "enable_http_outcome_tag": true})).run().await;
    assert!(metrics(&report, "network.http.response_time").is_empty());
    let (status, message) = state(&report);
    assert_eq!(status, ServiceStatus::Critical);
    assert!(message.contains("Connection refused"), "{message}");
    let (_, end) = message.rsplit_once(". Connection failed after ").unwrap();
    assert!(end.strip_suffix(" ms").unwrap().parse::<u64>().is_ok());
    assert_eq!(metrics(&report, "network.http.can_connect")[0].tags.last().unwrap(), "http_outcome:connection_error");
}

#[tokio::test]
async fn nr_t26_content_is_searched_in_the_decoded_body() {
    let server = Server::start(ok("not yet")).await;
    let instance = |extra: serde_json::Value| {
        let mut instance = json!({"name": "a", "url": server.url("/"), "content_match": "ready", "enable_http_outcome_tag": true});
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        instance
    };
    let report = given("http_check", &instance(json!({}))).run().await;
    assert_eq!(state(&report), (ServiceStatus::Critical, "Content \"ready\" not found in response."));
    assert_eq!(metrics(&report, "network.http.can_connect")[0].tags.last().unwrap(), "http_outcome:200");
    let report = given("http_check", &instance(json!({"reverse_content_match": true}))).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    let report = given("http_check", &instance(json!({"content_match": "n.t (?=yet)", "reverse_content_match": true}))).run().await;
    assert_eq!(state(&report).1, "Content \"n.t (?=yet)\" found in response with the reverse_content_match");

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all("r\u{e9}ady \u{2713}".as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let server = Server::start(Answer::Bytes(response("200 OK", "Content-Encoding: gzip\r\n", &packed))).await;
    let report = given("http_check", &json!({"name": "a", "url": server.url("/"), "content_match": "r\u{e9}ady \u{2713}"})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));

    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n".to_vec();
    let server = Server::start(Answer::Bytes(chunked)).await;
    let report = given("http_check", &json!({"name": "a", "url": server.url("/"), "content_match": "ready"})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
}

#[tokio::test]
async fn nr_t27_certificates_are_judged_by_the_days_they_have_left() {
    let vectors = [
        (5, ServiceStatus::Critical, "This cert TTL is critical: only 4 days before it expires"),
        (10, ServiceStatus::Warning, "This cert is almost expired, only 9 days left"),
        (30, ServiceStatus::Ok, ""),
    ];
    for (days, status, message) in vectors {
        let certificate = Certificate::lasting(days * DAY);
        let server = Server::start_tls(ok("fine"), &certificate).await;
        let instance = json!({"name": "My-Web", "url": server.url("/"), "tls_ca_cert": certificate.file()});
        let report = given("http_check", &instance).run().await;
        assert_eq!(state(&report), (ServiceStatus::Ok, ""));
        let check = service_check(&report, "http.ssl_cert");
        assert_eq!((check.status, check.message.as_str()), (status, message));
        assert_eq!(check.tags, ["instance:My_Web".to_owned(), format!("url:{}", server.url("/"))]);
        assert_eq!(values(&report, "http.ssl.days_left"), [(days - 1) as f64]);
        let seconds = values(&report, "http.ssl.seconds_left")[0];
        assert!(seconds <= (days * DAY) as f64 && seconds > ((days - 1) * DAY) as f64, "{seconds}");
    }
}

#[tokio::test]
async fn thresholds_in_seconds_win_over_days() {
    let certificate = Certificate::lasting(5 * DAY);
    let server = Server::start_tls(ok("fine"), &certificate).await;
    let instance = json!({"name": "a", "url": server.url("/"), "tls_ca_cert": certificate.file(),
        "days_critical": 20, "seconds_critical": 60, "days_warning": 1});
    let report = given("http_check", &instance).run().await;
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Ok);
}

#[tokio::test]
async fn an_expired_certificate_is_critical_with_nothing_left() {
    let certificate = Certificate::lasting(-DAY);
    let server = Server::start_tls(ok("fine"), &certificate).await;
    // The request itself does not verify unless told to.
    let report = given("http_check", &json!({"name": "a", "url": server.url("/")})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    let check = service_check(&report, "http.ssl_cert");
    assert_eq!(check.status, ServiceStatus::Critical);
    assert!(check.message.contains("expired"), "{}", check.message);
    assert_eq!(values(&report, "http.ssl.days_left"), [0.0]);
    assert_eq!(values(&report, "http.ssl.seconds_left"), [0.0]);

    let strict = json!({"name": "a", "url": server.url("/"), "tls_verify": true, "enable_http_outcome_tag": true});
    let report = given("http_check", &strict).run().await;
    let (status, message) = state(&report);
    assert_eq!(status, ServiceStatus::Critical);
    assert!(message.contains("expired"), "{message}");
    assert_eq!(metrics(&report, "network.http.can_connect")[0].tags.last().unwrap(), "http_outcome:ssl_error");
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Critical);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_unknown_unless_it_may_be_looked_at() {
    let certificate = Certificate::lasting(30 * DAY);
    let server = Server::start_tls(ok("fine"), &certificate).await;
    let url = server.url("/");
    let report = given("http_check", &json!({"name": "a", "url": url})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Unknown);
    assert!(values(&report, "http.ssl.days_left").is_empty());

    let report = given("http_check", &json!({"name": "a", "url": url, "tls_verify": false})).run().await;
    let check = service_check(&report, "http.ssl_cert");
    assert_eq!((check.status, check.message.as_str()), (ServiceStatus::Unknown, "Empty or no certificate found."));

    let instance = json!({"name": "a", "url": url, "tls_verify": false, "tls_retrieve_non_validated_cert": true});
    let report = given("http_check", &instance).run().await;
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Ok);
    assert_eq!(values(&report, "http.ssl.days_left"), [29.0]);

    let instance = json!({"name": "a", "url": url, "use_cert_from_response": true, "tls_ca_cert": certificate.file()});
    let report = given("http_check", &instance).run().await;
    assert_eq!(values(&report, "http.ssl.days_left"), [29.0]);
    assert_eq!(server.requests().len(), 4);

    let report = given("http_check", &json!({"name": "a", "url": url, "check_certificate_expiration": false})).run().await;
    assert_eq!(report.samples.service_checks.len(), 1);
}

#[tokio::test]
async fn the_name_of_a_certificate_counts_unless_told_otherwise() {
    let certificate = Certificate::named(30 * DAY, &["web.example"]);
    let server = Server::start_tls(ok("fine"), &certificate).await;
    let base = json!({"name": "a", "url": server.url("/"), "tls_ca_cert": certificate.file()});
    let with = |extra: serde_json::Value| {
        let mut instance = base.clone();
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        given("http_check", &instance)
    };
    let report = with(json!({})).run().await;
    assert_eq!(state(&report).0, ServiceStatus::Critical);
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Unknown);
    let report = with(json!({"check_hostname": false})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Ok);
    let report = with(json!({"ssl_server_name": "web.example"})).run().await;
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Ok);
    let report = with(json!({"extra_headers": {"Host": "web.example"}, "tls_use_host_header": true})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    assert!(server.requests().last().unwrap().to_lowercase().contains("host: web.example\r\n"));
}

#[tokio::test]
async fn redirects_are_followed_unless_told_otherwise() {
    let end = Server::start(Answer::Bytes(response("404 Not Found", "", b""))).await;
    let first = Server::start(Answer::Bytes(response("302 Found", &format!("Location: {}\r\n", end.url("/x")), b""))).await;
    let report = given("http_check", &json!({"name": "a", "url": first.url("/")})).run().await;
    assert!(state(&report).1.ends_with("got 404."), "{report:?}");
    let report = given("http_check", &json!({"name": "a", "url": first.url("/"), "allow_redirects": false})).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    let circle = Server::start(Answer::Bytes(response("302 Found", "Location: /\r\n", b""))).await;
    let instance = json!({"name": "a", "url": circle.url("/"), "enable_http_outcome_tag": true});
    let report = given("http_check", &instance).run().await;
    assert!(state(&report).1.starts_with("Socket error: "), "{report:?}");
    assert_eq!(metrics(&report, "network.http.can_connect")[0].tags.last().unwrap(), "http_outcome:socket_error");
}

#[tokio::test]
async fn silence_garbage_resets_and_broken_bodies_are_down() {
    let vectors = [
        (Answer::Stall(Vec::new()), "timeout"),
        (Answer::Bytes(b"what is this\r\n\r\n".to_vec()), "connection_error"),
        (Answer::Bytes(Vec::new()), "connection_error"),
        (Answer::Reset(Vec::new()), "connection_error"),
        (Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()), "socket_error"),
    ];
    for (number, (answer, outcome)) in vectors.into_iter().enumerate() {
        let patience = if matches!(answer, Answer::Stall(_)) { 0.2 } else { 10.0 };
        let server = Server::start(answer).await;
        let instance = json!({"name": "a", "url": server.url("/"), "timeout": patience, "enable_http_outcome_tag": true});
        let report = given("http_check", &instance).run().await;
        assert_eq!(state(&report).0, ServiceStatus::Critical, "case {number}");
        assert!(state(&report).1.contains("Connection failed after"), "case {number}");
        let tags = &metrics(&report, "network.http.can_connect")[0].tags;
        assert_eq!(tags.last().unwrap(), &format!("http_outcome:{outcome}"), "case {number}: {report:?}");
        assert_eq!(report.error, None);
    }
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    let server = Server::start(Answer::Endless(head, chunk)).await;
    let report =
        given("http_check", &json!({"name": "a", "url": server.url("/"), "content_match": "y", "include_content": true})).run().await;
    let (status, message) = state(&report);
    assert_eq!(status, ServiceStatus::Critical);
    assert!(message.starts_with("Content \"y\" not found in response.\nContent: xxx"));
    assert_eq!(message.chars().count(), 2500);
}

#[tokio::test]
async fn data_headers_and_credentials_are_sent() {
    let server = Server::start(ok("fine")).await;
    let instance = json!({"name": "a", "url": server.url("/form?x=1"), "method": "post", "data": {"a": [1, "b"]},
        "username": "me", "password": "gr\u{fc}n", "extra_headers": {"X-Extra": 7}});
    given("http_check", &instance).run().await;
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /form?x=1 HTTP/1.1"));
    assert!(request.ends_with("\r\n\r\n{\"a\":[1,\"b\"]}"), "{request}");
    let lower = request.to_lowercase();
    assert!(lower.contains("content-type: application/x-www-form-urlencoded"));
    assert!(lower.contains("x-extra: 7"));
    // Latin-1, as upstream encodes by default.
    assert!(request.contains("Basic bWU6Z3L8bg=="), "{request}");

    let instance = json!({"name": "a", "url": server.url("/"), "method": "put", "data": "a=b", "use_legacy_auth_encoding": false,
        "username": "me", "password": "gr\u{fc}n", "headers": {"Content-Type": "text/x-own"}});
    given("http_check", &instance).run().await;
    let request = server.requests().remove(1);
    assert!(request.ends_with("\r\n\r\na=b"));
    assert!(request.to_lowercase().contains("content-type: text/x-own"));
    assert!(!request.to_lowercase().contains("user-agent"), "{request}");
    assert!(request.contains("Basic bWU6Z3LDvG4="), "{request}");

    given("http_check", &json!({"name": "a", "url": server.url("/"), "data": "ignored"})).run().await;
    assert!(server.requests().remove(2).ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn a_token_is_read_from_its_file_for_every_run() {
    let server = Server::start(ok("fine")).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "token=one;\n").unwrap();
    let instance = json!({"name": "a", "url": server.url("/"), "auth_token": {
        "reader": {"type": "file", "path": path, "pattern": "token=(\\w+)"},
        "writer": {"type": "header", "name": "Authorization", "value": "Bearer <TOKEN>"}}});
    let mut check = given("http_check", &instance).load().unwrap();
    check.run().await;
    std::fs::write(&path, "token=two;\n").unwrap();
    check.run().await;
    std::fs::remove_file(&path).unwrap();
    let report = check.run().await;
    assert!(state(&report).1.contains("read token file"), "{report:?}");
    let requests = server.requests();
    assert!(requests[0].contains("Bearer one") && requests[1].contains("Bearer two"));
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn proxies_come_from_the_config_and_can_be_skipped() {
    let proxy = Server::start(ok("from the proxy")).await;
    let proxied = json!({"name": "a", "url": "http://web.example/x", "proxy": {"http": proxy.url("")}, "content_match": "from the proxy"});
    assert_eq!(state(&given("http_check", &proxied).run().await), (ServiceStatus::Ok, ""));
    assert!(proxy.requests()[0].starts_with("GET http://web.example/x HTTP/1.1"));

    let target = Server::start(ok("direct")).await;
    for extra in [json!({"skip_proxy": true}), json!({"proxy": {"http": proxy.url(""), "no_proxy": ["127.0.0.0/8"]}})] {
        let mut instance = json!({"name": "a", "url": target.url("/"), "content_match": "direct", "proxy": {"http": proxy.url("")}});
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(state(&given("http_check", &instance).run().await), (ServiceStatus::Ok, ""));
    }
    let from_init = json!({"proxy": {"http": proxy.url("")}});
    let report = given("http_check", &json!({"name": "a", "url": "http://web.example/y"})).init(&from_init).run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    assert_eq!(proxy.requests().len(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_check_stays_usable_after_a_cancelled_run() {
    let server = Server::start(Answer::Stall(Vec::new())).await;
    let mut check = given("http_check", &json!({"name": "a", "url": server.url("/"), "timeout": 0.2})).load().unwrap();
    assert!(futures_util::FutureExt::now_or_never(check.run()).is_none());
    assert_eq!(state(&check.run().await).0, ServiceStatus::Critical);
}

#[tokio::test]
async fn common_keys_apply_to_everything() {
    let server = Server::start(ok("fine")).await;
    let instance = json!({"name": "a", "url": server.url("/"), "tags": ["env:x", "url:mine", null], "service": "shop", "no_index": true,
        "disable_generic_tags": true, "some_unknown_key": 1});
    let report = given("http_check", &instance).run().await;
    for sample in &report.samples.samples {
        assert!(sample.no_index);
        assert_eq!(sample.tags[..2], ["http_check_env:x", "url:mine"]);
        assert_eq!(sample.tags.last().unwrap(), "service:shop");
    }
    let tags = &service_check(&report, "http.can_connect").tags;
    assert_eq!(*tags, ["http_check_env:x", "url:mine", "instance:a", "service:shop"]);
    let report = given("http_check", &json!({"name": "a", "url": server.url("/"), "tags": null})).run().await;
    assert_eq!(service_check(&report, "http.can_connect").tags.len(), 2);
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_read_again_when_it_is_replaced() {
    let (certificate, client) = (Certificate::lasting(30 * DAY), Certificate::lasting(DAY));
    let server = Server::start_tls_for(ok("fine"), &certificate, &client).await;
    let base = json!({"name": "a", "url": server.url("/"), "tls_ca_cert": certificate.file()});
    assert_eq!(state(&given("http_check", &base).run().await).0, ServiceStatus::Critical);
    let mut instance = base;
    instance["tls_cert"] = json!(client.file());
    instance["tls_private_key"] = json!(client.key_file());
    let mut check = given("http_check", &instance).load().unwrap();
    let report = check.run().await;
    assert_eq!(state(&report), (ServiceStatus::Ok, ""));
    assert_eq!(service_check(&report, "http.ssl_cert").status, ServiceStatus::Ok);
    std::fs::write(client.file(), "gone").unwrap();
    let report = check.run().await;
    assert!(state(&report).1.contains("find certificate in"), "{report:?}");
}

#[tokio::test]
async fn the_proxy_of_the_agent_is_used_unless_told_otherwise() {
    let proxy = Server::start(ok("from the proxy")).await;
    let mut settings = CheckSettings::new("7.81.0", SystemClock::shared());
    settings.proxy = AgentProxy { http: Some(proxy.url("")), https: None, no_proxy: vec!["direct.invalid".to_owned()] };
    let web = json!({"name": "a", "url": "http://web.invalid/"});
    let run = async |given: Given| given.load_with(settings.clone()).unwrap().run().await;
    assert_eq!(state(&run(given("http_check", &web)).await), (ServiceStatus::Ok, ""));
    let without = given("http_check", &web).init(&json!({"use_agent_proxy": false}));
    assert_eq!(state(&run(without).await).0, ServiceStatus::Critical);
    let direct = given("http_check", &json!({"name": "a", "url": "http://direct.invalid/"}));
    assert_eq!(state(&run(direct).await).0, ServiceStatus::Critical);
    assert_eq!(proxy.requests().len(), 1);
}

#[tokio::test]
async fn instances_are_yaml() {
    let server = Server::start(ok("fine")).await;
    let mut config = given("http_check", &json!({}));
    config.instance = format!("name: My-Web\nurl: {}\ncollect_response_time: no\ntags:\n- env:x\n- build:010\n", server.url("/"));
    config.init = "# nothing\n".to_owned();
    let report = config.run().await;
    assert!(metrics(&report, "network.http.response_time").is_empty());
    assert_eq!(metrics(&report, "network.http.can_connect")[0].tags[..2], ["env:x", "build:010"]);
}

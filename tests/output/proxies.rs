//! Proxies: which requests take them, and what they get to see. Source: cluster-agent-kubernetes 6.5.

use muster::config::Secret;
use muster::config::settings::IntakeSettings;
use muster::config::settings::ProxySettings;
use muster_actors::domain::delivery::{KeyState, SendErrorKind, SendResult, Verdict};
use muster_actors::ports::OutputTransport as _;

use crate::faults::tls;
use crate::server::{Reply, Server};
use crate::{KEY, one_check_run, transport};

fn through(proxy: ProxySettings) -> IntakeSettings {
    IntakeSettings { proxy, skip_ssl_validation: true, ..IntakeSettings::default() }
}

async fn send(settings: &IntakeSettings, url: &str) -> SendResult {
    let transport = transport(settings, url);
    let payload = transport.encode(&one_check_run()).payloads.remove(0);
    transport.send(&payload).await
}

#[tokio::test]
async fn http_requests_go_to_the_proxy_in_absolute_form() {
    let mut proxy = Server::start(&[], Reply::Status(202)).await;
    let settings = through(ProxySettings { http: Some(Secret::new(proxy.url())), ..ProxySettings::default() });
    assert_eq!(send(&settings, "http://intake.invalid:8080").await, SendResult::Answered(202));
    let request = proxy.next().await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "http://intake.invalid:8080/api/v1/check_run"));
    assert_eq!(request.header("host"), Some("intake.invalid:8080"));
}

#[tokio::test]
async fn https_requests_are_tunnelled_and_the_proxy_sees_no_key() {
    let mut intake = Server::start_tls(tls(rustls::ALL_VERSIONS), Reply::Status(202)).await;
    let mut proxy = Server::start(&[], Reply::Tunnel).await;
    let settings = through(ProxySettings { https: Some(Secret::new(proxy.url())), ..ProxySettings::default() });
    let port = intake.address.port();
    assert_eq!(send(&settings, &format!("https://localhost:{port}")).await, SendResult::Answered(202));
    let connect = proxy.next().await;
    assert_eq!((connect.method.as_str(), connect.target.as_str()), ("CONNECT", format!("localhost:{port}").as_str()));
    assert!(connect.headers.iter().all(|(_, value)| value != KEY));
    assert_eq!(intake.next().await.header("dd-api-key"), Some(KEY));
}

#[tokio::test]
async fn credentials_of_a_proxy_url_become_a_header() {
    let mut proxy = Server::start(&[], Reply::Status(202)).await;
    let url = format!("http://user:pass@{}", proxy.address);
    let settings =
        through(ProxySettings { http: Some(Secret::new(url.clone())), https: Some(Secret::new(url)), ..ProxySettings::default() });
    send(&settings, "http://intake.invalid").await;
    assert_eq!(proxy.next().await.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
    send(&settings, "https://intake.invalid").await;
    let connect = proxy.next().await;
    assert_eq!(connect.method, "CONNECT");
    assert_eq!(connect.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[tokio::test]
async fn a_proxy_without_scheme_is_an_http_proxy() {
    let mut proxy = Server::start(&[], Reply::Status(202)).await;
    let settings = through(ProxySettings { http: Some(Secret::new(proxy.address.to_string())), ..ProxySettings::default() });
    assert_eq!(send(&settings, "http://intake.invalid").await, SendResult::Answered(202));
    assert_eq!(proxy.next().await.target, "http://intake.invalid/api/v1/check_run");
}

#[tokio::test]
async fn no_proxy_and_the_other_scheme_go_direct() {
    let mut intake = Server::start(&[], Reply::Status(202)).await;
    let mut proxy = Server::start(&[], Reply::Status(202)).await;
    let direct = [
        ProxySettings { http: Some(Secret::new(proxy.url())), no_proxy: vec![intake.address.to_string()], ..ProxySettings::default() },
        ProxySettings {
            http: Some(Secret::new(proxy.url())),
            no_proxy: vec!["127.0.0.0/8".to_owned()],
            nonexact_match: true,
            ..ProxySettings::default()
        },
        ProxySettings { https: Some(Secret::new(proxy.url())), ..ProxySettings::default() },
    ];
    for proxy in direct {
        assert_eq!(send(&through(proxy), &intake.url()).await, SendResult::Answered(202));
        intake.next().await;
    }
    assert!(proxy.is_quiet());
    let exact =
        ProxySettings { http: Some(Secret::new(proxy.url())), no_proxy: vec!["127.0.0.0/8".to_owned()], ..ProxySettings::default() };
    send(&through(exact), &intake.url()).await;
    proxy.next().await;
    assert!(intake.is_quiet());
}

#[tokio::test]
async fn the_key_check_takes_the_proxy_too() {
    let mut proxy = Server::start(&[], Reply::Status(200)).await;
    let settings = through(ProxySettings { http: Some(Secret::new(proxy.url())), ..ProxySettings::default() });
    assert_eq!(transport(&settings, "http://intake.invalid").check_key().unwrap().await, KeyState::Valid);
    assert_eq!(proxy.next().await.target, "http://intake.invalid/api/v1/validate");
}

#[tokio::test]
async fn a_proxy_that_is_down_or_refuses_is_tried_again() {
    let settings =
        through(ProxySettings { https: Some(Secret::new("http://user:topsecret@127.0.0.1:1".to_owned())), ..ProxySettings::default() });
    let down = send(&settings, "https://intake.invalid").await;
    assert!(
        matches!(&down, SendResult::Failed { kind: SendErrorKind::ConnectionFailure, text } if !text.contains("topsecret")),
        "{down:?}"
    );
    let proxy = Server::start(&[], Reply::Status(407)).await;
    let settings = through(ProxySettings { https: Some(Secret::new(proxy.url())), ..ProxySettings::default() });
    assert_eq!(send(&settings, "https://intake.invalid").await.verdict(), Verdict::Retry);
}

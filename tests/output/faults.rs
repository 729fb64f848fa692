//! Intakes that misbehave: each attempt ends in bounded time with the right class, and tells nothing secret.

use std::sync::Arc;
use std::time::Duration;

use muster::config::settings::IntakeSettings;
use muster::output::datadog::DatadogTransport;
use muster_actors::domain::delivery::{Payload, SendErrorKind, SendResult, Verdict};
use muster_actors::ports::OutputTransport as _;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Reply, Server};
use crate::{KEY, PATIENCE, install_crypto, one_check_run, transport};

/// Settings whose time-out never plays a part.
fn patient() -> IntakeSettings {
    IntakeSettings { timeout: PATIENCE, ..IntakeSettings::default() }
}

fn with_timeout(milliseconds: u64) -> IntakeSettings {
    IntakeSettings { timeout: Duration::from_millis(milliseconds), ..IntakeSettings::default() }
}

fn payload(transport: &DatadogTransport) -> Payload {
    transport.encode(&one_check_run()).payloads.remove(0)
}

/// One attempt; checks that the text tells neither key nor URL.
async fn attempt(settings: &IntakeSettings, url: &str) -> SendResult {
    let transport = transport(settings, url);
    let result = transport.send(&payload(&transport)).await;
    if let SendResult::Failed { text, .. } = &result {
        assert!(!text.is_empty() && !text.contains(KEY) && !text.contains("check_run"), "{text}");
    }
    result
}

fn kind(result: &SendResult) -> SendErrorKind {
    match result {
        SendResult::Failed { kind, .. } => *kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ca_f4_every_answer_has_its_verdict_on_the_wire() {
    for status in [202, 400, 403, 404, 413, 429, 500, 503] {
        let server = Server::start(&[], Reply::Status(status)).await;
        assert_eq!(attempt(&patient(), &server.url()).await, SendResult::Answered(status));
    }
}

#[tokio::test]
async fn an_intake_that_hangs_is_given_up() {
    let server = Server::start(&[], Reply::RawAndHang(b"")).await;
    let result = attempt(&with_timeout(100), &server.url()).await;
    assert_eq!(kind(&result), SendErrorKind::CantSend);
    assert_eq!(result.verdict(), Verdict::Retry);
}

#[tokio::test]
async fn an_answer_counts_although_its_body_never_comes() {
    let server = Server::start(&[], Reply::RawAndHang(b"HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\n{")).await;
    assert_eq!(attempt(&with_timeout(1000), &server.url()).await, SendResult::Answered(202));
}

#[tokio::test]
async fn broken_connections_and_garbage_are_tried_again() {
    let garbage: &[&'static [u8]] =
        &[b"\x00\x01\x02\x03 garbage\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"HTTP/1.1 ", b"", b"SSH-2.0-OpenSSH_9.9\r\n"];
    let replies = garbage.iter().map(|bytes| Reply::Raw(bytes)).chain([Reply::Reset, Reply::HalfClose]);
    for reply in replies {
        let server = Server::start(&[], reply.clone()).await;
        let result = attempt(&patient(), &server.url()).await;
        assert_eq!(result.verdict(), Verdict::Retry, "{reply:?}: {result:?}");
        assert_eq!(kind(&result), SendErrorKind::CantSend, "{reply:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_not_used_again() {
    let mut server = Server::start(&[Reply::Status(202), Reply::Reset], Reply::Status(202)).await;
    let transport = transport(&patient(), &server.url());
    let payload = payload(&transport);
    assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
    server.next().await;
    let second = transport.send(&payload).await;
    // The client may have repeated the request itself on a new connection, or left that to us.
    if second != SendResult::Answered(202) {
        assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connection_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(kind(&attempt(&patient(), &format!("http://{address}")).await), SendErrorKind::ConnectionFailure);
}

pub(crate) fn tls(versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsAcceptor {
    install_crypto();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap()))
}

#[tokio::test]
async fn an_unknown_certificate_is_a_tls_failure_unless_validation_is_off() {
    let mut server = Server::start_tls(tls(rustls::ALL_VERSIONS), Reply::Status(202)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let unchecked = IntakeSettings { skip_ssl_validation: true, ..patient() };
    assert_eq!(attempt(&unchecked, &url).await, SendResult::Answered(202));
    assert_eq!(server.next().await.target, "/api/v1/check_run");
    assert_eq!(kind(&attempt(&patient(), &url).await), SendErrorKind::TlsHandshakeFailure);
    assert!(server.is_quiet());
}

#[tokio::test]
async fn the_least_tls_version_is_kept() {
    let server = Server::start_tls(tls(&[&rustls::version::TLS12]), Reply::Status(202)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let unchecked = IntakeSettings { skip_ssl_validation: true, ..patient() };
    assert_eq!(attempt(&unchecked, &url).await, SendResult::Answered(202));
    let strict = IntakeSettings { tls13_only: true, ..unchecked };
    assert_eq!(kind(&attempt(&strict, &url).await), SendErrorKind::TlsHandshakeFailure);
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_a_tls_failure() {
    let server = Server::start(&[], Reply::Raw(b"HTTP/1.1 400 X\r\n\r\n")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        }
    });
    let unchecked = IntakeSettings { skip_ssl_validation: true, ..patient() };
    assert_eq!(kind(&attempt(&unchecked, &url).await), SendErrorKind::TlsHandshakeFailure);
    drop(server);
}

//! TLS versions, ALPN, resumption. Source: cluster-agent-kubernetes 1.1.

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::client::{Call, Connection, tls_client};
use crate::site::{CLUSTER, Setup, Site};
use muster::config::settings::TlsVersion;

fn version() -> Call {
    Call::get("/version").bearer(CLUSTER)
}

#[actix_rt::test]
async fn tls_12_and_13_are_spoken() {
    let site = Site::start().await;
    for (version, offered) in [(ProtocolVersion::TLSv1_2, &TLS12), (ProtocolVersion::TLSv1_3, &TLS13)] {
        let mut connection = Connection::with_tls(site.address, tls_client(&[offered], &[])).await.unwrap();
        assert_eq!(connection.version, Some(version));
        assert_eq!(connection.alpn, None, "stock agents offer no protocol");
        assert_eq!(connection.call(&self::version()).await.status, 200);
    }
    site.stop().await;
}

#[actix_rt::test]
async fn the_least_version_can_be_raised() {
    let site = Site::with(Setup { minimum: TlsVersion::V1_3, ..Setup::default() }).await;
    assert!(Connection::with_tls(site.address, tls_client(&[&TLS12], &[])).await.is_err());
    assert!(Connection::with_tls(site.address, tls_client(&[&TLS13], &[])).await.is_ok());
    site.stop().await;
}

#[actix_rt::test]
async fn http_2_is_refused_and_http_11_chosen() {
    let site = Site::start().await;
    for offered in [&TLS12, &TLS13] {
        let refused = Connection::with_tls(site.address, tls_client(&[offered], &[b"h2"])).await.err().unwrap();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
        for offer in [&[b"h2".as_slice(), b"http/1.1"], &[b"http/1.1".as_slice(), b"h2"]] {
            let mut connection = Connection::with_tls(site.address, tls_client(&[offered], offer)).await.unwrap();
            assert_eq!(connection.alpn.as_deref(), Some(b"http/1.1".as_slice()));
            assert_eq!(connection.call(&version()).await.status, 200);
        }
    }
    site.stop().await;
}

#[actix_rt::test]
async fn sessions_are_resumed() {
    let site = Site::start().await;
    for offered in [&TLS12, &TLS13] {
        let client = tls_client(&[offered], &[]);
        let mut first = Connection::with_tls(site.address, client.clone()).await.unwrap();
        assert_eq!(first.handshake, Some(HandshakeKind::Full));
        // The ticket of TLS 1.3 arrives with the first answer.
        assert_eq!(first.call(&version()).await.status, 200);
        let mut second = Connection::with_tls(site.address, client).await.unwrap();
        assert_eq!(second.call(&version()).await.status, 200);
        assert_eq!(second.handshake, Some(HandshakeKind::Resumed), "{offered:?}");
    }
    site.stop().await;
}

#[actix_rt::test]
async fn plain_http_and_garbage_on_the_tls_port_harm_nobody() {
    let site = Site::start().await;
    for bytes in [b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), &[0; 64], &[0x16, 0x03, 0x01, 0xff, 0xff, 0x01], b"\x16\x03\x01"]
    {
        let mut connection = Connection::plain(site.address).await;
        connection.send(bytes).await;
        drop(connection);
    }
    assert_eq!(site.get("/version").await.status, 200);
    site.stop().await;
}

#[actix_rt::test]
async fn one_connection_serves_many_requests_without_a_new_handshake() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    for _ in 0..20 {
        let reply = connection.call(&Call::post("/api/v1/clusterchecks/status/n1", r#"{"last_change":0}"#).bearer(CLUSTER)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("connection"), None);
    }
    assert_eq!(site.heartbeats().await, 20);
    site.stop().await;
}

//! Commands against a real TLS server of this machine.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{Environment, Request};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Certificate (PEM) and a server that answers once, and then tells what it was asked.
async fn server(status: &'static str, body: &'static str) -> (String, u16, JoinHandle<String>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return "no handshake".to_owned() };
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the request ended early: {head}");
            head.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        head
    });
    (made.cert.pem(), port, asked)
}

fn api(directory: &Path, role: Role, port: u16) -> LocalApi {
    fs::write(directory.join("auth_token"), format!("{TOKEN}\n")).unwrap();
    fs::write(directory.join(role.file_name()), format!("cmd_port: {port}\ncluster_agent:\n  cmd_port: {port}\n")).unwrap();
    let request = Request { role, path: Some(directory.to_owned()), environment: Environment::default(), overrides: Vec::new() };
    LocalApi::new(&Config::load(request).unwrap()).unwrap()
}

#[tokio::test]
async fn the_cluster_role_is_asked_with_the_local_token() {
    let directory = tempfile::tempdir().unwrap();
    let (_, port, asked) = server("200 OK", "{}").await;
    assert_eq!(api(directory.path(), Role::Cluster, port).get("/status?format=text").await.unwrap(), "{}");
    let head = asked.await.unwrap().to_lowercase();
    assert!(head.starts_with("get /status?format=text http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {TOKEN}\r\n")), "{head}");
    assert!(head.contains(&format!("host: localhost:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn the_node_role_is_asked_below_agent() {
    let directory = tempfile::tempdir().unwrap();
    let (_, port, asked) = server("200 OK", "\"\"").await;
    api(directory.path(), Role::Node, port).post("/stop", &[]).await.unwrap();
    let head = asked.await.unwrap().to_lowercase();
    assert!(head.starts_with("post /agent/stop http/1.1\r\n") && head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn the_certificate_of_the_file_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (pem, port, asked) = server("200 OK", "ok").await;
    fs::write(directory.path().join("ipc_cert.pem"), pem).unwrap();
    assert_eq!(api(directory.path(), Role::Cluster, port).get("/config").await.unwrap(), "ok");
    assert!(asked.await.unwrap().starts_with("GET /config "));
}

#[tokio::test]
async fn another_certificate_than_that_of_the_file_gets_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let (_, port, asked) = server("200 OK", "ok").await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.path().join("ipc_cert.pem"), other.cert.pem()).unwrap();
    let error = api(directory.path(), Role::Cluster, port).get("/config").await.unwrap_err();
    assert!(matches!(&error, QueryError::Unreachable { text } if text.contains("certificate")), "{error:?}");
    assert_eq!(asked.await.unwrap(), "no handshake");
}

#[tokio::test]
async fn a_refusal_keeps_status_and_body() {
    let directory = tempfile::tempdir().unwrap();
    let (_, port, _) = server("403 Forbidden", "invalid session token\n").await;
    let error = api(directory.path(), Role::Cluster, port).get("/config").await.unwrap_err();
    assert_eq!(error.text(), "status 403: invalid session token");
}

//! The client against a real TLS server with scripted answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_actors::domain::world::NodeKind;
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{ClusterAgentClient as _, ClusterAgentError, StatusReply};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::http::{BodyError, read_body};
use crate::client::{ClientSettings, ClusterAgentHttp, Trust};
use crate::config::Secret;

mod runner;

const VERSION: &str = r#"{"Major":7,"Minor":68,"Patch":0,"Pre":"","Meta":"","Commit":"d6f48e60d2"}"#;
const LIMIT: Duration = Duration::from_secs(10);

/// A clock that only moves when told.
#[derive(Default)]
struct ManualClock(Mutex<Duration>);

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn unix_nanos(&self) -> i64 {
        0
    }
}

/// What the server does with a request.
enum Answer {
    /// Status and body.
    Full(u16, &'static str),
    /// Announces more than it sends and closes.
    Cut(&'static str),
    /// Announces that many bytes, sends none and closes.
    Announced(usize),
    /// Sends this without saying how long it is and closes.
    Unannounced(&'static str),
    /// Never answers.
    Silence,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<(String, String)>>,
    connections: AtomicUsize,
}

struct Server {
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    certificate: Vec<u8>,
    port: u16,
}

impl Server {
    async fn start() -> Self {
        Self::at("127.0.0.1").await.unwrap()
    }

    /// Fails where this address does not exist.
    async fn at(address: &str) -> std::io::Result<Self> {
        // A second installation in the same test process fails and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let config =
            rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script::default());
        let shared = Arc::clone(&script);
        actix_rt::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&shared));
                actix_rt::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    script.connections.fetch_add(1, Ordering::Relaxed);
                    serve(stream, &script).await;
                });
            }
        });
        Ok(Self { script, clock: Arc::default(), certificate: certified.cert.pem().into_bytes(), port })
    }

    fn client(&self, trust: Trust) -> ClusterAgentHttp {
        let settings = ClientSettings {
            endpoint: format!("https://localhost:{}", self.port).parse().unwrap(),
            token: Secret::new("t".repeat(32)),
            identity: "runner a".to_owned(),
            kind: NodeKind::Runner,
            runner_host: "10.0.0.1".to_owned(),
            version: "0.1.0".to_owned(),
            trust,
            reconnect_period: Duration::from_secs(1200),
        };
        ClusterAgentHttp::try_new(settings, Arc::<ManualClock>::clone(&self.clock)).unwrap()
    }

    /// A client that has made contact, and the answers it gets next.
    fn reached(&self, answers: impl IntoIterator<Item = Answer>) -> ClusterAgentHttp {
        self.will_answer([Answer::Full(200, VERSION)].into_iter().chain(answers));
        self.client(Trust::Any)
    }

    fn will_answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.answers.lock().unwrap().extend(answers);
    }

    fn wait(&self, seconds: u64) {
        *self.clock.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.script.requests.lock().unwrap())
    }
}

/// Answers requests of one connection until it ends.
async fn serve(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, script: &Script) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").and_then(|text| text.parse().ok()));
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.unwrap();
        script.requests.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
        let answer = script.answers.lock().unwrap().pop_front();
        let (text, cut) = match answer {
            Some(Answer::Full(status, body)) => (format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len()), false),
            Some(Answer::Cut(body)) => (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 10), true),
            Some(Answer::Announced(length)) => (format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"), true),
            Some(Answer::Unannounced(body)) => (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}"), true),
            Some(Answer::Silence) => std::future::pending().await,
            None => panic!("no answer scripted"),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if cut {
            // So that an answer of unknown length ends in order; a client that hung up before does not mind.
            let _ = stream.shutdown().await;
            return;
        }
    }
}

fn is_remote<T: std::fmt::Debug>(answer: Result<T, ClusterAgentError>) -> bool {
    matches!(answer, Err(ClusterAgentError::Remote(_)))
}

fn is_unexpected<T: std::fmt::Debug>(answer: Result<T, ClusterAgentError>) -> bool {
    matches!(answer, Err(ClusterAgentError::Unexpected(_)))
}

#[actix_rt::test]
async fn the_time_of_a_grant_is_read_and_absent_from_stock_servers() {
    let server = Server::start().await;
    let bodies = [r#"{"isuptodate":true,"grant_seconds":30}"#, r#"{"isuptodate":true,"grant_seconds":0}"#, r#"{"isuptodate":true}"#];
    let client = server.reached(bodies.map(|body| Answer::Full(200, body)));
    for seconds in [Some(30), Some(0), None] {
        let grant = seconds.map(std::time::Duration::from_secs);
        assert_eq!(client.post_status(7, LIMIT).await, Ok(StatusReply { up_to_date: true, grant }));
    }
}

#[actix_rt::test]
async fn nr_t52_the_status_body_and_the_headers_are_those_of_a_runner() {
    let server = Server::start().await;
    let client = server.reached([Answer::Full(200, r#"{"isuptodate":true}"#), Answer::Full(200, r#"{"isuptodate":false}"#)]);
    assert_eq!(client.post_status(0, LIMIT).await, Ok(StatusReply { up_to_date: true, grant: None }));
    assert_eq!(client.post_status(-1, LIMIT).await, Ok(StatusReply { up_to_date: false, grant: None }));
    let requests = server.requests();
    let first_lines: Vec<&str> = requests.iter().filter_map(|(head, _)| head.lines().next()).collect();
    let post = "POST /api/v1/clusterchecks/status/runner%20a HTTP/1.1";
    assert_eq!(first_lines, ["GET /version HTTP/1.1", post, post]);
    assert_eq!(requests[1].1, r#"{"last_change":0,"node_type":1,"muster_grants":true}"#);
    assert_eq!(requests[2].1, r#"{"last_change":-1,"node_type":1,"muster_grants":true}"#);
    for (head, _) in &requests {
        let head = head.to_lowercase();
        assert!(head.contains(&format!("authorization: bearer {}\r\n", "t".repeat(32))), "{head}");
        assert!(head.contains("x-real-ip: 10.0.0.1\r\n") && head.contains("user-agent: muster/0.1.0\r\n"), "{head}");
        assert!(!head.contains("content-type"), "{head}");
    }
    assert_eq!(server.script.connections.load(Ordering::Relaxed), 1, "the connection is kept");
}

#[actix_rt::test]
async fn configs_are_read_leniently() {
    let server = Server::start().await;
    let instance = r#"{"last_change":7,"configs":[{"check_name":"load","instances":["e30="],"new_key":{},"logs":null}],"more":1}"#;
    let empty = [r#"{"last_change":0,"configs":null}"#, r#"{"last_change":0,"configs":[]}"#, "{}", "null"];
    let client = server.reached([instance].into_iter().chain(empty).map(|body| Answer::Full(200, body)));
    let fetched = client.fetch_configs().await.unwrap();
    assert_eq!((fetched.last_change, fetched.configs.len(), fetched.configs[0].name.as_str()), (7, 1, "load"));
    for body in empty {
        assert!(client.fetch_endpoint_configs("node-1").await.unwrap().configs.is_empty(), "{body}");
    }
    let requests = server.requests();
    assert!(requests[1].0.starts_with("GET /api/v1/clusterchecks/configs/runner%20a HTTP/1.1"));
    assert!(requests[2].0.starts_with("GET /api/v1/endpointschecks/configs/node-1 HTTP/1.1"));
}

#[actix_rt::test]
async fn only_a_complete_200_without_the_expected_json_is_unexpected() {
    let server = Server::start().await;
    let bad = ["", "not json", r#"{"last_change":"x"}"#, r#"{"configs":[{"check_name":"#];
    let client = server.reached(bad.map(|body| Answer::Full(200, body)));
    for body in bad {
        assert!(is_unexpected(client.fetch_configs().await), "{body}");
    }
    for status in [204, 302, 401, 404, 500, 503] {
        server.will_answer([Answer::Full(status, "")]);
        assert!(is_remote(client.fetch_configs().await), "{status}");
    }
    server.will_answer([Answer::Cut(r#"{"last_change":7"#)]);
    assert!(is_remote(client.fetch_configs().await));
    server.will_answer([Answer::Full(200, "[]")]);
    assert!(is_unexpected(client.post_status(0, LIMIT).await));
}

#[actix_rt::test]
async fn an_answer_is_read_up_to_its_limit() {
    let server = Server::start().await;
    let client = server.reached([Answer::Announced((64 << 20) + 1)]);
    let too_large = ClusterAgentError::Remote(format!("answer larger than {} bytes", 64 << 20));
    assert_eq!(client.fetch_configs().await.unwrap_err(), too_large, "not even begun");

    let plain = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    for (limit, expected) in [(5, Ok(b"12345".to_vec())), (4, Err(BodyError::TooLarge(4)))] {
        server.will_answer([Answer::Unannounced("12345")]);
        let response = plain.get(format!("https://localhost:{}", server.port)).send().await.unwrap();
        assert_eq!(response.content_length(), None);
        assert_eq!(read_body(response, limit).await, expected);
    }
}

#[actix_rt::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start().await;
    let client = server.reached([Answer::Full(200, r#"{"isuptodate":true}"#), Answer::Silence]);
    assert_eq!(client.post_status(0, LIMIT).await, Ok(StatusReply { up_to_date: true, grant: None }));
    // From here on waiting costs nothing: time jumps to the next timer when all is quiet.
    tokio::time::pause();
    assert!(is_remote(client.post_status(0, LIMIT).await));
}

#[actix_rt::test]
async fn the_first_contact_is_the_version_and_failures_are_retried_ever_later() {
    let server = Server::start().await;
    let client = server.client(Trust::Any);
    server.will_answer([Answer::Full(503, "")]);
    assert!(is_remote(client.fetch_configs().await));
    assert!(is_remote(client.fetch_configs().await));
    assert_eq!(server.requests().len(), 1, "within a second nothing is called");
    server.wait(1);
    server.will_answer([Answer::Full(200, "hello")]);
    assert!(is_remote(client.fetch_configs().await));
    server.wait(1);
    assert!(is_remote(client.fetch_configs().await));
    assert_eq!(server.requests().len(), 1, "the second wait is two seconds");
    server.wait(1);
    server.will_answer([Answer::Full(200, VERSION), Answer::Full(200, "{}"), Answer::Full(200, "{}")]);
    assert!(client.fetch_configs().await.is_ok());
    assert!(client.fetch_configs().await.is_ok());
    assert_eq!(server.requests().len(), 3, "the version is asked for once");
}

#[actix_rt::test]
async fn the_connection_is_made_anew_after_the_reconnect_period() {
    let server = Server::start().await;
    let client = server.reached((0..3).map(|_| Answer::Full(200, "{}")));
    for wait in [0, 1199, 1] {
        server.wait(wait);
        assert!(client.fetch_configs().await.is_ok());
    }
    assert_eq!(server.script.connections.load(Ordering::Relaxed), 2);
}

#[actix_rt::test]
async fn with_a_trust_chain_only_its_certificates_are_accepted() {
    let (server, other) = (Server::start().await, Server::start().await);
    server.will_answer([Answer::Full(200, VERSION), Answer::Full(200, "{}")]);
    assert!(server.client(Trust::Roots(server.certificate.clone())).fetch_configs().await.is_ok());
    assert!(is_remote(server.client(Trust::Roots(other.certificate.clone())).fetch_configs().await));
    assert_eq!(server.requests().len(), 2);
}

//! What the intake gets to see.

use std::io::Read as _;

use muster::config::ApiKey;
use muster::config::settings::Compressor;
use muster::config::settings::IntakeSettings;
use muster::output::datadog::DatadogTransport;
use muster::output::series_v2::MetricPayload;
use muster_actors::domain::delivery::{KeyState, SendResult};
use muster_actors::ports::OutputTransport as _;
use prost::Message as _;

use crate::server::{Reply, Request, Server};
use crate::{KEY, batch, one_check_run, transport};

fn decompress(request: &Request) -> Vec<u8> {
    let mut text = Vec::new();
    match request.header("content-encoding") {
        None => text.clone_from(&request.body),
        Some("zstd") => text = zstd::stream::decode_all(request.body.as_slice()).unwrap(),
        Some("deflate") => drop(flate2::read::ZlibDecoder::new(request.body.as_slice()).read_to_end(&mut text).unwrap()),
        Some("gzip") => drop(flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut text).unwrap()),
        Some(other) => panic!("unexpected encoding {other}"),
    }
    text
}

async fn send_all(settings: &IntakeSettings, server: &mut Server) -> Vec<Request> {
    let transport = transport(settings, &server.url());
    let mut requests = Vec::new();
    for payload in transport.encode(&batch()).payloads {
        assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
        requests.push(server.next().await);
    }
    requests
}

#[tokio::test]
async fn routes_headers_and_bodies_are_those_of_a_stock_agent() {
    let mut server = Server::start(&[], Reply::Status(202)).await;
    let settings = IntakeSettings { hostname: "node-1".to_owned(), ..IntakeSettings::default() };
    let requests = send_all(&settings, &mut server).await;
    for request in &requests {
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("dd-api-key"), Some(KEY));
        assert_eq!(request.header("dd-agent-version"), Some("7.81.1"));
        assert_eq!(request.header("user-agent"), Some("datadog-agent/7.81.1"));
        assert_eq!(request.header("content-encoding"), Some("zstd"));
        assert!(!request.target.contains(KEY));
    }
    let [series, check_run, events] = requests.as_slice() else { panic!("three requests") };

    assert_eq!(series.target, "/api/v2/series");
    assert_eq!(series.header("content-type"), Some("application/x-protobuf"));
    assert!(series.header("dd-agent-payload").is_some());
    let decoded = MetricPayload::decode(decompress(series).as_slice()).unwrap();
    assert_eq!(decoded.series.len(), 1);
    assert_eq!(decoded.series[0].metric, "network.http.can_connect");
    assert_eq!(decoded.series[0].tags, ["url:http://a/", "instance:a"]);

    assert_eq!(check_run.target, "/api/v1/check_run");
    assert_eq!(check_run.header("content-type"), Some("application/json"));
    assert_eq!(check_run.header("dd-agent-payload"), None);
    assert_eq!(
        String::from_utf8(decompress(check_run)).unwrap(),
        r#"[{"check":"http.can_connect","host_name":"node-1","timestamp":1700000000,"status":0,"message":"","tags":["a:b"]}]"#
    );

    assert_eq!(events.target, "/intake/");
    assert_eq!(
        String::from_utf8(decompress(events)).unwrap(),
        r#"{"apiKey":"","events":{"api":[{"msg_title":"t","msg_text":"","timestamp":1700000000,"host":"node-1"}]},"internalHostname":"node-1"}"#
    );
}

#[tokio::test]
async fn every_compression_arrives_readable() {
    for (compressor, encoding) in [
        (Compressor::Zlib, Some("deflate")),
        (Compressor::Gzip, Some("gzip")),
        (Compressor::Identity, None),
        (Compressor::Zstd { level: 1 }, Some("zstd")),
    ] {
        let mut server = Server::start(&[], Reply::Status(202)).await;
        let settings = IntakeSettings { compressor, series_v2: false, ..IntakeSettings::default() };
        let requests = send_all(&settings, &mut server).await;
        assert_eq!(requests[0].header("content-encoding"), encoding);
        assert_eq!(requests[0].target, "/api/v1/series");
        assert_eq!(
            String::from_utf8(decompress(&requests[0])).unwrap(),
            r#"{"series":[{"metric":"network.http.can_connect","points":[[1700000000,1]],"tags":["url:http://a/","instance:a"],"host":"node-1","type":"gauge","interval":0,"source_type_name":"System"}]}"#
        );
    }
}

#[tokio::test]
async fn a_path_in_the_url_is_kept() {
    let mut server = Server::start(&[], Reply::Status(202)).await;
    let transport = transport(&IntakeSettings::default(), &format!("{}/behind/", server.url()));
    let payload = transport.encode(&one_check_run()).payloads.remove(0);
    transport.send(&payload).await;
    assert_eq!(server.next().await.target, "/behind/api/v1/check_run");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut other = Server::start(&[], Reply::Status(202)).await;
    // Leaked on purpose: a script holds constant bytes.
    let answer = format!("HTTP/1.1 307 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url()).leak();
    let server = Server::start(&[], Reply::Raw(answer.as_bytes())).await;
    let transport = transport(&IntakeSettings::default(), &server.url());
    let payload = transport.encode(&one_check_run()).payloads.remove(0);
    assert_eq!(transport.send(&payload).await, SendResult::Answered(307));
    assert!(other.is_quiet(), "the key goes to no other host");
}

#[tokio::test]
async fn the_key_is_validated_by_header() {
    let states = [(200, KeyState::Valid), (403, KeyState::Invalid), (500, KeyState::Unknown), (202, KeyState::Unknown)];
    for (status, state) in states {
        let mut server = Server::start(&[], Reply::Status(status)).await;
        let transport = transport(&IntakeSettings::default(), &server.url());
        assert_eq!(transport.check_key().unwrap().await, state);
        let request = server.next().await;
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/api/v1/validate"));
        assert_eq!(request.header("dd-api-key"), Some(KEY));
    }
    let mut server = Server::start(&[], Reply::Status(403)).await;
    let (settings, here) = (IntakeSettings::default(), tokio::runtime::Handle::current());
    let zeros = DatadogTransport::try_new(&settings, Some(&server.url()), ApiKey::new(&"0".repeat(32)), here).unwrap();
    assert_eq!(zeros.check_key().unwrap().await, KeyState::Valid, "this key counts as valid");
    assert!(server.is_quiet());
    drop(server);
    let unreachable = transport(&IntakeSettings::default(), "http://127.0.0.1:1");
    assert_eq!(unreachable.check_key().unwrap().await, KeyState::Unknown);
}

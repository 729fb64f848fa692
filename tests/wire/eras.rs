//! What agents of different years send: no content type, extra keys, missing keys, TLS 1.2. Source: cluster-checks 2, 4.1, 9.1.

use std::fmt::Write as _;

use muster_actors::domain::world::NodeKind;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::client::{Connection, tls_client};
use crate::site::{CLUSTER, FakeNode, Site, config};

struct Era {
    agent: &'static str,
    tls: &'static SupportedProtocolVersion,
    /// Headers beside `Host`, `User-Agent`, `Content-Length` and `Authorization`.
    headers: &'static [(&'static str, &'static str)],
    /// Bodies of its polls: at start, with the current version, and the extra heartbeat if it sends one.
    at_start: &'static str,
    with_version: &'static str,
    heartbeat: Option<&'static str>,
    kind: NodeKind,
}

const STAMP: i64 = 1_560_000_000;

const ERAS: &[Era] = &[
    Era {
        agent: "6.9 node agent",
        tls: &TLS12,
        headers: &[("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0,"events":[]}"#,
        with_version: r#"{"last_change":1560000000,"events":[]}"#,
        heartbeat: None,
        kind: NodeKind::Unknown,
    },
    Era {
        agent: "6.12 node agent with events",
        tls: &TLS12,
        headers: &[("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0,"events":null}"#,
        with_version: r#"{"last_change":1560000000,"events":[{"check_id":"http_check:1","count":3}]}"#,
        heartbeat: None,
        kind: NodeKind::Unknown,
    },
    Era {
        agent: "7.24 runner",
        tls: &TLS12,
        headers: &[("X-Real-Ip", "10.0.3.7"), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0}"#,
        with_version: r#"{"last_change":1560000000}"#,
        heartbeat: None,
        kind: NodeKind::Unknown,
    },
    Era {
        agent: "7.45 node agent",
        tls: &TLS13,
        headers: &[("X-Real-Ip", ""), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0}"#,
        with_version: r#"{"last_change":1560000000}"#,
        heartbeat: None,
        kind: NodeKind::Unknown,
    },
    Era {
        agent: "7.68 runner",
        tls: &TLS13,
        headers: &[("X-Real-Ip", "10.77.0.101"), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0}"#,
        with_version: r#"{"last_change":1560000000}"#,
        heartbeat: Some(r#"{"last_change":-1}"#),
        kind: NodeKind::Unknown,
    },
    Era {
        agent: "7.81 runner",
        tls: &TLS13,
        headers: &[("X-Real-Ip", "10.0.3.7"), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0,"node_type":1}"#,
        with_version: r#"{"last_change":1560000000,"node_type":1}"#,
        heartbeat: Some(r#"{"last_change":-1,"node_type":1}"#),
        kind: NodeKind::Runner,
    },
    Era {
        agent: "7.81 node agent",
        tls: &TLS13,
        headers: &[("X-Real-Ip", ""), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0,"node_type":2}"#,
        with_version: r#"{"last_change":1560000000,"node_type":2}"#,
        heartbeat: Some(r#"{"last_change":-1,"node_type":2}"#),
        kind: NodeKind::NodeAgent,
    },
    Era {
        agent: "development runner with a declaration",
        tls: &TLS13,
        headers: &[("X-Real-Ip", "10.0.3.7"), ("Accept-Encoding", "gzip")],
        at_start: r#"{"last_change":0,"node_type":1,"check_compatibility":{"include":["postgres"]}}"#,
        with_version: r#"{"last_change":1560000000,"node_type":1,"check_compatibility":{"include":["postgres"],"exclude":["redisdb"]}}"#,
        heartbeat: Some(r#"{"last_change":-1,"node_type":1,"check_compatibility":{}}"#),
        kind: NodeKind::Runner,
    },
];

impl Era {
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Vec<u8> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: dca:5005\r\nUser-Agent: Go-http-client/1.1\r\n");
        if let Some(body) = body {
            write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        write!(text, "Authorization: Bearer {CLUSTER}\r\n").unwrap();
        for (name, value) in self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text += "\r\n";
        text += body.unwrap_or_default();
        text.into_bytes()
    }
}

/// One life of each agent: version, first poll, a set, the fetch, the same version again, a heartbeat.
#[actix_rt::test]
async fn agents_of_every_era_get_through_their_first_minute() {
    for era in ERAS {
        let site = Site::start().await;
        let mut connection = Connection::with_tls(site.address, tls_client(&[era.tls], &[])).await.unwrap();
        let mut ask = async |method: &str, path: &str, body: Option<&str>| {
            connection.send(&era.request(method, path, body)).await;
            let reply = connection.reply(true).await.unwrap();
            assert_eq!(reply.status, 200, "{}: {method} {path}: {}", era.agent, reply.text());
            reply
        };
        let version = ask("GET", "/version", None).await.json();
        assert!(version["Major"] == 7 && version["Minor"].as_u64().unwrap() >= 55, "{}", era.agent);
        let status = "/api/v1/clusterchecks/status/agent-1";
        assert_eq!(ask("POST", status, Some(era.at_start)).await.json()["isuptodate"], true, "{}", era.agent);
        site.arrange(|cluster| {
            let node = cluster.nodes.get_mut("agent-1").unwrap();
            *node = FakeNode { stamp: STAMP, configs: vec![config("redisdb")], ..node.clone() };
        })
        .await;
        assert_eq!(ask("POST", status, Some(era.at_start)).await.json()["isuptodate"], false, "{}", era.agent);
        let set = ask("GET", "/api/v1/clusterchecks/configs/agent-1", None).await.json();
        assert_eq!(set["last_change"], STAMP);
        assert_eq!(set["configs"][0]["check_name"], "redisdb");
        assert_eq!(ask("POST", status, Some(era.with_version)).await.json()["isuptodate"], true, "{}", era.agent);
        if let Some(heartbeat) = era.heartbeat {
            assert_eq!(ask("POST", status, Some(heartbeat)).await.json()["isuptodate"], true, "{}", era.agent);
        }
        let node = site.node("agent-1").await.unwrap();
        let address = era.headers.iter().find(|(name, _)| *name == "X-Real-Ip").map_or("", |(_, value)| value);
        assert_eq!((node.kind, node.address.as_str()), (era.kind, address), "{}", era.agent);
        assert_eq!(site.heartbeats().await, if era.heartbeat.is_some() { 4 } else { 3 }, "{}", era.agent);
        site.stop().await;
    }
}

//! The official API client reads what is posted, and finds in every field what was submitted.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::config::settings::{Compressor, IntakeSettings};
use muster_actors::domain::delivery::SendResult;
use muster_actors::domain::samples::{Batch, CheckRun, Event, Series, SeriesKind, ServiceStatus};
use muster_actors::ports::OutputTransport as _;
use serde_json::{Value as Json, json};

use crate::server::{Reply, Server};
use crate::transport;

/// The interpreter that has the packages; made on the first run.
fn interpreter(folder: &Path) -> String {
    let made = Command::new(folder.join("environment.sh")).output().unwrap();
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "no Python environment, so nothing was compared:\n{told}");
    String::from_utf8(made.stdout).unwrap().lines().last().unwrap().to_owned()
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

fn series(name: &str, kind: SeriesKind, points: &[(i64, f64)], tags: &[&str]) -> Series {
    Series {
        name: name.to_owned(),
        points: points.to_vec(),
        tags: texts(tags),
        host: "node-1".to_owned(),
        kind,
        interval: 0,
        source_type_name: "System".to_owned(),
        no_index: false,
    }
}

fn submitted() -> Batch {
    let plain =
        Event { title: "Events from the Pod default/web-1".to_owned(), text: "%%% \n1 **Started** \n %%%".to_owned(), ..Event::default() };
    let run = CheckRun {
        name: "kube_apiserver_controlplane.up".to_owned(),
        host: "node-1".to_owned(),
        timestamp: 1_700_000_001,
        status: ServiceStatus::Critical,
        message: "connect: \"refused\" \u{1f980}\n".to_owned(),
        tags: texts(&["component:scheduler", "kube_cluster_name:prod"]),
    };
    Batch {
        series: vec![
            series("kubernetes.pods.running", SeriesKind::Gauge, &[(1_700_000_000, 0.25), (1_700_000_015, -3.0)], &["a:b", "naïve:ü"]),
            Series { interval: 10, ..series("started", SeriesKind::Count, &[(1_700_000_000, 1e300)], &[]) },
            series("disk.rate", SeriesKind::Rate, &[(1_700_000_000, 0.0)], &["x:y", "device:sda"]),
            Series {
                host: String::new(),
                source_type_name: String::new(),
                no_index: true,
                ..series("n_o_i_n_d_e_x.dropped", SeriesKind::Gauge, &[(1, 1e-9)], &["bare"])
            },
        ],
        sketches: vec![],
        check_runs: vec![
            run.clone(),
            CheckRun { status: ServiceStatus::Ok, message: String::new(), tags: vec![], ..run.clone() },
            CheckRun { status: ServiceStatus::Warning, ..run.clone() },
            CheckRun { status: ServiceStatus::Unknown, host: String::new(), ..run },
        ],
        events: vec![
            Event {
                timestamp: 1_700_000_000,
                priority: "normal".to_owned(),
                host: "node-1".to_owned(),
                tags: texts(&["kube_kind:Pod", "kube_name:web-1"]),
                alert_type: "warning".to_owned(),
                aggregation_key: "kubernetes_apiserver:5c1e7cba".to_owned(),
                source_type_name: "kubernetes".to_owned(),
                event_type: "kubernetes_apiserver".to_owned(),
                ..plain.clone()
            },
            Event { timestamp: 1_700_000_002, text: "a <b> & \"c\" \\ \u{1f980}".to_owned(), ..plain.clone() },
            Event {
                timestamp: 1_700_000_003,
                text: "low".to_owned(),
                priority: "low".to_owned(),
                alert_type: "success".to_owned(),
                ..plain
            },
        ],
        metadata: vec![],
    }
}

/// The batch in words of this test, not of the encoders.
fn in_words(batch: &Batch) -> Json {
    let kind = |kind: SeriesKind| match kind {
        SeriesKind::Gauge => "gauge",
        SeriesKind::Rate => "rate",
        SeriesKind::Count => "count",
    };
    let series: Vec<Json> = batch
        .series
        .iter()
        .map(|one| {
            json!({
                "name": one.name, "points": one.points, "tags": one.tags, "host": one.host, "kind": kind(one.kind),
                "interval": one.interval, "source_type_name": one.source_type_name, "no_index": one.no_index,
            })
        })
        .collect();
    let status = |status: ServiceStatus| match status {
        ServiceStatus::Ok => 0,
        ServiceStatus::Warning => 1,
        ServiceStatus::Critical => 2,
        ServiceStatus::Unknown => 3,
    };
    let check_runs: Vec<Json> = batch
        .check_runs
        .iter()
        .map(|run| {
            json!({
                "check": run.name, "host_name": run.host, "timestamp": run.timestamp, "status": status(run.status),
                "message": run.message, "tags": run.tags,
            })
        })
        .collect();
    let events: Vec<Json> = batch
        .events
        .iter()
        .map(|event| {
            json!({
                "title": event.title, "text": event.text, "timestamp": event.timestamp, "priority": event.priority, "host": event.host,
                "tags": event.tags, "alert_type": event.alert_type, "aggregation_key": event.aggregation_key,
                "source_type_name": event.source_type_name, "event_type": event.event_type,
            })
        })
        .collect();
    json!({ "series": series, "check_runs": check_runs, "events": events })
}

#[tokio::test]
async fn the_official_client_reads_what_was_submitted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let interpreter = interpreter(&folder);
    let batch = submitted();
    for (compressor, series_v2, series_path) in [
        (Compressor::Zstd { level: 1 }, true, "/api/v2/series"),
        (Compressor::Zlib, false, "/api/v1/series"),
        (Compressor::Gzip, true, "/api/v2/series"),
        (Compressor::Identity, false, "/api/v1/series"),
    ] {
        let mut server = Server::start(&[], Reply::Status(202)).await;
        let settings = IntakeSettings { compressor, series_v2, hostname: "node-1".to_owned(), ..IntakeSettings::default() };
        let transport = transport(&settings, &server.url());
        let mut requests = Vec::new();
        for payload in transport.encode(&batch).payloads {
            assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
            let request = server.next().await;
            let headers: serde_json::Map<String, Json> = request.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
            requests.push(json!({ "path": request.target, "headers": headers, "body": STANDARD.encode(&request.body) }));
        }
        let paths = [series_path, "/api/v1/check_run", "/intake/"];
        let recorded = tempfile::NamedTempFile::new().unwrap();
        let content = json!({ "requests": requests, "submitted": in_words(&batch), "paths": paths });
        std::fs::write(recorded.path(), content.to_string()).unwrap();
        let read = Command::new(&interpreter).arg(folder.join("read_payloads.py")).arg(recorded.path()).output().unwrap();
        assert!(read.status.success(), "{compressor:?}:\n{}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "read 3 requests");
    }
}

//! The table of what becomes of a payload by what the intake does, through the production actor and transport: what is sent, dropped,
//! kept and counted, and that nothing tells a key or the password of a proxy. Source: cluster-agent-kubernetes 6.4.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::System;
use muster::config::Secret;
use muster::config::settings::{IntakeSettings, ProxySettings};
use muster::telemetry::status::ForwarderStatus;
use muster::telemetry::{Metrics, sources};
use muster_actors::domain::delivery::{DropReason, KeyState, SendErrorKind};
use muster_actors::messages::output::OutputStats;

use crate::actor::{Running, one, without_bytes};
use crate::server::{Reply, Server};
use crate::{KEY, PATIENCE, logs, one_check_run};

const PASSWORD: &str = "topsecretproxypassword";

/// Requests after which a payload that is tried again counts as kept.
const ATTEMPTS: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Sent,
    Dropped(DropReason),
    /// Tried again and again; the class of the failed attempts.
    Kept(SendErrorKind),
}

/// What the intake does, how long an attempt may take, what becomes of the payload, the status that is counted.
struct Row {
    does: Reply,
    timeout: Duration,
    fate: Fate,
    counted: Option<u16>,
}

fn row(does: Reply, fate: Fate) -> Row {
    let counted = match does {
        Reply::Status(status) if status >= 400 => Some(status),
        _ => None,
    };
    Row { does, timeout: PATIENCE, fate, counted }
}

/// The same with a time limit that is reached.
fn slow(does: Reply, fate: Fate) -> Row {
    Row { timeout: Duration::from_millis(100), ..row(does, fate) }
}

fn table() -> Vec<Row> {
    use Fate::{Dropped, Kept, Sent};
    let mut rows: Vec<Row> = [200, 202, 204, 301, 307].map(|status| row(Reply::Status(status), Sent)).into();
    rows.extend([
        row(Reply::Status(400), Dropped(DropReason::BadRequest)),
        row(Reply::Status(403), Dropped(DropReason::InvalidKey)),
        row(Reply::Status(413), Dropped(DropReason::TooLarge)),
    ]);
    rows.extend(
        [401, 402, 404, 405, 408, 422, 429, 500, 502, 503, 504].map(|status| row(Reply::Status(status), Kept(SendErrorKind::Gt400))),
    );
    rows.extend([
        // Hangs: before a word, within the head.
        slow(Reply::RawAndHang(b""), Kept(SendErrorKind::CantSend)),
        slow(Reply::RawAndHang(b"HTTP/1.1 202 Acc"), Kept(SendErrorKind::CantSend)),
        // The verdict is in the head, whatever becomes of the body.
        slow(Reply::RawAndHang(b"HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\n{"), Sent),
        row(Reply::Raw(b"HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\n{"), Sent),
        row(Reply::Endless(202), Sent),
        row(Reply::Reset, Kept(SendErrorKind::CantSend)),
        row(Reply::HalfClose, Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b""), Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b"\x00\x01 garbage\r\n\r\n"), Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n"), Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b"<html>it works</html>"), Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b"HTTP/1.1 999999 X\r\n\r\n"), Kept(SendErrorKind::CantSend)),
        row(Reply::Raw(b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/stolen\r\nContent-Length: 0\r\n\r\n"), Sent),
    ]);
    rows
}

/// Straight to the server, or with the server as a proxy that needs a password.
fn settings(server: &Server, through_proxy: bool, timeout: Duration) -> IntakeSettings {
    let mut settings = IntakeSettings { timeout, url: Some(server.url()), ..IntakeSettings::default() };
    if through_proxy {
        let proxy = Secret::new(format!("http://operator:{PASSWORD}@{}", server.address));
        settings.proxy = ProxySettings { http: Some(proxy), ..ProxySettings::default() };
        settings.url = Some("http://intake.invalid:8080".to_owned());
    }
    settings
}

/// Waits until an attempt has been counted as `done` wants it.
async fn counted(running: &Running, done: impl Fn(&OutputStats) -> bool) -> Arc<OutputStats> {
    let wait = async {
        loop {
            let stats = running.stats.current();
            if done(&stats) {
                return stats;
            }
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    actix_rt::time::timeout(PATIENCE, wait).await.unwrap()
}

fn one_of(contents: muster_actors::domain::delivery::Contents) -> bool {
    without_bytes(contents) == one()
}

async fn judge(row: Row, through_proxy: bool) {
    let what = format!("{:?}, proxy {through_proxy}", row.does);
    let server = Server::start(&[], row.does.clone()).await;
    let running = Running::with(settings(&server, through_proxy, row.timeout));
    running.enqueue(one_check_run());
    let attempts = match row.fate {
        Fate::Sent => {
            let stats = counted(&running, |stats| !stats.sent.is_empty()).await;
            assert!(one_of(stats.sent) && stats.queued.is_empty() && stats.dropped.is_empty(), "{what}: {stats:?}");
            assert_eq!((stats.retries, stats.routes["check_run_v1"].success), (0, 1), "{what}");
            assert_eq!(stats.routes["check_run_v1"].success_bytes, stats.sent.bytes, "{what}");
            0
        }
        Fate::Dropped(reason) => {
            let stats = counted(&running, |stats| !stats.dropped.is_empty()).await;
            assert!(one_of(stats.dropped[&reason]) && stats.queued.is_empty() && stats.sent.is_empty(), "{what}: {stats:?}");
            assert_eq!((stats.retries, stats.routes["check_run_v1"].dropped, stats.dropped.len()), (0, 1, 1), "{what}");
            let key_state = if reason == DropReason::InvalidKey { KeyState::Invalid } else { KeyState::NotChecked };
            assert_eq!(stats.key_state, key_state, "{what}");
            1
        }
        Fate::Kept(kind) => {
            let stats = counted(&running, |stats| stats.retries >= ATTEMPTS).await;
            assert!(one_of(stats.queued) && stats.sent.is_empty() && stats.dropped.is_empty(), "{what}: {stats:?}");
            let route = &stats.routes["check_run_v1"];
            assert_eq!(route.errors, BTreeMap::from([(kind, stats.retries)]), "{what}");
            assert!(route.backoff_errors > 0 && route.dropped == 0 && stats.last_error.is_some(), "{what}: {stats:?}");
            stats.retries
        }
    };
    let stats = running.stats.current();
    let http_errors: BTreeMap<u16, u64> = row.counted.map(|status| (status, attempts.max(stats.retries))).into_iter().collect();
    let errors = &stats.routes["check_run_v1"].http_errors;
    assert_eq!(errors.keys().collect::<Vec<_>>(), http_errors.keys().collect::<Vec<_>>(), "{what}");
    assert!(errors.values().all(|count| *count >= attempts), "{what}: {errors:?}");
    let stats = running.finish().await;
    tells_no_secret(&stats, &what);
}

/// Looks for the key and the password in everything that people and programs get to see.
fn tells_no_secret(stats: &Arc<OutputStats>, what: &str) {
    let metrics = Metrics::new();
    let scraped = Arc::clone(stats);
    metrics.add_source(move |scrape| sources::outputs(&[Arc::clone(&scraped)], scrape));
    let status = ForwarderStatus::of(vec![OutputStats::clone(stats)]);
    let shown = [format!("{stats:?}"), serde_json::to_string(&status).unwrap(), metrics.render(), logs::so_far()];
    for text in &shown {
        assert!(!text.contains(KEY), "{what}: a key is shown");
        assert!(!text.contains(PASSWORD), "{what}: the password of a proxy is shown");
    }
    assert!(shown[3].contains("sending failed"), "logs are looked at");
}

fn judge_all(through_proxy: bool) {
    logs::keep();
    System::new().block_on(async {
        // First of all something that is logged.
        judge(row(Reply::Status(503), Fate::Kept(SendErrorKind::Gt400)), through_proxy).await;
        for row in table() {
            judge(row, through_proxy).await;
        }
    });
}

#[test]
fn ca_f4_the_table_of_answers_holds() {
    judge_all(false);
}

#[test]
fn ca_f4_the_table_of_answers_holds_through_a_proxy() {
    judge_all(true);
}

#[test]
fn whoever_cannot_be_reached_is_tried_again_and_no_secret_is_told() {
    logs::keep();
    System::new().block_on(async {
        let to_nobody = |url: &str, proxy: Option<&str>| {
            let proxy = proxy.map(|scheme| Secret::new(format!("{scheme}://operator:{PASSWORD}@127.0.0.1:1")));
            let proxy = ProxySettings { http: proxy.clone(), https: proxy, ..ProxySettings::default() };
            IntakeSettings { url: Some(url.to_owned()), proxy, timeout: PATIENCE, skip_ssl_validation: true, ..IntakeSettings::default() }
        };
        for (url, proxy) in [
            ("http://127.0.0.1:1", None),
            ("https://127.0.0.1:1", None),
            ("http://intake.invalid", Some("http")),
            ("https://intake.invalid", Some("http")),
            ("https://intake.invalid", Some("https")),
            ("https://intake.invalid", Some("socks5")),
        ] {
            let what = format!("{url} through {proxy:?}");
            let running = Running::with(to_nobody(url, proxy));
            running.enqueue(one_check_run());
            let stats = counted(&running, |stats| stats.retries >= ATTEMPTS).await;
            assert!(one_of(stats.queued) && stats.dropped.is_empty(), "{what}: {stats:?}");
            let kinds: Vec<SendErrorKind> = stats.routes["check_run_v1"].errors.keys().copied().collect();
            assert_eq!(kinds, [SendErrorKind::ConnectionFailure], "{what}: {stats:?}");
            let stats = running.finish().await;
            tells_no_secret(&stats, &what);
        }
    });
}

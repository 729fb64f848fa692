//! The API server as somebody sees it who does nothing with what it says: the floor of every time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use muster_rig::Identity;
use tokio::task::JoinHandle;

/// All pods as the lines of a watch.
pub struct Listing {
    pub lines: Vec<String>,
    pub bytes: usize,
    pub time: Duration,
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap()
}

/// Receives all pods as an informer does, and only looks for the end.
pub async fn stream_pods(admin: &Identity, clock: &SystemClock) -> Listing {
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let url = format!("{}/api/v1/pods?{query}", admin.url());
    let begun = clock.monotonic();
    let mut answer = client().get(url).bearer_auth(admin.token()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut text = Vec::new();
    while !is_complete(&text) {
        text.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    let time = clock.monotonic().saturating_sub(begun);
    let bytes = text.len();
    let mut lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    lines.pop();
    Listing { lines, bytes, time }
}

fn is_complete(text: &[u8]) -> bool {
    let end = &text[text.len().saturating_sub(1_000)..];
    end.last() == Some(&b'\n') && end.windows(24).any(|window| window == b"k8s.io/initial-events-en")
}

/// When a bare watch saw a version of an object. Units: nanoseconds since the Unix epoch.
#[derive(Clone, Default)]
pub struct Sights(Arc<Mutex<BTreeMap<String, i64>>>);

impl Sights {
    pub fn at(&self, resource_version: &str) -> Option<i64> {
        self.0.lock().unwrap().get(resource_version).copied()
    }
}

/// Watches the collection at `path` until it is dropped.
pub struct BareWatch {
    pub sights: Sights,
    watching: JoinHandle<()>,
}

impl BareWatch {
    pub async fn start(admin: &Identity, path: &str, clock: &SystemClock) -> Self {
        let now = admin.get(&format!("{path}?limit=1")).await.unwrap();
        let mut watch = admin.watch(path, now["metadata"]["resourceVersion"].as_str().unwrap()).await.unwrap();
        let (sights, clock) = (Sights::default(), clock.clone());
        let seen = sights.clone();
        let watching = tokio::spawn(async move {
            while let Some(event) = watch.next().await.unwrap() {
                let at = clock.unix_nanos();
                let version = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
                seen.0.lock().unwrap().insert(version, at);
            }
        });
        Self { sights, watching }
    }
}

impl Drop for BareWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

//! Who looks at the stored token all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_rig::Identity;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::events::source::Created;
use crate::intake::Intake;
use crate::world::HOME;

/// The stored token, unless the API server does not answer.
pub async fn token(admin: &Identity) -> Option<u64> {
    let path = format!("/api/v1/namespaces/{HOME}/configmaps/datadogtoken");
    let map = timeout(Duration::from_secs(5), admin.get(&path)).await.ok()?.ok()?;
    map["data"]["event.tokenKey"].as_str()?.parse().ok()
}

/// Events up to this version that have not arrived.
pub fn ahead(token: u64, created: &BTreeMap<u32, u64>, seen: &BTreeMap<u32, u32>) -> Vec<u32> {
    created.iter().filter(|(number, version)| **version <= token && !seen.contains_key(number)).map(|(number, _)| *number).collect()
}

/// Looks at the token all the time.
pub struct Watchman {
    task: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Watchman {
    /// Panics when the token goes back. `strict`: also when it stands further than what has arrived, as it may only where there is a disk
    /// that keeps what the intake has not taken.
    pub fn start(admin: &Identity, intake: &Arc<Intake>, created: &Created, strict: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (admin, intake, created, stopped) = (admin.clone(), Arc::clone(intake), Arc::clone(created), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (mut before, mut looks) = (0, 0);
            while !stopped.load(Ordering::SeqCst) {
                if let Some(token) = token(&admin).await {
                    assert!(token >= before, "the token went back from {before} to {token}");
                    before = token;
                    looks += 1;
                    let created = created.lock().unwrap().clone();
                    let ahead = ahead(token, &created, &intake.seen());
                    assert!(!strict || ahead.is_empty(), "the token {token} is ahead of {} events: {:?}", ahead.len(), ahead.first());
                }
                sleep(Duration::from_millis(100)).await;
            }
            looks
        });
        Self { task, stop }
    }

    /// How often it looked.
    pub async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

//! Where the numbered events come from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use muster_rig::Identity;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use crate::intake::MARK;
use crate::world::{SHOP, text};

/// Objects that the events are about.
const OBJECTS: u32 = 40;

/// Time between the beginnings of two creations while something is done to the world; what an outage held up is made up for.
const STEP: Duration = Duration::from_millis(16);

/// Creations at once when nothing more is done to it.
const AT_ONCE: usize = 8;

/// Version of an event that was created, by its number.
pub type Created = Arc<Mutex<BTreeMap<u32, u64>>>;

/// Creates numbered events, whatever the API server does.
pub struct Source {
    pub created: Created,
    first: u32,
    enough: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Source {
    /// Creates events from number `first` on until [`Self::finish`] is called, and at least so many.
    pub fn start(admin: &Identity, first: u32, at_least: u32) -> Self {
        let (created, enough) = (Created::default(), Arc::new(AtomicBool::new(false)));
        let (admin, versions, end) = (admin.clone(), Arc::clone(&created), Arc::clone(&enough));
        let mut beats = interval(STEP);
        let task = tokio::spawn(async move {
            let make = async |number| {
                let version = create(&admin, number).await;
                versions.lock().unwrap().insert(number, version);
            };
            let mut number = first;
            while !end.load(Ordering::SeqCst) {
                beats.tick().await;
                make(number).await;
                number += 1;
            }
            iter(number..first + at_least).for_each_concurrent(AT_ONCE, make).await;
        });
        Self { created, first, enough, task }
    }

    /// The number after the newest one that is created.
    pub fn next(&self) -> u32 {
        self.created.lock().unwrap().last_key_value().map_or(self.first, |(number, _)| number + 1)
    }

    /// Creates what is missing to the number asked for, as fast as it can, and nothing more.
    pub async fn finish(&mut self) {
        self.enough.store(true, Ordering::SeqCst);
        tokio::time::timeout(muster_rig::HANG, &mut self.task).await.expect("all events are created").unwrap();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Creates one until it is there, and returns its version.
async fn create(admin: &Identity, number: u32) -> u64 {
    let (events, name) = (format!("/api/v1/namespaces/{SHOP}/events"), format!("numbered-{number}"));
    let object = format!("web-{}", number % OBJECTS);
    let event = json!({
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "namespace": SHOP, "name": object, "uid": format!("uid-of-{object}"), "apiVersion": "v1"},
        "reason": "Numbered", "message": format!("{MARK}{number}."), "type": if number.is_multiple_of(3) { "Warning" } else { "Normal" },
        "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "numberer", "host": "node-0"}, "reportingComponent": "numberer",
    });
    loop {
        let made = match admin.create(&events, &event).await {
            // It was made, and the answer was lost.
            Err(error) if error.status() == Some(409) => admin.get(&format!("{events}/{name}")).await,
            made => made,
        };
        match made {
            Ok(made) => return text(&made["metadata"]["resourceVersion"]).parse().unwrap(),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

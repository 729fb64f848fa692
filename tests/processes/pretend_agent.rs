//! An agent that polls as a stock one does, only faster, runs nothing, and remembers what it was shown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use muster::demo::stage::Stage;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

/// What an agent runs: the values of its configs' `demo_check` tags.
pub type Set = BTreeSet<String>;

/// What one agent was shown.
#[derive(Debug, Default)]
pub struct Memory {
    pub stamp: i64,
    pub set: Set,
    /// Polls answered.
    pub polls: u64,
    /// Sets fetched because a poll said so.
    pub fetches: u64,
    /// What an agent must never see.
    pub wrong: Vec<String>,
    shown: BTreeMap<i64, Set>,
}

impl Memory {
    fn show(&mut self, stamp: i64, set: Set) {
        if stamp < self.stamp {
            self.wrong.push(format!("the stamp went back from {} to {stamp}", self.stamp));
        }
        if let Some(before) = self.shown.get(&stamp).filter(|before| **before != set) {
            self.wrong.push(format!("stamp {stamp} meant {before:?} and now {set:?}"));
        }
        self.shown.insert(stamp, set.clone());
        (self.stamp, self.set) = (stamp, set);
    }
}

/// The agent; it stops polling when dropped.
pub struct PretendAgent {
    pub name: String,
    memory: Rc<RefCell<Memory>>,
    calls: Calls,
    polling: JoinHandle<()>,
}

#[derive(Clone)]
struct Calls {
    http: reqwest::Client,
    status: String,
    configs: String,
    token: String,
}

impl Calls {
    async fn up_to_date(&self, stamp: i64) -> Option<bool> {
        let body = json!({"last_change": stamp, "node_type": 1}).to_string();
        let request = self.http.post(&self.status).bearer_auth(&self.token).header("X-Real-Ip", "127.0.0.1").body(body);
        let reply: Json = request.send().await.ok()?.error_for_status().ok()?.json().await.ok()?;
        reply["isuptodate"].as_bool()
    }

    async fn fetch(&self) -> Option<(i64, Set)> {
        let request = self.http.get(&self.configs).bearer_auth(&self.token).header("X-Real-Ip", "127.0.0.1");
        let reply: Json = request.send().await.ok()?.error_for_status().ok()?.json().await.ok()?;
        let set = reply["configs"].as_array().into_iter().flatten().map(check_of).collect();
        Some((reply["last_change"].as_i64()?, set))
    }
}

impl PretendAgent {
    pub fn join(stage: &Stage, name: &str) -> Self {
        let base = format!("https://127.0.0.1:{}/api/v1/clusterchecks", stage.port());
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().timeout(Duration::from_secs(5));
        let calls = Calls {
            http: http.build().unwrap(),
            status: format!("{base}/status/{name}"),
            configs: format!("{base}/configs/{name}"),
            token: stage.token.clone(),
        };
        let memory = Rc::<RefCell<Memory>>::default();
        let polling = actix_rt::spawn(poll(calls.clone(), Rc::clone(&memory)));
        Self { name: name.to_owned(), memory, calls, polling }
    }

    pub fn look<R>(&self, look: impl FnOnce(&Memory) -> R) -> R {
        look(&self.memory.borrow())
    }

    /// Asks for the set although no poll said so, and remembers it.
    pub async fn compare(&self) {
        if let Some((stamp, set)) = self.calls.fetch().await {
            self.memory.borrow_mut().show(stamp, set);
        }
    }

    /// Panics if it was ever shown what must not be.
    pub fn assert_well(&self) {
        self.look(|memory| assert!(memory.wrong.is_empty(), "{}: {:#?}", self.name, memory.wrong));
    }
}

impl Drop for PretendAgent {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

async fn poll(calls: Calls, memory: Rc<RefCell<Memory>>) {
    loop {
        let stamp = memory.borrow().stamp;
        match calls.up_to_date(stamp).await {
            Some(false) => {
                memory.borrow_mut().polls += 1;
                if let Some((stamp, set)) = calls.fetch().await {
                    let mut memory = memory.borrow_mut();
                    memory.fetches += 1;
                    memory.show(stamp, set);
                }
            }
            Some(true) => memory.borrow_mut().polls += 1,
            // The server is away; the next poll comes soon.
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The `demo_check` tag of a config as it is sent.
fn check_of(config: &Json) -> String {
    let text = config["instances"][0].as_str().unwrap();
    let instance = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap();
    let tag = instance.lines().find_map(|line| line.trim_start_matches(['-', ' ']).strip_prefix("demo_check:"));
    tag.unwrap_or_else(|| panic!("no tag in {instance}")).to_owned()
}

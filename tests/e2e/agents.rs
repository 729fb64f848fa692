//! Agents that speak the stock wire, run nothing, and remember what they were told.
//!
//! They reach the replicas as through a Service: a connection goes to one replica, and to another one when it fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::digest::check_ids;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ledger::{Ledger, Set};

/// Time between two polls. Stock: 10 s; shorter, so that more polls fall into every moment that is tested.
const POLL: Duration = Duration::from_secs(1);

/// A stock agent's limits: 3 s for response headers, here for all of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The ports of the replicas that are up, as a Service knows them.
#[derive(Debug, Clone, Default)]
pub struct Service {
    ports: Arc<Mutex<Vec<u16>>>,
    turns: Arc<AtomicUsize>,
}

impl Service {
    pub fn add(&self, port: u16) {
        self.ports.lock().unwrap().push(port);
    }

    pub fn remove(&self, port: u16) {
        self.ports.lock().unwrap().retain(|known| *known != port);
    }

    /// One of them, in turn.
    pub fn pick(&self) -> Option<u16> {
        let ports = self.ports.lock().unwrap();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        (!ports.is_empty()).then(|| ports[turn % ports.len()])
    }
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A connection to one replica after the other.
struct Calls {
    http: reqwest::Client,
    service: Service,
    port: Option<u16>,
    token: String,
    address: String,
}

impl Calls {
    fn new(service: &Service, token: &str, address: &str) -> Self {
        Self { http: client(), service: service.clone(), port: None, token: token.to_owned(), address: address.to_owned() }
    }

    /// The body of a 200; anything else is an error whose text is worth nothing to an agent.
    async fn call(&mut self, path: &str, body: Option<String>) -> Option<Json> {
        let port = match self.port {
            Some(port) => port,
            None => *self.port.insert(self.service.pick()?),
        };
        let url = format!("https://127.0.0.1:{port}/api/v1/{path}");
        let request = match body {
            Some(body) => self.http.post(url).body(body),
            None => self.http.get(url),
        };
        let answer = request.bearer_auth(&self.token).header("X-Real-Ip", &self.address).send().await;
        match answer {
            Ok(answer) if answer.status() == 200 => answer.json().await.ok(),
            Ok(_) => None,
            Err(_) => {
                self.port = None;
                None
            }
        }
    }
}

/// An agent; it stops polling when dropped.
pub struct Agent(JoinHandle<()>);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A runner of cluster checks, whose statistics are served at `address`. Source: cluster-checks 9.1.
pub fn runner(name: &str, address: &str, service: &Service, token: &str, ledger: &Ledger) -> Agent {
    let (name, ledger, mut calls) = (name.to_owned(), ledger.clone(), Calls::new(service, token, address));
    Agent(tokio::spawn(async move {
        ledger.change(&name, |_| {});
        loop {
            let stamp = ledger.accounts().get(&name).map_or(0, |account| account.stamp);
            let status = json!({"last_change": stamp, "node_type": 1}).to_string();
            match calls.call(&format!("clusterchecks/status/{name}"), Some(status)).await {
                None => ledger.change(&name, |account| account.failed += 1),
                Some(answer) => {
                    ledger.change(&name, |account| account.answered += 1);
                    if answer["isuptodate"] == false {
                        fetch(&name, &mut calls, &ledger).await;
                    }
                }
            }
            sleep(POLL).await;
        }
    }))
}

async fn fetch(name: &str, calls: &mut Calls, ledger: &Ledger) {
    let Some(answer) = calls.call(&format!("clusterchecks/configs/{name}"), None).await else {
        ledger.change(name, |account| account.failed += 1);
        return;
    };
    let stamp = answer["last_change"].as_i64().unwrap_or_default();
    let (set, checks) = (instances(&answer), checks(&answer));
    ledger.change(name, |account| {
        if stamp < account.stamp {
            ledger.complain(format!("{name}: the stamp went back from {} to {stamp}", account.stamp));
        }
        account.resent += 1;
        account.emptied += u64::from(set.is_empty() && !account.set.is_empty());
        (account.stamp, account.set, account.checks) = (stamp, set, checks);
    });
}

/// The endpoint checks of a node agent: asked for anew with every poll. Source: cluster-checks 9.2.
pub fn endpoint_agent(node: &str, service: &Service, token: &str, ledger: &Ledger) -> Agent {
    let (node, ledger, mut calls) = (node.to_owned(), ledger.clone(), Calls::new(service, token, ""));
    Agent(tokio::spawn(async move {
        ledger.change(&node, |_| {});
        loop {
            match calls.call(&format!("endpointschecks/configs/{node}"), None).await {
                None => ledger.change(&node, |account| account.failed += 1),
                Some(answer) => {
                    let set = instances(&answer);
                    ledger.change(&node, |account| {
                        account.answered += 1;
                        account.resent += u64::from(set != account.set);
                        account.emptied += u64::from(set.is_empty() && !account.set.is_empty());
                        account.set = set;
                    });
                }
            }
            sleep(POLL).await;
        }
    }))
}

fn instances(answer: &Json) -> Set {
    let configs = answer["configs"].as_array().expect("configs is an array");
    let texts = configs.iter().flat_map(|config| config["instances"].as_array().into_iter().flatten());
    texts
        .map(|text| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap())
        .collect()
}

/// Check id -> text of its instance, as an agent computes the ids from what it received. Source: cluster-checks 6.2.
fn checks(answer: &Json) -> BTreeMap<String, String> {
    let configs: Vec<CheckConfig> = serde_json::from_value(answer["configs"].clone()).expect("configs that an agent understands");
    let ids = configs.iter().flat_map(|config| check_ids(config).into_iter().zip(&config.instances));
    ids.map(|(id, instance)| (id.to_string(), String::from_utf8(instance.as_bytes().to_vec()).unwrap())).collect()
}

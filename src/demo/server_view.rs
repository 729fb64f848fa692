//! The demo's eyes: reads the servers' public routes with the cluster token, as an operator could.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::demo::picture::Picture;
use crate::demo::stage::{Server, Stage};

/// A route that only the leader answers; followers pass it on. It concerns no node, so asking changes nothing.
const LEADER_ONLY: &str = "/api/v1/endpointschecks/configs/demo";

/// Why a look at the server failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The HTTP client could not be built.
    #[error("build HTTP client")]
    Client(#[source] reqwest::Error),
    /// No server says that it leads and has the assignment.
    #[error("find the server that leads")]
    NoLeader,
    /// No answer, or not the expected one.
    #[error("get {route}")]
    Get {
        /// Which route.
        route: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// A client of all servers of a stage.
#[derive(Clone)]
pub struct ServerView {
    http: reqwest::Client,
    servers: Vec<Server>,
    /// Where agents reach one of them.
    service: String,
    token: String,
}

/// Which server leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Its name.
    pub name: String,
    /// Number of its term of office.
    pub epoch: u64,
}

/// One decision of the server's journal, as far as the demo shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Decision {
    /// Nanoseconds since the Unix epoch.
    #[serde(rename = "at_unix_nanos")]
    pub at: i64,
    /// Digest of the config.
    pub digest: String,
    /// Cause in words.
    pub cause: String,
}

impl ServerView {
    /// A client for the servers of this stage.
    ///
    /// Errors: [`LookError::Client`].
    pub fn of(stage: &Stage) -> Result<Self, LookError> {
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_secs(3))
            .build()
            .map_err(LookError::Client)?;
        let service = address(stage.port());
        Ok(Self { http, servers: stage.servers.clone(), service, token: stage.token.clone() })
    }

    async fn get(&self, base: &str, route: &str) -> Result<Json, LookError> {
        let failed = |source| LookError::Get { route: route.to_owned(), source };
        let answer = self
            .http
            .get(format!("{base}{route}"))
            .bearer_auth(&self.token)
            .send()
            .await
            .map_err(failed)?
            .error_for_status()
            .map_err(failed)?;
        answer.json().await.map_err(failed)
    }

    /// What a server says about itself; `None` if it does not answer.
    async fn state(&self, server: &Server) -> Option<Json> {
        self.get(&address(server.port), "/api/v1/clusterchecks").await.ok()
    }

    /// The server that leads, and what it says about itself.
    async fn leading(&self) -> Result<(&Server, Json), LookError> {
        for server in &self.servers {
            if let Some(state) = self.state(server).await.filter(|state| state["not_running"] == "") {
                return Ok((server, state));
            }
        }
        Err(LookError::NoLeader)
    }

    /// Asks the server that leads.
    async fn ask(&self, route: &str) -> Result<Json, LookError> {
        let (leader, _) = self.leading().await?;
        self.get(&address(leader.port), route).await
    }

    /// Whether a server leads and dispatches.
    pub async fn active(&self) -> bool {
        self.leading().await.is_ok_and(|(_, state)| state["warmup"] == false)
    }

    /// Which server leads.
    ///
    /// Errors: [`LookError`].
    pub async fn leader(&self) -> Result<Leader, LookError> {
        let (server, _) = self.leading().await?;
        let table = self.get(&address(server.port), "/api/v1/muster/assignments").await?;
        Ok(Leader { name: server.name.clone(), epoch: table["epoch"].as_u64().unwrap_or_default() })
    }

    /// Whether an agent, which reaches any server, gets the answer that only the leader gives.
    pub async fn answers_agents(&self) -> bool {
        self.get(&self.service, LEADER_ONLY).await.is_ok()
    }

    /// How many servers follow the leader and have the very table that it has.
    ///
    /// Errors: [`LookError`].
    pub async fn followers_in_step(&self) -> Result<usize, LookError> {
        let (leader, _) = self.leading().await?;
        let position = self.position(leader).await?;
        let mut in_step = 0;
        for server in self.servers.iter().filter(|server| server.name != leader.name) {
            let follows = self.state(server).await.is_some_and(|state| state["not_running"] == "currently follower");
            in_step += usize::from(follows && self.position(server).await? == position);
        }
        Ok(in_step)
    }

    /// Up to which change a server has the table.
    async fn position(&self, server: &Server) -> Result<Json, LookError> {
        let mut diagnostics = self.get(&address(server.port), "/api/v1/muster/diagnostics").await?;
        Ok(diagnostics["actors"]["Replica"]["position"].take())
    }

    /// The assignment at this moment.
    ///
    /// Errors: [`LookError`].
    pub async fn picture(&self) -> Result<Picture, LookError> {
        let table = self.ask("/api/v1/muster/assignments").await?;
        let mut picture = Picture::default();
        for node in table["nodes"].as_array().into_iter().flatten() {
            let runner = node["name"].as_str().unwrap_or_default();
            picture.stamps.insert(runner.to_owned(), node["stamp"].as_i64().unwrap_or_default());
            for config in node["configs"].as_array().into_iter().flatten() {
                picture.add(&demo_name(&config["config"]), runner);
            }
        }
        for config in table["dangling"].as_array().into_iter().flatten() {
            picture.add_dangling(&demo_name(&config["config"]));
        }
        Ok(picture)
    }

    /// Decisions later than `after`, in nanoseconds since the Unix epoch, newest first.
    ///
    /// Errors: [`LookError`].
    pub async fn decisions(&self, after: i64) -> Result<Vec<Decision>, LookError> {
        let journal = self.ask("/api/v1/muster/journal").await?;
        let entries = journal["decisions"].as_array().cloned().unwrap_or_default();
        Ok(entries
            .into_iter()
            .filter_map(|entry| serde_json::from_value::<Decision>(entry).ok())
            .filter(|decision| decision.at > after)
            .collect())
    }

    /// Digest of each check in the table, by the check's demo name.
    ///
    /// Errors: [`LookError`].
    pub async fn digests(&self) -> Result<Vec<(String, String)>, LookError> {
        let table = self.ask("/api/v1/muster/assignments").await?;
        let placed = table["nodes"].as_array().into_iter().flatten().flat_map(|node| node["configs"].as_array().into_iter().flatten());
        let all = placed.chain(table["dangling"].as_array().into_iter().flatten());
        Ok(all.map(|config| (demo_name(&config["config"]), config["digest"].as_str().unwrap_or_default().to_owned())).collect())
    }

    /// Errors of config files, by integration name.
    ///
    /// Errors: [`LookError`].
    pub async fn file_errors(&self) -> Result<Vec<String>, LookError> {
        let report = self.ask("/config-check").await?;
        let errors = report["config_errors"].as_object().cloned().unwrap_or_default();
        Ok(errors.iter().map(|(name, text)| format!("{name}: {}", text.as_str().unwrap_or_default())).collect())
    }

    /// Value of a counter on the metrics page of each server that answers, summed over the series whose labels contain `label`.
    pub async fn counters(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        for server in &self.servers {
            if let Ok(page) = self.metrics(server).await {
                let series = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
                let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
                found.insert(server.name.clone(), values.fold(0.0, |sum, value| sum + value));
            }
        }
        found
    }

    async fn metrics(&self, server: &Server) -> reqwest::Result<String> {
        self.http.get(format!("http://127.0.0.1:{}/metrics", server.metrics_port)).send().await?.text().await
    }
}

fn address(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

/// The `demo_check` tag of a config's first instance.
fn demo_name(config: &Json) -> String {
    let text = config["instances"][0].as_str().unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&decoded)
        .lines()
        .find_map(|line| line.trim_start_matches(['-', ' ']).strip_prefix("demo_check:").map(str::to_owned))
        .unwrap_or_else(|| config["check_name"].as_str().unwrap_or("unknown").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_name_is_read_from_the_tags() {
        let instance = base64::engine::general_purpose::STANDARD.encode("name: a\ntags:\n- cluster_name:demo\n- demo_check:web-1\n");
        assert_eq!(demo_name(&serde_json::json!({"check_name": "http_check", "instances": [instance]})), "web-1");
        assert_eq!(demo_name(&serde_json::json!({"check_name": "http_check", "instances": null})), "http_check");
    }
}

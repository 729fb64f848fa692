//! The demo's eyes: reads the server's public routes with the cluster token, as an operator could.

use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::demo::picture::Picture;

/// Why a look at the server failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The HTTP client could not be built.
    #[error("build HTTP client")]
    Client(#[source] reqwest::Error),
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

/// A client of one server.
pub struct ServerView {
    http: reqwest::Client,
    base: String,
    metrics: String,
    token: String,
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
    /// A client for the server on these ports of 127.0.0.1.
    ///
    /// Errors: [`LookError::Client`].
    pub fn new(port: u16, metrics_port: u16, token: &str) -> Result<Self, LookError> {
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_secs(3))
            .build()
            .map_err(LookError::Client)?;
        Ok(Self {
            http,
            base: format!("https://127.0.0.1:{port}"),
            metrics: format!("http://127.0.0.1:{metrics_port}/metrics"),
            token: token.to_owned(),
        })
    }

    async fn get(&self, route: &str) -> Result<Json, LookError> {
        let failed = |source| LookError::Get { route: route.to_owned(), source };
        let answer = self
            .http
            .get(format!("{}{route}", self.base))
            .bearer_auth(&self.token)
            .send()
            .await
            .map_err(failed)?
            .error_for_status()
            .map_err(failed)?;
        answer.json().await.map_err(failed)
    }

    /// Whether the server leads and dispatches.
    pub async fn active(&self) -> bool {
        self.get("/api/v1/clusterchecks").await.is_ok_and(|state| state["not_running"] == "" && state["warmup"] == false)
    }

    /// The assignment at this moment.
    ///
    /// Errors: [`LookError`].
    pub async fn picture(&self) -> Result<Picture, LookError> {
        let table = self.get("/api/v1/muster/assignments").await?;
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
        let journal = self.get("/api/v1/muster/journal").await?;
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
        let table = self.get("/api/v1/muster/assignments").await?;
        let placed = table["nodes"].as_array().into_iter().flatten().flat_map(|node| node["configs"].as_array().into_iter().flatten());
        let all = placed.chain(table["dangling"].as_array().into_iter().flatten());
        Ok(all.map(|config| (demo_name(&config["config"]), config["digest"].as_str().unwrap_or_default().to_owned())).collect())
    }

    /// Errors of config files, by integration name.
    ///
    /// Errors: [`LookError`].
    pub async fn file_errors(&self) -> Result<Vec<String>, LookError> {
        let report = self.get("/config-check").await?;
        let errors = report["config_errors"].as_object().cloned().unwrap_or_default();
        Ok(errors.iter().map(|(name, text)| format!("{name}: {}", text.as_str().unwrap_or_default())).collect())
    }

    /// Value of a counter on the metrics page, summed over the series whose labels contain `label`; 0 when there is none.
    ///
    /// Errors: [`LookError`].
    pub async fn counter(&self, name: &str, label: &str) -> Result<f64, LookError> {
        let failed = |source| LookError::Get { route: "/metrics".to_owned(), source };
        let page = self.http.get(&self.metrics).send().await.map_err(failed)?.text().await.map_err(failed)?;
        Ok(page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, value| sum + value))
    }
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

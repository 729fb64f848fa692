//! Asking the process of this machine.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};

use super::failure::Failure;
use super::trust;
use crate::config::settings::Paths;
use crate::config::{Config, Role, Secret, Value, tokens};
use crate::errors;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum QueryError {
    /// Nobody answers.
    Unreachable {
        /// Cause.
        text: String,
    },
    /// Somebody answers with another status than 200.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its body.
        body: String,
    },
}

/// What to do when nobody answers.
const NEXT_STEP: &str = "Make sure the agent is running on this machine, and that -c names its configuration directory; `muster cluster` or \
                         `muster node` before the command says which role is asked";

impl QueryError {
    /// The cause in one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Unreachable { text } => text.clone(),
            Self::Refused { status, body } => format!("status {status}: {}", body.trim()),
        }
    }

    /// As most commands report it. Source: cluster-agent-kubernetes 8.1.
    pub(super) fn into_failure(self) -> Failure {
        match &self {
            Self::Unreachable { text } => {
                let message = format!("Could not reach agent: {text}\n{NEXT_STEP}.");
                Failure::new(format!("could not reach agent: {text}")).with_output(format!("{message}\n"))
            }
            Self::Refused { .. } => {
                let text = self.text();
                Failure::new(format!("the agent refused the request: {text}")).with_output(format!("The agent ran into an error: {text}\n"))
            }
        }
    }

    /// As `configcheck` and `clusterchecks` report it. Source: cluster-agent-kubernetes 8.5, 8.6.
    pub(super) fn into_check_failure(self) -> Failure {
        match self {
            Self::Unreachable { text } => Failure::new(format!("failed to query the agent (running?): {text}\n{NEXT_STEP}")),
            Self::Refused { body, .. } => Failure::new(format!("the agent ran into an error while checking config: {}", body.trim())),
        }
    }
}

/// The local API of one role.
pub(super) struct LocalApi {
    client: Client,
    base: String,
    token: Secret<String>,
}

impl LocalApi {
    /// Finds address, token and certificate in the configuration; nothing is sent yet.
    ///
    /// Errors: no local token that could be used.
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let paths = Paths::from_config(config);
        let token = tokens::read_local_token(&paths.local_token).map_err(|error| {
            let path = paths.local_token.display();
            Failure::new(format!("{}; the running agent writes it to {path}\n{NEXT_STEP}", errors::chain(&error)))
        })?;
        let base = match config.role() {
            Role::Cluster => format!("https://localhost:{}", port(config, "cluster_agent.cmd_port")),
            Role::Node => format!("https://127.0.0.1:{}/agent", port(config, "cmd_port")),
        };
        // With an authority configured the server's certificate is signed by it and not the one of the file.
        let has_authority =
            matches!(config.get("cluster_trust_chain.ca_cert_file_path"), Some(sourced) if sourced.value != Value::Text(String::new()));
        let tls = trust::client_config((!has_authority).then_some(paths.ipc_certificate.as_path()));
        let tls = tls.map_err(|error| Failure::new(format!("set TLS up: {error}")))?;
        let client = builder(config).tls_backend_preconfigured(tls).build();
        let client = client.map_err(|error| Failure::new(format!("set the HTTP client up: {}", errors::chain(&error))))?;
        Ok(Self { client, base, token })
    }

    /// GETs a path; the body of a 200.
    pub(super) async fn get(&self, path: &str) -> Result<String, QueryError> {
        send(self.client.get(format!("{}{path}", self.base)).bearer_auth(self.token.expose())).await
    }

    /// POSTs a JSON value; the body of a 200.
    pub(super) async fn post_json(&self, path: &str, body: &serde_json::Value) -> Result<String, QueryError> {
        send(self.client.post(format!("{}{path}", self.base)).bearer_auth(self.token.expose()).json(body)).await
    }

    /// POSTs a form; the body of a 200.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<String, QueryError> {
        send(self.client.post(format!("{}{path}", self.base)).bearer_auth(self.token.expose()).form(form)).await
    }
}

/// GETs a plain address of this machine, without a token.
pub(super) async fn get_plain(config: &Config, url: &str) -> Result<String, QueryError> {
    let client = builder(config).build().map_err(|error| QueryError::Unreachable { text: errors::chain(&error) })?;
    send(client.get(url)).await
}

/// Proxies are for the intake, not for this machine.
fn builder(config: &Config) -> reqwest::ClientBuilder {
    let timeout = match config.get("server_timeout") {
        Some(sourced) => {
            if let Value::Duration(timeout) = sourced.value {
                timeout
            } else {
                Duration::from_secs(30)
            }
        }
        None => Duration::from_secs(30),
    };
    Client::builder().no_proxy().timeout(timeout)
}

/// A port of the table.
pub(super) fn port(config: &Config, key: &str) -> i64 {
    match config.get(key).map(|sourced| sourced.value) {
        Some(Value::Integer(port)) => port,
        _ => 0,
    }
}

async fn send(request: RequestBuilder) -> Result<String, QueryError> {
    let unreachable = |error: reqwest::Error| QueryError::Unreachable { text: errors::chain(&error) };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response.text().await.map_err(unreachable)?;
    if status == 200 { Ok(body) } else { Err(QueryError::Refused { status, body }) }
}

#[cfg(test)]
mod tests;

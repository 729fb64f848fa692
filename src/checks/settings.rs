//! What the agent as a whole tells its checks.

use std::fmt;
use std::sync::Arc;

use muster_actors::kernel::clock::Clock;
use muster_actors::ports::LoadError;

use super::kubernetes_apiserver::ApiserverLink;

/// Proxies of the agent, used by instances that name none themselves.
///
/// Source: node-runner 10, `use_agent_proxy`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentProxy {
    /// Proxy URL for `http` targets.
    pub http: Option<String>,
    /// Proxy URL for `https` targets.
    pub https: Option<String>,
    /// Hosts, domains, addresses and networks that are reached directly.
    pub no_proxy: Vec<String>,
}

impl fmt::Debug for AgentProxy {
    /// Leaves the URLs out: they may hold passwords.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AgentProxy")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Facts about the agent that checks need.
#[derive(Clone)]
pub struct CheckSettings {
    /// Version shown in the `User-Agent` header, for example `7.81.0`.
    pub agent_version: String,
    /// Proxies of the agent.
    pub proxy: AgentProxy,
    /// Time source of durations and of certificate expiry.
    pub clock: Arc<dyn Clock>,
    /// When this process started. Units: seconds since the Unix epoch. Source: openmetrics `use_process_start_time`.
    pub started_at: f64,
    /// What works at the API server of Kubernetes; `None` where nobody does.
    pub apiserver: Option<ApiserverLink>,
}

impl CheckSettings {
    /// Settings of a process that starts now and has no proxy.
    #[must_use]
    pub fn new(agent_version: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let started_at = clock.unix_nanos() as f64 / 1e9;
        Self { agent_version: agent_version.into(), proxy: AgentProxy::default(), clock, started_at, apiserver: None }
    }

    /// What works at the API server.
    ///
    /// Errors: nobody does in this process.
    pub(crate) fn apiserver(&self) -> Result<&ApiserverLink, LoadError> {
        let nobody = || LoadError::Unreadable { index: 0, text: "nobody works at an API server in this process".to_owned() };
        self.apiserver.as_ref().ok_or_else(nobody)
    }
}

impl fmt::Debug for CheckSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CheckSettings")
            .field("agent_version", &self.agent_version)
            .field("proxy", &self.proxy)
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

//! Why settings cannot be made.

use super::cluster_agent_url::EndpointError;
use crate::config::tokens::TokenError;

/// Why settings cannot be made from a configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The runner API is on and has no address.
    #[error(
        "clc_runner_host is not set, it is needed when clc_runner_enabled is true; set it to the address the runner API is to listen on"
    )]
    RunnerHostMissing,
    /// The address of the runner API is no IP address.
    #[error("clc_runner_host: invalid value {found:?}; allowed: an IP address")]
    RunnerHostInvalid {
        /// What was found.
        found: String,
    },
    /// Verification between nodes is asked for without an authority.
    #[error(
        "cluster_trust_chain.enable_tls_verification cannot be true if cluster_trust_chain.ca_cert_file_path or cluster_trust_chain.ca_key_file_path is not set"
    )]
    TrustChainIncomplete,
    /// A server with Kubernetes needs a key.
    #[error("no API key configured, exiting")]
    NoApiKey,
    /// `datadog` is among the outputs.
    #[error("muster.outputs contains datadog, which needs api_key; set api_key or remove datadog from muster.outputs")]
    OutputWithoutApiKey,
    /// The compatibility version does not look like one.
    #[error("muster.compat_version: invalid value {found:?}; allowed: a version such as 7.81.1 whose first two numbers are at least 7.55")]
    CompatVersion {
        /// What was found.
        found: String,
    },
    /// The cluster agent is wanted and cannot be found.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The shared token is missing or too short.
    #[error(transparent)]
    Token(#[from] TokenError),
}

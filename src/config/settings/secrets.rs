//! Settings of secrets. Source: autodiscovery 8, cluster-agent-kubernetes 7.9.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{path, read};
use crate::config::effective::Config;

/// The program that resolves secrets. Source: autodiscovery 8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretBackendSettings {
    /// The program; `None` = `ENC[...]` is left alone.
    pub command: Option<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Longest time of one call.
    pub timeout: Duration,
    /// Largest output in bytes.
    pub output_max_size: usize,
    /// It may be executable by its group.
    pub group_exec_allowed: bool,
    /// Do not resolve secrets of check configurations.
    pub skip_checks: bool,
    /// Remove the last line break of a secret.
    pub remove_trailing_line_break: bool,
    /// When it is asked again.
    pub refresh: SecretRefreshSettings,
}

/// When secrets are asked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretRefreshSettings {
    /// Time between two refreshes; 0 = never.
    pub interval: Duration,
    /// The first one comes at a random time within the interval.
    pub scatter: bool,
    /// Least time between two refreshes because an API key was refused; 0 = none.
    pub on_refused_key: Duration,
}

impl SecretBackendSettings {
    /// Takes what is needed from the configuration.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let max: i64 = read(config, "secret_backend_output_max_size");
        Self {
            command: path(config, "secret_backend_command"),
            arguments: read(config, "secret_backend_arguments"),
            timeout: read(config, "secret_backend_timeout"),
            output_max_size: usize::try_from(max).unwrap_or(usize::MAX),
            group_exec_allowed: read(config, "secret_backend_command_allow_group_exec_perm"),
            skip_checks: read(config, "secret_backend_skip_checks"),
            remove_trailing_line_break: read(config, "secret_backend_remove_trailing_line_break"),
            refresh: SecretRefreshSettings {
                interval: read(config, "secret_refresh_interval"),
                scatter: read(config, "secret_refresh_scatter"),
                on_refused_key: read(config, "secret_refresh_on_api_key_failure_interval"),
            },
        }
    }
}

//! `cluster start` and `node run`: the configuration with which a role starts.

use super::arguments::StartOptions;
use super::context::Context;
use super::failure::Failure;
use crate::config::{ClusterSettings, Config, NodeSettings, Role, SettingsError};
use crate::{errors, secrets};

/// Everything a role starts with.
#[derive(Clone, Debug)]
pub struct Start<S> {
    /// The configuration, for showing and changing it.
    pub config: Config,
    /// What its parts are built from.
    pub settings: S,
}

pub(super) fn cluster(context: &Context, options: StartOptions) -> Result<Start<ClusterSettings>, Failure> {
    start(context, Role::Cluster, options, ClusterSettings::from_config)
}

pub(super) fn node(context: &Context, options: StartOptions) -> Result<Start<NodeSettings>, Failure> {
    start(context, Role::Node, options, NodeSettings::from_config)
}

fn start<S>(
    context: &Context,
    role: Role,
    options: StartOptions,
    read: impl FnOnce(&Config) -> Result<S, SettingsError>,
) -> Result<Start<S>, Failure> {
    let config = resolved(context.config(role, options.set)?)?;
    let settings = read(&config).map_err(|error| refused(&error))?;
    Ok(Start { config, settings })
}

/// The configuration with the values of its secrets.
fn resolved(config: Config) -> Result<Config, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("start the runtime: {error}")))?;
    runtime.block_on(secrets::resolved(config)).map_err(|error| Failure::unusable(format!("failed to {}", errors::chain(&error))))
}

fn refused(error: &SettingsError) -> Failure {
    let failure = Failure::unusable(errors::chain(error));
    // The stock exit code; restart policies look at it (vector F9).
    if matches!(error, SettingsError::NoApiKey) { Failure { code: 1, ..failure } } else { failure }
}

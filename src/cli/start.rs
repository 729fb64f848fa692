//! `cluster start` and `node run`: the configuration with which a role starts.

use super::arguments::StartOptions;
use super::context::Context;
use super::failure::Failure;
use crate::config::{ClusterSettings, Config, NodeSettings, Role, SettingsError};
use crate::errors;

/// Everything the cluster role starts with.
#[derive(Clone, Debug)]
pub struct StartCluster {
    /// The configuration, for showing and changing it.
    pub config: Config,
    /// What its parts are built from.
    pub settings: ClusterSettings,
}

/// Everything the node role starts with.
#[derive(Clone, Debug)]
pub struct StartNode {
    /// The configuration, for showing and changing it.
    pub config: Config,
    /// What its parts are built from.
    pub settings: NodeSettings,
}

pub(super) fn cluster(context: &Context, options: StartOptions) -> Result<StartCluster, Failure> {
    let config = context.config(Role::Cluster, options.set)?;
    let settings = ClusterSettings::from_config(&config).map_err(|error| refused(&error))?;
    Ok(StartCluster { config, settings })
}

pub(super) fn node(context: &Context, options: StartOptions) -> Result<StartNode, Failure> {
    let config = context.config(Role::Node, options.set)?;
    let settings = NodeSettings::from_config(&config).map_err(|error| refused(&error))?;
    Ok(StartNode { config, settings })
}

fn refused(error: &SettingsError) -> Failure {
    let failure = Failure::unusable(errors::chain(error));
    // The stock exit code; restart policies look at it (vector F9).
    if matches!(error, SettingsError::NoApiKey) { Failure { code: 1, ..failure } } else { failure }
}

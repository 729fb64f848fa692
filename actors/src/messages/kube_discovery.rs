//! Messages to `KubeDiscovery`. Objects come as [`crate::messages::informer::ObjectsChanged`].

use std::sync::Arc;

use actix::Message;

use crate::domain::config::CheckConfig;

/// The configs of files that wait for a Kubernetes object, by `advanced_ad_identifiers`: all there are.
///
/// Sent with every listing of files, also if there are none: nothing is told before the first of these.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct FileTemplates {
    /// The configs.
    pub configs: Vec<Arc<CheckConfig>>,
}

/// Somebody wants everything that one provider or listener has.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ReplayProvider {
    /// Name of the provider, or of the listener.
    pub provider: &'static str,
}

//! Messages to the `Resolver`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;

use crate::domain::ad_service::AdService;
use crate::domain::config::CheckConfig;
use crate::domain::discovery::ConfigError;

/// A subscriber knows nothing (it just started): say [`crate::messages::dispatcher::DiscoveryStarted`], tell everything again,
/// then say synced.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ReplayDiscovery;

/// Everything one provider has, as of now. What an earlier listing of the same provider had and this one has not is gone.
///
/// Sent after a successful collect only. A source with a mistake that was good before stays in `configs` in its last good form.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ProviderListing {
    /// Provider name, for example `file`.
    pub provider: &'static str,
    /// Its configs.
    pub configs: Vec<Arc<CheckConfig>>,
    /// Sources it cannot use.
    pub errors: Vec<ConfigError>,
    /// Integration name -> what is odd about a source that is used nevertheless.
    pub warnings: BTreeMap<String, Vec<String>>,
}

/// Some sources of one provider changed. Unlike [`ProviderListing`] it names only these; the others stay as they are.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SourcesChanged {
    /// Provider name, for example `kubernetes-services`.
    pub provider: &'static str,
    /// Forget every source of this provider first: what is named here is all there is.
    pub reset: bool,
    /// What each changed source has now.
    pub changes: Vec<SourceChange>,
    /// Everything this provider has was told with this message or before it.
    pub synced: bool,
}

/// What one source, for example one annotated Service, has now. Nothing in it means that the source is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// Key of the source within its provider, for example `kube_service://default/web`.
    pub source: String,
    /// Its configs, templates or resolved ones. With an error: those that are usable nevertheless.
    pub configs: Vec<Arc<CheckConfig>>,
    /// Its mistakes.
    pub errors: Vec<ConfigError>,
}

/// A listener found services to which templates may apply, or lost some.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ServicesChanged {
    /// Listener name, for example `kube_services`.
    pub listener: &'static str,
    /// Forget every service of this listener first.
    pub reset: bool,
    /// New or changed services; one with a known id replaces it.
    pub appeared: Vec<Arc<AdService>>,
    /// Ids of services that are gone.
    pub gone: Vec<String>,
    /// Every service of this listener was told with this message or before it.
    pub synced: bool,
}

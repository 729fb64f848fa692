//! Messages to the `Resolver`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;

use crate::domain::config::CheckConfig;
use crate::domain::discovery::ConfigError;

/// The dispatcher knows nothing (it just started): say [`crate::messages::dispatcher::DiscoveryStarted`], tell everything again,
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

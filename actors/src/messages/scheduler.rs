//! Messages to the `Scheduler`.

use std::sync::Arc;

use actix::Message;

use crate::domain::config::CheckConfig;
use crate::domain::provider_state::ConfigOrigin;

/// Exactly these configs of a source are to run; the scheduler finds the difference itself.
///
/// Why the whole set: a message that may be repeated or overtaken by a restart cannot lose a removal.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ApplyConfigs {
    /// Whose set.
    pub source: ConfigOrigin,
    /// The set.
    pub configs: Vec<Arc<CheckConfig>>,
}

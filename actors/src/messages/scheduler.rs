//! Messages to the `Scheduler`.

use std::sync::Arc;

use actix::Message;

use crate::domain::config::CheckConfig;
use crate::domain::provider_state::{ConfigOrigin, ConfigSource, Grant};

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
    /// How long those of them may run that run at most once; `None` = as was told last, or not at all if nothing was told.
    pub grant: Option<Grant>,
    /// Whether the grant was given with this set. If not, it covers only what was in the set before: whoever answers now may not know
    /// who else still runs the rest.
    pub covers_new: bool,
}

/// The set of this source is still the current one.
///
/// Sent after each answer of the cluster agent that says so; if one is lost, checks stop early rather than late.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RenewGrant {
    /// Whose set.
    pub source: ConfigSource,
    /// How long those configs may run that run at most once.
    pub grant: Grant,
}

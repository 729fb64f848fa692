//! Messages to a `ConfigProvider`.

use actix::Message;

/// The scheduler knows nothing (it just started): send the whole set again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ResendConfigs;

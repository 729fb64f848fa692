//! Messages to the `StatsCollector`. Everybody else reads the published [`crate::domain::figures::Figures`].

use actix::Message;

/// Collect now, unless the newest figures are younger than the time between two rounds. Answered when the round has ended.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CollectNow;

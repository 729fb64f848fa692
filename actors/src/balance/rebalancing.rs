//! What balancing did lately, as the `Rebalancer` publishes it.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::plan::Plan;

/// Counters and the last plans. The counters begin at 0 with each start of the process.
#[derive(Clone, Debug, Default)]
pub struct RebalancerView {
    /// Plans made, carried out or not.
    pub plans: u64,
    /// Plans that were carried out.
    pub applied: u64,
    /// Plans that were discarded because the assignment had changed meanwhile.
    pub stale: u64,
    /// Moves of the plans that were carried out.
    pub moves: u64,
    /// The newest plan that was made to be carried out.
    pub last: Option<LastPlan>,
    /// The plan that waits for approval, with its number.
    pub pending: Option<(u64, Arc<Plan>)>,
}

/// The newest plan.
#[derive(Clone, Debug)]
pub struct LastPlan {
    /// The plan.
    pub plan: Arc<Plan>,
    /// When it was made. Units: nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// How long the computation took.
    pub took: Duration,
}

//! What the `Rebalancer` is made with.

use std::sync::Arc;

use crate::balance::policy::BalancePolicy;
use crate::balance::rebalancing::RebalancerView;
use crate::domain::figures::Figures;
use crate::domain::lease::Leadership;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::{Publisher, Reader};
use crate::messages::dispatcher::ApplyPlan;
use crate::messages::journal::QueryJournal;
use crate::messages::stats_collector::CollectNow;

/// What the `Rebalancer` needs.
#[derive(Clone)]
pub struct RebalancerParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Rules.
    pub policy: Arc<BalancePolicy>,
    /// The assignment.
    pub served: Reader<ServedTable>,
    /// Whether this replica leads.
    pub leadership: Reader<Leadership>,
    /// What runners told.
    pub figures: Reader<Figures>,
    /// Where everybody reads what balancing did. Outlives the actor, so that its counters go on.
    pub published: Arc<Publisher<RebalancerView>>,
    /// To the `Dispatcher`.
    pub plans: Outlet<ApplyPlan>,
    /// To the `StatsCollector`; `None` = there is none.
    pub collect: Option<Outlet<CollectNow>>,
    /// To the `Journal`.
    pub journal: Outlet<QueryJournal>,
}

//! What the `Dispatcher` is made with.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::quarantine::QuarantinePolicy;
use crate::domain::figures::Figures;
use crate::domain::lease::Leadership;
use crate::domain::patch::PatchOptions;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::{Publisher, Reader};
use crate::messages::journal::RecordDecisions;
use crate::messages::leader_election::AnnounceLeadership;
use crate::messages::membership::NodesRestored;
use crate::messages::persistence::{LoadTable, SaveDelta, SaveTable};
use crate::messages::resolver::ReplayDiscovery;

/// Rules of dispatching that come from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct DispatchPolicy {
    /// `cluster_checks.warmup_duration`: nothing is dispatched so long after a cold start.
    pub warmup: Duration,
    /// `cluster_checks.unscheduled_check_threshold`.
    pub unscheduled_threshold: Duration,
    /// `cluster_checks.node_expiration_timeout`, the lower bound of the threshold.
    pub node_expiration: Duration,
    /// `cluster_checks.advanced_dispatching_enabled`.
    pub advanced_dispatching: bool,
    /// `muster.quarantine_*`: when a config is kept off every node.
    pub quarantine: QuarantinePolicy,
}

impl Default for DispatchPolicy {
    /// The stock defaults. Source: cluster-checks 13.
    fn default() -> Self {
        Self {
            warmup: Duration::from_secs(30),
            unscheduled_threshold: Duration::from_secs(60),
            node_expiration: Duration::from_secs(30),
            advanced_dispatching: true,
            quarantine: QuarantinePolicy::default(),
        }
    }
}

/// Whom the `Dispatcher` talks to. It asks nobody: every answer is a message of its own.
#[derive(Clone)]
pub struct DispatcherOutlets {
    /// To `Persistence` or `Replica`.
    pub load: Outlet<LoadTable>,
    /// To `Persistence` or `Replica`.
    pub save: Outlet<SaveDelta>,
    /// To `Persistence` or `Replica`.
    pub save_all: Outlet<SaveTable>,
    /// To the `Resolver`.
    pub replay: Outlet<ReplayDiscovery>,
    /// To `Membership`.
    pub nodes: Outlet<NodesRestored>,
    /// To `LeaderElection`.
    pub leadership: Outlet<AnnounceLeadership>,
    /// To the `Journal`.
    pub journal: Outlet<RecordDecisions>,
}

/// What the `Dispatcher` needs.
#[derive(Clone)]
pub struct DispatcherParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How discovered configs are patched.
    pub patch: Arc<PatchOptions>,
    /// Rules.
    pub policy: DispatchPolicy,
    /// `muster.rebalance_cooldown`: how long moves for balance are remembered.
    pub cooldown: Duration,
    /// What runners told, for the placement of what has no owner.
    pub figures: Reader<Figures>,
    /// Where agents are answered from. Outlives the actor, so that a restart does not interrupt anybody.
    pub published: Arc<Publisher<ServedTable>>,
    /// Whether this replica may still decide.
    pub leadership: Reader<Leadership>,
    /// The others.
    pub outlets: DispatcherOutlets,
}

//! Whether this replica may answer for the cluster, asked anew for every request.
//!
//! Source: cluster-checks 3.1, 8.3, 16.4. A process that slept through its lease answers requests before its actors notice, so the
//! validity counts and not what they published.

use std::fmt;
use std::sync::Arc;

use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::published::Reader;

/// Who answers for the cluster at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// This replica.
    Here,
    /// Another one, at this `host:port` if that is known.
    Elsewhere(Option<String>),
    /// Nobody knows.
    Unknown,
}

/// Looks at the lease.
#[derive(Clone)]
pub struct LeaderGate {
    leadership: Reader<Leadership>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for LeaderGate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LeaderGate").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

impl LeaderGate {
    /// A gate that is open while the published leadership says so.
    pub fn new(leadership: Reader<Leadership>, clock: Arc<dyn Clock>) -> Self {
        Self { leadership, clock }
    }

    /// Who leads now.
    pub fn lead(&self) -> Lead {
        let leadership = self.leadership.peek();
        match leadership.role {
            Role::Leader if leadership.leads(self.clock.monotonic()) => Lead::Here,
            Role::Follower => Lead::Elsewhere(leadership.address.clone()),
            Role::Leader | Role::Unknown => Lead::Unknown,
        }
    }

    /// Whether this replica leads now.
    pub fn leads(&self) -> bool {
        self.leadership.peek().leads(self.clock.monotonic())
    }

    /// What is published, for those who need more.
    pub fn leadership(&self) -> Arc<Leadership> {
        self.leadership.current()
    }

    /// Why this replica does not dispatch, in the words of stock servers; `None` when it leads. Source: cluster-checks 4.5.
    pub fn not_running(&self) -> Option<&'static str> {
        match self.lead() {
            Lead::Here => None,
            Lead::Elsewhere(_) => Some("currently follower"),
            Lead::Unknown => Some("Startup in progress"),
        }
    }
}

//! The world of this moment as a scenario that `muster simulate` plays.

use std::sync::Arc;

use bytes::Bytes;
use muster_actors::balance::policy::BalancePolicy;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::world::{ServedTable, Standing};
use muster_actors::kernel::published::Reader;
use muster_actors::sim::fleet::{Recording, recorded};

use crate::api::reply::{self, Reply};

/// What the route answers from.
#[derive(Debug, Clone)]
pub struct WorldRoutes {
    /// The published assignment.
    pub served: Reader<ServedTable>,
    /// What runners told.
    pub figures: Reader<Figures>,
    /// The options in force.
    pub policy: Arc<BalancePolicy>,
    /// Whether pods are watched.
    pub pods: bool,
}

impl WorldRoutes {
    /// GET world; `anonymous` puts numbers in place of names. What instances of checks say is never in it.
    pub fn get(&self, anonymous: bool) -> Reply {
        let served = self.served.current();
        if served.standing != Standing::Active {
            return reply::startup_in_progress();
        }
        let figures = self.figures.current();
        let scenario = recorded(&Recording { served: &served, figures: &figures, policy: &self.policy, pods: self.pods, anonymous });
        reply::json(Bytes::from(scenario.to_json()))
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::kernel::published::Publisher;

    use super::*;

    #[test]
    fn who_does_not_dispatch_has_no_world() {
        let route = |standing| {
            let served = Publisher::new(ServedTable { standing, ..ServedTable::default() }).reader();
            let figures = Publisher::new(Figures::default()).reader();
            WorldRoutes { served, figures, policy: Arc::default(), pods: false }.get(false).status().as_u16()
        };
        assert_eq!((route(Standing::WarmingUp), route(Standing::Active)), (503, 200));
    }
}

//! Finds out whether this replica decides, and tells the dispatcher.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{info, warn};

use crate::domain::ids::Epoch;
use crate::domain::lease::{Leadership, LeaseGrant, Role, counts};
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::dispatcher::LeadershipChanged;
use crate::messages::leader_election::AnnounceLeadership;
use crate::ports::{LeaseError, LeaseStore};
use crate::supervised;

/// Time between two looks at the lease.
///
/// Source: the stand-alone lease does not expire, so this only bounds how long an unreadable one stays unnoticed.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// Owns the role and the epoch of this replica.
///
/// After a restart it asks the lease store again; until then the role is unknown.
pub struct LeaderElection {
    store: Arc<dyn LeaseStore>,
    published: Arc<Publisher<Leadership>>,
    listeners: Vec<Outlet<LeadershipChanged>>,
    role: Role,
    epoch: Epoch,
    failures: u64,
}

impl LeaderElection {
    /// An election that has not looked at the lease yet.
    #[must_use]
    pub fn new(store: Arc<dyn LeaseStore>, published: Arc<Publisher<Leadership>>, listeners: Vec<Outlet<LeadershipChanged>>) -> Self {
        Self { store, published, listeners, role: Role::Unknown, epoch: Epoch(0), failures: 0 }
    }

    fn look(&mut self, context: &mut Context<Self>) {
        let answer = self.store.acquire().into_actor(self).map(|answer, election, context| {
            election.take(answer);
            context.run_later(RENEW_INTERVAL, Self::look);
        });
        context.spawn(answer);
    }

    fn take(&mut self, answer: Result<LeaseGrant, LeaseError>) {
        let (role, epoch) = match answer {
            Ok(grant) if counts(self.epoch, grant.epoch) => {
                self.failures = 0;
                (Role::Leader, grant.epoch)
            }
            Ok(grant) => {
                warn!(epoch = grant.epoch.0, newest = self.epoch.0, "lease of an older epoch ignored");
                (Role::Unknown, self.epoch)
            }
            Err(error) => {
                self.failures += 1;
                if self.failures % 100 == 1 {
                    warn!(%error, failures = self.failures, "nobody is known to lead");
                }
                (Role::Unknown, self.epoch)
            }
        };
        if (role, epoch) != (self.role, self.epoch) {
            info!(?role, epoch = epoch.0, "leadership changed");
            (self.role, self.epoch) = (role, epoch);
            self.announce();
        }
    }

    fn announce(&self) {
        self.published.publish(Leadership { role: self.role, epoch: self.epoch, ..Leadership::default() });
        for listener in &self.listeners {
            // Lost if it is down; it asks when it starts.
            listener.post(LeadershipChanged { role: self.role, epoch: self.epoch, leader: String::new(), address: None });
        }
    }
}

impl Actor for LeaderElection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.look(context);
    }
}

supervised!(LeaderElection);

impl Observed for LeaderElection {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "role": self.role, "epoch": self.epoch, "failures": self.failures })
    }
}

impl Handler<AnnounceLeadership> for LeaderElection {
    type Result = ();

    fn handle(&mut self, _: AnnounceLeadership, _: &mut Context<Self>) {
        if self.role != Role::Unknown {
            self.announce();
        }
    }
}

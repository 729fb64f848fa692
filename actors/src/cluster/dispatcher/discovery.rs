//! Takes in what discovery found, portion by portion.

use std::sync::Arc;

use actix::prelude::*;
use tracing::info;

use crate::cluster::dispatcher::Dispatcher;
use crate::cluster::dispatcher::harvester::Harvest;
use crate::domain::assignment::AssignmentTable;
use crate::domain::invariants::Permitted;
use crate::domain::journal::Cause;
use crate::domain::patch::Dispatchable;
use crate::domain::world::DanglingReason;

impl Dispatcher {
    /// Works off one portion of what discovery said, and comes back for the rest.
    pub(super) fn work_off_discovery(&mut self, context: &mut Context<Self>) {
        if !self.may_decide() {
            // Told again when dispatching begins or goes on.
            self.harvester.forget();
            return;
        }
        let Some(table) = &self.table else { return };
        let harvest = self.harvester.next(table);
        self.take_in(harvest);
        if !self.harvester.inbox.is_empty() && !self.continuing {
            self.continuing = true;
            // A message to oneself would be handled before anybody else on this thread gets a turn.
            let others_had_a_turn = tokio::task::yield_now().into_actor(self);
            context.spawn(others_had_a_turn.map(|(), dispatcher, context| {
                dispatcher.continuing = false;
                dispatcher.work_off_discovery(context);
            }));
        }
    }

    pub(super) fn take_in(&mut self, harvest: Harvest) {
        let Harvest { put, removed, synced, failures, rejected_changed } = harvest;
        let reason = if self.warm_up.on { DanglingReason::WarmingUp } else { DanglingReason::NoNode };
        self.counters.patch_failures += failures;
        self.decide(Cause::Discovered, |turn| {
            for key in &removed {
                turn.remove_config(*key);
            }
            for config in put {
                match config {
                    Dispatchable::Cluster(config) => {
                        turn.put_config(Arc::new(config), reason);
                    }
                    Dispatchable::Endpoint(node, config) => {
                        turn.put_endpoint(node, Arc::new(config));
                    }
                    Dispatchable::Ignored(_) => {}
                }
            }
            Permitted { removed, ..Permitted::default() }
        });
        if self.paused {
            // The lease ran out since this was taken out of the inbox.
            return;
        }
        let first_sync = synced && self.discovery_synced.is_none();
        if first_sync {
            info!("discovery is complete");
            self.discovery_synced = self.table.as_ref().map(AssignmentTable::seq);
        }
        if first_sync || rejected_changed {
            self.publish();
        }
    }
}

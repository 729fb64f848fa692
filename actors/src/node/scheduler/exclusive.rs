//! Stops checks that run at most once when their grant runs out, and starts them again with the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext as _, Context, Handler};
use tracing::{info, warn};

use crate::domain::config::CheckConfig;
use crate::domain::provider_state::ConfigOrigin;
use crate::messages::scheduler::RenewGrant;
use crate::node::scheduler::grants::ConfigRef;
use crate::node::scheduler::{LoadMore, Scheduler, failure};

/// What is shown of a check that is stopped.
const STOPPED: &str = "stopped: it runs at most once, and the cluster agent has not confirmed lately that it is to run here; it starts again with the next answer";

impl Scheduler {
    /// Stops what may not run any more, or starts it again.
    pub(super) fn look_at_grants(&mut self, context: &mut Context<Self>) {
        let now = self.clock.monotonic();
        self.start_again(now, context);
        self.stop_exclusive(now);
    }

    fn start_again(&mut self, now: Duration, context: &mut Context<Self>) {
        let stopped = self.grants.take_covered(now);
        if stopped.is_empty() {
            return;
        }
        info!(configs = stopped.len(), "the cluster agent has confirmed them, checks that run at most once start");
        self.failures.retain(|(owner, _), _| !stopped.contains(owner));
        self.report_failures();
        for owner in stopped {
            if let Some(config) = self.config_of(&owner) {
                self.begin(owner, config, context);
            }
        }
        context.notify(LoadMore);
    }

    fn stop_exclusive(&mut self, now: Duration) {
        let running: BTreeMap<ConfigRef, Arc<CheckConfig>> =
            self.grants.running_without(now).filter_map(|owner| Some((*owner, self.config_of(owner)?))).collect();
        if running.is_empty() {
            return;
        }
        warn!(configs = running.len(), "the cluster agent has not confirmed them lately, checks that run at most once do not run");
        self.unschedule(&running.keys().copied().collect());
        for (owner, config) in running {
            self.grants.stop(owner);
            for index in 0..config.instances.len() {
                self.failures.insert((owner, index), failure(&config, index, STOPPED.to_owned()));
            }
        }
        self.report_failures();
    }

    fn config_of(&self, (source, digest): &ConfigRef) -> Option<Arc<CheckConfig>> {
        self.sets.get(source)?.get(digest).map(Arc::clone)
    }
}

impl Handler<RenewGrant> for Scheduler {
    type Result = ();

    fn handle(&mut self, renewed: RenewGrant, context: &mut Context<Self>) {
        self.grants.note(ConfigOrigin::Polled(renewed.source), Some(renewed.grant), true);
        self.look_at_grants(context);
    }
}

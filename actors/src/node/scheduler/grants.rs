//! Checks that run at most once stop when the cluster agent has not confirmed for too long that they are still to run here.
//!
//! Why: a cluster agent that does not hear from this node gives them to another one after that time, whether this node lives or not.
//! Source: cluster-checks 16.9, style 8, invariant 8.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext as _, Context, Handler};
use tracing::{info, warn};

use crate::domain::config::CheckConfig;
use crate::domain::grants::runs_at_most_once;
use crate::domain::provider_state::{ConfigOrigin, ConfigSource, Grant};
use crate::messages::scheduler::RenewGrant;
use crate::node::scheduler::{ConfigRef, LoadMore, Scheduler, failure};

/// What is shown of a check that is stopped.
const STOPPED: &str = "stopped: it runs at most once, and the cluster agent has not confirmed lately that it is to run here; it starts again with the next answer";

/// The only list whose configs move from node to node.
const GRANTED: ConfigOrigin = ConfigOrigin::Polled(ConfigSource::ClusterChecks);

/// Until when configs that run at most once may run here.
#[derive(Default)]
pub(super) struct Grants {
    grant: Option<Grant>,
    exclusive: BTreeSet<ConfigRef>,
    stopped: BTreeSet<ConfigRef>,
}

impl Grants {
    /// Notes a grant, if one is known.
    pub(super) fn note(&mut self, source: ConfigOrigin, grant: Option<Grant>) {
        if source == GRANTED && grant.is_some() {
            self.grant = grant;
        }
    }

    /// A config is to run here from now on. Returns whether it may.
    pub(super) fn added(&mut self, owner: ConfigRef, config: &CheckConfig, now: Duration) -> bool {
        if owner.0 != GRANTED || !runs_at_most_once(config) {
            return true;
        }
        self.exclusive.insert(owner);
        self.in_force(now)
    }

    /// These configs are not to run here any more.
    pub(super) fn removed(&mut self, owners: &HashSet<ConfigRef>) {
        self.exclusive.retain(|owner| !owners.contains(owner));
        self.stopped.retain(|owner| !owners.contains(owner));
    }

    /// Whether a config does not run for want of a grant.
    pub(super) fn stopped(&self, owner: &ConfigRef) -> bool {
        self.stopped.contains(owner)
    }

    /// Number of configs that do not run for want of a grant.
    pub(super) fn stopped_count(&self) -> usize {
        self.stopped.len()
    }

    fn in_force(&self, now: Duration) -> bool {
        self.grant.is_some_and(|grant| grant.is_in_force(now))
    }
}

impl Scheduler {
    /// Stops what may not run any more, or starts it again.
    pub(super) fn look_at_grants(&mut self, context: &mut Context<Self>) {
        if self.grants.in_force(self.clock.monotonic()) {
            self.start_again(context);
        } else {
            self.stop_exclusive();
        }
    }

    fn start_again(&mut self, context: &mut Context<Self>) {
        let stopped = std::mem::take(&mut self.grants.stopped);
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

    fn stop_exclusive(&mut self) {
        let running: BTreeMap<ConfigRef, Arc<CheckConfig>> =
            self.grants.exclusive.difference(&self.grants.stopped).filter_map(|owner| Some((*owner, self.config_of(owner)?))).collect();
        if running.is_empty() {
            return;
        }
        warn!(configs = running.len(), "the cluster agent has not confirmed them lately, checks that run at most once do not run");
        self.unschedule(&running.keys().copied().collect());
        for (owner, config) in running {
            self.grants.stopped.insert(owner);
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
        self.grants.note(ConfigOrigin::Polled(renewed.source), Some(renewed.grant));
        self.look_at_grants(context);
    }
}

//! Checks that run at most once stop when the cluster agent has not confirmed for too long that they are still to run here.
//!
//! Why: a cluster agent that does not hear from this node gives them to another one after that time, whether this node lives or not.
//! Source: cluster-checks 16.9, style 8, invariant 8.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::domain::config::CheckConfig;
use crate::domain::grants::runs_at_most_once;
use crate::domain::ids::Digest;
use crate::domain::provider_state::{ConfigOrigin, ConfigSource, Grant};

/// A config and the list that it comes from.
pub(super) type ConfigRef = (ConfigOrigin, Digest);

/// The only list whose configs move from node to node.
const GRANTED: ConfigOrigin = ConfigOrigin::Polled(ConfigSource::ClusterChecks);

/// Until when configs that run at most once may run here.
#[derive(Default)]
pub(super) struct Grants {
    grant: Option<Grant>,
    exclusive: BTreeSet<ConfigRef>,
    stopped: BTreeSet<ConfigRef>,
    /// Came with an answer that granted nothing: the grant that is in force was given for what was here before.
    uncovered: BTreeSet<ConfigRef>,
}

impl Grants {
    /// Notes a grant, if one is known; `covers_new`: it holds for all of the set.
    pub(super) fn note(&mut self, source: ConfigOrigin, grant: Option<Grant>, covers_new: bool) {
        if source == GRANTED && grant.is_some() {
            self.grant = grant;
            if covers_new {
                self.uncovered.clear();
            }
        }
    }

    /// A config is to run here from now on. Returns whether it may.
    pub(super) fn added(&mut self, owner: ConfigRef, config: &CheckConfig, covers_new: bool, now: Duration) -> bool {
        if owner.0 != GRANTED || !runs_at_most_once(config) {
            return true;
        }
        self.exclusive.insert(owner);
        if !covers_new {
            self.uncovered.insert(owner);
        }
        self.covers(&owner, now)
    }

    /// Whether a config that runs at most once may run now.
    fn covers(&self, owner: &ConfigRef, now: Duration) -> bool {
        self.grant.is_some_and(|grant| grant.is_in_force(now)) && !self.uncovered.contains(owner)
    }

    /// These configs are not to run here any more.
    pub(super) fn removed(&mut self, owners: &HashSet<ConfigRef>) {
        self.exclusive.retain(|owner| !owners.contains(owner));
        self.stopped.retain(|owner| !owners.contains(owner));
        self.uncovered.retain(|owner| !owners.contains(owner));
    }

    /// Whether a config does not run for want of a grant.
    pub(super) fn stopped(&self, owner: &ConfigRef) -> bool {
        self.stopped.contains(owner)
    }

    /// Number of configs that do not run for want of a grant.
    pub(super) fn stopped_count(&self) -> usize {
        self.stopped.len()
    }

    /// Takes the configs that do not run for want of a grant, and have one now.
    pub(super) fn take_covered(&mut self, now: Duration) -> BTreeSet<ConfigRef> {
        let (covered, stopped) = std::mem::take(&mut self.stopped).into_iter().partition(|owner| self.covers(owner, now));
        self.stopped = stopped;
        covered
    }

    /// The configs that are to run and have no grant.
    pub(super) fn running_without(&self, now: Duration) -> impl Iterator<Item = &ConfigRef> {
        self.exclusive.difference(&self.stopped).filter(move |owner| !self.covers(owner, now))
    }

    /// A config does not run any more for want of a grant.
    pub(super) fn stop(&mut self, owner: ConfigRef) {
        self.stopped.insert(owner);
    }
}

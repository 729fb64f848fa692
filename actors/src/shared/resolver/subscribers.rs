//! Who is told what discovery found, and who missed something.

use std::collections::BTreeSet;

use actix::{Actor, Context, Handler};
use tracing::debug;

use crate::domain::config_manager::{Changes, ConfigManager};
use crate::domain::ids::ConfigKey;
use crate::kernel::mailbox::{Handle, Outlet, TellError};
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};

/// Where to tell one subscriber.
#[derive(Debug, Clone)]
pub struct DiscoverySubscriber {
    /// Takes the word that everything is told from here on.
    pub started: Outlet<DiscoveryStarted>,
    /// Takes new and lost configs.
    pub configs: Outlet<ConfigsDiscovered>,
    /// Takes the word that everything was told.
    pub synced: Outlet<DiscoverySynced>,
}

impl DiscoverySubscriber {
    /// An actor that takes all of it.
    #[must_use]
    pub fn of<A>(actor: &Handle<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<DiscoveryStarted> + Handler<ConfigsDiscovered> + Handler<DiscoverySynced>,
    {
        Self { started: actor.outlet(), configs: actor.outlet(), synced: actor.outlet() }
    }
}

struct Subscription {
    subscriber: DiscoverySubscriber,
    /// Set when it missed something and gets everything again: the removals it has not heard of.
    missed: Option<BTreeSet<ConfigKey>>,
}

impl Subscription {
    /// `synced`: the sources that cannot be used, if everything has been told with these changes.
    fn tell(&self, changes: &Changes, synced: Option<&BTreeSet<String>>) -> Result<(), TellError> {
        if !changes.is_empty() {
            self.subscriber.configs.tell(ConfigsDiscovered { added: changes.schedule.clone(), removed: changes.unschedule.clone() })?;
        }
        if let Some(broken) = synced {
            self.subscriber.synced.tell(DiscoverySynced { broken: broken.clone() })?;
        }
        Ok(())
    }
}

/// All subscribers.
pub(super) struct Subscribers(Vec<Subscription>);

impl Subscribers {
    pub(super) fn new(subscribers: Vec<DiscoverySubscriber>) -> Self {
        Self(subscribers.into_iter().map(|subscriber| Subscription { subscriber, missed: None }).collect())
    }

    /// Tells a change; who cannot be reached gets everything again later.
    pub(super) fn tell(&mut self, changes: &Changes, synced: Option<&BTreeSet<String>>) {
        for subscription in &mut self.0 {
            if let Some(missed) = &mut subscription.missed {
                missed.extend(&changes.unschedule);
            } else if subscription.tell(changes, synced).is_err() {
                subscription.missed = Some(changes.unschedule.iter().copied().collect());
            }
        }
    }

    /// Everyone gets everything again at the next [`Self::catch_up`].
    pub(super) fn forget(&mut self) {
        for subscription in &mut self.0 {
            subscription.missed.get_or_insert_default();
        }
    }

    /// Tells everything to those who missed something.
    pub(super) fn catch_up(&mut self, manager: &ConfigManager, synced: Option<&BTreeSet<String>>) {
        for subscription in &mut self.0 {
            let Some(missed) = &subscription.missed else {
                continue;
            };
            let schedule = manager.scheduled();
            let unschedule = missed.iter().filter(|key| !manager.is_scheduled(key)).copied().collect();
            let started = subscription.subscriber.started.tell(DiscoveryStarted);
            match started.and_then(|()| subscription.tell(&Changes { unschedule, schedule }, synced)) {
                Ok(()) => subscription.missed = None,
                Err(error) => debug!(%error, "subscriber of discovery not reached"),
            }
        }
    }

    /// How many missed something.
    pub(super) fn behind(&self) -> usize {
        self.0.iter().filter(|subscription| subscription.missed.is_some()).count()
    }
}

//! The actor that keeps the configs of this machine's own files for the scheduler.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;
use tracing::warn;

use crate::domain::config::CheckConfig;
use crate::domain::digest::config_key;
use crate::domain::ids::ConfigKey;
use crate::domain::provider_state::ConfigOrigin;
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::config_provider::ResendConfigs;
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};
use crate::messages::resolver::ReplayDiscovery;
use crate::messages::scheduler::ApplyConfigs;
use crate::supervised;

/// Turns what discovery adds and removes into the whole set that the scheduler wants.
///
/// Only check configs count: cluster checks are for a cluster role, templates wait for a service. Knows nothing after a restart and
/// asks for a replay; nothing is applied before discovery is synced, so nothing stops because a listing is not finished.
pub struct LocalConfigs {
    scheduler: Outlet<ApplyConfigs>,
    replay: Outlet<ReplayDiscovery>,
    configs: BTreeMap<ConfigKey, Arc<CheckConfig>>,
    synced: bool,
}

impl LocalConfigs {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(scheduler: Outlet<ApplyConfigs>, replay: Outlet<ReplayDiscovery>) -> Self {
        Self { scheduler, replay, configs: BTreeMap::new(), synced: false }
    }

    fn apply(&self) {
        if !self.synced {
            return;
        }
        let configs = self.configs.values().cloned().collect();
        if let Err(error) = self.scheduler.tell(ApplyConfigs { source: ConfigOrigin::Files, configs, grant: None, covers_new: true }) {
            // A scheduler that comes back asks for the set.
            warn!(%error, "local configs not applied yet");
        }
    }
}

impl Actor for LocalConfigs {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.replay.post(ReplayDiscovery);
    }
}

impl Handler<DiscoveryStarted> for LocalConfigs {
    type Result = ();

    fn handle(&mut self, _: DiscoveryStarted, _: &mut Self::Context) {
        self.configs.clear();
        self.synced = false;
    }
}

impl Handler<ConfigsDiscovered> for LocalConfigs {
    type Result = ();

    fn handle(&mut self, discovered: ConfigsDiscovered, _: &mut Self::Context) {
        for key in &discovered.removed {
            self.configs.remove(key);
        }
        for config in discovered.added.into_iter().filter(|config| config.is_resolved_check()) {
            self.configs.insert(config_key(&config), config);
        }
        self.apply();
    }
}

impl Handler<DiscoverySynced> for LocalConfigs {
    type Result = ();

    fn handle(&mut self, _: DiscoverySynced, _: &mut Self::Context) {
        self.synced = true;
        self.apply();
    }
}

impl Handler<ResendConfigs> for LocalConfigs {
    type Result = ();

    fn handle(&mut self, _: ResendConfigs, _: &mut Self::Context) {
        self.apply();
    }
}

impl Observed for LocalConfigs {
    fn observe(&self) -> serde_json::Value {
        json!({"synced": self.synced, "configs": self.configs.len()})
    }
}

supervised!(LocalConfigs);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Data;
    use crate::kernel::universe;

    fn config(name: &str, cluster_check: bool) -> Arc<CheckConfig> {
        Arc::new(CheckConfig { name: name.to_owned(), instances: vec![Data::from("{}")], cluster_check, ..CheckConfig::default() })
    }

    fn names(applied: &[ApplyConfigs]) -> Vec<Vec<&str>> {
        applied.iter().map(|apply| apply.configs.iter().map(|config| config.name.as_str()).collect()).collect()
    }

    #[test]
    fn nothing_is_applied_before_discovery_is_synced() {
        universe::run(1, |universe| async move {
            let (scheduler, applied) = universe.recorder::<ApplyConfigs>("scheduler");
            let (replay, replays) = universe.recorder::<ReplayDiscovery>("replay");
            let local = universe.start("LocalConfigs", move || LocalConfigs::new(scheduler.clone(), replay.clone()));
            universe.settle().await;
            assert_eq!(replays.take().len(), 1);
            local.tell(DiscoveryStarted).unwrap();
            local.tell(ConfigsDiscovered { added: vec![config("disk", false), config("http_check", true)], removed: Vec::new() }).unwrap();
            universe.settle().await;
            assert!(applied.take().is_empty());
            local.tell(DiscoverySynced::default()).unwrap();
            universe.settle().await;
            assert_eq!(names(&applied.take()), [["disk"]], "cluster checks are not run from files");
        });
    }

    #[test]
    fn a_removed_file_is_no_longer_in_the_set() {
        universe::run(2, |universe| async move {
            let (scheduler, applied) = universe.recorder::<ApplyConfigs>("scheduler");
            let (replay, _) = universe.recorder::<ReplayDiscovery>("replay");
            let local = universe.start("LocalConfigs", move || LocalConfigs::new(scheduler.clone(), replay.clone()));
            let (kept, gone) = (config("disk", false), config("ntp", false));
            local.tell(ConfigsDiscovered { added: vec![Arc::clone(&kept), Arc::clone(&gone)], removed: Vec::new() }).unwrap();
            local.tell(DiscoverySynced::default()).unwrap();
            local.tell(ConfigsDiscovered { added: Vec::new(), removed: vec![config_key(&gone)] }).unwrap();
            local.tell(ResendConfigs).unwrap();
            universe.settle().await;
            assert_eq!(names(&applied.take()).into_iter().map(|set| set.len()).collect::<Vec<_>>(), [2, 1, 1]);
        });
    }
}

//! From what discovery says to what the dispatcher puts into its table: portions, patched, with mistakes as values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{debug, warn};

use crate::cluster::dispatcher::discovery_inbox::DiscoveryInbox;
use crate::domain::assignment::AssignmentTable;
use crate::domain::config::CheckConfig;
use crate::domain::digest::config_key;
use crate::domain::ids::ConfigKey;
use crate::domain::kube::apiserver_check::CHECK_NAME;
use crate::domain::patch::{Dispatchable, IgnoredBecause, PatchOptions, dispatched};
use crate::domain::world::Rejected;

/// One portion of changes, ready for the table.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// Configs to put; known ones with the same content change nothing.
    pub(crate) put: Vec<Dispatchable>,
    /// Keys to remove.
    pub(crate) removed: BTreeSet<ConfigKey>,
    /// Whether a listing was completed.
    pub(crate) synced: bool,
    /// Configs that could not be patched.
    pub(crate) failures: u64,
    /// Whether the list of rejected configs changed.
    pub(crate) rejected_changed: bool,
}

/// Owns what discovery said and was not worked off yet.
pub(crate) struct Harvester {
    pub(crate) inbox: DiscoveryInbox,
    options: Arc<PatchOptions>,
    /// Keys that were patched already; patching again would yield the same.
    patched: BTreeSet<ConfigKey>,
    rejected: BTreeMap<ConfigKey, Rejected>,
    /// Names of checks that nobody runs, each told once.
    unsupported: BTreeSet<String>,
}

impl Harvester {
    pub(crate) fn new(options: Arc<PatchOptions>) -> Self {
        Self {
            inbox: DiscoveryInbox::default(),
            options,
            patched: BTreeSet::new(),
            rejected: BTreeMap::new(),
            unsupported: BTreeSet::new(),
        }
    }

    /// Forgets what was said so far, also what was taken out already and may not have reached the table: discovery will be asked
    /// to tell everything again.
    pub(crate) fn forget(&mut self) {
        self.inbox.forget();
        self.patched.clear();
        self.rejected.clear();
    }

    /// Configs that cannot be dispatched, in key order.
    pub(crate) fn rejected(&self) -> Vec<Rejected> {
        self.rejected.values().cloned().collect()
    }

    /// Works off the next portion; `table` is what is known so far.
    pub(crate) fn next(&mut self, table: &AssignmentTable) -> Harvest {
        let mut portion = self.inbox.next(|| table.keys());
        let mut vanished = std::mem::take(&mut portion.vanished);
        vanished.retain(|key| table.config(*key).is_none_or(|config| !portion.is_broken(&config.config.source)));
        let added: BTreeMap<_, _> = portion.added.into_iter().map(|config| (config_key(&config), config)).collect();
        let gone = portion.removed.into_iter().chain(vanished).filter(|key| !added.contains_key(key));
        let mut harvest = Harvest { removed: gone.collect(), synced: portion.synced, ..Harvest::default() };
        for key in &harvest.removed {
            self.patched.remove(key);
            harvest.rejected_changed |= self.rejected.remove(key).is_some();
        }
        for (key, config) in added {
            self.patch(key, &config, &mut harvest);
        }
        harvest
    }

    /// Whether a check that no agent gets is run by nobody, and that was not told yet.
    fn nobody_runs(&mut self, check_name: &str) -> bool {
        let runs_here = check_name == CHECK_NAME && self.options.runs_apiserver_check;
        !runs_here && self.unsupported.insert(check_name.to_owned())
    }

    fn patch(&mut self, key: ConfigKey, config: &CheckConfig, harvest: &mut Harvest) {
        if !self.patched.insert(key) {
            self.inbox.named(key);
            return;
        }
        match dispatched(config, &self.options) {
            Ok(Dispatchable::Ignored(because)) => {
                // Not named, however often it is told: if the table holds it from before the options changed, it goes with the end of
                // the listing.
                self.patched.remove(&key);
                if because == IgnoredBecause::NotClusterCheck && self.nobody_runs(&config.name) {
                    // Stock cluster agents run these themselves; the official chart brings some (cluster-agent-kubernetes 9.3).
                    let (check, source) = (&config.name, &config.source);
                    if config.name == CHECK_NAME {
                        warn!(
                            check,
                            source,
                            "check is not run: without Kubernetes nobody here asks an API server; with cluster_check: true, and \
                             skip_leader_election: true in its instance, an agent that reaches one runs it"
                        );
                    } else {
                        warn!(check, source, "check is not supported here and not run; with cluster_check: true an agent runs it");
                    }
                } else {
                    debug!(check = config.name, %because, "config is not dispatched");
                }
            }
            Ok(dispatchable) => {
                self.inbox.named(key);
                harvest.put.push(dispatchable);
            }
            Err(failure) => {
                warn!(error = %failure, "config cannot be dispatched");
                harvest.failures += 1;
                harvest.rejected_changed = true;
                let reason = failure.to_string();
                self.rejected.insert(key, Rejected { check_name: config.name.clone(), source: config.source.clone(), reason });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::DispatchedConfig;
    use crate::domain::ids::{Digest, Epoch};
    use crate::domain::turn::Turn;
    use crate::domain::world::DanglingReason;
    use crate::testing::configs::discovered;

    fn harvester() -> Harvester {
        let exclude_checks = ["redisdb".to_owned()].into();
        Harvester::new(Arc::new(PatchOptions { exclude_checks, ..PatchOptions::default() }))
    }

    fn next(harvester: &mut Harvester) -> Harvest {
        harvester.next(&AssignmentTable::default())
    }

    #[test]
    fn a_config_is_patched_once() {
        let mut harvester = harvester();
        let config = discovered("http_check", "url: x\n");
        harvester.inbox.changed(vec![config.clone()], Vec::new());
        harvester.inbox.changed(vec![config.clone()], Vec::new());
        assert_eq!(next(&mut harvester).put.len(), 1);
        assert_eq!(next(&mut harvester).put.len(), 0);
        harvester.inbox.changed(Vec::new(), vec![config_key(&config)]);
        harvester.inbox.changed(vec![config], Vec::new());
        assert_eq!(next(&mut harvester).removed.len(), 1);
        assert_eq!(next(&mut harvester).put.len(), 1, "it came back");
    }

    #[test]
    fn what_is_lost_and_found_in_one_message_stays() {
        let mut harvester = harvester();
        let config = discovered("http_check", "url: x\n");
        harvester.inbox.changed(vec![config.clone()], vec![config_key(&config)]);
        let harvest = next(&mut harvester);
        assert_eq!((harvest.put.len(), harvest.removed.len()), (1, 0));
    }

    /// A table that holds a config which discovery will not dispatch any more.
    fn table_with(config: &CheckConfig) -> AssignmentTable {
        let dispatched = DispatchedConfig {
            traits: crate::domain::check_traits::CheckTraits::default(),
            key: config_key(config),
            digest: Digest(1),
            config: CheckConfig { cluster_check: false, ..config.clone() },
            check_ids: Vec::new(),
        };
        let mut table = AssignmentTable::default();
        let mut turn = Turn::begin(&mut table);
        turn.put_config(Arc::new(dispatched), DanglingReason::NoNode);
        assert!(turn.finish(Epoch(1), 1).is_some());
        table
    }

    fn list(harvester: &mut Harvester, config: &Arc<CheckConfig>, broken: BTreeSet<String>) -> Harvest {
        let table = table_with(config);
        harvester.inbox.started();
        harvester.inbox.changed(vec![config.clone()], Vec::new());
        harvester.inbox.synced(broken);
        let mut harvests = [(); 3].map(|()| harvester.next(&table));
        assert!(harvests.iter().all(|harvest| harvest.put.is_empty()));
        std::mem::take(&mut harvests[2])
    }

    #[test]
    fn a_check_that_is_excluded_now_leaves_with_the_end_of_the_listing() {
        let config = discovered("redisdb", "host: a\n");
        let harvest = list(&mut harvester(), &config, BTreeSet::new());
        assert!(harvest.synced && harvest.removed.contains(&config_key(&config)));
    }

    #[test]
    fn what_a_broken_file_said_before_has_not_vanished() {
        let config = discovered("redisdb", "host: a\n");
        let harvest = list(&mut harvester(), &config, [config.source.clone()].into());
        assert!(harvest.synced && harvest.removed.is_empty());
    }

    #[test]
    fn the_check_of_the_api_server_is_nobodys_only_without_kubernetes() {
        assert!(harvester().nobody_runs(CHECK_NAME));
        let mut in_kubernetes = Harvester::new(Arc::new(PatchOptions { runs_apiserver_check: true, ..PatchOptions::default() }));
        assert!(!in_kubernetes.nobody_runs(CHECK_NAME));
        assert!(in_kubernetes.nobody_runs("orchestrator") && !in_kubernetes.nobody_runs("orchestrator"), "told once");
    }

    #[test]
    fn a_mistake_is_listed_until_the_config_goes() {
        let mut harvester = harvester();
        let config = discovered("http_check", "- a\n");
        harvester.inbox.changed(vec![config.clone()], Vec::new());
        let harvest = next(&mut harvester);
        assert_eq!((harvest.failures, harvest.rejected_changed, harvest.put.len()), (1, true, 0));
        assert_eq!(harvester.rejected()[0].check_name, "http_check");
        harvester.inbox.changed(Vec::new(), vec![config_key(&config)]);
        assert!(next(&mut harvester).rejected_changed);
        assert!(harvester.rejected().is_empty());
    }
}

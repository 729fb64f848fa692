//! Which options the check `kubernetes_apiserver` has: from discovery, else defaults.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::domain::config::CheckConfig;
use crate::domain::digest::config_key;
use crate::domain::ids::{ConfigKey, Epoch};
use crate::domain::kube::apiserver_check::{self, ApiserverCheckOptions, CHECK_NAME as CHECK};
use crate::domain::lease::Leadership;
use crate::messages::dispatcher::ConfigsDiscovered;

/// Time for which the first run waits until discovery is synced.
///
/// Why: a run with the defaults would forward what a config filters out. Why not for ever: discovery is synced only when every one
/// of its sources has listed, and one that never does must not keep all events back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The term of office of a check that runs without leading.
const NO_TERM: Epoch = Epoch(0);

/// Owns the configs of the check that discovery, or the check itself, told of. Of several the one that came last counts.
///
/// A config that the dispatcher hands to agents (`cluster_check: true`) is not for the cluster role; without another one it does nothing
/// then, because the agent does.
pub(super) struct ApiserverConfigs {
    defaults: ApiserverCheckOptions,
    configs: Vec<(ConfigKey, Arc<CheckConfig>)>,
    /// Discovery told everything at least once.
    synced: bool,
    options: Arc<ApiserverCheckOptions>,
    /// All that are known are for agents.
    dispatched: bool,
    remarks: Vec<String>,
}

impl ApiserverConfigs {
    /// Nothing is known but the defaults.
    pub(super) fn new(defaults: ApiserverCheckOptions) -> Self {
        Self { options: Arc::new(defaults.clone()), defaults, configs: Vec::new(), synced: false, dispatched: false, remarks: Vec::new() }
    }

    /// The options that count.
    pub(super) fn options(&self) -> &Arc<ApiserverCheckOptions> {
        &self.options
    }

    /// The term of office in which the check may act here now.
    pub(super) fn acting_in(&self, leadership: &Leadership, now: Duration) -> Option<Epoch> {
        if self.options.skip_leader_election { Some(NO_TERM) } else { leadership.term(now) }
    }

    /// Whether agents do it and this process does not.
    pub(super) fn are_dispatched(&self) -> bool {
        self.dispatched
    }

    /// What is odd about the configs.
    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether the options may be acted on, this long after the start.
    pub(super) fn are_known(&self, since_start: Duration) -> bool {
        self.synced || !self.configs.is_empty() || since_start >= PATIENCE
    }

    /// Discovery tells everything from here on.
    pub(super) fn restart(&mut self) {
        // What was read of them stays until something else is told: nothing stops, and nothing begins, because a listing is not finished.
        self.configs.clear();
    }

    /// Discovery found configs or lost some. Returns whether the options are others now.
    pub(super) fn change(&mut self, discovered: ConfigsDiscovered) -> bool {
        let before = self.configs.len();
        self.configs.retain(|(key, _)| !discovered.removed.contains(key));
        let mut changed = before != self.configs.len();
        for config in discovered.added.into_iter().filter(|config| config.name == CHECK && !config.is_template()) {
            let key = config_key(&config);
            if !self.configs.iter().any(|(known, _)| *known == key) {
                self.configs.push((key, config));
                changed = true;
            }
        }
        changed && self.read()
    }

    /// Discovery told everything. Returns whether the options are others now.
    pub(super) fn synced(&mut self) -> bool {
        self.synced = true;
        self.read()
    }

    /// The configs that are for this process.
    fn own(&self) -> impl Iterator<Item = &Arc<CheckConfig>> + Clone {
        self.configs.iter().map(|(_, config)| config).filter(|config| !config.cluster_check)
    }

    /// What is odd about a config that agents get.
    fn remark_on_dispatched(&self, config: &CheckConfig) -> Option<String> {
        let skips = |instance| {
            apiserver_check::parse(instance, config.init_config.as_ref(), &self.defaults).is_ok_and(|options| options.skip_leader_election)
        };
        if self.own().next().is_some() {
            Some(format!(
                "{} is dispatched to an agent (cluster_check: true), and this process does the same: remove one of both",
                config.source
            ))
        } else if config.instances.iter().all(skips) {
            None
        } else {
            Some(format!(
                "{} is dispatched to an agent, which does nothing without skip_leader_election: true in the instance",
                config.source
            ))
        }
    }

    fn read(&mut self) -> bool {
        self.dispatched = !self.configs.is_empty() && self.own().next().is_none();
        let dispatched = self.configs.iter().map(|(_, config)| config).filter(|config| config.cluster_check);
        let mut remarks: Vec<String> = dispatched.filter_map(|config| self.remark_on_dispatched(config)).collect();
        let all = || self.own().flat_map(|config| config.instances.iter().map(move |instance| (config, instance)));
        if let Some((last, _)) = all().last().filter(|_| all().count() > 1) {
            remarks.push(format!("{} instances of {CHECK}, only the last one counts, of {}", all().count(), last.source));
        }
        let told = all().last().and_then(|(config, instance)| {
            match apiserver_check::parse(instance, config.init_config.as_ref(), &self.defaults) {
                Ok(options) => Some(options),
                Err(error) => {
                    remarks.push(format!("{}: {}; the defaults count", config.source, chain(&error)));
                    None
                }
            }
        });
        let options = told.unwrap_or_else(|| self.defaults.clone());
        remarks.extend_from_slice(&options.remarks);
        for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
            warn!(remark, "config of {CHECK}");
        }
        self.remarks = remarks;
        let other = *self.options != options;
        self.options = Arc::new(options);
        other
    }
}

/// An error with what led to it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

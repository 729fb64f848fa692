//! What a planner looks at: one immutable value, made from what is published.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::balance::need::{believable, estimated_need};
use crate::balance::policy::BalancePolicy;
use crate::domain::config::DispatchedConfig;
use crate::domain::figures::{ConfigFigures, Figures};
use crate::domain::handover::Handover;
use crate::domain::ids::{ConfigKey, Digest, Epoch, NodeName, Seq};
use crate::domain::ledger::BUDGET_WINDOW;
use crate::domain::node::NodeFacts;
use crate::domain::world::{Presence, ServedTable};

/// Index into [`World::runners`].
pub type RunnerIndex = usize;

/// The nodes and configs of one moment, with what is known and demanded of them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Epoch of the table.
    pub epoch: Epoch,
    /// The change of the table that it shows; a plan made from it counts only as long as this is the last one.
    pub generation: Seq,
    /// By name.
    pub runners: Vec<Runner>,
    /// By digest, then key.
    pub loads: Vec<Load>,
    /// Moves for balance in the last 10 minutes.
    pub spent: usize,
}

/// A registered node.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its name.
    pub name: NodeName,
    /// Workers to count with; 0 = it is unusable, because it told that it has none.
    pub workers: f64,
    /// Whether it told its workers; else they are assumed.
    pub workers_known: bool,
    /// Whether it stays.
    pub presence: Presence,
    /// What it told about itself.
    pub facts: NodeFacts,
    /// The only config it may have, if one is isolated there.
    pub isolated_for: Option<ConfigKey>,
    /// Weight of all its checks, also of those that are no cluster checks. Of `busyness` only.
    pub busyness: i64,
}

/// A config.
#[derive(Clone, Debug)]
pub struct Load {
    /// Which.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: Arc<str>,
    /// The service it was resolved for; empty = none. Configs of one service are kept apart where it costs nothing.
    pub service: Arc<str>,
    /// Where it belongs; `None` = it dangles.
    pub owner: Option<RunnerIndex>,
    /// Workers it occupies, smoothed; `None` = nothing is known yet. Of `bounded`.
    pub need: Option<f64>,
    /// Workers to count with: the known need, else the estimate.
    pub counted: f64,
    /// Workers as measured last; `None` = nothing is known yet. Of `utilization`.
    pub measured: Option<f64>,
    /// Weight of `busyness`; `None` = its owner tells nothing about it.
    pub weight: Option<i64>,
    /// Number of its instances; each occupies one worker at most.
    pub instances: usize,
    /// Whether one of its instances has no figures yet.
    pub incomplete: bool,
    /// What a move costs, 1 = a usual one. Source: cluster-checks 11.5.
    pub cost: f64,
    /// In which order it changes its owner.
    pub handover: Handover,
    /// The node it is pinned to; it may not be there.
    pub pinned_to: Option<NodeName>,
    /// Why balancing leaves it where it is.
    pub held: Option<Held>,
}

/// Why balancing leaves a config where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Its check name is in `cluster_checks.exclude_checks_from_dispatching`.
    NeverMoved,
    /// It is pinned.
    Pinned,
    /// It is isolated on its runner.
    Isolated,
    /// It was moved for balance less than `muster.rebalance_cooldown` ago.
    CoolingDown,
    /// It is on its way to another node at this moment.
    Moving,
    /// It is kept off every node.
    Quarantined,
    /// Nothing is known about its need yet.
    NeedUnknown,
}

/// Cost of moving a check that is known to start slowly, while it is not known how slowly. Source: cluster-checks 11.5.
const SLOW_START: f64 = 20.0;

/// Checks that start slowly: they list the whole cluster first.
const SLOW_STARTERS: [&str; 2] = ["orchestrator", "kubernetes_state_core"];

/// Integrations that can watch what a database does.
const DATABASES: [&str; 4] = ["mysql", "oracle", "postgres", "sqlserver"];

/// What a move of a config costs, 1 = a usual one. Source: cluster-checks 11.5.
#[must_use]
pub fn move_cost(known: Option<&ConfigFigures>, config: &DispatchedConfig) -> f64 {
    if let Some(first_run) = known.and_then(|known| known.first_run) {
        return 1.0 + first_run.as_secs_f64() / 15.0;
    }
    let name = config.config.name.as_str();
    if SLOW_STARTERS.contains(&name) || (DATABASES.contains(&name) && monitors_a_database(config)) { SLOW_START } else { 1.0 }
}

/// Patched instances are written with one key a line (cluster-checks 5.5), so nobody has to parse them again.
fn monitors_a_database(config: &DispatchedConfig) -> bool {
    config.config.instances.iter().any(|instance| instance.as_bytes().split(|byte| *byte == b'\n').any(|line| line == b"dbm: true"))
}

impl World {
    /// The world that is published. While something that was decided is not shown yet, plans made from it are stale.
    ///
    /// A config on its way is in here once, where it goes; nodes of every kind are runners here.
    #[must_use]
    pub fn of(served: &ServedTable, figures: &Figures, policy: &BalancePolicy, now_unix_nanos: i64) -> Self {
        let mut nodes: Vec<_> = served.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(name, _)| *name);
        let cooling = served.ledger.younger(now_unix_nanos, policy.cooldown).map(|made| made.key).collect();
        let mut making = Making { served, figures, policy, cooling, texts: BTreeMap::new() };
        let moving: HashSet<ConfigKey> = served.moving.iter().map(|moving| moving.config.key).collect();
        let mut seen = Vec::new();
        for (index, (_, node)) in nodes.iter().enumerate() {
            let settled = node.view.configs.iter().filter(|config| moving.is_empty() || !moving.contains(&config.key));
            seen.extend(settled.map(|config| Seen::new(config, Some(index), false)));
        }
        for moving in &served.moving {
            let to = moving.transfer.to.as_ref();
            let owner = to.and_then(|to| nodes.binary_search_by_key(&to, |(name, _)| *name).ok());
            seen.push(Seen::new(&moving.config, owner, true));
        }
        seen.extend(served.dangling.iter().map(|dangling| Seen::new(&dangling.config, None, false)));
        seen.sort_unstable_by_key(|seen| seen.order);
        // While a change is on its way to the followers, a config may be shown at its former owner and dangle.
        seen.dedup_by_key(|seen| seen.order);
        let loads = seen.into_iter().map(|seen| making.load(&seen, seen.owner.map(|owner| nodes[owner].0))).collect();
        let runners = nodes.into_iter().map(|(name, node)| {
            let told = figures.runners.get(name);
            Runner {
                name: name.clone(),
                workers: figures.workers(name).unwrap_or(0.0),
                workers_known: told.is_some_and(|told| told.workers.is_some()),
                presence: node.presence,
                facts: node.facts.clone(),
                isolated_for: served.constraints.isolated.get(name).copied(),
                busyness: told.map_or(0, |told| told.busyness.max(0)),
            }
        });
        Self {
            epoch: served.epoch,
            generation: served.shown,
            runners: runners.collect(),
            loads,
            spent: served.ledger.spent(now_unix_nanos, BUDGET_WINDOW),
        }
    }

    /// The index of a runner.
    #[must_use]
    pub fn runner(&self, name: &NodeName) -> Option<RunnerIndex> {
        self.runners.binary_search_by(|runner| runner.name.cmp(name)).ok()
    }
}

/// A config where it was seen.
struct Seen<'a> {
    order: (Digest, ConfigKey),
    config: &'a DispatchedConfig,
    owner: Option<RunnerIndex>,
    moving: bool,
}

impl<'a> Seen<'a> {
    fn new(config: &'a DispatchedConfig, owner: Option<RunnerIndex>, moving: bool) -> Self {
        Self { order: (config.digest, config.key), config, owner, moving }
    }
}

/// What [`World::of`] goes through the configs with.
struct Making<'a> {
    served: &'a ServedTable,
    figures: &'a Figures,
    policy: &'a BalancePolicy,
    cooling: HashSet<ConfigKey>,
    /// Each text once.
    texts: BTreeMap<&'a str, Arc<str>>,
}

impl<'a> Making<'a> {
    fn load(&mut self, seen: &Seen<'a>, owner: Option<&NodeName>) -> Load {
        let config = seen.config;
        let known = self.figures.configs.get(&config.key);
        let need = known.and_then(|known| believable(known.smoothed));
        let demands = &self.served.constraints;
        let pinned_to = demands.pinned.get(&config.key).cloned();
        let isolated = !demands.isolated.is_empty() && owner.is_some_and(|owner| demands.isolated.get(owner) == Some(&config.key));
        let held = [
            (demands.quarantined.contains_key(&config.key), Held::Quarantined),
            (seen.moving, Held::Moving),
            (pinned_to.is_some(), Held::Pinned),
            // Before the isolation, which a forced plan ignores.
            (self.policy.never_moved.contains(&config.config.name), Held::NeverMoved),
            (isolated, Held::Isolated),
            (need.is_none(), Held::NeedUnknown),
            (self.cooling.contains(&config.key), Held::CoolingDown),
        ];
        Load {
            key: config.key,
            digest: config.digest,
            check_name: self.text(&config.config.name),
            service: self.text(&config.config.service_id),
            owner: seen.owner,
            need,
            counted: need.unwrap_or_else(|| estimated_need(self.figures, &config.config.name)),
            measured: known.and_then(|known| believable(known.measured)),
            weight: known.map(|known| known.weight.max(0)),
            instances: config.check_ids.len(),
            incomplete: known.is_none_or(|known| known.incomplete),
            cost: move_cost(known, config),
            handover: config.traits.handover,
            pinned_to,
            held: held.into_iter().find(|(holds, _)| *holds).map(|(_, held)| held),
        }
    }

    fn text(&mut self, text: &'a str) -> Arc<str> {
        Arc::clone(self.texts.entry(text).or_insert_with(|| Arc::from(text)))
    }
}

#[cfg(test)]
mod tests;

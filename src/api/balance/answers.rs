//! What the routes of balancing answer, in JSON.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use muster_actors::balance::plan::{Move, Plan};
use muster_actors::domain::config::DispatchedConfig;
use muster_actors::domain::constraints::{ConstraintChange, Quarantine};
use muster_actors::domain::handover::Transfer;
use muster_actors::domain::ids::{ConfigKey, Digest, NodeName};
use muster_actors::domain::world::ServedTable;
use muster_actors::messages::rebalancer::{Demanded, Evaluated, Isolated, Outcome};
use serde::Serialize;

/// A move as stock command lines read it. Source: cluster-checks 4.6.
///
/// Both forms at once: those before June 2026 print `check_id`, later ones `digest` and `check_name`; each skips the other's keys.
#[derive(Serialize)]
pub(super) struct StockMove {
    digest: Digest,
    check_name: String,
    check_weight: i64,
    source_node_name: NodeName,
    source_diff: i64,
    dest_node_name: NodeName,
    dest_diff: i64,
    check_id: String,
}

/// A plan, what became of it, and its moves in the stock form.
#[derive(Serialize)]
pub(super) struct EvaluatedAnswer<'a> {
    outcome: Outcome,
    plan: &'a Plan,
    pub(super) moves: Vec<StockMove>,
}

/// The next plan, and the one that waits.
#[derive(Serialize)]
pub(super) struct Plans<'a> {
    next: EvaluatedAnswer<'a>,
    pending: Option<PendingAnswer<'a>>,
}

/// A plan that waits for approval.
#[derive(Serialize)]
struct PendingAnswer<'a> {
    number: u64,
    plan: &'a Plan,
    moves: Vec<StockMove>,
}

/// Source: cluster-checks 4.7.
#[derive(Serialize)]
pub(super) struct IsolateResponse<'a> {
    check_id: &'a str,
    check_node: &'a str,
    is_isolated: bool,
    reason: &'a str,
}

/// What became of a demand.
#[derive(Serialize)]
pub(super) struct DemandedAnswer<'a> {
    change: &'a ConstraintChange,
    check: &'a str,
    moved: usize,
}

/// A config with the names that people know it by; empty where the config is gone.
#[derive(Serialize)]
struct Named {
    key: ConfigKey,
    check_name: String,
    check_id: String,
    digest: Option<Digest>,
}

#[derive(Serialize)]
struct OnNode<'a> {
    #[serde(flatten)]
    config: Named,
    node: &'a NodeName,
}

#[derive(Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    config: Named,
    #[serde(flatten)]
    quarantine: &'a Quarantine,
}

#[derive(Serialize)]
struct OnItsWay<'a> {
    #[serde(flatten)]
    config: Named,
    #[serde(flatten)]
    transfer: &'a Transfer,
}

/// What is demanded of placement, and what is on its way.
#[derive(Serialize)]
pub(super) struct ConstraintsAnswer<'a> {
    isolations: Vec<OnNode<'a>>,
    pins: Vec<OnNode<'a>>,
    quarantines: Vec<Kept<'a>>,
    moving: Vec<OnItsWay<'a>>,
}

/// Configs of a table by key.
struct Names<'a> {
    configs: HashMap<ConfigKey, &'a DispatchedConfig>,
}

impl<'a> Names<'a> {
    /// The configs that are wanted, wherever they are.
    fn of(table: &'a ServedTable, wanted: impl Fn(ConfigKey) -> bool) -> Self {
        let wanted = table.configs().filter(|config| wanted(config.key));
        Self { configs: wanted.map(|config| (config.key, &**config)).collect() }
    }

    fn check_id(&self, key: ConfigKey) -> Option<String> {
        self.configs.get(&key).and_then(|config| config.check_ids.first()).map(ToString::to_string)
    }

    fn named(&self, key: ConfigKey) -> Named {
        let config = self.configs.get(&key);
        Named {
            key,
            check_name: config.map(|config| config.config.name.clone()).unwrap_or_default(),
            check_id: self.check_id(key).unwrap_or_default(),
            digest: config.map(|config| config.digest),
        }
    }
}

fn stock_moves(moves: &[Move], table: &ServedTable) -> Vec<StockMove> {
    if moves.is_empty() {
        return Vec::new();
    }
    let keys: HashSet<ConfigKey> = moves.iter().map(|one| one.key).collect();
    let names = Names::of(table, |key| keys.contains(&key));
    let stock = moves.iter().map(|one| StockMove {
        digest: one.digest,
        check_name: one.check_name.clone(),
        check_weight: one.check_weight,
        source_node_name: one.from.clone(),
        source_diff: one.source_diff,
        dest_node_name: one.to.clone(),
        dest_diff: one.dest_diff,
        check_id: names.check_id(one.key).unwrap_or_else(|| format!("{}:{}", one.check_name, one.digest)),
    });
    stock.collect()
}

/// The answer to a plan that was made or approved.
pub(super) fn evaluated<'a>(evaluated: &'a Evaluated, table: &ServedTable) -> EvaluatedAnswer<'a> {
    EvaluatedAnswer { outcome: evaluated.outcome, plan: &evaluated.plan, moves: stock_moves(&evaluated.plan.moves, table) }
}

/// The answer to the question for plans.
pub(super) fn plans<'a>(next: &'a Evaluated, pending: Option<&'a (u64, Arc<Plan>)>, table: &ServedTable) -> Plans<'a> {
    let pending = pending.map(|(number, plan)| PendingAnswer { number: *number, plan, moves: stock_moves(&plan.moves, table) });
    Plans { next: evaluated(next, table), pending }
}

/// The answer to an isolation.
pub(super) fn isolated<'a>(check: &'a str, answer: &'a Isolated) -> IsolateResponse<'a> {
    let check_node = answer.node.as_ref().map_or("", NodeName::as_str);
    IsolateResponse { check_id: check, check_node, is_isolated: answer.node.is_some(), reason: &answer.reason }
}

/// The answer to a demand.
pub(super) fn demanded(demanded: &Demanded) -> DemandedAnswer<'_> {
    DemandedAnswer { change: &demanded.change, check: &demanded.check, moved: demanded.moved }
}

/// The answer to the question for what is demanded.
pub(super) fn constraints(table: &ServedTable) -> ConstraintsAnswer<'_> {
    let demands = &table.constraints;
    let isolated: HashSet<ConfigKey> = demands.isolated.values().copied().collect();
    let names =
        Names::of(table, |key| isolated.contains(&key) || demands.pinned.contains_key(&key) || demands.quarantined.contains_key(&key));
    let moving = table.moving.iter().map(|moving| OnItsWay {
        config: Named {
            key: moving.config.key,
            check_name: moving.config.config.name.clone(),
            check_id: moving.config.check_ids.first().map(ToString::to_string).unwrap_or_default(),
            digest: Some(moving.config.digest),
        },
        transfer: &moving.transfer,
    });
    ConstraintsAnswer {
        isolations: demands.isolated.iter().map(|(node, key)| OnNode { config: names.named(*key), node }).collect(),
        pins: demands.pinned.iter().map(|(key, node)| OnNode { config: names.named(*key), node }).collect(),
        quarantines: demands.quarantined.iter().map(|(key, quarantine)| Kept { config: names.named(*key), quarantine }).collect(),
        moving: moving.collect(),
    }
}

//! Bodies that agents and commands parse.
//!
//! Source: cluster-checks 4.3 to 4.5, autodiscovery 1.1 (the config itself).

use std::sync::Arc;

use bytes::Bytes;
use muster_actors::domain::config::{CheckConfig, DispatchedConfig};
use muster_actors::domain::handover::Confirmation;
use muster_actors::domain::ids::NodeName;
use muster_actors::domain::world::{
    Dangling, DanglingReason, Moving, NodeEntry, NodeKind, NodeView, Presence, Rejected, ServedTable, Standing,
};
use serde::Serialize;

/// Body of an accepted status: the agent may keep its set.
const UP_TO_DATE: &[u8] = br#"{"isuptodate":true}"#;

/// Body of an accepted status: the agent is to fetch its set.
const OUT_OF_DATE: &[u8] = br#"{"isuptodate":false}"#;

/// Body of an accepted status. `grant_seconds` only for agents that honour grants; stock ones get the exact stock bytes.
pub fn status_body(up_to_date: bool, grant_seconds: Option<u64>) -> Bytes {
    match (up_to_date, grant_seconds) {
        (true, None) => Bytes::from_static(UP_TO_DATE),
        (false, None) => Bytes::from_static(OUT_OF_DATE),
        (_, Some(seconds)) => Bytes::from(format!(r#"{{"isuptodate":{up_to_date},"grant_seconds":{seconds}}}"#)),
    }
}

/// Answer for a Kubernetes node without endpoint checks.
pub const NO_CONFIGS: &[u8] = br#"{"last_change":0,"configs":[]}"#;

/// Takes passwords and the like out of a config before people see it.
pub type Scrub<'a> = &'a dyn Fn(&CheckConfig) -> CheckConfig;

/// Set of configs with its version. `configs` is never `null`.
#[derive(Serialize)]
struct ConfigResponse<'a> {
    last_change: i64,
    configs: Vec<&'a CheckConfig>,
}

/// Serialised set of a node; done once per published view.
pub fn configs_body(view: &NodeView) -> Arc<[u8]> {
    Arc::clone(view.body.get_or_init(|| {
        let configs = view.configs.iter().map(|config| &config.config).collect();
        to_bytes(&ConfigResponse { last_change: view.stamp.0, configs }).into()
    }))
}

/// Endpoint checks of all Kubernetes nodes, in node order.
pub fn all_endpoints_body(table: &ServedTable) -> Vec<u8> {
    let mut nodes: Vec<_> = table.endpoints.iter().collect();
    nodes.sort_by_key(|(name, _)| *name);
    let configs = nodes.iter().flat_map(|(_, view)| view.configs.iter().map(|config| &config.config)).collect();
    to_bytes(&ConfigResponse { last_change: 0, configs })
}

/// State of the dispatcher as the stock command line reads it.
#[derive(Serialize)]
struct StateResponse<'a> {
    not_running: &'a str,
    warmup: bool,
    nodes: Option<Vec<StateNode<'a>>>,
    dangling: Option<Vec<CheckConfig>>,
}

#[derive(Serialize)]
struct StateNode<'a> {
    name: &'a str,
    configs: Vec<StateConfig>,
}

#[derive(Serialize)]
struct StateConfig {
    instance_ids: Vec<String>,
    config: CheckConfig,
}

/// Body of `GET /api/v1/clusterchecks`.
///
/// `not_running` says why this replica does not dispatch, if it does not.
pub fn state_body(table: &ServedTable, not_running: Option<&str>, scrub: Scrub<'_>) -> Vec<u8> {
    let starting = (table.standing == Standing::Starting).then_some("Startup in progress");
    if let Some(not_running) = not_running.or(starting) {
        return to_bytes(&StateResponse { not_running, warmup: false, nodes: None, dangling: None });
    }
    let nodes: Vec<_> = sorted_nodes(table)
        .into_iter()
        .map(|(name, entry)| StateNode {
            name,
            configs: entry
                .view
                .configs
                .iter()
                .map(|config| StateConfig { instance_ids: ids(config), config: scrub(&config.config) })
                .collect(),
        })
        .collect();
    // Stock commands know no configs on their way: those that nobody has at the moment are listed with the ones that nobody has.
    let stopping = table.moving.iter().filter(|moving| moving.transfer.waits_for == Confirmation::Stopped);
    let nobody_has = table.dangling.iter().map(|dangling| &dangling.config).chain(stopping.map(|moving| &moving.config));
    let dangling = nobody_has.map(|config| scrub(&config.config)).collect();
    to_bytes(&StateResponse {
        not_running: "",
        warmup: table.standing == Standing::WarmingUp,
        nodes: (!nodes.is_empty()).then_some(nodes),
        dangling: Some(dangling),
    })
}

/// Own view of the assignment, with stamps and reasons.
#[derive(Serialize)]
struct Assignments<'a> {
    standing: Standing,
    epoch: u64,
    discovery_synced: bool,
    advanced_dispatching: bool,
    nodes: Vec<AssignedNode<'a>>,
    dangling: Vec<AssignedConfig>,
    moving: Vec<MovingConfig<'a>>,
    rejected: &'a [Rejected],
}

#[derive(Serialize)]
struct AssignedNode<'a> {
    name: &'a str,
    kind: NodeKind,
    address: &'a str,
    presence: Presence,
    stamp: i64,
    configs: Vec<AssignedConfig>,
}

#[derive(Serialize)]
struct AssignedConfig {
    key: String,
    digest: String,
    check_ids: Vec<String>,
    config: CheckConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<DanglingReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flagged: Option<bool>,
}

/// A config on its way. If the next owner has to start first, it is in the sets of both, else in none.
#[derive(Serialize)]
struct MovingConfig<'a> {
    #[serde(flatten)]
    config: AssignedConfig,
    from: &'a str,
    to: Option<&'a str>,
    waits_for: Confirmation,
}

/// Body of `GET /api/v1/muster/assignments`.
pub fn assignments_body(table: &ServedTable, scrub: Scrub<'_>) -> Vec<u8> {
    let placed = |config: &DispatchedConfig| AssignedConfig {
        key: config.key.to_string(),
        digest: config.digest.to_string(),
        check_ids: ids(config),
        config: scrub(&config.config),
        reason: None,
        flagged: None,
    };
    let waiting =
        |dangling: &Dangling| AssignedConfig { reason: Some(dangling.reason), flagged: Some(dangling.flagged), ..placed(&dangling.config) };
    let moving = table.moving.iter().map(|Moving { config, transfer }| MovingConfig {
        config: placed(config),
        from: transfer.from.as_str(),
        to: transfer.to.as_ref().map(NodeName::as_str),
        waits_for: transfer.waits_for,
    });
    let nodes = sorted_nodes(table).into_iter().map(|(name, entry)| AssignedNode {
        name,
        kind: entry.facts.kind,
        address: &entry.facts.address,
        presence: entry.presence,
        stamp: entry.view.stamp.0,
        configs: entry.view.configs.iter().map(|config| placed(config)).collect(),
    });
    to_bytes(&Assignments {
        standing: table.standing,
        epoch: table.epoch.0,
        discovery_synced: table.discovery_synced,
        advanced_dispatching: table.advanced_dispatching,
        nodes: nodes.collect(),
        dangling: table.dangling.iter().map(waiting).collect(),
        moving: moving.collect(),
        rejected: &table.rejected,
    })
}

fn sorted_nodes(table: &ServedTable) -> Vec<(&str, &NodeEntry)> {
    let mut nodes: Vec<_> = table.nodes.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
    nodes.sort_by_key(|(name, _)| *name);
    nodes
}

fn ids(config: &DispatchedConfig) -> Vec<String> {
    config.check_ids.iter().map(ToString::to_string).collect()
}

/// The values of this file are maps of strings, numbers and lists, which always serialise.
fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

//! Which config and which node people mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::config::DispatchedConfig;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::world::ServedTable;
use crate::messages::rebalancer::Refusal;

/// Candidates that are named before the rest is only counted.
const NAMED: usize = 4;

/// All cluster checks that agents are shown, that dangle, or that are on their way.
fn configs(served: &ServedTable) -> BTreeMap<ConfigKey, &Arc<DispatchedConfig>> {
    let owned = served.nodes.values().flat_map(|entry| entry.view.configs.iter());
    let dangling = served.dangling.iter().map(|dangling| &dangling.config);
    let moving = served.moving.iter().map(|moving| &moving.config);
    owned.chain(dangling).chain(moving).map(|config| (config.key, config)).collect()
}

/// Check name and first check id, for people.
pub(super) fn describe(config: &DispatchedConfig) -> String {
    match config.check_ids.first() {
        Some(id) => format!("{} ({id})", config.config.name),
        None => config.config.name.clone(),
    }
}

/// The config that has this check id.
pub(super) fn config_with_id(served: &ServedTable, check_id: &str) -> Option<Arc<DispatchedConfig>> {
    let mut all = configs(served).into_values();
    all.find(|config| config.check_ids.iter().any(|id| id.as_str() == check_id)).map(Arc::clone)
}

/// The config of this check id, digest or check name.
///
/// Errors: [`Refusal::UnknownCheck`], [`Refusal::Ambiguous`].
pub(super) fn config_named(served: &ServedTable, name: &str) -> Result<Arc<DispatchedConfig>, Refusal> {
    if let Some(config) = config_with_id(served, name) {
        return Ok(config);
    }
    let all = configs(served);
    let is_digest = |config: &DispatchedConfig| name == config.digest.to_string() || name == format!("{:016x}", config.digest.0);
    let alike: [&dyn Fn(&DispatchedConfig) -> bool; 2] = [&is_digest, &|config| config.config.name == name];
    for is_meant in alike {
        let meant: Vec<_> = all.values().filter(|config| is_meant(config)).collect();
        match meant.as_slice() {
            [] => {}
            [one] => return Ok(Arc::clone(one)),
            several => return Err(ambiguous(name, several)),
        }
    }
    Err(Refusal::UnknownCheck(name.to_owned()))
}

fn ambiguous(name: &str, meant: &[&&Arc<DispatchedConfig>]) -> Refusal {
    let mut of: Vec<_> = meant.iter().take(NAMED).map(|config| describe(config)).collect();
    if meant.len() > NAMED {
        of.push(format!("{} more", meant.len() - NAMED));
    }
    Refusal::Ambiguous { name: name.to_owned(), of: of.join(", ") }
}

/// The registered node of this name.
///
/// Errors: [`Refusal::UnknownNode`].
pub(super) fn node_named(served: &ServedTable, name: &str) -> Result<NodeName, Refusal> {
    let node = NodeName::from(name);
    if served.nodes.contains_key(&node) { Ok(node) } else { Err(Refusal::UnknownNode(name.to_owned())) }
}

//! The configs of one check, by its name. Source: cluster-agent-kubernetes 1.5 (`/api/v1/{check}/checks`).

use std::collections::BTreeMap;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::ids::ConfigKey;
use muster_actors::domain::world::{ServedTable, Standing};

use crate::api::reply::{self, Reply};
use crate::api::wire::Scrub;

/// The configs of that name that this replica knows, each once, placed or waiting; people read them, so without secrets.
pub fn answer(table: &ServedTable, name: &str, scrub: Scrub<'_>) -> Reply {
    if table.standing == Standing::Starting {
        return reply::startup_in_progress();
    }
    let placed = table.nodes.values().flat_map(|node| node.view.configs.iter());
    let on_endpoints = table.endpoints.values().flat_map(|view| view.configs.iter());
    let waiting = table.dangling.iter().map(|dangling| &dangling.config);
    let named = placed.chain(on_endpoints).chain(waiting).filter(|config| config.config.name == name);
    let configs: BTreeMap<ConfigKey, CheckConfig> = named.map(|config| (config.key, scrub(&config.config))).collect();
    reply::json_value(&configs.into_values().collect::<Vec<_>>())
}

//! A scenario made from what a live server knows.

use std::collections::{BTreeMap, HashMap};

use crate::balance::policy::BalancePolicy;
use crate::domain::figures::{ASSUMED_WORKERS, Figures};
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::world::ServedTable;
use crate::sim::fleet::overrides::PolicyOverrides;
use crate::sim::fleet::scenario::{AgentVersion, Check, Node, SCENARIO_VERSION, Scenario, Span};

/// What is recorded, and how.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// What is assigned.
    pub served: &'a ServedTable,
    /// What runners told.
    pub figures: &'a Figures,
    /// The options in force.
    pub policy: &'a BalancePolicy,
    /// Whether pods are watched.
    pub pods: bool,
    /// Whether names, services and addresses are replaced by numbers.
    pub anonymous: bool,
}

/// Numbers in place of names: the same one for the same name.
struct Names {
    anonymous: bool,
    prefix: &'static str,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn new(prefix: &'static str, anonymous: bool) -> Self {
        Self { anonymous, prefix, numbers: HashMap::new() }
    }

    fn of(&mut self, name: &str) -> String {
        if !self.anonymous || name.is_empty() {
            return name.to_owned();
        }
        let next = self.numbers.len() + 1;
        format!("{}-{}", self.prefix, self.numbers.entry(name.to_owned()).or_insert(next))
    }
}

/// The world as a live server knows it. What instances of checks say is not in it.
///
/// A check of which nothing is known yet gets the need that balancing counts with.
#[must_use]
pub fn recorded(recording: &Recording<'_>) -> Scenario {
    let Recording { served, figures, policy, pods, anonymous } = *recording;
    let mut nodes: BTreeMap<&NodeName, Node> = BTreeMap::new();
    let (mut node_names, mut services) = (Names::new("node", anonymous), Names::new("service", anonymous));
    let (mut integrations, mut checks) = (Names::new("integration", anonymous), Names::new("check", anonymous));
    let by_name: BTreeMap<_, _> = served.nodes.iter().collect();
    for (name, entry) in &by_name {
        let told = figures.runners.get(*name);
        let workers = told.and_then(|told| told.workers);
        let agent = match workers {
            _ if entry.facts.honours_grants => AgentVersion::Muster,
            None if told.is_some() => AgentVersion::Old,
            _ => AgentVersion::Stock,
        };
        let address = Some(entry.facts.address.clone()).filter(|address| !anonymous && !address.is_empty());
        let node = Node {
            name: node_names.of(name.as_str()),
            kind: entry.facts.kind,
            workers: workers.unwrap_or(ASSUMED_WORKERS),
            address,
            agent,
        };
        nodes.insert(*name, node);
    }
    // A config on its way may be in two sets; it belongs where it goes.
    let mut configs: BTreeMap<ConfigKey, (&crate::domain::config::DispatchedConfig, Option<&NodeName>)> = BTreeMap::new();
    for dangling in &served.dangling {
        configs.insert(dangling.config.key, (&dangling.config, None));
    }
    for (name, entry) in &by_name {
        for config in entry.view.configs.iter() {
            configs.insert(config.key, (config, Some(name)));
        }
    }
    for moving in &served.moving {
        configs.insert(moving.config.key, (&moving.config, moving.transfer.to.as_ref()));
    }
    let mut taken = HashMap::new();
    let checks = configs
        .into_values()
        .map(|(config, node)| {
            let need = figures.configs.get(&config.key).map_or_else(|| figures.estimate(&config.config.name), |known| known.smoothed);
            let name = config.check_ids.first().map_or_else(|| config.digest.to_string(), ToString::to_string);
            // Two configs may have the same instances.
            let times: &mut u32 = taken.entry(name.clone()).or_default();
            *times += 1;
            let name = if *times > 1 { format!("{name}#{times}") } else { name };
            Check {
                name: checks.of(&name),
                check_name: integrations.of(&config.config.name),
                service: services.of(&config.config.service_id),
                need: Some((need.clamp(0.0, 1000.0) * 1e6).round() / 1e6),
                average_ms: None,
                interval_seconds: config.traits.interval_seconds.max(1),
                handover: config.traits.handover,
                node: node.and_then(|node| nodes.get(node)).map(|node| node.name.clone()),
            }
        })
        .collect();
    let mut overrides = PolicyOverrides::of(policy);
    if anonymous {
        overrides.never_moved = overrides.never_moved.iter().map(|name| integrations.of(name)).collect();
    }
    Scenario {
        version: SCENARIO_VERSION,
        name: "recorded".to_owned(),
        length: Span::from_hours(2),
        pods,
        noise: 0.0,
        strategy: Some(policy.strategy),
        nodes: distinct_addresses(nodes.into_values().collect()),
        checks,
        events: Vec::new(),
        policy: overrides,
    }
}

/// Agents behind one address cannot be told apart by it: all but the first get another one.
fn distinct_addresses(mut nodes: Vec<Node>) -> Vec<Node> {
    let mut seen = std::collections::BTreeSet::new();
    for node in &mut nodes {
        if node.address.as_ref().is_some_and(|address| !seen.insert(address.clone())) {
            node.address = None;
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::figures::{ConfigFigures, RunnerFigures};
    use crate::domain::node::NodeFacts;
    use crate::domain::world::{Dangling, DanglingReason, NodeEntry, NodeView, Presence};
    use crate::testing::configs::{config, named_config};

    fn served() -> ServedTable {
        let facts = NodeFacts { address: "10.0.0.9".to_owned(), honours_grants: true, ..NodeFacts::default() };
        let view = NodeView { configs: Arc::from([config(1), named_config(2, "redisdb")]), ..NodeView::default() };
        let mut table = ServedTable {
            dangling: vec![Dangling { config: config(3), reason: DanglingReason::NoNode, flagged: false }],
            ..ServedTable::default()
        };
        table.nodes.insert("secret-name".into(), NodeEntry { facts, presence: Presence::Staying, view: Arc::new(view) });
        table
    }

    fn recording(anonymous: bool) -> Scenario {
        let mut figures = Figures { median: Some(0.25), ..Figures::default() };
        figures.runners.insert("secret-name".into(), RunnerFigures { workers: Some(8), ..RunnerFigures::default() });
        figures.configs.insert(ConfigKey(1), ConfigFigures { smoothed: 0.5, ..ConfigFigures::default() });
        let policy = BalancePolicy { band: 0.1, ..BalancePolicy::default() };
        recorded(&Recording { served: &served(), figures: &figures, policy: &policy, pods: true, anonymous })
    }

    #[test]
    fn what_is_recorded_can_be_simulated() {
        let scenario = recording(false);
        assert_eq!(Scenario::parse(&scenario.to_json()), Ok(scenario.clone()));
        assert_eq!((scenario.nodes[0].workers, scenario.nodes[0].agent), (8, AgentVersion::Muster));
        let needs: Vec<_> = scenario.checks.iter().map(|check| (check.need, check.node.as_deref())).collect();
        assert_eq!(needs, [(Some(0.5), Some("secret-name")), (Some(0.25), Some("secret-name")), (Some(0.25), None)]);
        assert_eq!(scenario.policy.band, Some(0.1));
    }

    #[test]
    fn without_names_nothing_is_left_of_them_and_the_content_of_checks_is_never_there() {
        let text = recording(true).to_json();
        for name in ["secret-name", "10.0.0.9", "redisdb", "http_check"] {
            assert!(!text.contains(name), "{name} in {text}");
        }
        assert!(Scenario::parse(&text).is_ok());
        assert!(!recording(false).to_json().contains("empty_default_hostname"));
    }
}

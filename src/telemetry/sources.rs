//! Filling metrics from published snapshots.

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::world::{ServedTable, Standing};

use super::metrics::Metric;
use super::scrape::Scrape;

/// Value of the label that stock's integration joins the leader metric by.
const JOIN: &str = "true";

/// Fills what the cluster role's table says. Source: cluster-checks 14.1, cluster-agent-kubernetes 2.3.
pub fn cluster_checks(table: &ServedTable, scrape: &mut Scrape) {
    let leads = table.standing != Standing::Starting;
    scrape.set(Metric::IsLeader, &[JOIN, if leads { "true" } else { "false" }], f64::from(u8::from(leads)));
    scrape.set(Metric::Epoch, &[], table.epoch.0 as f64);
    scrape.set(Metric::NodesReporting, &[JOIN], table.nodes.len() as f64);
    scrape.set(Metric::ConfigsDangling, &[JOIN], table.dangling.len() as f64);
    for (node, entry) in &table.nodes {
        let node = node.to_string();
        scrape.set(Metric::ConfigsDispatched, &[&node, JOIN], entry.view.configs.len() as f64);
        for dispatched in entry.view.configs.iter() {
            for id in &dispatched.check_ids {
                scrape.set(Metric::ConfigsInfo, &[&node, &dispatched.config.name, &id.to_string(), JOIN], 1.0);
            }
        }
    }
    for (node, view) in &table.endpoints {
        scrape.set(Metric::EndpointConfigsDispatched, &[&node.to_string(), JOIN], view.configs.len() as f64);
    }
    for dangling in table.dangling.iter().filter(|dangling| dangling.flagged) {
        let config = &dangling.config.config;
        scrape.set(Metric::UnscheduledCheck, &[&config.name, &config.source, JOIN], 1.0);
    }
}

/// Fills what discovery found. Source: autodiscovery 11.4.
pub fn discovery(report: &DiscoveryReport, scrape: &mut Scrape) {
    let mut counts = std::collections::BTreeMap::new();
    for config in &report.configs {
        *counts.entry((config.provider.as_str(), kind(config))).or_insert(0_u32) += 1;
    }
    for ((provider, kind), count) in counts {
        scrape.set(Metric::ScheduledConfigs, &[provider, kind], f64::from(count));
    }
    // Only files can fail as a whole; templates that cannot be resolved are told apart from them.
    scrape.set(Metric::DiscoveryErrors, &["file"], report.config_errors.len() as f64);
    let unresolved: usize = report.resolve_warnings.values().map(Vec::len).sum();
    scrape.set(Metric::DiscoveryErrors, &["resolver"], unresolved as f64);
}

fn kind(config: &CheckConfig) -> &'static str {
    if config.cluster_check {
        "cluster_check"
    } else if !config.node_name.is_empty() {
        "endpoints_check"
    } else if config.instances.is_empty() && config.logs.is_some() {
        "logs"
    } else {
        "check"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use muster_actors::domain::config::{Data, DispatchedConfig};
    use muster_actors::domain::ids::{CheckId, ConfigKey, Digest, Epoch, KubernetesNodeName, NodeName, Stamp};
    use muster_actors::domain::world::{Dangling, DanglingReason, NodeEntry, NodeKind, NodeView};

    use super::*;
    use crate::telemetry::Metrics;

    fn config(name: &str) -> Arc<DispatchedConfig> {
        let config =
            CheckConfig { name: name.to_owned(), source: format!("file:{name}.yaml"), cluster_check: true, ..CheckConfig::default() };
        let check_ids = vec![CheckId::from(format!("{name}:1"))];
        Arc::new(DispatchedConfig { key: ConfigKey(1), digest: Digest(1), config, check_ids })
    }

    fn view(configs: Vec<Arc<DispatchedConfig>>) -> Arc<NodeView> {
        Arc::new(NodeView { stamp: Stamp(1), configs: configs.into(), ..NodeView::default() })
    }

    fn rendered(fill: impl Fn(&mut Scrape) + Send + Sync + 'static) -> String {
        let metrics = Metrics::new();
        metrics.add_source(fill);
        metrics.render()
    }

    #[test]
    fn the_table_is_shown_under_the_upstream_names() {
        let entry = NodeEntry { kind: NodeKind::Runner, address: String::new(), view: view(vec![config("http_check")]) };
        let flagged = |flagged| Dangling { config: config("redisdb"), reason: DanglingReason::NoNode, flagged };
        let table = ServedTable {
            standing: Standing::Active,
            epoch: Epoch(3),
            nodes: HashMap::from([(NodeName::from("n1".to_owned()), entry)]),
            endpoints: HashMap::from([(KubernetesNodeName::from("k1".to_owned()), view(vec![config("a"), config("b")]))]),
            dangling: vec![flagged(true), flagged(false)],
            ..ServedTable::default()
        };
        let text = rendered(move |scrape| cluster_checks(&table, scrape));
        for line in [
            "cluster_checks_nodes_reporting{join_leader=\"true\"} 1",
            "cluster_checks_configs_dangling{join_leader=\"true\"} 2",
            "cluster_checks_configs_dispatched{join_leader=\"true\",node=\"n1\"} 1",
            "cluster_checks_configs_info{check_id=\"http_check:1\",check_name=\"http_check\",join_leader=\"true\",node=\"n1\"} 1",
            "cluster_checks_unscheduled_check{config_name=\"redisdb\",config_source=\"file:redisdb.yaml\",join_leader=\"true\"} 1",
            "endpoint_checks_configs_dispatched{join_leader=\"true\",node=\"k1\"} 2",
            "leader_election_is_leader{is_leader=\"true\",join_leader=\"true\"} 1",
            "muster_dispatcher_epoch 3",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
        }
    }

    #[test]
    fn a_replica_that_does_not_know_its_role_does_not_claim_to_lead() {
        let text = rendered(|scrape| cluster_checks(&ServedTable::default(), scrape));
        assert!(text.contains("leader_election_is_leader{is_leader=\"false\",join_leader=\"true\"} 0\n"), "{text}");
    }

    #[test]
    fn discovery_is_counted_by_provider_and_kind() {
        let one = |cluster_check: bool| {
            let instances = vec![Data::from("{}")];
            Arc::new(CheckConfig { provider: "file".to_owned(), cluster_check, instances, ..CheckConfig::default() })
        };
        let mut report = DiscoveryReport { configs: vec![one(true), one(true), one(false)], ..DiscoveryReport::default() };
        report.config_errors.insert("redisdb".to_owned(), "line 3, column 1: no".to_owned());
        let text = rendered(move |scrape| discovery(&report, scrape));
        assert!(text.contains("autodiscovery_scheduled_configs{provider=\"file\",type=\"cluster_check\"} 2\n"), "{text}");
        assert!(text.contains("autodiscovery_scheduled_configs{provider=\"file\",type=\"check\"} 1\n"), "{text}");
        assert!(text.contains("autodiscovery_errors{provider=\"file\"} 1\n"), "{text}");
    }
}

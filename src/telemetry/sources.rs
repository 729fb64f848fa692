//! Filling metrics from published snapshots.

mod balance;

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::delivery::{Contents, DropReason};
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::kube::event_rules::Received;
use muster_actors::domain::kube::informer_status::InformerStatus;
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::run_stats::RunStatsView;
use muster_actors::domain::world::{ServedTable, Standing};
use muster_actors::kernel::registry::ActorStatus;
use muster_actors::messages::event_forwarder::EventForwarderStats;
use muster_actors::messages::output::OutputStats;
use muster_actors::shared::config_provider::ProviderView;

use super::destination::Destination;
use super::metrics::Metric;
use super::scrape::Scrape;

pub use balance::balance;

/// Value of the label that stock's integration joins the leader metric by.
const JOIN: &str = "true";
/// Protocol of all requests to intakes, label `proto_version`.
const PROTOCOL: &str = "HTTP/1.1";
/// Label of a connection that was made.
const CONNECTED: &str = "connection_success";
/// The route of events. Source: cluster-agent-kubernetes 6.1.
const EVENTS_ROUTE: &str = "intake";

/// Fills who leads. `now` is monotonic. Source: cluster-agent-kubernetes 2.3.
pub fn leadership(leadership: &Leadership, now: Duration, scrape: &mut Scrape) {
    let leads = leadership.leads(now);
    scrape.set(Metric::IsLeader, &[JOIN, if leads { "true" } else { "false" }], state(leads));
    scrape.set(Metric::LeaderEpoch, &[], leadership.epoch.0 as f64);
    scrape.set(Metric::LeaderKnown, &[], state(leadership.role != Role::Unknown));
    if let Some(until) = leadership.valid_until {
        scrape.set(Metric::LeaderValid, &[], until.saturating_sub(now).as_secs_f64());
    }
}

/// Fills what the cluster role's table says. Source: cluster-checks 14.1.
pub fn cluster_checks(table: &ServedTable, scrape: &mut Scrape) {
    if table.standing == Standing::Starting {
        // Nothing is known yet: no figures, instead of wrong ones.
        return;
    }
    dispatcher(table, scrape);
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

fn dispatcher(table: &ServedTable, scrape: &mut Scrape) {
    let counters = &table.counters;
    scrape.set(Metric::Epoch, &[], table.epoch.0 as f64);
    scrape.set(Metric::RejectedConfigs, &[], table.rejected.len() as f64);
    let draining = table.nodes.values().filter(|node| !node.presence.is_staying()).count();
    scrape.set(Metric::DrainingNodes, &[], draining as f64);
    for (metric, count) in [
        (Metric::Placements, counters.placements),
        (Metric::ExpiredNodes, counters.expired_nodes),
        (Metric::DeletedNodes, counters.deleted_nodes),
        (Metric::PatchFailures, counters.patch_failures),
        (Metric::StaleEpochs, counters.stale_epoch_dropped),
        (Metric::PersistenceFailures, counters.persistence_failures),
    ] {
        scrape.set(metric, &[], count as f64);
    }
    for (cause, count) in &counters.moves {
        scrape.set(Metric::Moves, &[cause.as_str()], *count as f64);
    }
    for (name, count) in &counters.invariant_violations {
        scrape.set(Metric::InvariantViolations, &[name], *count as f64);
    }
}

/// Fills what the kernel counts for each actor.
pub fn kernel(actors: &[ActorStatus], scrape: &mut Scrape) {
    for actor in actors {
        scrape.set(Metric::ActorRestarts, &[&actor.name], actor.restarts as f64);
        scrape.set(Metric::ActorPanics, &[&actor.name], actor.panics as f64);
        scrape.set(Metric::RefusedMessages, &[&actor.name], actor.refused as f64);
    }
}

/// Fills how an informer is doing.
pub fn informer(status: &InformerStatus, scrape: &mut Scrape) {
    let labels = [status.kind.resource()];
    scrape.set(Metric::InformerSynced, &labels, state(status.synced));
    scrape.set(Metric::InformerObjects, &labels, status.objects as f64);
    scrape.set(Metric::InformerListings, &labels, status.listings as f64);
    scrape.set(Metric::InformerFailures, &labels, status.failures as f64);
}

/// Fills which events were forwarded. Source: cluster-agent-kubernetes 3.10.
pub fn forwarded_events(stats: &EventForwarderStats, scrape: &mut Scrape) {
    for (labels, count) in &stats.received {
        let Received { kind, component, event_type, reason, source } = labels;
        scrape.set(Metric::KubeEvents, &[kind, component, event_type, reason, source], *count as f64);
    }
    for (labels, count) in &stats.emitted {
        let bundled = if labels.is_bundled { "true" } else { "false" };
        scrape.set(Metric::EmittedEvents, &[&labels.kind, &labels.event_type, &labels.source, bundled], *count as f64);
    }
    scrape.set(Metric::KubeEventsDropped, &[], stats.dropped as f64);
    scrape.set(Metric::EventRoundsRepeated, &[], stats.repeated as f64);
    if let Some(lag) = stats.lag_seconds {
        scrape.set(Metric::EventsLag, &[], lag as f64);
    }
}

/// Fills the state of a provider of configs.
pub fn provider(view: &ProviderView, scrape: &mut Scrape) {
    let labels = [view.source];
    scrape.set(Metric::ProviderInContact, &labels, state(view.in_contact));
    scrape.set(Metric::ProviderDropped, &labels, state(view.dropped));
    scrape.set(Metric::ProviderConfigs, &labels, view.configs as f64);
    scrape.set(Metric::ProviderPolls, &[view.source, "ok"], view.polls.saturating_sub(view.failed_polls) as f64);
    scrape.set(Metric::ProviderPolls, &[view.source, "error"], view.failed_polls as f64);
    if let Some(at) = view.last_success {
        scrape.set(Metric::ProviderLastSuccess, &labels, at as f64);
    }
}

/// Fills what runs, and how. Source: node-runner 14.9.
pub fn running_checks(view: &RunStatsView, scrape: &mut Scrape) {
    for (check, totals) in &view.totals {
        for (state, count) in [("ok", totals.succeeded), ("error", totals.failed), ("timeout", totals.timed_out)] {
            scrape.set(Metric::CheckRuns, &[check, state], count as f64);
        }
        scrape.set(Metric::CheckMissedRuns, &[check], totals.missed as f64);
        scrape.set_durations(Metric::CheckExecution, &[check], &totals.execution);
        scrape.set_durations(Metric::CheckQueueWait, &[check], &totals.queue_wait);
    }
    for check in view.checks.values() {
        scrape.add(Metric::RunningChecks, &[&check.identity.check_name], 1.0);
    }
    for failure in &view.load_failures {
        scrape.add(Metric::LoadFailures, &[&failure.check_name], 1.0);
    }
    scrape.set(Metric::Workers, &[], view.workers.count as f64);
    for (worker, report) in &view.workers.instances {
        scrape.set(Metric::WorkerUtilization, &[worker], report.utilization);
    }
}

/// Fills what the outputs sent and lost. Source: cluster-agent-kubernetes 6.7 (`transactions__*`, `metrics__events_*`), node-runner 14.9.
pub fn outputs(outputs: &[Arc<OutputStats>], scrape: &mut Scrape) {
    let destinations = Destination::of_all(outputs.iter().map(Arc::as_ref));
    for (stats, destination) in outputs.iter().zip(&destinations) {
        output(stats, &destination.label(), scrape);
        // Only intakes have transactions; lines on stdout are none.
        if stats.key_ending.is_some() {
            transactions(stats, scrape);
            events(stats, scrape);
        }
    }
}

fn output(stats: &OutputStats, output: &str, scrape: &mut Scrape) {
    for (kind, count) in items(&stats.sent) {
        scrape.set(Metric::OutputSentItems, &[output, kind], count as f64);
    }
    for (reason, dropped) in &stats.dropped {
        for (kind, count) in items(dropped).into_iter().filter(|(_, count)| *count > 0) {
            scrape.set(Metric::OutputDroppedItems, &[output, kind, reason.as_str()], count as f64);
        }
    }
    scrape.set(Metric::OutputRetries, &[output], stats.retries as f64);
    scrape.set(Metric::OutputQueuedBytes, &[output], stats.queued.bytes as f64);
    scrape.set(Metric::OutputQueuedPayloads, &[output], stats.queued.payloads as f64);
    scrape.set(Metric::OutputSpooledBytes, &[output], stats.spooled.bytes as f64);
    scrape.set(Metric::OutputSpooledPayloads, &[output], stats.spooled.payloads as f64);
}

/// Under the names and labels of upstream, where a key is no label value: several keys of one intake add up.
fn transactions(stats: &OutputStats, scrape: &mut Scrape) {
    let domain = stats.destination.as_str();
    let removed = stats.dropped.get(&DropReason::SpoolFull).map_or(0, |dropped| dropped.payloads);
    scrape.add(Metric::TransactionsConnections, &[CONNECTED], stats.connections as f64);
    scrape.add(Metric::FileStorageBytes, &[domain], stats.spooled.bytes as f64);
    scrape.add(Metric::FileStorageFiles, &[domain], stats.spooled.payloads as f64);
    scrape.add(Metric::FileStorageRemoved, &[domain], removed as f64);
    for (endpoint, route) in &stats.routes {
        scrape.add(Metric::TransactionsSuccess, &[domain, endpoint, PROTOCOL], route.success as f64);
        scrape.add(Metric::TransactionsSuccessBytes, &[domain, endpoint], route.success_bytes as f64);
        scrape.add(Metric::TransactionsDropped, &[domain, endpoint], route.dropped as f64);
        for (kind, count) in &route.errors {
            scrape.add(Metric::TransactionsErrors, &[domain, endpoint, kind.as_str()], *count as f64);
        }
        for (code, count) in &route.http_errors {
            scrape.add(Metric::TransactionsHttpErrors, &[domain, endpoint, &code.to_string()], *count as f64);
        }
    }
}

fn events(stats: &OutputStats, scrape: &mut Scrape) {
    let payloads = stats.routes.get(EVENTS_ROUTE).map_or(0, |route| route.success);
    scrape.add(Metric::EventsSent, &[], stats.sent.events as f64);
    scrape.add(Metric::EventsDropped, &[], stats.total_dropped().events as f64);
    scrape.add(Metric::EventsPayloads, &[], payloads as f64);
}

fn items(contents: &Contents) -> [(&'static str, u64); 4] {
    [("points", contents.points), ("sketches", contents.sketches), ("check_runs", contents.check_runs), ("events", contents.events)]
}

fn state(on: bool) -> f64 {
    f64::from(u8::from(on))
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
    for (provider, sources) in &report.broken_sources {
        scrape.set(Metric::DiscoveryErrors, &[provider], *sources as f64);
    }
    // Templates that cannot be resolved are told apart from what cannot be read.
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
mod tests;

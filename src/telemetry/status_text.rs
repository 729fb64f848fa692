//! Layout of the status as people and scripts read it. Source: cluster-agent-kubernetes 8.3.

mod forwarder;
mod layout;

use muster_actors::shared::config_provider::ProviderView;
use serde::Deserialize;
use serde_json::Value as Json;

use self::layout::{boxed, heading, in_seconds, line, section, with_milliseconds};
use super::status::{ClusterChecksStatus, StatusDocument};

impl StatusDocument {
    /// The text form, without the line `Getting the status from the agent.`
    ///
    /// `verbose` adds what a healthy check leaves out.
    #[must_use]
    pub fn text(&self, verbose: bool) -> String {
        write(self, verbose)
    }
}

fn write(document: &StatusDocument, verbose: bool) -> String {
    let mut out = String::new();
    header(&mut out, document);
    section(&mut out, "Hostname", |body| hostname(body, document));
    if !document.config_problems.is_empty() {
        section(&mut out, "Configuration problems", |body| {
            for problem in &document.config_problems {
                line(body, 2, problem);
            }
        });
    }
    section(&mut out, "Collector", |body| collector(body, document, verbose));
    if let Some(webhook) = &document.admission_webhook {
        section(&mut out, "Admission Controller", |body| line(body, 2, &format!("Disabled: {}", webhook.reason)));
    }
    if let Some(aggregator) = document.aggregator {
        section(&mut out, "Aggregator", |body| aggregator.lines().iter().for_each(|text| line(body, 2, text)));
    }
    if let Some(balancing) = &document.balancing {
        section(&mut out, "Balancing", |body| {
            balancing.lines(verbose, document.time_nano).iter().for_each(|text| line(body, 2, text));
        });
    }
    if document.flavor == "cluster_agent" {
        section(&mut out, "Cluster Checks Dispatching", |body| cluster_checks(body, document.cluster_checks.as_ref()));
    }
    if let Some(providers) = &document.config_providers {
        section(&mut out, "Config Providers", |body| config_providers(body, providers));
    }
    if let Some(control_plane) = &document.control_plane {
        section(&mut out, "Control Plane", |body| control_plane.lines().iter().for_each(|text| line(body, 2, text)));
    }
    if let Some(metrics) = &document.custom_metrics {
        section(&mut out, "Custom Metrics Server", |body| line(body, 2, &format!("Disabled: {}", metrics.reason)));
    }
    if !document.endpoints.is_empty() {
        section(&mut out, "Endpoints", |body| {
            for (address, keys) in &document.endpoints {
                line(body, 2, &format!("{address} - API Key ending with:"));
                for key in keys {
                    line(body, 6, &format!("- {key}"));
                }
            }
        });
    }
    if let Some(status) = &document.forwarder {
        section(&mut out, "Forwarder", |body| forwarder::write(body, status));
    }
    if let Some(kubernetes) = &document.kubernetes {
        section(&mut out, "Kubernetes", |body| {
            kubernetes.lines().iter().for_each(|text| line(body, 2, text));
        });
    }
    if let Some(events) = &document.events {
        section(&mut out, "Kubernetes Events", |body| events.lines().iter().for_each(|text| line(body, 2, text)));
    }
    if let Some(election) = &document.leader_election {
        section(&mut out, "Leader Election", |body| {
            election.lines().iter().for_each(|text| line(body, 2, text));
        });
    }
    out
}

fn header(out: &mut String, document: &StatusDocument) {
    let name = if document.flavor == "cluster_agent" { "Cluster Agent" } else { "Agent" };
    let title = format!("{name} (v{})", document.version);
    boxed(out, &title);
    line(out, 2, &format!("Status date: {}", with_milliseconds(document.time_nano)));
    line(out, 2, &format!("Agent start: {}", with_milliseconds(document.agent_start_nano)));
    line(out, 2, &format!("Pid: {}", document.pid));
    line(out, 2, &format!("Muster Version: {}", document.muster_version));
    line(out, 2, "Go Version: n/a");
    line(out, 2, "Python Version: n/a");
    line(out, 2, &format!("Build arch: {}", document.build_arch));
    line(out, 2, &format!("Agent flavor: {}", document.flavor));
    line(out, 2, "FIPS Mode: not available");
    let value = |key: &str| document.config.get(key).map_or("", String::as_str);
    line(out, 2, &format!("Log File: {}", value("log_file")));
    line(out, 2, &format!("Log Level: {}", value("log_level")));
    out.push('\n');
    heading(out, 2, "Paths", "=");
    line(out, 4, &format!("Config File: {}", document.conf_file));
    line(out, 4, &format!("conf.d: {}", value("confd_path")));
    line(out, 4, "checks.d: n/a");
    line(out, 4, &format!("run: {}", value("run_path")));
    out.push('\n');
}

fn hostname(out: &mut String, document: &StatusDocument) {
    line(out, 2, &format!("hostname: {}", document.hostname));
    line(out, 2, "hostname-resolution-version: 1");
    line(out, 2, &format!("hostname provider: {}", document.hostname_stats.provider));
}

/// Statistics of a check as far as they are shown; every key may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CheckLines {
    check_config_source: String,
    total_runs: u64,
    total_errors: u64,
    metric_samples: u64,
    total_metric_samples: u64,
    events: u64,
    total_events: u64,
    service_checks: u64,
    total_service_checks: u64,
    average_execution_time: u64,
    last_execution_date: i64,
    last_success_date: i64,
    last_error: String,
    last_warnings: Vec<String>,
    #[serde(rename = "missed_runs")]
    missed_runs: u64,
    #[serde(rename = "timeouts")]
    timeouts: u64,
}

fn collector(out: &mut String, document: &StatusDocument, verbose: bool) {
    heading(out, 2, "Running Checks", "=");
    let empty = serde_json::Map::new();
    let checks = document.runner_stats.as_ref().and_then(|stats| stats.get("Checks")).and_then(Json::as_object).unwrap_or(&empty);
    if checks.is_empty() {
        line(out, 4, "No checks have run yet");
    }
    for (name, instances) in checks {
        out.push('\n');
        heading(out, 4, name, "-");
        for (position, (id, statistics)) in instances.as_object().unwrap_or(&empty).iter().enumerate() {
            if position > 0 {
                out.push('\n');
            }
            instance(out, id, &CheckLines::deserialize(statistics).unwrap_or_default(), verbose);
        }
    }
    let errors = document.check_scheduler.as_ref().map(|status| &status.loader_errors).filter(|errors| !errors.is_empty());
    if let Some(errors) = errors {
        out.push('\n');
        heading(out, 2, "Loading Errors", "=");
        for (name, instances) in errors {
            heading(out, 4, name, "-");
            for (place, error) in instances {
                line(out, 6, &format!("{place}: {error}"));
            }
        }
    }
    let warnings = &document.auto_config;
    if !warnings.config_errors.is_empty() {
        out.push('\n');
        heading(out, 2, "Config Errors", "=");
        for (name, error) in &warnings.config_errors {
            line(out, 4, &format!("{name}: {error}"));
        }
    }
    if !warnings.resolve_warnings.is_empty() {
        out.push('\n');
        heading(out, 2, "Config Resolution Warnings", "=");
        for (name, texts) in &warnings.resolve_warnings {
            for text in texts {
                line(out, 4, &format!("{name}: {text}"));
            }
        }
    }
}

fn instance(out: &mut String, id: &str, check: &CheckLines, verbose: bool) {
    let state = match (check.last_error.is_empty(), check.last_warnings.is_empty(), check.total_runs) {
        (false, _, _) => "ERROR",
        (true, false, _) => "WARNING",
        (true, true, 0) => "PENDING",
        (true, true, _) => "OK",
    };
    line(out, 6, &format!("Instance ID: {id} [{state}]"));
    line(out, 6, &format!("Configuration Source: {}", check.check_config_source));
    line(out, 6, &format!("Total Runs: {}", check.total_runs));
    if verbose || check.total_errors > 0 {
        line(out, 6, &format!("Total Errors: {}", check.total_errors));
    }
    if verbose || check.timeouts > 0 {
        line(out, 6, &format!("Timeouts: {}", check.timeouts));
    }
    if verbose || check.missed_runs > 0 {
        line(out, 6, &format!("Missed Runs: {}", check.missed_runs));
    }
    line(out, 6, &format!("Metric Samples: Last Run: {}, Total: {}", check.metric_samples, check.total_metric_samples));
    line(out, 6, &format!("Events: Last Run: {}, Total: {}", check.events, check.total_events));
    line(out, 6, &format!("Service Checks: Last Run: {}, Total: {}", check.service_checks, check.total_service_checks));
    line(
        out,
        6,
        &format!("Average Execution Time : {}", crate::config::go_text(std::time::Duration::from_millis(check.average_execution_time))),
    );
    line(out, 6, &format!("Last Execution Date : {}", in_seconds(check.last_execution_date)));
    line(out, 6, &format!("Last Successful Execution Date : {}", in_seconds(check.last_success_date.saturating_mul(1000))));
    if !check.last_error.is_empty() {
        line(out, 6, &format!("Error: {}", check.last_error));
    }
    for warning in &check.last_warnings {
        line(out, 6, &format!("Warning: {warning}"));
    }
}

fn config_providers(out: &mut String, providers: &[ProviderView]) {
    if providers.is_empty() {
        line(out, 2, "No cluster agent is polled");
    }
    let date = |at: Option<i64>| in_seconds(at.unwrap_or(0).saturating_mul(1000));
    for (position, provider) in providers.iter().enumerate() {
        if position > 0 {
            out.push('\n');
        }
        heading(out, 2, provider.source, "-");
        line(out, 4, &format!("State: {}", provider.condition()));
        line(out, 4, &format!("Configs: {}", provider.configs));
        line(out, 4, &format!("Last Change: {}", provider.last_change));
        line(out, 4, &format!("Polls: {}, failed: {}", provider.polls, provider.failed_polls));
        line(out, 4, &format!("Last Poll : {}", date(provider.last_poll)));
        line(out, 4, &format!("Last Successful Poll : {}", date(provider.last_success)));
        line(out, 4, &format!("Last Error: {}", provider.last_error.as_deref().unwrap_or("none")));
    }
}

/// Source: cluster-checks 14.2.
fn cluster_checks(out: &mut String, status: Option<&ClusterChecksStatus>) {
    let Some(status) = status else { return line(out, 2, "Not Enabled") };
    match (status.leader, status.active, status.follower) {
        (true, true, _) => {
            line(out, 2, "Status: Leader, serving requests");
            line(out, 2, &format!("Active agents: {}", status.node_count));
            if !status.draining.is_empty() {
                let names: Vec<_> = status.draining.iter().map(String::as_str).collect();
                line(out, 4, &format!("- Draining: {}", names.join(", ")));
            }
            line(out, 2, &format!("Check Configurations: {}", status.total_configs));
            line(out, 4, &format!("- Dispatched: {}", status.active_configs));
            line(out, 4, &format!("- Unassigned: {}", status.dangling_configs));
            if status.unscheduled_checks > 0 {
                line(out, 4, &format!("- Unassigned for too long: {}", status.unscheduled_checks));
            }
            if !status.rejected.is_empty() {
                line(out, 2, &format!("Rejected Configurations: {}", status.rejected.len()));
            }
            for rejected in &status.rejected {
                line(out, 4, &format!("- {rejected}"));
            }
        }
        (true, false, _) => line(out, 2, "Status: Leader, warming up"),
        (false, _, true) if status.leader_ip.is_empty() => line(out, 2, "Status: Follower, no leader found"),
        (false, _, true) => line(out, 2, &format!("Status: Follower, redirecting to leader at {}", status.leader_ip)),
        (false, _, false) => line(out, 2, "Status: unknown"),
    }
    if !status.repaired_files.is_empty() {
        line(out, 2, &format!("Assignment Files Repaired At Start: {}", status.repaired_files.len()));
    }
    for repaired in &status.repaired_files {
        line(out, 4, &format!("- {repaired}"));
    }
}

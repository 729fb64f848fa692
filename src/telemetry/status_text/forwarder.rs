//! The section `Forwarder`: what was sent where, what was lost, what waits.

use std::collections::BTreeMap;

use muster_actors::domain::delivery::Contents;
use muster_actors::messages::output::OutputStats;

use super::layout::{heading, line};
use crate::telemetry::destination::Destination;
use crate::telemetry::status::{ForwarderStatus, Transactions};

pub(super) fn write(out: &mut String, status: &ForwarderStatus) {
    if !status.api_keys.is_empty() {
        transactions(out, &status.transactions);
        heading(out, 2, "API Keys status", "=");
        for (key, state) in &status.api_keys {
            line(out, 4, &format!("{key}: {state}"));
        }
        out.push('\n');
    }
    heading(out, 2, "Outputs", "=");
    if status.outputs.is_empty() {
        line(out, 4, "No output is configured");
    }
    for (position, (stats, destination)) in status.outputs.iter().zip(Destination::of_all(&status.outputs)).enumerate() {
        if position > 0 {
            out.push('\n');
        }
        output(out, stats, &destination);
    }
}

fn transactions(out: &mut String, all: &Transactions) {
    heading(out, 2, "Transactions", "=");
    line(out, 4, &format!("Dropped: {}", all.dropped));
    by(out, "Dropped By Endpoint", &all.dropped_by_endpoint);
    line(out, 4, &format!("Retried: {}", all.retried));
    line(out, 4, &format!("RetryQueueSize: {}", all.retry_queue_size));
    out.push('\n');
    heading(out, 2, "Transaction Successes", "=");
    line(out, 4, &format!("Total number: {}", all.success));
    by(out, "Successes By Endpoint", &all.success_by_endpoint);
    out.push('\n');
    if all.errors > 0 {
        heading(out, 2, "Transaction Errors", "=");
        line(out, 4, &format!("Total number: {}", all.errors));
        by(out, "Errors By Type", &all.errors_by_type);
        out.push('\n');
    }
    if all.http_errors > 0 {
        heading(out, 2, "HTTP Errors", "=");
        line(out, 4, &format!("Total number: {}", all.http_errors));
        by(out, "HTTP Errors By Code", &all.http_errors_by_code);
        out.push('\n');
    }
}

fn by(out: &mut String, title: &str, counts: &BTreeMap<String, u64>) {
    if !counts.is_empty() {
        line(out, 4, &format!("{title}:"));
    }
    for (name, count) in counts {
        line(out, 6, &format!("{name}: {count}"));
    }
}

fn output(out: &mut String, stats: &OutputStats, destination: &Destination) {
    heading(out, 4, &destination.label(), "-");
    line(out, 6, &format!("Sent: {}", amounts(&stats.sent)));
    if stats.dropped.is_empty() {
        line(out, 6, "Dropped: nothing");
    }
    for (reason, contents) in &stats.dropped {
        line(out, 6, &format!("Dropped ({}): {}", reason.as_str(), amounts(contents)));
    }
    line(out, 6, &format!("Queue: {}", amounts(&stats.queued)));
    if !stats.spooled.is_empty() {
        line(out, 6, &format!("On Disk: {}", amounts(&stats.spooled)));
    }
    line(out, 6, &format!("Retries: {}", stats.retries));
    for (route, counts) in stats.routes.iter().filter(|(_, counts)| counts.backoff_errors > 0) {
        line(out, 6, &format!("Failing now: {route}, backing off (level {})", counts.backoff_errors));
    }
    line(out, 6, &format!("Last Error: {}", stats.last_error.as_deref().unwrap_or("none")));
}

/// `6 payloads, 1406 bytes, 18 points, 7 check runs`; what there is none of is left out.
fn amounts(contents: &Contents) -> String {
    let all = [
        (contents.payloads, "payloads"),
        (contents.bytes, "bytes"),
        (contents.points, "points"),
        (contents.sketches, "sketches"),
        (contents.check_runs, "check runs"),
        (contents.events, "events"),
    ];
    let some: Vec<String> = all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if some.is_empty() { "nothing".to_owned() } else { some.join(", ") }
}

//! `clusterchecks constraints`: what is demanded of placement, and what is on its way.

use std::fmt::Write as _;

use muster_actors::domain::constraints::Quarantine;
use muster_actors::domain::handover::Transfer;
use muster_actors::domain::ids::NodeName;
use serde::Deserialize;

use super::call::{Call, failure};
use crate::cli::failure::CommandResult;
use crate::telemetry::in_words::reasons;
use crate::telemetry::in_words::when::{ago, ahead, date, now};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    key: String,
    check_name: String,
    check_id: String,
}

impl Named {
    fn text(&self) -> &str {
        match (self.check_id.as_str(), self.check_name.as_str()) {
            ("", "") => &self.key,
            ("", name) => name,
            (id, _) => id,
        }
    }
}

#[derive(Debug, Deserialize)]
struct OnNode {
    #[serde(flatten)]
    config: Named,
    node: String,
}

#[derive(Debug, Deserialize)]
struct Kept {
    #[serde(flatten)]
    config: Named,
    #[serde(flatten)]
    quarantine: Quarantine,
}

#[derive(Debug, Deserialize)]
struct OnItsWay {
    #[serde(flatten)]
    config: Named,
    #[serde(flatten)]
    transfer: Transfer,
}

#[derive(Debug, Deserialize)]
struct Constraints {
    isolations: Vec<OnNode>,
    pins: Vec<OnNode>,
    quarantines: Vec<Kept>,
    moving: Vec<OnItsWay>,
}

pub(super) async fn run(call: &Call) -> CommandResult {
    let body = call.api.get("/api/v1/muster/constraints").await.map_err(failure)?;
    call.show(body, |constraints: &Constraints| render(constraints, now()))
}

fn render(constraints: &Constraints, now: i64) -> String {
    let Constraints { isolations, pins, quarantines, moving } = constraints;
    let mut text = String::new();
    if isolations.is_empty() && pins.is_empty() && quarantines.is_empty() && moving.is_empty() {
        text.push_str("Nothing is pinned, isolated, in quarantine or on its way: balancing may move everything.\n");
    }
    let mut section = |title: &str, lines: Vec<String>, end: &str| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(text, "=== {title} ===");
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        if !end.is_empty() {
            let _ = writeln!(text, "End it with: muster cluster clusterchecks {end}");
        }
        text.push('\n');
    };
    let placed = |list: &[OnNode], how: &str| list.iter().map(|one| format!("{} {how} {}", one.config.text(), one.node)).collect();
    section("Pinned", placed(pins, "belongs on"), "unpin CHECK");
    section("Isolated", placed(isolations, "is alone on"), "isolate --end CHECK");
    let kept = |one: &Kept| {
        let Quarantine { since_unix_nanos, until_unix_nanos, killed } = &one.quarantine;
        let killed: Vec<&str> = killed.iter().map(NodeName::as_str).collect();
        format!(
            "{} runs nowhere since {} ({}), until {} ({}): it ran on {} when they died",
            one.config.text(),
            date(*since_unix_nanos),
            ago(*since_unix_nanos, now),
            date(*until_unix_nanos),
            ahead(*until_unix_nanos, now),
            killed.join(", ")
        )
    };
    section("In quarantine", quarantines.iter().map(kept).collect(), "release CHECK");
    let on_its_way = |one: &OnItsWay| format!("{} {}", one.config.text(), reasons::transfer(&one.transfer));
    section("On its way", moving.iter().map(on_its_way).collect(), "");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(json: serde_json::Value) -> String {
        render(&serde_json::from_value(json).unwrap(), 120_000_000_000)
    }

    #[test]
    fn every_demand_is_shown_with_its_end() {
        let config = |id: &str| json!({"key": "0", "check_name": "snmp", "check_id": id, "digest": "2c"});
        let with = |mut base: serde_json::Value, more: serde_json::Value| {
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            base
        };
        let text = shown(json!({
            "isolations": [with(config("snmp:a"), json!({"node": "r1"}))],
            "pins": [with(json!({"key": "00ff", "check_name": "", "check_id": ""}), json!({"node": "r2"}))],
            "quarantines": [with(config("snmp:b"), json!({"since_unix_nanos": 0, "until_unix_nanos": 180_000_000_000_i64, "killed": ["r3", "r4"]}))],
            "moving": [with(config("snmp:c"), json!({"from": "r1", "to": "r2", "waits_for": "stopped", "stamp": 7}))],
        }));
        let expected = "=== Pinned ===\n00ff belongs on r2\nEnd it with: muster cluster clusterchecks unpin CHECK\n\n\
            === Isolated ===\nsnmp:a is alone on r1\nEnd it with: muster cluster clusterchecks isolate --end CHECK\n\n\
            === In quarantine ===\nsnmp:b runs nowhere since 1970-01-01 00:00:00 UTC (2 min ago), until 1970-01-01 00:03:00 UTC (in 1 min): it ran on r3, r4 when they died\n\
            End it with: muster cluster clusterchecks release CHECK\n\n\
            === On its way ===\nsnmp:c from r1 to r2: waits until r1 confirms that it stopped it; nobody runs it meanwhile\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_demand_is_said_too() {
        let text = shown(json!({"isolations": [], "pins": [], "quarantines": [], "moving": []}));
        assert_eq!(text, "Nothing is pinned, isolated, in quarantine or on its way: balancing may move everything.\n");
    }
}

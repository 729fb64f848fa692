use muster_actors::balance::explanation::RuledOut;
use muster_actors::balance::world::Held;
use muster_actors::domain::handover::{Confirmation, Handover, Transfer};
use muster_actors::domain::ids::{ConfigKey, Digest, Epoch, Seq, Stamp};
use muster_actors::domain::journal::Decision;
use muster_actors::domain::world::DanglingReason;

use super::*;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_795_262_021 * SECOND;

fn decision(minutes_ago: i64, from: Option<&str>, to: Option<&str>, cause: Cause) -> Decision {
    Decision {
        at_unix_nanos: NOW - minutes_ago * 60 * SECOND,
        epoch: Epoch(1),
        seq: Seq(1),
        key: ConfigKey(1),
        digest: Digest(0x2c0d),
        check_name: "http_check".to_owned(),
        from: from.map(Into::into),
        to: to.map(Into::into),
        cause,
    }
}

fn candidate(node: &str, utilization: f64, gain: Option<f64>, ruled_out: Option<RuledOut>) -> Candidate {
    Candidate { node: node.into(), workers: 4.0, configs: 3, utilization, with_it: utilization + 0.05, gain, ruled_out }
}

fn check() -> CheckExplanation {
    CheckExplanation {
        key: ConfigKey(1),
        digest: Digest(0x2c0d),
        check_name: "http_check".to_owned(),
        check_ids: vec!["http_check:shop:1f".into(), "http_check:cart:20".into()],
        source: "file:conf.d/http_check.yaml".to_owned(),
        node: Some("r1".into()),
        dangling: None,
        transfer: None,
        since_unix_nanos: Some(NOW - 90 * 60 * SECOND),
        need: Some(0.2),
        counted: 0.2,
        move_cost: 1.0,
        handover: Handover::Any,
        held: None,
        pinned_to: None,
        quarantine: None,
        candidates: vec![
            candidate("r1", 0.3, None, None),
            candidate("r2", 0.28, Some(-0.01), Some(RuledOut::InsideBand)),
            candidate("r3", 0.1, Some(0.2), Some(RuledOut::IsolatedFor { check_name: "oracle".to_owned() })),
        ],
        history: vec![
            decision(30, Some("r1"), Some("r1"), Cause::Updated),
            decision(90, Some("r2"), Some("r1"), Cause::NodeExpired),
            decision(300, None, Some("r2"), Cause::Discovered),
        ],
        next: vec!["the loss of r1".to_owned(), "r1 getting 2 % busier".to_owned()],
    }
}

#[test]
fn a_check_is_explained_so_that_a_newcomer_understands_it() {
    let expected = "\
=== http_check:shop:1f ===
Also:           http_check:cart:20
Digest:         2c0d
Found in:       file:conf.d/http_check.yaml
Runs on:        r1 since 2026-11-21 10:23:41 UTC (1 h 30 min ago)
Why there:      its runner stopped reporting, and r1 had the most room of those that may run it
Load:           0.200 workers, which is 20.0 % of one
A move costs:   1.0 (1 = a usual move)
When it moves:  both nodes learn of a move with their next poll; for up to 10 s both run it, or none

=== Where it could run ===
Node   Workers   Configs   Utilization   With it   Gain     Why not there
r1     4         3         30.0 %        35.0 %    -        it is there
r2     4         3         28.0 %        33.0 %    -0.010   the load is even enough: every runner is close to the mean
r3     4         3         10.0 %        15.0 %    0.200    is kept for oracle alone, which is isolated there
Utilization: share of its workers that is busy. Gain: how much evener the load would get.

=== Last moves ===
When                                       From   To   Because
2026-11-21 11:23:41 UTC (30 min ago)       r1     r1   its content changed, for example its tags; it stayed in its place
2026-11-21 10:23:41 UTC (1 h 30 min ago)   r2     r1   its runner stopped reporting
2026-11-21 06:53:41 UTC (5 h ago)          -      r2   it was new

=== What would move it next ===
1. the loss of r1
2. r1 getting 2 % busier
";
    assert_eq!(render(&check(), NOW), expected);
}

#[test]
fn what_holds_it_is_said_with_the_way_out() {
    let held = CheckExplanation {
        held: Some(Held::Pinned),
        pinned_to: Some("r1".into()),
        need: None,
        counted: 0.05,
        history: Vec::new(),
        since_unix_nanos: None,
        next: Vec::new(),
        ..check()
    };
    let text = render(&held, NOW);
    for part in [
        "\nRuns on:        r1\n",
        "it came before the journal begins",
        "\nPinned to:      r1\n",
        "\nStays because:  it is pinned (end that with: muster cluster clusterchecks unpin)\n",
        "not known yet; counted with 0.050 workers, which is 5.0 % of one",
        "None, as far as the journal",
        "Nothing that is known now, but the loss of its node.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_check_without_a_node_says_why() {
    let quarantine = Quarantine { since_unix_nanos: NOW, until_unix_nanos: NOW + 3600 * SECOND, killed: vec!["r1".into(), "r2".into()] };
    let kept = CheckExplanation { node: None, dangling: Some(DanglingReason::Quarantined), quarantine: Some(quarantine), ..check() };
    let text = render(&kept, NOW);
    assert!(text.contains("Runs on:        no node: it is in quarantine, because its runners died in a row\n"), "{text}");
    assert!(
        text.contains("it ran on r1, r2 when they died; ends 2026-11-21 12:53:41 UTC (in 1 h)\n") && !text.contains("Why there"),
        "{text}"
    );
    let transfer = Transfer { from: "r1".into(), to: Some("r2".into()), waits_for: Confirmation::Stopped, stamp: Stamp::default() };
    let moving = CheckExplanation { node: None, transfer: Some(transfer), ..check() };
    let text = render(&moving, NOW);
    assert!(text.contains("no node: it is on its way\n") && text.contains("from r1 to r2: waits until r1 confirms"), "{text}");
}

#[test]
fn a_name_that_nothing_has_leads_to_the_list() {
    assert!(
        unknown("x").message.starts_with("neither a check nor a node is called \"x\"; both are listed by: muster cluster clusterchecks")
    );
}

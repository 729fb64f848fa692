use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::assignment::{NodeRow, Placement, Row};
use crate::domain::constraints::{ConstraintChange, Constraints, Quarantine};
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::ConfigKey;
use crate::domain::ledger::Ledger;
use crate::domain::world::{DanglingReason, Presence};
use crate::testing::configs::config;

fn delta(seq: u64) -> TableDelta {
    TableDelta {
        epoch: Epoch(1),
        seq: Seq(seq),
        highest_stamp: Stamp(seq as i64 * 10),
        rows_put: vec![Row { config: config(seq), placement: Placement::Owned("a".into()) }],
        nodes_put: vec![("a".into(), NodeRow { stamp: Stamp(seq as i64 * 10), ..NodeRow::default() })],
        endpoints_put: vec![("k1".into(), config(1000 + seq))],
        ..TableDelta::default()
    }
}

fn file(deltas: &[TableDelta]) -> Vec<u8> {
    let mut bytes = header().to_vec();
    for delta in deltas {
        bytes.extend(frame(delta).unwrap());
    }
    bytes
}

#[test]
fn what_was_written_is_read() {
    let deltas = [delta(1), delta(2), delta(3)];
    let bytes = file(&deltas);
    let contents = read(&bytes).unwrap();
    assert_eq!(contents.deltas, deltas);
    assert_eq!((contents.good_bytes, contents.ending), (bytes.len(), Ending::Clean));
}

#[test]
fn a_file_cut_off_anywhere_holds_the_deltas_before_the_cut() {
    let deltas = [delta(1), delta(2), delta(3)];
    let bytes = file(&deltas);
    let ends: Vec<usize> = (0..=3).map(|count| file(&deltas[..count]).len()).collect();
    for length in 0..=bytes.len() {
        let contents = read(&bytes[..length]).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
        assert_eq!(contents.deltas, deltas[..whole], "cut at {length}");
        let at_an_end = length == 0 || ends.contains(&length);
        assert_eq!(contents.ending == Ending::Clean, at_an_end, "cut at {length}");
        assert!(!matches!(contents.ending, Ending::Damaged { .. }), "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_never_read() {
    let deltas = [delta(1), delta(2)];
    let bytes = file(&deltas);
    for position in 0..bytes.len() {
        for bit in [0, 7] {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            let Ok(contents) = read(&flipped) else {
                assert!(position < HEADER_BYTES);
                continue;
            };
            assert!(matches!(contents.ending, Ending::Damaged { .. }), "byte {position}");
            assert!(deltas.starts_with(&contents.deltas), "byte {position}");
            assert!(contents.deltas.len() < deltas.len(), "byte {position}");
        }
    }
}

#[test]
fn zeros_at_the_end_are_an_unfinished_write() {
    let mut bytes = file(&[delta(1)]);
    bytes.extend([0; 64]);
    assert_eq!(read(&bytes).unwrap().ending, Ending::Torn { bytes: 64 });
}

#[test]
fn a_newer_format_is_refused_with_the_mend() {
    let mut bytes = file(&[delta(1)]);
    bytes[8] = 4;
    let error = read(&bytes).unwrap_err();
    assert_eq!(error, HeaderError::FromTheFuture { found: 4 });
    assert!(error.to_string().contains("start the newer program"));
}

#[test]
fn an_older_format_is_refused_by_its_number() {
    let mut bytes = file(&[delta(1)]);
    bytes[8] = 2;
    assert_eq!(read(&bytes).unwrap_err(), HeaderError::FromThePast { found: 2 });
}

#[test]
fn another_file_is_refused() {
    assert_eq!(read(b"hello").unwrap_err(), HeaderError::NotOurs);
    assert_eq!(read(b"hello, this is no table at all").unwrap_err(), HeaderError::NotOurs);
}

#[test]
fn a_log_that_was_not_emptied_after_its_snapshot_changes_nothing() {
    let deltas = [delta(1), delta(2), delta(3)];
    let whole = replay(Some(&[]), &deltas);
    let snapshot = [whole.to_delta()];
    assert_eq!(replay(Some(&snapshot), &deltas), whole);
    assert_eq!(replay(Some(&snapshot), &deltas[1..]), whole);
}

#[test]
fn a_log_without_its_snapshot_yields_no_configs_but_keeps_stamps_going_up() {
    let table = replay(None, &[delta(8), delta(9)]);
    assert!(table.is_empty());
    assert_eq!((table.highest_stamp(), table.seq()), (Stamp(90), Seq(9)));
    assert!(table.config(ConfigKey(8)).is_none());
}

#[test]
fn a_node_on_its_way_out_is_one_after_it_was_read() {
    let mut leaving = delta(1);
    leaving.nodes_put[0].1.presence = Presence::Draining;
    let contents = read(&file(std::slice::from_ref(&leaving))).unwrap();
    assert_eq!(contents.deltas, [leaving]);
}

/// A table with everything that balancing adds: an isolation, a pin, a quarantine, a spent move and a config on its way.
fn balanced() -> TableDelta {
    let quarantine = Quarantine { since_unix_nanos: 5, until_unix_nanos: 9, killed: vec!["x".into(), "y".into()] };
    let mut constraints = Constraints::default();
    constraints.apply(&ConstraintChange::Isolate { node: "a".into(), key: ConfigKey(1) });
    constraints.apply(&ConstraintChange::Pin { key: ConfigKey(2), node: "b".into() });
    constraints.apply(&ConstraintChange::Quarantine { key: ConfigKey(3), quarantine });
    let mut ledger = Ledger::default();
    ledger.record([ConfigKey(2)], 7, Duration::from_secs(1200));
    let transfer = Transfer { from: "a".into(), to: Some("b".into()), waits_for: Confirmation::Stopped, stamp: Stamp(10) };
    let mut delta = delta(1);
    delta.nodes_put.push(("b".into(), NodeRow::default()));
    delta.rows_put.push(Row { config: config(2), placement: Placement::Moving(transfer) });
    delta.rows_put.push(Row { config: config(3), placement: Placement::Dangling(DanglingReason::Quarantined) });
    TableDelta { constraints_put: Some(Arc::new(constraints)), ledger_put: Some(Arc::new(ledger)), ..delta }
}

#[test]
fn demands_spent_moves_and_transfers_are_as_before_after_they_were_read() {
    let table = replay(Some(&[]), &[balanced()]);
    assert_eq!(read_whole(&whole(&table).unwrap()), Some(table.clone()), "as a snapshot");
    let contents = read(&file(&[balanced(), delta(4)])).unwrap();
    let mut longer = table.clone();
    assert!(longer.apply(&delta(4)));
    assert_eq!(replay(Some(&[]), &contents.deltas), longer, "as a log");
    assert_eq!(longer.constraints(), table.constraints(), "a change that says nothing about demands keeps them");
    assert_eq!((longer.ledger(), longer.moving()), (table.ledger(), table.moving()));
}

#[test]
fn taken_back_demands_are_gone_after_they_were_read() {
    let nothing = TableDelta { constraints_put: Some(Arc::default()), ..delta(2) };
    let contents = read(&file(&[balanced(), nothing])).unwrap();
    assert!(replay(Some(&[]), &contents.deltas).constraints().is_empty());
}

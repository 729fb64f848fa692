use proptest::prelude::*;

use super::*;
use crate::balance::least_count::place_batch;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::journal::Cause;
use crate::domain::node::NodeFacts;
use crate::domain::turn::Turn;
use crate::domain::world::DanglingReason;
use crate::testing::configs::config;

fn change(table: &mut AssignmentTable, epoch: u64, number: u8) -> Option<Arc<TableDelta>> {
    let mut turn = Turn::begin(table);
    let node = NodeName::from(format!("n{}", number % 3));
    match number % 5 {
        0 => drop(turn.put_node(&node, NodeFacts::default())),
        1 => drop(turn.remove_config(ConfigKey(u128::from(number / 5)))),
        2 => drop(turn.remove_node(&node, Cause::NodeExpired)),
        3 => drop(turn.put_endpoint("k1".into(), config(100 + u64::from(number)))),
        _ => drop(turn.put_config(config(u64::from(number / 5)), DanglingReason::NoNode)),
    }
    let dangling: Vec<_> = turn.table().dangling().iter().copied().collect();
    for (key, placement) in place_batch(turn.table(), dangling) {
        turn.place(key, placement, Cause::NodeJoined);
    }
    turn.finish(Epoch(epoch), 1).map(|committed| Arc::new(committed.delta))
}

/// What a leader answers, through the bytes on the wire.
fn ship(table: &AssignmentTable, history: &History, epoch: u64, asker: Option<&Mirror>) -> Shipment {
    let news = asker.and_then(|mirror| history.since(Position::of(&mirror.table)));
    let content = news.map_or_else(|| Content::Table(Arc::new(table.to_delta())), Content::Deltas);
    let shipment = Shipment { epoch: Epoch(epoch), discovery_synced: true, content };
    let read = decode(&encode(&shipment).unwrap()).unwrap();
    assert_eq!(read, shipment);
    read
}

proptest! {
    #[test]
    fn a_follower_that_took_in_what_it_was_told_has_the_table_of_the_leader(
        steps in prop::collection::vec((any::<u8>(), 0..4_u8), 1..60)
    ) {
        let mut epoch = 1;
        let mut table = AssignmentTable::default();
        let mut history = History::new(Position::of(&table));
        let mut mirrors: [Option<Mirror>; 2] = [None, None];
        for (number, act) in steps {
            match act {
                // A follower asks.
                0 | 1 => {
                    let mirror = &mut mirrors[usize::from(act)];
                    let shipment = ship(&table, &history, epoch, mirror.as_ref());
                    let taken = take_in(mirror, shipment, Epoch(epoch));
                    prop_assert_ne!(taken, Taken::OutOfStep);
                    prop_assert_eq!(&mirror.as_ref().unwrap().table, &table);
                }
                // A follower is promoted; what only the leader before knew is lost.
                2 if number % 8 == 0 => {
                    if let Some(mirror) = &mirrors[0] {
                        epoch += 1;
                        table = mirror.table.clone();
                        history = History::new(Position::of(&table));
                    }
                }
                _ => if let Some(delta) = change(&mut table, epoch, number) {
                    history.push(delta);
                }
            }
        }
    }

    #[test]
    fn damaged_bytes_are_never_taken_for_a_shipment(at in 0..200_usize, bit in 0..8_u32) {
        let mut table = AssignmentTable::default();
        for number in [0, 4, 9, 3] {
            change(&mut table, 1, number);
        }
        let shipment = Shipment { epoch: Epoch(7), discovery_synced: false, content: Content::Table(Arc::new(table.to_delta())) };
        let mut bytes = encode(&shipment).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // Epoch and flags carry no checksum; TLS protects them on the way.
        if let Ok(read) = decode(&bytes) {
            prop_assert!((12..HEAD_BYTES).contains(&at), "byte {at}");
            let other_table = matches!(&read.content, Content::Table(whole) if **whole != table.to_delta());
            prop_assert!(!other_table);
        }
        prop_assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn unsettled(seqs: &[u64]) -> Unsettled {
    let mut unsettled = Unsettled::default();
    for seq in seqs {
        unsettled.push(Seq(*seq), seconds(100));
    }
    unsettled
}

#[test]
fn a_change_is_known_when_every_follower_in_contact_has_it() {
    let (mut unsettled, mut followers) = (unsettled(&[5, 6]), Followers::default());
    followers.asked("a", seconds(100), Some(Seq(6)));
    followers.asked("b", seconds(100), Some(Seq(4)));
    assert_eq!(unsettled.settle(seconds(100), &followers, false), None);
    followers.asked("b", seconds(100), Some(Seq(5)));
    assert_eq!(unsettled.settle(seconds(100), &followers, false), Some(Settled { seq: Seq(5), known: true, changes: 1 }));
    assert_eq!(unsettled.settle(seconds(100), &followers, false), None);
}

#[test]
fn after_200_ms_one_follower_is_enough_and_none_is_said_so() {
    let (mut some, mut none, mut followers) = (unsettled(&[5, 6, 7]), unsettled(&[5, 6]), Followers::default());
    let late = seconds(100) + SHOW_AFTER;
    followers.asked("a", seconds(100), Some(Seq(6)));
    followers.asked("b", seconds(100), Some(Seq(4)));
    assert_eq!(some.settle(late.saturating_sub(Duration::from_millis(1)), &followers, false), None);
    assert_eq!(some.settle(late, &followers, false), Some(Settled { seq: Seq(6), known: true, changes: 2 }));
    assert_eq!(some.settle(late, &followers, false), Some(Settled { seq: Seq(7), known: false, changes: 1 }));
    assert!(some.is_empty());
    assert_eq!(none.settle(seconds(100), &Followers::default(), true), None, "they may be on their way");
    assert_eq!(none.settle(late, &Followers::default(), true), Some(Settled { seq: Seq(6), known: false, changes: 2 }));
}

#[test]
fn nobody_waits_for_followers_that_are_gone_or_need_the_whole_table() {
    let (mut unsettled, mut followers) = (unsettled(&[5]), Followers::default());
    followers.asked("gone", seconds(100).saturating_sub(FOLLOWER_TIME), Some(Seq(1)));
    followers.asked("new", seconds(100), None);
    assert_eq!(followers.in_step(seconds(100)), 0);
    assert_eq!(unsettled.settle(seconds(100), &followers, false), Some(Settled { seq: Seq(5), known: true, changes: 1 }));
}

#[test]
fn names_without_end_do_not_fill_the_memory() {
    let mut followers = Followers::default();
    for number in 0..1_000 {
        followers.asked(&format!("f{number}"), Duration::from_millis(number), Some(Seq(1)));
    }
    assert_eq!(followers.in_step(seconds(1)), MOST_FOLLOWERS);
}

#[test]
fn a_history_forgets_the_oldest_changes_and_knows_it() {
    let mut history = History::new(Position { epoch: Epoch(1), seq: Seq(0) });
    let large = DispatchedConfig {
        traits: crate::domain::check_traits::CheckTraits::default(),
        config: crate::domain::config::CheckConfig {
            instances: vec![crate::domain::config::Data::new(vec![b'x'; HISTORY_BYTES / 4])],
            ..Default::default()
        },
        ..(*config(1)).clone()
    };
    let large = Arc::new(large);
    for seq in 1..=6 {
        let delta =
            TableDelta { epoch: Epoch(1), seq: Seq(seq), endpoints_put: vec![("k".into(), Arc::clone(&large))], ..TableDelta::default() };
        history.push(Arc::new(delta));
    }
    let since = |seq| history.since(Position { epoch: Epoch(1), seq: Seq(seq) }).map(|deltas| deltas.len());
    assert_eq!((since(0), since(2)), (None, None));
    assert_eq!((since(3), since(5), since(6)), (Some(3), Some(1), Some(0)));
    assert_eq!(history.since(Position { epoch: Epoch(2), seq: Seq(5) }), None, "decided by somebody else");
}

#[test]
fn changes_with_a_gap_are_not_taken_in() {
    let mut table = AssignmentTable::default();
    let deltas: Vec<_> = [0, 4, 9].iter().filter_map(|number| change(&mut table, 1, *number)).collect();
    let mut mirror = Some(Mirror::default());
    let shipment =
        |deltas: &[Arc<TableDelta>]| Shipment { epoch: Epoch(1), discovery_synced: false, content: Content::Deltas(deltas.to_vec()) };
    assert_eq!(take_in(&mut mirror, shipment(&deltas[1..]), Epoch(1)), Taken::OutOfStep);
    assert_eq!(mirror, None);
}

#[test]
fn a_leader_of_an_earlier_term_is_not_listened_to() {
    let mut mirror = None;
    let whole = Arc::new(TableDelta { epoch: Epoch(1), seq: Seq(1), ..TableDelta::default() });
    let shipment = Shipment { epoch: Epoch(1), discovery_synced: true, content: Content::Table(whole) };
    assert_eq!(take_in(&mut mirror, shipment.clone(), Epoch(2)), Taken::NotLeader);
    assert_eq!(mirror, None);
    assert_eq!(take_in(&mut mirror, shipment, Epoch(1)), Taken::InStep { changed: true });
    let mirror = mirror.unwrap();
    assert!(mirror.is_of_the_term_before(Epoch(2)) && !mirror.is_of_the_term_before(Epoch(3)));
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode(&Shipment { epoch: Epoch(1), discovery_synced: false, content: Content::NoTable }).unwrap();
    assert_eq!(decode(&bytes).unwrap().content, Content::NoTable);
    bytes[8] = 9;
    let error = decode(&bytes).unwrap_err();
    assert_eq!(error, ShipmentError::Version { found: 9 });
    assert!(error.to_string().contains("version 9") && error.to_string().contains("same version everywhere"));
    let mut bytes = encode(&Shipment { epoch: Epoch(1), discovery_synced: false, content: Content::NoTable }).unwrap();
    bytes[HEAD_BYTES + 8] = 200;
    assert_eq!(decode(&bytes), Err(ShipmentError::Version { found: 200 }));
    assert_eq!(decode(b"<html>"), Err(ShipmentError::NotOurs));
}

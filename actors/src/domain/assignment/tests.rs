use proptest::prelude::*;

use super::*;
use crate::balance::least_count::place_batch;
use crate::domain::exposure::Exposure;
use crate::domain::handover::Handover;
use crate::domain::invariants::{Permitted, check_grants, check_planned, check_served, check_table, check_turn};
use crate::domain::journal::Cause;
use crate::domain::node::CheckCompatibility;
use crate::domain::turn::Turn;
use crate::domain::world::{ServedTable, Standing};
use crate::testing::configs::named_config;

const HANDOVERS: [Handover; 4] = [Handover::Any, Handover::Gap, Handover::Overlap, Handover::AtMostOnce];

const CHECKS: [&str; 3] = ["http_check", "postgres", "cpu"];

/// Something that happens to a dispatcher.
#[derive(Debug, Clone)]
enum Event {
    Discovered {
        number: u64,
        variant: u8,
    },
    Lost {
        number: u64,
    },
    Endpoint {
        number: u64,
        node: u8,
    },
    NodeSeen {
        node: u8,
        declares: bool,
    },
    NodeLost {
        node: u8,
    },
    NodeLeaves {
        node: u8,
        leaves: bool,
    },
    /// A node confirms its version or, if it is gone, its grant is over.
    Confirmed {
        node: u8,
    },
    ClockStep {
        nanos: i64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u64, 0..2_u8).prop_map(|(number, variant)| Event::Discovered { number, variant }),
        2 => (0..16_u64).prop_map(|number| Event::Lost { number }),
        1 => (12..16_u64, 0..3_u8).prop_map(|(number, node)| Event::Endpoint { number, node }),
        4 => (0..5_u8, any::<bool>()).prop_map(|(node, declares)| Event::NodeSeen { node, declares }),
        2 => (0..5_u8).prop_map(|node| Event::NodeLost { node }),
        2 => (0..5_u8, any::<bool>()).prop_map(|(node, leaves)| Event::NodeLeaves { node, leaves }),
        2 => (0..5_u8).prop_map(|node| Event::Confirmed { node }),
        1 => (-1_000..1_000_i64).prop_map(|nanos| Event::ClockStep { nanos }),
    ]
}

fn node_name(node: u8) -> NodeName {
    NodeName::from(format!("n{node}"))
}

fn facts(declares: bool) -> NodeFacts {
    let include = if declares { BTreeSet::from(["postgres".to_owned()]) } else { BTreeSet::new() };
    NodeFacts { compatibility: CheckCompatibility { include, exclude: BTreeSet::new() }, ..NodeFacts::default() }
}

/// Keys of the configs that wait for this node.
fn waits_for(table: &AssignmentTable, node: &NodeName) -> Vec<ConfigKey> {
    let moving = table.moving().iter().filter(|key| {
        table.rows()[*key].placement.transfer().is_some_and(|transfer| match transfer.waits_for {
            Confirmation::Stopped => transfer.from == *node,
            Confirmation::Started => transfer.to.as_ref() == Some(node),
        })
    });
    moving.copied().collect()
}

fn shown(exposure: &Exposure) -> ServedTable {
    let (nodes, moving) = (exposure.nodes().clone(), exposure.moving().cloned().collect());
    ServedTable { standing: Standing::Active, nodes, moving, ..ServedTable::default() }
}

/// What the dispatcher does with an event, without actor. Returns the keys that may go.
fn happen(turn: &mut Turn<'_>, event: &Event) -> Permitted {
    let mut permitted = Permitted::default();
    match event {
        Event::Discovered { number, variant } => {
            let mut config = (*named_config(*number, CHECKS[*number as usize % CHECKS.len()])).clone();
            config.config.source = format!("v{variant}");
            config.traits.handover = HANDOVERS[*number as usize % HANDOVERS.len()];
            turn.put_config(Arc::new(config), DanglingReason::NoNode);
        }
        Event::Lost { number } => {
            permitted.removed.insert(ConfigKey(u128::from(*number)));
            turn.remove_config(ConfigKey(u128::from(*number)));
        }
        Event::Endpoint { number, node } => {
            turn.put_endpoint(KubernetesNodeName::from(format!("k{node}")), named_config(*number, "redisdb"));
        }
        Event::NodeSeen { node, declares } => {
            let name = node_name(*node);
            turn.put_node(&name, facts(*declares));
            turn.take_refused(&name);
        }
        Event::NodeLost { node } => {
            turn.remove_node(&node_name(*node), Cause::NodeExpired);
        }
        Event::NodeLeaves { node, leaves } => {
            turn.set_presence(&node_name(*node), if *leaves { Presence::Draining } else { Presence::Staying });
        }
        Event::Confirmed { node } => {
            for key in waits_for(turn.table(), &node_name(*node)) {
                turn.release(key, Cause::HandedOver);
            }
        }
        Event::ClockStep { .. } => {}
    }
    turn.drain();
    let dangling: Vec<_> = turn.table().dangling().iter().copied().collect();
    for (key, placement) in place_batch(turn.table(), dangling) {
        turn.place(key, placement, Cause::NodeJoined);
    }
    permitted
}

proptest! {
    #[test]
    fn invariants_hold_after_every_event_and_a_replay_yields_the_same_table(events in prop::collection::vec(event(), 1..60)) {
        let mut table = AssignmentTable::default();
        let mut follower = AssignmentTable::default();
        let mut exposure = Exposure::default();
        let mut now = 1_000_000_i64;
        for event in &events {
            now += 10;
            if let Event::ClockStep { nanos } = event {
                now += nanos;
            }
            let mut turn = Turn::begin(&mut table);
            let permitted = happen(&mut turn, event);
            let Some(committed) = turn.finish(Epoch(1), now) else { continue };
            prop_assert_eq!(check_table(&table), vec![]);
            prop_assert_eq!(check_turn(&table, &committed, &permitted), vec![]);
            prop_assert_eq!(check_planned(&table), vec![]);
            prop_assert_eq!(check_grants(&table), vec![]);
            exposure.decide(&table, &committed.delta);
            exposure.saved(table.seq());
            prop_assert_eq!(check_served(&shown(&exposure)), vec![]);
            prop_assert!(follower.apply(&committed.delta));
            prop_assert!(!follower.apply(&committed.delta), "a delta is taken once");
            prop_assert_eq!(&follower, &table);
        }
        let mut copy = AssignmentTable::default();
        copy.apply(&table.to_delta());
        prop_assert_eq!(&copy, &table);
        prop_assert_eq!(check_served(&shown(&Exposure::of(&copy))), vec![]);
    }

    #[test]
    fn planning_twice_moves_nothing(events in prop::collection::vec(event(), 1..40)) {
        let mut table = AssignmentTable::default();
        for event in &events {
            let mut turn = Turn::begin(&mut table);
            happen(&mut turn, event);
            let _ = turn.finish(Epoch(1), 1);
        }
        let dangling: Vec<_> = table.dangling().iter().copied().collect();
        prop_assert_eq!(place_batch(&table, dangling), vec![]);
        let repeatable = events.iter().rfind(|event| matches!(event, Event::Discovered { .. } | Event::NodeSeen { .. }));
        if let Some(event) = repeatable {
            let mut turn = Turn::begin(&mut table);
            happen(&mut turn, event);
            let _ = turn.finish(Epoch(1), 1);
            let mut turn = Turn::begin(&mut table);
            happen(&mut turn, event);
            prop_assert!(turn.finish(Epoch(1), 1).is_none());
        }
    }
}

#[test]
fn a_delta_of_an_older_epoch_is_ignored() {
    let mut table = AssignmentTable::default();
    let delta = |epoch, seq| TableDelta {
        epoch: Epoch(epoch),
        seq: Seq(seq),
        nodes_put: vec![("a".into(), NodeRow::default())],
        ..TableDelta::default()
    };
    assert!(table.apply(&delta(2, 5)));
    assert!(!table.apply(&delta(1, 9)));
    assert!(table.apply(&delta(3, 1)), "a new epoch begins its own numbers");
}

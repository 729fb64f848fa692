//! What agents are shown: the decided state, but only as far as it is saved, which is on disk or, with several replicas, on another one.
//!
//! A decision waits here until its delta is saved. So whatever an agent was shown survives a kill at any moment.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use crate::domain::assignment::{AssignmentTable, Row, TableDelta};
use crate::domain::config::DispatchedConfig;
use crate::domain::ids::{ConfigKey, KubernetesNodeName, NodeName, Seq, Stamp};
use crate::domain::world::{Moving, NodeEntry, NodeView};

#[derive(Debug)]
struct Waiting {
    seq: Seq,
    nodes: Vec<(NodeName, Option<NodeEntry>)>,
    endpoints: Vec<(KubernetesNodeName, Option<Arc<NodeView>>)>,
    moving: Vec<(ConfigKey, Option<Moving>)>,
}

/// The exposed sets, and the decided ones that are not saved yet.
#[derive(Debug, Default)]
pub struct Exposure {
    nodes: HashMap<NodeName, NodeEntry>,
    endpoints: HashMap<KubernetesNodeName, Arc<NodeView>>,
    moving: BTreeMap<ConfigKey, Moving>,
    waiting: VecDeque<Waiting>,
    shown: Seq,
}

impl Exposure {
    /// Shows a whole table that is saved already.
    #[must_use]
    pub fn of(table: &AssignmentTable) -> Self {
        Self {
            nodes: table.nodes().keys().filter_map(|name| Some((name.clone(), entry(table, name, None)?))).collect(),
            endpoints: table.endpoints().keys().filter_map(|node| Some((node.clone(), endpoint_view(table, node)?))).collect(),
            moving: table.moving().iter().filter_map(|key| Some((*key, moving(table.rows().get(key)?)?))).collect(),
            waiting: VecDeque::new(),
            shown: table.seq(),
        }
    }

    /// Takes a decision in; `table` is the table right after it. Agents see it after [`Self::saved`].
    ///
    /// So a node that registers is not shown before its first set is: an agent that comes back and is given an empty set meanwhile
    /// would stop all its checks (cluster-checks 9.3).
    pub fn decide(&mut self, table: &AssignmentTable, delta: &TableDelta) {
        let mut waiting = Waiting { seq: delta.seq, nodes: Vec::new(), endpoints: Vec::new(), moving: Vec::new() };
        for (name, _) in &delta.nodes_put {
            let newest = self.newest_view(name);
            waiting.nodes.push((name.clone(), entry(table, name, newest)));
        }
        waiting.nodes.extend(delta.nodes_removed.iter().map(|name| (name.clone(), None)));
        for node in delta.endpoints_put.iter().map(|(node, _)| node).chain(delta.endpoints_removed.iter().map(|(node, _)| node)) {
            if waiting.endpoints.last().is_none_or(|(last, _)| last != node) {
                waiting.endpoints.push((node.clone(), endpoint_view(table, node)));
            }
        }
        waiting.moving.extend(delta.rows_removed.iter().map(|key| (*key, None)));
        waiting.moving.extend(delta.rows_put.iter().map(|row| (row.config.key, moving(row))));
        self.waiting.push_back(waiting);
    }

    /// Everything up to `seq` is saved (or cannot be for now, and being available is worth more): shows it.
    ///
    /// Returns whether anything changed for agents.
    pub fn saved(&mut self, seq: Seq) -> bool {
        let mut changed = false;
        while self.waiting.front().is_some_and(|waiting| waiting.seq <= seq) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            for (name, entry) in waiting.nodes {
                match entry {
                    Some(entry) => drop(self.nodes.insert(name, entry)),
                    None => drop(self.nodes.remove(&name)),
                }
            }
            for (node, view) in waiting.endpoints {
                match view {
                    Some(view) => drop(self.endpoints.insert(node, view)),
                    None => drop(self.endpoints.remove(&node)),
                }
            }
            for (key, moving) in waiting.moving {
                match moving {
                    Some(moving) => drop(self.moving.insert(key, moving)),
                    None => drop(self.moving.remove(&key)),
                }
            }
            self.shown = waiting.seq;
            changed = true;
        }
        changed
    }

    /// The nodes as agents see them.
    #[must_use]
    pub fn nodes(&self) -> &HashMap<NodeName, NodeEntry> {
        &self.nodes
    }

    /// The endpoint checks as agents see them.
    #[must_use]
    pub fn endpoints(&self) -> &HashMap<KubernetesNodeName, Arc<NodeView>> {
        &self.endpoints
    }

    /// The configs on their way, as agents see it: who waits for it has it, and nobody else.
    pub fn moving(&self) -> impl Iterator<Item = &Moving> {
        self.moving.values()
    }

    /// The exposed stamp of a node; 0 for one that is not known.
    #[must_use]
    pub fn stamp(&self, node: &NodeName) -> Stamp {
        self.nodes.get(node).map_or(Stamp(0), |entry| entry.view.stamp)
    }

    /// The last change that agents see.
    #[must_use]
    pub fn shown(&self) -> Seq {
        self.shown
    }

    /// Number of decisions that are not saved yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The newest view of a node, shown or waiting.
    fn newest_view(&self, name: &NodeName) -> Option<Arc<NodeView>> {
        for waiting in self.waiting.iter().rev() {
            if let Some((_, entry)) = waiting.nodes.iter().find(|(node, _)| node == name) {
                return entry.as_ref().map(|entry| Arc::clone(&entry.view));
            }
        }
        self.nodes.get(name).map(|entry| Arc::clone(&entry.view))
    }
}

fn moving(row: &Row) -> Option<Moving> {
    Some(Moving { config: Arc::clone(&row.config), transfer: row.placement.transfer()?.clone() })
}

/// The entry of a node; keeps `newest` if it is of the same version, and with it the serialised answer.
fn entry(table: &AssignmentTable, name: &NodeName, newest: Option<Arc<NodeView>>) -> Option<NodeEntry> {
    let node = table.nodes().get(name)?;
    let view = newest.filter(|view| view.stamp == node.stamp).unwrap_or_else(|| Arc::new(view(node.stamp, table.configs_of(name))));
    Some(NodeEntry { facts: node.facts.clone(), presence: node.presence, view })
}

fn endpoint_view(table: &AssignmentTable, node: &KubernetesNodeName) -> Option<Arc<NodeView>> {
    // Endpoint answers always carry stamp 0 (cluster-checks 4.3).
    table.endpoints().get(node).map(|set| Arc::new(view(Stamp(0), set.values())))
}

fn view<'a>(stamp: Stamp, configs: impl Iterator<Item = &'a Arc<DispatchedConfig>>) -> NodeView {
    NodeView { stamp, configs: configs.map(Arc::clone).collect(), body: OnceLock::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::assignment::Placement;
    use crate::domain::ids::{ConfigKey, Epoch};
    use crate::domain::journal::Cause;
    use crate::domain::node::NodeFacts;
    use crate::domain::turn::Turn;
    use crate::domain::world::DanglingReason;
    use crate::testing::configs::config;

    fn turn(table: &mut AssignmentTable, exposure: &mut Exposure, act: impl FnOnce(&mut Turn<'_>)) -> Seq {
        let mut turn = Turn::begin(table);
        act(&mut turn);
        let committed = turn.finish(Epoch(1), 1_000).unwrap();
        exposure.decide(table, &committed.delta);
        committed.delta.seq
    }

    #[test]
    fn a_set_is_shown_only_after_it_was_saved() {
        let (mut table, mut exposure) = (AssignmentTable::default(), Exposure::default());
        let node = NodeName::from("a");
        let joined = turn(&mut table, &mut exposure, |turn| {
            turn.put_node(&node, NodeFacts::default());
        });
        assert_eq!(exposure.stamp(&node), Stamp(0));
        assert!(!exposure.nodes().contains_key(&node), "a new node is not known before it is saved");
        let placed = turn(&mut table, &mut exposure, |turn| {
            turn.put_config(config(1), DanglingReason::NoNode);
            turn.place(ConfigKey(1), Placement::Owned(node.clone()), Cause::Discovered);
        });
        exposure.saved(joined);
        assert_eq!((exposure.stamp(&node), exposure.waiting()), (Stamp(0), 1));
        assert!(exposure.saved(placed));
        assert_eq!(exposure.nodes()[&node].view.configs.len(), 1);
        assert_eq!(exposure.stamp(&node), table.nodes()[&node].stamp);
        assert!(!exposure.saved(placed));
    }

    #[test]
    fn a_new_address_keeps_the_view_and_its_serialised_answer() {
        let (mut table, mut exposure) = (AssignmentTable::default(), Exposure::default());
        let node = NodeName::from("a");
        let joined = turn(&mut table, &mut exposure, |turn| {
            turn.put_node(&node, NodeFacts::default());
        });
        exposure.saved(joined);
        let before = Arc::clone(&exposure.nodes()[&node].view);
        let moved = turn(&mut table, &mut exposure, |turn| {
            turn.put_node(&node, NodeFacts { address: "10.0.0.9".to_owned(), ..NodeFacts::default() });
        });
        exposure.saved(moved);
        assert_eq!(exposure.nodes()[&node].facts.address, "10.0.0.9");
        assert!(Arc::ptr_eq(&before, &exposure.nodes()[&node].view));
    }

    #[test]
    fn a_whole_table_shows_what_its_turns_would_have_shown() {
        let (mut table, mut exposure) = (AssignmentTable::default(), Exposure::default());
        let node = NodeName::from("a");
        let last = turn(&mut table, &mut exposure, |turn| {
            turn.put_node(&node, NodeFacts::default());
            turn.put_config(config(1), DanglingReason::NoNode);
            turn.place(ConfigKey(1), Placement::Owned(node.clone()), Cause::Discovered);
            turn.put_endpoint("k1".into(), config(2));
        });
        exposure.saved(last);
        let restored = Exposure::of(&table);
        assert_eq!(restored.stamp(&node), exposure.stamp(&node));
        assert_eq!(restored.nodes()[&node].view.configs, exposure.nodes()[&node].view.configs);
        assert_eq!(restored.endpoints()[&KubernetesNodeName::from("k1")].configs.len(), 1);
        assert_eq!(restored.shown(), exposure.shown());
    }
}

//! Bad traces: each breaks one rule, and the overseer names it.

use std::collections::HashMap;

use super::*;
use crate::domain::assignment::NodeRow;
use crate::domain::lease::Role;
use crate::domain::node::NodeFacts;
use crate::domain::world::{NodeEntry, NodeKind, NodeView, Presence};
use crate::kernel::published::Publisher;
use crate::kernel::universe::{self, Universe};
use crate::sim::auditor::running_set;
use crate::testing::configs::config;

struct Stage {
    overseer: Overseer,
    auditor: Auditor,
    trace: Trace,
    truth: Arc<dyn Clock>,
    published: BTreeMap<String, (Publisher<Leadership>, Publisher<ServedTable>)>,
}

impl Stage {
    /// Two replicas that do nothing.
    fn new(universe: &Universe) -> Self {
        let (truth, trace) = (universe.clock(), Trace::new(universe.clock()));
        let auditor = Auditor::new(trace.clone());
        let overseer = Overseer::new(Arc::clone(&truth), trace.clone(), auditor.clone());
        let mut stage = Self { overseer, auditor, trace, truth, published: BTreeMap::new() };
        stage.start("a");
        stage.start("b");
        stage
    }

    fn start(&mut self, name: &str) {
        let (leadership, served) = (Publisher::new(Leadership::default()), Publisher::new(ServedTable::default()));
        let watched = Watched { leadership: leadership.reader(), served: served.reader(), clock: Arc::clone(&self.truth) };
        self.overseer.begins(name, watched);
        self.published.insert(name.to_owned(), (leadership, served));
    }

    fn lead(&self, name: &str, epoch: u64) {
        self.role(name, epoch, Role::Leader);
    }

    fn role(&self, name: &str, epoch: u64, role: Role) {
        self.published[name].0.publish(Leadership { role, epoch: Epoch(epoch), ..Leadership::default() });
        self.overseer.step();
    }

    /// Shows a table with one node.
    fn show(&self, name: &str, epoch: u64, standing: Standing, stamp: Stamp) {
        let view = Arc::new(NodeView { stamp, ..NodeView::default() });
        let entry = NodeEntry { facts: NodeFacts { kind: NodeKind::Runner, ..NodeFacts::default() }, presence: Presence::Staying, view };
        let nodes = HashMap::from([(NodeName::from("n"), entry)]);
        self.published[name].1.publish(ServedTable { standing, epoch: Epoch(epoch), nodes, ..ServedTable::default() });
        self.overseer.step();
    }

    fn copy(&self, name: &str, stamp: Stamp) {
        self.overseer.has_copy(name, &delta(stamp));
    }

    fn now(&self) -> Stamp {
        Stamp(self.truth.unix_nanos())
    }

    fn violation(&self, part: &str) {
        let found = self.trace.violations();
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }
}

fn delta(stamp: Stamp) -> TableDelta {
    let row = NodeRow { stamp, facts: NodeFacts::default(), presence: Presence::Staying };
    TableDelta { nodes_put: vec![("n".into(), row)], ..TableDelta::default() }
}

fn on_stage(play: impl FnOnce(&mut Stage)) {
    universe::run(1, |universe| async move { play(&mut Stage::new(&universe)) });
}

#[test]
fn two_leaders_at_one_time() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.lead("b", 2);
        stage.violation("a leads in epoch 1 and b in epoch 2 at one time");
    });
}

#[test]
fn one_epoch_with_two_leaders_also_if_one_of_them_has_died() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.overseer.ends("a");
        stage.start("a");
        stage.lead("a", 1);
        stage.violation("epoch 1 has two leaders");
    });
}

#[test]
fn a_leader_of_an_epoch_that_is_over() {
    on_stage(|stage| {
        stage.lead("a", 5);
        stage.role("a", 5, Role::Unknown);
        stage.lead("b", 4);
        stage.violation("b leads in epoch 4 after epoch 5");
    });
}

#[test]
fn an_answer_of_a_replica_that_does_not_lead() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.overseer.answered("b");
        stage.violation("b answers 200 and does not lead");
    });
}

#[test]
fn an_answer_out_of_a_table_of_before() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.show("a", 1, Standing::WarmingUp, Stamp(0));
        stage.lead("a", 2);
        stage.overseer.answered("a");
        stage.violation("a answers 200 from a table of another epoch");
    });
}

#[test]
fn a_version_that_a_follower_in_contact_does_not_know() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.show("a", 1, Standing::WarmingUp, Stamp(0));
        let shipment = Shipment { epoch: Epoch(1), discovery_synced: true, content: Content::Deltas(Vec::new()) };
        stage.overseer.told("a", "b", stage.overseer.now(), &shipment);
        stage.show("a", 1, Standing::Active, stage.now());
        stage.violation("which its follower b does not know");
    });
}

#[test]
fn a_version_that_every_follower_knows_may_be_shown() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.show("a", 1, Standing::WarmingUp, Stamp(0));
        let shipment = Shipment { epoch: Epoch(1), discovery_synced: true, content: Content::Deltas(Vec::new()) };
        stage.overseer.told("a", "b", stage.overseer.now(), &shipment);
        stage.copy("b", stage.now());
        stage.show("a", 1, Standing::Active, stage.now());
        assert!(stage.trace.violations().is_empty());
    });
}

#[test]
fn a_cold_start_without_a_warm_up() {
    on_stage(|stage| {
        stage.lead("a", 1);
        stage.show("a", 1, Standing::Active, Stamp(0));
        stage.violation("a begins with nothing and does not warm up");
    });
}

#[test]
fn a_new_leader_that_sends_other_sets_than_it_has_a_copy_of() {
    on_stage(|stage| {
        stage.copy("b", Stamp(5));
        stage.lead("b", 2);
        stage.show("b", 2, Standing::Active, Stamp(7));
        stage.violation("b begins its term with another set of n");
    });
}

#[test]
fn a_version_that_goes_back_although_the_new_leader_knows_the_later_one() {
    on_stage(|stage| {
        stage.auditor.received(&"n".into(), Stamp(9), &running_set([&config(1).config]));
        stage.copy("b", Stamp(9));
        stage.lead("b", 2);
        stage.show("b", 2, Standing::Active, Stamp(9));
        stage.auditor.received(&"n".into(), Stamp(8), &running_set([]));
        stage.violation("n went back from 9 to 8");
    });
}

#[test]
fn a_version_that_nobody_could_know_may_be_lost() {
    on_stage(|stage| {
        stage.auditor.received(&"n".into(), Stamp(9), &running_set([&config(1).config]));
        stage.copy("b", Stamp(5));
        stage.lead("b", 2);
        stage.show("b", 2, Standing::Active, Stamp(5));
        stage.auditor.received(&"n".into(), Stamp(5), &running_set([]));
        assert!(stage.trace.violations().is_empty());
    });
}

#[test]
fn one_version_that_is_two_sets() {
    on_stage(|stage| {
        stage.auditor.received(&"n".into(), Stamp(9), &running_set([&config(1).config]));
        stage.auditor.received(&"n".into(), Stamp(9), &running_set([&config(2).config]));
        stage.violation("version 9 of n is two sets");
    });
}

#[test]
fn an_empty_set_while_the_files_have_checks_that_nobody_is_shown() {
    on_stage(|stage| {
        let set = running_set([&config(1).config]);
        stage.auditor.received(&"n".into(), Stamp(9), &set);
        stage.auditor.answered(&"n".into(), &ServedTable::default(), || set.clone());
        stage.violation("n is told to stop 1 of 1 checks that nobody else is shown");
    });
}

#[test]
fn a_leader_of_before_that_replaces_the_snapshot() {
    on_stage(|stage| {
        let table = AssignmentTable::default();
        stage.lead("a", 1);
        stage.role("a", 1, Role::Unknown);
        stage.lead("b", 2);
        stage.overseer.snapshot_saved("b", stage.overseer.term_of("b").unwrap(), &table);
        stage.overseer.snapshot_saved("a", stage.overseer.term_of("a").unwrap(), &table);
        stage.violation("a replaces the snapshot");
    });
}

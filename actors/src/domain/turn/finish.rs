//! The end of a turn: orders of handover, new stamps, the delta and the decisions.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::assignment::{Placement, Row, TableDelta};
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::{Epoch, NodeName, Seq, Stamp};
use crate::domain::journal::{Cause, Decision};
use crate::domain::stamp::{highest_in_new_term, next_stamp};
use crate::domain::transfer::{Change, Registration, settled};
use crate::domain::turn::{Committed, Turn};

impl Turn<'_> {
    /// Makes of every wanted placement the one that the demands of its config allow.
    fn settle(&mut self, stamp: Stamp) {
        let table = &*self.table;
        let mut settled_rows = Vec::new();
        for (key, before) in &self.rows_before {
            let Some(row) = table.rows().get(key) else { continue };
            let registration = |node: &NodeName| match table.nodes.get(node) {
                None => Registration::Gone,
                Some(node) if node.facts.may_run(&row.config.config.name) => Registration::Fit,
                Some(_) => Registration::Unfit,
            };
            let before = before.as_ref().map(|row| &row.placement);
            let (wanted, handover, released) = (&row.placement, row.config.traits.handover, self.released.contains(key));
            let placement = settled(&Change { before, wanted, handover, released, held: self.held, stamp }, registration);
            if placement != *wanted {
                settled_rows.push(Row { config: Arc::clone(&row.config), placement });
            }
        }
        for row in settled_rows {
            self.table.set_row(row.config.key, Some(row));
        }
    }

    /// Lets nodes that came back confirm a version of this life. Returns their names.
    ///
    /// Why: a node begins with version 0, by which nobody can tell that it has dropped what it ran before.
    fn ask_anew(&mut self, stamp: Stamp) -> BTreeSet<NodeName> {
        let came = |name: &NodeName| self.nodes_before.get(name).is_some_and(Option::is_none) && self.table.nodes.contains_key(name);
        let mut asked = BTreeSet::new();
        let mut rows = Vec::new();
        for row in self.table.moving().iter().filter_map(|key| self.table.rows().get(key)) {
            let Some(transfer) = row.placement.transfer().filter(|transfer| transfer.waits_for == Confirmation::Stopped) else { continue };
            if came(&transfer.from) {
                asked.insert(transfer.from.clone());
                let placement = Placement::Moving(Transfer { stamp, ..transfer.clone() });
                rows.push(Row { config: Arc::clone(&row.config), placement });
            }
        }
        for row in rows {
            self.change_row(row.config.key, Some(row), Cause::NodeJoined);
        }
        asked
    }

    /// Ends the turn: lets every change of owner take the order that its config demands, and gives a new stamp to every node whose set
    /// changed.
    ///
    /// Returns `None` if the table is as it was before the turn.
    #[must_use]
    pub fn finish(mut self, epoch: Epoch, now_unix_nanos: i64) -> Option<Committed> {
        let known = highest_in_new_term(self.table.highest_stamp, self.table.epoch, epoch);
        let stamp = next_stamp(known, now_unix_nanos);
        self.settle(stamp);
        let mut changed_sets = self.ask_anew(stamp);
        let Self { table, rows_before, mut nodes_before, endpoints_before, constraints_before, ledger_before, causes, released, .. } = self;
        let mut delta = TableDelta { epoch, seq: Seq(table.seq.0 + 1), ..TableDelta::default() };
        let mut decisions = Vec::new();

        for (key, before) in &rows_before {
            let after = table.rows().get(key);
            if before.as_ref() == after {
                continue;
            }
            let from = before.as_ref().and_then(|row| row.placement.owner());
            let to = after.and_then(|row| row.placement.owner());
            changed_sets.extend(changed_holders(before.as_ref(), after).cloned());
            match after {
                Some(row) => delta.rows_put.push(row.clone()),
                None => delta.rows_removed.push(*key),
            }
            if let Some(row) = after.or(before.as_ref()) {
                decisions.push(Decision {
                    at_unix_nanos: now_unix_nanos,
                    epoch,
                    seq: delta.seq,
                    key: *key,
                    digest: row.config.digest,
                    check_name: row.config.config.name.clone(),
                    from: from.cloned(),
                    to: to.cloned(),
                    cause: causes.get(key).copied().unwrap_or(Cause::Updated),
                });
            }
        }

        for name in changed_sets {
            if let Some(node) = table.nodes.get_mut(&name) {
                nodes_before.entry(name).or_insert_with(|| Some(node.clone()));
                node.stamp = stamp;
                table.highest_stamp = stamp;
            }
        }
        for (name, before) in &nodes_before {
            match table.nodes.get(name) {
                after if after == before.as_ref() => {}
                Some(node) => delta.nodes_put.push((name.clone(), node.clone())),
                None => delta.nodes_removed.push(name.clone()),
            }
        }

        for (key, before) in &endpoints_before {
            let after = table.endpoint(*key);
            let before = before.as_ref().map(|(node, config)| (node, config));
            if before == after {
                continue;
            }
            if let Some((node, _)) = before
                && after.map(|(node, _)| node) != Some(node)
            {
                delta.endpoints_removed.push((node.clone(), *key));
            }
            if let Some((node, config)) = after {
                delta.endpoints_put.push((node.clone(), Arc::clone(config)));
            }
        }

        if table.constraints != constraints_before {
            delta.constraints_put = Some(Arc::clone(&table.constraints));
        }
        if table.ledger != ledger_before {
            delta.ledger_put = Some(Arc::clone(&table.ledger));
        }

        if delta.is_empty() {
            return None;
        }
        table.highest_stamp = table.highest_stamp.max(known);
        delta.highest_stamp = table.highest_stamp;
        table.epoch = epoch;
        table.seq = delta.seq;
        Some(Committed { delta, decisions, rows_before, nodes_before, released })
    }
}

/// The nodes in whose sets a row is different now.
fn changed_holders<'a>(before: Option<&'a Row>, after: Option<&'a Row>) -> impl Iterator<Item = &'a NodeName> {
    let same_content = before.map(|row| &row.config) == after.map(|row| &row.config);
    let holds = |row: Option<&Row>, node: &NodeName| row.is_some_and(|row| row.placement.holders().any(|holder| holder == node));
    let all = before.into_iter().chain(after).flat_map(|row| row.placement.holders());
    all.filter(move |node| !(same_content && holds(before, node) && holds(after, node)))
}

//! How long somebody may still run what runs at most once, and what nodes have confirmed.
//!
//! A node that honours grants stops such checks when the time of a grant has passed since it last asked and was told that its set is
//! current. Of others nothing is known but that they were silent as long; they cannot be made to stop (cluster-checks 16.9).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::assignment::AssignmentTable;
use crate::domain::check_traits::handover;
use crate::domain::config::CheckConfig;
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::{ConfigKey, NodeName, Seq, Stamp};
use crate::domain::yaml;

/// Time that is waited beyond the end of a grant.
///
/// Why: a node looks once per second whether its grant has ended, and its clock may go slower than ours.
pub const GRANT_MARGIN: Duration = Duration::from_secs(2);

/// Looks at least a second apart that have to pass after agents see that a node is gone.
///
/// Why: a poll that was answered just before is on its way to `Membership`; a process that stands still in between goes on with the next
/// look, and only with the one after it everything that waited has been worked off.
const LOOKS_AFTER_SHOWN: u32 = 2;

#[derive(Clone, Copy, Debug)]
struct Gone {
    /// When its grant has ended. Monotonic.
    grant_ends_at: Duration,
    /// The change of the table that made it so.
    decided: Seq,
    /// Looks since agents see it.
    looks: u32,
}

/// What a leader knows about grants. Begins anew with each term.
#[derive(Clone, Debug, Default)]
pub struct GrantWatch {
    /// Monotonic.
    began_at: Duration,
    grant: Duration,
    confirmed: BTreeMap<NodeName, Stamp>,
    gone: BTreeMap<NodeName, Gone>,
    /// Transfers of configs that discovery lost before they ended: somebody may still run them.
    abandoned: BTreeMap<ConfigKey, Transfer>,
}

impl GrantWatch {
    /// A term that begins now; `grant` is the time for which nodes are granted their sets.
    #[must_use]
    pub fn beginning(now: Duration, grant: Duration) -> Self {
        Self { began_at: now, grant, ..Self::default() }
    }

    /// Whether nodes may run something by a grant that the leader before gave and this one does not know of.
    #[must_use]
    pub fn holds(&self, now: Duration) -> bool {
        now < self.began_at + self.grant + GRANT_MARGIN
    }

    /// A node told which version of its set it has.
    pub fn confirmed(&mut self, node: NodeName, stamp: Stamp) {
        self.confirmed.insert(node, stamp);
    }

    /// A node is gone since this change of the table; it was silent for this long.
    pub fn lost(&mut self, node: &NodeName, silent_for: Duration, now: Duration, decided: Seq) {
        let counted_from = now.saturating_sub(silent_for).max(self.began_at);
        let grant_ends_at = counted_from + self.grant + GRANT_MARGIN;
        self.confirmed.remove(node);
        self.gone.insert(node.clone(), Gone { grant_ends_at, decided, looks: 0 });
    }

    /// Discovery lost a config that runs at most once: remembers who may run it, in case it comes back before that node has stopped.
    pub fn abandoned(&mut self, key: ConfigKey, transfer: Transfer) {
        self.abandoned.insert(key, transfer);
    }

    /// The transfer that goes on with a config that came back, if somebody may still run it.
    #[must_use]
    pub fn resumed(&self, key: ConfigKey) -> Option<&Transfer> {
        self.abandoned.get(&key)
    }

    /// A look, once per second: `shown` is the last change of the table that agents see.
    pub fn look(&mut self, table: &AssignmentTable, shown: Seq, now: Duration) {
        self.gone.retain(|node, gone| {
            gone.looks += u32::from(shown >= gone.decided);
            !table.nodes().contains_key(node)
        });
        let mut abandoned = std::mem::take(&mut self.abandoned);
        abandoned.retain(|_, transfer| !self.has_stopped(table, transfer, Handover::AtMostOnce, now));
        self.abandoned = abandoned;
    }

    /// Keys of the configs whose transfer may end.
    #[must_use]
    pub fn ended(&self, table: &AssignmentTable, now: Duration) -> Vec<ConfigKey> {
        let moving = table.moving().iter().filter_map(|key| table.rows().get(key));
        let ended = moving.filter(|row| {
            row.placement.transfer().is_some_and(|transfer| match transfer.waits_for {
                Confirmation::Stopped => self.has_stopped(table, transfer, row.config.traits.handover, now),
                Confirmation::Started => transfer.to.as_ref().is_some_and(|to| self.has_confirmed(table, to, transfer.stamp)),
            })
        });
        ended.map(|row| row.config.key).collect()
    }

    fn has_stopped(&self, table: &AssignmentTable, transfer: &Transfer, handover: Handover, now: Duration) -> bool {
        let exclusive = handover == Handover::AtMostOnce;
        if exclusive && self.holds(now) {
            return false;
        }
        if table.nodes().contains_key(&transfer.from) {
            return self.has_confirmed(table, &transfer.from, transfer.stamp);
        }
        // Without an entry it was gone before this term began, and then its grant ended with the hold.
        let over = |gone: &Gone| gone.looks >= LOOKS_AFTER_SHOWN && now >= gone.grant_ends_at;
        !exclusive || self.gone.get(&transfer.from).is_none_or(over)
    }

    /// Whether a node has this version of its set or a later one. One beyond its present version is from a leader before, and says
    /// nothing about what this one decided.
    fn has_confirmed(&self, table: &AssignmentTable, node: &NodeName, stamp: Stamp) -> bool {
        let current = table.nodes().get(node).map(|node| node.stamp);
        self.confirmed.get(node).is_some_and(|confirmed| *confirmed >= stamp && Some(*confirmed) <= current)
    }
}

/// Whether the dispatcher gives a config to one node at a time. Source: `muster_handover` in its `init_config`.
#[must_use]
pub fn runs_at_most_once(config: &CheckConfig) -> bool {
    let init_config = config.init_config.as_ref().and_then(|data| yaml::parse(&data.text()).ok());
    init_config.is_some_and(|init_config| handover(&init_config) == Ok(Handover::AtMostOnce))
}

#[cfg(test)]
mod tests;

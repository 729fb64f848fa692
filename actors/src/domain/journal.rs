//! Records of decisions: what moved from where to where, when and why.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ConfigKey, Digest, Epoch, NodeName, Seq};

/// Decisions kept before the oldest goes.
pub const JOURNAL_CAPACITY: usize = 10_000;

/// Why a config changed its place or its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Discovery found it.
    Discovered,
    /// Its owner expired.
    NodeExpired,
    /// A node registered, or declared other checks, so that a dangling config found a place.
    NodeJoined,
    /// Its owner declared that it does not run this check any more.
    NotEligible,
    /// The warm-up ended.
    WarmedUp,
    /// Its content changed in place, for example by other global tags.
    Updated,
    /// Discovery lost it.
    Removed,
    /// Its owner is on its way out, for example because its pod is terminating.
    NodeDraining,
    /// The pod or the Kubernetes node of its owner is gone.
    NodeDeleted,
    /// It went with all of its owner's set to the pod that replaces its owner's pod.
    Succeeded,
    /// Balancing moved it.
    Rebalanced,
    /// It made room for an isolated check.
    Isolated,
    /// It went to the node it is pinned to.
    Pinned,
    /// Its owners died in a row, so it is kept off every node.
    Quarantined,
    /// Its quarantine ended.
    Released,
    /// The node that was waited for confirmed, or was lost.
    HandedOver,
    /// The lease was renewed after a pause in which nothing was decided.
    LeaseRenewed,
}

impl Cause {
    /// The name used in logs, metrics and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::NodeExpired => "node_expired",
            Self::NodeJoined => "node_joined",
            Self::NotEligible => "not_eligible",
            Self::WarmedUp => "warmed_up",
            Self::Updated => "updated",
            Self::Removed => "removed",
            Self::NodeDraining => "node_draining",
            Self::NodeDeleted => "node_deleted",
            Self::Succeeded => "succeeded",
            Self::Rebalanced => "rebalanced",
            Self::Isolated => "isolated",
            Self::Pinned => "pinned",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
            Self::HandedOver => "handed_over",
            Self::LeaseRenewed => "lease_renewed",
        }
    }
}

/// One decision about one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When. Units: nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// In which epoch.
    pub epoch: Epoch,
    /// By which change of the table.
    pub seq: Seq,
    /// Which config.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: String,
    /// Owner before; `None` = it was dangling or not known.
    pub from: Option<NodeName>,
    /// Owner after; `None` = it dangles or is gone.
    pub to: Option<NodeName>,
    /// Why.
    pub cause: Cause,
}

impl Decision {
    /// Whether a running check went from one node to another one.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.from.is_some() && self.to.is_some() && self.from != self.to
    }
}

/// The last decisions, oldest first.
#[derive(Clone, Debug)]
pub struct Journal {
    ring: VecDeque<Decision>,
    capacity: usize,
    forgotten: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self::with_capacity(JOURNAL_CAPACITY)
    }
}

impl Journal {
    /// An empty journal that keeps the last `capacity` decisions.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { ring: VecDeque::new(), capacity, forgotten: 0 }
    }

    /// Appends decisions; the oldest ones go when there are too many.
    pub fn record(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            if self.ring.len() >= self.capacity {
                self.ring.pop_front();
                self.forgotten += 1;
            }
            self.ring.push_back(decision);
        }
    }

    /// The decisions that pass the filter, newest first.
    pub fn newest_first<'a>(&'a self, filter: &'a JournalFilter) -> impl Iterator<Item = &'a Decision> {
        self.ring.iter().rev().filter(|decision| filter.passes(decision)).take(filter.limit.unwrap_or(usize::MAX))
    }

    /// Number of decisions kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing was decided yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Number of decisions that were dropped to make room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Which decisions are asked for; the default passes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Only decisions about this config.
    pub key: Option<ConfigKey>,
    /// Only decisions that took from or gave to this node.
    pub node: Option<NodeName>,
    /// Only changes of the table after this one.
    pub after: Option<Seq>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl JournalFilter {
    fn passes(&self, decision: &Decision) -> bool {
        self.key.is_none_or(|key| decision.key == key)
            && self.after.is_none_or(|seq| decision.seq > seq)
            && self.node.as_ref().is_none_or(|node| decision.from.as_ref() == Some(node) || decision.to.as_ref() == Some(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(seq: u64, from: Option<&str>, to: Option<&str>) -> Decision {
        Decision {
            at_unix_nanos: 0,
            epoch: Epoch(1),
            seq: Seq(seq),
            key: ConfigKey(u128::from(seq % 2)),
            digest: Digest(0),
            check_name: "http_check".to_owned(),
            from: from.map(NodeName::from),
            to: to.map(NodeName::from),
            cause: Cause::Discovered,
        }
    }

    #[test]
    fn the_oldest_decision_goes_first() {
        let mut journal = Journal::with_capacity(2);
        journal.record((1..=3).map(|seq| decision(seq, None, Some("a"))));
        let all = JournalFilter::default();
        let kept: Vec<_> = journal.newest_first(&all).map(|decision| decision.seq.0).collect();
        assert_eq!(kept, [3, 2]);
        assert_eq!(journal.forgotten(), 1);
    }

    #[test]
    fn filters_combine() {
        let mut journal = Journal::default();
        journal.record([decision(1, None, Some("a")), decision(2, Some("a"), Some("b")), decision(3, Some("b"), None)]);
        let seqs = |filter: JournalFilter| journal.newest_first(&filter).map(|decision| decision.seq.0).collect::<Vec<_>>();
        assert_eq!(seqs(JournalFilter { node: Some("a".into()), ..JournalFilter::default() }), [2, 1]);
        assert_eq!(seqs(JournalFilter { key: Some(ConfigKey(1)), ..JournalFilter::default() }), [3, 1]);
        assert_eq!(seqs(JournalFilter { after: Some(Seq(1)), limit: Some(1), ..JournalFilter::default() }), [3]);
    }

    #[test]
    fn only_a_change_of_owner_is_a_move() {
        assert!(decision(1, Some("a"), Some("b")).is_move());
        assert!(!decision(1, None, Some("b")).is_move());
        assert!(!decision(1, Some("a"), None).is_move());
        assert!(!decision(1, Some("a"), Some("a")).is_move());
    }
}

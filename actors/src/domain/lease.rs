//! Who may decide: the lease and its epochs.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Epoch;

/// Proof that this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// Number of this term of office; larger than that of every earlier grant.
    pub epoch: Epoch,
}

/// What the lease says about this replica.
///
/// "Nobody knows" is a value of its own and never means "I lead". Source: cluster-checks 8.3 and 16.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Not known (yet): nothing is decided and nothing answered.
    #[default]
    Unknown,
    /// This replica decides.
    Leader,
}

/// Whether something said in `offered` still counts after `current` was seen.
///
/// Source: style 4.9; older epochs are dropped and counted by the receiver.
#[must_use]
pub fn counts(current: Epoch, offered: Epoch) -> bool {
    offered >= current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_does_not_count() {
        assert!(!counts(Epoch(4), Epoch(3)));
        assert!(counts(Epoch(4), Epoch(4)));
        assert!(counts(Epoch(4), Epoch(5)));
    }

    #[test]
    fn a_replica_that_was_told_nothing_does_not_lead() {
        assert_eq!(Role::default(), Role::Unknown);
    }
}

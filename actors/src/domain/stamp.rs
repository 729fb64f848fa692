//! How stamps are given out and compared.

use crate::domain::ids::{Epoch, Stamp};

/// `last_change` of an extra heartbeat: the agent only says that it lives.
///
/// Source: cluster-checks 4.1.
pub const HEARTBEAT_ONLY: i64 = -1;

/// The stamp of a change made now: larger than every stamp given out before, and never 0 or -1.
///
/// Why: agents compare for equality only, so a stamp must never come back for another set, neither after a restart nor after a
/// step of the clock (cluster-checks 7).
#[must_use]
pub fn next_stamp(highest: Stamp, now_unix_nanos: i64) -> Stamp {
    Stamp(highest.0.saturating_add(1).max(now_unix_nanos).max(1))
}

/// Stamps that no leader gives out: those between the last that it knows and the first of its own, for each term since.
///
/// Far more than changes which a leader shows without a follower knowing them. About a millisecond of the clock.
const TERM_GAP: i64 = 1 << 20;

/// Terms that are counted at most, so that an absurd epoch does not use up all stamps.
const MOST_TERMS: u64 = 1 << 16;

/// The highest stamp that may have been given out, as far as a leader knows that begins to decide in `granted` with a table whose last
/// change was decided in `decided` and whose highest stamp is `known`.
///
/// Why: leaders in between may have shown changes that this table does not have. If the clock is behind, they counted on from the
/// same stamp, and two sets would have one.
#[must_use]
pub fn highest_in_new_term(known: Stamp, decided: Epoch, granted: Epoch) -> Stamp {
    if known.0 <= 0 {
        return known;
    }
    let terms = granted.0.saturating_sub(decided.0).min(MOST_TERMS) as i64;
    Stamp(known.0.saturating_add(terms * TERM_GAP))
}

/// Whether an agent that has version `last_change` may keep its set. Source: cluster-checks 7, `ProcessStatus` 4 and 5.
#[must_use]
pub fn is_up_to_date(last_change: i64, stamp: Stamp) -> bool {
    last_change == HEARTBEAT_ONLY || last_change == stamp.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_leads_when_it_is_ahead() {
        assert_eq!(next_stamp(Stamp(5), 100), Stamp(100));
    }

    #[test]
    fn a_clock_that_was_stepped_back_does_not_take_stamps_back() {
        assert_eq!(next_stamp(Stamp(100), 5), Stamp(101));
        assert_eq!(next_stamp(Stamp(100), -7), Stamp(101));
    }

    #[test]
    fn each_term_counts_from_further_on() {
        let after = |terms: u64| highest_in_new_term(Stamp(7), Epoch(3), Epoch(3 + terms));
        assert_eq!((after(0), after(1), after(2)), (Stamp(7), Stamp(7 + TERM_GAP), Stamp(7 + 2 * TERM_GAP)));
        assert!(after(u64::MAX - 3).0 < i64::MAX / 1_000);
        assert_eq!(highest_in_new_term(Stamp(0), Epoch(0), Epoch(9)), Stamp(0), "nothing was given out");
    }

    #[test]
    fn a_stamp_is_positive_even_with_a_clock_before_the_epoch() {
        assert_eq!(next_stamp(Stamp(0), -3), Stamp(1));
    }

    #[test]
    fn cc_t17_only_the_same_version_or_a_heartbeat_is_up_to_date() {
        let version = Stamp(1_700_000_000_000_000_000);
        assert!(!is_up_to_date(77, version));
        assert!(is_up_to_date(version.0, version));
        assert!(is_up_to_date(-1, version));
        assert!(!is_up_to_date(version.0 - 1, version));
    }
}

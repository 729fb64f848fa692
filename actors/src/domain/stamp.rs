//! How stamps are given out and compared.

use crate::domain::ids::Stamp;

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

/// Stamps that each term of office has for itself, if its clock is behind. Units: nanoseconds, 4.3 s.
const OF_ONE_TERM: i64 = 1 << 32;

/// More terms than this do not lie between two changes: together 72 minutes.
const MOST_TERMS: u64 = 1_000;

/// What stamps of a term are larger than: whatever an earlier leader gave out that this one never heard of was in another term.
///
/// Why: a follower that did not get the last changes may lead next. With both clocks behind `highest`, both leaders would count on
/// from there, and one stamp would mean two sets. `terms` is how many terms ago the table was changed last; it may be a number of
/// seconds where the count of terms was lost, which must not take stamps out of this century.
#[must_use]
pub fn floor_of_term(highest: Stamp, terms: u64) -> Stamp {
    if highest == Stamp(0) {
        return highest;
    }
    let terms = i64::try_from(terms.min(MOST_TERMS)).unwrap_or(0);
    Stamp(highest.0.saturating_add(terms.saturating_mul(OF_ONE_TERM)))
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
    fn a_stamp_is_positive_even_with_a_clock_before_the_epoch() {
        assert_eq!(next_stamp(Stamp(0), -3), Stamp(1));
    }

    #[test]
    fn terms_that_go_on_from_one_table_with_clocks_that_are_behind_never_give_one_stamp_out_twice() {
        let highest = Stamp(1_000);
        let of_term = |terms| {
            (0..3).scan(floor_of_term(highest, terms), |last, _| {
                *last = next_stamp(*last, 7);
                Some(*last)
            })
        };
        let given: std::collections::BTreeSet<_> = (0..4).flat_map(of_term).collect();
        assert_eq!(given.len(), 12);
        assert!(given.iter().all(|stamp| *stamp > highest));
        assert_eq!(next_stamp(floor_of_term(highest, 3), i64::MAX - 1), Stamp(i64::MAX - 1), "the clock still leads when it is ahead");
    }

    #[test]
    fn a_count_of_terms_that_begins_with_the_time_of_day_does_not_push_stamps_far_into_the_future() {
        assert_eq!(floor_of_term(Stamp(0), 1_700_000_000), Stamp(0));
        assert!(floor_of_term(Stamp(5), u64::MAX).0 < 2 * 3_600_000_000_000);
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

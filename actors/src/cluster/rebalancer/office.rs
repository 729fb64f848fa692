//! When a leading replica looks whether something should move.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::balance::plan::Trigger;
use crate::domain::ids::NodeName;

/// A change of membership is looked at after so many settling times at the latest, even if nodes go on coming and going.
const LONGEST_WAIT: u32 = 4;

/// The time in which this replica balances: from the moment it is able to, until it is not any more.
#[derive(Debug)]
pub(super) struct Office {
    period: Duration,
    settle: Duration,
    period_due: Duration,
    staying: BTreeSet<NodeName>,
    /// When the first of the changes was seen that were not looked at yet.
    changed_at: Option<Duration>,
    membership_due: Option<Duration>,
    /// The look under way.
    looking: Option<Trigger>,
}

impl Office {
    /// Begins at the monotonic time `now`. Taking office counts as a change of membership: nobody knows what happened before it.
    pub(super) fn begin(staying: BTreeSet<NodeName>, now: Duration, period: Duration, settle: Duration) -> Self {
        let period_due = now + period;
        Self { period, settle, period_due, staying, changed_at: Some(now), membership_due: Some(now + settle), looking: None }
    }

    /// These nodes stay.
    pub(super) fn follow(&mut self, staying: BTreeSet<NodeName>, now: Duration) {
        if staying != self.staying {
            self.staying = staying;
            let first = *self.changed_at.get_or_insert(now);
            self.membership_due = Some((now + self.settle).min(first + self.settle * LONGEST_WAIT));
        }
    }

    /// Begins a look that is due, unless one is under way.
    pub(super) fn next_look(&mut self, now: Duration) -> Option<Trigger> {
        if self.looking.is_some() {
            return None;
        }
        if self.membership_due.is_some_and(|due| due <= now) {
            (self.changed_at, self.membership_due) = (None, None);
            self.looking = Some(Trigger::Membership);
        } else if self.period_due <= now {
            self.period_due = now + self.period;
            self.looking = Some(Trigger::Period);
        }
        self.looking
    }

    /// The look has ended; one that came to nothing is due again at once.
    pub(super) fn looked(&mut self, in_vain: bool, now: Duration) {
        match self.looking.take() {
            Some(Trigger::Membership) if in_vain => {
                self.changed_at.get_or_insert(now);
                self.membership_due.get_or_insert(now);
            }
            Some(Trigger::Period) if in_vain => self.period_due = now,
            _ => {}
        }
    }

    /// When the next look is due.
    pub(super) fn next_due(&self) -> Duration {
        self.membership_due.map_or(self.period_due, |due| due.min(self.period_due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn names(names: &[&str]) -> BTreeSet<NodeName> {
        names.iter().map(|name| NodeName::from(*name)).collect()
    }

    fn office() -> Office {
        let mut office = Office::begin(names(&["a"]), at(0), at(600), at(30));
        assert_eq!(office.next_look(at(29)), None);
        assert_eq!(office.next_look(at(30)), Some(Trigger::Membership), "taking office counts as a change");
        office.looked(false, at(30));
        office
    }

    #[test]
    fn a_look_follows_30_seconds_after_the_last_change_of_membership() {
        let mut office = office();
        office.follow(names(&["a", "b"]), at(100));
        office.follow(names(&["a", "b", "c"]), at(120));
        office.follow(names(&["a", "b", "c"]), at(140));
        assert_eq!((office.next_look(at(149)), office.next_look(at(150))), (None, Some(Trigger::Membership)));
        office.looked(false, at(150));
        assert_eq!(office.next_look(at(599)), None);
        assert_eq!(office.next_look(at(600)), Some(Trigger::Period));
    }

    #[test]
    fn nodes_that_come_and_go_all_the_time_do_not_put_it_off_for_ever() {
        let mut office = office();
        for second in 100..220 {
            office.follow(names(if second % 2 == 0 { &["a"] } else { &["a", "b"] }), at(second));
            assert_eq!(office.next_look(at(second)), None, "second {second}");
        }
        // The first change was in second 101.
        assert_eq!(office.next_due(), at(221));
        assert_eq!(office.next_look(at(221)), Some(Trigger::Membership));
    }

    #[test]
    fn one_look_at_a_time_and_one_in_vain_is_repeated() {
        let mut office = office();
        assert_eq!(office.next_look(at(600)), Some(Trigger::Period));
        assert_eq!(office.next_look(at(1300)), None);
        office.looked(true, at(1300));
        assert_eq!(office.next_look(at(1300)), Some(Trigger::Period));
        office.looked(false, at(1301));
        assert_eq!((office.next_look(at(1899)), office.next_look(at(1900))), (None, Some(Trigger::Period)));
    }

    #[test]
    fn a_change_during_a_look_is_looked_at_too() {
        let mut office = office();
        assert_eq!(office.next_look(at(600)), Some(Trigger::Period));
        office.follow(names(&["a", "b"]), at(601));
        office.looked(false, at(602));
        assert_eq!((office.next_look(at(630)), office.next_look(at(631))), (None, Some(Trigger::Membership)));
    }
}

//! The order of a change of owner: what a wanted placement becomes, given where the config is and what it demands.
//!
//! Source: cluster-checks 16.8; style 8, invariant 8.

use crate::domain::assignment::Placement;
use crate::domain::handover::{Confirmation, Handover, Transfer};
use crate::domain::ids::{NodeName, Stamp};
use crate::domain::world::DanglingReason;

/// What a node is at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Not in the table: expired, or deleted.
    Gone,
    /// In the table, but it declares that it does not run this check.
    Unfit,
    /// In the table, staying or on its way out, and it may run this check.
    Fit,
}

/// One config at the end of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Where it was at the start; `None` = it was not there.
    pub before: Option<&'a Placement>,
    /// Where it was put.
    pub wanted: &'a Placement,
    /// What it demands.
    pub handover: Handover,
    /// Whether the node that was waited for has confirmed, or is known to have stopped.
    pub released: bool,
    /// Whether nodes may run it of which the table says nothing, because of grants of an earlier term.
    pub held: bool,
    /// The version that each set gets that changes in this turn.
    pub stamp: Stamp,
}

/// Where the config really is from now on.
#[must_use]
pub fn settled(change: &Change<'_>, registration: impl Fn(&NodeName) -> Registration) -> Placement {
    let wanted = || change.wanted.clone();
    if matches!(change.wanted, Placement::Moving(_)) {
        // Its content changed on the way, nothing else.
        return wanted();
    }
    let Some(before) = change.before.filter(|before| !matches!(before, Placement::Dangling(_))) else {
        let starts = change.wanted.owner().is_some();
        let held = change.held && starts && change.handover == Handover::AtMostOnce;
        return if held { Placement::Dangling(DanglingReason::GrantsUnknown) } else { wanted() };
    };
    if change.released || change.handover == Handover::Any {
        return wanted();
    }
    match (change.handover, before) {
        (Handover::Overlap, _) => overlapping(change, before, registration),
        (_, Placement::Owned(owner)) => {
            let transfer = Transfer { from: owner.clone(), to: None, waits_for: Confirmation::Stopped, stamp: change.stamp };
            stopping(change, transfer, registration)
        }
        (_, Placement::Moving(transfer)) => stopping(change, transfer.clone(), registration),
        (_, Placement::Dangling(_)) => wanted(),
    }
}

/// The former owner has to stop first; whoever gets it may change meanwhile.
fn stopping(change: &Change<'_>, transfer: Transfer, registration: impl Fn(&NodeName) -> Registration) -> Placement {
    let next = change.wanted.owner();
    let nobody_left = change.handover == Handover::Gap && registration(&transfer.from) == Registration::Gone;
    if next == Some(&transfer.from) || nobody_left {
        return change.wanted.clone();
    }
    Placement::Moving(Transfer { to: next.cloned(), ..transfer })
}

/// Whoever has it keeps it until the next one has it too.
fn overlapping(change: &Change<'_>, before: &Placement, registration: impl Fn(&NodeName) -> Registration) -> Placement {
    let (owner, next) = match before {
        Placement::Owned(owner) => (Some(owner), None),
        Placement::Moving(transfer) => (Some(&transfer.from), transfer.to.as_ref()),
        Placement::Dangling(_) => (None, None),
    };
    let fit = |node: &&NodeName| registration(node) == Registration::Fit;
    let keeper = owner.filter(fit).or(next.filter(fit));
    match (change.wanted, keeper) {
        (Placement::Owned(to), Some(keeper)) if keeper != to => match before {
            Placement::Moving(transfer) if &transfer.from == keeper && transfer.to.as_ref() == Some(to) => before.clone(),
            _ => {
                let (from, to) = (keeper.clone(), Some(to.clone()));
                Placement::Moving(Transfer { from, to, waits_for: Confirmation::Started, stamp: change.stamp })
            }
        },
        (Placement::Dangling(reason), Some(keeper)) if next.is_some() && *reason != DanglingReason::Quarantined => {
            Placement::Owned(keeper.clone())
        }
        _ => change.wanted.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Stamp = Stamp(9);
    const OLD: Stamp = Stamp(5);

    fn owned(name: &str) -> Placement {
        Placement::Owned(name.into())
    }

    fn nowhere() -> Placement {
        Placement::Dangling(DanglingReason::NoNode)
    }

    fn moving(to: Option<&str>, waits_for: Confirmation, stamp: Stamp) -> Placement {
        Placement::Moving(Transfer { from: "a".into(), to: to.map(NodeName::from), waits_for, stamp })
    }

    fn stopping(to: Option<&str>, stamp: Stamp) -> Placement {
        moving(to, Confirmation::Stopped, stamp)
    }

    fn starting(to: &str, stamp: Stamp) -> Placement {
        moving(Some(to), Confirmation::Started, stamp)
    }

    /// Nodes whose name begins with an `x` are gone, those with a `u` refuse the check.
    fn registration(node: &NodeName) -> Registration {
        match node.as_str().as_bytes()[0] {
            b'x' => Registration::Gone,
            b'u' => Registration::Unfit,
            _ => Registration::Fit,
        }
    }

    fn settle(handover: Handover, before: Option<&Placement>, wanted: &Placement) -> Placement {
        settled(&Change { before, wanted, handover, released: false, held: false, stamp: NEW }, registration)
    }

    fn rename(placement: Placement, from: &str) -> Placement {
        match placement {
            Placement::Moving(transfer) => Placement::Moving(Transfer { from: from.into(), ..transfer }),
            other => other,
        }
    }

    #[test]
    fn what_nobody_had_goes_where_it_is_wanted() {
        for handover in [Handover::Any, Handover::Gap, Handover::Overlap, Handover::AtMostOnce] {
            for before in [None, Some(nowhere())] {
                for wanted in [owned("b"), nowhere()] {
                    assert_eq!(settle(handover, before.as_ref(), &wanted), wanted);
                }
            }
        }
    }

    #[test]
    fn without_a_demand_everything_is_as_wanted() {
        for before in [owned("a"), owned("x"), stopping(Some("b"), OLD), starting("b", OLD)] {
            for wanted in [owned("b"), owned("c"), nowhere()] {
                assert_eq!(settle(Handover::Any, Some(&before), &wanted), wanted);
            }
        }
    }

    #[test]
    fn with_a_gap_the_former_owner_stops_first_if_it_is_there() {
        let settle = |before: &Placement, wanted: &Placement| settle(Handover::Gap, Some(before), wanted);
        let table = [
            (owned("a"), owned("b"), stopping(Some("b"), NEW)),
            (owned("a"), nowhere(), stopping(None, NEW)),
            (owned("a"), owned("a"), owned("a")),
            (owned("u"), owned("b"), rename(stopping(Some("b"), NEW), "u")),
            (owned("x"), owned("b"), owned("b")),
            (owned("x"), nowhere(), nowhere()),
            (stopping(Some("b"), OLD), owned("b"), stopping(Some("b"), OLD)),
            (stopping(Some("b"), OLD), owned("c"), stopping(Some("c"), OLD)),
            (stopping(Some("b"), OLD), nowhere(), stopping(None, OLD)),
            (stopping(None, OLD), owned("c"), stopping(Some("c"), OLD)),
            (stopping(Some("b"), OLD), owned("a"), owned("a")),
            (rename(stopping(Some("b"), OLD), "x"), owned("b"), owned("b")),
            (rename(stopping(None, OLD), "x"), nowhere(), nowhere()),
        ];
        for (before, wanted, expected) in table {
            assert_eq!(settle(&before, &wanted), expected, "{before:?} {wanted:?}");
        }
    }

    #[test]
    fn at_most_once_waits_for_a_lost_owner_too() {
        let settle = |before: &Placement, wanted: &Placement| settle(Handover::AtMostOnce, Some(before), wanted);
        let from_x = |to: Option<&str>, stamp| rename(stopping(to, stamp), "x");
        let table = [
            (owned("a"), owned("b"), stopping(Some("b"), NEW)),
            (owned("a"), nowhere(), stopping(None, NEW)),
            (owned("x"), owned("b"), from_x(Some("b"), NEW)),
            (owned("x"), nowhere(), from_x(None, NEW)),
            (from_x(Some("b"), OLD), owned("b"), from_x(Some("b"), OLD)),
            (from_x(Some("b"), OLD), owned("c"), from_x(Some("c"), OLD)),
            (from_x(Some("b"), OLD), nowhere(), from_x(None, OLD)),
            (stopping(Some("b"), OLD), owned("a"), owned("a")),
        ];
        for (before, wanted, expected) in table {
            assert_eq!(settle(&before, &wanted), expected, "{before:?} {wanted:?}");
        }
    }

    #[test]
    fn with_an_overlap_the_former_owner_keeps_it_as_long_as_it_can() {
        let settle = |before: &Placement, wanted: &Placement| settle(Handover::Overlap, Some(before), wanted);
        let quarantined = Placement::Dangling(DanglingReason::Quarantined);
        let from = |name: &str, to: &str, stamp| rename(starting(to, stamp), name);
        let table = [
            (owned("a"), owned("b"), starting("b", NEW)),
            (owned("a"), nowhere(), nowhere()),
            (owned("x"), owned("b"), owned("b")),
            (owned("u"), owned("b"), owned("b")),
            (starting("b", OLD), owned("b"), starting("b", OLD)),
            (starting("b", OLD), owned("c"), starting("c", NEW)),
            (starting("b", OLD), owned("a"), owned("a")),
            (starting("x", OLD), nowhere(), owned("a")),
            (starting("u", OLD), nowhere(), owned("a")),
            (starting("b", OLD), quarantined.clone(), quarantined.clone()),
            (from("x", "b", OLD), owned("b"), owned("b")),
            (from("x", "b", OLD), owned("c"), rename(starting("c", NEW), "b")),
            (from("x", "x2", OLD), owned("c"), owned("c")),
            (from("x", "x2", OLD), nowhere(), nowhere()),
        ];
        for (before, wanted, expected) in table {
            assert_eq!(settle(&before, &wanted), expected, "{before:?} {wanted:?}");
        }
    }

    #[test]
    fn whoever_was_waited_for_and_confirmed_is_not_waited_for_any_more() {
        for handover in [Handover::Gap, Handover::AtMostOnce, Handover::Overlap] {
            for before in [stopping(Some("b"), OLD), rename(stopping(None, OLD), "x"), starting("b", OLD)] {
                for wanted in [owned("b"), nowhere()] {
                    let change = Change { before: Some(&before), wanted: &wanted, handover, released: true, held: false, stamp: NEW };
                    assert_eq!(settled(&change, registration), wanted);
                }
            }
        }
    }

    #[test]
    fn only_at_most_once_is_held_back_while_grants_of_before_may_be_in_force() {
        let held = |handover, before: Option<&Placement>, wanted: &Placement| {
            settled(&Change { before, wanted, handover, released: false, held: true, stamp: NEW }, registration)
        };
        let unknown = Placement::Dangling(DanglingReason::GrantsUnknown);
        assert_eq!(held(Handover::AtMostOnce, None, &owned("b")), unknown);
        assert_eq!(held(Handover::AtMostOnce, Some(&nowhere()), &owned("b")), unknown);
        assert_eq!(held(Handover::AtMostOnce, Some(&nowhere()), &nowhere()), nowhere());
        assert_eq!(held(Handover::AtMostOnce, Some(&owned("a")), &owned("a")), owned("a"), "who has it keeps it");
        for handover in [Handover::Any, Handover::Gap, Handover::Overlap] {
            assert_eq!(held(handover, None, &owned("b")), owned("b"));
        }
    }

    #[test]
    fn other_content_changes_nothing_on_the_way() {
        for handover in [Handover::Gap, Handover::AtMostOnce, Handover::Overlap] {
            for before in [stopping(Some("b"), OLD), starting("b", OLD)] {
                assert_eq!(settle(handover, Some(&before), &before), before);
            }
        }
    }
}

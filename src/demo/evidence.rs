//! What the intake saw, and what follows from it: gaps, double runs, silence. Pure functions.

use std::collections::{BTreeMap, BTreeSet};

/// One report of one check by one runner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Second of the run, since the Unix epoch.
    pub at: i64,
    /// Value of the check's `demo_check` tag.
    pub check: String,
    /// Which runner sent it.
    pub runner: String,
}

/// The longest time without data of any check, in a window.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The check.
    pub check: String,
    /// Seconds between two consecutive reports, whoever sent them; the check's interval is 1.
    pub seconds: i64,
}

/// (First, last) second of each stay of one check, by runner.
type StaysByRunner<'a> = BTreeMap<&'a str, Vec<(i64, i64)>>;

/// Everything the intake recorded.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    sightings: Vec<Sighting>,
}

impl Evidence {
    /// Adds one report.
    pub fn record(&mut self, sighting: Sighting) {
        self.sightings.push(sighting);
    }

    /// Number of reports so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sightings.len()
    }

    /// All reports, in the order in which they came.
    #[must_use]
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Seconds in which each check was reported, ascending.
    fn seconds_by_check(&self) -> BTreeMap<&str, BTreeSet<i64>> {
        let mut seconds: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for sighting in &self.sightings {
            seconds.entry(&sighting.check).or_default().insert(sighting.at);
        }
        seconds
    }

    /// The largest gap between two reports of one check, the second of which came after `since`.
    ///
    /// Why the second: what a runner held when it was killed is lost, so that the last report before may be from before `since`.
    #[must_use]
    pub fn largest_gap(&self, since: i64) -> Option<Gap> {
        let mut largest: Option<Gap> = None;
        for (check, seconds) in self.seconds_by_check() {
            for (before, after) in seconds.iter().zip(seconds.iter().skip(1)).filter(|(_, after)| **after > since) {
                if largest.as_ref().is_none_or(|gap| after - before > gap.seconds) {
                    largest = Some(Gap { check: check.to_owned(), seconds: after - before });
                }
            }
        }
        largest
    }

    /// Checks of `expected` that nobody reported at or after `since`.
    #[must_use]
    pub fn silent(&self, expected: &BTreeSet<String>, since: i64) -> Vec<String> {
        let seen = self.seconds_by_check();
        let last = |check: &str| seen.get(check).and_then(BTreeSet::last).copied();
        expected.iter().filter(|check| last(check).is_none_or(|last| last < since)).cloned().collect()
    }

    /// Checks that two runners reported side by side for more than `allowed` seconds.
    ///
    /// Side by side = the later runner started before the earlier one's last report, measured from first report of the
    /// later to last report of the earlier. A hand-over within one poll is no double run.
    #[must_use]
    pub fn double_runs(&self, allowed: i64) -> Vec<String> {
        let mut spans: BTreeMap<&str, StaysByRunner<'_>> = BTreeMap::new();
        let mut sorted: Vec<&Sighting> = self.sightings.iter().collect();
        sorted.sort();
        for sighting in sorted {
            let runs = spans.entry(&sighting.check).or_default().entry(&sighting.runner).or_default();
            match runs.last_mut() {
                // Reports further apart than this belong to two stays on that runner.
                Some((_, last)) if sighting.at - *last <= 3 => *last = sighting.at,
                _ => runs.push((sighting.at, sighting.at)),
            }
        }
        let mut found = Vec::new();
        for (check, by_runner) in spans {
            let runs: Vec<(&str, i64, i64)> =
                by_runner.iter().flat_map(|(runner, runs)| runs.iter().map(|(first, last)| (*runner, *first, *last))).collect();
            for (position, one) in runs.iter().enumerate() {
                for other in runs.iter().skip(position + 1).filter(|other| other.0 != one.0) {
                    let overlap = one.2.min(other.2) - one.1.max(other.1);
                    if overlap > allowed {
                        found.push(format!("{check} ran on {} and {} for {overlap} s", one.0, other.0));
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(sightings: &[(i64, &str, &str)]) -> Evidence {
        let mut evidence = Evidence::default();
        for (at, check, runner) in sightings {
            evidence.record(Sighting { at: *at, check: (*check).to_owned(), runner: (*runner).to_owned() });
        }
        evidence
    }

    #[test]
    fn the_largest_gap_spans_a_change_of_runner() {
        let seen = evidence(&[(1, "a", "r1"), (2, "a", "r1"), (7, "a", "r2"), (1, "b", "r2"), (2, "b", "r2")]);
        assert_eq!(seen.largest_gap(0), Some(Gap { check: "a".into(), seconds: 5 }));
        assert_eq!(seen.largest_gap(6), Some(Gap { check: "a".into(), seconds: 5 }), "it ended in this window");
        assert_eq!(seen.largest_gap(7), None);
    }

    #[test]
    fn a_check_nobody_reported_is_silent() {
        let seen = evidence(&[(5, "a", "r1")]);
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(seen.silent(&expected, 5), ["b"]);
        assert_eq!(seen.silent(&expected, 6), ["a", "b"]);
    }

    #[test]
    fn a_hand_over_within_one_poll_is_no_double_run() {
        let seen = evidence(&[(1, "a", "r1"), (2, "a", "r1"), (2, "a", "r2"), (3, "a", "r2")]);
        assert!(seen.double_runs(1).is_empty());
    }

    #[test]
    fn two_runners_side_by_side_are_a_double_run() {
        let seen = evidence(&[(1, "a", "r1"), (2, "a", "r1"), (3, "a", "r1"), (4, "a", "r1"), (1, "a", "r2"), (4, "a", "r2")]);
        assert_eq!(seen.double_runs(1), ["a ran on r1 and r2 for 3 s"]);
    }

    #[test]
    fn coming_back_to_a_runner_later_is_no_double_run() {
        let seen = evidence(&[(1, "a", "r1"), (2, "a", "r1"), (8, "a", "r2"), (9, "a", "r2"), (20, "a", "r1")]);
        assert!(seen.double_runs(0).is_empty());
    }
}

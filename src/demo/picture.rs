//! The assignment as the server shows it, and what changed between two looks. Pure but for the reading of JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Who runs what, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Check (value of its `demo_check` tag) -> runner.
    pub owners: BTreeMap<String, String>,
    /// Checks without an owner.
    pub dangling: BTreeSet<String>,
    /// Runner -> version of its set.
    pub stamps: BTreeMap<String, i64>,
    /// Checks that appear more than once.
    pub doubled: BTreeSet<String>,
}

/// One check that changed its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The check.
    pub check: String,
    /// Runner before; empty = it was not there or had no owner.
    pub from: String,
    /// Runner after; empty = gone or without owner.
    pub to: String,
    /// Why, in the words of the server's journal.
    pub why: String,
}

impl Picture {
    /// Adds one config of a runner.
    pub fn add(&mut self, check: &str, runner: &str) {
        if self.owners.insert(check.to_owned(), runner.to_owned()).is_some() || self.dangling.contains(check) {
            self.doubled.insert(check.to_owned());
        }
    }

    /// Adds one config without an owner.
    pub fn add_dangling(&mut self, check: &str) {
        if !self.dangling.insert(check.to_owned()) || self.owners.contains_key(check) {
            self.doubled.insert(check.to_owned());
        }
    }

    /// Checks in the table, with or without owner.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.owners.len() + self.dangling.len()
    }

    /// Number of configs on each runner that reports.
    #[must_use]
    pub fn load(&self) -> BTreeMap<&str, usize> {
        let mut load: BTreeMap<&str, usize> = self.stamps.keys().map(|runner| (runner.as_str(), 0)).collect();
        for runner in self.owners.values() {
            *load.entry(runner).or_default() += 1;
        }
        load
    }

    /// Checks whose owner differs between `self` (before) and `after`.
    #[must_use]
    pub fn moves_to(&self, after: &Self) -> Vec<Move> {
        let checks: BTreeSet<&String> = self.owners.keys().chain(after.owners.keys()).collect();
        let owner = |picture: &Self, check: &String| picture.owners.get(check).cloned().unwrap_or_default();
        checks
            .into_iter()
            .filter(|check| owner(self, check) != owner(after, check))
            .map(|check| Move { check: check.clone(), from: owner(self, check), to: owner(after, check), why: String::new() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_what_changed_its_owner() {
        let mut before = Picture::default();
        before.add("a", "r1");
        before.add("b", "r2");
        let mut after = Picture::default();
        after.add("a", "r1");
        after.add("b", "r1");
        after.add("c", "r2");
        let moves = before.moves_to(&after);
        let short: Vec<(&str, &str, &str)> =
            moves.iter().map(|change| (change.check.as_str(), change.from.as_str(), change.to.as_str())).collect();
        assert_eq!(short, [("b", "r2", "r1"), ("c", "", "r2")]);
    }

    #[test]
    fn a_check_seen_twice_is_doubled() {
        let mut picture = Picture::default();
        picture.add("a", "r1");
        picture.add("a", "r2");
        picture.add("b", "r1");
        picture.add_dangling("b");
        assert_eq!(picture.doubled, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_runner_without_configs_has_load_zero() {
        let mut picture = Picture::default();
        picture.stamps.insert("r1".into(), 0);
        assert_eq!(picture.load(), BTreeMap::from([("r1", 0)]));
    }
}

//! Labels that one family lends to others: `share_labels` and `target_info`. Source: node-runner 10.6.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::parser::{Family, FamilyKind, FamilySample, Label};

/// What one family lends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShareRule {
    /// Labels to lend; empty = all.
    pub(super) labels: HashSet<String>,
    /// Labels whose values a sample must share to get them; empty = every sample gets them.
    pub(super) matching: HashSet<String>,
    /// Values a sample must have to lend; `None` = any.
    pub(super) values: Option<HashSet<i64>>,
}

impl ShareRule {
    fn allows(&self, sample: &FamilySample) -> bool {
        self.values.as_ref().is_none_or(|values| values.iter().any(|&value| value as f64 == sample.value))
    }
}

/// Labels in first-come order, the last value of a name wins.
type OwnedLabels = Vec<(String, String)>;

/// Names of the labels to compare, and for each combination of their values the sets that apply.
type MatchIndex = (Vec<String>, HashMap<Vec<String>, Vec<usize>>);

/// Collects lent labels and adds them to samples.
#[derive(Debug, Default)]
pub(super) struct SharedLabels {
    rules: HashMap<String, ShareRule>,
    target_info: bool,
    keep: bool,
    complete: bool,
    waiting: HashSet<String>,
    unconditional: OwnedLabels,
    from_target: OwnedLabels,
    sets: Vec<OwnedLabels>,
    index: Vec<MatchIndex>,
}

/// Family that describes the target, under its name in either format.
const TARGET_INFO: &str = "target_info";

impl SharedLabels {
    /// `keep` = collect in the first good scrape and use for ever (`cache_shared_labels`).
    pub(super) fn new(rules: HashMap<String, ShareRule>, target_info: bool, keep: bool) -> Self {
        Self { rules, target_info, keep, ..Self::default() }
    }

    /// Whether there is anything to do at all.
    pub(super) fn is_configured(&self) -> bool {
        self.target_info || !self.rules.is_empty()
    }

    /// Starts a scrape; `true` = labels must be collected from the whole exposition before it is used.
    pub(super) fn begin(&mut self) -> bool {
        self.waiting.clear();
        if !self.is_configured() || (self.keep && self.complete) {
            return false;
        }
        self.unconditional.clear();
        self.sets.clear();
        self.index.clear();
        self.waiting.extend(self.rules.keys().cloned());
        if self.target_info {
            self.from_target.clear();
            self.waiting.insert(TARGET_INFO.to_owned());
        }
        !self.keep
    }

    /// Whether labels are still to be found.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Ends a scrape that went well.
    pub(super) fn succeed(&mut self) {
        self.complete = true;
    }

    /// Takes what the family lends, once per scrape and family name.
    pub(super) fn collect(&mut self, family: &Family<'_>) {
        let is_target = family.name == TARGET_INFO || (family.kind == FamilyKind::Info && family.name == "target");
        if self.target_info && is_target {
            self.waiting.remove(TARGET_INFO);
            // The target may be replaced at any time, so its labels are never kept.
            self.from_target.clear();
            for sample in &family.samples {
                update(&mut self.from_target, family.labels(sample).iter().map(owned));
            }
        }
        if !self.waiting.remove(family.name.as_ref()) {
            return;
        }
        let Some(rule) = self.rules.get(family.name.as_ref()) else {
            return;
        };
        for sample in family.samples.iter().filter(|sample| rule.allows(sample)) {
            let labels = family.labels(sample);
            let lent = labels.iter().filter(|(name, _)| rule.labels.is_empty() || rule.labels.contains(name.as_ref())).map(owned);
            if rule.matching.is_empty() {
                update(&mut self.unconditional, lent);
                continue;
            }
            let set = self.sets.len();
            self.sets.push(lent.collect());
            let mut compared: OwnedLabels = labels.iter().filter(|(name, _)| rule.matching.contains(name.as_ref())).map(owned).collect();
            compared.sort();
            let (names, values): (Vec<String>, Vec<String>) = compared.into_iter().unzip();
            let known = self.index.iter().position(|(known, _)| *known == names);
            let position = known.unwrap_or_else(|| {
                self.index.push((names, HashMap::new()));
                self.index.len() - 1
            });
            let (_, by_values) = &mut self.index[position];
            by_values.entry(values).or_default().push(set);
        }
    }

    /// Adds lent labels to those of a sample; lent values replace own ones.
    pub(super) fn populate<'a>(&'a self, labels: &mut Vec<Label<'a>>) {
        let mut matched: Vec<usize> = Vec::new();
        for (names, by_values) in &self.index {
            let value = |name: &String| labels.iter().find(|(own, _)| own == name).map(|(_, value)| value.to_string());
            let values: Option<Vec<String>> = names.iter().map(value).collect();
            matched.extend(values.and_then(|values| by_values.get(&values)).into_iter().flatten());
        }
        matched.sort_unstable();
        let sets = matched.iter().filter_map(|&set| self.sets.get(set));
        for lent in [&self.from_target, &self.unconditional].into_iter().chain(sets) {
            for (name, value) in lent {
                match labels.iter_mut().find(|(own, _)| own == name) {
                    Some((_, own)) => *own = Cow::Borrowed(value),
                    None => labels.push((Cow::Borrowed(name), Cow::Borrowed(value))),
                }
            }
        }
    }
}

fn owned(label: &Label<'_>) -> (String, String) {
    (label.0.to_string(), label.1.to_string())
}

fn update(labels: &mut OwnedLabels, more: impl Iterator<Item = (String, String)>) {
    for (name, value) in more {
        match labels.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => labels.push((name, value)),
        }
    }
}

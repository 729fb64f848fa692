//! Which families are wanted, under which name and as what. Source: node-runner 10.6, name matching and `type`.

use std::collections::HashMap;
use std::sync::Arc;

use fancy_regex::Regex;
use muster_actors::domain::samples::ServiceStatus;

use super::super::options::found;
use super::parser::FamilyKind;

/// Family names remembered at most; a target that invents names must not fill the memory.
const CACHE_LIMIT: usize = 10_000;

/// What becomes of the samples of a family.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Treatment {
    /// By the type seen first.
    Native,
    /// By the type of every scrape.
    NativeDynamic,
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// A gauge `.total` and a running total `.count`.
    CounterGauge,
    Rate,
    /// A service check by the whole part of the value.
    ServiceCheck(HashMap<i64, ServiceStatus>),
    /// Share of time since the last run; holds the parts of a second the value counts in.
    TemporalPercent(f64),
    /// Seconds since the value.
    TimeElapsed,
    /// Instance metadata: checked, but nothing is sent, as there is no inventory to send it to.
    Metadata,
}

impl Treatment {
    fn of_kind(kind: FamilyKind) -> Option<Self> {
        match kind {
            FamilyKind::Counter => Some(Self::Counter),
            FamilyKind::Gauge => Some(Self::Gauge),
            FamilyKind::Histogram => Some(Self::Histogram),
            FamilyKind::Summary => Some(Self::Summary),
            _ => None,
        }
    }
}

/// An entry of `metrics`.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Name to send under; a pattern keeps the family's.
    pub(super) name: String,
    /// What to make of it.
    pub(super) treatment: Treatment,
}

/// The name to send a family under and how.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// Full name, namespace included.
    pub(super) name: Arc<str>,
    /// What to make of it.
    pub(super) treatment: Arc<Treatment>,
    /// Type seen first, for [`Treatment::Native`].
    first_kind: Option<FamilyKind>,
}

/// All entries of `metrics` and `extra_metrics`.
#[derive(Debug)]
pub(super) struct Names {
    namespace: String,
    exact: HashMap<String, Resolved>,
    patterns: Vec<(Regex, Arc<Treatment>)>,
    remember: bool,
    cache: HashMap<String, Option<Resolved>>,
}

/// Whether an entry of `metrics` names one family: it equals itself with all regex characters escaped.
pub(super) fn is_exact(text: &str) -> bool {
    !text.chars().any(|letter| r"()[]{}?*+-|^$\.&~#".contains(letter) || matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'))
}

impl Names {
    /// Takes the entries in order; `namespace` may be empty.
    pub(super) fn new(namespace: &str, exact: Vec<(String, Wanted)>, patterns: Vec<(Regex, Treatment)>, remember: bool) -> Self {
        let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        let resolve = |wanted: Wanted| Resolved {
            name: format!("{namespace}{}", wanted.name).into(),
            treatment: Arc::new(wanted.treatment),
            first_kind: None,
        };
        let exact = exact.into_iter().map(|(raw, wanted)| (raw, resolve(wanted))).collect();
        let patterns = patterns.into_iter().map(|(pattern, treatment)| (pattern, Arc::new(treatment))).collect();
        Self { namespace, exact, patterns, remember, cache: HashMap::new() }
    }

    /// How to send a family, `None` when it is not wanted or has no type that can be sent.
    ///
    /// Never answers [`Treatment::Native`] or [`Treatment::NativeDynamic`].
    pub(super) fn find(&mut self, name: &str, kind: FamilyKind) -> Option<(Arc<str>, Arc<Treatment>)> {
        if let Some(resolved) = self.exact.get_mut(name) {
            return settle(resolved, kind);
        }
        if let Some(remembered) = self.cache.get_mut(name) {
            return remembered.as_mut().and_then(|resolved| settle(resolved, kind));
        }
        let pattern = self.patterns.iter().find(|(pattern, _)| found(pattern, name));
        let mut resolved = pattern.map(|(_, treatment)| Resolved {
            name: format!("{}{name}", self.namespace).into(),
            treatment: Arc::clone(treatment),
            first_kind: None,
        });
        let settled = resolved.as_mut().and_then(|resolved| settle(resolved, kind));
        if self.remember {
            if self.cache.len() >= CACHE_LIMIT {
                self.cache.clear();
            }
            self.cache.insert(name.to_owned(), resolved);
        }
        settled
    }
}

fn settle(resolved: &mut Resolved, kind: FamilyKind) -> Option<(Arc<str>, Arc<Treatment>)> {
    let treatment = match &*resolved.treatment {
        Treatment::Native => {
            // A family without a usable type is skipped, whatever it was before.
            Treatment::of_kind(kind)?;
            Arc::new(Treatment::of_kind(*resolved.first_kind.get_or_insert(kind))?)
        }
        Treatment::NativeDynamic => Arc::new(Treatment::of_kind(kind)?),
        _ => Arc::clone(&resolved.treatment),
    };
    Some((Arc::clone(&resolved.name), treatment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, treatment: Treatment) -> Wanted {
        Wanted { name: name.to_owned(), treatment }
    }

    #[test]
    fn exact_entries_win_and_patterns_come_in_order() {
        let exact = vec![("go_threads".to_owned(), wanted("threads", Treatment::Native))];
        let patterns = vec![(Regex::new("go_.+").unwrap(), Treatment::Gauge), (Regex::new("threads|other").unwrap(), Treatment::Rate)];
        for remember in [true, false] {
            let mut names = Names::new("app", exact.clone(), patterns.clone(), remember);
            let mut find = |name: &str, kind| names.find(name, kind).map(|(name, treatment)| (name.to_string(), (*treatment).clone()));
            for _ in 0..2 {
                assert_eq!(find("go_threads", FamilyKind::Gauge), Some(("app.threads".to_owned(), Treatment::Gauge)));
                assert_eq!(find("go_info", FamilyKind::Unknown), Some(("app.go_info".to_owned(), Treatment::Gauge)));
                assert_eq!(find("my_other_metric", FamilyKind::Info), Some(("app.my_other_metric".to_owned(), Treatment::Rate)));
                assert_eq!(find("unwanted", FamilyKind::Gauge), None);
                assert_eq!(find("go_threads", FamilyKind::Unknown), None);
            }
        }
    }

    #[test]
    fn native_keeps_the_first_type_and_native_dynamic_follows() {
        let entries = vec![("a".to_owned(), wanted("a", Treatment::Native)), ("b".to_owned(), wanted("b", Treatment::NativeDynamic))];
        let mut names = Names::new("", entries, Vec::new(), true);
        let mut treatment = |name, kind| names.find(name, kind).map(|(_, treatment)| (*treatment).clone());
        assert_eq!(treatment("a", FamilyKind::Gauge), Some(Treatment::Gauge));
        assert_eq!(treatment("a", FamilyKind::Counter), Some(Treatment::Gauge));
        assert_eq!(treatment("b", FamilyKind::Gauge), Some(Treatment::Gauge));
        assert_eq!(treatment("b", FamilyKind::Counter), Some(Treatment::Counter));
        assert_eq!(treatment("b", FamilyKind::StateSet), None);
    }

    #[test]
    fn only_plain_names_are_exact() {
        assert!(is_exact("http_requests:rate5m"));
        for pattern in ["a.b", "a-b", ".+", "^a", "a b", "a|b"] {
            assert!(!is_exact(pattern), "{pattern}");
        }
    }
}

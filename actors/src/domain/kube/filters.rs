//! Which workloads are left alone. Source: autodiscovery 9.

use regex::Regex;

use crate::domain::kube::annotations::{PREFIX, is_true};
use crate::domain::kube::objects::{ObjectKey, Texts};

/// Include and exclude lists, each entry `image:`, `name:` or `kube_namespace:` with a regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterLists {
    /// Global: checked for mistakes, but no check of a Service depends on it.
    pub include: Vec<String>,
    /// Global, likewise.
    pub exclude: Vec<String>,
    /// For metrics.
    pub include_metrics: Vec<String>,
    /// For metrics.
    pub exclude_metrics: Vec<String>,
}

/// An entry of a list that is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regex '{pattern}': {detail}")]
pub struct FilterError {
    /// Name of the list.
    pub list: &'static str,
    /// The expression.
    pub pattern: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What is excluded of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// No metrics.
    pub metrics: bool,
    /// No logs.
    pub logs: bool,
}

/// The lists, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    include_metrics: Patterns,
    exclude_metrics: Patterns,
}

impl Filters {
    /// Reads the lists; the second part names the entries that are passed over.
    ///
    /// Errors: [`FilterError`], the first entry that is no regular expression.
    pub fn try_new(lists: &FilterLists) -> Result<(Self, Vec<UnknownFilter>), FilterError> {
        let mut unknown = Vec::new();
        Patterns::read("container_include", &lists.include, &mut unknown)?;
        Patterns::read("container_exclude", &lists.exclude, &mut unknown)?;
        let include_metrics = Patterns::read("container_include_metrics", &lists.include_metrics, &mut unknown)?;
        let exclude_metrics = Patterns::read("container_exclude_metrics", &lists.exclude_metrics, &mut unknown)?;
        Ok((Self { include_metrics, exclude_metrics }, unknown))
    }

    /// What is excluded of an object, by the lists or by its annotations.
    #[must_use]
    pub fn verdict(&self, object: &ObjectKey, annotations: &Texts) -> Verdict {
        let says = |word: &str| {
            let own = || format!("{PREFIX}{}.{word}", object.name);
            let flag = |name: &str| annotations.get(name).is_some_and(|text| is_true(text));
            flag(&format!("{PREFIX}{word}")) || flag(&own())
        };
        let everything = says("exclude");
        let by_list = || !self.include_metrics.matches_included(object) && self.exclude_metrics.matches_excluded(object);
        Verdict { metrics: everything || says("metrics_exclude") || by_list(), logs: everything || says("logs_exclude") }
    }
}

/// An entry of a list that begins with none of the known words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Container filter \"{entry}\" is unknown, ignoring it. The supported filters are 'image', 'name' and 'kube_namespace'")]
pub struct UnknownFilter {
    /// Name of the list.
    pub list: &'static str,
    /// The entry.
    pub entry: String,
}

/// The regular expressions of one list.
#[derive(Clone, Debug, Default)]
struct Patterns {
    image: Vec<Regex>,
    name: Vec<Regex>,
    namespace: Vec<Regex>,
}

impl Patterns {
    fn read(list: &'static str, entries: &[String], unknown: &mut Vec<UnknownFilter>) -> Result<Self, FilterError> {
        let mut patterns = Self::default();
        for entry in entries {
            let (of, pattern) = match entry.split_once(':') {
                Some(("image", pattern)) => (&mut patterns.image, pattern),
                Some(("name", pattern)) => (&mut patterns.name, pattern),
                Some(("kube_namespace", pattern)) => (&mut patterns.namespace, pattern),
                _ => {
                    unknown.push(UnknownFilter { list, entry: entry.clone() });
                    continue;
                }
            };
            let regex =
                Regex::new(pattern).map_err(|error| FilterError { list, pattern: pattern.to_owned(), detail: regex_detail(&error) })?;
            of.push(regex);
        }
        Ok(patterns)
    }

    /// An include entry for images matches what has no image if it matches the empty text, as stock has it.
    fn matches_included(&self, object: &ObjectKey) -> bool {
        self.image.iter().any(|image| image.is_match("")) || self.matches_excluded(object)
    }

    /// A Service or an endpoint has no image, so an exclude entry for images never matches.
    fn matches_excluded(&self, object: &ObjectKey) -> bool {
        let matches = |patterns: &[Regex], text: &str| !text.is_empty() && patterns.iter().any(|pattern| pattern.is_match(text));
        matches(&self.name, &object.name) || matches(&self.namespace, &object.namespace)
    }
}

/// What is wrong with an expression, without the drawing that points into it.
pub(super) fn regex_detail(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn lists(include_metrics: &[&str], exclude_metrics: &[&str]) -> FilterLists {
        let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
        FilterLists { include_metrics: owned(include_metrics), exclude_metrics: owned(exclude_metrics), ..FilterLists::default() }
    }

    fn verdict(lists: &FilterLists, annotations: &[(&str, &str)]) -> (bool, bool) {
        let (filters, _) = Filters::try_new(lists).unwrap();
        let verdict = filters.verdict(&ObjectKey::new("shop", "cart"), &texts(annotations));
        (verdict.metrics, verdict.logs)
    }

    #[test]
    fn ad_v61_annotations_exclude() {
        let open = FilterLists::default();
        assert_eq!(verdict(&open, &[]), (false, false));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/exclude", "true")]), (true, true));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/metrics_exclude", "true")]), (true, false));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/logs_exclude", "1")]), (false, true));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/cart.exclude", "true")]), (true, true));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/other.exclude", "true")]), (false, false));
        assert_eq!(verdict(&open, &[("ad.datadoghq.com/exclude", "yes")]), (false, false));
    }

    #[test]
    fn ad_v61_lists_exclude_and_include() {
        assert_eq!(verdict(&lists(&[], &["kube_namespace:^shop$"]), &[]), (true, false));
        assert_eq!(verdict(&lists(&[], &["kube_namespace:^sho$"]), &[]), (false, false));
        assert_eq!(verdict(&lists(&["name:cart"], &["kube_namespace:.*"]), &[]), (false, false));
        assert_eq!(verdict(&lists(&["name:cart"], &[]), &[("ad.datadoghq.com/exclude", "true")]), (true, true));
        assert_eq!(verdict(&lists(&[], &["image:.*"]), &[]), (false, false));
        assert_eq!(verdict(&lists(&["image:.*"], &["name:.*"]), &[]), (false, false));
        assert_eq!(verdict(&lists(&["image:nginx"], &["name:.*"]), &[]), (true, false));
        let global = FilterLists { exclude: vec!["name:.*".to_owned()], ..FilterLists::default() };
        assert_eq!(verdict(&global, &[]), (false, false));
    }

    #[test]
    fn ad_v61_an_unknown_word_is_passed_over() {
        let (_, unknown) = Filters::try_new(&lists(&[], &["label:x", "y"])).unwrap();
        let expected =
            "Container filter \"label:x\" is unknown, ignoring it. The supported filters are 'image', 'name' and 'kube_namespace'";
        assert_eq!(unknown[0].to_string(), expected);
        assert_eq!(unknown.len(), 2);
    }

    #[test]
    fn a_bad_regular_expression_is_named() {
        let error = Filters::try_new(&lists(&["name:a", "name:("], &[])).unwrap_err();
        assert_eq!(error.list, "container_include_metrics");
        assert_eq!(error.to_string(), "invalid regex '(': unclosed group");
        let global = FilterLists { include: vec!["image:[".to_owned()], ..FilterLists::default() };
        assert_eq!(Filters::try_new(&global).unwrap_err().list, "container_include");
    }
}

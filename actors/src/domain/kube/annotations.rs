//! The grammar of the annotations that hold checks. Source: autodiscovery 4.5.

mod mistake;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::ops::Bound;

use serde_json::Value as Json;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::discovery::ConfigError;
use crate::domain::kube::annotations::mistake::{Mistake, shown};
use crate::domain::kube::annotations::v1::Lists;
use crate::domain::kube::json_text;
use crate::domain::kube::objects::Texts;

/// Where all annotations of today begin.
pub const PREFIX: &str = "ad.datadoghq.com/";

/// Where those of the first versions begin.
const LEGACY: &str = "service-discovery.datadoghq.com/";

/// Whose annotations are read, and what the configs and errors are to say about it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Kind word in the names of the annotations: `service` or `endpoints`.
    pub word: &'static str,
    /// AD identifier of every config.
    pub identifier: &'a str,
    /// Key under which errors are recorded.
    pub resource: &'a str,
    /// The object for people, for example `Service shop/cart`.
    pub object: &'a str,
    /// `cluster_checks.support_hybrid_ignore_ad_tags`: the annotation `ignore_autodiscovery_tags` counts beside version 2, too.
    pub hybrid: bool,
}

/// What the annotations of an object say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Templates, complete but for what the provider adds.
    pub configs: Vec<CheckConfig>,
    /// Mistakes, and warnings about what is not used.
    pub errors: Vec<ConfigError>,
}

/// Reads the annotations of an object.
///
/// A mistake in the checks costs all checks of the object, one in the logs costs the logs.
#[must_use]
pub fn extract(annotations: &Texts, subject: &Subject<'_>) -> Extracted {
    let names = Names { annotations, today: format!("{PREFIX}{}.", subject.word), legacy: format!("{LEGACY}{}.", subject.word) };
    if !names.any() {
        return Extracted::default();
    }
    let mut found = Extracted::default();
    let (prefix, checks) = names.checks();
    let mut mistakes = Vec::new();
    match checks {
        Ok(checks) => found.configs = checks,
        Err(mistake) => mistakes.push(mistake),
    }
    if let Some((annotation, text)) = prefix.or_else(|| names.first_with("logs")).and_then(|prefix| names.get(prefix, "logs")) {
        match logs(&annotation, text) {
            Ok(logs) => {
                let name = found.configs.first().map(|config| config.name.clone()).unwrap_or_default();
                found.configs.push(CheckConfig { name, logs: Some(logs), ..CheckConfig::default() });
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    mistakes.extend(names.ignored(subject.hybrid));
    let ignore_tags = subject.hybrid && names.flag(&names.today, "ignore_autodiscovery_tags");
    for config in &mut found.configs {
        config.ad_identifiers = vec![subject.identifier.to_owned()];
        config.ignore_autodiscovery_tags |= ignore_tags;
    }
    found.errors = mistakes.into_iter().map(|mistake| mistake.into_error(subject.resource, subject.object)).collect();
    found
}

/// Whether a text is one of the words for true.
#[must_use]
pub fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// The annotations of one kind word.
struct Names<'a> {
    annotations: &'a Texts,
    today: String,
    legacy: String,
}

impl<'a> Names<'a> {
    fn any(&self) -> bool {
        [&self.today, &self.legacy].into_iter().any(|prefix| {
            let mut behind = self.annotations.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
            behind.next().is_some_and(|(name, _)| name.starts_with(prefix.as_str()))
        })
    }

    fn get(&self, prefix: &str, key: &str) -> Option<(String, &'a str)> {
        let name = format!("{prefix}{key}");
        let text = self.annotations.get(name.as_str())?;
        Some((name, text))
    }

    fn text(&self, prefix: &str, key: &str) -> Option<&'a str> {
        self.get(prefix, key).map(|(_, text)| text)
    }

    fn flag(&self, prefix: &str, key: &str) -> bool {
        self.text(prefix, key).is_some_and(is_true)
    }

    fn first_with(&self, key: &str) -> Option<&str> {
        [self.today.as_str(), self.legacy.as_str()].into_iter().find(|prefix| self.text(prefix, key).is_some())
    }

    /// The checks of the form that counts, and the prefix it has.
    fn checks(&self) -> (Option<&str>, Result<Vec<CheckConfig>, Mistake>) {
        if let Some((annotation, text)) = self.get(&self.today, "checks") {
            return (Some(&self.today), v2::checks(&annotation, text));
        }
        let Some(prefix) = self.first_with("check_names") else {
            return (None, Ok(Vec::new()));
        };
        let lists = Lists {
            prefix,
            names: self.text(prefix, "check_names").unwrap_or_default(),
            init_configs: self.text(prefix, "init_configs"),
            instances: self.text(prefix, "instances"),
        };
        let checks = v1::checks(&lists).map(|mut checks| {
            for check in &mut checks {
                check.ignore_autodiscovery_tags = self.flag(prefix, "ignore_autodiscovery_tags");
                self.text(prefix, "check_tag_cardinality").unwrap_or_default().clone_into(&mut check.check_tag_cardinality);
            }
            checks
        });
        (Some(prefix), checks)
    }

    /// A warning about annotations of a lower priority than the one that counts.
    fn ignored(&self, hybrid: bool) -> Option<Mistake> {
        const KEYS: [&str; 4] = ["check_names", "ignore_autodiscovery_tags", "init_configs", "instances"];
        let version_2 = self.get(&self.today, "checks").map(|(name, _)| name);
        let prefixes = [&self.legacy, &self.today];
        let lower = if version_2.is_some() { &prefixes[..] } else { &prefixes[..1] };
        let winner = version_2.or_else(|| self.get(&self.today, "check_names").map(|(name, _)| name))?;
        let used = |prefix: &str, key: &str| hybrid && prefix == self.today && key == "ignore_autodiscovery_tags";
        let mut ignored: Vec<String> = lower
            .iter()
            .flat_map(|prefix| KEYS.iter().filter(move |key| !used(prefix, key)).filter_map(|key| self.get(prefix, key)))
            .map(|(name, _)| name)
            .collect();
        if ignored.is_empty() {
            return None;
        }
        ignored.sort();
        let ignored = ignored.join(", ");
        let problem = format!(
            "{winner} takes precedence, ignoring {ignored}: Autodiscovery only applies the check configuration with the highest priority \
             (v2, then v1, then legacy)"
        );
        Some(Mistake::new(&winner, problem, format!("also {ignored}"), "one form of annotations"))
    }
}

fn logs(annotation: &str, text: &str) -> Result<Data, Mistake> {
    const ALLOWED: &str = "a JSON array of objects";
    const STEP: &str = "could not extract logs config";
    match json_text::parse(text).map_err(|error| Mistake::unreadable(annotation, &format!("{STEP}: in logs"), &error, ALLOWED))? {
        value @ Json::Array(_) => Ok(Data::from(json_text::write(&value))),
        other => Err(Mistake::new(
            annotation,
            format!("{STEP}: invalid format, expected an array, got: '{}'", shown(&other)),
            json_text::kind(&other),
            ALLOWED,
        )),
    }
}

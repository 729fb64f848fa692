//! What is wrong with an annotation.

use crate::domain::discovery::ConfigError;
use crate::domain::kube::json_text::{self, JsonError};
use crate::domain::yaml::Position;

/// Longest part of a value that is repeated in an error. Units: characters.
const LONGEST_SHOWN: usize = 200;

/// A mistake in one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Full name of the annotation.
    pub(super) annotation: String,
    /// Where in its value.
    pub(super) position: Option<Position>,
    /// The text of stock.
    pub(super) problem: String,
    /// What was found.
    pub(super) found: String,
    /// What is allowed.
    pub(super) allowed: String,
}

impl Mistake {
    /// A mistake without a place.
    pub(super) fn new(annotation: &str, problem: impl Into<String>, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { annotation: annotation.to_owned(), position: None, problem: problem.into(), found: found.into(), allowed: allowed.into() }
    }

    /// A value that is no JSON; `step` comes before the parser's words.
    pub(super) fn unreadable(annotation: &str, step: &str, error: &JsonError, allowed: &str) -> Self {
        let problem = format!("{step}: {}", error.detail);
        Self { position: error.position, ..Self::new(annotation, problem, "text that is no JSON", allowed) }
    }

    /// As the report names it.
    pub(super) fn into_error(self, resource: &str, object: &str) -> ConfigError {
        ConfigError {
            integration: resource.to_owned(),
            origin: format!("{object}, annotation {}", self.annotation),
            position: self.position,
            problem: self.problem,
            found: self.found,
            allowed: self.allowed,
        }
    }
}

/// A value as stock shows it, cut where it is long.
pub(super) fn shown(value: &serde_json::Value) -> String {
    let text = json_text::shown(value);
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

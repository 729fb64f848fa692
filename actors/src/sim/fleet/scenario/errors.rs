//! What is wrong with a scenario, in words that mend it.

use std::fmt;

/// A scenario that cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {found}; {mend}")]
pub struct ScenarioError {
    /// Where: a path such as `checks[3].node`, with the line if it was read from text.
    pub place: Place,
    /// What was found.
    pub found: String,
    /// What is allowed, and so the mend.
    pub mend: String,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path of the value.
    pub path: String,
    /// Line and column; `None` where the text is not known.
    pub line: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            ("" | ".", Some((line, column))) => write!(out, "line {line}, column {column}"),
            (path, Some((line, column))) => write!(out, "{path} (line {line}, column {column})"),
            (path, None) => out.write_str(path),
        }
    }
}

impl ScenarioError {
    pub(super) fn at(path: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { place: Place { path: path.into(), line: None }, found: found.into(), mend: mend.into() }
    }
}

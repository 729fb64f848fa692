//! What is wrong with a scenario, in words that mend it.

use std::fmt;

use crate::sim::fleet::scenario::{SCENARIO_VERSION, Scenario};

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

/// Only the version, whatever else there is.
#[derive(serde::Deserialize)]
struct Versioned {
    version: Option<serde_json::Value>,
}

pub(super) fn read(text: &str) -> Result<Scenario, ScenarioError> {
    // A file of another version may have other keys: that would be told first, and would be the wrong advice.
    if let Ok(Versioned { version: Some(found) }) = serde_json::from_str::<Versioned>(text)
        && found != SCENARIO_VERSION
    {
        let mend = format!("this program reads version {SCENARIO_VERSION}; write it anew with the program that will read it");
        return Err(ScenarioError::at("version", format!("found {found}"), mend));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let scenario = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        unreadable(path, &error.into_inner())
    })?;
    reader.end().map_err(|error| unreadable(String::new(), &error))?;
    Ok(scenario)
}

fn unreadable(path: String, error: &serde_json::Error) -> ScenarioError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    // What serde says is "found, expected allowed".
    let (found, allowed) = match text.split_once(", expected ") {
        Some((found, allowed)) => (found.to_owned(), format!("allowed is {allowed}")),
        None => (text.to_owned(), "see docs/SIMULATE.md for the format".to_owned()),
    };
    let line = (error.line() > 0).then_some((error.line(), error.column()));
    ScenarioError { place: Place { path, line }, found, mend: allowed }
}

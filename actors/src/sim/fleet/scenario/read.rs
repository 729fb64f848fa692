//! From text to a scenario and back.

use serde_json::Value;

use crate::sim::fleet::scenario::errors::{Place, ScenarioError};
use crate::sim::fleet::scenario::types::{SCENARIO_VERSION, Scenario};
use crate::sim::fleet::scenario::validate::validate;

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// Errors: [`ScenarioError`], with the place, what was found, what is allowed, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario = read(text)?;
        validate(&scenario)?;
        Ok(scenario)
    }

    /// Checks a scenario that was not read from text.
    ///
    /// Errors: as [`Self::parse`].
    pub fn validate(&self) -> Result<(), ScenarioError> {
        validate(self)
    }

    /// The text that [`Self::parse`] reads, with one node, check or event in a line.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// Only the version, whatever else there is.
#[derive(serde::Deserialize)]
struct Versioned {
    version: Option<serde_json::Value>,
}

fn read(text: &str) -> Result<Scenario, ScenarioError> {
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

/// Lays a scenario out for people: the lists one item in a line, everything else one key in a line.
fn to_json(scenario: &Scenario) -> String {
    // Every part is a value of JSON; what cannot be written would show as null.
    let value = serde_json::to_value(scenario).unwrap_or(Value::Null);
    let mut lines = Vec::new();
    for (key, part) in value.as_object().into_iter().flatten() {
        let text = match part {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("    {item}")).collect();
                format!("[\n{}\n  ]", items.join(",\n"))
            }
            other => other.to_string(),
        };
        lines.push(format!("  {}: {text}", Value::from(key.as_str())));
    }
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

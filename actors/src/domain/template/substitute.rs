//! Replaces variables in the values of a document.

use crate::domain::template::variable::{Variable, next_variable};
use crate::domain::yaml::{self, Value};

/// A variable with what stands around it in the same text.
pub(super) struct Place<'a> {
    /// The variable.
    pub(super) variable: Variable<'a>,
    /// The text before it, its variables replaced.
    pub(super) before: &'a str,
    /// The text behind it, as written.
    pub(super) after: &'a str,
}

/// How a variable gets its value.
pub(super) type Values<'a, E> = dyn Fn(&Place<'_>) -> Result<String, E> + 'a;

/// Visits every text value at any depth; keys are left alone.
///
/// Errors: that of the first text with one.
pub(super) fn substitute_value<E>(value: &mut Value, values: &Values<'_, E>) -> Result<(), E> {
    match value {
        Value::Text(text) => {
            if let Some(replaced) = substitute_text(text, values)? {
                *value = replaced;
            }
        }
        Value::List(items) => {
            for item in items {
                substitute_value(item, values)?;
            }
        }
        Value::Map(entries) => {
            for (_, item) in entries {
                substitute_value(item, values)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => {}
    }
    Ok(())
}

/// The text with its variables replaced, or nothing if it has none. A text that is exactly one variable takes the type of its value.
///
/// Errors: of several failing variables, that of the last.
fn substitute_text<E>(text: &str, values: &Values<'_, E>) -> Result<Option<Value>, E> {
    let mut out = String::new();
    let mut rest = text;
    let mut failure = None;
    let mut found = false;
    let mut whole = false;
    while let Some((before, variable, after)) = next_variable(rest) {
        found = true;
        whole = rest.len() == text.len() && before.is_empty() && after.is_empty();
        out.push_str(before);
        match values(&Place { variable, before: &out, after }) {
            Ok(value) => out.push_str(&value),
            Err(error) => failure = Some(error),
        }
        rest = after;
    }
    out.push_str(rest);
    match failure {
        Some(error) => Err(error),
        None if whole => Ok(Some(typed(out))),
        None => Ok(found.then_some(Value::Text(out))),
    }
}

/// An integer, else a boolean word, else the text.
pub(super) fn typed(text: String) -> Value {
    if let Some(number @ Value::Int(_)) = well_placed_underscores(&text).then(|| yaml::integer(&text.replace('_', ""))).flatten() {
        return number;
    }
    match text.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Value::Bool(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Value::Bool(false),
        _ => Value::Text(text),
    }
}

/// Underscores stand between digits, or between a base prefix and a digit.
fn well_placed_underscores(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).split('_').all(|part| !part.is_empty())
}

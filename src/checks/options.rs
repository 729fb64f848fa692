//! Reads instance and init_config keys so that a mistake names key, what was found and what is allowed.

use std::path::PathBuf;
use std::time::Duration;

use fancy_regex::Regex;
use muster_actors::ports::LoadError;
use serde_json::{Map, Value as Json};

/// One mapping of a config, with its path for messages. `null` counts as absent everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    map: &'a Map<String, Json>,
    path: &'a str,
}

impl<'a> Options<'a> {
    /// Reads keys of `map`; `path` (empty for the instance itself) is put before keys in messages.
    pub(crate) fn new(map: &'a Map<String, Json>, path: &'a str) -> Self {
        Self { map, path }
    }

    /// The error for `key`, whatever it holds.
    pub(crate) fn error(&self, key: &str, allowed: impl Into<String>) -> LoadError {
        let name = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let found = match self.map.get(key) {
            None => "nothing".to_owned(),
            Some(value) if is_secret(key) => describe_type(value).to_owned(),
            Some(value) => describe(value),
        };
        LoadError::Option { key: name, found, allowed: allowed.into() }
    }

    /// The value of a key, `None` when absent or `null`.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Json> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there with a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A text; numbers and booleans count as their text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, LoadError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => scalar_text(value).map(Some).ok_or_else(|| self.error(key, "a text")),
        }
    }

    /// A text that must be there and not be empty; `allowed` is the mend.
    pub(crate) fn required_text(&self, key: &str, allowed: &str) -> Result<String, LoadError> {
        match self.text(key)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.error(key, allowed)),
        }
    }

    /// A boolean; the texts `true`, `yes`, `1`, `y`, `on` and their opposites count too.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, LoadError> {
        let allowed = "true or false";
        match self.get(key) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(Json::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(Json::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" | "y" | "on" => Ok(Some(true)),
                "false" | "no" | "0" | "n" | "off" | "" => Ok(Some(false)),
                _ => Err(self.error(key, allowed)),
            },
            Some(_) => Err(self.error(key, allowed)),
        }
    }

    /// A boolean with a default.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool, LoadError> {
        Ok(self.flag(key)?.unwrap_or(default))
    }

    /// A finite number; a text that reads as one counts too.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, LoadError> {
        let number = match self.get(key) {
            None => return Ok(None),
            Some(Json::Number(number)) => number.as_f64(),
            Some(Json::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        number.filter(|number| number.is_finite()).map(Some).ok_or_else(|| self.error(key, "a number"))
    }

    /// A whole number not below zero; fractions are cut off.
    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>, LoadError> {
        match self.number(key) {
            Ok(Some(number)) if number >= 0.0 => Ok(Some(number as u64)),
            Ok(None) => Ok(None),
            _ => Err(self.error(key, "a whole number, 0 or more")),
        }
    }

    /// A duration above zero. Units of the key: seconds, fractions allowed.
    pub(crate) fn seconds(&self, key: &str) -> Result<Option<Duration>, LoadError> {
        match self.number(key) {
            Ok(None) => Ok(None),
            Ok(Some(number)) if number > 0.0 => {
                Duration::try_from_secs_f64(number).map(Some).map_err(|_| self.error(key, "a number of seconds above 0"))
            }
            _ => Err(self.error(key, "a number of seconds above 0")),
        }
    }

    /// A list of texts; absent = empty, `null` entries are left out.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, LoadError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => items
                .iter()
                .filter(|item| !item.is_null())
                .map(|item| scalar_text(item).ok_or_else(|| self.error(key, "a list of texts")))
                .collect(),
            Some(_) => Err(self.error(key, "a list of texts")),
        }
    }

    /// A list of regular expressions.
    pub(crate) fn regexes(&self, key: &str) -> Result<Vec<Regex>, LoadError> {
        let texts = self.texts(key)?;
        texts
            .iter()
            .map(|text| compile(text).map_err(|problem| self.error(key, format!("a list of regular expressions ({problem})"))))
            .collect()
    }

    /// One regular expression.
    pub(crate) fn regex(&self, key: &str) -> Result<Option<Regex>, LoadError> {
        self.text(key)?
            .map(|text| compile(&text).map_err(|problem| self.error(key, format!("a regular expression ({problem})"))))
            .transpose()
    }

    /// A mapping; absent = `None`.
    pub(crate) fn map(&self, key: &str) -> Result<Option<&'a Map<String, Json>>, LoadError> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.error(key, "a mapping")),
        }
    }

    /// A mapping of texts, in document order.
    pub(crate) fn text_map(&self, key: &str) -> Result<Vec<(String, String)>, LoadError> {
        let Some(map) = self.map(key)? else {
            return Ok(Vec::new());
        };
        map.iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| scalar_text(value).map(|text| (name.clone(), text)).ok_or_else(|| self.error(key, "a mapping of texts")))
            .collect()
    }

    /// A path to a file; empty = absent.
    pub(crate) fn path(&self, key: &str) -> Result<Option<PathBuf>, LoadError> {
        Ok(self.text(key)?.filter(|text| !text.is_empty()).map(PathBuf::from))
    }
}

/// Compiles a regular expression in Python's dialect, look-around included.
pub(crate) fn compile(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|problem| problem.to_string())
}

/// Whether a pattern occurs in the text. A pattern that gives up on the text does not occur in it.
pub(crate) fn found(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

/// A scalar as text, `None` for lists, mappings and `null`.
pub(crate) fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_secret(key: &str) -> bool {
    ["password", "token", "headers", "proxy", "username"].iter().any(|word| key.contains(word))
}

fn describe_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

fn describe(value: &Json) -> String {
    match value {
        Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::String(text) if text.chars().count() <= 120 => format!("{text:?}"),
        Json::String(text) => format!("a text of {} characters", text.chars().count()),
        other => describe_type(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_never_shown_in_errors() {
        let json = json!({"password": ["s3cret"], "extra_headers": "s3cret", "timeout": "soon"});
        let map = json.as_object().unwrap();
        let options = Options::new(map, "");
        assert_eq!(options.text("password").unwrap_err().to_string(), r#"option "password": found a list, allowed: a text"#);
        assert_eq!(
            options.text_map("extra_headers").unwrap_err().to_string(),
            r#"option "extra_headers": found a text, allowed: a mapping"#
        );
        assert_eq!(
            options.seconds("timeout").unwrap_err().to_string(),
            r#"option "timeout": found "soon", allowed: a number of seconds above 0"#
        );
    }

    #[test]
    fn null_is_absent_and_words_are_booleans() {
        let json = json!({"tags": null, "on": "Yes", "off": "off", "one": 1, "list": ["a", null, 3]});
        let options = Options::new(json.as_object().unwrap(), "");
        assert_eq!(options.texts("tags").unwrap(), Vec::<String>::new());
        assert_eq!(options.flag("on").unwrap(), Some(true));
        assert_eq!(options.flag("off").unwrap(), Some(false));
        assert_eq!(options.flag("one").unwrap(), Some(true));
        assert_eq!(options.texts("list").unwrap(), ["a", "3"]);
    }
}

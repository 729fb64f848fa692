//! A YAML document as values.

use std::collections::BTreeMap;

use crate::domain::yaml::float::float_text;

/// One YAML node after anchors, merge keys and YAML 1.1 scalar types are resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    #[default]
    Null,
    /// A boolean word of YAML 1.1.
    Bool(bool),
    /// An integer that fits 64 bits signed.
    Int(i64),
    /// An integer above `i64::MAX` that fits 64 bits unsigned.
    UInt(u64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping, in document order, keys unique (the last of duplicates wins).
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The value of a text key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| matches!(name, Self::Text(text) if text == key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, with article, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a sequence",
            Self::Map(_) => "a mapping",
        }
    }

    /// The same document as JSON: keys become text, numbers that JSON cannot hold become `null`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(number) => Json::from(*number),
            Self::UInt(number) => Json::from(*number),
            Self::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => Json::Object(entries.iter().map(|(key, value)| (key.key_text(), value.to_json())).collect()),
        }
    }

    /// A scalar as the text that a tag or key made of it shows: `1` -> `1`, `1.0` -> `1`, `yes` -> `true`, null -> empty.
    #[must_use]
    pub fn key_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(flag) => flag.to_string(),
            Self::Int(number) => number.to_string(),
            Self::UInt(number) => number.to_string(),
            Self::Float(number) => float_text(*number),
            Self::Text(text) => text.clone(),
            Self::List(_) | Self::Map(_) => self.to_json().to_string(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl FromIterator<(String, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let sorted: BTreeMap<String, Self> = entries.into_iter().collect();
        Self::Map(sorted.into_iter().map(|(key, value)| (Self::Text(key), value)).collect())
    }
}

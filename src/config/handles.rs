//! Values that name secrets: `ENC[handle]` as a whole text, at any depth. Source: autodiscovery 8.

use std::fmt;

use muster_actors::domain::secrets::{SecretValues, handle};
use serde_json::Value as Json;

use super::source::Source;
use super::value::Value;

/// A place of the configuration that names a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The key.
    pub key: &'static str,
    /// Where it is set.
    pub source: Source,
    /// Name of the secret.
    pub handle: String,
}

impl fmt::Display for SecretUse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = ENC[{}] ({})", self.key, self.handle, self.source)
    }
}

/// The handles in a value, each as often as it is there.
pub(super) fn handles(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    replaced(value, &mut |text| {
        found.extend(handle(text).map(str::to_owned));
        None
    });
    found
}

/// The value with secrets for their handles; a handle without secret stays.
pub(super) fn with_secrets(value: &Value, secrets: &SecretValues) -> Value {
    replaced(value, &mut |text| secrets.get(handle(text)?).map(|secret| secret.expose().clone()))
}

fn replaced(value: &Value, replace: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    let mut copy = value.clone();
    match &mut copy {
        Value::Text(text) => exchange(text, replace),
        Value::List(items) => items.iter_mut().for_each(|item| exchange(item, replace)),
        Value::Map(map) => map.values_mut().for_each(|inner| inside(inner, replace)),
        Value::Maps(maps) => maps.iter_mut().flat_map(|map| map.values_mut()).for_each(|inner| inside(inner, replace)),
        Value::Bool(_) | Value::Integer(_) | Value::Number(_) | Value::Duration(_) | Value::Opaque(_) => {}
    }
    copy
}

fn inside(json: &mut Json, replace: &mut dyn FnMut(&str) -> Option<String>) {
    match json {
        Json::String(text) => exchange(text, replace),
        Json::Array(items) => items.iter_mut().for_each(|item| inside(item, replace)),
        Json::Object(map) => map.values_mut().for_each(|inner| inside(inner, replace)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn exchange(text: &mut String, replace: &mut dyn FnMut(&str) -> Option<String>) {
    if let Some(other) = replace(text) {
        *text = other;
    }
}

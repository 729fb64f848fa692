//! Mappings under construction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::yaml::mistake::{Position, YamlError};
use crate::domain::yaml::value::Value;

/// Entries of a mapping under construction, with an index because hostile mappings have a million keys.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) list: Vec<(Value, Value)>,
    places: HashMap<String, usize>,
}

impl Entries {
    pub(super) fn contains(&self, key: &Value) -> bool {
        self.places.contains_key(&identity(key))
    }

    /// Sets a value; an earlier one of the same key is replaced.
    pub(super) fn insert(&mut self, key: Value, value: Value) {
        match self.places.entry(identity(&key)) {
            Entry::Occupied(place) => {
                if let Some(entry) = self.list.get_mut(*place.get()) {
                    entry.1 = value;
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push((key, value));
            }
        }
    }

    /// Merges a mapping, or the mappings of a sequence, of which earlier ones take precedence.
    ///
    /// As yaml v2 does it, in document order: merged keys replace keys that stand before the merge key and are replaced by those after it.
    pub(super) fn merge(&mut self, source: Value, at: Position) -> Result<(), YamlError> {
        let sources = match source {
            Value::List(items) => items,
            one => vec![one],
        };
        for source in sources.into_iter().rev() {
            let Value::Map(entries) = source else {
                return Err(YamlError::at(at, "a merge key needs a mapping or a sequence of mappings"));
            };
            for (key, value) in entries {
                self.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Tells keys of different type apart: `1` and `"1"` are two keys.
fn identity(key: &Value) -> String {
    let kind = match key {
        Value::Null => 'n',
        Value::Bool(_) => 'b',
        Value::Int(_) | Value::UInt(_) => 'i',
        Value::Float(_) => 'f',
        Value::Text(_) => 't',
        Value::List(_) | Value::Map(_) => 'c',
    };
    format!("{kind}{}", key.key_text())
}

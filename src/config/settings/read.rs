//! Typed reading of single keys; the only users are the settings of this folder.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map as JsonMap, Value as Json};

use crate::config::effective::Config;
use crate::config::keys;
use crate::config::value::Value;

/// A type that a value of the table can be read as.
pub(super) trait FromValue: Default {
    /// `None`: the value is of another type, which means that the table and its reader disagree.
    fn from_value(value: Value) -> Option<Self>;
}

/// The value of a key; the test of each settings struct proves that table and reader agree.
pub(super) fn read<T: FromValue>(config: &Config, key: &str) -> T {
    let value = config.get(key).and_then(|sourced| T::from_value(sourced.value));
    debug_assert!(value.is_some(), "{key} is not in the table or of another type");
    value.unwrap_or_default()
}

/// The same as it is written, with handles of secrets in place; `None` when there is nothing.
pub(super) fn written<T: FromValue + PartialEq>(config: &Config, key: &str) -> Option<T> {
    let value = keys::find(key).and_then(|spec| T::from_value(config.effective(spec).value));
    debug_assert!(value.is_some(), "{key} is not in the table or of another type");
    value.filter(|value| *value != T::default())
}

/// Text that is not empty.
pub(super) fn text(config: &Config, key: &str) -> Option<String> {
    Some(read::<String>(config, key)).filter(|text| !text.is_empty())
}

/// A path that is not empty.
pub(super) fn path(config: &Config, key: &str) -> Option<PathBuf> {
    text(config, key).map(PathBuf::from)
}

/// A port, `None` when it is 0.
pub(super) fn port_or_off(config: &Config, key: &str) -> Option<u16> {
    Some(read::<u16>(config, key)).filter(|port| *port != 0)
}

impl FromValue for bool {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(value) } else { None }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Number(value) = value { Some(value) } else { None }
    }
}

impl FromValue for Duration {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Duration(value) = value { Some(value) } else { None }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(value) = value { Some(value) } else { None }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::List(value) = value { Some(value) } else { None }
    }
}

impl FromValue for JsonMap<String, Json> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Map(value) = value { Some(value) } else { None }
    }
}

impl FromValue for Vec<JsonMap<String, Json>> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Maps(value) = value { Some(value) } else { None }
    }
}

macro_rules! from_integer {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                if let Value::Integer(value) = value { Self::try_from(value).ok() } else { None }
            }
        }
    )*};
}

from_integer!(u16, u32, u64, usize, i64);

//! Tags of scalars: types that are said instead of guessed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use saphyr_parser::{ScalarStyle, Tag};

use crate::domain::yaml::mistake::{Position, YamlError};
use crate::domain::yaml::scalar::resolve_plain;
use crate::domain::yaml::value::Value;

/// Whether a key means that a mapping is merged in.
pub(super) fn is_merge_key(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    text == "<<" && (tag.and_then(core_type) == Some("merge") || (tag.is_none() && style == ScalarStyle::Plain))
}

/// Name of a type of the YAML type repository, for example `int` for `!!int`.
fn core_type(tag: &Tag) -> Option<&str> {
    match tag.handle.as_str() {
        "tag:yaml.org,2002:" | "!!" => Some(&tag.suffix),
        _ => None,
    }
}

/// Value of a scalar with the type that its tag names.
pub(super) fn typed_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Value, YamlError> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { resolve_plain(text) } else { Value::from(text) });
    };
    let plain = resolve_plain(text);
    let typed = match (core_type(tag), plain) {
        (Some("int"), number @ (Value::Int(_) | Value::UInt(_)))
        | (Some("float"), number @ Value::Float(_))
        | (Some("bool"), number @ Value::Bool(_))
        | (Some("null"), number @ Value::Null) => Some(number),
        (Some("float"), Value::Int(number)) => Some(Value::Float(number as f64)),
        (Some("int" | "float" | "bool" | "null"), _) => None,
        (Some("binary"), _) => {
            let packed: String = text.split_ascii_whitespace().collect();
            BASE64.decode(packed).ok().map(|bytes| Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Some(Value::from(text)),
    };
    typed.ok_or_else(|| YamlError::at(at, format!("the value has the tag !!{} but is not one", tag.suffix)))
}

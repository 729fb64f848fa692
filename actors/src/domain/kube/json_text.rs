//! JSON text as Go writes it, so that configs and their digests equal those of stock. Source: autodiscovery 7.1.

use std::fmt::Write as _;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value as Json;

use crate::domain::yaml::Position;

/// A text that is not the JSON it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Where, if the text ends or goes wrong at a place.
    pub position: Option<Position>,
    /// What is wrong.
    pub detail: String,
}

/// Reads a text.
///
/// Errors: [`JsonError`] with the position of what is wrong.
pub fn parse(text: &str) -> Result<Json, JsonError> {
    serde_json::from_str(text).map_err(|error| {
        // Its text ends in the place, which is told apart here.
        let detail = error.to_string();
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        JsonError {
            position: Some(Position { line: error.line(), column: error.column().max(1) }),
            detail: detail.strip_suffix(&suffix).unwrap_or(&detail).to_owned(),
        }
    })
}

/// What a value is, with article, for messages.
#[must_use]
pub fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Members of an object with the bytes of each value as they stand in the text, in text order.
///
/// `text` must be JSON that [`parse`] reads as an object; of any other there may be fewer members.
#[must_use]
pub fn members(text: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let Some(mut rest) = text.trim_ascii().strip_prefix('{') else {
        return found;
    };
    loop {
        let Some((name, name_end)) = split_value::<String>(rest) else {
            return found;
        };
        let Some(value_text) = rest[name_end..].trim_ascii_start().strip_prefix(':') else {
            return found;
        };
        let Some((_, value_end)) = split_value::<IgnoredAny>(value_text) else {
            return found;
        };
        found.push((name, value_text[..value_end].trim_ascii()));
        let Some(next) = value_text[value_end..].trim_ascii_start().strip_prefix(',') else {
            return found;
        };
        rest = next;
    }
}

/// The first value of a text and where it ends.
fn split_value<T: DeserializeOwned>(text: &str) -> Option<(T, usize)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = stream.next()?.ok()?;
    Some((value, stream.byte_offset()))
}

/// The text of a value: keys sorted by bytes, no spaces, numbers as 64-bit floating point.
#[must_use]
pub fn write(value: &Json) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// The text of an object whose members stay in the given order; inside them keys are sorted.
#[must_use]
pub fn write_ordered(members: &[(&str, &Json)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(&mut out, name);
        out.push(':');
        write_value(&mut out, value);
    }
    out.push('}');
    out
}

fn write_value(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number_text(number.as_f64().unwrap_or_default())),
        Json::String(text) => write_text(out, text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Json::Object(_) => out.push_str(&write_ordered(&sorted(value))),
    }
}

fn sorted(value: &Json) -> Vec<(&str, &Json)> {
    let mut members: Vec<(&str, &Json)> = value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Shortest text that reads back as the number; an exponent below 1e-6 and from 1e21.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A value as stock shows it in error texts (Go's `%v`): `map[a:1 b:x]`, `[1 2]`, `<nil>`.
#[must_use]
pub fn shown(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => shown_number(number.as_f64().unwrap_or_default()),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Json::Object(_) => {
            let members: Vec<String> = sorted(value).iter().map(|(name, value)| format!("{name}:{}", shown(value))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// As [`number_text`], with exponents from 1e-5 on and of two digits at least.
fn shown_number(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-4..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(text: &str) -> String {
        write(&parse(text).unwrap())
    }

    #[test]
    fn keys_are_sorted_by_bytes_and_spaces_dropped() {
        assert_eq!(
            rewritten(r#" {"b": [1, {"z":1, "a":null}], "B": true, "é":"", "a":"x"} "#),
            r#"{"B":true,"a":"x","b":[1,{"a":null,"z":1}],"é":""}"#
        );
        assert_eq!(rewritten(r#"{"a":1,"a":2}"#), r#"{"a":2}"#);
    }

    #[test]
    fn numbers_are_64_bit_floating_point() {
        for (text, expected) in [
            ("1.0", "1"),
            ("-0", "-0"),
            ("0.5", "0.5"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567000"),
            ("9007199254740993", "9007199254740992"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.25e-10", "1.25e-10"),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
        }
    }

    #[test]
    fn characters_are_escaped_as_go_does() {
        assert_eq!(
            rewritten(r#""<a>&\u2028\u2029\u0001\b\f\n\r\t\"\\\/\u007fé""#),
            "\"\\u003ca\\u003e\\u0026\\u2028\\u2029\\u0001\\b\\f\\n\\r\\t\\\"\\\\/\u{7f}é\""
        );
    }

    #[test]
    fn values_are_shown_as_go_does() {
        for (text, expected) in [
            (r#"{"b":[1,"x y",null,true],"a":{}}"#, "map[a:map[] b:[1 x y <nil> true]]"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            ("7", "7"),
        ] {
            assert_eq!(shown(&parse(text).unwrap()), expected);
        }
    }

    #[test]
    fn members_keep_the_bytes_of_their_values() {
        let text = r#" {"a" : {"x":  1} , "b\u0041":[ ],"c": 1.0 , "d":"}" } "#;
        let expected = [("a", r#"{"x":  1}"#), ("bA", "[ ]"), ("c", "1.0"), ("d", r#""}""#)];
        let found = members(text);
        assert_eq!(found.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(), expected);
        assert!(members("{}").is_empty());
        assert!(members("[1]").is_empty());
    }

    #[test]
    fn an_error_has_a_place() {
        let error = parse("{\"a\":1,\n \"b\" 2}").unwrap_err();
        assert_eq!(error.position.unwrap().line, 2);
        assert!(!error.detail.contains("line"), "{}", error.detail);
        assert!(parse("").is_err());
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[ -~é<&\n]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[a-c\"{},: ]{0,3}", inner, 0..4).prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn writing_again_changes_nothing(value in any_json()) {
            let text = write(&value);
            prop_assert_eq!(rewritten(&text), text);
        }

        #[test]
        fn every_member_is_found(value in any_json()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let parts: Vec<(String, Json)> = members(&text).into_iter().map(|(name, text)| (name, parse(text).unwrap())).collect();
            let expected: Vec<(String, Json)> =
                value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(parts, expected);
        }
    }
}

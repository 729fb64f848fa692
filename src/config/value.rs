//! Configuration values and how they are read from text (environment, command line) and from files.

use std::time::Duration;

use muster_actors::domain::secrets::handle;
use serde_json::{Map as JsonMap, Value as Json};

use super::duration::{go_text, parse_go};
use super::option::{Kind, Unit};

/// A value that fits its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Boolean.
    Bool(bool),
    /// Whole number.
    Integer(i64),
    /// Number.
    Number(f64),
    /// Length of time.
    Duration(Duration),
    /// Text or chosen word.
    Text(String),
    /// List of texts.
    List(Vec<String>),
    /// Map.
    Map(JsonMap<String, Json>),
    /// List of maps.
    Maps(Vec<JsonMap<String, Json>>),
    /// A part of the configuration that nothing reads.
    Opaque(Json),
}

impl Value {
    /// The value as JSON, in the form stock shows it.
    #[must_use]
    pub fn to_json(&self, kind: Kind) -> Json {
        match self {
            Self::Bool(value) => Json::from(*value),
            Self::Integer(value) => Json::from(*value),
            Self::Number(value) => Json::from(*value),
            Self::Duration(value) => match kind {
                Kind::Duration { unit: Unit::GoStyle, .. } => Json::from(go_text(*value)),
                Kind::Duration { unit, .. } => in_units(*value, unit),
                _ => Json::from(go_text(*value)),
            },
            Self::Text(value) => Json::from(value.as_str()),
            Self::List(items) => Json::from(items.clone()),
            Self::Map(map) => Json::Object(map.clone()),
            Self::Maps(maps) => Json::Array(maps.iter().cloned().map(Json::Object).collect()),
            Self::Opaque(value) => value.clone(),
        }
    }
}

fn in_units(duration: Duration, unit: Unit) -> Json {
    let count = duration.as_secs_f64() / unit.length().as_secs_f64();
    if count.fract() == 0.0 { Json::from(count as u64) } else { Json::from(count) }
}

/// Reads a value written as text: environment, command line, table of defaults.
///
/// `None`: the text does not fit the kind; [`Kind::allowed`] says what would. Source: cluster-agent-kubernetes 7.1.
pub(super) fn parse_text(kind: Kind, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    match kind {
        Kind::Bool => parse_bool(trimmed).map(Value::Bool),
        Kind::Integer { min, max } => trimmed.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Integer),
        Kind::Number { min, max } => trimmed.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Number),
        Kind::Duration { unit, min } => parse_duration(trimmed, unit).filter(|duration| *duration >= min).map(Value::Duration),
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Choice { allowed } => choose(trimmed, allowed).map(Value::Text),
        // A handle may hold blanks.
        Kind::List { allowed: [] } if handle(trimmed).is_some() => Some(Value::List(vec![trimmed.to_owned()])),
        Kind::List { allowed } => restrict(split_list(trimmed)?, allowed).map(Value::List),
        Kind::Map if trimmed.is_empty() => Some(Value::Map(JsonMap::new())),
        Kind::Map => serde_json::from_str(trimmed).ok().map(Value::Map),
        Kind::Maps if trimmed.is_empty() => Some(Value::Maps(Vec::new())),
        Kind::Maps => serde_json::from_str(trimmed).ok().map(Value::Maps),
        Kind::Tree => Some(Value::Opaque(Json::from(text))),
    }
}

/// Reads a value from a file, already parsed as YAML.
///
/// Scalars of another type are accepted when their text would be: `"30"` for an integer, `1.3` for a text.
/// `None`: the value does not fit the kind.
pub(super) fn parse_node(kind: Kind, node: &Json) -> Option<Value> {
    match (kind, node) {
        (Kind::Tree, _) => Some(Value::Opaque(node.clone())),
        (Kind::Map, Json::Object(map)) => Some(Value::Map(map.clone())),
        (Kind::Map, Json::Array(items)) if items.is_empty() => Some(Value::Map(JsonMap::new())),
        (Kind::Maps, Json::Array(items)) => items.iter().map(|item| item.as_object().cloned()).collect::<Option<_>>().map(Value::Maps),
        (Kind::List { allowed }, Json::Array(items)) => {
            restrict(items.iter().map(scalar_text).collect::<Option<_>>()?, allowed).map(Value::List)
        }
        (_, Json::Object(_) | Json::Array(_) | Json::Null) => None,
        (_, scalar) => parse_text(kind, &scalar_text(scalar)?),
    }
}

fn scalar_text(node: &Json) -> Option<String> {
    match node {
        Json::String(text) => Some(text.clone()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Number(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn parse_duration(text: &str, unit: Unit) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(count) => Duration::try_from_secs_f64(count * unit.length().as_secs_f64()).ok(),
        Err(_) => parse_go(text),
    }
}

fn choose(text: &str, allowed: &[&str]) -> Option<String> {
    let lower = text.to_lowercase();
    allowed.contains(&lower.as_str()).then_some(lower)
}

fn restrict(items: Vec<String>, allowed: &[&str]) -> Option<Vec<String>> {
    if allowed.is_empty() { Some(items) } else { items.iter().map(|item| choose(item, allowed)).collect() }
}

/// A JSON array of scalars, or words separated by blanks.
fn split_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        let items: Vec<Json> = serde_json::from_str(text).ok()?;
        return items.iter().map(scalar_text).collect();
    }
    Some(text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECONDS: Kind = Kind::Duration { unit: Unit::Seconds, min: Duration::ZERO };
    const LIST: Kind = Kind::List { allowed: &[] };

    #[test]
    fn booleans_are_the_words_stock_accepts() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(parse_text(Kind::Bool, text), Some(Value::Bool(true)), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(parse_text(Kind::Bool, text), Some(Value::Bool(false)), "{text}");
        }
        for text in ["yes", "on", "tRUE", "2", "truee"] {
            assert_eq!(parse_text(Kind::Bool, text), None, "{text}");
        }
    }

    #[test]
    fn integers_keep_their_bounds() {
        let port = Kind::Integer { min: 1, max: 65_535 };
        assert_eq!(parse_text(port, " 5005 "), Some(Value::Integer(5005)));
        assert_eq!(parse_text(port, "65536"), None);
        assert_eq!(parse_text(port, "0"), None);
        assert_eq!(parse_text(port, "5e3"), None);
    }

    #[test]
    fn durations_are_numbers_in_their_unit_or_go_style() {
        assert_eq!(parse_text(SECONDS, "30"), Some(Value::Duration(Duration::from_secs(30))));
        assert_eq!(parse_text(SECONDS, "10m"), Some(Value::Duration(Duration::from_secs(600))));
        assert_eq!(parse_text(SECONDS, "0.5"), Some(Value::Duration(Duration::from_millis(500))));
        assert_eq!(parse_text(SECONDS, "-1"), None);
        let milliseconds = Kind::Duration { unit: Unit::Milliseconds, min: Duration::ZERO };
        assert_eq!(parse_text(milliseconds, "100"), Some(Value::Duration(Duration::from_millis(100))));
        let least = Kind::Duration { unit: Unit::Seconds, min: Duration::from_secs(1) };
        assert_eq!(parse_text(least, "0"), None);
    }

    #[test]
    fn ca_i6_a_list_may_be_words_separated_by_blanks() {
        let expected = Value::List(vec!["kube_endpoints".to_owned(), "kube_services".to_owned()]);
        assert_eq!(parse_text(LIST, "kube_endpoints kube_services"), Some(expected));
    }

    #[test]
    fn ca_i7_a_list_may_be_a_json_array() {
        assert_eq!(parse_text(LIST, r#"["a:1","b:2"]"#), Some(Value::List(vec!["a:1".to_owned(), "b:2".to_owned()])));
        assert_eq!(parse_text(LIST, r#"["a:1","b:2""#), None);
    }

    #[test]
    fn ca_i8_a_map_is_json() {
        let Some(Value::Map(map)) = parse_text(Kind::Map, r#"{"team":"team"}"#) else { panic!("a map") };
        assert_eq!(map.len(), 1);
        assert_eq!(map["team"], json!("team"));
        assert_eq!(parse_text(Kind::Map, "team:team"), None);
    }

    #[test]
    fn ca_i9_words_are_read_in_any_case() {
        let level = Kind::Choice { allowed: &["info", "debug"] };
        assert_eq!(parse_text(level, "INFO"), Some(Value::Text("info".to_owned())));
        assert_eq!(parse_text(level, "loud"), None);
    }

    #[test]
    fn a_list_of_words_refuses_other_words() {
        let outputs = Kind::List { allowed: &["datadog", "stdout"] };
        assert!(parse_text(outputs, "datadog stdout").is_some());
        assert_eq!(parse_text(outputs, "datadog kafka"), None);
    }

    #[test]
    fn files_may_write_a_scalar_of_another_type() {
        assert_eq!(parse_node(Kind::Integer { min: 0, max: 9 }, &json!("7")), Some(Value::Integer(7)));
        assert_eq!(parse_node(Kind::Text, &json!(1.3)), Some(Value::Text("1.3".to_owned())));
        assert_eq!(parse_node(Kind::Bool, &json!("true")), Some(Value::Bool(true)));
        assert_eq!(parse_node(LIST, &json!("a b")), Some(Value::List(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(parse_node(LIST, &json!(["a", 5])), Some(Value::List(vec!["a".to_owned(), "5".to_owned()])));
        assert_eq!(parse_node(Kind::Integer { min: 0, max: 9 }, &json!([7])), None);
        assert_eq!(parse_node(Kind::Map, &json!("x")), None);
    }

    #[test]
    fn values_are_shown_as_stock_shows_them() {
        let shown = |kind, text: &str| parse_text(kind, text).map(|value| value.to_json(kind));
        assert_eq!(shown(SECONDS, "1m"), Some(json!(60)));
        assert_eq!(shown(Kind::Duration { unit: Unit::GoStyle, min: Duration::ZERO }, "600"), Some(json!("10m0s")));
        assert_eq!(shown(LIST, "a b"), Some(json!(["a", "b"])));
    }
}

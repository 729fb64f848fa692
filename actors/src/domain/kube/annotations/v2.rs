//! Version 2 of the annotations: one JSON object with all checks. Source: autodiscovery 4.5.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::kube::annotations::mistake::{Mistake, shown};
use crate::domain::kube::json_text::{self, JsonError};

const STEP: &str = "cannot parse check configuration";
const ALLOWED: &str = "a JSON object of check name to {\"init_config\": {}, \"instances\": [{}]}";

/// The checks of a value, in the order of their keys.
///
/// Errors: the first mistake; then none of the checks is used.
pub(super) fn checks(annotation: &str, text: &str) -> Result<Vec<CheckConfig>, Mistake> {
    let unreadable = |error: JsonError| Mistake::unreadable(annotation, STEP, &error, ALLOWED);
    match json_text::parse(text).map_err(unreadable)? {
        Json::Null => return Ok(Vec::new()),
        Json::Object(_) => {}
        other => return Err(wrong_type(annotation, "", "an object", &other)),
    }
    // Of two checks under one key the last counts.
    let members: BTreeMap<String, &str> = json_text::members(text).into_iter().collect();
    members.into_iter().map(|(key, text)| check(annotation, key, text)).collect()
}

fn check(annotation: &str, key: String, text: &str) -> Result<CheckConfig, Mistake> {
    let mut check = CheckConfig { name: key.clone(), init_config: Some(Data::from("{}")), ..CheckConfig::default() };
    match value(annotation, text)? {
        Json::Null => return Ok(check),
        Json::Object(_) => {}
        other => return Err(wrong_type(annotation, &key, "an object", &other)),
    }
    for (field, text) in json_text::members(text) {
        let path = format!("{key}.{field}");
        // Go takes keys in any case.
        match field.to_ascii_lowercase().as_str() {
            "name" => {
                let name = texts(annotation, &path, text)?;
                check.name = if name.is_empty() { key.clone() } else { name };
            }
            "init_config" => check.init_config = Some(Data::from(text)),
            "logs" => check.logs = Some(Data::from(text)),
            "instances" => check.instances = instances(annotation, &path, text)?,
            "ignore_autodiscovery_tags" => {
                check.ignore_autodiscovery_tags = match value(annotation, text)? {
                    Json::Null => false,
                    Json::Bool(flag) => flag,
                    other => return Err(wrong_type(annotation, &path, "true or false", &other)),
                }
            }
            "check_tag_cardinality" => check.check_tag_cardinality = texts(annotation, &path, text)?,
            _ => {}
        }
    }
    Ok(check)
}

fn instances(annotation: &str, path: &str, text: &str) -> Result<Vec<Data>, Mistake> {
    let items = match value(annotation, text)? {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        other => return Err(wrong_type(annotation, path, "an array of objects", &other)),
    };
    let instance = |(index, item): (usize, &Json)| match item {
        Json::Object(_) => Ok(Data::from(json_text::write(item))),
        other => Err(Mistake::new(
            annotation,
            format!("found non JSON object type, value is: '{}'", shown(other)),
            format!("{} at {path}[{index}]", json_text::kind(other)),
            "an object",
        )),
    };
    items.iter().enumerate().map(instance).collect()
}

fn texts(annotation: &str, path: &str, text: &str) -> Result<String, Mistake> {
    match value(annotation, text)? {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text),
        other => Err(wrong_type(annotation, path, "a string", &other)),
    }
}

fn value(annotation: &str, text: &str) -> Result<Json, Mistake> {
    json_text::parse(text).map_err(|error| Mistake::unreadable(annotation, STEP, &error, ALLOWED))
}

fn wrong_type(annotation: &str, path: &str, expected: &str, found: &Json) -> Mistake {
    let place = if path.is_empty() { String::new() } else { format!(" at {path}") };
    let kind = json_text::kind(found);
    let allowed = if path.is_empty() { ALLOWED } else { expected };
    Mistake::new(annotation, format!("{STEP}: expected {expected}, got {kind}{place}"), format!("{kind}{place}"), allowed)
}
